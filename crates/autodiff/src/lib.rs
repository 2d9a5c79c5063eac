//! Tape-based reverse-mode autodiff for [vivit](https://docs.rs/vivit) whose sweep propagates
//! *matrices* through Jacobian transposes.
//!
//! Everything that travels backwards is a factor `[V, N, *]`: V columns for each of N samples. The
//! gradient is V = 1, a square root of the loss Hessian V = C. One rule per operation
//! ([`Op::jac_t`]), one sweep ([`Graph::sweep`]) for all of them; a visitor sees every parameter
//! once with all that reached it ([`Site`]).
//!
//! Losses are sums over samples, `L = Σ_n L_n`, and `L_n` includes the reduction's factor; see
//! [`Loss`].

pub mod check;
mod device_cache;
mod error;
mod finite_check;
mod groups;
mod kfra_site;
mod linearization;
pub mod loss;
mod map;
mod op;
pub mod ops;
mod outer;
mod plan;
mod probe;
mod residual;
mod scatter;
mod second;
mod site;
mod sweep;
mod tape;

pub use error::Error;
pub use finite_check::{FiniteCheck, PendingChecks};
pub use kfra_site::KfraSite;
pub use linearization::{Gradients, Linearization, Residuals};
pub use loss::{BceWithLogits, CrossEntropy, Labels, Loss, Mse, Reduction};
pub use map::ParamMap;
pub use op::{Batch, Effort, Io, Op};
pub use outer::{Order, Outer, OuterDims, Positions};
pub use plan::{SitePlan, StepPlan, StreamShape, SweepPlan};
pub use probe::{Probe, Root, RootColumns, Seed};
pub use scatter::ScatterJacobian;
pub use second::Second;
pub use site::{Share, Site, Use};
pub use sweep::Factor;
pub use tape::{Graph, ParamId, Tape, Var};
pub use vivit_tensor::AsAny;

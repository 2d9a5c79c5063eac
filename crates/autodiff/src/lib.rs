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
//!
//! How the crates fit together: [ARCHITECTURE.md]; formulas and symbols: [MATH.md].
//!
//! [ARCHITECTURE.md]: https://github.com/vivit-rs/vivit/blob/main/docs/ARCHITECTURE.md
//! [MATH.md]: https://github.com/vivit-rs/vivit/blob/main/docs/MATH.md

mod chain;
pub mod check;
mod device_cache;
mod error;
mod finite_check;
mod graph;
mod groups;
mod io;
mod kfra_site;
mod linearization;
pub mod loss;
mod map;
mod model;
mod one_hot;
mod op;
pub mod ops;
mod outer;
mod pending_checks;
mod plan;
mod probe;
mod residual;
mod scatter;
mod second;
mod site;
mod sweep;
mod tape;
mod travel;
mod var;

pub use error::{Error, ForeignError};
pub use finite_check::FiniteCheck;
pub use graph::Graph;
pub use io::{Batch, Effort, Io, Part};
pub use kfra_site::KfraSite;
pub use linearization::{Gradients, Linearization, Residuals};
pub use loss::{
    BceWithLogits, CrossEntropy, Labels, Loss, LossHessian, Mse, Reduction, RootColumns,
};
pub use map::ParamMap;
pub use model::{Dim, InputKind, InputSpec, Inputs, Model, OutputSpec, Param};
pub use op::Op;
pub use outer::{Order, Outer, OuterDims, Positions};
pub use pending_checks::PendingChecks;
pub use plan::{SitePlan, StepPlan, StreamShape, SweepPlan};
pub use probe::{Probe, Root, Seed};
pub use scatter::ScatterJacobian;
pub use second::Second;
pub use site::{Share, Site, Use};
pub use tape::Tape;
pub use travel::Factor;
pub use var::{ParamId, Var};
pub use vivit_tensor::AsAny;

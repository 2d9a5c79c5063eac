//! The extension system of [vivit](https://docs.rs/vivit): quantities that fall out of one reverse
//! sweep.
//!
//! An [`Extension`] declares what must travel backwards ([`Extension::probes`]), sees every
//! parameter once ([`Extension::visit`]), and hands over a typed result. Any set of them runs in
//! one sweep, and equal probes travel once:
//!
//! ```
//! use vivit_autodiff::{CrossEntropy, Graph, Tape};
//! use vivit_extend::{BatchGrad, DiagGgn, run};
//! use vivit_tensor::{Device, Tensor};
//!
//! let cpu = Device::cpu_f64();
//! let mut tape = Tape::new(&cpu);
//! let x = tape.input(Tensor::from_vec(&cpu, &[2, 3], vec![1.0, -2.0, 0.5, 0.3, 0.1, -1.0])?);
//! let w = tape.param(Tensor::from_vec(&cpu, &[2, 3], vec![0.1, 0.2, -0.3, 0.4, -0.5, 0.6])?);
//! let y = tape.linear(x, w, None);
//! let graph = Graph::new(tape, y)?;
//!
//! let loss = CrossEntropy::mean([0, 1]);
//! let (batch_grad, diag_ggn) = run(&graph, &loss, (BatchGrad::new(), DiagGgn::exact()))?;
//! let w = graph.param_id(w)?; // results are keyed by the parameter's number
//! assert_eq!(**batch_grad[w].shape(), [2, 2, 3]); // one gradient per sample
//! assert_eq!(**diag_ggn[w].shape(), [2, 3]);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! How the crates fit together: [ARCHITECTURE.md]; formulas and symbols: [MATH.md].
//!
//! [ARCHITECTURE.md]: https://github.com/vivit-rs/vivit/blob/main/docs/ARCHITECTURE.md
//! [MATH.md]: https://github.com/vivit-rs/vivit/blob/main/docs/MATH.md

mod batch_grad;
mod batch_l2_grad;
mod constructors;
mod diag_ggn;
mod diag_hessian;
mod error;
mod extension;
mod gradient;
mod jacobian;
mod kfac;
mod kfra;
mod kronecker;
mod no_loss;
mod on_site;
mod override_rule;
mod run;
mod sqrt_ggn;
mod squares;
mod sum_grad_squared;
mod variance;

pub use batch_grad::BatchGrad;
pub use batch_l2_grad::BatchL2Grad;
pub use diag_ggn::{BatchDiagGgn, DiagGgn};
pub use diag_hessian::{BatchDiagHessian, DiagHessian};
pub use error::Error;
pub use extension::Extension;
pub use gradient::Gradient;
pub use jacobian::Jacobian;
pub use kfac::Kfac;
pub use kfra::Kfra;
pub use kronecker::{DampedKronecker, Kronecker};
pub use on_site::OnSite;
pub use override_rule::Override;
pub use run::{ExtensionSet, Plan, run, run_for, run_with, run_without_loss};
pub use sqrt_ggn::SqrtGgn;
pub use sum_grad_squared::SumGradSquared;
pub use variance::Variance;

//! The extension system of [vivit](https://docs.rs/vivit): quantities that fall out of one reverse sweep.
//!
//! An [`Extension`] declares what must travel backwards ([`Extension::probes`]), sees every parameter once
//! ([`Extension::visit`]), and hands over a typed result. Any set of them runs in one sweep, and equal probes travel once:
//!
//! ```
//! use vivit_autodiff::{CrossEntropy, Graph, Tape};
//! use vivit_extend::{BatchGrad, DiagGgn, run};
//! use vivit_tensor::{Cpu, Tensor};
//!
//! let cpu = Cpu::<f64>::new();
//! let mut tape = Tape::new(&cpu);
//! let x = tape.input(Tensor::from_vec(&cpu, &[2, 3], vec![1.0, -2.0, 0.5, 0.3, 0.1, -1.0])?);
//! let w = tape.param(Tensor::from_vec(&cpu, &[2, 3], vec![0.1, 0.2, -0.3, 0.4, -0.5, 0.6])?);
//! let y = tape.linear(x, w, None);
//! let graph = Graph::new(tape, y)?;
//!
//! let loss = CrossEntropy::mean([0, 1]);
//! let (batch_grad, diag_ggn) = run(&graph, &loss, (BatchGrad::new(), DiagGgn::exact()))?;
//! assert_eq!(**batch_grad[w].shape(), [2, 2, 3]); // one gradient per sample
//! assert_eq!(**diag_ggn[w].shape(), [2, 3]);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod batch_grad;
mod diag_ggn;
mod extension;
mod gradient;
mod on_site;
mod run;
mod sqrt_ggn;

pub use batch_grad::BatchGrad;
pub use diag_ggn::DiagGgn;
pub use extension::{Error, Extension};
pub use gradient::Gradient;
pub use on_site::OnSite;
pub use run::{ExtensionSet, run, run_for};
pub use sqrt_ggn::SqrtGgn;

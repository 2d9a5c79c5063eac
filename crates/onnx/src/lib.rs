//! ONNX files as graph models of [vivit](https://docs.rs/vivit): a network that was trained
//! elsewhere, under its own parameter names.
//!
//! ```no_run
//! use vivit_onnx::Onnx;
//! use vivit_tensor::{Device, Tensor};
//!
//! let cpu = Device::cpu();
//! let file = Onnx::read("model.onnx")?;
//! file.warnings().iter().for_each(|warning| eprintln!("{warning}"));
//! let model = file.model(&cpu)?;
//! let graph = model.forward(&Tensor::zeros(&cpu, [8, 3, 32, 32]))?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Exporting
//!
//! From PyTorch, for one sample or with a free batch axis:
//!
//! ```python
//! torch.onnx.export(model.eval(), (x[:1],), "model.onnx", dynamo=True, optimize=False)
//! ```
//!
//! `optimize=False` keeps the weights as they are: with the default, the exporter folds batch norm
//! into convolutions (other parameters, so another curvature) and transposes weights (other names).
//! The older exporter's files (`dynamo=False`) are read as well; it folds and renames unless it is
//! called with `do_constant_folding=False, training=torch.onnx.TrainingMode.PRESERVE`. What of this
//! a file shows is told by [`Onnx::warnings`]; [`Onnx::names_from`] finds names again, those of
//! transposed and reshaped weights, of tied ones and of recurrent layers included. What an exporter
//! computed from parameters (the weight of weight norm) can't be found: then the file is another
//! network in its parameters.
//!
//! The network computes what it does in evaluation mode, when it is trained here, too: no dropout,
//! fixed statistics of batch norm.
//!
//! # Samples
//!
//! A [`GraphModel`](vivit_nn::GraphModel) describes one sample. A file for one sample serves any
//! number of them; so does one with a free batch axis. A file that was exported for a fixed batch
//! of another size is run with that size taken as 1, where no shape in it contains the size.
//!
//! # Operations
//!
//! Versions 13 to 28 of ONNX's operations; those of [`operations`].
//!
//! How the crates fit together: [ARCHITECTURE.md]; formulas and symbols: [MATH.md].
//!
//! [ARCHITECTURE.md]: https://github.com/vivit-rs/vivit/blob/main/docs/ARCHITECTURE.md
//! [MATH.md]: https://github.com/vivit-rs/vivit/blob/main/docs/MATH.md

mod arrays;
mod branches;
mod convert;
mod dictionary;
mod error;
mod file;
mod import;
mod inline;
mod interface;
mod names;
#[allow(missing_docs)] // the fields of the format, under its own names
mod proto;
mod recurrent_names;
mod structure;
mod table;
mod tensor;
mod warning;

pub use dictionary::NameMatch;
pub use error::{Error, Problem};
pub use file::Onnx;
pub use warning::Warning;

/// The smallest and the largest version of ONNX's operations that is read.
pub const OPSETS: (i64, i64) = (13, 28);

/// The operations of ONNX that are read, in the order of their names, each with its limits (empty
/// for none).
///
/// ```
/// let relu = vivit_onnx::operations().find(|(op, _)| *op == "Relu");
/// assert_eq!(relu, Some(("Relu", "")));
/// ```
pub fn operations() -> impl Iterator<Item = (&'static str, &'static str)> {
    table::rows().iter().map(|row| (row.op, row.limits))
}

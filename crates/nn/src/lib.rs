//! Layers, models, optimizers and reference networks for [vivit](https://docs.rs/vivit).
//!
//! A [`Layer`] describes an operation and its parameters; a [`Sequential`] owns the parameters of a
//! row of layers, under PyTorch's names, and records a forward pass as a
//! [`Graph`](vivit_autodiff::Graph). Shapes are checked for the whole model before any work.
//!
//! Shapes that documentation gives without further words are those of one *sample*; a batch has a
//! sample axis N in front. Axes are counted as PyTorch counts them: 0 is the sample axis, 1 the
//! first of a sample.
//!
//! Every layer is a struct with builder methods (`Conv2d::new(3, 8, 3).padded(1).boxed()`) and, for
//! the usual case, a function (`conv2d(3, 8, 3)`). Models come from layers in a row
//! ([`Sequential::new`]), layers in a graph ([`Wiring`], [`Sequential::wired`]), text
//! ([`description`]) or names ([`networks`]); their numbers from a seed or a file
//! ([`Weights::load`]). A [`GraphModel`] is a graph of nodes with several named inputs: what
//! importers of other programs' models produce, and what [`GraphModel::of`] makes of layers.
//!
//! How the crates fit together: [ARCHITECTURE.md]; formulas and symbols: [MATH.md].
//!
//! [ARCHITECTURE.md]: https://github.com/vivit-rs/vivit/blob/main/docs/ARCHITECTURE.md
//! [MATH.md]: https://github.com/vivit-rs/vivit/blob/main/docs/MATH.md

mod arrays;
pub mod description;
mod error;
mod graph;
mod init;
mod layer;
mod layer_list;
mod layers;
mod mini_batches;
pub mod networks;
pub mod optim;
mod safetensors_file;
mod sequential;
mod state;
#[cfg(test)]
mod test_folder;
mod weights;
mod whole_file;

pub use arrays::Arrays;
pub use error::{Error, ShapeError};
pub use graph::{
    Argument, GraphError, GraphModel, GraphParts, GraphProblem, LayerArrays, Literal, NamedArray,
    Node, NodeWriter, Operation, operations,
};
pub use init::Init;
pub use layer::{Layer, LayerState, Mode, ParamSpec, Recorder};
pub use layers::*;
pub use mini_batches::{Epoch, MiniBatches, Targets};
pub use optim::{Adam, AdamOptions, AdamW, Optimizer, OptimizerState, Sgd, SgdOptions};
pub use sequential::Sequential;
pub use state::{StateProblem, Unmatched};
pub use vivit_autodiff::Param;
pub use weights::Weights;

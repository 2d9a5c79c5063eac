//! Layers, models, optimizers and reference networks for [vivit](https://docs.rs/vivit).
//!
//! A [`Layer`] describes an operation and its parameters; a [`Sequential`] owns the parameters of a
//! row of layers, under PyTorch's names, and records a forward pass as a
//! [`Graph`](vivit_autodiff::Graph). Shapes are checked for the whole model before any work.
//!
//! How the crates fit together: [ARCHITECTURE.md]; formulas and symbols: [MATH.md].
//!
//! [ARCHITECTURE.md]: https://github.com/vivit-rs/vivit/blob/main/docs/ARCHITECTURE.md
//! [MATH.md]: https://github.com/vivit-rs/vivit/blob/main/docs/MATH.md

mod arrays;
pub mod description;
mod error;
mod error_debug;
mod init;
mod layer;
mod layer_list;
mod layers;
pub mod networks;
pub mod optim;
mod sequential;
mod state;

pub use arrays::Arrays;
pub use error::{Error, ShapeError};
pub use init::Init;
pub use layer::{Layer, LayerState, Mode, ParamSpec, Recorder};
pub use layers::*;
pub use optim::{Adam, AdamOptions, AdamW, Optimizer, Sgd, SgdOptions};
pub use sequential::{Param, Sequential};
pub use state::{StateProblem, Unmatched};

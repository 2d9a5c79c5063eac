//! What most programs need: `use vivit::prelude::*;`
//!
//! At most 40 names. Layers are in the module [`nn`], quantities of the extension system in
//! [`extend`]: `nn::linear(64, 10)`, `extend::run(&graph, &loss, (BatchGrad::new(),))`. Operations
//! of the tape, which share names with layers, are in [`autodiff::ops`](crate::autodiff::ops).

pub use vivit_autodiff::{
    BceWithLogits, CrossEntropy, Graph, Labels, Loss, Mse, ParamId, ParamMap, Tape, Var,
};
pub use vivit_curvature::{
    CurvatureProduct, DirectionalDerivatives, Ggn, GramSpace, LanczosOptions, LinearOperator,
    NewtonStep, above, constant, lanczos, nonzero, top_k,
};
pub use vivit_extend::{self as extend, BatchGrad, DiagGgn, Kfac, Variance};
pub use vivit_nn::{self as nn, Adam, Layer, MiniBatches, Optimizer, Sequential, Sgd};
#[cfg(feature = "opencl")]
pub use vivit_opencl::OpenClDevice;
pub use vivit_tensor::{DType, Device, Matrix, Rng, Tensor};

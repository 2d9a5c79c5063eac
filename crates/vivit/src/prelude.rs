//! What a program usually needs: `use vivit::prelude::*;`

pub use vivit_autodiff::ops::{ConvOptions, PoolOptions};
pub use vivit_autodiff::{
    Batch, BceWithLogits, CrossEntropy, Graph, Io, Loss, Mse, Op, Outer, ParamMap, Probe, Reduction, Root, RootColumns, Seed,
    Site, Tape, Var,
};
pub use vivit_curvature::{
    DirectionalDerivatives, Eigenpairs, Ggn, Group, NewtonStep, Progress, above, constant, nonzero, top_k, top_k_nonzero,
};
pub use vivit_extend::{BatchGrad, DiagGgn, Extension, Gradient, OnSite, SqrtGgn, run, run_for};
pub use vivit_nn::{
    AvgPool2d, Conv2d, Init, Layer, MaxPool2d, ParamSpec, Sequential, Sgd, avg_pool2d, conv2d, flatten, linear, max_pool2d,
    networks, relu, residual, shared, sigmoid, tanh, zero_pad2d,
};
#[cfg(feature = "opencl")]
pub use vivit_opencl::OpenCl;
pub use vivit_tensor::{Backend, Binary, Cpu, Matrix, Reduce, Rng, Scalar, Shape, Tensor, Unary};

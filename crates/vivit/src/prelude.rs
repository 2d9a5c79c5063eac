//! What a program usually needs: `use vivit::prelude::*;`

pub use crate::optim::{DampedNewton, Descent};
pub use vivit_autodiff::ops::{ConvOptions, PoolOptions};
pub use vivit_autodiff::{
    Batch, BceWithLogits, CrossEntropy, FiniteCheck, Graph, Io, Loss, Mse, Op, Outer, ParamMap,
    Probe, Reduction, Root, RootColumns, Second, Seed, Share, Site, Tape, Var,
};
pub use vivit_curvature::{
    Contraction, ContractionOrder, CurvatureOperator, DensityOptions, DirectionalDerivatives,
    Eigenpairs, Ggn, GradientGram, GramReport, Group, LanczosOptions, LanczosQuadrature,
    LinearOperator, LogDensityOptions, NewtonStep, Ntk, Plan, Positive, PowerIterationOptions,
    Product, Progress, QuadratureOptions, Slices, SpectrumEnd, TraceOptions, above, constant,
    hutch_plus_plus, hutchinson_diagonal, hutchinson_trace, lanczos, nonzero, power_iteration,
    top_k, top_k_nonzero,
};
pub use vivit_extend::{
    BatchDiagGgn, BatchDiagHessian, BatchGrad, BatchL2Grad, DiagGgn, DiagHessian, Extension,
    Gradient, Jacobian, Kfac, Kfra, Kronecker, OnSite, Override, SqrtGgn, SumGradSquared, Variance,
    run, run_for, run_with,
};
pub use vivit_nn::{
    Activation, Adam, AdamOptions, AdamW, AdaptiveAvgPool, AvgPool, BatchNorm, Branches, Conv1d,
    Conv2d, Conv3d, ConvTranspose1d, ConvTranspose2d, ConvTranspose3d, Dropout, Embedding,
    GroupNorm, Init, Join, Layer, LayerNorm, Linear, MaxPool, Mode, Optimizer, Own, ParamSpec,
    Recorder, Recurrent, Residual, RmsNorm, SelfAttention, Sequential, Sgd, SgdOptions, Wire,
    Wiring, ZeroPad, adaptive_avg_pool, avg_pool1d, avg_pool2d, avg_pool3d, batch_norm, branches,
    conv1d, conv2d, conv3d, dropout, elu, embedding, flatten, gelu, gelu_tanh, group_norm,
    hard_tanh, layer_norm, leaky_relu, linear, log_sigmoid, log_softmax, lstm, max_pool1d,
    max_pool2d, max_pool3d, mean_over, networks, permute, positional_embedding, relu, residual,
    rms_norm, rnn, self_attention, selu, shared, sigmoid, silu, softmax, softplus, sum_over, tanh,
    zero_pad, zero_pad2d,
};
#[cfg(feature = "opencl")]
pub use vivit_opencl::OpenCl;
pub use vivit_tensor::{Device, Binary, Device, Matrix, Reduce, Rng, Scalar, Shape, Tensor, Unary};

//! Everything may be moved to another thread and shared with it: a list that compiles.

use vivit::autodiff::{self, check, ops};
use vivit::curvature::{self, LinearOperator};
use vivit::extend::{self, Extension};
use vivit::nn::{self, Layer, Optimizer, description, networks};
use vivit::optim::{DampedNewton, Descent};
use vivit::{eigh, tensor};

fn shared<T: Send + Sync + ?Sized>() {}

macro_rules! shared {
    ($($type:ty),+ $(,)?) => { $(shared::<$type>();)+ };
}

#[test]
fn arrays_and_devices() {
    shared! {
        tensor::Tensor, tensor::Device, tensor::Shape, tensor::Rng, tensor::DType, tensor::HostVec,
        tensor::Matrix<f32>, tensor::Matrix<f64>, tensor::Buffer, tensor::Index, tensor::Gemm,
        tensor::Window, tensor::ConvDims, tensor::ConvWeights, tensor::PositionPairs,
        tensor::Unary, tensor::Binary, tensor::Reduce, tensor::NonFiniteSearch,
        tensor::Cpu<f32>, tensor::Cpu<f64>, dyn tensor::Backend, dyn tensor::PendingSearch,
        eigh::Reduction<f32>, eigh::Reduction<f64>, eigh::Eigen<f32>, eigh::Eigen<f64>,
        eigh::EighOptions, vivit::DeviceChoice,
    }
    #[cfg(feature = "opencl")]
    shared! {
        vivit::opencl::DeviceInfo, vivit::opencl::Selector, vivit::opencl::Transfers,
        vivit::opencl::Kernels, vivit::opencl::Kind, vivit::opencl::Error,
    }
}

#[test]
fn graphs_and_sweeps() {
    shared! {
        autodiff::Tape, autodiff::Graph, autodiff::Var, autodiff::ParamId,
        autodiff::ParamMap<tensor::Tensor>, autodiff::PendingChecks<'static>,
        autodiff::FiniteCheck, autodiff::Probe, autodiff::Seed, autodiff::Root,
        autodiff::Linearization<'static>, autodiff::Gradients, autodiff::Residuals,
        autodiff::Outer, autodiff::OuterDims, autodiff::ScatterJacobian, autodiff::Factor,
        autodiff::Site<'static>, autodiff::Share<'static, 'static>, autodiff::Use<'static>,
        autodiff::KfraSite<'static>, autodiff::SweepPlan, autodiff::SitePlan, autodiff::StepPlan,
        check::Check,
    }
}

#[test]
fn operations_and_losses() {
    shared! {
        dyn autodiff::Op, ops::Arithmetic, ops::BatchNormalize, ops::Broadcast, ops::Concat,
        ops::CumSum, ops::Gather, ops::Resample, ops::ResizeOptions, ops::Scatter, ops::Slice,
        ops::Conv, ops::ConvTranspose, ops::Embedding, ops::IndexSelect, ops::Linear, ops::Map,
        ops::MatMul, ops::Normalize, ops::ZeroPad, ops::Permute, ops::AvgPool, ops::MaxPool,
        ops::Reshape, ops::Softmax, ops::Sum, ops::ConvOptions, ops::PoolOptions,
        ops::AttentionParams, ops::AttentionOptions, ops::RecurrentParams, ops::RecurrentOptions,
        ops::RecurrentStates, ops::Cell, ops::MaskedSoftmax, ops::LocalResponseOptions,
        dyn autodiff::Loss, autodiff::Mse, autodiff::CrossEntropy, autodiff::BceWithLogits,
        autodiff::Labels, autodiff::Reduction, autodiff::RootColumns,
    }
}

#[test]
fn models_and_layers() {
    shared! {
        nn::Sequential, nn::Param, nn::ParamSpec, nn::Arrays, nn::Wiring, nn::Wire,
        nn::Recorder<'static>, nn::LayerState<'static>, nn::Unmatched, networks::Network,
        description::Value, description::Options<'static>,
        dyn Layer, nn::Activation, nn::Permute, nn::AxisMap, nn::Select, nn::Flip, nn::Branches,
        nn::Conv1d, nn::Conv2d, nn::Conv3d, nn::ConvTranspose1d, nn::ConvTranspose2d,
        nn::ConvTranspose3d, nn::Dropout, nn::Linear, nn::BatchNorm, nn::GroupNorm, nn::LayerNorm,
        nn::RmsNorm, nn::MaxPool1d, nn::MaxPool2d, nn::MaxPool3d, nn::AvgPool1d, nn::AvgPool2d,
        nn::AvgPool3d, nn::AdaptiveAvgPool1d, nn::AdaptiveAvgPool2d, nn::AdaptiveAvgPool3d,
        nn::Recurrent, nn::Residual, nn::Shared, nn::Embedding, nn::PositionalEmbedding,
        nn::SelfAttention, nn::MultiheadAttention, nn::TransformerEncoderLayer, nn::InstanceNorm,
        nn::LocalResponseNorm, nn::Bilinear, nn::Cell, nn::Flatten, nn::ZeroPad,
    }
}

#[test]
fn optimizers() {
    shared! {
        nn::Sgd, nn::Adam, nn::AdamW, nn::SgdOptions, nn::AdamOptions, DampedNewton,
        Box<dyn Descent>,
    }
    fn optimizer<T: Optimizer + Send + Sync>() {}
    optimizer::<nn::Sgd>();
    optimizer::<nn::Adam>();
    optimizer::<nn::AdamW>();
}

#[test]
fn extensions() {
    fn extension<T: Extension + Send + Sync>()
    where
        T::Value: Send + Sync,
        T::Out: Send + Sync,
    {
    }
    macro_rules! extensions {
        ($($type:ident)+) => { $(extension::<extend::$type>();)+ };
    }
    extensions! {
        BatchDiagGgn BatchDiagHessian BatchGrad BatchL2Grad DiagGgn DiagHessian Gradient Jacobian
        Kfac Kfra SqrtGgn SumGradSquared Variance
    }
    shared! { extend::Kronecker, extend::DampedKronecker, extend::Plan }
}

#[test]
fn curvature() {
    shared! {
        curvature::Ggn<'static>, curvature::GgnBlocks<'static>, curvature::GramSpace,
        curvature::DirectionalDerivatives, curvature::Eigenpairs, curvature::NewtonStep,
        curvature::Plan, curvature::Progress, curvature::Slices, curvature::Contraction,
        curvature::ContractionCost, curvature::ContractionDims, curvature::ContractionOrder,
        curvature::GramReport, curvature::GramRow, curvature::GradientGram<'static>,
        curvature::Ntk<'static>, curvature::CurvatureProduct<'static>,
        curvature::CurvatureOperator<'static>, curvature::LeadingEigenpairs,
        curvature::LanczosOptions, curvature::PowerIterationOptions, curvature::TraceOptions,
        curvature::QuadratureOptions, curvature::DensityOptions, curvature::LogDensityOptions,
        curvature::LanczosQuadrature, curvature::SpectralDensity, curvature::Estimate,
        curvature::DiagonalEstimate, dyn LinearOperator,
    }
}

#[test]
fn errors() {
    fn error<T: std::error::Error + Send + Sync + 'static>() {}
    macro_rules! errors {
        ($($type:ty),+ $(,)?) => { $(error::<$type>();)+ };
    }
    errors! {
        tensor::Error, tensor::WindowError, tensor::ParseDTypeError, eigh::Error, autodiff::Error,
        extend::Error, curvature::Error, nn::Error, nn::ShapeError, description::DescriptionError,
        vivit::Error, vivit::UnknownDevice,
    }
    shared! { nn::StateProblem, description::DescriptionProblem }
}

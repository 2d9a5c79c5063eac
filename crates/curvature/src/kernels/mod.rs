//! Kernels between samples: tangent kernels and Gram matrices of gradients.

mod gradient_gram;
mod ntk;

pub use gradient_gram::GradientGram;
pub use ntk::Ntk;

//! The operations: one file each, all derivatives together. [`Tape`](crate::Tape) has a method for
//! each.

mod adaptive_pool;
mod arithmetic;
mod attention;
mod batch_norm;
mod concat;
mod conv;
mod conv_transpose;
mod embedding;
mod index_select;
mod linear;
mod map;
mod matmul;
mod normal;
mod normalize;
mod pad;
mod permute;
mod pool;
mod recurrent;
mod reshape;
mod softmax;
mod sum;

pub use adaptive_pool::AdaptiveAvgPool;
pub use arithmetic::Arithmetic;
pub use attention::AttentionParams;
pub use batch_norm::BatchNormalize;
pub use concat::Concat;
pub use conv::{Conv, ConvOptions};
pub use conv_transpose::ConvTranspose;
pub use embedding::Embedding;
pub use index_select::IndexSelect;
pub use linear::Linear;
pub use map::Map;
pub use matmul::MatMul;
pub use normalize::Normalize;
pub use pad::ZeroPad;
pub use permute::Permute;
pub use pool::{AvgPool, MaxPool, PoolOptions};
pub use recurrent::RecurrentParams;
pub use reshape::Reshape;
pub use softmax::Softmax;
pub use sum::Sum;

//! The layers. Each comes as a struct with options and as a function for the usual case.

mod activation;
mod axes;
mod branches;
mod conv;
mod dropout;
mod linear;
mod norm;
mod pool;
mod residual;
mod sequence;
mod shape;
mod wired;

pub use activation::{
    Activation, elu, gelu, gelu_tanh, hard_tanh, leaky_relu, log_sigmoid, relu, selu, sigmoid,
    silu, softplus, tanh,
};
pub use axes::{Along, AxisMap, Permute, log_softmax, mean_over, permute, softmax, sum_over};
pub use branches::{Branches, Join, branches};
pub use conv::{
    Conv, Conv1d, Conv2d, Conv3d, ConvTranspose, ConvTranspose1d, ConvTranspose2d, ConvTranspose3d,
    conv1d, conv2d, conv3d,
};
pub use dropout::{Dropout, dropout};
pub use linear::{Linear, linear};
pub use norm::{
    BatchNorm, GroupNorm, LayerNorm, RmsNorm, batch_norm, group_norm, layer_norm, rms_norm,
};
pub use pool::{
    AdaptiveAvgPool, AvgPool, MaxPool, adaptive_avg_pool, avg_pool1d, avg_pool2d, avg_pool3d,
    max_pool1d, max_pool2d, max_pool3d,
};
pub use residual::{Residual, Shared, residual, shared};
pub use sequence::{
    Cell, Embedding, PositionalEmbedding, Recurrent, SelfAttention, embedding, lstm,
    positional_embedding, rnn, self_attention,
};
pub use shape::{Flatten, ZeroPad, flatten, zero_pad, zero_pad2d};
pub use wired::{Wire, Wiring};

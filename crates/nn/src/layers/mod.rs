//! The layers. Each comes as a struct with options and as a function for the usual case.

mod activation;
mod attention;
mod axes;
mod bilinear;
mod branches;
mod conv;
mod dropout;
mod instance_norm;
mod linear;
mod local_response_norm;
mod norm;
mod p_relu;
mod per_axis;
mod pool;
mod recurrent;
mod residual;
mod sequence;
mod shape;
#[cfg(test)]
mod tests;
mod transformer;
pub(crate) mod wired;

pub use activation::{
    Activation, celu, elu, gelu, gelu_tanh, hard_sigmoid, hard_swish, hard_tanh, leaky_relu,
    log_sigmoid, mish, relu, relu6, selu, sigmoid, silu, softplus, softsign, tanh,
};
pub use attention::{MultiheadAttention, SelfAttention, multihead_attention, self_attention};
pub use axes::{
    Along, AxisMap, Flip, Permute, Select, flip, glu, log_softmax, mean_over, permute, select,
    softmax, sum_over,
};
pub use bilinear::{Bilinear, bilinear};
pub use branches::{Branches, Join, branches};
pub use conv::{
    Conv, Conv1d, Conv2d, Conv3d, ConvTranspose, ConvTranspose1d, ConvTranspose2d, ConvTranspose3d,
    conv1d, conv2d, conv3d,
};
pub use dropout::{Dropout, dropout};
pub use instance_norm::{InstanceNorm, instance_norm};
pub use linear::{Linear, linear};
pub use local_response_norm::{LocalResponseNorm, local_response_norm};
pub use norm::{
    BatchNorm, GroupNorm, LayerNorm, RmsNorm, batch_norm, group_norm, layer_norm, rms_norm,
};
pub use p_relu::{PRelu, p_relu};
pub use per_axis::PerAxis;
pub use pool::{
    AdaptiveAvgPool, AdaptiveAvgPool1d, AdaptiveAvgPool2d, AdaptiveAvgPool3d, AvgPool, AvgPool1d,
    AvgPool2d, AvgPool3d, MaxPool, MaxPool1d, MaxPool2d, MaxPool3d, adaptive_avg_pool1d,
    adaptive_avg_pool2d, adaptive_avg_pool3d, avg_pool1d, avg_pool2d, avg_pool3d, max_pool1d,
    max_pool2d, max_pool3d,
};
pub use recurrent::{Cell, Recurrent, gru, lstm, rnn};
pub use residual::{Residual, Shared, residual, shared};
pub use sequence::{Embedding, PositionalEmbedding, embedding, positional_embedding};
pub use shape::{Flatten, ZeroPad, flatten, zero_pad, zero_pad2d};
pub use transformer::{TransformerEncoderLayer, transformer_encoder_layer};
pub use wired::{Wire, Wiring};

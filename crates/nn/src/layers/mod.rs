//! The layers. Each comes as a struct with options and as a function for the usual case.

mod activation;
mod conv;
mod linear;
mod pool;
mod residual;
mod shape;

pub use activation::{Activation, relu, sigmoid, tanh};
pub use conv::{Conv2d, conv2d};
pub use linear::{Linear, linear};
pub use pool::{AvgPool2d, MaxPool2d, avg_pool2d, max_pool2d};
pub use residual::{Residual, Shared, residual, shared};
pub use shape::{Flatten, ZeroPad2d, flatten, zero_pad2d};

//! The operations: one file each, all derivatives together. [`Tape`](crate::Tape) has a method for each.

mod add;
mod conv;
mod linear;
mod map;
mod pad;
mod pool;
mod reshape;

pub use add::Add;
pub use conv::{Conv, ConvOptions};
pub use linear::Linear;
pub use map::Map;
pub use pad::ZeroPad;
pub use pool::{AvgPool, MaxPool, PoolOptions};
pub use reshape::Reshape;

//! Dense arrays for [vivit](https://docs.rs/vivit) on a [`Device`], which has a precision
//! ([`DType`]): the CPU, or whatever implements the [`Backend`] trait.
//!
//! An array ([`Tensor`]) is a shape and a flat row-major buffer on a device. Reshaping and slicing
//! along the first axis are free; everything else is a primitive of the device's backend. Wrong
//! shapes panic, so that formulas stay formulas; what data can cause is an [`Error`].
//!
//! How the crates fit together: [ARCHITECTURE.md]; formulas and symbols: [MATH.md].
//!
//! [ARCHITECTURE.md]: https://github.com/vivit-rs/vivit/blob/main/docs/ARCHITECTURE.md
//! [MATH.md]: https://github.com/vivit-rs/vivit/blob/main/docs/MATH.md

mod any;
mod backend;
mod buffer;
mod conv;
mod cpu;
mod device;
mod dtype;
mod elementwise;
mod error;
mod exponential;
mod gemm;
mod half;
mod matrix;
mod options;
mod pairs;
mod picks;
mod rng;
mod scalar;
mod shape;
mod tensor;
mod window;

pub use any::AsAny;
pub use backend::{Backend, NonFiniteSearch, PendingSearch};
pub use buffer::{Buffer, Index};
pub use conv::{ConvDims, ConvWeights};
pub use cpu::{Cpu, gemm};
pub use device::Device;
pub use dtype::{DType, ParseDTypeError};
pub use elementwise::{Binary, Reduce, Row, RowVisitor, Unary};
pub use error::Error;
pub use gemm::{BatchAxis, Gemm, Strides};
pub use half::{f32_of_bf16, f32_of_f16};
pub use matrix::Matrix;
pub use pairs::PositionPairs;
pub use picks::AxisPicks;
pub use rng::{ParseRngError, Rng};
pub use scalar::{HostVec, Scalar};
pub use shape::Shape;
pub use tensor::Tensor;
pub use window::{Window, WindowError};

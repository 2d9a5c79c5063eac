//! See a network's curvature: the eigenvalues and eigenvectors of its generalized Gauss-Newton
//! matrix (GGN), and how every sample's loss slopes and bends along them.
#![doc = include_str!("front.md")]

pub use vivit_autodiff as autodiff;
pub use vivit_curvature as curvature;
pub use vivit_eigh as eigh;
pub use vivit_extend as extend;
pub use vivit_nn as nn;
#[cfg(feature = "onnx")]
pub use vivit_onnx as onnx;
#[cfg(feature = "opencl")]
pub use vivit_opencl as opencl;
pub use vivit_tensor as tensor;

mod choice;
mod error;
#[doc = include_str!("guide.md")]
pub mod guide {}
pub mod optim;
pub mod prelude;

pub use choice::DeviceChoice;
pub use error::{Error, UnknownDevice};

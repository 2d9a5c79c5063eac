//! One error for a whole program.

use std::fmt;

/// Any error of the library.
///
/// `Debug` prints the message, so that a `main` that returns it tells what happened in words.
#[derive(thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Arrays and devices.
    #[error(transparent)]
    Tensor(#[from] vivit_tensor::Error),
    /// The eigensolver.
    #[error(transparent)]
    Eigh(#[from] vivit_eigh::Error),
    /// Recording and sweeping.
    #[error(transparent)]
    Autodiff(#[from] vivit_autodiff::Error),
    /// Extensions.
    #[error(transparent)]
    Extend(#[from] vivit_extend::Error),
    /// Curvature.
    #[error(transparent)]
    Curvature(#[from] vivit_curvature::Error),
    /// Models.
    #[error(transparent)]
    Nn(#[from] vivit_nn::Error),
    /// Opening an OpenCL device.
    #[cfg(feature = "opencl")]
    #[error(transparent)]
    OpenCl(#[from] vivit_opencl::Error),
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

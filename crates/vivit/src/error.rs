//! One error for a whole program.

use std::fmt;

/// Any error of the library, or of reading and writing files beside it.
///
/// `Debug` prints the message, so that a `main` that returns it tells what happened in words.
///
/// An error keeps the path by which it came: [`tensor`](Error::tensor) and
/// [`autodiff`](Error::autodiff) find what failed below, whichever crates it came through.
///
/// ```
/// use vivit::tensor;
///
/// fn is_out_of_memory(error: &vivit::Error) -> bool {
///     matches!(error.tensor(), Some(tensor::Error::Memory { .. }))
/// }
/// ```
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
    /// ONNX files.
    #[cfg(feature = "onnx")]
    #[error(transparent)]
    Onnx(#[from] vivit_onnx::Error),
    /// Opening an OpenCL device.
    #[cfg(feature = "opencl")]
    #[error(transparent)]
    OpenCl(#[from] vivit_opencl::Error),
    /// Choosing a device by name.
    #[error(transparent)]
    UnknownDevice(#[from] UnknownDevice),
    /// Reading or writing a file.
    #[error(transparent)]
    Io(#[from] std::io::Error),
}

impl Error {
    /// What failed while recording or sweeping, if that is what failed.
    pub fn autodiff(&self) -> Option<&vivit_autodiff::Error> {
        match self {
            Error::Autodiff(error)
            | Error::Extend(vivit_extend::Error::Autodiff(error))
            | Error::Curvature(vivit_curvature::Error::Autodiff(error))
            | Error::Nn(vivit_nn::Error::Autodiff(error)) => Some(error),
            #[cfg(feature = "onnx")]
            Error::Onnx(vivit_onnx::Error::Model(error)) => match &**error {
                vivit_nn::Error::Autodiff(error) => Some(error),
                _ => None,
            },
            _ => None,
        }
    }

    /// What failed of an array or a device, if that is what failed: memory, a lost device.
    pub fn tensor(&self) -> Option<&vivit_tensor::Error> {
        match (self, self.autodiff()) {
            (Error::Tensor(error), _) | (_, Some(vivit_autodiff::Error::Tensor(error))) => {
                Some(error)
            }
            _ => None,
        }
    }

    /// Returns `true` if memory ran out: a device refused it, or a computation does not fit its
    /// memory budget. Fewer samples, Monte-Carlo columns or a larger budget are the ways out.
    pub fn is_out_of_memory(&self) -> bool {
        matches!(self.tensor(), Some(vivit_tensor::Error::Memory { .. }))
            || matches!(self, Error::Curvature(vivit_curvature::Error::Memory { .. }))
    }
}

vivit_tensor::debug_as_display!(Error, UnknownDevice);

/// A text that names no device.
#[derive(Clone, PartialEq, Eq)]
pub struct UnknownDevice(pub(crate) String);

impl fmt::Display for UnknownDevice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "there is no device {:?}; choose cpu or opencl[:DEVICE]", self.0)?;
        let missing = cfg!(not(feature = "opencl")) && self.0.starts_with("opencl");
        if missing {
            f.write_str(" (the latter needs a build with `--features opencl`)")
        } else {
            Ok(())
        }
    }
}

impl std::error::Error for UnknownDevice {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_failed_is_found_whatever_it_came_through() {
        let lost = || vivit_tensor::Error::DeviceLost { device: "D".into(), reason: "gone".into() };
        let autodiff = || vivit_autodiff::Error::Tensor(lost());
        for error in [
            Error::from(lost()),
            Error::from(autodiff()),
            Error::from(vivit_extend::Error::from(autodiff())),
            Error::from(vivit_curvature::Error::from(autodiff())),
            Error::from(vivit_nn::Error::from(autodiff())),
        ] {
            assert_eq!(error.tensor(), Some(&lost()), "{error}");
            assert_eq!(format!("{error:?}"), error.to_string());
        }
        assert!(Error::from(vivit_autodiff::Error::NoDraws).tensor().is_none());
    }
}

//! A backend that a program's user chooses.

use std::fmt;
use std::str::FromStr;

use vivit_tensor::{Device, Device, Scalar};

use crate::Error;

/// A backend by name, as on a command line: `cpu`, or `opencl[:DEVICE]` with a device's index, type
/// or part of its name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum BackendChoice {
    /// The host.
    #[default]
    Cpu,
    /// An OpenCL device.
    #[cfg(feature = "opencl")]
    OpenCl(vivit_opencl::Selector),
}

/// A computation for any backend.
pub trait OnBackend {
    /// What it returns.
    type Out;
    /// Computes.
    fn run(self, device: &Device) -> Self::Out;
}

impl BackendChoice {
    /// Opens the backend for an element type and computes on it.
    ///
    /// # Errors
    /// If it can't be opened.
    pub fn run<E: Scalar, C: OnBackend>(&self, computation: C) -> Result<C::Out, Error> {
        match self {
            BackendChoice::Cpu => Ok(computation.run(&Cpu::<E>::new())),
            #[cfg(feature = "opencl")]
            BackendChoice::OpenCl(selector) => {
                Ok(computation.run(&vivit_opencl::OpenCl::<E>::new(selector.clone())?))
            }
        }
    }
}

/// A backend's name that is none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnknownBackend(String);

impl fmt::Display for UnknownBackend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "there is no backend {:?}; choose cpu or opencl[:DEVICE]", self.0)?;
        let missing = cfg!(not(feature = "opencl")) && self.0.starts_with("opencl");
        if missing {
            f.write_str(" (the latter needs a build with `--features opencl`)")
        } else {
            Ok(())
        }
    }
}

impl std::error::Error for UnknownBackend {}

impl FromStr for BackendChoice {
    type Err = UnknownBackend;
    fn from_str(text: &str) -> Result<Self, UnknownBackend> {
        match text.split_once(':').unwrap_or((text, "")) {
            ("cpu", "") => Ok(BackendChoice::Cpu),
            #[cfg(feature = "opencl")]
            ("opencl", device) => Ok(BackendChoice::OpenCl(device.into())),
            _ => Err(UnknownBackend(text.into())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn backends_are_named() {
        assert_eq!("cpu".parse(), Ok(BackendChoice::Cpu));
        for wrong in ["", "gpu", "cpu:1", "openclx"] {
            let message = wrong.parse::<BackendChoice>().unwrap_err().to_string();
            assert!(message.contains("cpu or opencl"), "{message}");
        }
    }

    #[cfg(feature = "opencl")]
    #[test]
    fn devices_are_named() {
        use vivit_opencl::Selector;
        let chosen = |text: &str| match text.parse() {
            Ok(BackendChoice::OpenCl(selector)) => selector,
            other => panic!("{text}: {other:?}"),
        };
        assert_eq!(chosen("opencl"), Selector::Default);
        assert_eq!(chosen("opencl:1"), Selector::Index(1));
        assert_eq!(chosen("opencl:Some: device"), Selector::Name("Some: device".into()));
    }

    #[cfg(not(feature = "opencl"))]
    #[test]
    fn a_build_without_opencl_says_so() {
        let message = "opencl:0".parse::<BackendChoice>().unwrap_err().to_string();
        assert!(message.contains("--features opencl"), "{message}");
    }
}

//! A device that a program's user chooses.

use std::str::FromStr;

use vivit_tensor::{DType, Device};

use crate::{Error, UnknownDevice};

/// A device by name, as on a command line: `cpu`, or `opencl[:DEVICE]` with a device's index, type
/// or part of its name.
///
/// ```
/// use vivit::DeviceChoice;
/// use vivit::tensor::DType;
///
/// let device = "cpu".parse::<DeviceChoice>()?.open(DType::F64)?;
/// assert_eq!(device.dtype(), DType::F64);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum DeviceChoice {
    /// The host.
    #[default]
    Cpu,
    /// An OpenCL device.
    #[cfg(feature = "opencl")]
    OpenCl(vivit_opencl::Selector),
}

impl DeviceChoice {
    /// Opens the device.
    ///
    /// # Errors
    /// If it can't be opened, or does not compute in this precision.
    pub fn open(&self, dtype: DType) -> Result<Device, Error> {
        let device = match self {
            DeviceChoice::Cpu => Device::cpu(),
            #[cfg(feature = "opencl")]
            DeviceChoice::OpenCl(selector) => {
                <Device as vivit_opencl::OpenClDevice>::opencl(selector.clone())?
            }
        };
        Ok(device.with_dtype(dtype)?)
    }
}

impl FromStr for DeviceChoice {
    type Err = UnknownDevice;
    fn from_str(text: &str) -> Result<Self, UnknownDevice> {
        match text.split_once(':').unwrap_or((text, "")) {
            ("cpu", "") => Ok(DeviceChoice::Cpu),
            #[cfg(feature = "opencl")]
            ("opencl", device) => Ok(DeviceChoice::OpenCl(device.into())),
            _ => Err(UnknownDevice(text.into())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn devices_are_chosen_by_name() {
        assert_eq!("cpu".parse(), Ok(DeviceChoice::Cpu));
        for wrong in ["", "gpu", "cpu:1", "openclx"] {
            let message = wrong.parse::<DeviceChoice>().unwrap_err().to_string();
            assert!(message.contains("cpu or opencl"), "{message}");
        }
    }

    #[cfg(feature = "opencl")]
    #[test]
    fn opencl_devices_are_chosen_by_selector() {
        use vivit_opencl::Selector;
        let chosen = |text: &str| match text.parse() {
            Ok(DeviceChoice::OpenCl(selector)) => selector,
            other => panic!("{text}: {other:?}"),
        };
        assert_eq!(chosen("opencl"), Selector::Default);
        assert_eq!(chosen("opencl:1"), Selector::Index(1));
        assert_eq!(chosen("opencl:Some: device"), Selector::Name("Some: device".into()));
    }

    #[cfg(not(feature = "opencl"))]
    #[test]
    fn a_build_without_opencl_says_so() {
        let message = "opencl:0".parse::<DeviceChoice>().unwrap_err().to_string();
        assert!(message.contains("--features opencl"), "{message}");
    }
}

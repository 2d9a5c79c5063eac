//! Without the feature `device`: an error for every request for a device, and no device that would
//! be one of OpenCL's.

use vivit_tensor::{Device, Error as TensorError};

use crate::error::Error;
use crate::info::{DeviceInfo, Kernels, Transfers};
use crate::select::Selector;

/// The devices of all platforms.
///
/// # Errors
/// Always: this build has no OpenCL in it.
pub fn devices() -> Result<Vec<DeviceInfo>, Error> {
    Err(absent())
}

fn absent() -> Error {
    Error::NoLibrary { reason: "this program was built without the feature `opencl`".into() }
}

pub(crate) fn open(_selector: &Selector) -> Result<Device, Error> {
    Err(absent())
}

pub(crate) fn info(_device: &Device) -> Option<&DeviceInfo> {
    None
}

pub(crate) fn transfers(_device: &Device) -> Option<Transfers> {
    None
}

pub(crate) fn finish(_device: &Device) -> Result<(), TensorError> {
    Ok(())
}

pub(crate) fn with_kernels(_device: &Device, _kernels: Kernels) -> Option<Device> {
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::OpenClDevice;

    #[test]
    fn a_build_without_devices_says_so() {
        let refused = [devices().map(drop), Device::opencl("gpu").map(drop)];
        for error in refused {
            let message = error.expect_err("no OpenCL").to_string();
            assert!(message.contains("feature `opencl`"), "{message}");
        }
        let cpu = Device::cpu();
        assert!(cpu.opencl_info().is_none() && cpu.opencl_transfers().is_none());
        assert_eq!(cpu.opencl_finish(), Ok(()));
        assert_eq!(cpu.with_opencl_kernels(Kernels::Cores), None);
    }
}

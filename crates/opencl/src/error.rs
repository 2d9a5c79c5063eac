//! What can go wrong between asking for a device and having one.

use crate::info::DeviceInfo;

/// What to install where nothing is found.
pub(crate) const INSTALL: &str = "install the vendor's driver, or PoCL for the CPU (Debian: \
                                  apt-get install pocl-opencl-icd ocl-icd-libopencl1)";

/// Errors of opening a device.
///
/// What fails later, while it computes, is a [`vivit_tensor::Error`].
#[derive(Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// There is no OpenCL library (the loader of the vendors' implementations), or this build has
    /// no OpenCL in it.
    #[error("no OpenCL library can be loaded ({reason}): {INSTALL}")]
    NoLibrary {
        /// Why, in the words of the system.
        reason: String,
    },
    /// The library is there, but no vendor's implementation.
    #[error("no OpenCL platform is installed: {INSTALL}")]
    NoPlatform,
    /// There are platforms, but none has a device.
    #[error("no OpenCL platform has a device: {INSTALL}")]
    NoDevice,
    /// There are fewer devices.
    #[error("there is no OpenCL device {index}; choose one of {}", names(.devices))]
    IndexOutOfRange {
        /// The index asked for.
        index: usize,
        /// What is there.
        devices: Vec<DeviceInfo>,
    },
    /// No device is of that name or type.
    #[error("no OpenCL device matches {wanted:?}; choose an index, a type (cpu, gpu, accelerator) \
             or a part of a name of {}", names(.devices))]
    NoMatch {
        /// The name or type asked for.
        wanted: String,
        /// What is there.
        devices: Vec<DeviceInfo>,
    },
    /// The device is too old.
    #[error(
        "{device} has {version:?}; OpenCL 1.2 or later is needed: update its driver or choose \
         another device"
    )]
    Version {
        /// The device.
        device: String,
        /// The version as it tells it.
        version: String,
    },
    /// The device runs too few work-items together.
    #[error("{device} runs {size} work-items together; {needed} are needed: choose another device")]
    WorkGroup {
        /// The device.
        device: String,
        /// Work-items of its largest group.
        size: u64,
        /// Work-items of the kernels' groups.
        needed: u64,
    },
    /// The kernels do not compile for the device.
    #[error("{device} can't compile the kernels: {log}")]
    Build {
        /// The device.
        device: String,
        /// What its compiler says.
        log: String,
    },
    /// A call to OpenCL failed.
    #[error("{device}: {call} failed with {status}")]
    Call {
        /// The device, or the platform.
        device: String,
        /// The function.
        call: &'static str,
        /// The status by name, or its number.
        status: String,
    },
}

fn names(devices: &[DeviceInfo]) -> String {
    devices
        .iter()
        .map(|device| format!("{} ({}, {})", device.index, device.name, device.kind))
        .collect::<Vec<_>>()
        .join("; ")
}

vivit_tensor::debug_as_display!(Error);

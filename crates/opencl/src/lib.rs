//! A backend of [vivit](https://docs.rs/vivit) on OpenCL 1.2 or later: GPUs and CPUs of any vendor.
//!
//! [`OpenCl`] is a device and an element type, as `Cpu` is; everything that the library computes runs on it by changing that one type.
//! Commands run asynchronously in the order in which they are given; what fails on the way is remembered and returned by the next
//! `check` or `download`. Memory is pooled. [`OpenCl::transfers`] tells what has moved between host and device.
//!
//! Devices need the feature `device` (the facade's feature is `opencl`) and, when the program is built, an OpenCL library to link
//! (Debian: `ocl-icd-opencl-dev`). Without either, every request for a device is [`Error::NoLibrary`].

#[cfg(not(opencl_library))]
mod absent;
mod error;
mod select;

#[cfg(opencl_library)]
mod array;
#[cfg(opencl_library)]
mod backend;
#[cfg(opencl_library)]
mod buffer;
#[cfg(opencl_library)]
mod device;
#[cfg(opencl_library)]
mod elementwise;
#[cfg(opencl_library)]
mod launch;
#[cfg(opencl_library)]
mod product;
#[cfg(opencl_library)]
mod reduce;
#[cfg(opencl_library)]
mod session;
#[cfg(opencl_library)]
mod window;

#[cfg(not(opencl_library))]
pub use absent::{OpenCl, devices};
#[cfg(opencl_library)]
pub use buffer::Buf;
#[cfg(opencl_library)]
pub use device::{OpenCl, devices};
pub use error::Error;
pub use select::{DeviceInfo, Kernels, Kind, Selector, Transfers, VARIABLE};

//! A backend of [vivit](https://docs.rs/vivit) on OpenCL 1.2 or later: GPUs and CPUs of any vendor.
//!
//! With the trait [`OpenClDevice`] in scope, `Device::opencl("gpu")` is a
//! [`Device`](vivit_tensor::Device) as `Device::cpu()` is; everything that the library computes
//! runs on it by changing that one value. `with_dtype` gives the same device in the other
//! precision: both share memory and queue.
//!
//! ```no_run
//! use vivit_opencl::OpenClDevice;
//! use vivit_tensor::{Device, Tensor};
//!
//! let device = Device::opencl("gpu")?;
//! let x = Tensor::from_vec(&device, [2, 2], vec![1.0, 2.0, 3.0, 4.0])?;
//! assert_eq!(x.sum(0).to_vec()?, [4.0, 6.0]);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! | to | there is |
//! |---|---|
//! | list the devices of this machine | [`devices()`] |
//! | choose one by index, type or name | [`Selector`], the variable [`VARIABLE`] |
//! | open it | [`OpenClDevice::opencl`] |
//! | compute in double precision | [`Device::with_dtype`](vivit_tensor::Device::with_dtype) |
//! | know what it is | [`OpenClDevice::opencl_info`] |
//! | know what has moved to and from it | [`OpenClDevice::opencl_transfers`] |
//! | wait for it, to measure | [`OpenClDevice::opencl_finish`] |
//! | force the kernels for the other kind of device | [`OpenClDevice::with_opencl_kernels`] |
//!
//! Commands run asynchronously in the order in which they are given; what fails on the way is
//! remembered and returned by the next `check` or `download`. Memory is pooled.
//!
//! Nothing is read back before results are. After the batch, what is sent is small, and none of it
//! is waited for: in the forward pass the masks of dropout and causal attention and the matrix of
//! an adaptive pooling; in a sweep the targets of a cross-entropy (once per loss), the numbers of
//! Monte-Carlo draws, the indices of samples that are not evenly spaced, and the weights of
//! eigenvectors and Newton steps.
//!
//! Devices need the feature `device` (the facade's feature is `opencl`); without it the items are
//! the same, and [`OpenClDevice::opencl`] is always an error. Nothing of OpenCL is linked: the
//! library is loaded when the first device is asked for, so programs are built and start on
//! machines without one. Where there is none, or no vendor's implementation behind it, asking for a
//! device is at once [`Error::NoLibrary`] or [`Error::NoPlatform`], which say what to install
//! (Debian: `ocl-icd-libopencl1` is the library, `pocl-opencl-icd` an implementation on the CPU's
//! cores).
//!
//! How the crates fit together: [ARCHITECTURE.md]; formulas and symbols: [MATH.md].
//!
//! [ARCHITECTURE.md]: https://github.com/vivit-rs/vivit/blob/main/docs/ARCHITECTURE.md
//! [MATH.md]: https://github.com/vivit-rs/vivit/blob/main/docs/MATH.md

#[cfg(not(feature = "device"))]
mod absent;
mod error;
mod extension;
mod info;
mod select;

#[cfg(feature = "device")]
mod array;
#[cfg(feature = "device")]
mod backend;
#[cfg(feature = "device")]
mod buffer;
#[cfg(feature = "device")]
mod call;
#[cfg(feature = "device")]
mod device;
#[cfg(feature = "device")]
mod devices;
#[cfg(feature = "device")]
mod elementwise;
#[cfg(feature = "device")]
mod launch;
#[cfg(feature = "device")]
mod picks;
#[cfg(feature = "device")]
mod pool;
#[cfg(feature = "device")]
mod product;
#[cfg(feature = "device")]
mod program;
#[cfg(feature = "device")]
mod reduce;
#[cfg(feature = "device")]
mod session;
#[cfg(feature = "device")]
mod window;

#[cfg(not(feature = "device"))]
pub use absent::devices;
#[cfg(feature = "device")]
pub use devices::devices;
pub use error::Error;
pub use extension::OpenClDevice;
pub use info::{DeviceInfo, Kernels, Kind, Transfers};
pub use select::{Selector, VARIABLE};

//! What OpenCL adds to a [`Device`].

use vivit_tensor::{Device, Error as TensorError};

#[cfg(not(feature = "device"))]
use crate::absent as backend;
#[cfg(feature = "device")]
use crate::device as backend;
use crate::error::Error;
use crate::info::{DeviceInfo, Kernels, Transfers};
use crate::select::Selector;

mod sealed {
    pub trait Sealed {}
    impl Sealed for vivit_tensor::Device {}
}

/// Opens OpenCL devices, and tells what is particular to them; for [`Device`] alone.
///
/// ```no_run
/// use vivit_opencl::OpenClDevice;
/// use vivit_tensor::{DType, Device, Tensor};
///
/// let single = Device::opencl("gpu")?;
/// let double = single.with_dtype(DType::F64)?;
/// let x = Tensor::full(&double, [2, 3], 1.0);
/// assert_eq!(x.sum(0).to_vec()?, [2.0; 3]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub trait OpenClDevice: Sized + sealed::Sealed {
    /// Opens a device, in single precision, and compiles the kernels for it.
    ///
    /// A [`Selector`] is read from an index in the list of [`devices`](crate::devices()), a type or
    /// a part of a name. [`Device::with_dtype`] gives the same device in double precision, where it
    /// has that: both share its memory and their commands run in the order in which they are given.
    /// A device that is opened twice is two devices, whose arrays do not mix.
    ///
    /// ```no_run
    /// use vivit_opencl::{OpenClDevice, Selector};
    /// use vivit_tensor::Device;
    ///
    /// let first = Device::opencl(0)?;
    /// let named = Device::opencl("a part of a name")?;
    /// let default = Device::opencl(Selector::Default)?;
    /// # Ok::<(), vivit_opencl::Error>(())
    /// ```
    ///
    /// # Errors
    /// If there is no OpenCL in this build or on this machine, no such device, the device is too
    /// old or small, or it can't be opened.
    fn opencl(selector: impl Into<Selector>) -> Result<Self, Error>;

    /// What is known about the device; `None` if it is not an OpenCL device.
    ///
    /// ```no_run
    /// use vivit_opencl::OpenClDevice;
    /// use vivit_tensor::Device;
    ///
    /// assert!(Device::cpu().opencl_info().is_none());
    /// let device = Device::opencl("cpu")?;
    /// println!("{}", device.opencl_info().expect("it is an OpenCL device"));
    /// # Ok::<(), vivit_opencl::Error>(())
    /// ```
    fn opencl_info(&self) -> Option<&DeviceInfo>;

    /// What has moved between host and device since it was opened, in both precisions together;
    /// `None` if it is not an OpenCL device.
    ///
    /// ```no_run
    /// use vivit_opencl::OpenClDevice;
    /// use vivit_tensor::{Device, Tensor};
    ///
    /// let device = Device::opencl("gpu")?;
    /// let x = Tensor::from_vec(&device, [2, 2], vec![1.0f32; 4])?;
    /// assert_eq!(device.opencl_transfers().map(|moved| moved.uploaded_bytes), Some(16));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    fn opencl_transfers(&self) -> Option<Transfers>;

    /// Waits until the device has done everything that it was asked, in both precisions; only
    /// measurements need it. Other devices have nothing to wait for.
    ///
    /// ```no_run
    /// use vivit_opencl::OpenClDevice;
    /// use vivit_tensor::{Device, Tensor};
    ///
    /// let device = Device::opencl("gpu")?;
    /// let start = std::time::Instant::now();
    /// let x = Tensor::eye(&device, 1000);
    /// device.opencl_finish()?;
    /// println!("an identity matrix in {:?}", start.elapsed());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// The first failure since the last one that was told.
    fn opencl_finish(&self) -> Result<(), TensorError>;

    /// The same open device with other kernels, in the same precision; `None` if it is not an
    /// OpenCL device. By default the kernels are those for the device's type: the others are for
    /// tests and measurements.
    ///
    /// Where the kernels differ from the device's own, the result is another device to
    /// [`Tensor`](vivit_tensor::Tensor), so that arrays do not mix.
    ///
    /// ```no_run
    /// use vivit_opencl::{Kernels, OpenClDevice};
    /// use vivit_tensor::Device;
    ///
    /// let cores = Device::opencl("cpu")?;
    /// let groups = cores.with_opencl_kernels(Kernels::Groups);
    /// assert!(groups.is_some_and(|groups| groups != cores));
    /// # Ok::<(), vivit_opencl::Error>(())
    /// ```
    #[must_use]
    fn with_opencl_kernels(&self, kernels: Kernels) -> Option<Self>;
}

impl OpenClDevice for Device {
    fn opencl(selector: impl Into<Selector>) -> Result<Self, Error> {
        backend::open(&selector.into())
    }

    fn opencl_info(&self) -> Option<&DeviceInfo> {
        backend::info(self)
    }

    fn opencl_transfers(&self) -> Option<Transfers> {
        backend::transfers(self)
    }

    fn opencl_finish(&self) -> Result<(), TensorError> {
        backend::finish(self)
    }

    fn with_opencl_kernels(&self, kernels: Kernels) -> Option<Self> {
        backend::with_kernels(self, kernels)
    }
}

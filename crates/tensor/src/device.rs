//! Where arrays lie, and in which precision.

use std::fmt;
use std::ops::Deref;
use std::sync::Arc;

use crate::{Backend, Cpu, DType, Error};

/// A device together with the precision of the arrays that are made on it: a shared handle to a
/// [`Backend`], whose primitives are its methods.
///
/// Precision and device are values: the same program runs in `f32` or `f64`, on the CPU or on
/// another device, as the value says. Arrays of different devices or precisions do not mix: what
/// combines them panics or fails as for wrong shapes, naming both;
/// [`Tensor::to`](crate::Tensor::to) converts.
///
/// ```
/// use vivit_tensor::{DType, Device, Tensor};
///
/// let single = Device::cpu();
/// let double = Device::cpu().with_dtype(DType::F64)?;
/// let x = Tensor::from_vec(&single, [2], vec![1.0, 2.0])?;
/// assert_eq!((x.dtype(), x.to(&double)?.dtype()), (DType::F32, DType::F64));
/// # Ok::<(), vivit_tensor::Error>(())
/// ```
#[derive(Clone)]
pub struct Device(Handle);

#[derive(Clone)]
enum Handle {
    Cpu(DType),
    Shared(Arc<dyn Backend>),
}

impl Device {
    /// The CPU, in single precision.
    pub fn cpu() -> Self {
        Device(Handle::Cpu(DType::F32))
    }

    /// The CPU, in double precision.
    pub fn cpu_f64() -> Self {
        Device(Handle::Cpu(DType::F64))
    }

    /// The device of a backend: how an outside crate's [`Backend`] becomes one.
    pub fn new(backend: Arc<dyn Backend>) -> Self {
        Device(Handle::Shared(backend))
    }

    /// The same device in another precision.
    ///
    /// # Errors
    /// If the device does not compute in it.
    pub fn with_dtype(&self, dtype: DType) -> Result<Self, Error> {
        match &self.0 {
            Handle::Cpu(_) => Ok(Device(Handle::Cpu(dtype))),
            Handle::Shared(backend) if backend.dtype() == dtype => Ok(self.clone()),
            Handle::Shared(backend) => Ok(Device(Handle::Shared(backend.with_dtype(dtype)?))),
        }
    }

    /// The precision of arrays that are made with this handle.
    pub fn dtype(&self) -> DType {
        match &self.0 {
            Handle::Cpu(dtype) => *dtype,
            Handle::Shared(backend) => backend.dtype(),
        }
    }

    /// The backend, if it is of type `B`.
    ///
    /// ```
    /// use vivit_tensor::{Cpu, Device};
    ///
    /// assert!(Device::cpu().downcast_ref::<Cpu<f32>>().is_some());
    /// ```
    pub fn downcast_ref<B: Backend>(&self) -> Option<&B> {
        (**self).as_any().downcast_ref()
    }

    /// Panics if the other's arrays do not mix with this one's.
    #[inline]
    #[track_caller]
    pub(crate) fn assert_same(&self, other: &Device, what: &str) {
        if self != other {
            panic!(
                "{what}: arrays on {self} and on {other} do not mix; convert one with `Tensor::to`"
            );
        }
    }
}

/// The device's primitives.
impl Deref for Device {
    type Target = dyn Backend;
    // Not inlined: with the vtables, all kernels would be compiled into every crate that uses one.
    #[inline(never)]
    fn deref(&self) -> &dyn Backend {
        match &self.0 {
            Handle::Cpu(DType::F32) => const { &Cpu::<f32>::new() },
            Handle::Cpu(DType::F64) => const { &Cpu::<f64>::new() },
            Handle::Shared(backend) => backend.as_ref(),
        }
    }
}

/// The CPU, in single precision.
impl Default for Device {
    fn default() -> Self {
        Self::cpu()
    }
}

/// Equal if arrays of both mix: the same device, opened once, and the same precision.
impl PartialEq for Device {
    #[inline]
    fn eq(&self, other: &Self) -> bool {
        match (&self.0, &other.0) {
            (Handle::Cpu(a), Handle::Cpu(b)) => a == b,
            (Handle::Shared(a), Handle::Shared(b)) => {
                std::ptr::addr_eq(Arc::as_ptr(a), Arc::as_ptr(b))
            }
            _ => false,
        }
    }
}

impl Eq for Device {}

/// The device in words, with its precision.
impl fmt::Display for Device {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.name())
    }
}

impl fmt::Debug for Device {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Device({self})")
    }
}

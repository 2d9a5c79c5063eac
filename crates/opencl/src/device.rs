//! An open device in one precision: the object behind a [`Device`].

use std::fmt;
use std::marker::PhantomData;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use ocl::ffi;
use vivit_tensor::{Backend, Buffer, DType, Device, Error as TensorError, Scalar};

use crate::buffer::Buf;
use crate::call::Call;
use crate::devices::{check, list};
use crate::error::Error;
use crate::info::{DeviceInfo, Kernels, Kind, Transfers};
use crate::launch::{Queue, info_number};
use crate::program::Compiled;
use crate::select::{Selector, VARIABLE};
use crate::session::{Outcome, Session};

/// A device and an element type.
pub(crate) struct OpenCl<E> {
    pub session: Arc<Session>,
    pub compiled: Arc<Compiled>,
    pub kernels: Kernels,
    siblings: Arc<Siblings>,
    elem: PhantomData<fn() -> E>,
}

impl<E> Clone for OpenCl<E> {
    fn clone(&self) -> Self {
        OpenCl {
            session: Arc::clone(&self.session),
            compiled: Arc::clone(&self.compiled),
            kernels: self.kernels,
            siblings: Arc::clone(&self.siblings),
            elem: PhantomData,
        }
    }
}

impl<E: Scalar> fmt::Debug for OpenCl<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "OpenCl<{}>({})", E::NAME, self.session.info.name)
    }
}

impl<E: Scalar> OpenCl<E> {
    /// The object of this precision.
    fn of(siblings: &Arc<Siblings>) -> Result<Self, Error> {
        let Siblings { session, kernels, .. } = siblings.as_ref();
        Ok(OpenCl {
            session: Arc::clone(session),
            compiled: session.compiled(E::DTYPE)?,
            kernels: *kernels,
            siblings: Arc::clone(siblings),
            elem: PhantomData,
        })
    }

    /// The object of another precision, or this one; the same one every time.
    ///
    /// # Errors
    /// If the device lacks the precision, or can't compile the kernels for it.
    pub fn sibling(&self, dtype: DType) -> Result<Arc<dyn Backend>, TensorError> {
        let info = self.info();
        if dtype == DType::F64 && !info.doubles {
            let device = format!("{} (it lacks cl_khr_fp64)", self.session.device());
            return Err(TensorError::NoDType { device, dtype });
        }
        self.siblings.get(dtype).map_err(|error| TensorError::Device {
            device: self.session.device(),
            reason: format!("opening it in {dtype} failed: {error}"),
        })
    }

    /// What is known about the device.
    pub fn info(&self) -> &DeviceInfo {
        &self.session.info
    }

    /// Starts the description of a kernel's call.
    pub fn call(&self, name: impl Into<String>) -> Call<'_> {
        Call::new(&self.session, &self.compiled, name)
    }

    /// The range of device memory that a buffer stands for.
    ///
    /// # Panics
    /// If the buffer is another backend's, another device's or of another precision.
    #[track_caller]
    pub fn read(&self, buffer: &Buffer) -> Buf<E> {
        Buf::read(buffer, &self.session.pool)
    }

    /// Works on the range that a buffer stands for, and puts it back.
    ///
    /// # Panics
    /// As [`read`](OpenCl::read) does.
    #[track_caller]
    pub fn write<R>(&self, buffer: &mut Buffer, work: impl FnOnce(&mut Buf<E>) -> R) -> R {
        let mut taken = Buf::take(buffer, &self.session.pool);
        let result = work(&mut taken);
        *buffer = taken.wrap();
        result
    }

    /// Passes a failed kernel on to the buffer that it should have written.
    pub fn keep(&self, outcome: Outcome, buf: &mut Buf<E>) {
        if let Err(error) = outcome.0 {
            *buf = self.session.spoiled(buf.len, error);
        }
    }
}

/// The objects of one open device in both precisions, as long as somebody has them. They know each
/// other through this; it does not keep them.
struct Siblings {
    session: Arc<Session>,
    kernels: Kernels,
    members: Mutex<[Option<Weak<dyn Backend>>; 2]>,
}

impl Siblings {
    fn new(session: Arc<Session>, kernels: Kernels) -> Arc<Self> {
        Arc::new(Siblings { session, kernels, members: Mutex::default() })
    }

    fn get(self: &Arc<Self>, dtype: DType) -> Result<Arc<dyn Backend>, Error> {
        let mut members = self.members.lock().unwrap_or_else(PoisonError::into_inner);
        let slot = match dtype {
            DType::F32 => &mut members[0],
            DType::F64 => &mut members[1],
        };
        if let Some(there) = slot.as_ref().and_then(Weak::upgrade) {
            return Ok(there);
        }
        let new: Arc<dyn Backend> = match dtype {
            DType::F32 => Arc::new(OpenCl::<f32>::of(self)?),
            DType::F64 => Arc::new(OpenCl::<f64>::of(self)?),
        };
        *slot = Some(Arc::downgrade(&new));
        Ok(new)
    }
}

/// Opens a device in single precision and compiles the kernels for it.
pub(crate) fn open(selector: &Selector) -> Result<Device, Error> {
    let list = list()?;
    let infos: Vec<DeviceInfo> = list.iter().map(|(_, info)| info.clone()).collect();
    let variable = std::env::var(VARIABLE).ok();
    let (device, info) = list[selector.choose(&infos, variable.as_deref())?].clone();
    check(&info, info_number(device, ffi::CL_DEVICE_MAX_WORK_GROUP_SIZE))?;
    let widths =
        [ffi::CL_DEVICE_NATIVE_VECTOR_WIDTH_FLOAT, ffi::CL_DEVICE_NATIVE_VECTOR_WIDTH_DOUBLE]
            .map(|what| info_number(device, what) as usize);
    let kernels = if info.kind == Kind::Cpu { Kernels::Cores } else { Kernels::Groups };
    let queue = Queue::open(device).map_err(|failure| Error::Call {
        device: info.name.clone(),
        call: failure.call,
        status: failure.status(),
    })?;
    let siblings = Siblings::new(Arc::new(Session::new(queue, info, widths)), kernels);
    Ok(Device::new(siblings.get(DType::F32)?))
}

/// The siblings that a device is one of, if it is an OpenCL device.
fn siblings(device: &Device) -> Option<&Arc<Siblings>> {
    let single = device.downcast_ref::<OpenCl<f32>>().map(|single| &single.siblings);
    single.or_else(|| device.downcast_ref::<OpenCl<f64>>().map(|double| &double.siblings))
}

/// What is known about the device, if it is an OpenCL device.
pub(crate) fn info(device: &Device) -> Option<&DeviceInfo> {
    siblings(device).map(|siblings| &siblings.session.info)
}

/// What has moved between host and device, if it is an OpenCL device.
pub(crate) fn transfers(device: &Device) -> Option<Transfers> {
    siblings(device).map(|siblings| siblings.session.transfers())
}

/// Waits until the device has done everything, if it is an OpenCL device.
pub(crate) fn finish(device: &Device) -> Result<(), TensorError> {
    siblings(device).map_or(Ok(()), |siblings| siblings.session.finish())
}

/// The same open device with other kernels, in the same precision, if it is an OpenCL device.
pub(crate) fn with_kernels(device: &Device, kernels: Kernels) -> Option<Device> {
    let own = siblings(device)?;
    if own.kernels == kernels {
        return Some(device.clone());
    }
    let others = Siblings::new(Arc::clone(&own.session), kernels);
    // The kernels for either kind are in the program that this precision has compiled.
    others.get(device.dtype()).ok().map(Device::new)
}

#[cfg(test)]
#[path = "../tests/elsewhere/mod.rs"]
mod elsewhere;

#[cfg(test)]
mod tests {
    use std::panic::AssertUnwindSafe;

    use vivit_tensor::{HostVec, Reduce, Tensor, Unary};

    use super::elsewhere::elsewhere;
    use super::*;
    use crate::program::{Lanes, build};

    #[test]
    fn threads_may_share_a_device() {
        fn shared<T: Send + Sync>() {}
        shared::<OpenCl<f32>>();
        shared::<Buf<f64>>();
    }

    #[test]
    fn kernels_that_do_not_compile_come_with_the_log() {
        if elsewhere("device::tests::kernels_that_do_not_compile_come_with_the_log") {
            return;
        }
        let Ok(list) = list() else { return println!("SKIPPED: there is no device") };
        let (device, info) = &list[0];
        let queue = Queue::open(*device).expect("the device opens");
        let (source, lanes) =
            ("__kernel void f() { return no_such_name; }", Lanes { rows: 6, width: 4 });
        let error = build(&queue, info, source, DType::F32, lanes).expect_err("no kernel");
        let Error::Build { device, log } = &error else { panic!("{error}") };
        assert!(*device == info.name && log.contains("no_such_name"), "{error}");
    }

    #[test]
    fn commands_that_fail_are_errors_later() {
        if elsewhere("device::tests::commands_that_fail_are_errors_later") {
            return;
        }
        let Ok(device) = open(&Selector::Index(0)) else {
            return println!("SKIPPED: there is no device");
        };
        let cl = device.downcast_ref::<OpenCl<f32>>().expect("in single precision");
        let x = cl.fill(3, 1.0);
        let call = cl.call("no_such_kernel");
        let range = cl.read(&x);
        let spoiled = call.buf(&range).flat(3).into(&cl.session, range.clone()).wrap();
        assert!(!cl.is_readable(&spoiled) && cl.is_readable(&x));
        let sum = cl.reduce(Reduce::Sum, &spoiled, 1, 3, 1);
        let failed = cl.check().expect_err("a kernel that is not there").to_string();
        assert!(
            failed.contains("no_such_kernel") && failed.contains("CL_INVALID_KERNEL_NAME"),
            "{failed}"
        );
        // Told once; the buffers that nothing has filled go on telling it.
        assert_eq!(cl.check(), Ok(()));
        assert_eq!(cl.download(&sum).expect_err("not filled").to_string(), failed);
        let joined = cl.concat(&[&x, &sum], 1);
        assert_eq!(cl.download(&joined).expect_err("in part").to_string(), failed);
        assert_eq!(cl.download(&x), Ok(HostVec::F32(vec![1.0; 3])));
    }

    #[test]
    fn a_device_in_both_precisions_is_two_objects_that_stay() {
        if elsewhere("device::tests::a_device_in_both_precisions_is_two_objects_that_stay") {
            return;
        }
        let Ok(single) = open(&Selector::Index(0)) else {
            return println!("SKIPPED: there is no device");
        };
        assert_eq!(single.with_dtype(DType::F32).as_ref(), Ok(&single));
        if !info(&single).is_some_and(|info| info.doubles) {
            let error = single.with_dtype(DType::F64).expect_err("no doubles");
            assert!(matches!(error, TensorError::NoDType { dtype: DType::F64, .. }), "{error}");
            return println!("SKIPPED: the device lacks doubles");
        }
        let double = single.with_dtype(DType::F64).expect("it has doubles");
        for device in [&single, &double] {
            assert_eq!(device.with_dtype(DType::F32).as_ref(), Ok(&single));
            assert_eq!(device.with_dtype(DType::F64).as_ref(), Ok(&double));
        }
        assert!(single != double && single != open(&Selector::Index(0)).expect("once more"));
        // Nothing keeps the objects but who has them.
        let session = Arc::clone(&siblings(&single).expect("it is OpenCL's").session);
        let x = Tensor::full(&double, [2], 1.5);
        drop((single, double));
        assert_eq!(x.sum(0).to_vec(), Ok(vec![3.0]));
        let again = x.device().with_dtype(DType::F32).expect("it opens again");
        assert_eq!(again.with_dtype(DType::F64).as_ref(), Ok(x.device()));
        drop((x, again));
        assert_eq!(Arc::strong_count(&session), 1);
    }

    #[test]
    fn buffers_of_another_device_are_named() {
        if elsewhere("device::tests::buffers_of_another_device_are_named") {
            return;
        }
        let Ok(device) = open(&Selector::Index(0)) else {
            return println!("SKIPPED: there is no device");
        };
        let other = open(&Selector::Index(0)).expect("it opens again");
        let mut foreign =
            vec![(Device::cpu(), "another backend or precision"), (other, "another OpenCL device")];
        foreign.extend(
            device.with_dtype(DType::F64).ok().map(|double| (double, "backend or precision")),
        );
        for (other, word) in foreign {
            let x = other.fill(2, 1.0);
            let read = AssertUnwindSafe(|| device.unary(Unary::Exp, &x));
            let caught = std::panic::catch_unwind(read);
            let message = *caught.expect_err("foreign").downcast::<String>().expect("a message");
            assert!(message.contains(word) && message.contains("f32"), "{message}");
        }
    }
}

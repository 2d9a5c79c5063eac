//! The devices of this machine, and opening one.

use std::fmt;
use std::marker::PhantomData;
use std::sync::Arc;

use ocl::ffi;
use vivit_tensor::Scalar;

use crate::buffer::Buf;
use crate::launch::{self, DeviceId, Failure, Queue};
use crate::select::VARIABLE;
use crate::session::{GROUP, Outcome, Session};
use crate::{DeviceInfo, Error, Kernels, Kind, Selector, Transfers};

/// A device and an element type: `OpenCl<f32>`, `OpenCl<f64>`.
///
/// Clones share the device's context, queue, program and memory. Buffers of one can be used by its
/// clones only.
#[derive(Clone)]
pub struct OpenCl<E> {
    pub(crate) session: Arc<Session>,
    pub(crate) kernels: Kernels,
    elem: PhantomData<fn() -> E>,
}

impl<E: Scalar> fmt::Debug for OpenCl<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "OpenCl<{}>({})", E::NAME, self.session.info.name)
    }
}

/// The devices of all platforms.
///
/// # Errors
/// If there is no OpenCL library, platform or device.
pub fn devices() -> Result<Vec<DeviceInfo>, Error> {
    Ok(list()?.into_iter().map(|(_, info)| info).collect())
}

fn list() -> Result<Vec<(DeviceId, DeviceInfo)>, Error> {
    let failed = |device: &str, failure: Failure| Error::Call {
        device: device.into(),
        call: failure.call,
        status: failure.status(),
    };
    launch::load().map_err(|reason| Error::NoLibrary { reason })?;
    let platforms = launch::platforms().map_err(|failure| failed("OpenCL", failure))?;
    if platforms.is_empty() {
        return Err(Error::NoPlatform);
    }
    let mut all = Vec::new();
    for platform in platforms {
        let name = launch::platform_name(platform);
        for device in launch::devices(platform).map_err(|failure| failed(&name, failure))? {
            let info = describe(device, &name, all.len());
            all.push((device, info));
        }
    }
    if all.is_empty() { Err(Error::NoDevice) } else { Ok(all) }
}

fn describe(device: DeviceId, platform: &str, index: usize) -> DeviceInfo {
    let text = |what| launch::info_text(device, what);
    let number = |what| launch::info_number(device, what);
    let types = number(ffi::CL_DEVICE_TYPE);
    let kind = match types {
        types if types & ffi::CL_DEVICE_TYPE_GPU != 0 => Kind::Gpu,
        types if types & ffi::CL_DEVICE_TYPE_CPU != 0 => Kind::Cpu,
        _ => Kind::Accelerator,
    };
    DeviceInfo {
        index,
        name: text(ffi::CL_DEVICE_NAME),
        platform: platform.into(),
        kind,
        version: text(ffi::CL_DEVICE_VERSION),
        driver: text(ffi::CL_DRIVER_VERSION),
        compute_units: number(ffi::CL_DEVICE_MAX_COMPUTE_UNITS),
        memory: number(ffi::CL_DEVICE_GLOBAL_MEM_SIZE),
        largest_array: number(ffi::CL_DEVICE_MAX_MEM_ALLOC_SIZE),
        local_memory: number(ffi::CL_DEVICE_LOCAL_MEM_SIZE),
        doubles: text(ffi::CL_DEVICE_EXTENSIONS)
            .split_whitespace()
            .any(|name| name == "cl_khr_fp64"),
    }
}

/// Whether `"OpenCL 1.2 …"` or later is told.
fn is_recent(version: &str) -> bool {
    let number = version.strip_prefix("OpenCL ").and_then(|rest| rest.split_whitespace().next());
    let parts = number.and_then(|number| number.split_once('.'));
    parts
        .and_then(|(major, minor)| Some((major.parse().ok()?, minor.parse().ok()?)))
        .is_some_and(|version: (u32, u32)| version >= (1, 2))
}

/// What a device must have for an element type.
fn check(info: &DeviceInfo, work_group: u64, double: bool) -> Result<(), Error> {
    if !is_recent(&info.version) {
        return Err(Error::Version { device: info.name.clone(), version: info.version.clone() });
    }
    if double && !info.doubles {
        return Err(Error::NoDoubles { device: info.name.clone() });
    }
    if work_group < GROUP as u64 {
        return Err(Error::WorkGroup {
            device: info.name.clone(),
            size: work_group,
            needed: GROUP as u64,
        });
    }
    Ok(())
}

impl<E: Scalar> OpenCl<E> {
    /// Opens a device and compiles the kernels for it: `OpenCl::<f32>::new(0)`, `new("gpu")`,
    /// `new("part of a name")`, `new(Selector::default())`.
    ///
    /// # Errors
    /// If there is no OpenCL, no such device, the device is too old or lacks doubles that are asked
    /// for, or it can't be opened.
    pub fn new(selector: impl Into<Selector>) -> Result<Self, Error> {
        let list = list()?;
        let infos: Vec<DeviceInfo> = list.iter().map(|(_, info)| info.clone()).collect();
        let variable = std::env::var(VARIABLE).ok();
        let (device, info) = list[selector.into().choose(&infos, variable.as_deref())?].clone();
        let double = E::NAME == "f64";
        check(&info, launch::info_number(device, ffi::CL_DEVICE_MAX_WORK_GROUP_SIZE), double)?;
        let native = if double {
            ffi::CL_DEVICE_NATIVE_VECTOR_WIDTH_DOUBLE
        } else {
            ffi::CL_DEVICE_NATIVE_VECTOR_WIDTH_FLOAT
        };
        let width = launch::info_number(device, native) as usize;
        let kernels = if info.kind == Kind::Cpu { Kernels::Cores } else { Kernels::Groups };
        let queue = Queue::open(device).map_err(|failure| Error::Call {
            device: info.name.clone(),
            call: failure.call,
            status: failure.status(),
        })?;
        let session = Arc::new(Session::new(queue, info, double, width)?);
        Ok(OpenCl { session, kernels, elem: PhantomData })
    }

    /// The same device with other kernels; by default they are those for the device's type.
    #[must_use]
    pub fn with_kernels(mut self, kernels: Kernels) -> Self {
        self.kernels = kernels;
        self
    }

    /// What is known about the device.
    pub fn info(&self) -> &DeviceInfo {
        &self.session.info
    }

    /// What has moved between host and device since it was opened.
    pub fn transfers(&self) -> Transfers {
        self.session.transfers()
    }

    /// Passes a failed kernel on to the buffer that it should have written.
    pub(crate) fn keep(&self, outcome: Outcome, buf: &mut Buf<E>) {
        if let Err(error) = outcome.0 {
            *buf = self.session.spoiled(buf.len, error);
        }
    }

    /// Waits until the device has done everything that it was asked; only measurements need it.
    ///
    /// # Errors
    /// The first failure.
    pub fn finish(&self) -> Result<(), vivit_tensor::Error> {
        self.session.finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::session::{Lanes, build};

    #[test]
    fn versions_are_compared_as_numbers() {
        for (version, recent) in [
            ("OpenCL 1.1 old", false),
            ("OpenCL 1.2", true),
            ("OpenCL 3.0 PoCL", true),
            ("OpenCL 1.10", true),
            ("", false),
        ] {
            assert_eq!(is_recent(version), recent, "{version}");
        }
    }

    #[test]
    fn threads_may_share_a_device() {
        fn shared<T: Send + Sync>() {}
        shared::<OpenCl<f32>>();
        shared::<Buf<f64>>();
    }

    /// Runs the named test again, in a process whose kernel cache is its own: PoCL's does not bear
    /// several processes. `false` in that process, which is to do the work.
    fn elsewhere(test: &str) -> bool {
        const CACHE: &str = "POCL_CACHE_DIR";
        const SECOND: &str = "VIVIT_TESTS_SECOND_RUN";
        if std::env::var_os(SECOND).is_some() {
            return false;
        }
        let cache =
            std::env::temp_dir().join(format!("vivit-pocl-{}-{}", std::process::id(), test.len()));
        let _ = std::fs::create_dir_all(&cache);
        let program = std::env::current_exe().expect("the program's own path");
        let name = format!("device::tests::{test}");
        let output = std::process::Command::new(program)
            .args(["--exact", &name])
            .env(CACHE, &cache)
            .env(SECOND, "1")
            .output();
        let _ = std::fs::remove_dir_all(&cache);
        let output = output.expect("the program starts again");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
        true
    }

    #[test]
    fn kernels_that_do_not_compile_come_with_the_log() {
        if elsewhere("kernels_that_do_not_compile_come_with_the_log") {
            return;
        }
        let Ok(list) = list() else { return };
        let (device, info) = &list[0];
        let queue = Queue::open(*device).expect("the device opens");
        let lanes = Lanes { rows: 6, width: 4 };
        let error = build(&queue, info, "__kernel void f() { return no_such_name; }", false, lanes)
            .expect_err("no kernel");
        let Error::Build { device, log } = &error else { panic!("{error}") };
        assert!(*device == info.name && log.contains("no_such_name"), "{error}");
    }

    #[test]
    fn commands_that_fail_are_errors_later() {
        use vivit_tensor::Backend as _;
        if elsewhere("commands_that_fail_are_errors_later") {
            return;
        }
        let Ok(cl) = OpenCl::<f32>::new(0) else { return };
        let x = cl.fill(3, 1.0);
        let spoiled =
            cl.session.call("no_such_kernel").buf(&x).flat(3).into(&cl.session, x.clone());
        let sum = cl.reduce(vivit_tensor::Reduce::Sum, &spoiled, 1, 3, 1);
        let failed = cl.check().expect_err("a kernel that is not there").to_string();
        assert!(
            failed.contains("no_such_kernel") && failed.contains("CL_INVALID_KERNEL_NAME"),
            "{failed}"
        );
        // Told once; the buffers that nothing has filled go on telling it.
        assert_eq!(cl.check(), Ok(()));
        assert_eq!(cl.download(&sum).expect_err("not filled").to_string(), failed);
        assert_eq!(cl.download(&x), Ok(vec![1.0; 3]));
    }

    #[test]
    fn what_a_device_lacks_is_named() {
        let Ok(mut info) = devices().map(|devices| devices[0].clone()) else { return };
        assert_eq!(check(&info, 256, false), Ok(()));
        info.doubles = false;
        assert_eq!(check(&info, 256, false), Ok(()));
        let message = check(&info, 256, true).unwrap_err().to_string();
        assert!(message.contains("cl_khr_fp64") && message.contains("f64"), "{message}");
        assert!(matches!(check(&info, 128, false), Err(Error::WorkGroup { size: 128, .. })));
        info.version = "OpenCL 1.1".into();
        assert!(matches!(check(&info, 256, false), Err(Error::Version { .. })));
    }
}

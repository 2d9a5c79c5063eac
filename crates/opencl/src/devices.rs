//! The devices of this machine.

use ocl::ffi;

use crate::call::GROUP;
use crate::error::Error;
use crate::info::{DeviceInfo, Kind};
use crate::launch::{self, DeviceId, Failure};

/// The devices of all platforms.
///
/// # Errors
/// If there is no OpenCL library, platform or device.
pub fn devices() -> Result<Vec<DeviceInfo>, Error> {
    Ok(list()?.into_iter().map(|(_, info)| info).collect())
}

pub(crate) fn list() -> Result<Vec<(DeviceId, DeviceInfo)>, Error> {
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

/// What a device must have: a version, and groups of enough work-items.
pub(crate) fn check(info: &DeviceInfo, work_group: u64) -> Result<(), Error> {
    if !is_recent(&info.version) {
        return Err(Error::Version { device: info.name.clone(), version: info.version.clone() });
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

#[cfg(test)]
mod tests {
    use super::*;

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
    fn what_a_device_lacks_is_named() {
        let Ok(mut info) = devices().map(|devices| devices[0].clone()) else { return };
        assert_eq!(check(&info, 256), Ok(()));
        assert!(matches!(check(&info, 128), Err(Error::WorkGroup { size: 128, .. })));
        info.version = "OpenCL 1.1".into();
        assert!(matches!(check(&info, 256), Err(Error::Version { .. })));
    }
}

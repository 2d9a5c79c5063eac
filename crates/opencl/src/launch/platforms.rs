//! The platforms and devices of this machine, and what they tell about themselves.

use std::ffi::c_void;
use std::ptr::null_mut;

use ocl::ffi;

use super::failure::{DEVICE_NOT_FOUND, Failure, PLATFORM_NOT_FOUND, checked};
use super::functions::cl;

/// A platform; lives as long as the process.
#[derive(Clone, Copy, Debug)]
pub(crate) struct PlatformId(pub(super) ffi::cl_platform_id);

/// A root device; lives as long as the process.
#[derive(Clone, Copy, Debug)]
pub(crate) struct DeviceId(pub(super) ffi::cl_device_id);

/// The installed platforms; none if there is no vendor's implementation. The library must be
/// [loaded](super::load).
pub(crate) fn platforms() -> Result<Vec<PlatformId>, Failure> {
    let mut count = 0;
    // SAFETY: asks for the number only; `count` is valid for the write.
    let code = unsafe { (cl().clGetPlatformIDs)(0, null_mut(), &mut count) };
    if code == PLATFORM_NOT_FOUND || (code == 0 && count == 0) {
        return Ok(Vec::new());
    }
    checked("clGetPlatformIDs", code)?;
    let mut ids = vec![null_mut(); count as usize];
    // SAFETY: `ids` has room for `count` handles.
    checked("clGetPlatformIDs", unsafe {
        (cl().clGetPlatformIDs)(count, ids.as_mut_ptr(), null_mut())
    })?;
    Ok(ids.into_iter().map(PlatformId).collect())
}

/// A platform's devices.
pub(crate) fn devices(platform: PlatformId) -> Result<Vec<DeviceId>, Failure> {
    let (mut count, all) = (0, ffi::CL_DEVICE_TYPE_ALL);
    // SAFETY: asks for the number only; `count` is valid for the write.
    let code = unsafe { (cl().clGetDeviceIDs)(platform.0, all, 0, null_mut(), &mut count) };
    if code == DEVICE_NOT_FOUND || (code == 0 && count == 0) {
        return Ok(Vec::new());
    }
    checked("clGetDeviceIDs", code)?;
    let mut ids = vec![null_mut(); count as usize];
    // SAFETY: `ids` has room for `count` handles.
    let code =
        unsafe { (cl().clGetDeviceIDs)(platform.0, all, count, ids.as_mut_ptr(), null_mut()) };
    checked("clGetDeviceIDs", code)?;
    Ok(ids.into_iter().map(DeviceId).collect())
}

/// Reads one value in two calls: its size, then its bytes.
pub(super) fn two_calls(mut get: impl FnMut(usize, *mut c_void, *mut usize) -> i32) -> Vec<u8> {
    let mut size = 0;
    if get(0, null_mut(), &mut size) != 0 {
        return Vec::new();
    }
    let mut bytes = vec![0u8; size];
    if get(size, bytes.as_mut_ptr().cast(), null_mut()) == 0 { bytes } else { Vec::new() }
}

pub(super) fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).trim_end_matches('\0').trim().into()
}

/// A platform's name.
pub(crate) fn platform_name(platform: PlatformId) -> String {
    // SAFETY: `two_calls` passes a size and a buffer of that size.
    text(&two_calls(|size, value, needed| unsafe {
        (cl().clGetPlatformInfo)(platform.0, ffi::CL_PLATFORM_NAME, size, value, needed)
    }))
}

fn info(device: DeviceId, what: u32) -> Vec<u8> {
    // SAFETY: `two_calls` passes a size and a buffer of that size.
    two_calls(|size, value, needed| unsafe {
        (cl().clGetDeviceInfo)(device.0, what, size, value, needed)
    })
}

/// A device's property that is text; empty if it does not tell.
pub(crate) fn info_text(device: DeviceId, what: u32) -> String {
    text(&info(device, what))
}

/// A device's property that is a number of four or eight bytes; 0 if it does not tell.
pub(crate) fn info_number(device: DeviceId, what: u32) -> u64 {
    match *info(device, what) {
        [a, b, c, d] => u32::from_ne_bytes([a, b, c, d]).into(),
        [a, b, c, d, e, f, g, h] => u64::from_ne_bytes([a, b, c, d, e, f, g, h]),
        _ => 0,
    }
}

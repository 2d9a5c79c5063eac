//! The library's functions, looked up when the first device is asked for.

use std::ffi::{c_char, c_void};
use std::sync::OnceLock;

use libloading::Library;
use ocl::ffi::{
    self, cl_bool, cl_command_queue, cl_command_queue_properties, cl_context,
    cl_context_properties, cl_device_id, cl_device_info, cl_device_type, cl_event, cl_event_info,
    cl_int, cl_kernel, cl_mem, cl_mem_flags, cl_platform_id, cl_platform_info, cl_program,
    cl_program_build_info, cl_uint,
};

/// The library's file, by the names that it may have.
#[cfg(target_os = "windows")]
const FILES: [&str; 1] = ["OpenCL.dll"];
#[cfg(target_os = "macos")]
const FILES: [&str; 1] = ["/System/Library/Frameworks/OpenCL.framework/OpenCL"];
#[cfg(not(any(target_os = "windows", target_os = "macos")))]
const FILES: [&str; 2] = ["libOpenCL.so.1", "libOpenCL.so"];

macro_rules! functions {
    ($($name:ident: ($($arg:ty),*) -> $out:ty;)+) => {
        /// The library's functions.
        #[allow(non_snake_case)]
        pub(super) struct Functions {
            // SAFETY: a type; the calls say why they keep to the standard.
            $(pub(super) $name: unsafe extern "system" fn($($arg),*) -> $out,)+
            _library: Library,
        }

        // They are what the bindings say.
        // SAFETY: compared, never called; so nothing is linked either.
        $(const _: unsafe extern "system" fn($($arg),*) -> $out = ffi::$name;)+

        impl Functions {
            fn of(library: Library) -> Result<Self, libloading::Error> {
                Ok(Functions {
                    // SAFETY: the standard gives these names to functions of these types; they stay
                    // loaded as long as the library does, which is kept beside them.
                    $($name: unsafe {
                        *library.get(concat!(stringify!($name), "\0").as_bytes())?
                    },)+
                    _library: library,
                })
            }
        }
    };
}

/// What is told of a program's fate.
type Told<T> = Option<extern "C" fn(T, *mut c_void)>;
/// What is told of a context's.
type Report = Option<extern "C" fn(*const c_char, *const c_void, usize, *mut c_void)>;

functions! {
    clGetPlatformIDs: (cl_uint, *mut cl_platform_id, *mut cl_uint) -> cl_int;
    clGetPlatformInfo: (cl_platform_id, cl_platform_info, usize, *mut c_void, *mut usize) -> cl_int;
    clGetDeviceIDs: (cl_platform_id, cl_device_type, cl_uint, *mut cl_device_id, *mut cl_uint)
        -> cl_int;
    clGetDeviceInfo: (cl_device_id, cl_device_info, usize, *mut c_void, *mut usize) -> cl_int;
    clCreateContext: (*const cl_context_properties, cl_uint, *const cl_device_id, Report,
        *mut c_void, *mut cl_int) -> cl_context;
    clReleaseContext: (cl_context) -> cl_int;
    clCreateCommandQueue: (cl_context, cl_device_id, cl_command_queue_properties, *mut cl_int)
        -> cl_command_queue;
    clReleaseCommandQueue: (cl_command_queue) -> cl_int;
    clCreateProgramWithSource: (cl_context, cl_uint, *const *const c_char, *const usize,
        *mut cl_int) -> cl_program;
    clBuildProgram: (cl_program, cl_uint, *const cl_device_id, *const c_char, Told<cl_program>,
        *mut c_void) -> cl_int;
    clGetProgramBuildInfo: (cl_program, cl_device_id, cl_program_build_info, usize, *mut c_void,
        *mut usize) -> cl_int;
    clReleaseProgram: (cl_program) -> cl_int;
    clCreateKernel: (cl_program, *const c_char, *mut cl_int) -> cl_kernel;
    clSetKernelArg: (cl_kernel, cl_uint, usize, *const c_void) -> cl_int;
    clReleaseKernel: (cl_kernel) -> cl_int;
    clCreateBuffer: (cl_context, cl_mem_flags, usize, *mut c_void, *mut cl_int) -> cl_mem;
    clReleaseMemObject: (cl_mem) -> cl_int;
    clEnqueueWriteBuffer: (cl_command_queue, cl_mem, cl_bool, usize, usize, *const c_void,
        cl_uint, *const cl_event, *mut cl_event) -> cl_int;
    clEnqueueReadBuffer: (cl_command_queue, cl_mem, cl_bool, usize, usize, *mut c_void, cl_uint,
        *const cl_event, *mut cl_event) -> cl_int;
    clEnqueueCopyBuffer: (cl_command_queue, cl_mem, cl_mem, usize, usize, usize, cl_uint,
        *const cl_event, *mut cl_event) -> cl_int;
    clEnqueueNDRangeKernel: (cl_command_queue, cl_kernel, cl_uint, *const usize, *const usize,
        *const usize, cl_uint, *const cl_event, *mut cl_event) -> cl_int;
    clFlush: (cl_command_queue) -> cl_int;
    clFinish: (cl_command_queue) -> cl_int;
    clGetEventInfo: (cl_event, cl_event_info, usize, *mut c_void, *mut usize) -> cl_int;
    clReleaseEvent: (cl_event) -> cl_int;
}

static FUNCTIONS: OnceLock<Functions> = OnceLock::new();

/// Loads the library; later calls find it loaded.
///
/// # Errors
/// If there is none, in the words of the system.
pub(crate) fn load() -> Result<(), String> {
    if FUNCTIONS.get().is_none() {
        let functions = first_of(&FILES)?;
        FUNCTIONS.get_or_init(|| functions);
    }
    Ok(())
}

/// The first library of these files that there is.
fn first_of(files: &[&str]) -> Result<Functions, String> {
    let mut reasons = Vec::new();
    for file in files {
        // SAFETY: what a system has under the library's name is taken to be it, with initialisers
        // that ask nothing of the caller.
        match unsafe { Library::new(file) }.and_then(Functions::of) {
            Ok(functions) => return Ok(functions),
            Err(error) => reasons.push(error.to_string()),
        }
    }
    Err(reasons.join("; "))
}

/// The functions. Everything that calls one comes from a platform, and the list of these from
/// [`load`].
pub(super) fn cl() -> &'static Functions {
    FUNCTIONS.get().expect("loaded before the first platform was listed")
}

#[cfg(test)]
mod tests {
    use super::first_of;

    #[test]
    fn a_library_that_is_not_there_is_named() {
        let error = first_of(&["libno-such-opencl.so.1", "libno-such-opencl.so"])
            .err()
            .expect("there is none");
        assert!(error.matches("no-such-opencl").count() >= 2, "{error}");
    }
}

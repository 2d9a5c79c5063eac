//! Calls into OpenCL: platforms, devices, memory, programs, commands.
//!
//! This is the only module of the crate that may use `unsafe`. It calls the functions that
//! [`ocl`]'s bindings declare, without that crate's wrappers: these sleep for ten seconds where
//! there is no platform, and panic on statuses that only one vendor knows and on handles that a
//! lost device can't release. The functions are looked up when the first device is asked for, not
//! linked: a program starts without an OpenCL library, and asking it for a device is an error then.
#![allow(unsafe_code)]

use std::ffi::{CString, c_char, c_void};
use std::ptr::{null, null_mut};
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
        struct Functions {
            // SAFETY: a type; the calls say why they keep to the standard.
            $($name: unsafe extern "system" fn($($arg),*) -> $out,)+
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

/// What is told of a context's or a program's fate.
type Told<T> = Option<extern "C" fn(T, *mut c_void)>;

functions! {
    clGetPlatformIDs: (cl_uint, *mut cl_platform_id, *mut cl_uint) -> cl_int;
    clGetPlatformInfo: (cl_platform_id, cl_platform_info, usize, *mut c_void, *mut usize) -> cl_int;
    clGetDeviceIDs: (cl_platform_id, cl_device_type, cl_uint, *mut cl_device_id, *mut cl_uint)
        -> cl_int;
    clGetDeviceInfo: (cl_device_id, cl_device_info, usize, *mut c_void, *mut usize) -> cl_int;
    clCreateContext: (*const cl_context_properties, cl_uint, *const cl_device_id,
        Option<extern "C" fn(*const c_char, *const c_void, usize, *mut c_void)>, *mut c_void,
        *mut cl_int) -> cl_context;
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
    clEnqueueReadBuffer: (cl_command_queue, cl_mem, cl_bool, usize, usize, *mut c_void,
        cl_uint, *const cl_event, *mut cl_event) -> cl_int;
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
fn cl() -> &'static Functions {
    FUNCTIONS.get().expect("loaded before the first platform was listed")
}

/// A platform; lives as long as the process.
#[derive(Clone, Copy, Debug)]
pub(crate) struct PlatformId(ffi::cl_platform_id);

/// A root device; lives as long as the process.
#[derive(Clone, Copy, Debug)]
pub(crate) struct DeviceId(ffi::cl_device_id);

macro_rules! handles {
    ($($(#[$doc:meta])* $name:ident($raw:ident), $release:ident;)+) => {$(
        $(#[$doc])*
        #[derive(Debug)]
        pub(crate) struct $name(ffi::$raw);

        impl Drop for $name {
            fn drop(&mut self) {
                // SAFETY: the handle was created for this value alone. (What a lost device answers
                // changes nothing.)
                unsafe { (cl().$release)(self.0) };
            }
        }

        // SAFETY: OpenCL's objects belong to no thread.
        unsafe impl Send for $name {}
    )+};
}

handles! {
    /// A device's context.
    Context(cl_context), clReleaseContext;
    /// An in-order queue.
    CommandQueue(cl_command_queue), clReleaseCommandQueue;
    /// A buffer.
    Mem(cl_mem), clReleaseMemObject;
    /// A program.
    Program(cl_program), clReleaseProgram;
    /// A kernel of a program, with its arguments: one thread at a time may use it.
    Kernel(cl_kernel), clReleaseKernel;
    /// A command's state.
    Event(cl_event), clReleaseEvent;
}

// SAFETY: all calls that take a buffer may be made by several threads at once.
unsafe impl Sync for Mem {}
// SAFETY: a built program is only read: several threads may create kernels of it at once.
unsafe impl Sync for Program {}
// SAFETY: all calls on a context, a queue and the device may be made by several threads at once;
// the list of data is locked.
unsafe impl Sync for Queue {}
// SAFETY: the device's handle is a name that any thread may use.
unsafe impl Send for Queue {}

/// A call that failed, and its status.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Failure {
    pub call: &'static str,
    pub code: i32,
}

impl Failure {
    /// An allocation that can't be met.
    pub const OUT_OF_MEMORY: Self =
        Failure { call: "clCreateBuffer", code: MEM_OBJECT_ALLOCATION_FAILURE };

    /// The status by name, where it has one.
    pub fn status(&self) -> String {
        match STATUSES.iter().find(|(code, _)| *code == self.code) {
            Some((code, name)) => format!("{name} ({code})"),
            None => format!("status {}", self.code),
        }
    }

    /// Whether memory was refused.
    pub fn is_memory(&self) -> bool {
        match self.code {
            MEM_OBJECT_ALLOCATION_FAILURE | OUT_OF_HOST_MEMORY | INVALID_BUFFER_SIZE => true,
            // Of a command it may mean registers, time or a crash, too.
            OUT_OF_RESOURCES => self.call == "clCreateBuffer",
            _ => false,
        }
    }

    /// Whether the device is gone, and with it everything that it held.
    pub fn is_loss(&self) -> bool {
        matches!(
            self.code,
            DEVICE_NOT_AVAILABLE
                | INVALID_DEVICE
                | INVALID_CONTEXT
                | INVALID_COMMAND_QUEUE
                | ILLEGAL_ACCESS
        )
    }
}

const DEVICE_NOT_FOUND: i32 = -1;
const DEVICE_NOT_AVAILABLE: i32 = -2;
const MEM_OBJECT_ALLOCATION_FAILURE: i32 = -4;
const OUT_OF_RESOURCES: i32 = -5;
const OUT_OF_HOST_MEMORY: i32 = -6;
const INVALID_DEVICE: i32 = -33;
const INVALID_CONTEXT: i32 = -34;
const INVALID_COMMAND_QUEUE: i32 = -36;
const INVALID_BUFFER_SIZE: i32 = -61;
const PLATFORM_NOT_FOUND: i32 = -1001;
const ILLEGAL_ACCESS: i32 = -9999;

/// The statuses that a user may meet.
const STATUSES: [(i32, &str); 24] = [
    (DEVICE_NOT_FOUND, "CL_DEVICE_NOT_FOUND"),
    (DEVICE_NOT_AVAILABLE, "CL_DEVICE_NOT_AVAILABLE"),
    (-3, "CL_COMPILER_NOT_AVAILABLE"),
    (MEM_OBJECT_ALLOCATION_FAILURE, "CL_MEM_OBJECT_ALLOCATION_FAILURE"),
    (OUT_OF_RESOURCES, "CL_OUT_OF_RESOURCES"),
    (OUT_OF_HOST_MEMORY, "CL_OUT_OF_HOST_MEMORY"),
    (-11, "CL_BUILD_PROGRAM_FAILURE"),
    (-14, "CL_EXEC_STATUS_ERROR_FOR_EVENTS_IN_WAIT_LIST"),
    (-30, "CL_INVALID_VALUE"),
    (INVALID_DEVICE, "CL_INVALID_DEVICE"),
    (INVALID_CONTEXT, "CL_INVALID_CONTEXT"),
    (INVALID_COMMAND_QUEUE, "CL_INVALID_COMMAND_QUEUE"),
    (-38, "CL_INVALID_MEM_OBJECT"),
    (-43, "CL_INVALID_BUILD_OPTIONS"),
    (-46, "CL_INVALID_KERNEL_NAME"),
    (-49, "CL_INVALID_ARG_INDEX"),
    (-50, "CL_INVALID_ARG_VALUE"),
    (-51, "CL_INVALID_ARG_SIZE"),
    (-52, "CL_INVALID_KERNEL_ARGS"),
    (-54, "CL_INVALID_WORK_GROUP_SIZE"),
    (-55, "CL_INVALID_WORK_ITEM_SIZE"),
    (INVALID_BUFFER_SIZE, "CL_INVALID_BUFFER_SIZE"),
    (PLATFORM_NOT_FOUND, "CL_PLATFORM_NOT_FOUND_KHR"),
    (ILLEGAL_ACCESS, "an illegal access in a kernel (a status of NVIDIA's)"),
];

fn checked(call: &'static str, code: i32) -> Result<(), Failure> {
    if code == 0 { Ok(()) } else { Err(Failure { call, code }) }
}

/// The installed platforms; none if there is no vendor's implementation. The library must be
/// [loaded](load).
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
fn two_calls(mut get: impl FnMut(usize, *mut c_void, *mut usize) -> i32) -> Vec<u8> {
    let mut size = 0;
    if get(0, null_mut(), &mut size) != 0 {
        return Vec::new();
    }
    let mut bytes = vec![0u8; size];
    if get(size, bytes.as_mut_ptr().cast(), null_mut()) == 0 { bytes } else { Vec::new() }
}

fn text(bytes: &[u8]) -> String {
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

/// An argument of a kernel.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Arg<'a> {
    /// A buffer.
    Mem(&'a Mem),
    /// Local memory of that many bytes.
    Local(usize),
    /// `uint`, or a vector of the first that many.
    Words([u32; 8], usize),
    /// `ulong`.
    Long(u64),
    /// `float`.
    Single(f32),
    /// `double`.
    Double(f64),
}

/// Data on its way to the device: it must stay where it is until the command has run.
struct Sent {
    done: Event,
    bytes: usize,
    _data: Box<dyn std::any::Any + Send>,
}

/// Bytes under way to the device from which on a transfer waits for those before it.
const UNDER_WAY: usize = 1 << 28;

/// A device with a context and an in-order queue.
pub(crate) struct Queue {
    // Dropped in this order: the queue before its context.
    queue: CommandQueue,
    context: Context,
    device: DeviceId,
    sent: std::sync::Mutex<Vec<Sent>>,
}

impl Queue {
    pub fn open(device: DeviceId) -> Result<Self, Failure> {
        let (id, mut code) = (device.0, 0);
        // SAFETY: one valid device, no properties, no callback.
        let context =
            unsafe { (cl().clCreateContext)(null(), 1, &id, None, null_mut(), &mut code) };
        checked("clCreateContext", code)?;
        let context = Context(context);
        // SAFETY: the context holds the device; no properties: commands run in order.
        let queue = unsafe { (cl().clCreateCommandQueue)(context.0, id, 0, &mut code) };
        checked("clCreateCommandQueue", code)?;
        let queue = CommandQueue(queue);
        Ok(Queue { queue, context, device, sent: std::sync::Mutex::new(Vec::new()) })
    }

    /// Compiles a program; on failure the compiler's log is there too.
    pub fn build(&self, source: &str, options: &str) -> Result<Program, (Failure, String)> {
        let without_log = |failure| (failure, String::new());
        let options = CString::new(options).expect("options without zero bytes");
        let (start, length, mut code): (*const c_char, usize, i32) =
            (source.as_ptr().cast(), source.len(), 0);
        // SAFETY: one string of the given length.
        let program = unsafe {
            (cl().clCreateProgramWithSource)(self.context.0, 1, &start, &length, &mut code)
        };
        checked("clCreateProgramWithSource", code).map_err(without_log)?;
        let program = Program(program);
        let id = self.device.0;
        // SAFETY: one valid device, a string that ends in zero, no callback: the call returns when
        // the program is built.
        let code =
            unsafe { (cl().clBuildProgram)(program.0, 1, &id, options.as_ptr(), None, null_mut()) };
        if let Err(failure) = checked("clBuildProgram", code) {
            // SAFETY: `two_calls` passes a size and a buffer of that size.
            let log = two_calls(|size, value, needed| unsafe {
                (cl().clGetProgramBuildInfo)(
                    program.0,
                    id,
                    ffi::CL_PROGRAM_BUILD_LOG,
                    size,
                    value,
                    needed,
                )
            });
            return Err((failure, text(&log)));
        }
        Ok(program)
    }

    /// A kernel of a program.
    pub fn kernel(&self, program: &Program, name: &str) -> Result<Kernel, Failure> {
        let (name, mut code) = (CString::new(name).expect("a name without zero bytes"), 0);
        // SAFETY: a built program and a string that ends in zero.
        let kernel = unsafe { (cl().clCreateKernel)(program.0, name.as_ptr(), &mut code) };
        checked("clCreateKernel", code)?;
        Ok(Kernel(kernel))
    }

    /// Memory of the device, at least one byte.
    pub fn allocate(&self, bytes: usize) -> Result<Mem, Failure> {
        let mut code = 0;
        // SAFETY: no host pointer is passed.
        let mem = unsafe {
            (cl().clCreateBuffer)(
                self.context.0,
                ffi::CL_MEM_READ_WRITE,
                bytes,
                null_mut(),
                &mut code,
            )
        };
        checked("clCreateBuffer", code)?;
        Ok(Mem(mem))
    }

    /// Sends data to the start of a buffer; does not wait.
    pub fn write<T: Send + 'static>(&self, mem: &Mem, data: Vec<T>) -> Result<(), Failure> {
        let bytes = size_of_val(data.as_slice());
        if bytes == 0 {
            return Ok(());
        }
        let mut sent = self.sent.lock().expect("no panic while the list is locked");
        sent.retain(|sent| !is_done(&sent.done));
        if sent.iter().map(|sent| sent.bytes).sum::<usize>() + bytes > UNDER_WAY {
            self.finish()?;
            sent.clear();
        }
        let mut event = null_mut();
        let (queue, start) = (self.queue.0, data.as_ptr().cast());
        // SAFETY: the data stays allocated where it is until its event is complete or the queue is
        // finished; the driver checks the range against the buffer.
        let code = unsafe {
            (cl().clEnqueueWriteBuffer)(queue, mem.0, 0, 0, bytes, start, 0, null(), &mut event)
        };
        checked("clEnqueueWriteBuffer", code)?;
        let done = Event(event);
        sent.push(Sent { done, bytes, _data: Box::new(data) });
        Ok(())
    }

    /// `len` numbers of a buffer from position `start` on; waits for all commands before.
    pub fn read<T: Copy + Default>(
        &self,
        mem: &Mem,
        start: usize,
        len: usize,
    ) -> Result<Vec<T>, Failure> {
        let mut data = vec![T::default(); len];
        if len > 0 {
            let (to, size, queue) = (data.as_mut_ptr().cast(), size_of::<T>(), self.queue.0);
            // SAFETY: `data` has room for `len` numbers and the call returns when they are there;
            // for the two float types and u32 (nothing else is read) every bit pattern is a number.
            // The driver checks the range against the buffer.
            let code = unsafe {
                (cl().clEnqueueReadBuffer)(
                    queue,
                    mem.0,
                    1,
                    start * size,
                    len * size,
                    to,
                    0,
                    null(),
                    null_mut(),
                )
            };
            checked("clEnqueueReadBuffer", code)?;
        }
        Ok(data)
    }

    /// Copies `bytes` of a buffer, from a byte on, to the start of another one; does not wait.
    pub fn copy(&self, from: &Mem, start: usize, to: &Mem, bytes: usize) -> Result<(), Failure> {
        let (queue, from, to) = (self.queue.0, from.0, to.0);
        // SAFETY: two valid buffers of this context; the driver checks the ranges.
        let code = unsafe {
            (cl().clEnqueueCopyBuffer)(queue, from, to, start, 0, bytes, 0, null(), null_mut())
        };
        checked("clEnqueueCopyBuffer", code)
    }

    /// Runs a kernel over `global` work-items, from `offset` on, in groups of `local`; does not
    /// wait.
    ///
    /// The callers are this crate's launchers: each hands the kernel buffers whose lengths it has
    /// checked against the shapes that it hands over, and the kernels stay inside those shapes.
    pub fn launch(
        &self,
        kernel: &Kernel,
        args: &[Arg<'_>],
        offset: [usize; 2],
        global: [usize; 2],
        local: [usize; 2],
    ) -> Result<(), Failure> {
        for (at, arg) in args.iter().enumerate() {
            let handle;
            let (size, value): (usize, *const c_void) = match arg {
                Arg::Mem(mem) => {
                    handle = mem.0;
                    (size_of_val(&handle), (&raw const handle).cast())
                }
                Arg::Local(bytes) => (*bytes, null()),
                Arg::Words(words, len) => (size_of_val(&words[..*len]), words.as_ptr().cast()),
                Arg::Long(long) => (size_of_val(long), (&raw const *long).cast()),
                Arg::Single(real) => (size_of_val(real), (&raw const *real).cast()),
                Arg::Double(real) => (size_of_val(real), (&raw const *real).cast()),
            };
            // SAFETY: `value` points to `size` bytes that outlive the call, which copies them; the
            // driver checks number and size.
            checked("clSetKernelArg", unsafe {
                (cl().clSetKernelArg)(kernel.0, at as u32, size, value)
            })?;
        }
        let (queue, kernel) = (self.queue.0, kernel.0);
        let [offset, global, local] = [offset.as_ptr(), global.as_ptr(), local.as_ptr()];
        // SAFETY: all arguments are set, the three lists have two entries each, and the kernel
        // stays inside its buffers (see above). The driver keeps the buffers alive until the
        // command has run.
        let code = unsafe {
            (cl().clEnqueueNDRangeKernel)(
                queue,
                kernel,
                2,
                offset,
                global,
                local,
                0,
                null(),
                null_mut(),
            )
        };
        checked("clEnqueueNDRangeKernel", code)
    }

    /// Hands all commands to the device; does not wait.
    pub fn flush(&self) -> Result<(), Failure> {
        // SAFETY: a valid queue.
        checked("clFlush", unsafe { (cl().clFlush)(self.queue.0) })
    }

    /// Waits for all commands.
    pub fn finish(&self) -> Result<(), Failure> {
        // SAFETY: a valid queue.
        checked("clFinish", unsafe { (cl().clFinish)(self.queue.0) })
    }
}

impl Drop for Queue {
    fn drop(&mut self) {
        // Data under way must not be freed before it has arrived. Where waiting fails the device is
        // gone, and with it the transfer.
        let _ = self.finish();
    }
}

fn is_done(event: &Event) -> bool {
    let mut status = 0i32;
    let (what, size) = (ffi::CL_EVENT_COMMAND_EXECUTION_STATUS, size_of::<i32>());
    // SAFETY: `status` has the size that is passed.
    let code =
        unsafe { (cl().clGetEventInfo)(event.0, what, size, (&raw mut status).cast(), null_mut()) };
    code == 0 && status <= 0
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

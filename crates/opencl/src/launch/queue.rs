//! A device's queue: programs, memory, commands.

use std::ffi::{CString, c_char, c_void};
use std::ptr::{null, null_mut};

use ocl::ffi;

use super::failure::{Failure, checked};
use super::functions::cl;
use super::handles::{CommandQueue, Context, Event, Kernel, Mem, Program};
use super::platforms::{DeviceId, text, two_calls};

/// An argument of a kernel.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Arg<'a> {
    /// A buffer.
    Mem(&'a Mem),
    /// Local memory of that many bytes.
    Local(usize),
    /// `uint`, or a vector of the first that many.
    Words([u32; 16], usize),
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

// SAFETY: all calls on a context, a queue and the device may be made by several threads at once;
// the list of data is locked.
unsafe impl Sync for Queue {}
// SAFETY: the device's handle is a name that any thread may use.
unsafe impl Send for Queue {}

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

    /// Copies `bytes` of a buffer to another one, from a byte of each on; does not wait.
    pub fn copy(
        &self,
        (from, start): (&Mem, usize),
        (to, target): (&Mem, usize),
        bytes: usize,
    ) -> Result<(), Failure> {
        let (queue, from, to) = (self.queue.0, from.0, to.0);
        // SAFETY: two valid buffers of this context; the driver checks the ranges.
        let code = unsafe {
            (cl().clEnqueueCopyBuffer)(queue, from, to, start, target, bytes, 0, null(), null_mut())
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

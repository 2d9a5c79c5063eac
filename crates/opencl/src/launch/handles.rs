//! OpenCL's objects, released when they are dropped.

use ocl::ffi;

use super::functions::cl;

macro_rules! handles {
    ($($(#[$doc:meta])* $name:ident($raw:ident), $release:ident;)+) => {$(
        $(#[$doc])*
        #[derive(Debug)]
        pub(crate) struct $name(pub(super) ffi::$raw);

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

//! Calls that failed, and what their statuses mean.

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

pub(super) const DEVICE_NOT_FOUND: i32 = -1;
const DEVICE_NOT_AVAILABLE: i32 = -2;
const MEM_OBJECT_ALLOCATION_FAILURE: i32 = -4;
const OUT_OF_RESOURCES: i32 = -5;
const OUT_OF_HOST_MEMORY: i32 = -6;
const INVALID_DEVICE: i32 = -33;
const INVALID_CONTEXT: i32 = -34;
const INVALID_COMMAND_QUEUE: i32 = -36;
const INVALID_BUFFER_SIZE: i32 = -61;
pub(super) const PLATFORM_NOT_FOUND: i32 = -1001;
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

pub(super) fn checked(call: &'static str, code: i32) -> Result<(), Failure> {
    if code == 0 { Ok(()) } else { Err(Failure { call, code }) }
}

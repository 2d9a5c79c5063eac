//! What can go wrong with data and devices.

use crate::Shape;

/// Errors of arrays and backends.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The number of values does not fill the shape.
    #[error("{got} values do not fill shape {shape}, which holds {}; pass a shape whose product is \
             {got}", .shape.size())]
    DataLength {
        /// The shape asked for.
        shape: Shape,
        /// The number of values given.
        got: usize,
    },
    /// A shape with more axes than [`Shape::MAX_RANK`].
    #[error("a shape of {rank} axes was asked for; arrays here have at most {}", Shape::MAX_RANK)]
    Rank {
        /// The number of axes asked for.
        rank: usize,
    },
    /// A device refused memory.
    #[error(
        "{device} refused {bytes} bytes ({in_use} bytes are in use; one array may have {largest}, \
         the device has {total}): \
         use fewer samples at a time, or a device with more memory"
    )]
    Memory {
        /// The device, in words.
        device: String,
        /// The number of bytes asked for; all that was in use, where a device finds room only when
        /// a command runs.
        bytes: u64,
        /// The number of bytes that the backend held then.
        in_use: u64,
        /// The largest array that the device says it can hold, in bytes.
        largest: u64,
        /// The device's memory, in bytes.
        total: u64,
    },
    /// A device is gone, and with it all that it held.
    #[error("{device} is lost ({reason}): open it again, and send it the data again")]
    DeviceLost {
        /// The device, in words.
        device: String,
        /// What happened.
        reason: String,
    },
    /// A device failed to run or transfer.
    #[error("{device}: {reason}")]
    Device {
        /// The device, in words.
        device: String,
        /// What happened and what to do about it.
        reason: String,
    },
}

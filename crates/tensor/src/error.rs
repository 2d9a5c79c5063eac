//! What can go wrong with data and devices.

use crate::Shape;

/// Errors of arrays and backends.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The number of values does not fill the shape.
    #[error("{got} values do not fill shape {shape}, which holds {}; pass a shape whose product is {got}", .shape.size())]
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
    /// A device failed to allocate, run or transfer.
    #[error("{device}: {reason}")]
    Device {
        /// The device, in words.
        device: String,
        /// What happened and what to do about it.
        reason: String,
    },
}

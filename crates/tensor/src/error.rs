//! What can go wrong with data and devices.

use crate::DType;

/// Errors of arrays and devices.
#[derive(Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The number of values does not fill the shape.
    #[error(
        "{got} values do not fill shape {shape:?}, which holds {}; pass a shape whose product is \
         {got}",
        .shape.iter().product::<usize>()
    )]
    DataLength {
        /// The shape asked for.
        shape: Vec<usize>,
        /// The number of values given.
        got: usize,
    },
    /// A shape with more axes than [`Shape::MAX_RANK`](crate::Shape::MAX_RANK).
    #[error("a shape of {rank} axes was asked for; arrays here have at most {most}")]
    Rank {
        /// The number of axes asked for.
        rank: usize,
        /// The largest number of axes.
        most: usize,
    },
    /// A shape with more entries than a machine can count.
    #[error(
        "a shape of axes {axes:?} has more entries than a machine can count; check where its \
         lengths come from"
    )]
    Size {
        /// The axis lengths asked for.
        axes: Vec<usize>,
    },
    /// An axis that an array does not have.
    #[error(
        "there is no axis {axis} in shape {shape:?}, whose axes are 0 to {}",
        .shape.len().max(1) - 1
    )]
    NoAxis {
        /// The array's shape.
        shape: Vec<usize>,
        /// The axis asked for.
        axis: usize,
    },
    /// An index beyond an axis.
    #[error(
        "index {index} is out of range: axis {axis} of shape {shape:?} has {} entries",
        .shape[*.axis]
    )]
    IndexOutOfRange {
        /// The array's shape.
        shape: Vec<usize>,
        /// The axis.
        axis: usize,
        /// The index asked for.
        index: usize,
    },
    /// Arrays of different devices or precisions in one computation.
    #[error("{what} is on {got}, but {expected} is needed; convert it with `Tensor::to`")]
    DeviceMismatch {
        /// The array at fault.
        what: String,
        /// Its device, with its precision.
        got: String,
        /// The device that is needed, with its precision.
        expected: String,
    },
    /// A precision that a device does not compute in.
    #[error("{device} does not compute in {dtype}: use another precision or device")]
    NoDType {
        /// The device, in words.
        device: String,
        /// The precision asked for.
        dtype: DType,
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
        /// The number of bytes that the device held then.
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

/// Makes an error's `Debug` its message: that is what `fn main() -> Result<(), …>` and `unwrap`
/// print.
///
/// ```
/// #[derive(thiserror::Error)]
/// #[error("{got} of 3; give one more")]
/// struct TooFew {
///     got: usize,
/// }
/// vivit_tensor::debug_as_display!(TooFew);
///
/// assert_eq!(format!("{:?}", TooFew { got: 2 }), "2 of 3; give one more");
/// ```
#[doc(hidden)]
#[macro_export]
macro_rules! debug_as_display {
    ($($error:ty),+) => {
        $(impl ::std::fmt::Debug for $error {
            fn fmt(&self, f: &mut ::std::fmt::Formatter<'_>) -> ::std::fmt::Result {
                ::std::fmt::Display::fmt(self, f)
            }
        })+
    };
}
debug_as_display!(Error, crate::ParseDTypeError, crate::WindowError);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_reads_as_the_message() {
        let error: Box<dyn std::error::Error> = Box::new(Error::NoAxis { shape: vec![2], axis: 3 });
        assert_eq!(format!("{error:?}"), "there is no axis 3 in shape [2], whose axes are 0 to 0");
        let error = "f16".parse::<DType>().unwrap_err();
        assert_eq!(format!("{error:?}"), "\"f16\" is no precision; f32 and f64 are");
    }
}

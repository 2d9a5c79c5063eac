//! Numbers in host memory, of either precision.

use crate::{DType, Scalar};

/// Numbers in host memory, of either precision.
///
/// ```
/// use vivit_tensor::{DType, HostVec};
///
/// let numbers = HostVec::from(vec![1.5f32, 2.0]);
/// assert_eq!(numbers.dtype(), DType::F32);
/// assert_eq!(numbers.into_vec::<f64>(), [1.5, 2.0]);
/// ```
#[derive(Clone, Debug, PartialEq)]
pub enum HostVec {
    /// Single precision.
    F32(Vec<f32>),
    /// Double precision.
    F64(Vec<f64>),
}

impl HostVec {
    /// `len` times `value`.
    pub fn filled(dtype: DType, len: usize, value: f64) -> Self {
        match dtype {
            DType::F32 => HostVec::F32(vec![value as f32; len]),
            DType::F64 => HostVec::F64(vec![value; len]),
        }
    }

    /// The precision.
    pub fn dtype(&self) -> DType {
        match self {
            HostVec::F32(_) => DType::F32,
            HostVec::F64(_) => DType::F64,
        }
    }

    /// Number of numbers.
    pub fn len(&self) -> usize {
        match self {
            HostVec::F32(numbers) => numbers.len(),
            HostVec::F64(numbers) => numbers.len(),
        }
    }

    /// Returns `true` if there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The number at a position, widened to a double.
    ///
    /// # Panics
    /// If the position is out of range.
    #[track_caller]
    pub fn at(&self, position: usize) -> f64 {
        match self {
            HostVec::F32(numbers) => f64::from(numbers[position]),
            HostVec::F64(numbers) => numbers[position],
        }
    }

    /// The numbers, rounded to the precision of `E`; free if it is their own.
    pub fn into_vec<E: Scalar>(self) -> Vec<E> {
        E::from_host(self)
    }
}

macro_rules! from {
    ($elem:ty, $variant:ident) => {
        impl From<Vec<$elem>> for HostVec {
            fn from(numbers: Vec<$elem>) -> Self {
                HostVec::$variant(numbers)
            }
        }

        impl From<&Vec<$elem>> for HostVec {
            fn from(numbers: &Vec<$elem>) -> Self {
                HostVec::$variant(numbers.clone())
            }
        }

        impl From<&[$elem]> for HostVec {
            fn from(numbers: &[$elem]) -> Self {
                HostVec::$variant(numbers.to_vec())
            }
        }

        impl<const N: usize> From<[$elem; N]> for HostVec {
            fn from(numbers: [$elem; N]) -> Self {
                HostVec::$variant(numbers.to_vec())
            }
        }

        impl<const N: usize> From<&[$elem; N]> for HostVec {
            fn from(numbers: &[$elem; N]) -> Self {
                HostVec::$variant(numbers.to_vec())
            }
        }
    };
}
from!(f32, F32);
from!(f64, F64);

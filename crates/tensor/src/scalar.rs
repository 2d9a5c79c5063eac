//! The element types, `f32` and `f64`, and numbers in host memory of either.

use std::fmt::{Debug, Display};

use num_traits::{Float, NumAssign};

use crate::DType;
use crate::exponential::{erf_f32, exp_f32, exp_f64, tanh_f32, tanh_f64};

mod sealed {
    pub trait Sealed {}
    impl Sealed for f32 {}
    impl Sealed for f64 {}
}

/// A real element type, `f32` or `f64`.
///
/// The trait is sealed: kernels are written for exactly these two.
pub trait Scalar:
    sealed::Sealed
    + Float
    + NumAssign
    + bytemuck::Pod
    + Debug
    + Display
    + Default
    + Send
    + Sync
    + std::iter::Sum
    + 'static
{
    /// The type as a value.
    const DTYPE: DType;
    /// The type's name as the command line spells it: `"f32"` or `"f64"`.
    const NAME: &'static str;
    /// Unit roundoff doubled, `2⁻²³` or `2⁻⁵²`.
    const EPSILON: Self;

    /// Rounds a double to this type.
    fn of(x: f64) -> Self;
    /// Widens to a double; exact.
    fn f64(self) -> f64;
    /// `eˣ` within two units in the last place, in a form that runs in vectors.
    fn exponential(self) -> Self;
    /// `tanh x` within two units in the last place, in a form that runs in vectors.
    fn hyperbolic_tangent(self) -> Self;
    /// The error function `2/√π ∫₀ˣ e^(−t²) dt`.
    fn erf(self) -> Self;
    /// The nearest whole number, the even one of two.
    fn round_even(self) -> Self;
    /// Wraps numbers of this type; free.
    fn into_host(numbers: Vec<Self>) -> HostVec;
    /// The numbers, rounded to this type; free if they are of it.
    fn from_host(numbers: HostVec) -> Vec<Self>;
}

macro_rules! scalar {
    ($elem:ty, $variant:ident, $other:ident, $name:literal, $exp:path, $tanh:path,
     $erf:path) => {
        impl Scalar for $elem {
            const DTYPE: DType = DType::$variant;
            const NAME: &'static str = $name;
            const EPSILON: $elem = <$elem>::EPSILON;
            #[inline]
            fn of(x: f64) -> $elem {
                x as $elem
            }
            #[inline]
            fn f64(self) -> f64 {
                f64::from(self)
            }
            #[inline(always)]
            fn exponential(self) -> $elem {
                $exp(self)
            }
            #[inline(always)]
            fn hyperbolic_tangent(self) -> $elem {
                $tanh(self)
            }
            #[inline(always)]
            fn erf(self) -> $elem {
                $erf(self)
            }
            #[inline(always)]
            fn round_even(self) -> $elem {
                self.round_ties_even()
            }
            fn into_host(numbers: Vec<$elem>) -> HostVec {
                HostVec::$variant(numbers)
            }
            fn from_host(numbers: HostVec) -> Vec<$elem> {
                match numbers {
                    HostVec::$variant(numbers) => numbers,
                    HostVec::$other(numbers) => numbers.into_iter().map(|x| x as $elem).collect(),
                }
            }
        }
    };
}
scalar!(f32, F32, F64, "f32", exp_f32, tanh_f32, erf_f32);
scalar!(f64, F64, F32, "f64", exp_f64, tanh_f64, libm::erf);

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

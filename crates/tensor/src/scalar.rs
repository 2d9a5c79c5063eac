//! The element types, `f32` and `f64`, and their names as values.

use std::fmt::{self, Debug, Display};
use std::str::FromStr;

use num_traits::{Float, NumAssign};

use crate::HostVec;

/// A precision: the element type of an array, as a value.
///
/// ```
/// use vivit_tensor::DType;
///
/// assert_eq!("f64".parse::<DType>(), Ok(DType::F64));
/// assert_eq!(DType::F32.to_string(), "f32");
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum DType {
    /// Single precision, 4 bytes.
    #[default]
    F32,
    /// Double precision, 8 bytes.
    F64,
}

impl DType {
    /// The type's name: `"f32"` or `"f64"`.
    pub fn name(self) -> &'static str {
        match self {
            DType::F32 => f32::NAME,
            DType::F64 => f64::NAME,
        }
    }

    /// Bytes of one element.
    pub fn size(self) -> usize {
        match self {
            DType::F32 => 4,
            DType::F64 => 8,
        }
    }

    /// Unit roundoff doubled, `2⁻²³` or `2⁻⁵²`.
    pub fn epsilon(self) -> f64 {
        match self {
            DType::F32 => f64::from(f32::EPSILON),
            DType::F64 => f64::EPSILON,
        }
    }
}

impl Display for DType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// A text that names no precision.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no precision; f32 and f64 are")]
pub struct ParseDTypeError(String);

impl FromStr for DType {
    type Err = ParseDTypeError;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text.trim() {
            "f32" => Ok(DType::F32),
            "f64" => Ok(DType::F64),
            other => Err(ParseDTypeError(other.into())),
        }
    }
}

/// Runs code that is generic over the element type with the type that a [`DType`] names.
///
/// ```
/// use vivit_tensor::{DType, Scalar, with_dtype};
///
/// assert_eq!(with_dtype!(DType::F32, E => E::NAME), "f32");
/// ```
#[macro_export]
macro_rules! with_dtype {
    ($dtype:expr, $elem:ident => $body:expr) => {
        match $dtype {
            $crate::DType::F32 => {
                type $elem = f32;
                $body
            }
            $crate::DType::F64 => {
                type $elem = f64;
                $body
            }
        }
    };
}

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
    /// The error function `2/√π ∫₀ˣ e^(−t²) dt`.
    fn erf(self) -> Self;
    /// Wraps numbers of this type; free.
    fn into_host(numbers: Vec<Self>) -> HostVec;
    /// The numbers, rounded to this type; free if they are of it.
    fn from_host(numbers: HostVec) -> Vec<Self>;
}

macro_rules! scalar {
    ($elem:ty, $variant:ident, $other:ident, $name:literal, $erf:path) => {
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
            #[inline]
            fn erf(self) -> $elem {
                $erf(self)
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
scalar!(f32, F32, F64, "f32", libm::erff);
scalar!(f64, F64, F32, "f64", libm::erf);

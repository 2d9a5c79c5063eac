//! Precisions as values.

use std::fmt;
use std::str::FromStr;

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
            DType::F32 => "f32",
            DType::F64 => "f64",
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

impl fmt::Display for DType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// A text that names no precision.
#[derive(Clone, PartialEq, Eq, thiserror::Error)]
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

//! The element types: `f32` and `f64`, sealed.

use std::fmt::{Debug, Display};

use num_traits::{Float, NumAssign};

use crate::cpu::kernel::MatMul;
use crate::cpu::pool::Pooled;

/// A real element type, `f32` or `f64`.
///
/// The trait is sealed: kernels are written for exactly these two.
pub trait Scalar:
    Float
    + NumAssign
    + MatMul
    + Pooled
    + Debug
    + Display
    + Default
    + Send
    + Sync
    + std::iter::Sum
    + 'static
{
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
}

impl Scalar for f32 {
    const NAME: &'static str = "f32";
    const EPSILON: f32 = f32::EPSILON;
    #[inline]
    fn of(x: f64) -> f32 {
        x as f32
    }
    #[inline]
    fn f64(self) -> f64 {
        f64::from(self)
    }
    #[inline]
    fn erf(self) -> f32 {
        libm::erff(self)
    }
}

impl Scalar for f64 {
    const NAME: &'static str = "f64";
    const EPSILON: f64 = f64::EPSILON;
    #[inline]
    fn of(x: f64) -> f64 {
        x
    }
    #[inline]
    fn f64(self) -> f64 {
        self
    }
    #[inline]
    fn erf(self) -> f64 {
        libm::erf(self)
    }
}

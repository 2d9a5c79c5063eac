//! `eˣ`, `tanh x` and, in single precision, `erf x` without branches, calls or fused multiply-adds:
//! loops over them run in vectors, with the same bits of any width.
//!
//! The first two after Cephes (S. Moshier): `x = n ln 2 + r`, `|r| ≤ ln 2/2`, and `eˣ = 2ⁿ eʳ` with
//! a polynomial (single precision) or a quotient of two (double) for `eʳ`; `tanh x = 1 − 2/(e²ˣ +
//! 1)` where nothing cancels. The last after N. Juffa. Errors stay below two units in the last
//! place.

/// `2ⁿ`, for exponents of both signs up to a half more than a number's own.
macro_rules! halves {
    ($float:ty, $n:expr, $bias:expr, $bits:expr, $uint:ty) => {{
        // Two factors: their product may be denormal, or overflow to infinity.
        let (first, second) = ($n >> 1, $n - ($n >> 1));
        let power = |n| <$float>::from_bits(((n + $bias) as $uint) << $bits);
        (power(first), power(second))
    }};
}

/// `eˣ` in single precision.
#[inline(always)]
#[allow(clippy::excessive_precision)]
pub(crate) fn exp_f32(x: f32) -> f32 {
    // Adding it rounds to a whole number, which is then in the low bits.
    const ROUND: f32 = 12_582_912.0;
    // Beyond, the result is 0 or infinite; NaN passes.
    let x = if x > 89.0 { 89.0 } else { x };
    let x = if x < -110.0 { -110.0 } else { x };
    let shifted = x * std::f32::consts::LOG2_E + ROUND;
    let n = shifted - ROUND;
    let r = x - n * 0.693_359_375 - n * -2.121_944_4e-4;
    let mut p = 1.987_569_15e-4;
    for c in [
        1.398_199_950_7e-3,
        8.333_451_907_3e-3,
        4.166_579_589_4e-2,
        1.666_666_545_9e-1,
        5.000_000_120_1e-1,
    ] {
        p = p * r + c;
    }
    let (first, second) =
        halves!(f32, shifted.to_bits().wrapping_sub(ROUND.to_bits()) as i32, 127, 23, u32);
    (p * r * r + r + 1.0) * first * second
}

/// `eˣ` in double precision.
#[inline(always)]
#[allow(clippy::excessive_precision)]
pub(crate) fn exp_f64(x: f64) -> f64 {
    const ROUND: f64 = 6_755_399_441_055_744.0;
    let x = if x > 710.0 { 710.0 } else { x };
    let x = if x < -750.0 { -750.0 } else { x };
    let shifted = x * std::f64::consts::LOG2_E + ROUND;
    let n = shifted - ROUND;
    let r = x - n * 6.931_457_519_531_25e-1 - n * 1.428_606_820_309_417_232_12e-6;
    let square = r * r;
    let p = r
        * ((1.261_771_930_748_105_908_78e-4 * square + 3.029_944_077_074_419_613_00e-2) * square
            + 9.999_999_999_999_999_999_10e-1);
    let q = ((3.001_985_051_386_644_550_42e-6 * square + 2.524_483_403_496_841_041_92e-3) * square
        + 2.272_655_482_081_550_287_66e-1)
        * square
        + 2.0;
    let (first, second) =
        halves!(f64, shifted.to_bits().wrapping_sub(ROUND.to_bits()) as i64, 1023, 52, u64);
    (1.0 + 2.0 * (p / (q - p))) * first * second
}

/// Near 0, where `1 − 2/(e²ˣ + 1)` would cancel.
const SMALL: f64 = 0.625;

/// `tanh x` in single precision.
#[inline(always)]
#[allow(clippy::excessive_precision)]
pub(crate) fn tanh_f32(x: f32) -> f32 {
    let (a, z) = (x.abs(), x * x);
    let mut p = -5.704_988_727_45e-3;
    for c in [2.063_908_879_54e-2, -5.373_971_555_31e-2, 1.333_144_220_36e-1, -3.333_328_194_22e-1]
    {
        p = p * z + c;
    }
    let large = 1.0 - 2.0 / (exp_f32(a + a) + 1.0);
    let large = if x < 0.0 { -large } else { large };
    if a < SMALL as f32 { x + x * (z * p) } else { large }
}

/// `tanh x` in double precision.
#[inline(always)]
#[allow(clippy::excessive_precision)]
pub(crate) fn tanh_f64(x: f64) -> f64 {
    let (a, z) = (x.abs(), x * x);
    let p = (-9.643_991_794_250_522_386_28e-1 * z - 9.928_772_310_019_185_865_64e1) * z
        - 1.614_687_684_417_084_479_52e3;
    let q = ((z + 1.128_116_784_916_329_314_02e2) * z + 2.235_488_390_601_004_485_83e3) * z
        + 4.844_063_053_251_254_860_48e3;
    let large = 1.0 - 2.0 / (exp_f64(a + a) + 1.0);
    let large = if x < 0.0 { -large } else { large };
    if a < SMALL { x + x * (z * (p / q)) } else { large }
}

/// `2/√π ∫₀ˣ e^(−t²) dt` in single precision: x times a polynomial in x² near 0, beyond `1 −
/// e^(−p(|x|))`.
#[inline(always)]
#[allow(clippy::excessive_precision)]
pub(crate) fn erf_f32(x: f32) -> f32 {
    let a = x.abs();
    // From here on it rounds to 1; NaN passes.
    let t = if a > 4.0 { 4.0 } else { a };
    let s = t * t;
    let r = -1.728_534_7e-5 * t + 3.831_971_3e-4;
    let u = -3.883_964_4e-3 * t + 2.425_462_2e-2;
    let mut p = r * s + u;
    for c in [-1.067_778_8e-1, -6.348_466_9e-1, -1.287_175_1e-1] {
        p = p * t + c;
    }
    let large = 1.0 - exp_f32(p * t - t);
    let large = if x < 0.0 { -large } else { large };
    let mut p = -5.967_617e-4;
    for c in [4.991_194_2e-3, -2.676_813_5e-2, 1.128_199_25e-1, -3.761_253_4e-1, 1.283_791_7e-1] {
        p = p * s + c;
    }
    if a > 0.927_734_4 { large } else { x + x * p }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Against the platform's, at 200 001 places and the ends.
    #[test]
    fn exponentials_are_right_to_two_units_in_the_last_place() {
        for i in 0..=200_000 {
            let x = -750.0 + 1459.7 * f64::from(i) / 200_000.0;
            let expected = x.exp();
            let error = (exp_f64(x) - expected).abs();
            let unit = (f64::EPSILON * expected).max(f64::from_bits(1));
            assert!(error <= 2.0 * unit, "{x}: {error:e}");
            let x = (-104.0 + 192.7 * f64::from(i) / 200_000.0) as f32;
            let expected = f64::from(x).exp();
            let error = (f64::from(exp_f32(x)) - expected).abs();
            let unit = (f64::from(f32::EPSILON) * expected).max(f32::from_bits(1).into());
            assert!(error <= 2.0 * unit, "{x}: {error:e}");
        }
        for x in [0.0, f64::NEG_INFINITY, f64::INFINITY, -745.2, 709.78, 709.79, -1e300, 1e300] {
            assert_eq!(exp_f64(x), x.exp(), "{x}");
        }
        for x in [0.0, f32::NEG_INFINITY, f32::INFINITY, 88.73, -1e38, 1e38] {
            assert_eq!(exp_f32(x), x.exp(), "{x}");
        }
        assert!(exp_f64(f64::NAN).is_nan() && exp_f32(f32::NAN).is_nan());
    }

    /// Against the platform's.
    #[test]
    fn hyperbolic_tangents_are_right_to_two_units_in_the_last_place() {
        for i in 0..=200_000 {
            let x = -25.0 + 50.0 * f64::from(i) / 200_000.0;
            let expected = x.tanh();
            let error = (tanh_f64(x) - expected).abs();
            assert!(error <= 2.0 * f64::EPSILON * expected.abs(), "{x}: {error:e}");
            let x = x as f32;
            let expected = f64::from(x).tanh();
            let error = (f64::from(tanh_f32(x)) - expected).abs();
            assert!(error <= 2.0 * f64::from(f32::EPSILON) * expected.abs(), "{x}: {error:e}");
        }
        for x in [0.0, -1e-300, 1e300, f64::INFINITY, f64::NEG_INFINITY] {
            assert_eq!((tanh_f64(x), tanh_f32(x as f32)), (x.tanh(), (x as f32).tanh()), "{x}");
        }
        assert!(tanh_f64(f64::NAN).is_nan() && tanh_f32(f32::NAN).is_nan());
    }

    /// Against libm's in double precision.
    #[test]
    fn error_functions_are_right_to_two_units_in_the_last_place() {
        for i in 0..=200_000 {
            let x = (-6.0 + 12.0 * f64::from(i) / 200_000.0) as f32;
            let expected = libm::erf(x.into());
            let error = (f64::from(erf_f32(x)) - expected).abs();
            assert!(error <= 2.0 * f64::from(f32::EPSILON) * expected.abs(), "{x}: {error:e}");
        }
        for x in [0.0, -1e-30, 1e38, f32::INFINITY, f32::NEG_INFINITY] {
            assert_eq!(erf_f32(x), libm::erff(x), "{x}");
        }
        assert!(erf_f32(f32::NAN).is_nan());
    }
}

//! Floats of 16 bits, which files hold and devices do not: widened to 32 bits, exactly.

/// The number of IEEE 754's half precision (`F16`) with these bits: 1 of sign, 5 of exponent, 10 of
/// mantissa. Exact, NaNs with their sign and payload.
///
/// ```
/// use vivit_tensor::f32_of_f16;
///
/// assert_eq!([0x3c00, 0xc000, 0x0001].map(f32_of_f16), [1.0, -2.0, 2f32.powi(-24)]);
/// ```
pub fn f32_of_f16(bits: u16) -> f32 {
    let (exponent, mantissa) = (u32::from(bits >> 10) & 0x1f, u32::from(bits & 0x3ff));
    let size = match exponent {
        // Below the normal numbers: steps of 2⁻²⁴.
        0 => (mantissa as f32 * 2f32.powi(-24)).to_bits(),
        // Infinities and NaNs.
        0x1f => 0x7f80_0000 | (mantissa << 13),
        // The exponents are biased by 15 and by 127.
        _ => ((exponent + 112) << 23) | (mantissa << 13),
    };
    f32::from_bits((u32::from(bits >> 15) << 31) | size)
}

/// The number of bfloat16 (`BF16`) with these bits: the first half of a 32-bit float's.
///
/// ```
/// use vivit_tensor::f32_of_bf16;
///
/// assert_eq!([0x3f80, 0xc000, 0x7f80].map(f32_of_bf16), [1.0, -2.0, f32::INFINITY]);
/// ```
pub fn f32_of_bf16(bits: u16) -> f32 {
    f32::from_bits(u32::from(bits) << 16)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn halves_of_the_standards_tables() {
        for (bits, number) in [
            (0x3c00, 1.0),
            (0xc000, -2.0),
            (0x7bff, 65504.0),
            (0x3555, 0.333_251_95),
            (0x0001, 5.960_464_5e-8),
            (0x03ff, 6.097_555e-5),
            (0x0400, 6.103_515_6e-5),
            (0x7c00, f32::INFINITY),
            (0xfc00, f32::NEG_INFINITY),
            (0x0000, 0.0),
        ] {
            assert_eq!(f32_of_f16(bits), number, "{bits:#06x}");
        }
        assert!(f32_of_f16(0x8000).is_sign_negative());
        assert!([0x7e00, 0x7c01, 0xffff].iter().all(|&bits| f32_of_f16(bits).is_nan()));
    }

    /// Every finite number of half precision is `± mantissa · 2ᵉ`, written out.
    #[test]
    fn every_half_is_exact() {
        for bits in 0..=u16::MAX {
            let (exponent, mantissa) = (i32::from(bits >> 10) & 0x1f, f64::from(bits & 0x3ff));
            if exponent == 0x1f {
                continue;
            }
            let size = if exponent == 0 {
                mantissa * 2f64.powi(-24)
            } else {
                (1024.0 + mantissa) * 2f64.powi(exponent - 25)
            };
            let number = if bits >> 15 == 1 { -size } else { size };
            assert_eq!(f64::from(f32_of_f16(bits)), number, "{bits:#06x}");
        }
    }
}

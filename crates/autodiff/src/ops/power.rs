//! Derivatives of `aᵇ`.

use vivit_tensor::{Binary, Tensor, Unary};

/// `x` where `mask` is not 0, 0 elsewhere.
fn keep(mask: &Tensor, x: &Tensor) -> Tensor {
    mask.where_cond(x, &Tensor::zeros(x.device(), []))
}

/// `c aᵇ⁻ᵏ`, 0 where c is.
fn lowered(c: &Tensor, a: &Tensor, b: &Tensor, k: f64) -> Tensor {
    keep(c, &a.binary(Binary::Pow, &b.unary(Unary::Shift(-k)))).mul(c)
}

/// `∂/∂a = b aᵇ⁻¹`, 0 for b = 0.
pub(super) fn in_base(a: &Tensor, b: &Tensor) -> Tensor {
    lowered(b, a, b, 1.0)
}

/// `∂/∂b = aᵇ log a`, 0 for a = 0.
pub(super) fn in_exponent(a: &Tensor, out: &Tensor) -> Tensor {
    keep(a, &out.mul(&a.unary(Unary::Ln)))
}

/// Of second derivatives the one with `exponents` of two in b: `b (b − 1) aᵇ⁻²`, `aᵇ⁻¹ (1 + b log
/// a)` and `aᵇ log² a`; the latter two are 0 for a = 0.
pub(super) fn second(a: &Tensor, b: &Tensor, out: &Tensor, exponents: usize) -> Tensor {
    match exponents {
        0 => lowered(&b.mul(&b.unary(Unary::Shift(-1.0))), a, b, 2.0),
        1 => {
            let slope = b.mul(&a.unary(Unary::Ln)).unary(Unary::Shift(1.0));
            keep(a, &a.binary(Binary::Pow, &b.unary(Unary::Shift(-1.0))).mul(&slope))
        }
        _ => keep(a, &out.mul(&a.unary(Unary::Ln).unary(Unary::Square))),
    }
}

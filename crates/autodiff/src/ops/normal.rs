//! Derivatives of what is normalised to mean zero and variance one, wherever the means are taken.
//!
//! With `x̂ = (x − μ)/σ` and `σ² = mean((x − μ)²) + ε`, along a tangent t:
//!
//! ```text
//! J t = (t − mean(t) − x̂ mean(x̂ ∘ t))/σ        (symmetric: Jᵀ = J)
//! R t = −(mean(x̂ ∘ t) Jᵀm + J t mean(m ∘ x̂) + x̂ mean(m ∘ J t))/σ
//! ```
//!
//! Where the mean is not subtracted, `mean(t)` is left out.

use vivit_tensor::{Tensor, Unary};

/// `x̂` and `1/σ`, in a layout that repeats along the columns of a matrix.
pub(super) struct Normal<M> {
    pub normal: Tensor,
    pub inverse: Tensor,
    /// The means, in a layout that repeats over what they are taken of.
    pub mean: M,
    /// Whether the mean was subtracted.
    pub centre: bool,
}

/// `1/σ` of a variance.
pub(super) fn inverse_deviation(variance: &Tensor, epsilon: f64) -> Tensor {
    variance.unary(Unary::Shift(epsilon)).unary(Unary::Sqrt).unary(Unary::Recip)
}

impl<M: Fn(&Tensor) -> Tensor> Normal<M> {
    /// `J t`, which is `Jᵀ t`, of every column.
    pub fn product(&self, t: &Tensor) -> Tensor {
        let mut rest = t.sub(&(self.mean)(&t.mul(&self.normal)).mul(&self.normal));
        if self.centre {
            rest = rest.sub(&(self.mean)(t));
        }
        rest.mul(&self.inverse)
    }

    /// `R t` for the gradient m.
    pub fn residual(&self, m: &Tensor, t: &Tensor) -> Tensor {
        let (pulled, moved) = (self.product(m), self.product(t));
        let first = (self.mean)(&t.mul(&self.normal)).mul(&pulled);
        let second = moved.mul(&(self.mean)(&m.mul(&self.normal)));
        let third = (self.mean)(&moved.mul(m)).mul(&self.normal);
        first.add(&second).add(&third).mul(&self.inverse).scale(-1.0)
    }
}

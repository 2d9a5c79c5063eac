//! Softmax and its logarithm along an axis.

use vivit_tensor::{Tensor, Unary};

use crate::{Batch, Io, Op, Second, Tape, Var};

/// `y = e^x / Σ e^x` along an axis or, with `log`, `y = x − log Σ e^x`.
#[derive(Clone, Copy, Debug)]
pub struct Softmax {
    /// The axis of the value, the sample axis counted.
    pub axis: usize,
    /// Whether the logarithm is taken.
    pub log: bool,
}

impl Softmax {
    /// The sum along the axis (shifted by `lead` leading axes), kept with length one.
    fn sum(self, x: &Tensor, lead: usize) -> Tensor {
        let mut shape = x.shape().to_vec();
        shape[self.axis + lead] = 1;
        x.sum(self.axis + lead).reshape(&shape)
    }

    /// Softmax from the result.
    fn probabilities(self, out: &Tensor) -> Tensor {
        if self.log { out.unary(Unary::Exp) } else { out.clone() }
    }

    /// With `ṗ = p ∘ (t − Σ p ∘ t)`: `ṗ ∘ (m − Σ p ∘ m) − p Σ ṗ ∘ m`; for the logarithm `−ṗ Σ m`
    pub(super) fn residual(self, io: Io<'_>, mat: &Tensor, tangent: &Tensor) -> Tensor {
        let p = self.probabilities(io.out);
        let moved = tangent.sub(&self.sum(&tangent.mul(&p), 1)).mul(&p);
        if self.log {
            return moved.mul(&self.sum(mat, 1)).scale(-1.0);
        }
        let first = moved.mul(&mat.sub(&self.sum(&mat.mul(&p), 1)));
        first.sub(&self.sum(&moved.mul(mat), 1).mul(&p))
    }
}

impl Op for Softmax {
    fn name(&self) -> &'static str {
        if self.log { "log-softmax" } else { "softmax" }
    }

    fn forward(&self, args: &[&Tensor]) -> Tensor {
        let x = args[0];
        if !self.log {
            return x.softmax(self.axis);
        }
        let mut shape = x.shape().to_vec();
        shape[self.axis] = 1;
        let shifted = x.sub(&x.reduce(vivit_tensor::Reduce::Max, self.axis).reshape(&shape));
        shifted.sub(&self.sum(&shifted.unary(Unary::Exp), 0).unary(Unary::Ln))
    }

    /// `p ∘ (M − Σ p ∘ M)`; for the logarithm `M − p Σ M`
    fn jac_t(&self, io: Io<'_>, _wrt: usize, mat: &Tensor, _batch: Batch) -> Tensor {
        let p = self.probabilities(io.out);
        if self.log {
            return mat.sub(&self.sum(mat, 1).mul(&p));
        }
        let mut product = mat.clone();
        product.softmax_chain(&p, self.axis);
        product
    }

    /// `p ∘ (t − Σ p ∘ t)`; for the logarithm `t − Σ p ∘ t`
    fn jac(&self, io: Io<'_>, wrt: usize, tangent: &Tensor) -> Tensor {
        if self.log {
            return tangent.sub(&self.sum(&tangent.mul(&self.probabilities(io.out)), 1));
        }
        self.jac_t(io, wrt, tangent, Batch::Sum)
    }

    fn second(&self, _wrt: usize, _along: usize) -> Second<'_> {
        Second::product(|io, mat, tangent, _batch| self.residual(io, mat, tangent))
    }
}

impl Tape {
    #[track_caller]
    fn softmax_op(&mut self, x: Var, axis: usize, log: bool) -> Var {
        self.expect_axis("softmax", x, axis);
        self.record(Softmax { axis, log }, &[x])
    }

    /// Softmax along axis `axis`.
    ///
    /// # Panics
    /// If there is no such axis, or it is the sample axis.
    #[track_caller]
    pub fn softmax(&mut self, x: Var, axis: usize) -> Var {
        self.softmax_op(x, axis, false)
    }

    /// The logarithm of softmax along axis `axis`.
    ///
    /// # Panics
    /// If there is no such axis, or it is the sample axis.
    #[track_caller]
    pub fn log_softmax(&mut self, x: Var, axis: usize) -> Var {
        self.softmax_op(x, axis, true)
    }
}

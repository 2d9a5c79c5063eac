//! The sum or the mean over an axis.

use vivit_tensor::Tensor;

use crate::{Batch, Io, Op, Second, Tape, Var};

/// `factor · Σ` over an axis, which disappears.
#[derive(Clone, Copy, Debug)]
pub struct Sum {
    /// The axis of the value.
    pub axis: usize,
    /// The factor: 1 for a sum, 1/length for a mean.
    pub factor: f64,
}

impl Op for Sum {
    fn name(&self) -> &'static str {
        "sum over an axis"
    }

    fn forward(&self, args: &[&Tensor]) -> Tensor {
        args[0].sum(self.axis).scale(self.factor)
    }

    /// `factor · M`, repeated along the axis.
    fn jac_t(&self, io: Io<'_>, _wrt: usize, mat: &Tensor, _batch: Batch) -> Tensor {
        let to = io.args[0].shape().prefixed(&mat.shape()[..1]);
        let mut thin = to.to_vec();
        thin[self.axis + 1] = 1;
        mat.scale(self.factor).reshape(&thin).broadcast(to)
    }

    fn jac(&self, _io: Io<'_>, _wrt: usize, tangent: &Tensor) -> Tensor {
        tangent.sum(self.axis + 1).scale(self.factor)
    }

    fn second(&self, _wrt: usize, _along: usize) -> Second<'_> {
        Second::Zero
    }
}

impl Tape {
    #[track_caller]
    fn sum_op(&mut self, x: Var, axis: usize, mean: bool) -> Var {
        self.expect_axis(if mean { "mean" } else { "sum" }, x, axis);
        let shape = self.value(x).shape();
        let factor = if mean { 1.0 / shape[axis] as f64 } else { 1.0 };
        self.record(Sum { axis, factor }, &[x])
    }

    /// The sum over axis `axis`, which disappears.
    ///
    /// # Panics
    /// If there is no such axis, or it is the sample axis.
    #[track_caller]
    pub fn sum(&mut self, x: Var, axis: usize) -> Var {
        self.sum_op(x, axis, false)
    }

    /// The mean over axis `axis`, which disappears.
    ///
    /// # Panics
    /// If there is no such axis, or it is the sample axis.
    #[track_caller]
    pub fn mean(&mut self, x: Var, axis: usize) -> Var {
        self.sum_op(x, axis, true)
    }
}

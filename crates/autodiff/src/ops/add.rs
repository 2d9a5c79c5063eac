//! `y = a + b`.

use vivit_tensor::{Backend, Tensor};

use crate::op::sum_to;
use crate::{Batch, Io, Op, Tape, Var};

/// The sum of two values. Axes of length one repeat; a value without a sample axis repeats for every sample.
#[derive(Clone, Copy, Debug)]
pub struct Add;

impl<B: Backend> Op<B> for Add {
    fn name(&self) -> &'static str {
        "add"
    }

    fn forward(&self, args: &[&Tensor<B>]) -> Tensor<B> {
        args[0].add(args[1])
    }

    /// `M`, summed over the axes that were repeated.
    fn jac_t(&self, io: Io<'_, B>, wrt: usize, mat: &Tensor<B>, batch: Batch) -> Tensor<B> {
        let keep = batch == Batch::Keep && io.out_batched() && !io.batched[wrt];
        sum_to(mat, io.args[wrt].shape(), keep)
    }

    fn jac(&self, io: Io<'_, B>, wrt: usize, tangent: &Tensor<B>) -> Tensor<B> {
        // A repeated value has fewer axes: ones between K and its own.
        let (own, out, k) = (io.args[wrt].shape(), io.out.shape(), tangent.shape()[0]);
        let mut front = vec![1; 1 + out.rank() - own.rank()];
        front[0] = k;
        tangent.reshape(own.prefixed(&front)).broadcast(out.prefixed(&[k]))
    }
}

impl<B: Backend> Tape<B> {
    /// `a + b`: equal shapes, or axes of length one (and for parameters missing leading axes) that repeat.
    ///
    /// # Panics
    /// If the shapes do not fit, or a parameter would repeat along the sample axis in a way that is not plain.
    #[track_caller]
    pub fn add(&mut self, a: Var, b: Var) -> Var {
        let rank = |var| self.value(var).shape().rank();
        let fits = match (self.is_batched(a), self.is_batched(b)) {
            (true, true) | (false, false) => rank(a) == rank(b),
            (true, false) => rank(b) < rank(a),
            (false, true) => rank(a) < rank(b),
        };
        assert!(
            fits,
            "add: {} and {}: values with a sample axis need equal numbers of axes, a parameter fewer",
            self.value(a).shape(),
            self.value(b).shape()
        );
        self.record(Add, &[a, b])
    }
}

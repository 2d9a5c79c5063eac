//! The axes of each sample in another order.

use vivit_tensor::Tensor;

use crate::{Batch, Effort, Io, Op, Second, Tape, Var};

/// Axis `i` of the result is axis `order[i]` of the argument.
#[derive(Clone, Debug)]
pub struct Permute {
    order: Vec<usize>,
}

impl Permute {
    fn apply(&self, x: &Tensor, inverse: bool) -> Tensor {
        let lead = x.shape().rank() - self.order.len();
        let mut axes: Vec<usize> = (0..x.shape().rank()).collect();
        for (to, &from) in self.order.iter().enumerate() {
            let (to, from) = if inverse { (from, to) } else { (to, from) };
            axes[lead + to] = lead + from;
        }
        x.permute(&axes)
    }
}

impl Op for Permute {
    fn name(&self) -> &'static str {
        "permute"
    }

    fn forward(&self, args: &[&Tensor]) -> Tensor {
        self.apply(args[0], false)
    }

    fn jac_t(&self, _io: Io<'_>, _wrt: usize, mat: &Tensor, _batch: Batch) -> Tensor {
        self.apply(mat, true)
    }

    fn jac(&self, _io: Io<'_>, _wrt: usize, tangent: &Tensor) -> Tensor {
        self.apply(tangent, false)
    }

    fn effort(&self, io: Io<'_>, _wrt: usize) -> Effort {
        Effort::of(io.out_share())
    }

    fn second(&self, _wrt: usize, _along: usize) -> Second<'_> {
        Second::Zero
    }
}

impl Tape {
    /// Axis `i` of the result is axis `order[i]` of `x`; a sample axis stays in front.
    ///
    /// # Panics
    /// If `order` is no permutation of the axes, or moves the sample axis.
    #[track_caller]
    pub fn permute(&mut self, x: Var, order: &[usize]) -> Var {
        assert!(
            !self.is_batched(x) || order.first() == Some(&0),
            "permute {order:?} of {}: axis 0 is the sample axis, it stays in front",
            self.value(x).shape()
        );
        self.record(Permute { order: order.to_vec() }, &[x])
    }
}

//! The same entries in another shape.

use vivit_tensor::{Shape, Tensor};

use crate::{Batch, Effort, Io, Op, Second, Tape, Var};

/// Reshapes to the held shape (the sample axis, where there is one, included).
#[derive(Clone, Copy, Debug)]
pub struct Reshape {
    /// The shape behind the sample axis, or the whole one of an unbatched value.
    shape: Shape,
    batched: bool,
}

impl Op for Reshape {
    fn name(&self) -> &'static str {
        "reshape"
    }

    fn forward(&self, args: &[&Tensor]) -> Tensor {
        let x = args[0];
        x.reshape(if self.batched { self.shape.prefixed(&x.shape()[..1]) } else { self.shape })
    }

    fn jac_t(&self, io: Io<'_>, _wrt: usize, mat: &Tensor, _batch: Batch) -> Tensor {
        mat.reshape(io.args[0].shape().prefixed(&mat.shape()[..1]))
    }

    fn jac(&self, io: Io<'_>, _wrt: usize, tangent: &Tensor) -> Tensor {
        tangent.reshape(io.out.shape().prefixed(&tangent.shape()[..1]))
    }

    fn effort(&self, io: Io<'_>, _wrt: usize) -> Effort {
        Effort::of(io.out_share())
    }

    fn second(&self, _wrt: usize, _along: usize) -> Second<'_> {
        Second::Zero
    }
}

impl Tape {
    /// The entries of each sample (or of an unbatched value) in another shape.
    ///
    /// # Panics
    /// If the number of entries differs.
    #[track_caller]
    pub fn reshape(&mut self, x: Var, shape: &[usize]) -> Var {
        let batched = self.is_batched(x);
        self.record(Reshape { shape: Shape::new(shape), batched }, &[x])
    }

    /// `[N, *]` to `[N, C]`: all axes but the first in one.
    #[track_caller]
    pub fn flatten(&mut self, x: Var) -> Var {
        let entries = self.value(x).shape().tail().size();
        self.reshape(x, &[entries])
    }
}

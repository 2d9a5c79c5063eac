//! Values one after the other along an axis.

use vivit_tensor::Tensor;

use crate::{Batch, Io, Op, Second, Tape, Var};

/// Concatenation along an axis.
#[derive(Clone, Copy, Debug)]
pub struct Concat {
    axis: usize,
}

impl Concat {
    /// Where argument `wrt` begins, and how much follows it.
    fn place(self, io: Io<'_>, wrt: usize) -> (isize, isize) {
        let lens: Vec<usize> = io.args.iter().map(|arg| arg.shape()[self.axis]).collect();
        (lens[..wrt].iter().sum::<usize>() as isize, lens[wrt + 1..].iter().sum::<usize>() as isize)
    }

    fn pad(self, x: &Tensor, before: isize, after: isize) -> Tensor {
        let mut pads = vec![(0, 0); x.shape().rank()];
        pads[self.axis + 1] = (before, after);
        x.pad(&pads)
    }
}

impl Op for Concat {
    fn name(&self) -> &'static str {
        "concatenation"
    }

    fn forward(&self, args: &[&Tensor]) -> Tensor {
        Tensor::concat(&args.iter().map(|&arg| arg.clone()).collect::<Vec<_>>(), self.axis)
    }

    /// The argument's part of `M`.
    fn jac_t(&self, io: Io<'_>, wrt: usize, mat: &Tensor, _batch: Batch) -> Tensor {
        let (before, after) = self.place(io, wrt);
        self.pad(mat, -before, -after)
    }

    fn jac(&self, io: Io<'_>, wrt: usize, tangent: &Tensor) -> Tensor {
        let (before, after) = self.place(io, wrt);
        self.pad(tangent, before, after)
    }

    fn second(&self, _wrt: usize, _along: usize) -> Second<'_> {
        Second::Zero
    }
}

impl Tape {
    /// The values one after the other along axis `axis`.
    ///
    /// # Panics
    /// If there is none, they differ in another axis, the axis is the sample axis, or some carry a
    /// sample axis and some do not.
    #[track_caller]
    pub fn concat(&mut self, parts: &[Var], axis: usize) -> Var {
        let batched = self.is_batched(parts[0]);
        assert!(
            parts.iter().all(|&part| self.is_batched(part) == batched),
            "concatenation: all values or none carry a sample axis"
        );
        self.expect_axis("concatenation", parts[0], axis);
        self.record(Concat { axis }, parts)
    }
}

//! The choice between two values, entry by entry.

use vivit_tensor::Tensor;

use super::arithmetic::spread;
use crate::op::{sum_to, zero_jac, zero_jac_t};
use crate::{Batch, Effort, Io, Op, Second, Tape, Var};

/// `a` where the mask is not 0, `b` elsewhere. Arguments: mask, a, b; axes of length one repeat, a
/// value without a sample axis repeats for every sample.
///
/// Nothing is differentiated in the mask. Infinities and NaN of what is not chosen reach neither
/// the result nor its derivatives.
#[derive(Clone, Copy, Debug)]
pub struct Where;

impl Where {
    /// `x` where argument `wrt` is chosen, 0 elsewhere.
    fn chosen(io: Io<'_>, wrt: usize, x: &Tensor) -> Tensor {
        let zero = Tensor::zeros(x.device(), []);
        let (a, b) = if wrt == 1 { (x, &zero) } else { (&zero, x) };
        io.args[0].where_cond(a, b)
    }
}

impl Op for Where {
    fn name(&self) -> &'static str {
        "select"
    }

    fn forward(&self, args: &[&Tensor]) -> Tensor {
        args[0].where_cond(args[1], args[2])
    }

    fn is_piecewise_constant(&self, wrt: usize) -> bool {
        wrt == 0
    }

    /// - mask: zero
    /// - a, b: `M` where it is chosen, summed over the axes that were repeated
    fn jac_t(&self, io: Io<'_>, wrt: usize, mat: &Tensor, batch: Batch) -> Tensor {
        if wrt == 0 {
            return zero_jac_t(io, wrt, mat, batch);
        }
        let keep = io.batch(batch) == Batch::Keep && !io.batched[wrt];
        sum_to(&Self::chosen(io, wrt, mat), io.args[wrt].shape(), keep)
    }

    fn jac(&self, io: Io<'_>, wrt: usize, tangent: &Tensor) -> Tensor {
        if wrt == 0 {
            return zero_jac(io, tangent);
        }
        let k = tangent.shape()[0];
        Self::chosen(io, wrt, &spread(io, wrt, tangent)).broadcast(io.out.shape().prefixed(&[k]))
    }

    fn effort(&self, io: Io<'_>, _wrt: usize) -> Effort {
        Effort { per_column: io.out_share(), ..Effort::of(io.out_share()) }
    }

    fn second(&self, _wrt: usize, _along: usize) -> Second<'_> {
        Second::Zero
    }
}

impl Tape {
    /// `a` where `mask` is not 0, `b` elsewhere (PyTorch's `where`): equal shapes, or repetition as
    /// in [`add`](Tape::add). Nothing is differentiated in the mask; infinities and NaN of what is
    /// not chosen reach neither the result nor its derivatives.
    ///
    /// ```
    /// use vivit_autodiff::Tape;
    /// use vivit_autodiff::ops::Comparison;
    /// use vivit_tensor::{Device, Tensor, Unary};
    ///
    /// let cpu = Device::cpu();
    /// let mut tape = Tape::new(&cpu);
    /// let x = tape.input(Tensor::from_vec(&cpu, [1, 3], vec![-1.0, 0.0, 4.0])?);
    /// let zero = tape.constant(Tensor::zeros(&cpu, []));
    /// let positive = tape.compare(Comparison::Greater, x, zero);
    /// let root = tape.map(Unary::Sqrt, x); // NaN for the first entry
    /// let y = tape.select(positive, root, zero);
    /// assert_eq!(tape.value(y).to_vec()?, [0.0, 0.0, 2.0]);
    /// # Ok::<(), vivit_tensor::Error>(())
    /// ```
    ///
    /// # Panics
    /// If the shapes do not fit.
    #[track_caller]
    pub fn select(&mut self, mask: Var, a: Var, b: Var) -> Var {
        self.expect_repeatable("select", &[mask, a, b]);
        self.record(Where, &[mask, a, b])
    }
}

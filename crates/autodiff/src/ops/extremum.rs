//! The largest and the smallest entry along an axis.

use vivit_tensor::{Binary, Reduce, Tensor};

use super::thin::{spread_along, thin};
use crate::{Batch, Effort, Io, Op, Second, Tape, Var};

/// The largest or the smallest entry along an axis, which disappears. Equal ones share the
/// derivative evenly.
#[derive(Clone, Copy, Debug)]
pub struct Extremum {
    /// The axis of the value, the sample axis counted.
    pub axis: usize,
    /// Whether it is the smallest entry.
    pub least: bool,
}

impl Extremum {
    /// Every entry's share in the result: 1 over the number of equal ones, or 0. Of x's shape.
    fn shares(self, io: Io<'_>) -> Tensor {
        let x = io.args[0];
        let hits = x.binary(Binary::Equal, &thin(io.out, self.axis));
        hits.binary(Binary::Div, &thin(&hits.sum(self.axis), self.axis))
    }
}

impl Op for Extremum {
    fn name(&self) -> &'static str {
        if self.least { "minimum over an axis" } else { "maximum over an axis" }
    }

    fn forward(&self, args: &[&Tensor]) -> Tensor {
        args[0].reduce(if self.least { Reduce::Min } else { Reduce::Max }, self.axis)
    }

    /// `M` at the extreme entries, in equal shares.
    fn jac_t(&self, io: Io<'_>, _wrt: usize, mat: &Tensor, _batch: Batch) -> Tensor {
        spread_along(mat, self.axis + 1, &self.shares(io))
    }

    fn jac(&self, io: Io<'_>, _wrt: usize, tangent: &Tensor) -> Tensor {
        tangent.mul(&self.shares(io)).sum(self.axis + 1)
    }

    fn effort(&self, io: Io<'_>, wrt: usize) -> Effort {
        Effort { per_sample: 2 * io.share(wrt), ..Effort::of(io.share(wrt)) }
    }

    fn second(&self, _wrt: usize, _along: usize) -> Second<'_> {
        Second::Zero
    }
}

impl Tape {
    #[track_caller]
    fn extremum(&mut self, x: Var, axis: usize, least: bool) -> Var {
        self.expect_entries(if least { "minimum" } else { "maximum" }, x, axis);
        self.record(Extremum { axis, least }, &[x])
    }

    /// The largest entry along axis `axis`, which disappears; NaN if one is. Equal ones share the
    /// derivative evenly (PyTorch's `amax`).
    ///
    /// ```
    /// use vivit_autodiff::Tape;
    /// use vivit_tensor::{Device, Tensor};
    ///
    /// let cpu = Device::cpu();
    /// let mut tape = Tape::new(&cpu);
    /// let x = tape.input(Tensor::from_vec(&cpu, [2, 2], vec![1.0, 4.0, -1.0, -3.0])?);
    /// let y = tape.max(x, 1);
    /// assert_eq!(tape.value(y).to_vec()?, [4.0, -1.0]);
    /// # Ok::<(), vivit_tensor::Error>(())
    /// ```
    ///
    /// # Panics
    /// If there is no such axis, it is the sample axis, or it has no entries.
    #[track_caller]
    pub fn max(&mut self, x: Var, axis: usize) -> Var {
        self.extremum(x, axis, false)
    }

    /// The smallest entry along axis `axis`, which disappears; as [`max`](Tape::max).
    ///
    /// # Panics
    /// As there.
    #[track_caller]
    pub fn min(&mut self, x: Var, axis: usize) -> Var {
        self.extremum(x, axis, true)
    }
}

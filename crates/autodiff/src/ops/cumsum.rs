//! Running sums along an axis.

use vivit_tensor::Tensor;

use crate::{Batch, Effort, Io, Op, Second, Tape, Var};

/// `y[…, p, …] = Σ_{q ≤ p} x[…, q, …]`.
#[derive(Clone, Copy, Debug)]
pub struct CumSum {
    /// The axis of the value.
    pub axis: usize,
    /// Whether an entry's own value is left out: `q < p`.
    pub exclusive: bool,
    /// Whether the sums run from the end: `q ≥ p`.
    pub reverse: bool,
}

impl CumSum {
    /// Of x, whose axis is `axis`; with `turned`, from the other end.
    fn apply(&self, x: &Tensor, axis: usize, turned: bool) -> Tensor {
        let shape = x.shape();
        let lens =
            [shape[..axis].iter().product(), shape[axis], shape[axis + 1..].iter().product()];
        let reverse = self.reverse != turned;
        let sums = x.device().cumsum(x.buf(), lens, self.exclusive, reverse);
        Tensor::from_buf(x.device(), *shape, sums)
    }
}

impl Op for CumSum {
    fn name(&self) -> &'static str {
        "cumulative sum"
    }

    fn forward(&self, args: &[&Tensor]) -> Tensor {
        self.apply(args[0], self.axis, false)
    }

    /// The running sums of `M` from the other end.
    fn jac_t(&self, _io: Io<'_>, _wrt: usize, mat: &Tensor, _batch: Batch) -> Tensor {
        self.apply(mat, self.axis + 1, true)
    }

    fn jac(&self, _io: Io<'_>, _wrt: usize, tangent: &Tensor) -> Tensor {
        self.apply(tangent, self.axis + 1, false)
    }

    fn effort(&self, io: Io<'_>, _wrt: usize) -> Effort {
        Effort::of(io.out_share())
    }

    fn second(&self, _wrt: usize, _along: usize) -> Second<'_> {
        Second::Zero
    }
}

impl Tape {
    /// Running sums along axis `axis`, of the entries up to each one: itself left out if
    /// `exclusive`; with `reverse`, from the end.
    ///
    /// ```
    /// use vivit_autodiff::Tape;
    /// use vivit_tensor::{Device, Tensor};
    ///
    /// let cpu = Device::cpu();
    /// let mut tape = Tape::new(&cpu);
    /// let x = tape.input(Tensor::from_vec(&cpu, [1, 3], vec![1.0, 2.0, 3.0])?);
    /// let sums = tape.cumsum(x, 1, false, false);
    /// assert_eq!(tape.value(sums).to_vec()?, [1.0, 3.0, 6.0]);
    /// let after = tape.cumsum(x, 1, true, true);
    /// assert_eq!(tape.value(after).to_vec()?, [5.0, 3.0, 0.0]);
    /// # Ok::<(), vivit_tensor::Error>(())
    /// ```
    ///
    /// # Panics
    /// If there is no such axis, or it is the sample axis.
    #[track_caller]
    pub fn cumsum(&mut self, x: Var, axis: usize, exclusive: bool, reverse: bool) -> Var {
        self.expect_axis("cumulative sum", x, axis);
        self.record(CumSum { axis, exclusive, reverse }, &[x])
    }
}

#[cfg(test)]
mod tests {
    use vivit_tensor::{Device, Rng};

    use super::*;
    use crate::check::check_derivatives;

    #[test]
    fn derivatives_hold() {
        let cpu = Device::cpu_f64();
        let x = Tensor::from_vec(&cpu, [2, 5, 3], Rng::new(3).normal(30)).unwrap();
        for (axis, exclusive, reverse) in
            [(1, false, false), (2, true, false), (1, false, true), (2, true, true)]
        {
            let op = CumSum { axis, exclusive, reverse };
            for batched in [true, false] {
                let checks = check_derivatives(&op, std::slice::from_ref(&x), &[batched], 5);
                for check in checks.unwrap() {
                    assert!(check.passed(), "{op:?}: {check}");
                }
            }
        }
    }
}

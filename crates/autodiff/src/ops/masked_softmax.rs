//! Softmax along an axis whose entries may all be hidden.

use vivit_tensor::{DType, Reduce, Tensor, Unary};

use super::Softmax;
use crate::{Batch, Effort, Io, Op, Second, Tape, Var};

/// `y = e^x / Σ e^x` along an axis of numbers that may be −∞, which stands for hidden: where all
/// are, y is 0, as are its derivatives. (PyTorch's `scaled_dot_product_attention` does the same;
/// [`Softmax`] gives NaN there.)
#[derive(Clone, Copy, Debug)]
pub struct MaskedSoftmax {
    /// The axis of the value, the sample axis counted.
    pub axis: usize,
}

impl MaskedSoftmax {
    /// What it is where an entry is to be seen; the derivatives follow from the result.
    fn softmax(self) -> Softmax {
        Softmax { axis: self.axis, log: false }
    }
}

impl Op for MaskedSoftmax {
    fn name(&self) -> &'static str {
        "masked softmax"
    }

    fn forward(&self, args: &[&Tensor]) -> Tensor {
        let x = args[0];
        let mut thin = x.shape().to_vec();
        thin[self.axis] = 1;
        let lowest = if x.dtype() == DType::F64 { f64::MIN } else { f32::MIN.into() };
        // −∞ less a finite number is −∞, less itself it would be NaN.
        let max = x.reduce(Reduce::Max, self.axis).unary(Unary::HardTanh(lowest, f64::INFINITY));
        let exp = x.sub(&max.reshape(&thin)).unary(Unary::Exp);
        // Where an entry is to be seen, the largest contributes 1.
        let sum = exp.sum(self.axis).unary(Unary::HardTanh(1.0, f64::INFINITY));
        exp.mul(&sum.unary(Unary::Recip).reshape(&thin))
    }

    fn jac_t(&self, io: Io<'_>, wrt: usize, mat: &Tensor, batch: Batch) -> Tensor {
        self.softmax().jac_t(io, wrt, mat, batch)
    }

    fn jac(&self, io: Io<'_>, wrt: usize, tangent: &Tensor) -> Tensor {
        self.softmax().jac(io, wrt, tangent)
    }

    fn effort(&self, io: Io<'_>, wrt: usize) -> Effort {
        self.softmax().effort(io, wrt)
    }

    fn second(&self, _wrt: usize, _along: usize) -> Second<'_> {
        let softmax = self.softmax();
        Second::product(move |io, mat, tangent, _batch| softmax.residual(io, mat, tangent))
    }
}

impl Tape {
    /// Softmax along axis `axis` of numbers that may be −∞ (hidden): a row that is hidden as a
    /// whole gives zeros.
    ///
    /// ```
    /// use vivit_autodiff::Tape;
    /// use vivit_tensor::{Device, Tensor};
    ///
    /// let cpu = Device::cpu();
    /// let mut tape = Tape::new(&cpu);
    /// let hidden = f64::NEG_INFINITY;
    /// let x = Tensor::from_vec(&cpu, [2, 2], vec![1.0, hidden, hidden, hidden])?;
    /// let x = tape.batched_constant(x);
    /// let y = tape.masked_softmax(x, 1);
    /// assert_eq!(tape.value(y).to_vec()?, [1.0, 0.0, 0.0, 0.0]);
    /// # Ok::<(), vivit_tensor::Error>(())
    /// ```
    ///
    /// # Panics
    /// If there is no such axis, or it is the sample axis.
    #[track_caller]
    pub fn masked_softmax(&mut self, x: Var, axis: usize) -> Var {
        self.expect_axis("masked softmax", x, axis);
        self.record(MaskedSoftmax { axis }, &[x])
    }
}

#[cfg(test)]
mod tests {
    use vivit_tensor::{Device, Rng};

    use super::*;
    use crate::check::check_derivatives;

    const HIDDEN: f64 = f64::NEG_INFINITY;

    #[test]
    fn derivatives_hold() {
        let cpu = Device::cpu_f64();
        let mut numbers = Rng::new(5).normal(2 * 3 * 4);
        // An entry, a row along axis 2, and one along axis 1.
        for at in [1, 4, 5, 6, 7, 12, 16, 20] {
            numbers[at] = HIDDEN;
        }
        let x = Tensor::from_vec(&cpu, [2, 3, 4], numbers).unwrap();
        for axis in [1, 2] {
            for batched in [true, false] {
                let op = MaskedSoftmax { axis };
                for check in
                    check_derivatives(&op, std::slice::from_ref(&x), &[batched], 5).unwrap()
                {
                    assert!(check.passed(), "axis {axis}: {check}");
                }
            }
        }
    }

    #[test]
    fn what_is_seen_shares_one_and_what_is_not_gets_nothing() {
        for device in [Device::cpu_f64(), Device::cpu()] {
            // Far apart: e^x alone would overflow, or vanish.
            let x = vec![300.0, 300.0, HIDDEN, -300.0, HIDDEN, -300.0, HIDDEN, HIDDEN, HIDDEN];
            let x = Tensor::from_vec(&device, [3, 3], x).unwrap();
            let y = MaskedSoftmax { axis: 1 }.forward(&[&x]).to_vec().unwrap();
            assert_eq!(y, [0.5, 0.5, 0.0, 0.5, 0.0, 0.5, 0.0, 0.0, 0.0]);
        }
    }

    #[test]
    fn nan_is_not_hidden() {
        let x = Tensor::from_vec(&Device::cpu_f64(), [1, 2], vec![f64::NAN, 1.0]).unwrap();
        let y = MaskedSoftmax { axis: 1 }.forward(&[&x]).to_vec().unwrap();
        assert!(y.iter().any(|y| y.is_nan()), "{y:?}");
    }
}

//! The logarithm of the sum of exponentials along an axis.

use vivit_tensor::{Binary, Reduce, Tensor, Unary};

use super::thin::{spread_along, thin};
use crate::{Batch, Effort, Io, Op, Second, Tape, Var};

/// `y = log Σ eˣ` along an axis, which disappears; without overflow.
#[derive(Clone, Copy, Debug)]
pub struct LogSumExp {
    /// The axis of the value, the sample axis counted.
    pub axis: usize,
}

/// `x` where it is finite, 0 elsewhere.
fn finite_part(x: &Tensor) -> Tensor {
    let zero = x.scale(0.0);
    zero.binary(Binary::Equal, &zero).where_cond(x, &Tensor::zeros(x.device(), []))
}

impl LogSumExp {
    /// `e^(x − y)`, the softmax; 0 where all of x is −∞.
    fn probabilities(self, io: Io<'_>) -> Tensor {
        io.args[0].sub(&thin(&finite_part(io.out), self.axis)).unary(Unary::Exp)
    }
}

impl Op for LogSumExp {
    fn name(&self) -> &'static str {
        "log-sum-exp"
    }

    fn forward(&self, args: &[&Tensor]) -> Tensor {
        // An infinite maximum must not be taken from itself.
        let shift = finite_part(&args[0].reduce(Reduce::Max, self.axis));
        let exp = args[0].sub(&thin(&shift, self.axis)).unary(Unary::Exp);
        exp.sum(self.axis).unary(Unary::Ln).add(&shift)
    }

    /// `p M`
    fn jac_t(&self, io: Io<'_>, _wrt: usize, mat: &Tensor, _batch: Batch) -> Tensor {
        spread_along(mat, self.axis + 1, &self.probabilities(io))
    }

    /// `Σ p ∘ t`
    fn jac(&self, io: Io<'_>, _wrt: usize, tangent: &Tensor) -> Tensor {
        tangent.mul(&self.probabilities(io)).sum(self.axis + 1)
    }

    fn effort(&self, io: Io<'_>, wrt: usize) -> Effort {
        Effort { per_sample: 2 * io.share(wrt), ..Effort::of(io.share(wrt)) }
    }

    /// `m p ∘ (t − Σ p ∘ t)`
    fn second(&self, _wrt: usize, _along: usize) -> Second<'_> {
        Second::product(|io, mat, tangent, _batch| {
            let (p, axis) = (self.probabilities(io), self.axis + 1);
            let moved = tangent.sub(&thin(&tangent.mul(&p).sum(axis), axis)).mul(&p);
            spread_along(mat, axis, &moved)
        })
    }
}

impl Tape {
    /// `log Σ eˣ` along axis `axis`, which disappears; without overflow, and −∞ where all of x is.
    ///
    /// ```
    /// use vivit_autodiff::Tape;
    /// use vivit_tensor::{Device, Tensor};
    ///
    /// let cpu = Device::cpu_f64();
    /// let mut tape = Tape::new(&cpu);
    /// let x = tape.input(Tensor::full(&cpu, [1, 2], 1000.0));
    /// let y = tape.logsumexp(x, 1);
    /// assert_eq!(tape.value(y).to_vec()?, [1000.0 + 2.0f64.ln()]);
    /// # Ok::<(), vivit_tensor::Error>(())
    /// ```
    ///
    /// # Panics
    /// If there is no such axis, it is the sample axis, or it has no entries.
    #[track_caller]
    pub fn logsumexp(&mut self, x: Var, axis: usize) -> Var {
        self.expect_entries("log-sum-exp", x, axis);
        self.record(LogSumExp { axis }, &[x])
    }
}

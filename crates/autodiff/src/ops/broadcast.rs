//! Repetition up to a shape.

use vivit_tensor::{Shape, Tensor};

use crate::op::sum_to;
use crate::{Batch, Effort, Io, Op, Second, Tape, Var};

/// Axes of length one, and new leading ones, repeated up to a shape (of each sample).
#[derive(Clone, Debug)]
pub struct Broadcast {
    shape: Shape,
    batched: bool,
}

impl Broadcast {
    /// Of x behind `lead` axes, and the sample axis if there is one.
    fn apply(&self, x: &Tensor, lead: usize) -> Tensor {
        let front = lead + usize::from(self.batched);
        let (front, own) = x.shape().split_at(front);
        let ones = vec![1; self.shape.rank() - own.len()];
        let aligned = [front, &ones, own].concat();
        x.reshape(aligned.as_slice()).broadcast(self.shape.prefixed(front))
    }
}

impl Op for Broadcast {
    fn name(&self) -> &'static str {
        "broadcast"
    }

    fn forward(&self, args: &[&Tensor]) -> Tensor {
        self.apply(args[0], 0)
    }

    /// `M`, summed over the axes that were repeated.
    fn jac_t(&self, io: Io<'_>, _wrt: usize, mat: &Tensor, _batch: Batch) -> Tensor {
        let shape = *io.args[0].shape();
        if self.batched {
            return sum_to(mat, &shape.tail(), true);
        }
        sum_to(mat, &shape, false)
    }

    fn jac(&self, _io: Io<'_>, _wrt: usize, tangent: &Tensor) -> Tensor {
        self.apply(tangent, 1)
    }

    fn effort(&self, io: Io<'_>, _wrt: usize) -> Effort {
        Effort { per_column: io.out_share(), ..Effort::of(io.out_share()) }
    }

    fn second(&self, _wrt: usize, _along: usize) -> Second<'_> {
        Second::Zero
    }
}

impl Tape {
    /// `x` repeated up to `shape`, the shape of each sample (or of an unbatched value): axes of
    /// length one, and leading ones that x lacks.
    ///
    /// ```
    /// use vivit_autodiff::Tape;
    /// use vivit_tensor::{Device, Tensor};
    ///
    /// let cpu = Device::cpu();
    /// let mut tape = Tape::new(&cpu);
    /// let x = tape.input(Tensor::from_vec(&cpu, [1, 2], vec![1.0, 2.0])?);
    /// let y = tape.broadcast(x, &[2, 2]); // [1, 2, 2]
    /// assert_eq!(tape.value(y).to_vec()?, [1.0, 2.0, 1.0, 2.0]);
    /// # Ok::<(), vivit_tensor::Error>(())
    /// ```
    ///
    /// # Panics
    /// If x does not broadcast to the shape.
    #[track_caller]
    pub fn broadcast(&mut self, x: Var, shape: &[usize]) -> Var {
        let (batched, shape) = (self.is_batched(x), Shape::new(shape));
        let full = *self.value(x).shape();
        let own = if batched { full.tail() } else { full };
        assert!(
            own.broadcast(&shape) == Some(shape),
            "broadcast: {own} does not repeat up to {shape}"
        );
        if own == shape { x } else { self.record(Broadcast { shape, batched }, &[x]) }
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
        for (own, shape) in
            [(vec![1, 3], vec![4, 3]), (vec![2], vec![3, 2]), (vec![1, 2, 1], vec![2, 3, 2, 2])]
        {
            for batched in [true, false] {
                let full = if batched { [&[3], &own[..]].concat() } else { own.clone() };
                let len = full.iter().product();
                let x = Tensor::from_vec(&cpu, &full, Rng::new(3).normal(len)).unwrap();
                let op = Broadcast { shape: Shape::new(&shape), batched };
                let checks = check_derivatives(&op, &[x], &[batched], 5).unwrap();
                for check in checks {
                    assert!(check.passed(), "{op:?} of {own:?}: {check}");
                }
            }
        }
    }
}

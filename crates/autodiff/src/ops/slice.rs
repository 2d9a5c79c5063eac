//! Entries of an axis in equal steps.

use vivit_tensor::Tensor;

use crate::{Batch, Effort, Io, Op, Part, ScatterJacobian, Second, Tape, Var};

/// The entries `first`, `first + step`, … of an axis, `len` of them.
#[derive(Clone, Copy, Debug)]
pub struct Slice {
    axis: usize,
    first: usize,
    step: isize,
    len: usize,
}

impl Slice {
    /// Of x, whose axis lies `lead` axes further back.
    fn apply(&self, x: &Tensor, lead: usize) -> Tensor {
        let axis = self.axis + lead;
        if self.step == 1 {
            let after = self.first + self.len;
            let mut crop = vec![(0, 0); x.shape().rank()];
            crop[axis] = (-(self.first as isize), after as isize - x.shape()[axis] as isize);
            return x.pad(&crop);
        }
        let entry = |at: usize| (self.first as isize + self.step * at as isize) as usize;
        x.index_select(axis, &(0..self.len).map(entry).collect::<Vec<_>>())
    }

    /// The adjoint, for `mat: [V, *out]` of an axis that was `from` long: entries back in their
    /// places, zeros between and around them.
    fn spread(&self, mat: &Tensor, from: usize) -> Tensor {
        let (axis, len, step) = (self.axis + 1, self.len, self.step.unsigned_abs());
        let reversed = self.step < 0 && len > 1;
        let (mat, first) = if reversed {
            let backwards: Vec<usize> = (0..len).rev().collect();
            (mat.index_select(axis, &backwards), self.first - step * (len - 1))
        } else {
            (mat.clone(), self.first)
        };
        let shape = mat.shape().to_vec();
        // Every entry with the zeros that follow it, in an axis of its own.
        let split = [&shape[..=axis], &[1], &shape[axis + 1..]].concat();
        let mut pads = vec![(0, 0); split.len()];
        pads[axis + 1].1 = step as isize - 1;
        let spread = if step == 1 { mat } else { mat.reshape(split.as_slice()).pad(&pads) };
        let mut joined = shape;
        joined[axis] = len * step;
        let mut around = vec![(0, 0); joined.len()];
        around[axis] = (first as isize, from as isize - (first + len * step) as isize);
        spread.reshape(joined.as_slice()).pad(&around)
    }
}

impl Op for Slice {
    fn name(&self) -> &'static str {
        "slice"
    }

    fn forward(&self, args: &[&Tensor]) -> Tensor {
        self.apply(args[0], 0)
    }

    /// `M` at the entries of the slice, zero at the others.
    fn jac_t(&self, io: Io<'_>, _wrt: usize, mat: &Tensor, _batch: Batch) -> Tensor {
        self.spread(mat, io.args[0].shape()[self.axis])
    }

    fn jac(&self, _io: Io<'_>, _wrt: usize, tangent: &Tensor) -> Tensor {
        self.apply(tangent, 1)
    }

    fn compose_scatter(&self, io: Io<'_>, route: &ScatterJacobian) -> Option<ScatterJacobian> {
        let x = io.args[0];
        // Of planes.
        let axes = x.shape().rank().checked_sub(2).filter(|axes| (1..=3).contains(axes))?;
        let at = self.axis.checked_sub(2).filter(|_| self.step == 1)?;
        let mut before = vec![0; axes];
        before[at] = -(self.first as isize);
        route.then_crop(x.device(), *x.shape(), &before)
    }

    fn effort(&self, io: Io<'_>, _wrt: usize) -> Effort {
        Effort { per_column: 2 * io.out_share(), ..Effort::of(io.share(0)) }
    }

    fn part_of_argument(&self, _io: Io<'_>) -> Option<Part> {
        (self.step == 1).then_some(Part { axis: self.axis, first: self.first })
    }

    fn second(&self, _wrt: usize, _along: usize) -> Second<'_> {
        Second::Zero
    }
}

impl Tape {
    /// Entries `first..end` of axis `axis`.
    ///
    /// # Panics
    /// If the range does not fit, or the axis is the sample axis.
    #[track_caller]
    pub fn slice(&mut self, x: Var, axis: usize, first: usize, end: usize) -> Var {
        let shape = *self.value(x).shape();
        self.expect_axis("slice", x, axis);
        assert!(
            first < end && end <= shape[axis],
            "slice {first}..{end} of axis {axis} of {shape}"
        );
        self.record(Slice { axis, first, step: 1, len: end - first }, &[x])
    }

    /// The entries `first`, `first + step`, … of axis `axis`, `len` of them; a negative step walks
    /// backwards.
    ///
    /// ```
    /// use vivit_autodiff::Tape;
    /// use vivit_tensor::{Device, Tensor};
    ///
    /// let cpu = Device::cpu();
    /// let mut tape = Tape::new(&cpu);
    /// let x = tape.input(Tensor::from_vec(&cpu, [1, 4], vec![1.0, 2.0, 3.0, 4.0])?);
    /// let y = tape.slice_by(x, 1, 3, -2, 2);
    /// assert_eq!(tape.value(y).to_vec()?, [4.0, 2.0]);
    /// # Ok::<(), vivit_tensor::Error>(())
    /// ```
    ///
    /// # Panics
    /// If the slice is empty or does not fit, or the axis is the sample axis.
    #[track_caller]
    pub fn slice_by(&mut self, x: Var, axis: usize, first: usize, step: isize, len: usize) -> Var {
        self.expect_axis("slice", x, axis);
        let shape = *self.value(x).shape();
        let last = step.checked_mul(len as isize - 1).and_then(|by| first.checked_add_signed(by));
        let fits = len > 0 && first < shape[axis] && last.is_some_and(|last| last < shape[axis]);
        assert!(fits, "slice of {len} from {first} by {step} of axis {axis} of {shape}");
        assert!(step != 0 || len == 1, "slice of {len} by 0 of axis {axis} of {shape}");
        let step = if len == 1 { 1 } else { step };
        self.record(Slice { axis, first, step, len }, &[x])
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
        let x = Tensor::from_vec(&cpu, [2, 7, 3], Rng::new(3).normal(42)).unwrap();
        for (axis, first, step, len) in
            [(1, 2, 1, 4), (1, 0, 3, 3), (1, 1, 2, 3), (1, 6, -1, 7), (1, 5, -2, 3), (2, 1, 1, 1)]
        {
            let op = Slice { axis, first, step, len };
            for batched in [true, false] {
                let checks = check_derivatives(&op, std::slice::from_ref(&x), &[batched], 5);
                for check in checks.unwrap() {
                    assert!(check.passed(), "{op:?}: {check}");
                }
            }
        }
    }
}

//! Zeros around the last axes (or cropping them).

use vivit_tensor::Tensor;

use crate::{Batch, Effort, Io, Op, ScatterJacobian, Second, Tape, Var};

/// Pads the last `pads.len()` axes with zeros, `(before, after)` each; negative numbers crop.
#[derive(Clone, Debug)]
pub struct ZeroPad {
    pads: Vec<(isize, isize)>,
}

impl ZeroPad {
    fn apply(&self, x: &Tensor, sign: isize) -> Tensor {
        let mut pads = vec![(0, 0); x.shape().rank() - self.pads.len()];
        pads.extend(self.pads.iter().map(|&(before, after)| (sign * before, sign * after)));
        x.pad(&pads)
    }
}

impl Op for ZeroPad {
    fn name(&self) -> &'static str {
        "zero padding"
    }

    fn forward(&self, args: &[&Tensor]) -> Tensor {
        self.apply(args[0], 1)
    }

    /// Padding's adjoint is cropping, and the other way round.
    fn jac_t(&self, _io: Io<'_>, _wrt: usize, mat: &Tensor, _batch: Batch) -> Tensor {
        self.apply(mat, -1)
    }

    fn jac(&self, _io: Io<'_>, _wrt: usize, tangent: &Tensor) -> Tensor {
        self.apply(tangent, 1)
    }

    fn compose_scatter(&self, io: Io<'_>, route: &ScatterJacobian) -> Option<ScatterJacobian> {
        let x = io.args[0];
        // Around planes.
        let axes = x
            .shape()
            .rank()
            .checked_sub(2)
            .filter(|axes| (1..=3).contains(axes) && *axes >= self.pads.len())?;
        let mut before = vec![0; axes - self.pads.len()];
        before.extend(self.pads.iter().map(|&(before, _)| before));
        route.then_crop(x.device(), *x.shape(), &before)
    }

    fn effort(&self, io: Io<'_>, _wrt: usize) -> Effort {
        Effort::of(io.out_share())
    }

    fn second(&self, _wrt: usize, _along: usize) -> Second<'_> {
        Second::Zero
    }
}

impl Tape {
    /// Zeros around the last `pads.len()` axes, `(before, after)` each, outermost first; negative
    /// numbers crop.
    ///
    /// # Panics
    /// If there are more pads than axes behind the sample axis, or an axis is cropped below
    /// nothing.
    #[track_caller]
    pub fn zero_pad(&mut self, x: Var, pads: &[(isize, isize)]) -> Var {
        let axes = self.value(x).shape().rank() - usize::from(self.is_batched(x));
        assert!(pads.len() <= axes, "zero padding: {} pairs for {axes} axes", pads.len());
        self.record(ZeroPad { pads: pads.to_vec() }, &[x])
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
        let x = Tensor::from_vec(&cpu, [2, 4, 3], Rng::new(3).normal(24)).unwrap();
        for pads in [[(-1, -2), (0, 0)], [(0, 0), (0, -1)], [(-1, 0), (-1, 0)], [(-1, 1), (0, 0)]] {
            for batched in [true, false] {
                let op = ZeroPad { pads: pads.to_vec() };
                let checks = check_derivatives(&op, std::slice::from_ref(&x), &[batched], 5);
                for check in checks.unwrap() {
                    assert!(check.passed(), "{pads:?}: {check}");
                }
            }
        }
    }
}

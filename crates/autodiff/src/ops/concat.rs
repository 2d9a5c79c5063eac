//! Values one after the other along an axis.

use vivit_tensor::Tensor;

use crate::{Batch, Io, Op, Part, Second, Tape, Var};

/// Most values that one operation joins: sweeps look at pairs of an operation's arguments, of which
/// the thousand steps of a sequence have a million.
const PARTS: usize = 64;

/// Concatenation along an axis.
#[derive(Clone, Copy, Debug)]
pub struct Concat {
    axis: usize,
}

impl Concat {
    /// Where argument `wrt` begins.
    fn first(self, io: Io<'_>, wrt: usize) -> usize {
        io.args[..wrt].iter().map(|arg| arg.shape()[self.axis]).sum()
    }

    /// Where argument `wrt` begins, and how much follows it.
    fn place(self, io: Io<'_>, wrt: usize) -> (isize, isize) {
        let (first, len) = (self.first(io, wrt), io.args[wrt].shape()[self.axis]);
        (first as isize, (io.out.shape()[self.axis] - first - len) as isize)
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

    fn part_of_result(&self, io: Io<'_>, wrt: usize) -> Option<Part> {
        Some(Part { axis: self.axis, first: self.first(io, wrt) })
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
        let mut parts = parts.to_vec();
        while parts.len() > PARTS {
            let mut join = |some: &[Var]| self.record(Concat { axis }, some);
            parts = parts.chunks(PARTS).map(&mut join).collect();
        }
        self.record(Concat { axis }, &parts)
    }
}

#[cfg(test)]
mod tests {
    use vivit_tensor::{Device, Rng};

    use super::*;
    use crate::Graph;
    use crate::check::check_derivatives;

    #[test]
    fn derivatives_hold() {
        let cpu = Device::cpu_f64();
        let mut rng = Rng::new(3);
        let mut part =
            |shape: [usize; 3]| Tensor::from_vec(&cpu, shape, rng.normal(shape.iter().product()));
        let parts = [[2, 1, 3], [2, 4, 3], [2, 2, 3]].map(|shape| part(shape).unwrap());
        for batched in [[true; 3], [false; 3]] {
            for check in check_derivatives(&Concat { axis: 1 }, &parts, &batched, 5).unwrap() {
                assert!(check.passed(), "{check}");
            }
        }
    }

    #[test]
    fn many_parts_are_the_whole() {
        let cpu = Device::cpu_f64();
        let len = PARTS * PARTS + 3;
        let numbers = Rng::new(3).normal(2 * len);
        let mut tape = Tape::new(&cpu);
        let w = tape.param(Tensor::from_vec(&cpu, [len], numbers[..len].to_vec()).unwrap());
        let x = tape.input(Tensor::from_vec(&cpu, [1, len], numbers[len..].to_vec()).unwrap());
        let product = tape.mul(x, w);
        let entries: Vec<Var> =
            (0..len).rev().map(|at| tape.slice(product, 1, at, at + 1)).collect();
        let reversed = tape.concat(&entries, 1);
        let straight = tape.flip(product, 1);
        let graph = Graph::new(tape, reversed).unwrap();
        let value = |var| graph.tape().value(var).to_vec().unwrap();
        assert_eq!(value(reversed), value(straight));
        // Unit weights at the output: the gradient is x, its tangent what moves.
        let ones = Tensor::full(&cpu, [1, 1, len], 1.0);
        let gradient = graph.vjp(&ones).unwrap();
        assert_eq!(gradient[graph.params()[0]].to_vec().unwrap(), value(x));
        let moved = graph.jvp(&[(graph.params()[0], ones.reshape([1, len]))].into_iter().collect());
        let reversed_x: Vec<f64> = value(x).into_iter().rev().collect();
        assert_eq!(moved.unwrap().to_vec().unwrap(), reversed_x);
    }
}

//! The product along an axis.
//!
//! Its derivatives are products of all entries but one or two. They are made without divisions, so
//! that zeros and tiny entries do no harm: entries are multiplied in pairs, pairs in pairs and so
//! on; downwards again, what is outside of an entry is what is outside of its pair times its
//! neighbour. That is as much work as the axis is long, in a few passes.

use vivit_tensor::{Reduce, Tensor};

use super::thin::{spread_along, thin};
use crate::{Batch, Effort, Io, Op, Second, Tape, Var};

/// `Π x` along an axis, which disappears.
#[derive(Clone, Copy, Debug)]
pub struct Prod {
    /// The axis of the value, the sample axis counted.
    pub axis: usize,
}

/// The array with its axis cut into pairs: the first and the second of each. The last one may be
/// missing, and is `empty` then.
fn pairs(x: &Tensor, axis: usize, empty: f64) -> [Tensor; 2] {
    let mut shape = x.shape().to_vec();
    let len = shape[axis];
    let padded = if len % 2 == 0 {
        x.clone()
    } else {
        shape[axis] = 1;
        Tensor::concat(&[x.clone(), Tensor::full(x.device(), &shape, empty)], axis)
    };
    shape[axis] = len.div_ceil(2);
    let mut cut = shape.clone();
    cut.insert(axis + 1, 2);
    let padded = padded.reshape(&cut);
    [0, 1].map(|side| padded.index_select(axis + 1, &[side]).reshape(&shape))
}

/// The opposite of [`pairs`]: the first `len` entries.
fn joined([left, right]: [Tensor; 2], axis: usize, len: usize) -> Tensor {
    let mut shape = left.shape().to_vec();
    let sides = [left, right].map(|side| thin(&side, axis + 1));
    shape[axis] *= 2;
    let both = Tensor::concat(&sides, axis + 1).reshape(&shape);
    if shape[axis] == len {
        return both;
    }
    let mut pads = vec![(0, 0); shape.len()];
    pads[axis] = (0, len as isize - shape[axis] as isize);
    both.pad(&pads)
}

/// The products of all entries but one, `Π_{j ≠ i} x_j`.
fn without_one(x: &Tensor, axis: usize) -> Tensor {
    let len = x.shape()[axis];
    if len == 1 {
        return Tensor::full(x.device(), *x.shape(), 1.0);
    }
    let [left, right] = pairs(x, axis, 1.0);
    let outside = without_one(&left.mul(&right), axis);
    joined([outside.mul(&right), outside.mul(&left)], axis, len)
}

/// [`without_one`], and how it changes along tangents `t: [K, *x]`.
fn without_one_along(x: &Tensor, t: &Tensor, axis: usize) -> (Tensor, Tensor) {
    let len = x.shape()[axis];
    if len == 1 {
        return (Tensor::full(x.device(), *x.shape(), 1.0), Tensor::zeros(t.device(), *t.shape()));
    }
    let ([left, right], [left_t, right_t]) = (pairs(x, axis, 1.0), pairs(t, axis + 1, 0.0));
    let along = left_t.mul(&right).add(&right_t.mul(&left));
    let (outside, moved) = without_one_along(&left.mul(&right), &along, axis);
    let here = [outside.mul(&right), outside.mul(&left)];
    let there = [
        moved.mul(&right).add(&right_t.mul(&outside)),
        moved.mul(&left).add(&left_t.mul(&outside)),
    ];
    (joined(here, axis, len), joined(there, axis + 1, len))
}

impl Op for Prod {
    fn name(&self) -> &'static str {
        "product over an axis"
    }

    fn forward(&self, args: &[&Tensor]) -> Tensor {
        args[0].reduce(Reduce::Product, self.axis)
    }

    /// `M Π_{j ≠ i} x_j` at entry i
    fn jac_t(&self, io: Io<'_>, _wrt: usize, mat: &Tensor, _batch: Batch) -> Tensor {
        spread_along(mat, self.axis + 1, &without_one(io.args[0], self.axis))
    }

    fn jac(&self, io: Io<'_>, _wrt: usize, tangent: &Tensor) -> Tensor {
        tangent.mul(&without_one(io.args[0], self.axis)).sum(self.axis + 1)
    }

    fn effort(&self, io: Io<'_>, wrt: usize) -> Effort {
        Effort { per_sample: 4 * io.share(wrt), ..Effort::of(io.share(wrt)) }
    }

    /// `m Σ_{j ≠ i} t_j Π_{k ≠ i, j} x_k` at entry i
    fn second(&self, _wrt: usize, _along: usize) -> Second<'_> {
        Second::product(|io, mat, tangent, _batch| {
            let (_, moved) = without_one_along(io.args[0], tangent, self.axis);
            spread_along(mat, self.axis + 1, &moved)
        })
    }
}

impl Tape {
    /// The product along axis `axis`, which disappears. Its derivatives are right where entries are
    /// zero, too.
    ///
    /// ```
    /// use vivit_autodiff::Tape;
    /// use vivit_tensor::{Device, Tensor};
    ///
    /// let cpu = Device::cpu();
    /// let mut tape = Tape::new(&cpu);
    /// let x = tape.input(Tensor::from_vec(&cpu, [2, 2], vec![1.0, 4.0, -1.0, -3.0])?);
    /// let y = tape.prod(x, 1);
    /// assert_eq!(tape.value(y).to_vec()?, [4.0, 3.0]);
    /// # Ok::<(), vivit_tensor::Error>(())
    /// ```
    ///
    /// # Panics
    /// If there is no such axis, it is the sample axis, or it has no entries.
    #[track_caller]
    pub fn prod(&mut self, x: Var, axis: usize) -> Var {
        self.expect_entries("product", x, axis);
        self.record(Prod { axis }, &[x])
    }
}

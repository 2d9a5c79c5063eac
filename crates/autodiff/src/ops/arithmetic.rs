//! `a + b`, `a − b`, `a · b`, `a / b`, entry by entry, with repetition.

use vivit_tensor::{Binary, Tensor, Unary};

use crate::op::sum_to;
use crate::{Batch, Effort, Io, Op, Second, Tape, Var};

/// An elementwise map of two values. Axes of length one repeat; a value without a sample axis
/// repeats for every sample.
#[derive(Clone, Copy, Debug)]
pub struct Arithmetic(pub Binary);

impl Arithmetic {
    /// `∂out/∂arg · x` without any sum: x times the partial derivative.
    fn partial(self, io: Io<'_>, wrt: usize, x: Tensor) -> Tensor {
        let (a, b) = (io.args[0], io.args[1]);
        match (self.0, wrt) {
            (Binary::Add, _) | (Binary::Sub, 0) => x,
            (Binary::Sub, _) => x.scale(-1.0),
            (Binary::Mul, 0) => x.mul(b),
            (Binary::Mul, _) => x.mul(a),
            (Binary::Div, 0) => x.binary(Binary::Div, b),
            // ∂(a/b)/∂b = −(a/b)/b
            (Binary::Div, _) => x.mul(io.out).binary(Binary::Div, b).scale(-1.0),
        }
    }
}

/// A tangent `[K, *arg]` with ones between K and the argument's own axes, where a repeated argument
/// has fewer than the result.
fn spread(io: Io<'_>, wrt: usize, tangent: &Tensor) -> Tensor {
    let own = io.args[wrt].shape();
    let mut front = vec![1; 1 + io.out.shape().rank() - own.rank()];
    front[0] = tangent.shape()[0];
    tangent.reshape(own.prefixed(&front))
}

impl Op for Arithmetic {
    fn name(&self) -> &'static str {
        match self.0 {
            Binary::Add => "add",
            Binary::Sub => "subtract",
            Binary::Mul => "multiply",
            Binary::Div => "divide",
        }
    }

    fn forward(&self, args: &[&Tensor]) -> Tensor {
        args[0].binary(self.0, args[1])
    }

    /// `M` times the partial derivative, summed over the axes that were repeated.
    fn jac_t(&self, io: Io<'_>, wrt: usize, mat: &Tensor, batch: Batch) -> Tensor {
        let keep = batch == Batch::Keep && io.out_batched() && !io.batched[wrt];
        sum_to(&self.partial(io, wrt, mat.clone()), io.args[wrt].shape(), keep)
    }

    fn effort(&self, io: Io<'_>, wrt: usize) -> Effort {
        let side = io.out_share();
        let copies = match (self.0, wrt) {
            (Binary::Add | Binary::Sub, _) => 1,
            (Binary::Mul, _) | (Binary::Div, 0) => 2,
            (Binary::Div, _) => 3,
        };
        Effort { per_column: copies * side, ..Effort::of(side) }
    }

    fn jac(&self, io: Io<'_>, wrt: usize, tangent: &Tensor) -> Tensor {
        let k = tangent.shape()[0];
        self.partial(io, wrt, spread(io, wrt, tangent)).broadcast(io.out.shape().prefixed(&[k]))
    }

    /// With `m/b` and `−m a/b²` for the products of a quotient: `−m t/b²` for the mixed pairs, `2 m
    /// t a/b³` for b alone.
    fn second(&self, wrt: usize, along: usize) -> Second<'_> {
        match self.0 {
            Binary::Add | Binary::Sub => Second::Zero,
            Binary::Mul if wrt == along => Second::Zero,
            Binary::Mul => Second::Bilinear,
            Binary::Div if wrt == 0 && along == 0 => Second::Zero,
            Binary::Div => Second::product(move |io, mat, tangent, batch| {
                let b = io.args[1];
                let mut product = mat
                    .mul(&spread(io, along, tangent))
                    .binary(Binary::Div, b)
                    .binary(Binary::Div, b);
                product =
                    if wrt == along { product.mul(io.out).scale(2.0) } else { product.scale(-1.0) };
                sum_to(
                    &product,
                    io.args[wrt].shape(),
                    batch == Batch::Keep && io.out_batched() && !io.batched[wrt],
                )
            }),
        }
    }
}

impl Tape {
    #[track_caller]
    fn arithmetic(&mut self, f: Binary, a: Var, b: Var) -> Var {
        let rank = |var| self.value(var).shape().rank();
        let fits = match (self.is_batched(a), self.is_batched(b)) {
            (true, true) | (false, false) => rank(a) == rank(b),
            (true, false) => rank(b) < rank(a),
            (false, true) => rank(a) < rank(b),
        };
        assert!(
            fits,
            "{f:?} of {} and {}: values with a sample axis need equal numbers of axes, a parameter \
             fewer",
            self.value(a).shape(),
            self.value(b).shape()
        );
        self.record(Arithmetic(f), &[a, b])
    }

    /// `a + b`: equal shapes, or axes of length one (and for parameters missing leading axes) that
    /// repeat.
    ///
    /// # Panics
    /// If the shapes do not fit, or a parameter would repeat along the sample axis in a way that is
    /// not plain.
    #[track_caller]
    pub fn add(&mut self, a: Var, b: Var) -> Var {
        self.arithmetic(Binary::Add, a, b)
    }

    /// `a − b`, with repetition as in [`add`](Tape::add).
    ///
    /// # Panics
    /// As there.
    #[track_caller]
    pub fn sub(&mut self, a: Var, b: Var) -> Var {
        self.arithmetic(Binary::Sub, a, b)
    }

    /// `a · b`, entry by entry, with repetition as in [`add`](Tape::add).
    ///
    /// # Panics
    /// As there.
    #[track_caller]
    pub fn mul(&mut self, a: Var, b: Var) -> Var {
        self.arithmetic(Binary::Mul, a, b)
    }

    /// `a / b`, entry by entry, with repetition as in [`add`](Tape::add).
    ///
    /// # Panics
    /// As there.
    #[track_caller]
    pub fn div(&mut self, a: Var, b: Var) -> Var {
        self.arithmetic(Binary::Div, a, b)
    }

    /// `factor · a`.
    pub fn scale(&mut self, a: Var, factor: f64) -> Var {
        self.map(Unary::Scale(factor), a)
    }
}

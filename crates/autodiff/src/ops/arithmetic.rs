//! Maps of two values, entry by entry, with repetition: sums, products, quotients, the larger and
//! the smaller one, powers, remainders.

use vivit_tensor::{Binary, Tensor, Unary};

use super::power;
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
            (Binary::Add, _) | (Binary::Sub | Binary::Fmod | Binary::Remainder, 0) => x,
            (Binary::Sub, _) => x.scale(-1.0),
            (Binary::Mul, 0) => x.mul(b),
            (Binary::Mul, _) => x.mul(a),
            (Binary::Div, 0) => x.binary(Binary::Div, b),
            // ∂(a/b)/∂b = −(a/b)/b
            (Binary::Div, _) => x.mul(io.out).binary(Binary::Div, b).scale(-1.0),
            (Binary::Max, _) => x.mul(&greater(io.args[wrt], io.args[1 - wrt])),
            (Binary::Min, _) => x.mul(&greater(io.args[1 - wrt], io.args[wrt])),
            (Binary::Pow, 0) => x.mul(&power::in_base(a, b)),
            (Binary::Pow, _) => x.mul(&power::in_exponent(a, io.out)),
            // −trunc(a/b) or −⌊a/b⌋, which is (out − a)/b up to rounding.
            (Binary::Fmod | Binary::Remainder, _) => {
                x.mul(&io.out.sub(a).binary(Binary::Div, b).unary(Unary::Round))
            }
            (Binary::PRelu, 0) => {
                let one = Tensor::full(x.device(), [], 1.0);
                x.mul(&a.unary(Unary::Relu).where_cond(&one, b))
            }
            (Binary::PRelu, _) => x.mul(&a.unary(Unary::HardTanh(f64::NEG_INFINITY, 0.0))),
            (Binary::Less | Binary::LessEqual | Binary::Equal, _) => {
                Tensor::zeros(x.device(), *x.shape())
            }
        }
    }

    /// `∂²out/∂wrt∂along`, where it is neither zero nor the product's.
    fn curvature(self, io: Io<'_>, wrt: usize, along: usize) -> Tensor {
        let (a, b) = (io.args[0], io.args[1]);
        match self.0 {
            Binary::Pow => power::second(a, b, io.out, wrt + along),
            Binary::PRelu => a.binary(Binary::LessEqual, &Tensor::zeros(a.device(), [])),
            // −1/b² for the mixed pairs, 2a/b³ for b alone.
            _ => {
                let square = b.unary(Unary::Recip).unary(Unary::Square);
                if wrt == along { square.mul(io.out).scale(2.0) } else { square.scale(-1.0) }
            }
        }
    }
}

/// How much of the larger one of two `a` is: 1, or ½ where they are equal.
fn greater(a: &Tensor, b: &Tensor) -> Tensor {
    b.binary(Binary::Less, a).add(&b.binary(Binary::LessEqual, a)).scale(0.5)
}

/// A tangent `[K, *arg]` with ones between K and the argument's own axes, where a repeated argument
/// has fewer than the result.
pub(super) fn spread(io: Io<'_>, wrt: usize, tangent: &Tensor) -> Tensor {
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
            Binary::Max => "maximum",
            Binary::Min => "minimum",
            Binary::Pow => "power",
            Binary::Fmod | Binary::Remainder => "remainder",
            Binary::PRelu => "parametric relu",
            Binary::Less | Binary::LessEqual | Binary::Equal => "comparison",
        }
    }

    fn forward(&self, args: &[&Tensor]) -> Tensor {
        args[0].binary(self.0, args[1])
    }

    fn is_piecewise_constant(&self, _wrt: usize) -> bool {
        matches!(self.0, Binary::Less | Binary::LessEqual | Binary::Equal)
    }

    /// `M` times the partial derivative, summed over the axes that were repeated.
    fn jac_t(&self, io: Io<'_>, wrt: usize, mat: &Tensor, batch: Batch) -> Tensor {
        let keep = io.batch(batch) == Batch::Keep && !io.batched[wrt];
        sum_to(&self.partial(io, wrt, mat.clone()), io.args[wrt].shape(), keep)
    }

    fn effort(&self, io: Io<'_>, wrt: usize) -> Effort {
        let side = io.out_share();
        let copies = match (self.0, wrt) {
            (Binary::Add | Binary::Sub, _) => 1,
            (Binary::Div, 1) => 3,
            _ => 2,
        };
        // What the factors are multiplied by is a few arrays of the result's size.
        let held = match self.0 {
            Binary::Add | Binary::Sub | Binary::Mul | Binary::Div => 0,
            _ => 3,
        };
        Effort { per_column: copies * side, per_sample: held * side, ..Effort::of(side) }
    }

    fn jac(&self, io: Io<'_>, wrt: usize, tangent: &Tensor) -> Tensor {
        let k = tangent.shape()[0];
        self.partial(io, wrt, spread(io, wrt, tangent)).broadcast(io.out.shape().prefixed(&[k]))
    }

    /// `m t ∂²out/∂wrt∂along`
    fn second(&self, wrt: usize, along: usize) -> Second<'_> {
        match self.0 {
            Binary::Mul if wrt != along => Second::Bilinear,
            Binary::Div if wrt + along > 0 => self.curved(wrt, along),
            Binary::Pow => self.curved(wrt, along),
            Binary::PRelu if wrt != along => self.curved(wrt, along),
            _ => Second::Zero,
        }
    }
}

impl Arithmetic {
    fn curved(self, wrt: usize, along: usize) -> Second<'static> {
        Second::product(move |io, mat, tangent, batch| {
            let bent = mat.mul(&spread(io, along, tangent)).mul(&self.curvature(io, wrt, along));
            let keep = io.batch(batch) == Batch::Keep && !io.batched[wrt];
            sum_to(&bent, io.args[wrt].shape(), keep)
        })
    }
}

impl Tape {
    /// Checks that values repeat along axes of length one in a plain way.
    #[track_caller]
    pub(crate) fn expect_repeatable(&self, what: &str, args: &[Var]) {
        let rank = |&arg: &Var| self.value(arg).shape().rank();
        let (batched, others): (Vec<Var>, Vec<Var>) =
            args.iter().partition(|&&arg| self.is_batched(arg));
        let most = args.iter().map(rank).max().unwrap_or(0);
        let fits = if batched.is_empty() {
            others.iter().all(|arg| rank(arg) == most)
        } else {
            batched.iter().all(|arg| rank(arg) == most) && others.iter().all(|arg| rank(arg) < most)
        };
        let shapes = || args.iter().map(|&arg| self.value(arg).shape().to_string());
        assert!(
            fits,
            "{what} of {}: values with a sample axis need equal numbers of axes, a parameter fewer",
            shapes().collect::<Vec<_>>().join(" and ")
        );
    }

    #[track_caller]
    pub(crate) fn arithmetic(&mut self, f: Binary, a: Var, b: Var) -> Var {
        self.expect_repeatable(&format!("{f:?}"), &[a, b]);
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

    /// The larger one of a and b, with repetition as in [`add`](Tape::add); of equal ones each has
    /// half of the derivative.
    ///
    /// ```
    /// use vivit_autodiff::Tape;
    /// use vivit_tensor::{Device, Tensor};
    ///
    /// let cpu = Device::cpu();
    /// let mut tape = Tape::new(&cpu);
    /// let x = tape.input(Tensor::from_vec(&cpu, [2, 2], vec![1.0, -2.0, 3.0, 0.5])?);
    /// let b = tape.param(Tensor::from_vec(&cpu, [2], vec![2.0, 0.0])?);
    /// let y = tape.maximum(x, b);
    /// assert_eq!(tape.value(y).to_vec()?, [2.0, 0.0, 3.0, 0.5]);
    /// # Ok::<(), vivit_tensor::Error>(())
    /// ```
    ///
    /// # Panics
    /// As there.
    #[track_caller]
    pub fn maximum(&mut self, a: Var, b: Var) -> Var {
        self.arithmetic(Binary::Max, a, b)
    }

    /// The smaller one of a and b; as [`maximum`](Tape::maximum).
    ///
    /// # Panics
    /// As there.
    #[track_caller]
    pub fn minimum(&mut self, a: Var, b: Var) -> Var {
        self.arithmetic(Binary::Min, a, b)
    }

    /// `aᵇ`, with repetition as in [`add`](Tape::add). Of a negative a it is NaN unless b is whole.
    /// For a constant b, [`Unary::Powf`] is faster.
    ///
    /// Derivatives: `b aᵇ⁻¹` in a, which is 0 for b = 0; `aᵇ log a` in b, which is 0 for a = 0 and
    /// NaN for a below.
    ///
    /// # Panics
    /// As there.
    #[track_caller]
    pub fn pow(&mut self, a: Var, b: Var) -> Var {
        self.arithmetic(Binary::Pow, a, b)
    }

    /// `a − b trunc(a/b)`, the remainder with the sign of a, with repetition as in
    /// [`add`](Tape::add).
    ///
    /// # Panics
    /// As there.
    #[track_caller]
    pub fn fmod(&mut self, a: Var, b: Var) -> Var {
        self.arithmetic(Binary::Fmod, a, b)
    }

    /// `a − b ⌊a/b⌋`, the remainder with the sign of b, with repetition as in [`add`](Tape::add).
    ///
    /// # Panics
    /// As there.
    #[track_caller]
    pub fn remainder(&mut self, a: Var, b: Var) -> Var {
        self.arithmetic(Binary::Remainder, a, b)
    }

    /// `factor · a`.
    pub fn scale(&mut self, a: Var, factor: f64) -> Var {
        self.map(Unary::Scale(factor), a)
    }
}

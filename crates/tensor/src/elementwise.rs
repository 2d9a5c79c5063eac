//! The elementwise table: every unary map that a backend knows, with its first and second
//! derivative.
//!
//! A new activation is one row here, one [`Unary`] variant, and whatever the compiler then lists in
//! the backends.

use crate::Scalar;

/// A differentiable map `y = f(x)`: one row of the elementwise table.
pub trait Row: Copy + Send + Sync {
    /// `f(x)`.
    fn f<E: Scalar>(self, x: E) -> E;
    /// `f′` at `x`, where `y = f(x)` is known.
    fn d1<E: Scalar>(self, x: E, y: E) -> E;
    /// `f″` at `x`, where `y = f(x)` is known.
    fn d2<E: Scalar>(self, x: E, y: E) -> E;
}

macro_rules! table {
    ($(
        $(#[$doc:meta])*
        $name:ident $(($($par:ident),+))? => |$x:ident, $y:ident| $f:expr, $d1:expr, $d2:expr;
    )+) => {
        /// The unary maps. Parameters are doubles whatever the element type.
        ///
        /// ```
        /// use vivit_tensor::{Device, Tensor, Unary};
        ///
        /// let x = Tensor::from_vec(&Device::cpu(), [4], vec![-2.0, 0.0, 0.5, f64::NAN])?;
        /// let signs = x.unary(Unary::Sign).to_vec()?;
        /// assert_eq!(signs[..3], [-1.0, 0.0, 1.0]);
        /// assert!(signs[3].is_nan());
        /// # Ok::<(), vivit_tensor::Error>(())
        /// ```
        #[derive(Clone, Copy, Debug, PartialEq)]
        pub enum Unary { $($(#[$doc])* $name $(($(table!(@f64 $par)),+))?,)+ }

        mod rows {
            $(
                #[derive(Clone, Copy)]
                pub(super) struct $name $(($(pub(super) table!(@f64 $par)),+))?;
            )+
        }

        $(#[allow(unused_variables)]
        impl Row for rows::$name {
            #[inline(always)]
            fn f<E: Scalar>(self, $x: E) -> E {
                $(let rows::$name($($par),+) = self; $(let $par = E::of($par);)+)?
                $f
            }
            #[inline(always)]
            fn d1<E: Scalar>(self, $x: E, $y: E) -> E {
                $(let rows::$name($($par),+) = self; $(let $par = E::of($par);)+)?
                $d1
            }
            #[inline(always)]
            fn d2<E: Scalar>(self, $x: E, $y: E) -> E {
                $(let rows::$name($($par),+) = self; $(let $par = E::of($par);)+)?
                $d2
            }
        })+

        impl Unary {
            /// Hands the row to `visitor`, so that its loop is compiled for that row alone.
            #[inline]
            pub fn visit<V: RowVisitor>(self, visitor: V) -> V::Out {
                match self {
                    $(Unary::$name $(($($par),+))? => {
                        visitor.visit(rows::$name $(($($par),+))?)
                    })+
                }
            }
        }
    };
    (@f64 $par:ident) => { f64 };
}

/// A computation that wants to be compiled once per row of the table.
pub trait RowVisitor {
    /// What it returns.
    type Out;
    /// Runs with the row.
    fn visit<R: Row>(self, row: R) -> Self::Out;
}

const SELU_SCALE: f64 = 1.050_700_987_355_480_5;
const SELU_ALPHA: f64 = 1.673_263_242_354_377_2;

#[inline(always)]
fn sigmoid<E: Scalar>(x: E) -> E {
    (E::one() + (-x).exponential()).recip()
}

/// `log(1 + eˣ)` without overflow.
#[inline(always)]
fn softplus<E: Scalar>(x: E) -> E {
    let above = if x > E::zero() { x } else { E::zero() };
    if x.is_nan() { x } else { above + (-x.abs()).exp().ln_1p() }
}

#[inline(always)]
fn normal_cdf<E: Scalar>(x: E) -> E {
    E::of(0.5) * (E::one() + (x * E::of(std::f64::consts::FRAC_1_SQRT_2)).erf())
}

#[inline(always)]
fn normal_density<E: Scalar>(x: E) -> E {
    E::of(0.398_942_280_401_432_7) * (-E::of(0.5) * x * x).exponential()
}

/// `u`, `u′`, `u″` of GELU's approximation.
#[inline(always)]
fn gelu_inner<E: Scalar>(x: E) -> (E, E, E) {
    let (k, c) = (E::of(0.797_884_560_802_865_4), E::of(0.044_715));
    let three = E::of(3.0);
    (k * (x + c * x * x * x), k * (E::one() + three * c * x * x), k * E::of(6.0) * c * x)
}

table! {
    /// `max(x, 0)`; the derivative at 0 is 0. NaN stays NaN.
    Relu => |x, y|
        if x <= E::zero() { E::zero() } else { x },
        if x > E::zero() { E::one() } else { E::zero() },
        E::zero();
    /// `1 / (1 + e⁻ˣ)`.
    Sigmoid => |x, y|
        sigmoid(x),
        y * (E::one() - y),
        y * (E::one() - y) * (E::one() - y - y);
    /// The hyperbolic tangent.
    Tanh => |x, y|
        x.hyperbolic_tangent(),
        E::one() - y * y,
        -(y + y) * (E::one() - y * y);
    /// `x` above 0, `a·x` elsewhere.
    LeakyRelu(a) => |x, y|
        if x > E::zero() { x } else { a * x },
        if x > E::zero() { E::one() } else { a },
        E::zero();
    /// `x` above 0, `a (eˣ − 1)` elsewhere.
    Elu(a) => |x, y|
        if x > E::zero() { x } else { a * x.exp_m1() },
        if x > E::zero() { E::one() } else { y + a },
        if x > E::zero() { E::zero() } else { y + a };
    /// The self-normalising ELU, `1.0507… · elu(x)` with `a = 1.6732…` (Klambauer et al. 2017).
    Selu => |x, y|
        E::of(SELU_SCALE) * if x > E::zero() { x } else { E::of(SELU_ALPHA) * x.exp_m1() },
        if x > E::zero() { E::of(SELU_SCALE) } else { y + E::of(SELU_SCALE * SELU_ALPHA) },
        if x > E::zero() { E::zero() } else { y + E::of(SELU_SCALE * SELU_ALPHA) };
    /// `log σ(x) = −log(1 + e⁻ˣ)`.
    LogSigmoid => |x, y|
        -softplus(-x),
        sigmoid(-x),
        -sigmoid(x) * sigmoid(-x);
    /// `log(1 + e^(a x)) / a`.
    Softplus(a) => |x, y|
        softplus(a * x) / a,
        sigmoid(a * x),
        a * sigmoid(a * x) * sigmoid(-a * x);
    /// `x σ(x)` (SiLU, swish).
    Silu => |x, y|
        x * sigmoid(x),
        sigmoid(x) * (E::one() + x * sigmoid(-x)),
        sigmoid(x) * sigmoid(-x) * (E::of(2.0) + x * (sigmoid(-x) - sigmoid(x)));
    /// `x Φ(x)` with the normal distribution function Φ (the exact GELU).
    Gelu => |x, y|
        x * normal_cdf(x),
        normal_cdf(x) + x * normal_density(x),
        normal_density(x) * (E::of(2.0) - x * x);
    /// `x/2 (1 + tanh u)`, `u = √(2/π) (x + 0.044715 x³)` (GELU's approximation).
    GeluTanh => |x, y|
        E::of(0.5) * x * (E::one() + gelu_inner(x).0.hyperbolic_tangent()),
        {
            let (u, du, _) = gelu_inner(x);
            let t = u.hyperbolic_tangent();
            E::of(0.5) * (E::one() + t + x * (E::one() - t * t) * du)
        },
        {
            let (u, du, ddu) = gelu_inner(x);
            let t = u.hyperbolic_tangent();
            (E::one() - t * t) * (du + E::of(0.5) * x * (ddu - E::of(2.0) * t * du * du))
        };
    /// `x` clamped between the two bounds; the derivative at a bound is 0.
    HardTanh(low, high) => |x, y|
        if x < low { low } else if x > high { high } else { x },
        if x > low && x < high { E::one() } else { E::zero() },
        E::zero();
    /// `|x|`; the derivative at 0 is 0.
    Abs => |x, y|
        x.abs(),
        if x > E::zero() { E::one() } else if x < E::zero() { -E::one() } else { E::zero() },
        E::zero();
    /// 1 above 0, −1 below; 0 of 0, and NaN of NaN. The derivative is 0, at 0 too.
    Sign => |x, y|
        if x > E::zero() { E::one() } else if x < E::zero() { -E::one() } else { x },
        E::zero(),
        E::zero();
    /// `eˣ`.
    Exp => |x, y| x.exponential(), y, y;
    /// The natural logarithm.
    Ln => |x, y| x.ln(), x.recip(), -(x * x).recip();
    /// The square root.
    Sqrt => |x, y| x.sqrt(), (y + y).recip(), -((E::one() + E::one()) * (y + y) * x).recip();
    /// `x²`.
    Square => |x, y| x * x, x + x, E::one() + E::one();
    /// `1 / x`.
    Recip => |x, y| x.recip(), -y * y, (y + y) * y * y;
    /// `a·x`.
    Scale(a) => |x, y| a * x, a, E::zero();
    /// `x + a`.
    Shift(a) => |x, y| x + a, E::one(), E::zero();
}

/// The elementwise maps of two arguments.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Binary {
    /// `a + b`
    Add,
    /// `a − b`
    Sub,
    /// `a · b`
    Mul,
    /// `a / b`
    Div,
}

/// The reductions over an axis.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reduce {
    /// The sum; 0 of nothing.
    Sum,
    /// The sum of squares; 0 of nothing.
    SumSquares,
    /// The maximum; −∞ of nothing.
    Max,
    /// The minimum; ∞ of nothing.
    Min,
}

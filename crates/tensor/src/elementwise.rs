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

/// `x` clamped between two bounds; NaN stays NaN.
#[inline(always)]
fn clamp<E: Scalar>(x: E, low: E, high: E) -> E {
    if x < low {
        low
    } else if x > high {
        high
    } else {
        x
    }
}

/// 1 above 0, −1 below, 0 elsewhere.
#[inline(always)]
fn sign<E: Scalar>(x: E) -> E {
    indicator::<E>(x > E::zero()) - indicator(x < E::zero())
}

/// 1 where a condition holds, 0 elsewhere.
#[inline(always)]
fn indicator<E: Scalar>(holds: bool) -> E {
    if holds { E::one() } else { E::zero() }
}

/// `xᵖ`, for the usual exponents without a logarithm.
#[inline(always)]
fn power<E: Scalar>(x: E, p: E) -> E {
    if p == E::one() {
        x
    } else if p == E::of(2.0) {
        x * x
    } else if p == E::of(3.0) {
        x * x * x
    } else if p == E::of(-1.0) {
        x.recip()
    } else {
        x.powf(p)
    }
}

/// `c xᵖ`, and 0 for c = 0 whatever `xᵖ` is.
#[inline(always)]
fn monomial<E: Scalar>(c: E, x: E, p: E) -> E {
    if c == E::zero() { c } else { c * power(x, p) }
}

/// `t = tanh(log(1 + eˣ))` and `1 − t²`, without cancellation.
#[inline(always)]
fn tanh_softplus<E: Scalar>(x: E) -> (E, E) {
    let (one, two, e) = (E::one(), E::of(2.0), (-x.abs()).exp());
    let (t, root) = if x > E::zero() {
        let below = one + two * e * (one + e);
        ((one + two * e) / below, two * e * (one + e) / below)
    } else {
        let below = two + e * (two + e);
        (e * (two + e) / below, two * (one + e) / below)
    };
    (t, root * root)
}

/// `log(x + √(x² − 1))`, without cancellation near 1.
#[inline(always)]
fn acosh<E: Scalar>(x: E) -> E {
    let above = x - E::one();
    (above + above.sqrt() * (x + E::one()).sqrt()).ln_1p()
}

/// `log((1 + x)/(1 − x))/2`, odd to the last bit.
#[inline(always)]
fn atanh<E: Scalar>(x: E) -> E {
    let a = x.abs();
    let y = E::of(0.5) * ((a + a) / (E::one() - a)).ln_1p();
    if x < E::zero() { -y } else { y }
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
    /// `x tanh(log(1 + eˣ))` (Misra 2019).
    Mish => |x, y|
        x * tanh_softplus(x).0,
        {
            let (t, slope) = tanh_softplus(x);
            t + x * sigmoid(x) * slope
        },
        {
            let ((t, slope), s) = (tanh_softplus(x), sigmoid(x));
            s * slope * (E::of(2.0) + x * (sigmoid(-x) - E::of(2.0) * t * s))
        };
    /// `x / (1 + |x|)`.
    Softsign => |x, y|
        x / (E::one() + x.abs()),
        {
            let r = (E::one() + x.abs()).recip();
            r * r
        },
        {
            let r = (E::one() + x.abs()).recip();
            E::of(-2.0) * sign(x) * r * r * r
        };
    /// `x` above 0, `a (e^(x/a) − 1)` elsewhere (CELU).
    Celu(a) => |x, y|
        if x > E::zero() { x } else { a * (x / a).exp_m1() },
        if x > E::zero() { E::one() } else { y / a + E::one() },
        if x > E::zero() { E::zero() } else { (y / a + E::one()) / a };
    /// `x` above `a`, 0 elsewhere; the derivative at `a` is 0. NaN stays NaN.
    ThresholdedRelu(a) => |x, y|
        if x <= a { E::zero() } else { x },
        indicator(x > a),
        E::zero();
    /// `x` clamped between the two bounds, which may be infinite; the derivative at a bound is 0.
    HardTanh(low, high) => |x, y|
        clamp(x, low, high),
        indicator(x > low && x < high),
        E::zero();
    /// `a x + b` clamped between 0 and 1; the derivative where it becomes 0 or 1 is 0.
    HardSigmoid(a, b) => |x, y|
        clamp(a * x + b, E::zero(), E::one()),
        if y > E::zero() && y < E::one() { a } else { E::zero() },
        E::zero();
    /// `x` times `x/6 + 1/2` clamped between 0 and 1; the derivative at −3 is 0, at 3 it is 1.
    HardSwish => |x, y|
        x * clamp(x / E::of(6.0) + E::of(0.5), E::zero(), E::one()),
        if x <= E::of(-3.0) {
            E::zero()
        } else if x < E::of(3.0) {
            x / E::of(3.0) + E::of(0.5)
        } else {
            E::one()
        },
        if x.abs() < E::of(3.0) { E::of(3.0).recip() } else { E::zero() };
    /// `|x|`; the derivative at 0 is 0.
    Abs => |x, y|
        x.abs(),
        sign(x),
        E::zero();
    /// 1 above 0, −1 below; 0 of 0, and NaN of NaN. The derivative is 0, at 0 too.
    Sign => |x, y|
        if x.is_nan() { x } else { sign(x) },
        E::zero(),
        E::zero();
    /// The largest whole number that is at most `x`; the derivative is 0.
    Floor => |x, y| x.floor(), E::zero(), E::zero();
    /// The smallest whole number that is at least `x`; the derivative is 0.
    Ceil => |x, y| x.ceil(), E::zero(), E::zero();
    /// The nearest whole number, the even one of two; the derivative is 0.
    Round => |x, y| x.round_even(), E::zero(), E::zero();
    /// `x` without its fraction; the derivative is 0.
    Trunc => |x, y| x.trunc(), E::zero(), E::zero();
    /// 1 for 0, 0 for all else, NaN included: the negation of a truth value. The derivative is 0.
    Not => |x, y| indicator(x == E::zero()), E::zero(), E::zero();
    /// `eˣ`.
    Exp => |x, y| x.exponential(), y, y;
    /// The natural logarithm.
    Ln => |x, y| x.ln(), x.recip(), -(x * x).recip();
    /// `eˣ − 1`, without cancellation near 0.
    Expm1 => |x, y| x.exp_m1(), x.exp(), x.exp();
    /// `log(1 + x)`, without cancellation near 0.
    Log1p => |x, y|
        x.ln_1p(),
        (E::one() + x).recip(),
        -((E::one() + x) * (E::one() + x)).recip();
    /// The square root.
    Sqrt => |x, y| x.sqrt(), (y + y).recip(), -((E::one() + E::one()) * (y + y) * x).recip();
    /// `1 / √x`.
    Rsqrt => |x, y|
        x.sqrt().recip(),
        E::of(-0.5) * y * y * y,
        E::of(0.75) * y * y * y * y * y;
    /// `xᵖ`. Below 0 NaN unless p is whole; `x⁰` is 1, and its derivative 0, everywhere.
    Powf(p) => |x, y|
        power(x, p),
        monomial(p, x, p - E::one()),
        monomial(p * (p - E::one()), x, p - E::of(2.0));
    /// `x²`.
    Square => |x, y| x * x, x + x, E::one() + E::one();
    /// `1 / x`.
    Recip => |x, y| x.recip(), -y * y, (y + y) * y * y;
    /// The sine.
    Sin => |x, y| x.sin(), x.cos(), -y;
    /// The cosine.
    Cos => |x, y| x.cos(), -x.sin(), -y;
    /// The tangent.
    Tan => |x, y| x.tan(), E::one() + y * y, (y + y) * (E::one() + y * y);
    /// The inverse of the sine, from −1 to 1.
    Asin => |x, y|
        x.asin(),
        ((E::one() - x) * (E::one() + x)).sqrt().recip(),
        {
            let slope = ((E::one() - x) * (E::one() + x)).sqrt().recip();
            x * slope * slope * slope
        };
    /// The inverse of the cosine, from −1 to 1.
    Acos => |x, y|
        x.acos(),
        -((E::one() - x) * (E::one() + x)).sqrt().recip(),
        {
            let slope = ((E::one() - x) * (E::one() + x)).sqrt().recip();
            -x * slope * slope * slope
        };
    /// The inverse of the tangent.
    Atan => |x, y|
        x.atan(),
        (E::one() + x * x).recip(),
        {
            let slope = (E::one() + x * x).recip();
            -(x + x) * slope * slope
        };
    /// The hyperbolic sine.
    Sinh => |x, y| x.sinh(), x.cosh(), y;
    /// The hyperbolic cosine.
    Cosh => |x, y| x.cosh(), x.sinh(), y;
    /// The inverse of the hyperbolic sine.
    Asinh => |x, y|
        x.asinh(),
        x.hypot(E::one()).recip(),
        {
            let slope = x.hypot(E::one()).recip();
            -x * slope * slope * slope
        };
    /// The inverse of the hyperbolic cosine, from 1 on.
    Acosh => |x, y|
        acosh(x),
        ((x - E::one()).sqrt() * (x + E::one()).sqrt()).recip(),
        {
            let slope = ((x - E::one()).sqrt() * (x + E::one()).sqrt()).recip();
            -x * slope * slope * slope
        };
    /// The inverse of the hyperbolic tangent, from −1 to 1.
    Atanh => |x, y|
        atanh(x),
        ((E::one() - x) * (E::one() + x)).recip(),
        {
            let slope = ((E::one() - x) * (E::one() + x)).recip();
            (x + x) * slope * slope
        };
    /// The error function `2/√π ∫₀ˣ e^(−t²) dt`.
    Erf => |x, y|
        x.erf(),
        E::of(std::f64::consts::FRAC_2_SQRT_PI) * (-x * x).exp(),
        E::of(-2.0 * std::f64::consts::FRAC_2_SQRT_PI) * x * (-x * x).exp();
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
    /// The larger one; NaN if one is NaN.
    Max,
    /// The smaller one; NaN if one is NaN.
    Min,
    /// `aᵇ`; of a negative a NaN unless b is whole, and 1 for b = 0.
    Pow,
    /// `a − b trunc(a/b)`, exactly: the remainder with the sign of a.
    Fmod,
    /// `a − b ⌊a/b⌋`: the remainder with the sign of b.
    Remainder,
    /// a where a is above 0, `a · b` elsewhere.
    PRelu,
    /// 1 where `a < b`, 0 elsewhere: like the next two, 0 where one is NaN.
    Less,
    /// 1 where `a ≤ b`, 0 elsewhere.
    LessEqual,
    /// 1 where `a = b`, 0 elsewhere.
    Equal,
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
    /// The product; 1 of nothing.
    Product,
}

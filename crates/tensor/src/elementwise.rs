//! The elementwise table: every unary map that a backend knows, with its first and second derivative.
//!
//! A new activation is one row here, one [`Unary`] variant, and whatever the compiler then lists in the backends.

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
    ($($(#[$doc:meta])* $name:ident $(($($par:ident),+))? => |$x:ident, $y:ident| $f:expr, $d1:expr, $d2:expr;)+) => {
        /// The unary maps. Parameters are doubles whatever the element type.
        #[derive(Clone, Copy, Debug, PartialEq)]
        pub enum Unary { $($(#[$doc])* $name $(($(table!(@f64 $par)),+))?,)+ }

        mod rows {
            $(#[derive(Clone, Copy)] pub(super) struct $name $(($(pub(super) table!(@f64 $par)),+))?;)+
        }

        $(#[allow(unused_variables)]
        impl Row for rows::$name {
            #[inline(always)]
            fn f<E: Scalar>(self, $x: E) -> E { $(let rows::$name($($par),+) = self; $(let $par = E::of($par);)+)? $f }
            #[inline(always)]
            fn d1<E: Scalar>(self, $x: E, $y: E) -> E { $(let rows::$name($($par),+) = self; $(let $par = E::of($par);)+)? $d1 }
            #[inline(always)]
            fn d2<E: Scalar>(self, $x: E, $y: E) -> E { $(let rows::$name($($par),+) = self; $(let $par = E::of($par);)+)? $d2 }
        })+

        impl Unary {
            /// Hands the row to `visitor`, so that its loop is compiled for that row alone.
            #[inline]
            pub fn visit<V: RowVisitor>(self, visitor: V) -> V::Out {
                match self { $(Unary::$name $(($($par),+))? => visitor.visit(rows::$name $(($($par),+))?),)+ }
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

table! {
    /// `max(x, 0)`; the derivative at 0 is 0. NaN stays NaN.
    Relu => |x, y|
        if x <= E::zero() { E::zero() } else { x },
        if x > E::zero() { E::one() } else { E::zero() },
        E::zero();
    /// `1 / (1 + e⁻ˣ)`.
    Sigmoid => |x, y|
        (E::one() + (-x).exp()).recip(),
        y * (E::one() - y),
        y * (E::one() - y) * (E::one() - y - y);
    /// The hyperbolic tangent.
    Tanh => |x, y|
        x.tanh(),
        E::one() - y * y,
        -(y + y) * (E::one() - y * y);
    /// `eˣ`.
    Exp => |x, y| x.exp(), y, y;
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
    /// The maximum; −∞ of nothing.
    Max,
}

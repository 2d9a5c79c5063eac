//! Vector kernels with a fixed order of summation, for the widest vectors of the machine they run
//! on.
//!
//! [`Arch`] chooses between instruction sets at run time, and [`Element`] lets one loop serve both
//! element types. The order of operations depends on lengths and the instruction set only, never on
//! threads.

use pulp::{Arch, Simd, WithSimd};
use vivit_tensor::Scalar;

/// Operations on vectors of an element type.
pub(crate) trait Element: Scalar {
    /// A vector register.
    type Vector<S: Simd>: Copy;
    /// The whole vectors of a slice and what remains.
    fn split<S: Simd>(x: &[Self]) -> (&[Self::Vector<S>], &[Self]);
    /// The whole vectors of a slice and what remains.
    fn split_mut<S: Simd>(x: &mut [Self]) -> (&mut [Self::Vector<S>], &mut [Self]);
    /// `x` in every lane.
    fn splat<S: Simd>(simd: S, x: Self) -> Self::Vector<S>;
    /// `a b + c`, with one rounding where the machine has an instruction for that.
    fn madd<S: Simd>(
        simd: S,
        a: Self::Vector<S>,
        b: Self::Vector<S>,
        c: Self::Vector<S>,
    ) -> Self::Vector<S>;
    /// `a + b`.
    fn plus<S: Simd>(simd: S, a: Self::Vector<S>, b: Self::Vector<S>) -> Self::Vector<S>;
    /// The sum over all lanes.
    fn total<S: Simd>(simd: S, x: Self::Vector<S>) -> Self;
}

macro_rules! element {
    ($elem:ty, $vector:ident, $split:ident, $split_mut:ident, $splat:ident,
     $madd:ident, $add:ident, $total:ident) => {
        impl Element for $elem {
            type Vector<S: Simd> = S::$vector;
            #[inline(always)]
            fn split<S: Simd>(x: &[Self]) -> (&[S::$vector], &[Self]) {
                S::$split(x)
            }
            #[inline(always)]
            fn split_mut<S: Simd>(x: &mut [Self]) -> (&mut [S::$vector], &mut [Self]) {
                S::$split_mut(x)
            }
            #[inline(always)]
            fn splat<S: Simd>(simd: S, x: Self) -> S::$vector {
                simd.$splat(x)
            }
            #[inline(always)]
            fn madd<S: Simd>(simd: S, a: S::$vector, b: S::$vector, c: S::$vector) -> S::$vector {
                simd.$madd(a, b, c)
            }
            #[inline(always)]
            fn plus<S: Simd>(simd: S, a: S::$vector, b: S::$vector) -> S::$vector {
                simd.$add(a, b)
            }
            #[inline(always)]
            fn total<S: Simd>(simd: S, x: S::$vector) -> Self {
                simd.$total(x)
            }
        }
    };
}
element!(
    f32,
    f32s,
    as_simd_f32s,
    as_mut_simd_f32s,
    splat_f32s,
    mul_add_e_f32s,
    add_f32s,
    reduce_sum_f32s
);
element!(
    f64,
    f64s,
    as_simd_f64s,
    as_mut_simd_f64s,
    splat_f64s,
    mul_add_e_f64s,
    add_f64s,
    reduce_sum_f64s
);

/// Rows of a row-major block, `stride` apart.
#[derive(Clone, Copy)]
pub(crate) struct Rows<'a, E> {
    /// The entries, beginning with the first row's first column.
    pub(crate) entries: &'a [E],
    /// Distance of consecutive rows.
    pub(crate) stride: usize,
    /// Number of rows.
    pub(crate) count: usize,
}

impl<'a, E: Element> Rows<'a, E> {
    #[inline(always)]
    fn row(&self, i: usize, len: usize) -> &'a [E] {
        &self.entries[i * self.stride..i * self.stride + len]
    }

    /// The first `len` entries of four rows from row `i` on.
    #[inline(always)]
    fn four<S: Simd>(&self, i: usize, len: usize) -> Four<'a, E, S> {
        let [a, b, c, d] = [0, 1, 2, 3].map(|r| E::split::<S>(self.row(i + r, len)));
        Four { vectors: [a.0, b.0, c.0, d.0], rest: [a.1, b.1, c.1, d.1] }
    }
}

/// The whole vectors of four rows, and what remains.
struct Four<'a, E: Element, S: Simd> {
    vectors: [&'a [E::Vector<S>]; 4],
    rest: [&'a [E]; 4],
}

/// The `i`-th entries of four slices.
#[inline(always)]
pub(crate) fn fours<'a, V: Copy>([a, b, c, d]: [&'a [V]; 4]) -> impl Iterator<Item = [V; 4]> + 'a {
    a.iter().zip(b).zip(c.iter().zip(d)).map(|((a, b), (c, d))| [*a, *b, *c, *d])
}

/// `x · y`.
pub(crate) fn dot<E: Element>(x: &[E], y: &[E]) -> E {
    Arch::new().dispatch(Dot(x, y))
}

struct Dot<'a, E>(&'a [E], &'a [E]);

impl<E: Element> WithSimd for Dot<'_, E> {
    type Output = E;
    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) -> E {
        let (x, y) = (self.0, &self.1[..self.0.len()]);
        let ((xs, x), (ys, y)) = (E::split::<S>(x), E::split::<S>(y));
        let rest: E = x.iter().zip(y).map(|(&x, &y)| x * y).sum();
        let mut sums = [E::splat(simd, E::zero()); 4];
        let (fours_x, fours_y) = (xs.chunks_exact(4), ys.chunks_exact(4));
        for (&x, &y) in fours_x.remainder().iter().zip(fours_y.remainder()) {
            sums[0] = E::madd(simd, x, y, sums[0]);
        }
        for (x, y) in fours_x.zip(fours_y) {
            for l in 0..4 {
                sums[l] = E::madd(simd, x[l], y[l], sums[l]);
            }
        }
        let sum = E::plus(simd, E::plus(simd, sums[0], sums[1]), E::plus(simd, sums[2], sums[3]));
        E::total(simd, sum) + rest
    }
}

/// `y += a x`.
pub(crate) fn axpy<E: Element>(a: E, x: &[E], y: &mut [E]) {
    Arch::new().dispatch(Axpy(a, x, y));
}

struct Axpy<'a, E>(E, &'a [E], &'a mut [E]);

impl<E: Element> WithSimd for Axpy<'_, E> {
    type Output = ();
    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Axpy(a, x, y) = self;
        let y = &mut y[..x.len()];
        let ((ys, y), (xs, x)) = (E::split_mut::<S>(y), E::split::<S>(x));
        let factor = E::splat(simd, a);
        for (y, &x) in ys.iter_mut().zip(xs) {
            *y = E::madd(simd, factor, x, *y);
        }
        for (y, &x) in y.iter_mut().zip(x) {
            *y += a * x;
        }
    }
}

/// `out[k] = (row k) · x`.
pub(crate) fn products<E: Element>(rows: Rows<E>, x: &[E], out: &mut [E]) {
    Arch::new().dispatch(Products(rows, x, out));
}

struct Products<'a, E>(Rows<'a, E>, &'a [E], &'a mut [E]);

impl<E: Element> WithSimd for Products<'_, E> {
    type Output = ();
    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Products(rows, x, out) = self;
        let (xs, x_rest) = E::split::<S>(x);
        let whole = rows.count - rows.count % 4;
        for k in (0..whole).step_by(4) {
            let Four { vectors, rest } = rows.four::<S>(k, x.len());
            let mut sums = [E::splat(simd, E::zero()); 4];
            for (a, &x) in fours(vectors).zip(xs) {
                for r in 0..4 {
                    sums[r] = E::madd(simd, a[r], x, sums[r]);
                }
            }
            for r in 0..4 {
                let rest: E = rest[r].iter().zip(x_rest).map(|(&a, &x)| a * x).sum();
                out[k + r] = E::total(simd, sums[r]) + rest;
            }
        }
        for k in whole..rows.count {
            out[k] = Dot(rows.row(k, x.len()), x).with_simd(simd);
        }
    }
}

/// `y −= Σₖ c[k] (row k)`.
pub(crate) fn subtract<E: Element>(rows: Rows<E>, c: &[E], y: &mut [E]) {
    Arch::new().dispatch(Subtract(rows, c, y));
}

struct Subtract<'a, E>(Rows<'a, E>, &'a [E], &'a mut [E]);

impl<E: Element> WithSimd for Subtract<'_, E> {
    type Output = ();
    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Subtract(rows, c, y) = self;
        let whole = rows.count - rows.count % 4;
        for k in (0..whole).step_by(4) {
            let c = [-c[k], -c[k + 1], -c[k + 2], -c[k + 3]];
            let factors = c.map(|c| E::splat(simd, c));
            let Four { vectors, rest } = rows.four::<S>(k, y.len());
            let (ys, y) = E::split_mut::<S>(y);
            for (a, y) in fours(vectors).zip(ys) {
                let near = E::madd(simd, factors[1], a[1], E::madd(simd, factors[0], a[0], *y));
                *y = E::madd(simd, factors[3], a[3], E::madd(simd, factors[2], a[2], near));
            }
            for (a, y) in fours(rest).zip(y) {
                *y += c[0] * a[0] + c[1] * a[1] + c[2] * a[2] + c[3] * a[3];
            }
        }
        for k in whole..rows.count {
            Axpy(-c[k], rows.row(k, y.len()), y).with_simd(simd);
        }
    }
}

/// Adds to `y` what rows `first..first + rows.count` of a lower triangle contribute to the product
/// of the symmetric matrix and `x`: entry `(i, j)` contributes `aᵢⱼ xⱼ` to `yᵢ` and, if `j < i`,
/// `aᵢⱼ xᵢ` to `yⱼ`.
pub(crate) fn symmetric_product<E: Element>(rows: Rows<E>, first: usize, x: &[E], y: &mut [E]) {
    Arch::new().dispatch(SymmetricProduct { rows, first, x, y });
}

struct SymmetricProduct<'a, E> {
    rows: Rows<'a, E>,
    first: usize,
    x: &'a [E],
    y: &'a mut [E],
}

impl<E: Element> WithSimd for SymmetricProduct<'_, E> {
    type Output = ();
    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let SymmetricProduct { rows, first, x, y } = self;
        let whole = rows.count - rows.count % 4;
        for k in (0..whole).step_by(4) {
            let at = first + k;
            let outer = [x[at], x[at + 1], x[at + 2], x[at + 3]];
            let factors = outer.map(|x| E::splat(simd, x));
            // The columns left of all four diagonal entries.
            let Four { vectors, rest } = rows.four::<S>(k, at);
            let ((xs, x_rest), (ys, y_rest)) =
                (E::split::<S>(&x[..at]), E::split_mut::<S>(&mut y[..at]));
            let mut sums = [E::splat(simd, E::zero()); 4];
            for ((a, &x), y) in fours(vectors).zip(xs).zip(ys) {
                let near = E::madd(simd, factors[1], a[1], E::madd(simd, factors[0], a[0], *y));
                *y = E::madd(simd, factors[3], a[3], E::madd(simd, factors[2], a[2], near));
                for r in 0..4 {
                    sums[r] = E::madd(simd, a[r], x, sums[r]);
                }
            }
            let mut sums = sums.map(|sum| E::total(simd, sum));
            for ((a, &x), y) in fours(rest).zip(x_rest).zip(y_rest) {
                for r in 0..4 {
                    *y += outer[r] * a[r];
                    sums[r] += a[r] * x;
                }
            }
            for r in 0..4 {
                let row = &rows.row(k + r, at + r + 1)[at..];
                for j in 0..r {
                    sums[r] += row[j] * outer[j];
                    y[at + j] += row[j] * outer[r];
                }
                y[at + r] += sums[r] + row[r] * outer[r];
            }
        }
        for k in whole..rows.count {
            let i = first + k;
            let row = rows.row(k, i + 1);
            y[i] += row[i] * x[i] + Dot(&row[..i], x).with_simd(simd);
            Axpy(x[i], &row[..i], y).with_simd(simd);
        }
    }
}

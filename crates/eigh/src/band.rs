//! Reduction of a symmetric matrix to a band, the first of two stages, by matrix products.
//!
//! The rows of `A` are taken in panels of `b` rows, from the last one on. Row `i` is reflected such
//! that nothing is left of column `i − b`: with the panel's reflectors in the rows of `V`, `P = I −
//! Vᵀ Sᵀ V` (the [factor](crate::compact_wy) `S`) makes what is left of the panel's diagonal block
//! triangular, and the rows above it become
//!
//! ```text
//! U = S V A,   X = U − ½ (S V Uᵀ) V,   Pᵀ A P = A − Xᵀ V − Vᵀ X
//! ```
//!
//! (Bischof, Lang & Sun, ACM Trans. Math. Softw. 26 (2000) 581–601). In contrast to the reduction
//! to [tridiagonal](crate::tridiagonal) form in one stage, `A` is multiplied with `b` vectors at a
//! time, so that the speed of memory does not matter; the price is the [second
//! stage](crate::chase). Of the `4/3 n³` operations, half are the product `V A`, half the update.

use rayon::prelude::*;
use vivit_tensor::{Gemm, Strides, gemm};

use crate::compact_wy;
use crate::kernels::{Element, Rows, axpy, products};
use crate::parallel::PARALLEL;
use crate::reflector::reflector;
use crate::tridiagonal::blocks;
use crate::update::{SQUARE, update};

/// Rows of a panel whose reflectors are applied one by one.
const SLICE: usize = 16;

/// A symmetric band matrix of lower bandwidth `width`, with room for what arises below the band
/// while it is reduced.
pub(crate) struct Band<E> {
    pub(crate) n: usize,
    pub(crate) width: usize,
    /// Entry `(i, j)`, `0 ≤ i − j < 2 width`, is at `2 width j + i − j`.
    pub(crate) entries: Vec<E>,
}

impl<E: Element> Band<E> {
    fn new(n: usize, width: usize) -> Self {
        Band { n, width, entries: vec![E::zero(); 2 * width * n] }
    }

    /// Takes over row `i` from column `first` to the diagonal.
    fn set_row(&mut self, i: usize, first: usize, row: &[E]) {
        for (j, &x) in (first..=i).zip(&row[first..]) {
            self.entries[2 * self.width * j + i - j] = x;
        }
    }
}

/// Reduces the lower triangle of `a: [n, n]` and returns the band and the factors `τ`.
///
/// Afterwards row `i` of `a` holds the reflector `vᵢ`, whose last entry is at column `i − width`,
/// and zeros from there to the first column of its block of `width` rows. What is above the
/// diagonal is not kept.
pub(crate) fn reduce<E: Element>(n: usize, width: usize, a: &mut [E]) -> (Band<E>, Vec<E>) {
    let mut band = Band::new(n, width);
    let mut tau = vec![E::zero(); n];
    mirror_squares(n, a);
    // The rows X and V, and room for X behind them.
    let mut w = vec![E::zero(); 3 * width * n];
    for rows in blocks(n, width).rev() {
        let lo = rows.start;
        let (leading, panel) = a.split_at_mut(lo * n);
        let panel = &mut panel[..rows.len() * n];
        factor(n, lo, panel, &mut tau[rows.clone()], &mut band);
        if lo > 1 {
            let w = &mut w[..3 * rows.len() * n];
            vectors(n, leading, panel, &tau[rows], w);
            update(leading, panel, w, n);
        }
    }
    (band, tau)
}

/// Writes both triangles of the squares along the diagonal that products read as a whole.
fn mirror_squares<E: Element>(n: usize, a: &mut [E]) {
    for (k, rows) in a.chunks_mut(SQUARE * n.max(1)).enumerate() {
        let (first, count) = (k * SQUARE, rows.len() / n);
        for i in 0..count {
            for j in 0..i {
                rows[j * n + first + i] = rows[i * n + first + j];
            }
        }
    }
}

/// Turns rows `lo..` of the matrix, a panel, into its reflectors.
fn factor<E: Element>(n: usize, lo: usize, panel: &mut [E], tau: &mut [E], band: &mut Band<E>) {
    let count = tau.len();
    for slice in blocks(count, SLICE).rev() {
        for r in slice.clone().rev() {
            let (above, row) = panel.split_at_mut(r * n);
            let above = &mut above[slice.start * n..];
            let (i, row) = (lo + r, &mut row[..=lo + r]);
            let len = (i + 1).saturating_sub(band.width);
            if let Some((alpha, rest)) = row[..len].split_last_mut() {
                let (beta, factor) = reflector(alpha, rest);
                band.entries[2 * band.width * (len - 1) + band.width] = beta;
                tau[r] = factor;
                reflect_rows(n, above, &row[..len], factor);
            }
            band.set_row(i, len, row);
            row[len..lo.max(len)].fill(E::zero());
        }
        let (above, slice_rows) = panel.split_at_mut(slice.start * n);
        let cols = (lo + slice.end).saturating_sub(band.width);
        if slice.start > 0 && cols > 0 {
            reflect_block(n, cols, above, slice_rows, &tau[slice]);
        }
    }
}

/// `x ← x − τ (x · v) v` for the rows `x` of a panel.
fn reflect_rows<E: Element>(n: usize, rows: &mut [E], v: &[E], tau: E) {
    if rows.is_empty() || tau == E::zero() {
        return;
    }
    let mut dots = [E::zero(); SLICE];
    let count = rows.len() / n;
    products(Rows { entries: &*rows, stride: n, count }, v, &mut dots);
    for (row, &dot) in rows.chunks_exact_mut(n).zip(&dots) {
        axpy(-tau * dot, v, &mut row[..v.len()]);
    }
}

/// `X ← X − ((X Vᵀ) Sᵀ) V` for the rows of a panel above some reflectors.
fn reflect_block<E: Element>(n: usize, cols: usize, x: &mut [E], v: &[E], tau: &[E]) {
    let (m, nb) = (x.len() / n, tau.len());
    let s = compact_wy::factor(v, n, cols, tau);
    let (mut y, mut ys) = (vec![E::zero(); m * nb], vec![E::zero(); m * nb]);
    let along = Gemm { a: Strides::rows(n), b: Strides::transposed(n), ..Gemm::new(m, nb, cols) };
    gemm(&along, x, v, &mut y);
    gemm(&Gemm::nt(m, nb, nb), &y, &s, &mut ys);
    let across = Gemm { b: Strides::rows(n), c: Strides::rows(n), ..Gemm::new(m, cols, nb) };
    gemm(&across.scaled(-1.0).accumulating(), &ys, v, x);
}

/// Writes the rows X that belong to the reflectors `v` to the first third of `w`.
fn vectors<E: Element>(n: usize, leading: &[E], v: &[E], tau: &[E], w: &mut [E]) {
    let (m, nb) = (leading.len() / n, tau.len());
    let s = compact_wy::factor(v, n, m, tau);
    let (x, y) = w.split_at_mut(2 * nb * n);
    symmetric_product(n, leading, v, nb, &mut y[..m * nb]);
    let rows = Gemm { c: Strides::rows(n), ..Gemm::new(nb, m, nb) };
    // U
    gemm(&Gemm { b: Strides::transposed(nb), ..rows.clone() }, &s, y, x);
    let (mut products, mut g) = (vec![E::zero(); nb * nb], vec![E::zero(); nb * nb]);
    let along = Gemm { a: Strides::rows(n), b: Strides::transposed(n), ..Gemm::new(nb, nb, m) };
    gemm(&along, v, x, &mut products);
    gemm(&Gemm::new(nb, nb, nb), &s, &products, &mut g);
    let rows = Gemm { b: Strides::rows(n), ..rows };
    gemm(&rows.scaled(-0.5).accumulating(), &g, v, x);
}

/// `Y = A Vᵀ`, `[m, nb]`, from the lower triangle of A with its squares along the diagonal.
fn symmetric_product<E: Element>(n: usize, a: &[E], v: &[E], nb: usize, y: &mut [E]) {
    let m = a.len() / n;
    let part = |(k, y): (usize, &mut [E])| {
        let (first, count) = (k * SQUARE, y.len() / nb);
        let end = first + count;
        let product = Gemm { b: Strides::transposed(n), ..Gemm::new(count, nb, end) };
        let left = Gemm { a: Strides::rows(n).at(first * n), ..product.clone() };
        gemm(&left, a, v, y);
        if end < m {
            let a_below = Strides { offset: end * n + first, row: 1, col: n };
            let below = Gemm { a: a_below, b: product.b.at(end), k: m - end, ..product };
            gemm(&below.accumulating(), a, v, y);
        }
    };
    if m < PARALLEL {
        y.chunks_mut(SQUARE * nb).enumerate().for_each(part);
    } else {
        y.par_chunks_mut(SQUARE * nb).enumerate().for_each(part);
    }
}

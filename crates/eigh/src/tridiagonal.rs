//! Householder reduction of a symmetric matrix to tridiagonal form, blocked.
//!
//! For a vector `x` of length `m` with last entry `α` let `β = −sign(α) |x|`, `v = (x − β eₘ) / (α − β)` and
//! `τ = (β − α) / β`. Then `H = I − τ v vᵀ` is orthogonal and `H x = β eₘ`. With `x` the part of the last row of `A` left of the
//! diagonal, `H A H` has only `β` left there, and the reduction goes on with the leading block, which is smaller by one:
//!
//! ```text
//! p = τ A v,   w = p − (τ/2) (pᵀ v) v,   H A H = A − v wᵀ − w vᵀ.
//! ```
//!
//! The updates of `nb` rows (a *panel*) are delayed (Dongarra, Sorensen & Hammarling, J. Comput. Appl. Math. 27 (1989) 215–227,
//! LAPACK's `latrd`/`sytrd`): within a panel, `A v` is computed as `A₀ v − Σⱼ (vⱼ (wⱼᵀ v) + wⱼ (vⱼᵀ v))` from the matrix `A₀`
//! before the panel, and afterwards `A₀ −= Σⱼ vⱼ wⱼᵀ + wⱼ vⱼᵀ` is one matrix product. Half of the arithmetic, `A₀ v`, streams the
//! lower triangle once per row, and that decides the time. The triangle is cut into parts whose number depends on the size only;
//! each part sums into its own vector, and those are added in order.

use rayon::prelude::*;
use vivit_tensor::{Gemm, Matrix, Scalar, Strides, gemm};

use crate::kernels::{axpy, dot, symv_rows};

/// Rows per panel.
pub(crate) const PANEL: usize = 32;
/// Rows of one task of the trailing update.
const UPDATE_ROWS: usize = 128;

/// A symmetric tridiagonal matrix, in double precision for every element type.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Tridiagonal {
    /// The diagonal, `n` entries.
    pub(crate) d: Vec<f64>,
    /// The entries beside the diagonal, `n − 1` (none if `n = 0`).
    pub(crate) e: Vec<f64>,
}

impl Tridiagonal {
    /// A bound on the norm: the largest sum of magnitudes in a row.
    pub(crate) fn norm(&self) -> f64 {
        let e = |i: Option<usize>| i.and_then(|i| self.e.get(i)).map_or(0.0, |e| e.abs());
        self.d.iter().enumerate().fold(0.0, |max, (i, d)| f64::max(max, d.abs() + e(i.checked_sub(1)) + e(Some(i))))
    }
}

/// Reduces the lower triangle of `a` and returns the tridiagonal matrix and the factors `τ`.
///
/// Afterwards row `i` of `a` holds the reflector `vᵢ` in columns `0..i`, and zeros from column `i` to the end of its panel, so
/// that the rows of a panel form a rectangular block of reflectors.
pub(crate) fn reduce<E: Scalar>(a: &mut Matrix<E>) -> (Tridiagonal, Vec<E>) {
    let n = a.rows();
    let mut t = Tridiagonal { d: vec![0.0; n], e: vec![0.0; n.saturating_sub(1)] };
    let mut tau = vec![E::zero(); n];
    let mut w = vec![E::zero(); PANEL * n];
    let mut partial = vec![E::zero(); parts(n) * n];
    for panel in panels(n).rev() {
        let (lo, hi) = (panel.start, panel.end);
        for i in panel.rev() {
            let (above, below) = a.as_mut_slice().split_at_mut((i + 1) * n);
            let (leading, row) = above.split_at_mut(i * n);
            let row = &mut row[..hi];
            let (rows_w, w) = w.split_at_mut((i + 1 - lo) * n);
            let later = || (i + 1..hi).map(|j| (&below[(j - i - 1) * n..], &w[(j - i - 1) * n..]));
            for (v, w) in later() {
                let (vi, wi) = (v[i], w[i]);
                axpy(-vi, &w[..=i], &mut row[..=i]);
                axpy(-wi, &v[..=i], &mut row[..=i]);
            }
            t.d[i] = row[i].f64();
            row[i..].fill(E::zero());
            if i == 0 {
                continue;
            }
            let v = &mut row[..i];
            let (beta, tau_i) = reflector(v);
            t.e[i - 1] = beta.f64();
            tau[i] = tau_i;
            let p = &mut rows_w[(i - lo) * n..][..i];
            if tau_i == E::zero() {
                p.fill(E::zero());
                continue;
            }
            symv(leading, n, v, p, &mut partial);
            for (vj, wj) in later() {
                let (vj, wj) = (&vj[..i], &wj[..i]);
                let (s, t) = (dot(wj, v), dot(vj, v));
                axpy(-s, vj, p);
                axpy(-t, wj, p);
            }
            p.iter_mut().for_each(|p| *p *= tau_i);
            let half = E::of(-0.5) * tau_i * dot(p, v);
            axpy(half, v, p);
        }
        update(a, &w, lo, hi);
    }
    (t, tau)
}

/// The panels' rows in ascending order; the first one may be shorter.
pub(crate) fn panels(n: usize) -> impl DoubleEndedIterator<Item = std::ops::Range<usize>> + ExactSizeIterator {
    let count = n.div_ceil(PANEL);
    (0..count).map(move |k| n.saturating_sub((count - k) * PANEL)..n - (count - k - 1) * PANEL)
}

/// Turns `x` into the reflector `v`, whose last entry is one, and returns `β` and `τ`.
fn reflector<E: Scalar>(x: &mut [E]) -> (E, E) {
    let (alpha, head) = x.split_last_mut().expect("a reflector has at least one entry");
    let largest = head.iter().fold(E::zero(), |max, x| max.max(x.abs()));
    if largest == E::zero() {
        let beta = *alpha;
        *alpha = E::one();
        return (beta, E::zero());
    }
    // Scaled by a power of two, so that the squares neither overflow nor underflow.
    let (mantissa, exponent, _) = largest.max(alpha.abs()).integer_decode();
    let p = i32::from(exponent) + mantissa.ilog2() as i32;
    head.iter_mut().for_each(|x| *x = crate::scale::unscale(*x, -p));
    let a = crate::scale::unscale(*alpha, -p);
    let norm = (a * a + dot(head, head)).sqrt();
    let beta = if a > E::zero() { -norm } else { norm };
    let factor = (a - beta).recip();
    head.iter_mut().for_each(|x| *x *= factor);
    *alpha = E::one();
    (crate::scale::unscale(beta, p), (beta - a) / beta)
}

/// Parts of the triangle that are multiplied independently.
fn parts(m: usize) -> usize {
    (m / 256).clamp(1, 16)
}

/// `y = A x` with the lower triangle in the rows of `a`, `stride` apart; `partial` is working space.
fn symv<E: Scalar>(a: &[E], stride: usize, x: &[E], y: &mut [E], partial: &mut [E]) {
    let m = x.len();
    let parts = parts(m);
    // Rows `m √(k/parts)` and so on: parts of equal area, in multiples of four rows.
    let cut = |k: usize| if k == parts { m } else { (m as f64 * (k as f64 / parts as f64).sqrt()) as usize / 4 * 4 };
    y.fill(E::zero());
    if parts == 1 {
        return symv_rows(a, stride, 0, m, x, y);
    }
    let partial = &mut partial[..parts * m];
    partial.par_chunks_exact_mut(m).enumerate().for_each(|(k, y)| {
        let (first, end) = (cut(k), cut(k + 1));
        y[..end].fill(E::zero());
        symv_rows(&a[first * stride..], stride, first, end - first, x, y);
    });
    for (k, part) in partial.chunks_exact(m).enumerate() {
        axpy(E::one(), &part[..cut(k + 1)], y);
    }
}

/// `A₀ −= Σⱼ vⱼ wⱼᵀ + wⱼ vⱼᵀ` for the rows above the panel `lo..hi`.
fn update<E: Scalar>(a: &mut Matrix<E>, w: &[E], lo: usize, hi: usize) {
    let n = a.rows();
    if lo == 0 {
        return;
    }
    let nb = hi - lo;
    let (above, panel) = a.as_mut_slice().split_at_mut(lo * n);
    above.par_chunks_mut(UPDATE_ROWS * n).enumerate().for_each(|(k, rows)| {
        let first = k * UPDATE_ROWS;
        let (m, cols) = (rows.len() / n, first + rows.len() / n);
        let product = Gemm {
            a: Strides { offset: first, row: 1, col: n },
            b: Strides::rows(n),
            c: Strides::rows(n),
            ..Gemm::new(m, cols, nb)
        };
        let product = product.scaled(-1.0).accumulating();
        gemm(&product, panel, w, rows);
        gemm(&product, w, panel, rows);
    });
}

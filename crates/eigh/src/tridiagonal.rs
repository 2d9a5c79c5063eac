//! Householder reduction of a symmetric matrix to tridiagonal form, blocked.
//!
//! For a vector `x` of length `m` with last entry `α` let `β = −sign(α) |x|`, `v = (x − β eₘ) / (α
//! − β)` and `τ = (β − α) / β`. Then `H = I − τ v vᵀ` is orthogonal and `H x = β eₘ`. With `x` the
//! part of the last row of `A` left of the diagonal, `H A H` has only `β` left there, and the
//! reduction goes on with the leading block, which is smaller by one:
//!
//! ```text
//! p = τ A v,   w = p − (τ/2) (pᵀ v) v,   H A H = A − v wᵀ − w vᵀ.
//! ```
//!
//! The updates of `nb` rows (a *panel*) are delayed (Dongarra, Sorensen & Hammarling, J. Comput.
//! Appl. Math. 27 (1989) 215–227, LAPACK's `latrd`/`sytrd`): within a panel, `A v` is computed as
//! `A₀ v − Σⱼ (vⱼ (wⱼᵀ v) + wⱼ (vⱼᵀ v))` from the matrix `A₀` before the panel, and afterwards `A₀
//! −= Σⱼ vⱼ wⱼᵀ + wⱼ vⱼᵀ` is one matrix product. Half of the arithmetic, `A₀ v`, streams the lower
//! triangle once per row, and that decides the time; the rows above the panel are shared by a
//! [`Team`] of threads.

use std::ops::Range;

use bytemuck::cast_slice_mut;
use vivit_tensor::{Matrix, Scalar, with_dtype};

use crate::kernels::{Element, Rows, axpy, dot, products, subtract, symmetric_product};
use crate::reflector::reflector;
use crate::team::Team;
use crate::update::update;

/// Rows per panel.
const PANEL: usize = 32;
/// Rows of the largest block of reflectors that can be used as a matrix.
pub(crate) const MAX_BLOCK: usize = 64;

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
        self.d
            .iter()
            .enumerate()
            .fold(0.0, |max, (i, d)| f64::max(max, d.abs() + e(i.checked_sub(1)) + e(Some(i))))
    }
}

/// Reduces the lower triangle of `a` and returns the tridiagonal matrix and the factors `τ`.
///
/// Afterwards row `i` of `a` holds the reflector `vᵢ` in columns `0..i`, and zeros from column `i`
/// to the end of its block of [`MAX_BLOCK`] rows, so that the rows of such a block, or of a part of
/// it, form a rectangular matrix of reflectors.
pub(crate) fn reduce<E: Scalar>(a: &mut Matrix<E>) -> (Tridiagonal, Vec<E>) {
    let n = a.rows();
    // The same type under its name as a value: the cast changes nothing.
    let (t, tau) = with_dtype!(E::DTYPE, F => {
        reduce_typed::<F>(n, cast_slice_mut(a.as_mut_slice()))
    });
    (t, tau.into_iter().map(E::of).collect())
}

/// The same for the rows of a matrix.
fn reduce_typed<E: Element>(n: usize, a: &mut [E]) -> (Tridiagonal, Vec<f64>) {
    let mut t = Tridiagonal { d: vec![0.0; n], e: vec![0.0; n.saturating_sub(1)] };
    let mut tau = vec![0.0; n];
    // The vectors w of a panel, and room for `v` and `w` behind them.
    let mut w = vec![E::zero(); 3 * PANEL * n];
    for rows in blocks(n, PANEL).rev() {
        let (lo, hi) = (rows.start, rows.end);
        let (leading, rows) = a.split_at_mut(lo * n);
        let mut panel = Panel { n, lo, hi, rows: &mut rows[..(hi - lo) * n], w: &mut w };
        let leading_rows = Rows { entries: &*leading, stride: n, count: lo };
        Team::run(leading_rows, hi - lo, |team| {
            for i in (lo..hi).rev() {
                let (d, e) = (&mut t.d[i], if i > 0 { Some(&mut t.e[i - 1]) } else { None });
                tau[i] = panel.step(i, team, d, e);
            }
        });
        update(leading, panel.rows, panel.w, n);
    }
    for rows in blocks(n, MAX_BLOCK) {
        rows.clone().for_each(|i| a[i * n..][i..rows.end].fill(E::zero()));
    }
    (t, tau)
}

/// Some rows of the matrix, to be reduced before the rows above are updated.
struct Panel<'a, E> {
    n: usize,
    lo: usize,
    hi: usize,
    /// Rows `lo..hi` of the matrix, which become the vectors `v`.
    rows: &'a mut [E],
    /// The vectors `w`, row by row.
    w: &'a mut [E],
}

impl<E: Element> Panel<'_, E> {
    /// Reduces row `i`: writes the entry on the diagonal and the one left of it, and returns `τ`.
    fn step(&mut self, i: usize, team: &Team<E>, d: &mut f64, e: Option<&mut f64>) -> f64 {
        let Panel { n, lo, hi, .. } = *self;
        let (above, below) = self.rows.split_at_mut((i + 1 - lo) * n);
        let (above, row) = above.split_at_mut((i - lo) * n);
        let (w_above, w_below) = self.w.split_at_mut((i + 1 - lo) * n);
        let row = &mut row[..hi];
        // The reflectors of the panel so far.
        let later = hi - i - 1;
        let vs = Rows { entries: &*below, stride: n, count: later };
        let ws = Rows { entries: &*w_below, stride: n, count: later };
        let (mut s, mut t) = ([E::zero(); PANEL], [E::zero(); PANEL]);
        for k in 0..later {
            (s[k], t[k]) = (w_below[k * n + i], below[k * n + i]);
        }
        subtract(vs, &s, &mut row[..=i]);
        subtract(ws, &t, &mut row[..=i]);
        *d = row[i].f64();
        row[i..].fill(E::zero());
        let Some(e) = e else { return 0.0 };
        let v = &mut row[..i];
        let (alpha, rest) = v.split_last_mut().expect("a reflector has at least one entry");
        let (beta, tau) = reflector(alpha, rest);
        *e = beta.f64();
        let p = &mut w_above[(i - lo) * n..][..i];
        p.fill(E::zero());
        if tau == E::zero() {
            return 0.0;
        }
        symmetric_product(Rows { entries: &*above, stride: n, count: i - lo }, lo, v, p);
        team.product(&v[..lo], &mut p[..lo]);
        products(ws, v, &mut s);
        products(vs, v, &mut t);
        subtract(vs, &s, p);
        subtract(ws, &t, p);
        p.iter_mut().for_each(|p| *p *= tau);
        let half = E::of(-0.5) * tau * dot(p, v);
        axpy(half, v, p);
        tau.f64()
    }
}

/// The rows in blocks of `size`, ascending, aligned to the last row; the first block may be
/// shorter.
pub(crate) fn blocks(n: usize, size: usize) -> impl DoubleEndedIterator<Item = Range<usize>> {
    let count = n.div_ceil(size);
    (0..count).map(move |k| n.saturating_sub((count - k) * size)..n - (count - k - 1) * size)
}

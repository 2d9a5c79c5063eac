//! The steps of bulge chasing on one stretch of a band.
//!
//! Columns of the band are read in whole vectors, four columns at a time. Where a block ends within
//! a vector, the reflectors that it is multiplied with are continued by zeros, so that what lies
//! below it in its columns is read, and stays as it is.

use pulp::{Simd, WithSimd};

use crate::kernels::{Element, dot, fours};
use crate::reflector::reflector;

/// Largest bandwidth.
pub(crate) const MAX_WIDTH: usize = 64;
/// Room for a vector of as many entries and what makes its last vector whole.
const ROOM: usize = MAX_WIDTH + 16;

/// Some steps of some consecutive sweeps: of sweep `first + j` those from `position − j` on.
pub(crate) struct Tile<'a, E> {
    pub(crate) n: usize,
    pub(crate) width: usize,
    /// The first sweep.
    pub(crate) first: usize,
    /// Its first step, negative ones do not exist.
    pub(crate) position: isize,
    /// Steps of each sweep.
    pub(crate) steps: isize,
    /// First column of `band`.
    pub(crate) start: usize,
    /// Columns of the band, as in [`Band`](crate::band::Band).
    pub(crate) band: &'a mut [E],
    /// The rows of the reflectors, one per sweep.
    pub(crate) rows: &'a mut [E],
}

/// A reflector, continued by zeros.
struct Reflector<E> {
    v: [E; ROOM],
    tau: E,
}

impl<E: Element> Reflector<E> {
    /// The reflector of `x`, and `β`.
    #[inline(always)]
    fn of(x: &[E]) -> (Self, E) {
        let mut v = [E::zero(); ROOM];
        v[..x.len()].copy_from_slice(x);
        let (alpha, rest) = v[..x.len()].split_first_mut().expect("a step has rows");
        let (beta, tau) = reflector(alpha, rest);
        (Reflector { v, tau }, beta)
    }

    /// Reads a stored reflector.
    #[inline(always)]
    fn load(stored: &[E]) -> Self {
        let mut v = [E::zero(); ROOM];
        v[..stored.len()].copy_from_slice(stored);
        let tau = std::mem::replace(&mut v[0], E::one());
        Reflector { v, tau }
    }

    #[inline(always)]
    fn store(&self, to: &mut [E]) {
        to.copy_from_slice(&self.v[..to.len()]);
        to[0] = self.tau;
    }
}

/// The length that is filled up to whole vectors.
#[inline(always)]
fn whole<E: Element, S: Simd>(len: usize) -> usize {
    len.next_multiple_of(size_of::<E::Vector<S>>() / size_of::<E>())
}

/// Four columns of which whole vectors are changed together.
type FourColumns<'a, E, S> = [&'a mut [<E as Element>::Vector<S>]; 4];

impl<E: Element> WithSimd for Tile<'_, E> {
    type Output = ();
    #[inline(always)]
    fn with_simd<S: Simd>(mut self, simd: S) {
        let (n, rows) = (self.n, std::mem::take(&mut self.rows));
        for (j, row) in rows.chunks_exact_mut(n).enumerate() {
            let s = self.first + j;
            let count = (n - s - 1).div_ceil(self.width) as isize;
            let from = self.position - j as isize;
            for k in from.max(0)..count.min(from + self.steps) {
                match k as usize {
                    0 => self.begin(simd, s, row),
                    k => self.step(simd, s + 1 + (k - 1) * self.width, row),
                }
            }
        }
    }
}

impl<E: Element> Tile<'_, E> {
    /// The columns from column `j` on.
    #[inline(always)]
    fn columns(&mut self, j: usize) -> &mut [E] {
        &mut self.band[2 * self.width * (j - self.start)..]
    }

    /// The first step of sweep `s`, whose reflectors go to `row`.
    #[inline(always)]
    fn begin<S: Simd>(&mut self, simd: S, s: usize, row: &mut [E]) {
        let count = self.width.min(self.n - s - 1);
        let x = &mut self.columns(s)[1..=count];
        let (h, beta) = Reflector::of(x);
        x.fill(E::zero());
        x[0] = beta;
        h.store(&mut row[s + 1..][..count]);
        self.reflect_both(simd, s + 1, count, &h);
    }

    /// The step that follows the one on columns `c..c + width`.
    #[inline(always)]
    fn step<S: Simd>(&mut self, simd: S, c: usize, row: &mut [E]) {
        let width = self.width;
        let count = width.min(self.n - c - width);
        let mut before = Reflector::load(&row[c..][..width]);
        let block = &mut self.columns(c)[..2 * width * width];
        let mut y = multiply(simd, width, count, block, &before.v);
        y[..count].iter_mut().for_each(|y| *y *= before.tau);
        y[count..].fill(E::zero());
        let x = &mut block[width..][..count];
        x.iter_mut().zip(&y).for_each(|(x, &y)| *x -= y);
        let (h, beta) = Reflector::of(x);
        x.fill(E::zero());
        x[0] = beta;
        // The first column is done.
        before.v[0] = E::zero();
        reflect_block(simd, width, count, block, &before.v, &y, &h);
        h.store(&mut row[c + width..][..count]);
        self.reflect_both(simd, c + width, count, &h);
    }

    /// `A ← H A H` for `count` rows and columns from column `c` on.
    #[inline(always)]
    fn reflect_both<S: Simd>(&mut self, simd: S, c: usize, count: usize, h: &Reflector<E>) {
        if h.tau == E::zero() {
            return;
        }
        let height = 2 * self.width;
        let block = &mut self.columns(c)[..height * count];
        let mut w = symmetric_product(simd, height, count, block, &h.v);
        w[..count].iter_mut().for_each(|w| *w *= h.tau);
        w[count..].fill(E::zero());
        let half = E::of(-0.5) * h.tau * dot(&w[..count], &h.v[..count]);
        w.iter_mut().zip(&h.v).for_each(|(w, &v)| *w += half * v);
        symmetric_update(simd, height, count, block, &h.v, &w);
    }
}

/// Splits four columns of a band off, from the entry `skip` less one for each column on.
#[inline(always)]
fn four_columns<E: Element, S: Simd>(
    block: &mut [E],
    height: usize,
    skip: usize,
    len: usize,
) -> FourColumns<'_, E, S> {
    let (a, rest) = block.split_at_mut(height);
    let (b, rest) = rest.split_at_mut(height);
    let (c, d) = rest.split_at_mut(height);
    [
        E::split_mut::<S>(&mut a[skip..][..len]).0,
        E::split_mut::<S>(&mut b[skip - 1..][..len]).0,
        E::split_mut::<S>(&mut c[skip - 2..][..len]).0,
        E::split_mut::<S>(&mut d[skip - 3..][..len]).0,
    ]
}

/// The same for reading.
#[inline(always)]
fn four_read<E: Element, S: Simd>(
    block: &[E],
    height: usize,
    skip: usize,
    len: usize,
) -> [&[E::Vector<S>]; 4] {
    [0, 1, 2, 3].map(|c| E::split::<S>(&block[c * height + skip - c..][..len]).0)
}

/// The `i`-th entries of four columns.
#[inline(always)]
fn fours_mut<V>([a, b, c, d]: [&mut [V]; 4]) -> impl Iterator<Item = [&mut V; 4]> {
    a.iter_mut().zip(b).zip(c.iter_mut().zip(d)).map(|((a, b), (c, d))| [a, b, c, d])
}

/// `M v` for the block `M` of `count` rows below the first `width` rows of its columns.
#[inline(always)]
fn multiply<E: Element, S: Simd>(
    simd: S,
    width: usize,
    count: usize,
    block: &[E],
    v: &[E; ROOM],
) -> [E; ROOM] {
    let (height, len) = (2 * width, whole::<E, S>(count));
    let mut y = [E::zero(); ROOM];
    let ys = E::split_mut::<S>(&mut y[..len]).0;
    for q in (0..width).step_by(4) {
        let factors = [v[q], v[q + 1], v[q + 2], v[q + 3]].map(|v| E::splat(simd, v));
        let columns = four_read::<E, S>(&block[q * height..], height, width - q, len);
        for (y, a) in ys.iter_mut().zip(fours(columns)) {
            let near = E::madd(simd, factors[1], a[1], E::madd(simd, factors[0], a[0], *y));
            *y = E::madd(simd, factors[3], a[3], E::madd(simd, factors[2], a[2], near));
        }
    }
    y
}

/// `M ← H (M − y vᵀ)` for the same block.
#[inline(always)]
fn reflect_block<E: Element, S: Simd>(
    simd: S,
    width: usize,
    count: usize,
    block: &mut [E],
    v: &[E; ROOM],
    y: &[E; ROOM],
    h: &Reflector<E>,
) {
    let (height, len) = (2 * width, whole::<E, S>(count));
    let (ys, hs) = (E::split::<S>(&y[..len]).0, E::split::<S>(&h.v[..len]).0);
    for q in (0..width).step_by(4) {
        let factors = [v[q], v[q + 1], v[q + 2], v[q + 3]].map(|v| E::splat(simd, -v));
        let mut sums = [E::splat(simd, E::zero()); 4];
        let block = &mut block[q * height..];
        let columns = four_columns::<E, S>(block, height, width - q, len);
        for ((a, &y), &h) in fours_mut(columns).zip(ys).zip(hs) {
            for c in 0..4 {
                *a[c] = E::madd(simd, factors[c], y, *a[c]);
                sums[c] = E::madd(simd, *a[c], h, sums[c]);
            }
        }
        let mut factors = sums.map(|sum| E::splat(simd, -h.tau * E::total(simd, sum)));
        if q == 0 {
            factors[0] = E::splat(simd, E::zero());
        }
        let columns = four_columns::<E, S>(block, height, width - q, len);
        for (a, &h) in fours_mut(columns).zip(hs) {
            for c in 0..4 {
                *a[c] = E::madd(simd, factors[c], h, *a[c]);
            }
        }
    }
}

/// `A v` for the symmetric block `A` of `count` rows, from its lower triangle.
#[inline(always)]
fn symmetric_product<E: Element, S: Simd>(
    simd: S,
    height: usize,
    count: usize,
    block: &[E],
    v: &[E; ROOM],
) -> [E; ROOM] {
    let mut w = [E::zero(); ROOM];
    let in_fours = count - count % 4;
    for q in (0..in_fours).step_by(4) {
        let block = &block[q * height..];
        let below = q + 4;
        let len = whole::<E, S>(count - below);
        let factors = [v[q], v[q + 1], v[q + 2], v[q + 3]].map(|v| E::splat(simd, v));
        let mut sums = [E::splat(simd, E::zero()); 4];
        let (ws, vs) =
            (E::split_mut::<S>(&mut w[below..][..len]).0, E::split::<S>(&v[below..][..len]).0);
        let columns = four_read::<E, S>(block, height, 4, len);
        for ((w, &v), a) in ws.iter_mut().zip(vs).zip(fours(columns)) {
            let near = E::madd(simd, factors[1], a[1], E::madd(simd, factors[0], a[0], *w));
            *w = E::madd(simd, factors[3], a[3], E::madd(simd, factors[2], a[2], near));
            for c in 0..4 {
                sums[c] = E::madd(simd, a[c], v, sums[c]);
            }
        }
        for c in 0..4 {
            w[q + c] += E::total(simd, sums[c]);
            corner(&block[c * height..][..4 - c], &v[q + c..], &mut w[q + c..]);
        }
    }
    for q in in_fours..count {
        corner(&block[q * height..][..count - q], &v[q..], &mut w[q..]);
    }
    w
}

/// Adds the products of a column from the diagonal on, and of the row above it, to `w`.
#[inline(always)]
fn corner<E: Element>(column: &[E], v: &[E], w: &mut [E]) {
    w[0] += column[0] * v[0];
    for (p, &a) in column.iter().enumerate().skip(1) {
        w[p] += a * v[0];
        w[0] += a * v[p];
    }
}

/// `A ← A − v wᵀ − w vᵀ` for the lower triangle of the same block.
#[inline(always)]
fn symmetric_update<E: Element, S: Simd>(
    simd: S,
    height: usize,
    count: usize,
    block: &mut [E],
    v: &[E; ROOM],
    w: &[E; ROOM],
) {
    let in_fours = count - count % 4;
    for q in (0..in_fours).step_by(4) {
        let block = &mut block[q * height..];
        for c in 0..4 {
            corner_update(&mut block[c * height..][..4 - c], &v[q + c..], &w[q + c..]);
        }
        let below = q + 4;
        let len = whole::<E, S>(count - below);
        let of = |x: &[E; ROOM]| [x[q], x[q + 1], x[q + 2], x[q + 3]].map(|x| E::splat(simd, -x));
        let (v_factors, w_factors) = (of(v), of(w));
        let (ws, vs) = (E::split::<S>(&w[below..][..len]).0, E::split::<S>(&v[below..][..len]).0);
        let columns = four_columns::<E, S>(block, height, 4, len);
        for ((a, &v), &w) in fours_mut(columns).zip(vs).zip(ws) {
            for c in 0..4 {
                *a[c] = E::madd(simd, w_factors[c], v, E::madd(simd, v_factors[c], w, *a[c]));
            }
        }
    }
    for q in in_fours..count {
        corner_update(&mut block[q * height..][..count - q], &v[q..], &w[q..]);
    }
}

/// Subtracts `v wᵀ + w vᵀ` from a column from the diagonal on.
#[inline(always)]
fn corner_update<E: Element>(column: &mut [E], v: &[E], w: &[E]) {
    for ((a, &vp), &wp) in column.iter_mut().zip(v).zip(w) {
        *a -= vp * w[0] + wp * v[0];
    }
}

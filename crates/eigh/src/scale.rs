//! Refusal of non-finite entries, and scaling by a power of two against overflow and underflow.
//!
//! With `2^p ≤ max |aᵢⱼ| < 2^(p+1)` the solver works on `2^-p A`, whose largest entry lies in `[1,
//! 2)`, and multiplies the eigenvalues by `2^p` at the end. Both are exact, except that entries and
//! eigenvalues below the smallest positive number round to it or to zero; next to the largest entry
//! those are far below rounding.

use rayon::prelude::*;
use vivit_tensor::{Matrix, Scalar};

use crate::Error;

/// The exponent `p` of the largest entry of the lower triangle, 0 for the zero matrix.
pub(crate) fn exponent<E: Scalar>(a: &Matrix<E>) -> Result<i32, Error> {
    let n = a.rows();
    if n == 0 {
        return Ok(0);
    }
    let (largest, poison) = a
        .as_slice()
        .par_chunks_exact(n)
        .with_min_len(128)
        .enumerate()
        .map(|(i, row)| scan(&row[..=i]))
        .reduce(|| (E::zero(), E::zero()), |(a, b), (c, d)| (a.max(c), b + d));
    if poison != E::zero() {
        let (row, col) = (0..n)
            .flat_map(|i| (0..=i).map(move |j| (i, j)))
            .find(|&(i, j)| !a[(i, j)].is_finite())
            .expect("finite entries times zero add up to zero");
        return Err(Error::NonFinite { row, col, value: a[(row, col)].f64() });
    }
    let (mantissa, exponent, _) = largest.integer_decode();
    Ok(if mantissa == 0 { 0 } else { i32::from(exponent) + mantissa.ilog2() as i32 })
}

/// The largest magnitude, and the sum of `0 · x`, which is zero if all entries are finite and not a
/// number otherwise.
fn scan<E: Scalar>(row: &[E]) -> (E, E) {
    const LANES: usize = 16;
    let step = |(max, poison): &mut (E, E), &x: &E| {
        let size = x.abs();
        *max = if size > *max { size } else { *max };
        *poison += x * E::zero();
    };
    let mut lanes = [(E::zero(), E::zero()); LANES];
    let chunks = row.chunks_exact(LANES);
    let rest = chunks.remainder();
    for chunk in chunks {
        lanes.iter_mut().zip(chunk).for_each(|(lane, x)| step(lane, x));
    }
    let mut all = lanes.iter().fold((E::zero(), E::zero()), |(a, b), &(c, d)| (a.max(c), b + d));
    rest.iter().for_each(|x| step(&mut all, x));
    all
}

/// Multiplies the lower triangle by `2^-p`.
pub(crate) fn scale<E: Scalar>(a: &mut Matrix<E>, p: i32) {
    if p == 0 || a.rows() == 0 {
        return;
    }
    let n = a.rows();
    let (first, second) = factors::<E>(-p);
    a.as_mut_slice().par_chunks_exact_mut(n).with_min_len(128).enumerate().for_each(|(i, row)| {
        for x in &mut row[..=i] {
            *x = *x * first * second;
        }
    });
}

/// `x · 2^p`, rounded.
pub(crate) fn unscale<E: Scalar>(x: E, p: i32) -> E {
    let (first, second) = factors::<E>(p);
    x * first * second
}

/// Two powers of two whose product is `2^p`, each of them representable.
fn factors<E: Scalar>(p: i32) -> (E, E) {
    let two = E::of(2.0);
    (two.powi(p / 2), two.powi(p - p / 2))
}

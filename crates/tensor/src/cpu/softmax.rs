//! Softmax along an axis and its Jacobian, each in one pass over what fits into the cache.

use super::fill::{filled, for_chunks};
use super::pool::Storage;
use super::scalar::CpuScalar;
use super::sum::{STEPS, add_up, fold_lanes, sum, sum_of_products};

/// Entries of the inner axis that are taken together.
const TILE: usize = 64;

/// Softmax over the middle axis of `x: [outer, axis, inner]`, shifted by the maximum.
pub(super) fn softmax<E: CpuScalar>(x: &[E], [outer, axis, inner]: [usize; 3]) -> Storage<E> {
    let block = axis * inner;
    filled(
        outer * block,
        block,
        #[inline(always)]
        |first, out| {
            for (out, x) in
                out.chunks_exact_mut(block.max(1)).zip(x[first..].chunks_exact(block.max(1)))
            {
                if inner == 1 { softmax_row(x, out) } else { softmax_block(x, out, inner) }
            }
        },
    )
}

/// The larger one, or NaN.
#[inline(always)]
fn larger<E: CpuScalar>(a: E, b: E) -> E {
    if (a > b) | a.is_nan() { a } else { b }
}

#[inline(always)]
fn softmax_row<E: CpuScalar>(x: &[E], out: &mut [E]) {
    let max = fold_lanes(E::neg_infinity(), &|x| x, &larger, x);
    for (out, x) in out.iter_mut().zip(x) {
        *out = (*x - max).exponential();
    }
    let sum = E::of(sum(out, &|x| x));
    out.iter_mut().for_each(|out| *out /= sum);
}

#[inline(always)]
fn softmax_block<E: CpuScalar>(x: &[E], out: &mut [E], inner: usize) {
    for at in (0..inner).step_by(TILE) {
        let len = TILE.min(inner - at);
        let (mut max, mut totals) = ([E::neg_infinity(); TILE], [0.0; TILE]);
        for x in x.chunks_exact(inner) {
            max.iter_mut().zip(&x[at..at + len]).for_each(|(max, x)| *max = larger(*max, *x));
        }
        for (out, x) in out.chunks_mut(STEPS * inner).zip(x.chunks(STEPS * inner)) {
            let mut sum = [E::zero(); TILE];
            for (out, x) in out.chunks_exact_mut(inner).zip(x.chunks_exact(inner)) {
                let (out, x) = (&mut out[at..at + len], &x[at..at + len]);
                for ((out, x), (max, sum)) in out.iter_mut().zip(x).zip(max.iter().zip(&mut sum)) {
                    *out = (*x - *max).exponential();
                    *sum += *out;
                }
            }
            add_up(&mut totals[..len], &sum);
        }
        let sum = totals.map(E::of);
        for out in out.chunks_exact_mut(inner) {
            out[at..at + len].iter_mut().zip(&sum).for_each(|(out, sum)| *out /= *sum);
        }
    }
}

/// `p ∘ (M − Σ p ∘ M)` in the place of `mat: [v, outer, axis, inner]`, for `p: [outer, axis,
/// inner]`.
pub(super) fn chain<E: CpuScalar>(p: &[E], mat: &mut [E], [axis, inner]: [usize; 2]) {
    let block = (axis * inner).max(1);
    for_chunks(
        mat,
        block,
        #[inline(always)]
        |first, mat| {
            for (i, mat) in mat.chunks_exact_mut(block).enumerate() {
                let p = &p[(first + i * block) % p.len()..][..block];
                if inner == 1 { chain_row(p, mat) } else { chain_block(p, mat, inner) }
            }
        },
    );
}

#[inline(always)]
fn chain_row<E: CpuScalar>(p: &[E], mat: &mut [E]) {
    let along = sum_of_products(p, mat);
    mat.iter_mut().zip(p).for_each(|(m, p)| *m = *p * (*m - along));
}

#[inline(always)]
fn chain_block<E: CpuScalar>(p: &[E], mat: &mut [E], inner: usize) {
    for at in (0..inner).step_by(TILE) {
        let len = TILE.min(inner - at);
        let mut totals = [0.0; TILE];
        for (m, p) in mat.chunks(STEPS * inner).zip(p.chunks(STEPS * inner)) {
            let mut along = [E::zero(); TILE];
            for (m, p) in m.chunks_exact(inner).zip(p.chunks_exact(inner)) {
                let products = m[at..at + len].iter().zip(&p[at..at + len]);
                along.iter_mut().zip(products).for_each(|(along, (m, p))| *along += *p * *m);
            }
            add_up(&mut totals[..len], &along);
        }
        let along = totals.map(E::of);
        for (m, p) in mat.chunks_exact_mut(inner).zip(p.chunks_exact(inner)) {
            let (m, p) = (&mut m[at..at + len], &p[at..at + len]);
            m.iter_mut().zip(p).zip(&along).for_each(|((m, p), along)| *m = *p * (*m - *along));
        }
    }
}

//! Sums whose rounding error does not grow with their length: short runs are added up in the
//! element type, side by side in lanes, and the runs in doubles.
//!
//! The order is fixed by the shape, so the bits are the same for any number of threads.

use rayon::prelude::*;

use super::fill::{CHUNK, filled, wide};
use super::pool::Storage;
use super::scalar::CpuScalar;

/// Sums that are under way side by side.
const LANES: usize = 16;
/// Terms that are added up in the element type before they join the rest: at most as many roundings
/// to it reach a sum, whatever its length.
pub(super) const STEPS: usize = 16;
/// Terms up to which a sum has one run of half as many lanes: short rows pay for every lane.
const SHORT: usize = STEPS * LANES / 2;

/// `Σ of(x)` of a contiguous run, on the calling thread.
#[inline(always)]
pub(super) fn sum<E: CpuScalar>(x: &[E], of: &impl Fn(E) -> E) -> f64 {
    if x.len() <= SHORT {
        return short_sum(x, of).f64();
    }
    let mut totals = [0.0; LANES];
    let runs = x.chunks_exact(STEPS * LANES);
    let rest = rest_sum(runs.remainder(), of);
    for run in runs {
        let mut lanes = [E::zero(); LANES];
        for chunk in run.chunks_exact(LANES) {
            lanes.iter_mut().zip(chunk).for_each(|(lane, x)| *lane += of(*x));
        }
        add_up(&mut totals, &lanes);
    }
    totals.iter().sum::<f64>() + rest
}

/// Adds sums of short runs to their totals.
#[inline(always)]
pub(super) fn add_up<E: CpuScalar>(totals: &mut [f64], sums: &[E]) {
    totals.iter_mut().zip(sums).for_each(|(total, sum)| *total += sum.f64());
}

/// `Σ of(x)` of less than a run.
#[inline(always)]
fn rest_sum<E: CpuScalar>(x: &[E], of: &impl Fn(E) -> E) -> f64 {
    x.chunks(SHORT).map(|part| short_sum(part, of).f64()).sum()
}

/// `Σ of(x)` of at most [`SHORT`] entries, in eight lanes.
#[inline(always)]
fn short_sum<E: CpuScalar>(x: &[E], of: &impl Fn(E) -> E) -> E {
    fold_lanes(E::zero(), of, &|a, b| a + b, x)
}

/// `Σ a b` of two contiguous runs, on the calling thread.
#[inline(always)]
pub(super) fn sum_of_products<E: CpuScalar>(a: &[E], b: &[E]) -> E {
    let mut total = 0.0;
    for (a, b) in a.chunks(STEPS * LANES).zip(b.chunks(STEPS * LANES)) {
        let mut lanes = [E::zero(); LANES];
        let (a_chunks, b_chunks) = (a.chunks_exact(LANES), b.chunks_exact(LANES));
        let rest = a_chunks.remainder().iter().zip(b_chunks.remainder());
        let rest = rest.fold(E::zero(), |sum, (a, b)| sum + *a * *b);
        for (a, b) in a_chunks.zip(b_chunks) {
            lanes.iter_mut().zip(a.iter().zip(b)).for_each(|(lane, (a, b))| *lane += *a * *b);
        }
        total += lanes.iter().fold(rest, |sum, &lane| sum + lane).f64();
    }
    E::of(total)
}

/// `Σ of(x)` over the middle axis of `x: [outer, axis, inner]`.
pub(super) fn sum_axis<E: CpuScalar>(
    x: &[E],
    [outer, axis, inner]: [usize; 3],
    of: impl Fn(E) -> E + Sync,
) -> Storage<E> {
    if inner == 1 {
        return filled(
            outer,
            1,
            #[inline(always)]
            |first, out| {
                for (i, out) in out.iter_mut().enumerate() {
                    *out = long_sum(&x[(first + i) * axis..][..axis], &of);
                }
            },
        );
    }
    filled(
        outer * inner,
        1,
        #[inline(always)]
        |mut first, mut out| {
            let mut totals = Vec::new();
            while !out.is_empty() {
                let (o, at) = (first / inner, first % inner);
                let len = (inner - at).min(out.len());
                let (part, rest) = out.split_at_mut(len);
                let x = &x[o * axis * inner..][..axis * inner];
                sum_columns(x, inner, at, part, &mut totals, &of);
                (first, out) = (first + len, rest);
            }
        },
    )
}

/// `Σ of(x)` of a contiguous run, by all threads when it is long.
#[inline(always)]
fn long_sum<E: CpuScalar>(x: &[E], of: &(impl Fn(E) -> E + Sync)) -> E {
    if x.len() <= CHUNK {
        return E::of(sum(x, of));
    }
    let parts: Vec<f64> = x
        .par_chunks(CHUNK)
        .map(|part| {
            wide(
                #[inline(always)]
                || sum(part, of),
            )
        })
        .collect();
    E::of(sum(&parts, &|x| x))
}

/// `Σ of(x)` over the rows of `x: [axis, inner]`, of the columns from `at` on that `out` takes;
/// `totals` is memory.
#[inline(always)]
fn sum_columns<E: CpuScalar>(
    x: &[E],
    inner: usize,
    at: usize,
    out: &mut [E],
    totals: &mut Vec<f64>,
    of: &impl Fn(E) -> E,
) {
    let add = |rows: &[E], sums: &mut [E]| {
        sums.fill(E::zero());
        for row in rows.chunks_exact(inner) {
            sums.iter_mut().zip(&row[at..]).for_each(|(sum, x)| *sum += of(*x));
        }
    };
    if x.len() <= STEPS * inner {
        return add(x, out);
    }
    totals.clear();
    totals.resize(out.len(), 0.0);
    for rows in x.chunks(STEPS * inner) {
        add(rows, out);
        add_up(totals, out);
    }
    out.iter_mut().zip(totals).for_each(|(out, total)| *out = E::of(*total));
}

/// Folds a contiguous run in eight lanes: a fixed order that vectorises.
#[inline(always)]
pub(super) fn fold_lanes<E: CpuScalar>(
    empty: E,
    of: &impl Fn(E) -> E,
    f: &impl Fn(E, E) -> E,
    x: &[E],
) -> E {
    let mut lanes = [empty; 8];
    let chunks = x.chunks_exact(8);
    let rest = chunks.remainder();
    for chunk in chunks {
        for (lane, x) in lanes.iter_mut().zip(chunk) {
            *lane = f(*lane, of(*x));
        }
    }
    let rest = rest.iter().fold(empty, |a, &b| f(a, of(b)));
    f(lanes.iter().fold(empty, |a, &b| f(a, b)), rest)
}

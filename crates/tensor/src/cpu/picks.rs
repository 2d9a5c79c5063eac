//! Gathers and scatters along an axis, and running sums.

use rayon::prelude::*;

use super::fill::{CHUNK, filled};
use super::pool::Storage;
use super::scalar::CpuScalar;
use crate::AxisPicks;

/// Parts that a plane's rows are cut into at most, for threads to share a scatter: each of them
/// reads all positions. Not measured.
const PARTS: usize = 16;

pub(super) fn positions<E: CpuScalar>(x: &[E], axes: &[usize]) -> Storage<u32> {
    let coordinate = |(x, &axis): (&E, &usize)| {
        let x = x.f64().round();
        (x >= 0.0 && x < axis as f64).then_some((x as u32, axis as u32))
    };
    let position = |x: &[E]| {
        let mut coordinates = x.iter().zip(axes).map(coordinate);
        let position = coordinates.try_fold(0, |at, next| next.map(|(x, axis)| at * axis + x));
        position.unwrap_or(u32::MAX)
    };
    Storage::from(x.chunks_exact(axes.len().max(1)).map(position).collect::<Vec<_>>())
}

/// For every sample and plane (outer entry) that holds rows from `first` on: its number of the
/// sample, of the plane in `[columns, samples, outer]`, of its first row, and its part of `out`.
fn for_planes<E>(
    mut first: usize,
    mut out: &mut [E],
    (rows, inner): (usize, usize),
    mut f: impl FnMut(usize, usize, &mut [E]),
) {
    first /= inner.max(1);
    while !out.is_empty() {
        let (plane, row) = (first / rows, first % rows);
        let here = (rows - row).min(out.len() / inner);
        let (part, rest) = out.split_at_mut(here * inner);
        f(plane, row, part);
        (first, out) = (first + here, rest);
    }
}

pub(super) fn gather<E: CpuScalar>(x: &[E], index: &[u32], p: &AxisPicks) -> Storage<E> {
    let &AxisPicks { samples, outer, axis, picks, inner, .. } = p;
    filled(p.picked_len(), inner, |first, out| {
        for_planes(first, out, (picks, inner), |plane, pick, out| {
            let (item, o) = (plane / outer, plane % outer);
            let source = if p.own_source { item } else { item / samples };
            let x = &x[(source * outer + o) * axis * inner..][..axis * inner];
            let n = if p.own_index { item % samples } else { 0 };
            if p.per_entry {
                let index = &index[((n * outer + o) * picks + pick) * inner..];
                for (i, (out, &at)) in out.iter_mut().zip(index).enumerate() {
                    let from = at as usize * inner + i % inner;
                    *out = x.get(from).copied().unwrap_or_else(E::nan);
                }
                return;
            }
            let index = &index[n * picks + pick..];
            for (out, &at) in out.chunks_exact_mut(inner).zip(index) {
                match x.get(at as usize * inner..(at as usize + 1) * inner) {
                    Some(row) => out.copy_from_slice(row),
                    None => out.fill(E::nan()),
                }
            }
        });
    })
}

pub(super) fn scatter<E: CpuScalar>(y: &[E], index: &[u32], p: &AxisPicks) -> Storage<E> {
    let &AxisPicks { samples, outer, axis, picks, inner, .. } = p;
    let rows = axis.div_ceil(PARTS) * inner;
    filled(p.source_len(), rows, |first, out| {
        for_planes(first, out, (axis, inner), |plane, row, out| {
            out.fill(E::zero());
            let (item, o) = (plane / outer, plane % outer);
            let items =
                if p.own_source { item..item + 1 } else { item * samples..(item + 1) * samples };
            for item in items {
                let y = &y[(item * outer + o) * picks * inner..][..picks * inner];
                let n = if p.own_index { item % samples } else { 0 };
                if p.per_entry {
                    let index = &index[(n * outer + o) * picks * inner..][..picks * inner];
                    for (i, (y, &at)) in y.iter().zip(index).enumerate() {
                        if let Some(at) = (at as usize).checked_sub(row) {
                            if let Some(out) = out.get_mut(at * inner + i % inner) {
                                *out += *y;
                            }
                        }
                    }
                    continue;
                }
                for (y, &at) in y.chunks_exact(inner).zip(&index[n * picks..][..picks]) {
                    let Some(at) = (at as usize).checked_sub(row) else { continue };
                    if let Some(out) = out.get_mut(at * inner..(at + 1) * inner) {
                        out.iter_mut().zip(y).for_each(|(out, y)| *out += *y);
                    }
                }
            }
        });
    })
}

pub(super) fn first_equal(index: &[u32], len: usize) -> Storage<u32> {
    let mut first = Storage::<u32>::stale(index.len());
    if len == 0 {
        return first;
    }
    let run = |(index, first): (&[u32], &mut [u32])| {
        let mut order: Vec<u32> = (0..len as u32).collect();
        order.sort_unstable_by_key(|&at| (index[at as usize], at));
        let mut leader = 0;
        for (i, &at) in order.iter().enumerate() {
            if i == 0 || index[at as usize] != index[leader as usize] {
                leader = at;
            }
            first[at as usize] = leader;
        }
    };
    let few = (CHUNK / len).max(1);
    index
        .par_chunks(few * len)
        .zip(first.par_chunks_mut(few * len))
        .for_each(|(index, first)| index.chunks(len).zip(first.chunks_mut(len)).for_each(run));
    first
}

/// Running sums over the middle axis of `x: [outer, axis, inner]`.
pub(super) fn cumsum<E: CpuScalar>(
    x: &[E],
    [outer, axis, inner]: [usize; 3],
    exclusive: bool,
    reverse: bool,
) -> Storage<E> {
    let plane = axis * inner;
    filled(outer * plane, plane, |first, out| {
        let x = &x[first..first + out.len()];
        for (x, out) in x.chunks_exact(plane.max(1)).zip(out.chunks_exact_mut(plane.max(1))) {
            let mut sums = vec![0.0; inner];
            for step in 0..axis {
                let row = if reverse { axis - 1 - step } else { step } * inner;
                let rows = x[row..].iter().zip(&mut out[row..]).zip(&mut sums);
                rows.for_each(|((x, out), sum)| {
                    let before = *sum;
                    *sum += x.f64();
                    *out = E::of(if exclusive { before } else { *sum });
                });
            }
        }
    })
}

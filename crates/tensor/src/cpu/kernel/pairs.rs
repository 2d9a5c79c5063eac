//! The contraction of pairs of samples through their positions, where factors are zero at the same
//! places in all columns.
//!
//! Of every sample and feature a list says at which positions some column is not zero. A pair of
//! samples then takes so many products of an entry of K with the left columns, a vector, as both
//! lists together have, instead of all positions squared.

use std::cmp::Ordering;

use rayon::prelude::*;

use super::sparse::sum_magnitudes;
use super::tile::{Kernel, MAX_TILE_ROWS, Pair, Shared};
use crate::PositionPairs;
use crate::cpu::scalar::CpuScalar;
use crate::shape::checked_size;

/// Maximum tiles per side: vectors of columns on the left, tiles of rows on the right. Not
/// measured.
const MAX_TILES_PER_SIDE: usize = 2;
/// Estimated cost of one product by lists, in products of a vector without lists. Not measured.
const LISTED_PRODUCT_COST: usize = 2;

/// The listed positions of one side, sample by sample, group by group, feature by feature.
struct Lists<E> {
    /// Per feature: how many.
    counts: Vec<u32>,
    /// Per position: its distance in K, in bytes.
    places: Vec<u32>,
    /// Per tile of columns and position: as many entries as a tile has columns.
    entries: Vec<Vec<E>>,
    /// Per sample and group: the first of its positions.
    starts: Vec<usize>,
}

/// One side: `[columns, samples, groups, positions, features]`.
struct Side<'s, E> {
    s: &'s [E],
    columns: usize,
    samples: usize,
    /// Columns of a tile; zeros fill up the last one.
    width: usize,
    /// The distance of positions in K.
    distance: usize,
}

impl<E: CpuScalar> Side<'_, E> {
    /// Lists the first `seen` samples.
    fn lists(&self, seen: usize, [groups, t, o]: [usize; 3]) -> Lists<E> {
        let fresh = || Lists {
            counts: Vec::new(),
            places: Vec::new(),
            entries: vec![Vec::new(); self.columns.div_ceil(self.width)],
            starts: Vec::new(),
        };
        let of_sample = |sample: usize| {
            let (mut lists, mut sums) = (fresh(), vec![E::zero(); t * o]);
            for group in 0..groups {
                lists.starts.push(lists.places.len());
                self.list(&mut lists, &mut sums, (sample * groups + group) * t * o, groups, o);
            }
            lists
        };
        let parts: Vec<Lists<E>> = (0..seen).into_par_iter().map(of_sample).collect();
        let mut all = fresh();
        for part in parts {
            all.starts.extend(part.starts.iter().map(|start| start + all.places.len()));
            all.counts.extend(part.counts);
            all.places.extend(part.places);
            all.entries
                .iter_mut()
                .zip(&part.entries)
                .for_each(|(all, part)| all.extend_from_slice(part));
        }
        all
    }

    /// Adds the positions of one sample and group, whose first column begins at `at`.
    fn list(&self, lists: &mut Lists<E>, sums: &mut [E], at: usize, groups: usize, o: usize) {
        let apart = self.samples * groups * sums.len();
        sum_magnitudes(self.s, at, apart, self.columns, sums);
        for feature in 0..o {
            let before = lists.places.len();
            for (position, sums) in sums.chunks_exact(o).enumerate() {
                if sums[feature] == E::zero() {
                    continue;
                }
                lists.places.push((position * self.distance * size_of::<E>()) as u32);
                let from = at + position * o + feature;
                for (tile, entries) in lists.entries.iter_mut().enumerate() {
                    let columns = tile * self.width..self.columns.min((tile + 1) * self.width);
                    entries.extend(columns.map(|column| self.s[from + column * apart]));
                    entries.resize(lists.places.len() * self.width, E::zero());
                }
            }
            lists.counts.push((lists.places.len() - before) as u32);
        }
    }
}

/// The sum that `p` describes, if zeros make it one that gains; whether it was added.
///
/// # Panics
/// If `p` reads outside a slice, or writes outside C or an entry twice.
pub fn add<E: CpuScalar>(p: &PositionPairs, k: &[E], left: &[E], right: &[E], c: &mut [E]) -> bool {
    let PositionPairs {
        columns: [v, w],
        samples: [n, m],
        seen,
        groups,
        positions: t,
        features: o,
        ..
    } = *p;
    let Some(kernel) = E::kernel() else { return false };
    let lanes = Kernel::<E>::LANES;
    // The lists hold distances in K, in bytes, as `u32`.
    let distances = checked_size(&[n, t, t, size_of::<E>()]);
    if v > MAX_TILES_PER_SIDE * lanes
        || w > MAX_TILES_PER_SIDE * MAX_TILE_ROWS
        || distances.is_none_or(|bytes| bytes > u32::MAX as usize)
        || [v, w, n, seen, o].contains(&0)
    {
        return false;
    }
    p.check(k.len(), left.len(), right.len(), c.len());
    let line = n * t;
    let rows = w.div_ceil(w.div_ceil(MAX_TILE_ROWS));
    let lists = [
        Side { s: left, columns: v, samples: n, width: lanes, distance: p.line[0] }
            .lists(n, [groups, t, o]),
        Side { s: right, columns: w, samples: m, width: rows, distance: line }
            .lists(seen, [groups, t, o]),
    ];
    // Per pair, in multiply-adds of vectors: with lists, and without.
    let listed = [lists[0].places.len() / n, lists[1].places.len() / seen];
    let tiles = [lists[0].entries.len(), lists[1].entries.len()];
    let sparse =
        LISTED_PRODUCT_COST * tiles[0] * tiles[1] * listed[1] * (listed[0] / (groups * o) + rows);
    if sparse > groups * t * o * v * (t + 2 * w) / lanes {
        return false;
    }
    let to = Shared::new(c.as_mut_ptr());
    let [left, right] = &lists;
    (0..n).into_par_iter().for_each(|sample| {
        let mut sums = vec![E::zero(); rows * lanes];
        for other in 0..seen {
            let alpha = match (p.first[0] + sample).cmp(&(p.first[1] + other)) {
                _ if !p.symmetric => E::one(),
                Ordering::Greater => E::one(),
                Ordering::Equal => E::of(0.5),
                Ordering::Less => continue,
            };
            let at = (p.first[0] + sample) * p.place[1] + (p.first[1] + other) * p.place[3];
            for (group, column, row) in (0..groups).flat_map(|g| {
                (0..tiles[0]).flat_map(move |v| (0..tiles[1]).map(move |w| (g, v, w)))
            }) {
                let (of_left, of_right) = (sample * groups + group, other * groups + group);
                let (from, other_from) = (left.starts[of_left], right.starts[of_right]);
                // SAFETY: all lists are inside their vectors, as long as their counts say, and K
                // has all places that they name.
                unsafe {
                    (kernel.pairs[rows - 1])(&Pair {
                        k: k.as_ptr().add((group * seen + other) * t * line + sample * p.line[1]),
                        left_counts: left.counts.as_ptr().add(of_left * o),
                        columns: left.places.as_ptr().add(from),
                        vectors: left.entries[column].as_ptr().add(from * lanes),
                        right_counts: right.counts.as_ptr().add(of_right * o),
                        lines: right.places.as_ptr().add(other_from),
                        scalars: right.entries[row].as_ptr().add(other_from * rows),
                        features: o,
                        sums: sums.as_mut_ptr(),
                    });
                }
                for (w, sums) in (row * rows..w.min((row + 1) * rows)).zip(sums.chunks_exact(lanes))
                {
                    for (v, sum) in (column * lanes..v.min((column + 1) * lanes)).zip(sums) {
                        // SAFETY: an entry of C, of this sample's own, by `check`.
                        unsafe {
                            *to.get().add(at + v * p.place[0] + w * p.place[2]) += alpha * *sum
                        };
                    }
                }
            }
        }
    });
    true
}

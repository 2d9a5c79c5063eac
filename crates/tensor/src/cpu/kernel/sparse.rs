//! Products whose A has zeros at the same places for all items of a batch axis that share B: what
//! is computed leaves these steps out.
//!
//! Such is what travels back through maxima and rectifiers: in every column zero at the same
//! places. The items are the rows of a tile, and for every row of A a list says which rows of B its
//! steps take.

use rayon::prelude::*;

use super::pack::{panel, with_buffers};
use super::parts::{MAX_BATCH_PARTS, MAX_PARTIAL_ENTRIES, add_up};
use super::tile::{Kernel, Shared, Tile, tile_rows};
use crate::cpu::fill::{scratch, wide};
use crate::cpu::pool::Storage;
use crate::cpu::scalar::CpuScalar;
use crate::shape::checked_size;
use crate::{BatchAxis, Gemm, Strides};

/// Minimum items that share B for which they fill a tile well enough. Not measured.
pub const MIN_ITEMS: usize = 5;
/// Minimum columns of B for which steps are left out. Not measured.
const MIN_COLUMNS: usize = 8;
/// Maximum steps whose rows of B are packed at a time, unless one term has more. Not measured.
const MAX_PACKED_STEPS: usize = 512;
/// Numbers of A that are listed at a time, unless a row of all terms has more. Not measured.
const LISTED_ENTRIES: usize = 1 << 16;

/// A term of the sum: where its A and B begin.
type Term = (usize, usize);

/// Where B comes from.
#[derive(Clone, Copy)]
pub enum Rows<'b, E> {
    /// It is there.
    Given(&'b [E]),
    /// It is made when it is needed, in pieces of so many numbers: one that begins at a multiple of
    /// them is for one item of the other batch axes.
    Made(usize, &'b (dyn Fn(usize, &mut [E]) + Sync)),
}

/// One product of all items, with what it needs of C.
struct Job<'g, E: 'static> {
    kernel: &'static Kernel<E>,
    g: &'g Gemm,
    items: BatchAxis,
    /// Distances of items and of rows in C.
    c: [usize; 2],
    alpha: E,
    add: bool,
}

/// The product, if it is one that gains; whether it was computed.
///
/// # Panics
/// If `g` reads or writes outside a slice, or writes an entry of C twice.
pub fn product<E: CpuScalar>(g: &Gemm, a: &[E], b: Rows<'_, E>, c: &mut [E]) -> bool {
    let Some(kernel) = E::kernel() else { return false };
    let alike = |axis: &BatchAxis| axis.b == 0 && axis.c > 0 && axis.len >= MIN_ITEMS;
    let Some(at) = g.batch.iter().position(alike) else { return false };
    if g.a.col != 1 || g.c.col != 1 || g.n < MIN_COLUMNS || g.k < 2 {
        return false;
    }
    // The lists hold distances of packed rows, in bytes, as `u32`.
    if g.k > u32::MAX as usize / Kernel::<E>::ROW_BYTES {
        return false;
    }
    let reads = if let Rows::Given(b) = b { b.len() } else { usize::MAX };
    g.check(a.len(), reads, c.len());
    let items = g.batch[at];
    let rest = g.batch.iter().enumerate().filter(|&(axis, _)| axis != at).map(|(_, axis)| *axis);
    let (kept, summed): (Vec<_>, Vec<_>) = rest.partition(|axis| axis.c > 0 || axis.len == 1);
    let places = |axes: &[BatchAxis]| {
        let mut places = vec![(0, 0, 0)];
        for axis in axes {
            let next = |&(a, b, c): &(usize, usize, usize)| {
                (0..axis.len).map(move |i| (a + i * axis.a, b + i * axis.b, c + i * axis.c))
            };
            places = places.iter().flat_map(next).collect();
        }
        places
    };
    let terms: Vec<Term> =
        places(&summed).into_iter().map(|(a, b, _)| (a + g.a.offset, b + g.b.offset)).collect();
    let places = places(&kept);
    let size = |axes: &[usize]| checked_size(axes).expect("partial results fit the memory");
    let entries = size(&[items.len, g.m, g.n]);
    let job =
        Job { kernel, g, items, c: [items.c, g.c.row], alpha: E::of(g.alpha), add: g.accumulate };
    // Few products of many terms are cut into parts, as many as depends on the shape alone.
    let most = (MAX_BATCH_PARTS / places.len())
        .min(terms.len())
        .min(MAX_PARTIAL_ENTRIES / size(&[places.len(), entries]).max(1));
    let parts = if most < 2 { 1 } else { 1 << most.ilog2() };
    if parts == 1 {
        let c = Shared::new(c.as_mut_ptr());
        places.par_iter().for_each(|&(a_at, b_at, c_at)| {
            // SAFETY: inside C as `check` has shown; kept items have places of their own.
            unsafe { job.run(a, b, (a_at, b_at), &terms, c.get().add(g.c.offset + c_at)) };
        });
        return true;
    }
    let len = terms.len().div_ceil(parts);
    let parts = terms.len().div_ceil(len);
    let part = Job { c: [g.m * g.n, g.n], alpha: E::one(), add: false, ..job };
    let mut sums = vec![E::zero(); parts * places.len() * entries];
    sums.par_chunks_exact_mut(entries).enumerate().for_each(|(at, sums)| {
        let ((a_at, b_at, _), terms) =
            (places[at % places.len()], &terms[at / places.len() * len..]);
        // SAFETY: `sums` has the places of all items, rows and columns.
        unsafe { part.run(a, b, (a_at, b_at), &terms[..len.min(terms.len())], sums.as_mut_ptr()) };
    });
    let whole = add_up(&mut sums, places.len() * entries);
    for (&(_, _, at), sums) in places.iter().zip(whole.chunks_exact(entries)) {
        for (row, sums) in sums.chunks_exact(g.n).enumerate() {
            let at = g.c.offset + at + row / g.m * items.c + row % g.m * g.c.row;
            for (c, sum) in c[at..at + g.n].iter_mut().zip(sums) {
                let sum = job.alpha * *sum;
                *c = if g.accumulate { *c + sum } else { sum };
            }
        }
    }
    true
}

/// What is listed of some rows of A.
struct Lists {
    /// Per row of A: its steps.
    counts: Vec<usize>,
    /// Per step: the distance of its row of B, in bytes.
    rows: Vec<u32>,
    /// Per step of the row under way: its place in A.
    picks: Vec<usize>,
}

impl<E: CpuScalar> Job<'_, E> {
    /// The sum over the terms.
    ///
    /// # Safety
    /// `c` must be valid for all items, rows and columns, and the caller's own; the processor must
    /// have the kernel's instructions.
    unsafe fn run(
        &self,
        a: &[E],
        b: Rows<'_, E>,
        (a_at, b_at): (usize, usize),
        terms: &[Term],
        c: *mut E,
    ) {
        let Gemm { m, n, k, .. } = *self.g;
        let (cols, len, height) =
            (2 * Kernel::<E>::LANES, self.items.len, tile_rows(self.items.len));
        let group = (MAX_PACKED_STEPS / k).clamp(1, terms.len());
        let size = |axes: &[usize]| checked_size(axes).expect("lists fit the memory");
        let room = LISTED_ENTRIES.max(size(&[group, k, len]));
        let mut lists = Lists { counts: Vec::new(), rows: Vec::new(), picks: Vec::new() };
        let mut scan = vec![E::zero(); k];
        let mut made: Storage<E> =
            scratch(if let Rows::Made(len, _) = b { size(&[group, len]) } else { 0 });
        with_buffers([room, size(&[group, k, cols])], |entries: *mut E, packed: *mut E| {
            for (number, terms) in terms.chunks(group).enumerate() {
                if let Rows::Made(len, make) = b {
                    made.chunks_exact_mut(len)
                        .zip(terms)
                        .for_each(|(made, term)| make((term.1 + b_at) / len, made));
                }
                let mut next = 0;
                while next < m {
                    let first = next;
                    lists.counts.clear();
                    lists.rows.clear();
                    while next < m && (lists.rows.len() + group * k) * len <= room {
                        let from = lists.rows.len();
                        self.list(a, a_at + next * self.g.a.row, terms, &mut scan, &mut lists);
                        let picks = &lists.picks;
                        let mut to = from * len;
                        for item in (0..len).step_by(height) {
                            for &pick in picks {
                                for item in item..(item + height).min(len) {
                                    // SAFETY: there is room for the steps of all terms.
                                    unsafe { *entries.add(to) = a[pick + item * self.items.a] };
                                    to += 1;
                                }
                            }
                        }
                        next += 1;
                    }
                    for col in (0..n).step_by(cols) {
                        let width = cols.min(n - col);
                        for (at, term) in terms.iter().enumerate() {
                            let b = match b {
                                Rows::Given(b) => &b[term.1 + b_at..],
                                Rows::Made(len, _) => &made[at * len..][..len],
                            };
                            let Strides { row, col: along, .. } = self.g.b;
                            let b = &b[col * along..][..(k - 1) * row + (width - 1) * along + 1];
                            // SAFETY: `width` entries of `k` rows, to places for `cols`.
                            unsafe {
                                panel(
                                    b.as_ptr(),
                                    [along, row],
                                    [width, k],
                                    packed.add(at * k * cols),
                                    cols,
                                )
                            };
                        }
                        let (kind, mask) = self.kernel.kind(width);
                        let mut from = 0;
                        for (row, &count) in (first..).zip(&lists.counts) {
                            for item in (0..len).step_by(height) {
                                let height = height.min(len - item);
                                // SAFETY: the lists have `count` steps of each item here, whose
                                // rows are packed; the rest by the caller's promise.
                                unsafe {
                                    let tile = Tile {
                                        k: count,
                                        a: entries.add(from * len + item * count).cast_const(),
                                        a_row: size_of::<E>(),
                                        a_step: height * size_of::<E>(),
                                        b: packed.cast_const(),
                                        b_step: 0,
                                        c: c.add(item * self.c[0] + row * self.c[1] + col),
                                        c_row: self.c[0] * size_of::<E>(),
                                        add: u64::from(self.add || number > 0),
                                        mask,
                                        alpha: self.alpha,
                                        rows: lists.rows.as_ptr().add(from),
                                        ahead: 0,
                                    };
                                    (self.kernel.picking[height - 1][kind])(&tile);
                                }
                            }
                            from += count;
                        }
                    }
                }
            }
        });
    }

    /// Lists the steps of a row of A, which begins at `at` in each term, at which some item is not
    /// zero.
    fn list(&self, a: &[E], at: usize, terms: &[Term], scan: &mut [E], lists: &mut Lists) {
        let (k, stride) = (scan.len(), Kernel::<E>::ROW_BYTES);
        lists.picks.clear();
        for (number, term) in terms.iter().enumerate() {
            let at = at + term.0;
            sum_magnitudes(a, at, self.items.a, self.items.len, scan);
            let picked = lists.picks.len();
            lists.picks.resize(picked + k, 0);
            let count = nonzero(scan, at, &mut lists.picks[picked..]);
            lists.picks.truncate(picked + count);
            lists.rows.extend(
                lists.picks[picked..].iter().map(|pick| ((number * k + pick - at) * stride) as u32),
            );
        }
        lists.counts.push(lists.picks.len());
    }
}

/// `sums[t] = Σ_i |x[at + i · distance + t]|`: zero where all are.
pub fn sum_magnitudes<E: CpuScalar>(
    x: &[E],
    at: usize,
    distance: usize,
    items: usize,
    sums: &mut [E],
) {
    wide(|| {
        sums.fill(E::zero());
        for item in 0..items {
            let x = &x[at + item * distance..][..sums.len()];
            sums.iter_mut().zip(x).for_each(|(sum, x)| *sum += x.abs());
        }
    });
}

/// Writes the positions, counted from `first`, at which `sums` are not zero; gives their number.
///
/// # Panics
/// If there are fewer places than sums.
pub fn nonzero<E: CpuScalar>(sums: &[E], first: usize, to: &mut [usize]) -> usize {
    let mut count = 0;
    // No branches: zeros lie as they like.
    for (at, sum) in sums.iter().enumerate() {
        to[count] = first + at;
        count += usize::from(*sum != E::zero());
    }
    count
}

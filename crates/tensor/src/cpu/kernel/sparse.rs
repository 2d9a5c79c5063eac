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

/// Where an item of the kept batch axes begins in A, B and C.
type Place = (usize, usize, usize);

/// Where all items of some batch axes begin.
fn places(axes: &[BatchAxis]) -> Vec<Place> {
    let mut places = vec![(0, 0, 0)];
    for axis in axes {
        let next = |&(a, b, c): &Place| {
            (0..axis.len).map(move |i| (a + i * axis.a, b + i * axis.b, c + i * axis.c))
        };
        places = places.iter().flat_map(next).collect();
    }
    places
}

/// The batch axis whose items become the rows of a tile, if the product is one that gains.
fn items_of<E: CpuScalar>(g: &Gemm) -> Option<usize> {
    let alike = |axis: &BatchAxis| axis.b == 0 && axis.c > 0 && axis.len >= MIN_ITEMS;
    let at = g.batch.iter().position(alike)?;
    let contiguous = g.a.col == 1 && g.c.col == 1;
    // The lists hold distances of packed rows, in bytes, as `u32`.
    let listed = g.k <= u32::MAX as usize / Kernel::<E>::ROW_BYTES;
    (contiguous && listed && g.n >= MIN_COLUMNS && g.k >= 2).then_some(at)
}

/// The product, if it is one that gains; whether it was computed.
///
/// # Panics
/// If `g` reads or writes outside a slice, or writes an entry of C twice.
pub fn product<E: CpuScalar>(g: &Gemm, a: &[E], b: Rows<'_, E>, c: &mut [E]) -> bool {
    let Some(kernel) = E::kernel() else { return false };
    let Some(at) = items_of::<E>(g) else { return false };
    let reads = if let Rows::Given(b) = b { b.len() } else { usize::MAX };
    g.check(a.len(), reads, c.len());
    let items = g.batch[at];
    let rest = g.batch.iter().enumerate().filter(|&(axis, _)| axis != at).map(|(_, axis)| *axis);
    let (kept, summed): (Vec<_>, Vec<_>) = rest.partition(|axis| axis.c > 0 || axis.len == 1);
    let terms: Vec<Term> =
        places(&summed).into_iter().map(|(a, b, _)| (a + g.a.offset, b + g.b.offset)).collect();
    let places = places(&kept);
    let job =
        Job { kernel, g, items, c: [items.c, g.c.row], alpha: E::of(g.alpha), add: g.accumulate };
    let parts = job.parts(places.len(), terms.len());
    if parts > 1 {
        job.run_in_parts(a, b, c, &places, &terms, parts);
        return true;
    }
    let c = Shared::new(c.as_mut_ptr());
    places.par_iter().for_each(|&(a_at, b_at, c_at)| {
        // SAFETY: inside C as `check` has shown; kept items have places of their own.
        unsafe { job.run(a, b, (a_at, b_at), &terms, c.get().add(g.c.offset + c_at)) };
    });
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

/// The terms whose rows of B are packed together, and what they and the lists are held in.
struct Packed<'t, E> {
    terms: &'t [Term],
    /// Numbers that there is room for in `entries`.
    room: usize,
    entries: *mut E,
    rows: *mut E,
    /// Whether earlier terms have been added to C.
    add: bool,
}

/// Columns of a tile.
const fn columns<E: CpuScalar>() -> usize {
    2 * Kernel::<E>::LANES
}

impl<E: CpuScalar> Job<'_, E> {
    /// Entries of C that one kept place of all items has.
    fn entries(&self) -> usize {
        checked_size(&[self.items.len, self.g.m, self.g.n]).expect("partial results fit the memory")
    }

    /// Parts that so many terms are cut into: more than one where there are few places, as many as
    /// depends on the shape alone.
    fn parts(&self, places: usize, terms: usize) -> usize {
        let size = checked_size(&[places, self.entries()]).expect("partial results fit the memory");
        let most = (MAX_BATCH_PARTS / places).min(terms).min(MAX_PARTIAL_ENTRIES / size.max(1));
        if most < 2 { 1 } else { 1 << most.ilog2() }
    }

    /// Few products of many terms: parts of the sums, then what they add up to.
    fn run_in_parts(
        &self,
        a: &[E],
        b: Rows<'_, E>,
        c: &mut [E],
        places: &[Place],
        terms: &[Term],
        parts: usize,
    ) {
        let (g, entries) = (self.g, self.entries());
        let len = terms.len().div_ceil(parts);
        let parts = terms.len().div_ceil(len);
        let part = Job { c: [g.m * g.n, g.n], alpha: E::one(), add: false, ..*self };
        let mut sums = vec![E::zero(); parts * places.len() * entries];
        sums.par_chunks_exact_mut(entries).enumerate().for_each(|(at, sums)| {
            let (a_at, b_at, _) = places[at % places.len()];
            let terms = &terms[at / places.len() * len..];
            let terms = &terms[..len.min(terms.len())];
            // SAFETY: `sums` has the places of all items, rows and columns.
            unsafe { part.run(a, b, (a_at, b_at), terms, sums.as_mut_ptr()) };
        });
        let whole = add_up(&mut sums, places.len() * entries);
        for (&(_, _, at), sums) in places.iter().zip(whole.chunks_exact(entries)) {
            for (row, sums) in sums.chunks_exact(g.n).enumerate() {
                let at = g.c.offset + at + row / g.m * self.items.c + row % g.m * g.c.row;
                for (c, sum) in c[at..at + g.n].iter_mut().zip(sums) {
                    let sum = self.alpha * *sum;
                    *c = if g.accumulate { *c + sum } else { sum };
                }
            }
        }
    }

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
        let Gemm { m, k, .. } = *self.g;
        let (cols, len) = (columns::<E>(), self.items.len);
        let group = (MAX_PACKED_STEPS / k).clamp(1, terms.len());
        let size = |axes: &[usize]| checked_size(axes).expect("lists fit the memory");
        let room = LISTED_ENTRIES.max(size(&[group, k, len]));
        let mut lists = Lists { counts: Vec::new(), rows: Vec::new(), picks: Vec::new() };
        let mut scan = vec![E::zero(); k];
        let mut made: Storage<E> =
            scratch(if let Rows::Made(len, _) = b { size(&[group, len]) } else { 0 });
        with_buffers([room, size(&[group, k, cols])], |entries: *mut E, rows: *mut E| {
            for (number, terms) in terms.chunks(group).enumerate() {
                if let Rows::Made(len, make) = b {
                    made.chunks_exact_mut(len)
                        .zip(terms)
                        .for_each(|(made, term)| make((term.1 + b_at) / len, made));
                }
                let add = self.add || number > 0;
                let packed = Packed { terms, room, entries, rows, add };
                let mut first = 0;
                while first < m {
                    // SAFETY: there is room for the lists and for the packed rows of a group; the
                    // rest by the caller's promise.
                    unsafe {
                        let next = self.list_rows(a, a_at, first, &packed, &mut scan, &mut lists);
                        self.multiply(b, b_at, &made, first, &packed, &lists, c);
                        first = next;
                    }
                }
            }
        });
    }

    /// Lists as many rows of A, from `first` on, as there is room for, and writes what they hold,
    /// step by step, tile by tile; gives the row that comes next.
    ///
    /// # Safety
    /// `packed.entries` must have room for `packed.room` numbers.
    #[inline]
    unsafe fn list_rows(
        &self,
        a: &[E],
        a_at: usize,
        first: usize,
        packed: &Packed<'_, E>,
        scan: &mut [E],
        lists: &mut Lists,
    ) -> usize {
        let (m, len, height) = (self.g.m, self.items.len, tile_rows(self.items.len));
        let mut next = first;
        lists.counts.clear();
        lists.rows.clear();
        while next < m && (lists.rows.len() + packed.terms.len() * scan.len()) * len <= packed.room
        {
            let mut to = lists.rows.len() * len;
            self.list(a, a_at + next * self.g.a.row, packed.terms, scan, lists);
            for item in (0..len).step_by(height) {
                for &pick in &lists.picks {
                    for item in item..(item + height).min(len) {
                        // SAFETY: there is room for the steps of all terms.
                        unsafe { *packed.entries.add(to) = a[pick + item * self.items.a] };
                        to += 1;
                    }
                }
            }
            next += 1;
        }
        next
    }

    /// The listed rows of A times all columns of B, tile by tile.
    ///
    /// # Safety
    /// `lists` and `packed` must be what [`list_rows`](Job::list_rows) wrote from row `first` on,
    /// with room for the rows of B; `c` as for [`run`](Job::run).
    #[inline]
    unsafe fn multiply(
        &self,
        b: Rows<'_, E>,
        b_at: usize,
        made: &[E],
        first: usize,
        packed: &Packed<'_, E>,
        lists: &Lists,
        c: *mut E,
    ) {
        let cols = columns::<E>();
        for col in (0..self.g.n).step_by(cols) {
            let width = cols.min(self.g.n - col);
            for (at, term) in packed.terms.iter().enumerate() {
                let b = match b {
                    Rows::Given(b) => &b[term.1 + b_at..],
                    Rows::Made(len, _) => &made[at * len..][..len],
                };
                // SAFETY: to places of this term's own for `cols` columns.
                unsafe {
                    self.pack(b, [col, width], packed.rows.add(at * self.g.k * cols));
                }
            }
            let (kind, mask) = self.kernel.kind(width);
            let mut from = 0;
            for (row, &count) in (first..).zip(&lists.counts) {
                let tile = Tile {
                    k: count,
                    a: packed.entries.cast_const(),
                    a_row: size_of::<E>(),
                    a_step: 0,
                    b: packed.rows.cast_const(),
                    b_step: 0,
                    c,
                    c_row: self.c[0] * size_of::<E>(),
                    add: u64::from(packed.add),
                    mask,
                    alpha: self.alpha,
                    rows: lists.rows[from..].as_ptr(),
                    ahead: 0,
                };
                // SAFETY: the lists have `count` steps of each item here, whose rows are packed.
                unsafe { self.tiles(tile, kind, from, row * self.c[1] + col) };
                from += count;
            }
        }
    }

    /// Packs some columns of all rows of one term's B: the first one, and how many.
    ///
    /// # Safety
    /// `to` must have room for as many columns as a tile has, of every row.
    #[inline]
    unsafe fn pack(&self, b: &[E], [col, width]: [usize; 2], to: *mut E) {
        let (Strides { row, col: along, .. }, k) = (self.g.b, self.g.k);
        let b = &b[col * along..][..(k - 1) * row + (width - 1) * along + 1];
        // SAFETY: `width` entries of `k` rows lie in the slice; the rest is the caller's promise.
        unsafe { panel(b.as_ptr(), [along, row], [width, k], to, columns::<E>()) };
    }

    /// The tiles of all items of one row of A: `tile` says what they have in common, its lists
    /// begin at step `from`, and the row of C at `at`.
    ///
    /// # Safety
    /// As for [`multiply`](Job::multiply).
    #[inline]
    unsafe fn tiles(&self, tile: Tile<E>, kind: usize, from: usize, at: usize) {
        let (len, most) = (self.items.len, tile_rows(self.items.len));
        for item in (0..len).step_by(most) {
            let height = most.min(len - item);
            // SAFETY: the caller's promise.
            unsafe {
                let tile = Tile {
                    a: tile.a.add(from * len + item * tile.k),
                    a_step: height * size_of::<E>(),
                    c: tile.c.add(item * self.c[0] + at),
                    ..tile
                };
                (self.kernel.picking[height - 1][kind])(&tile);
            }
        }
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
    wide(
        #[inline(always)]
        || {
            sums.fill(E::zero());
            for item in 0..items {
                let x = &x[at + item * distance..][..sums.len()];
                sums.iter_mut().zip(x).for_each(|(sum, x)| *sum += x.abs());
            }
        },
    );
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

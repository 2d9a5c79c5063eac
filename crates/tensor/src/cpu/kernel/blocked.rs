//! The product in blocks of steps: micro-kernels go over it tile by tile, on packed panels where
//! the operands don't lie well.
//!
//! Every entry of C is a sum over the steps in order, block by block of a length that depends on
//! the shape alone, long sums in [pieces](super::long): neither packing, nor the way that C is cut
//! into parts, nor the number of threads can change a bit of it.

use std::ops::Range;

use rayon::prelude::*;

use super::long::{MAX_BLOCKS, Totals};
use super::pack::{Pack, panel, with_buffers};
use super::tile::{Kernel, MAX_TILE_ROWS, Operand, Output, Shared, Tile, TileRun, tile_rows};
use crate::cpu::scalar::CpuScalar;
use crate::shape::checked_size;

/// Entries of the largest tile: two vectors of the narrowest element type in each row.
const MAX_TILE_ENTRIES: usize = MAX_TILE_ROWS * 32;
/// Maximum steps of a block: panels of this depth fit the first-level cache. Not measured.
pub const MAX_BLOCK_STEPS: usize = 256;
/// Maximum steps of a block of a sum that is added up in [pieces](super::long): most rounding
/// happens in registers, block by block.
pub const LONG_BLOCK_STEPS: usize = 128;
/// Maximum steps of a block for products of one or two rows, which read B once: short enough that
/// the rows of B are read as streams. Not measured.
const MAX_THIN_BLOCK_STEPS: usize = 32;
/// Rows whose packed panels stay in the second-level cache while tiles are computed. Not measured.
const CACHED_PANEL_ROWS: usize = 240;
/// Columns whose packed panels stay in the second-level cache while tiles are computed. Not
/// measured.
const CACHED_PANEL_COLUMNS: usize = 512;
/// Rows and columns at multiples of which C is cut: whole vectors, and few tiles that are not full.
const CUT_MULTIPLE: usize = 32;
/// Estimated cost of packing a row or a column, in entries of C, where both have as many steps. Not
/// measured.
const PACKING_COST_ENTRIES: usize = 8;
/// Maximum entries of C that one task computes, about, where threads share a product, however few
/// they are. Not measured.
const MAX_TASK_ENTRIES: usize = 1 << 20;
/// Maximum columns of C for which rows of A are read where they lie. Not measured.
const MAX_UNPACKED_A_COLUMNS: usize = 160;
/// Maximum rows of C for which B is read where it lies. Not measured.
const MAX_UNPACKED_B_ROWS: usize = 160;
/// Maximum bytes of all of A for which it is not packed for more columns either: it stays in the
/// first-level cache. Not measured.
const MAX_UNPACKED_A_BYTES: usize = 20 << 10;
/// Steps that are packed at a time, for all rows or columns, where these lie side by side. Not
/// measured.
const PACKED_STEPS: usize = 4;
/// Distances, in bytes, that make entries of a panel compete for the same places of the cache: the
/// multiples of this. Not measured.
const ALIASING_BYTES: usize = 1024;

/// A part of C.
type Part = [Range<usize>; 2];

/// How a part is computed.
struct Plan<E> {
    /// Which operands are packed; the others are read where they are given.
    pack: [bool; 2],
    /// Rows of a tile.
    rows: usize,
    /// Whether only the lower half is wanted.
    lower: bool,
    alpha: E,
}

/// Steps of a block: equal blocks, none longer than the cache wants.
fn depth(m: usize, k: usize) -> usize {
    let most = match k {
        _ if m <= 2 => MAX_THIN_BLOCK_STEPS,
        _ if k > MAX_BLOCKS * LONG_BLOCK_STEPS => LONG_BLOCK_STEPS,
        _ => MAX_BLOCK_STEPS,
    };
    if k <= most {
        return k.max(1);
    }
    k.div_ceil(k.div_ceil(most).max(1)).next_multiple_of(16)
}

impl<E: CpuScalar> Kernel<E> {
    /// The product on the calling thread, or at least its lower half.
    ///
    /// # Safety
    /// As for [`MatMul::matmul`](super::MatMul::matmul); the processor must have the kernel's
    /// instructions.
    pub unsafe fn product(
        &self,
        dims: [usize; 3],
        alpha: E,
        a: Operand<E>,
        b: Operand<E>,
        add: bool,
        c: Output<E>,
        lower: bool,
    ) {
        let ([m, k, n], a, b, c) = if lower { (dims, a, b, c) } else { turned(dims, a, b, c) };
        // SAFETY: the caller's promise.
        unsafe { self.part([k, depth(m, k)], alpha, a, b, add, c, [0..m, 0..n], lower) };
    }

    /// The product, or at least its lower half, by all threads, each a large part of C.
    ///
    /// Each packs for itself what its part needs, some of it more than once in all: to read what
    /// another core has just written, and to write where another has just read, costs more, above
    /// all between cores that share no cache.
    ///
    /// # Safety
    /// As for [`product`](Kernel::product).
    pub unsafe fn shared(
        &self,
        dims: [usize; 3],
        alpha: E,
        a: Operand<E>,
        b: Operand<E>,
        add: bool,
        c: Output<E>,
        lower: bool,
    ) {
        let ([m, k, n], a, b, c) = if lower { (dims, a, b, c) } else { turned(dims, a, b, c) };
        let threads = rayon::current_num_threads();
        let parts =
            pieces([0..m, 0..n], lower, threads * (m * n).div_ceil(threads * MAX_TASK_ENTRIES));
        let (a_ptr, b_ptr, c_ptr) =
            (Shared::new(a.0.cast_mut()), Shared::new(b.0.cast_mut()), Shared::new(c.0));
        let (sa, sb, sc) = (a.1, b.1, c.1);
        parts.into_par_iter().with_max_len(1).for_each(|part| {
            let (a, b, c) =
                ((a_ptr.get().cast_const(), sa), (b_ptr.get().cast_const(), sb), (c_ptr.get(), sc));
            // SAFETY: the caller's promise; the parts of C are disjoint.
            unsafe { self.part([k, depth(m, k)], alpha, a, b, add, c, part, lower) };
        });
    }

    /// A part of the product on the calling thread.
    ///
    /// # Safety
    /// As for [`product`](Kernel::product), for the rows of A, the columns of B and the entries of
    /// C that belong to the part.
    #[inline]
    unsafe fn part(
        &self,
        [k, depth]: [usize; 2],
        alpha: E,
        (a, sa): Operand<E>,
        (b, sb): Operand<E>,
        add: bool,
        (c, sc): Output<E>,
        [rows, cols]: Part,
        lower: bool,
    ) {
        let (m, n) = (rows.len(), cols.len());
        // The distance of a single row or column is any number: nothing lies that far.
        let aliased = |stride: usize| stride.wrapping_mul(size_of::<E>()) % ALIASING_BYTES == 0;
        let bytes_of_a = m.saturating_mul(k).saturating_mul(size_of::<E>());
        let pack = [
            n > MAX_UNPACKED_A_COLUMNS && bytes_of_a > MAX_UNPACKED_A_BYTES
                || n > self.cols() && sa[1] == 1 && aliased(sa[0]),
            n > 1 && sb[1] != 1
                || m > MAX_UNPACKED_B_ROWS
                || m > 2 * MAX_TILE_ROWS && aliased(sb[0]),
        ];
        let plan = |alpha: E| Plan { pack, rows: tile_rows(m), lower, alpha };
        // SAFETY: the part starts inside A, B and C.
        let (a, b, c) = unsafe {
            let c = c.add(rows.start * sc[0] + cols.start * sc[1]);
            ((a.add(rows.start * sa[0]), sa), (b.add(cols.start * sb[1]), sb), (c, sc))
        };
        let steps = |k: usize, plan: &Plan<E>, a, b, add: bool, c| {
            let part = [rows.clone(), cols.clone()];
            // SAFETY: the caller's promise, for some of the steps.
            unsafe {
                if pack == [false; 2] && k <= depth {
                    self.tiles(plan, k, a, b, part, add, c);
                } else {
                    self.packed(plan, [k, depth], a, b, add, c, part);
                }
            }
        };
        let longest = MAX_BLOCKS * depth;
        if k <= longest {
            return steps(k, &plan(alpha), a, b, add, c);
        }
        let plan = plan(E::one());
        // SAFETY: the caller's promise.
        unsafe {
            in_pieces([m, k, n], alpha, a, b, add, c, longest, |k, a, b, c| {
                steps(k, &plan, a, b, false, c);
            });
        }
    }

    /// A part in blocks of steps, on panels of what is to be packed. A, B and C start with the
    /// part.
    ///
    /// # Safety
    /// As for [`part`](Kernel::part).
    unsafe fn packed(
        &self,
        plan: &Plan<E>,
        [k, depth]: [usize; 2],
        (a, sa): Operand<E>,
        (b, sb): Operand<E>,
        add: bool,
        (c, sc): Output<E>,
        [rows, cols]: Part,
    ) {
        let (m, n, deepest) = (rows.len(), cols.len(), depth.min(k));
        let (band, chunk) = (
            CACHED_PANEL_ROWS.next_multiple_of(plan.rows),
            if plan.pack[1] { CACHED_PANEL_COLUMNS.min(n) } else { n },
        );
        let room = [(plan.pack[0], m), (plan.pack[1], self.packed_cols(chunk))];
        with_buffers(
            room.map(|(packed, len)| {
                let room = checked_size(&[len, deepest, usize::from(packed)]);
                room.expect("panels fit the memory")
            }),
            |left: *mut E, right: *mut E| {
                for first in (0..k).step_by(depth) {
                    let len = depth.min(k - first);
                    // SAFETY: the steps from `first` on are inside A and B, the buffers hold a
                    // block of what is packed, and the tiles are in C.
                    unsafe {
                        let (a, b) = (a.add(first * sa[1]), b.add(first * sb[0]));
                        if plan.pack[0] {
                            pack((a, sa), [m, len], left, plan.rows, 1);
                        }
                        for col in (0..n).step_by(chunk) {
                            let (cols, b) = (
                                cols.start + col..cols.start + n.min(col + chunk),
                                b.add(col * sb[1]),
                            );
                            if plan.lower && cols.start >= rows.end {
                                break;
                            }
                            if plan.pack[1] {
                                pack(
                                    (b, [sb[1], sb[0]]),
                                    [cols.len(), len],
                                    right,
                                    self.cols(),
                                    Self::LANES,
                                );
                            }
                            for row in (0..m).step_by(band) {
                                let a = if plan.pack[0] {
                                    left.add(row * len).cast_const()
                                } else {
                                    a.add(row * sa[0])
                                };
                                let b = if plan.pack[1] { right.cast_const() } else { b };
                                let part = [
                                    rows.start + row..rows.start + m.min(row + band),
                                    cols.clone(),
                                ];
                                let c = c.add(row * sc[0] + col * sc[1]);
                                self.tiles(
                                    plan,
                                    len,
                                    (a, sa),
                                    (b, sb),
                                    part,
                                    add || first > 0,
                                    (c, sc),
                                );
                            }
                        }
                    }
                }
            },
        );
    }

    /// The tiles of a part of C, from operands or panels that start with it, as C does; of those on
    /// the wrong side of the diagonal none, if only the lower half is wanted.
    ///
    /// # Safety
    /// The panels or entries that the part needs must be valid, and its entries of C the caller's
    /// own.
    unsafe fn tiles(
        &self,
        plan: &Plan<E>,
        k: usize,
        (a, [a_row, a_step]): Operand<E>,
        (b, [b_step, _]): Operand<E>,
        [rows, cols]: Part,
        add: bool,
        (c, [down, across]): Output<E>,
    ) {
        let size = size_of::<E>();
        let (m, n) = (rows.len(), cols.len());
        let add = if add { 1 } else { 2 * u64::from(plan.alpha == E::one()) };
        for col in (0..n).step_by(2 * Self::LANES) {
            let width = self.cols().min(n - col);
            let (kind, mask) = self.kind(width);
            // SAFETY: this column is inside B, or its panel starts at `col · k`; it is inside C.
            let (b, b_step, c) = unsafe {
                let (b, b_step) = if plan.pack[1] {
                    (b.add(col * k), self.packed_cols(width))
                } else {
                    (b.add(col), b_step)
                };
                (b, b_step.wrapping_mul(size), c.add(col * across))
            };
            // Rows of B that lie where they are given are far apart: the next columns come in time
            // only if they are asked for.
            let ahead = if plan.pack[1] { 0 } else { self.cols() * size };
            // The distance of a single row or step is any number, and leads nowhere.
            let [a_row, a_step, c_row] = [a_row, a_step, down].map(|s| s.wrapping_mul(size));
            let (alpha, rows_picked) = (plan.alpha, std::ptr::null());
            let mut tile = Tile {
                k,
                a,
                a_row,
                a_step,
                b,
                b_step,
                c,
                c_row,
                add,
                mask,
                alpha,
                rows: rows_picked,
                ahead,
            };
            let side_by_side = across == 1 || width == 1;
            for row in (0..m).step_by(plan.rows) {
                let height = plan.rows.min(m - row);
                if plan.lower && rows.start + row + height <= cols.start + col {
                    continue;
                }
                // SAFETY: as for B.
                (tile.a, tile.c) = unsafe {
                    if plan.pack[0] {
                        (tile.a_row, tile.a_step) = (size, height * size);
                        (a.add(row * k), c.add(row * down))
                    } else {
                        (a.byte_add(row * a_row), c.add(row * down))
                    }
                };
                let run = self.tiles[height - 1][kind];
                // SAFETY: the tile is inside C, and the caller's own.
                unsafe {
                    if side_by_side {
                        run(&tile);
                    } else {
                        self.scattered(run, &tile, [height, width], [down, across]);
                    }
                }
            }
        }
    }

    /// A tile of C whose columns are apart.
    ///
    /// # Safety
    /// As for [`tiles`](Kernel::tiles).
    unsafe fn scattered(
        &self,
        run: TileRun<E>,
        tile: &Tile<E>,
        [height, width]: [usize; 2],
        [down, across]: [usize; 2],
    ) {
        let mut apart = [E::zero(); MAX_TILE_ENTRIES];
        let c_row = self.cols() * size_of::<E>();
        // SAFETY: no tile is larger; the places in C are its own.
        unsafe {
            run(&Tile { c: apart.as_mut_ptr(), c_row, add: 0, ..*tile });
            for (i, apart) in apart.chunks_exact(self.cols()).take(height).enumerate() {
                let c = tile.c.add(i * down);
                for (j, &x) in apart[..width].iter().enumerate() {
                    let c = c.add(j * across);
                    *c = if tile.add == 1 { *c + x } else { x };
                }
            }
        }
    }
}

/// Cuts a part of C into so many, of about as much work each; fewer if it is small.
///
/// Of a part on the diagonal only the lower half is work.
fn pieces([rows, cols]: Part, lower: bool, count: usize) -> Vec<Part> {
    let cols = cols.start..if lower { cols.end.min(rows.end) } else { cols.end };
    if count < 2 || rows.len().max(cols.len()) < 2 * CUT_MULTIPLE {
        return vec![[rows, cols]];
    }
    // In entries, of which packing costs some for every row and column.
    let cost = |[rows, cols]: &Part| {
        let below = |row: usize| {
            if lower { cols.end.min(row + 1).saturating_sub(cols.start) } else { cols.len() }
        };
        rows.clone().map(below).sum::<usize>() + PACKING_COST_ENTRIES * (rows.len() + cols.len())
    };
    let share = count / 2;
    // The cut that leaves least to the thread that has most.
    let cuts = [true, false]
        .into_iter()
        .filter(|&by_rows| if by_rows { rows.len() } else { cols.len() } >= 2 * CUT_MULTIPLE);
    let cut = |by_rows: bool| {
        let halves = |at: usize| -> [Part; 2] {
            if by_rows {
                [[rows.start..at, cols.clone()], [at..rows.end, cols.clone()]]
            } else {
                [[rows.clone(), cols.start..at], [rows.clone(), at..cols.end]]
            }
        };
        let range = if by_rows { &rows } else { &cols };
        let most = |at: usize| {
            let [first, second] = halves(at * CUT_MULTIPLE).map(|half| cost(&half));
            (first * (count - share)).max(second * share)
        };
        // What the first half has grows with the place, what the second has falls.
        let (mut low, mut high) = (range.start / CUT_MULTIPLE + 1, (range.end - 1) / CUT_MULTIPLE);
        while low < high {
            let middle = (low + high) / 2;
            if most(middle) <= most(middle + 1) {
                high = middle;
            } else {
                low = middle + 1;
            }
        }
        (most(low), halves(low * CUT_MULTIPLE))
    };
    let Some((_, [first, second])) = cuts.map(cut).min_by_key(|(most, _)| *most) else {
        unreachable!("one side is long")
    };
    let mut all = pieces(first, lower, share);
    all.extend(pieces(second, lower, count - share));
    all
}

/// Packs rows of A, or columns of B: panels of `width` of them, whose entries per step are filled
/// up to a multiple of `unit`.
///
/// # Safety
/// `depth` steps of the `len` rows or columns must be valid, and the panels for writing.
unsafe fn pack<E: Pack>(
    (from, [along, deep]): Operand<E>,
    [len, depth]: [usize; 2],
    to: *mut E,
    width: usize,
    unit: usize,
) {
    // Steps that lie side by side are read as the streams that they are.
    let stretch = if along == 1 { PACKED_STEPS } else { depth };
    for first in (0..depth).step_by(stretch) {
        let steps = stretch.min(depth - first);
        for at in (0..len).step_by(width) {
            let width = width.min(len - at);
            let packed = width.next_multiple_of(unit);
            // SAFETY: panels before this one are full, so it starts at `at · depth`.
            unsafe {
                let (from, to) =
                    (from.add(at * along + first * deep), to.add(at * depth + first * packed));
                panel(from, [along, deep], [width, steps], to, packed);
            }
        }
    }
}

/// The product, or that of the transposes, which is the same: the one with rows of C that lie side
/// by side.
fn turned<E>(
    [m, k, n]: [usize; 3],
    a: Operand<E>,
    b: Operand<E>,
    c: Output<E>,
) -> ([usize; 3], Operand<E>, Operand<E>, Output<E>) {
    if c.1[0] == 1 && m > 1 && (c.1[1] != 1 || n == 1) {
        let flip = |s: [usize; 2]| [s[1], s[0]];
        ([n, k, m], (b.0, flip(b.1)), (a.0, flip(a.1)), (c.0, flip(c.1)))
    } else {
        ([m, k, n], a, b, c)
    }
}

/// `C = alpha · totals`, or `C += alpha · totals`, for C with so many columns.
///
/// # Safety
/// C must be valid for writing, and for reading with `add`.
pub unsafe fn write<E: CpuScalar>(
    totals: Totals<E>,
    columns: usize,
    alpha: E,
    add: bool,
    (c, steps): Output<E>,
) {
    for (at, total) in totals.rounded().enumerate() {
        let x = alpha * total;
        // SAFETY: an entry of C.
        unsafe {
            let c = c.add(at / columns * steps[0] + at % columns * steps[1]);
            *c = if add { *c + x } else { x };
        }
    }
}

/// `C = alpha · A B`, or `C += alpha · A B`: `piece(steps, a, b, c)` writes the product of at most
/// `longest` steps to c.
///
/// # Safety
/// As for [`MatMul::matmul`](super::MatMul::matmul).
pub unsafe fn in_pieces<E: CpuScalar>(
    [m, k, n]: [usize; 3],
    alpha: E,
    (a, sa): Operand<E>,
    (b, sb): Operand<E>,
    add: bool,
    c: Output<E>,
    longest: usize,
    piece: impl Fn(usize, Operand<E>, Operand<E>, Output<E>),
) {
    let mut totals = Totals::new(m * n);
    for first in (0..k).step_by(longest) {
        // SAFETY: the steps from `first` on are inside A and B.
        let (a, b) = unsafe { (a.add(first * sa[1]), b.add(first * sb[0])) };
        piece(longest.min(k - first), (a, sa), (b, sb), (totals.piece(), [n, 1]));
        totals.add();
    }
    // SAFETY: the caller's promise.
    unsafe { write(totals, n, alpha, add, c) };
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_cover_what_is_wanted_once_and_are_about_equal() {
        for (m, n, lower) in [
            (1280, 1280, true),
            (1000, 1000, true),
            (512, 784, false),
            (3000, 100, false),
            (40, 50, true),
        ] {
            for count in [1, 2, 3, 7, 16] {
                let pieces = pieces([0..m, 0..n], lower, count);
                let mut times = vec![0; m * n];
                let mut most = 0;
                for [rows, cols] in pieces.clone() {
                    let mut work = 0;
                    for (i, j) in rows.flat_map(|i| cols.clone().map(move |j| (i, j))) {
                        times[i * n + j] += 1;
                        work += usize::from(!lower || j <= i);
                    }
                    most = most.max(work);
                }
                let wanted = |at: &usize| !lower || at % n <= at / n;
                assert!((0..m * n).filter(wanted).all(|at| times[at] == 1), "{m} × {n} in {count}");
                assert!(times.iter().all(|&times| times < 2));
                let all = (0..m * n).filter(wanted).count();
                // A cut is at most half a unit of the shorter side away from where it should be,
                // and one follows another.
                let off = 3 * CUT_MULTIPLE * m.min(n);
                assert!(
                    pieces.len() == 1 || most <= all / count + off,
                    "{m} × {n} in {count}: {most} of {all}"
                );
                assert!(
                    pieces.len() == count || m.max(n) < 2 * CUT_MULTIPLE * count,
                    "{m} × {n}: {} of {count}",
                    pieces.len()
                );
            }
        }
    }
}

//! The product in blocks of steps: micro-kernels go over it tile by tile, on packed panels where the operands don't lie well.
//!
//! Every entry of C is a sum over the steps in order, block by block of a length that depends on the shape alone: neither packing, nor
//! the way that C is cut into parts, nor the number of threads can change a bit of it.

use std::cell::Cell;
use std::ops::Range;

use rayon::prelude::*;

use super::pack::{Pack, panel};
use super::{Operand, Output, Shared, pairs};
use crate::Scalar;

/// What a micro-kernel computes: `C = alpha · A B`, or `C += alpha · A B`, for a few rows, and columns that lie side by side.
///
/// All distances are in bytes; micro-kernels know the fields by their places.
#[repr(C)]
pub struct Tile<E> {
    /// Steps of the sum.
    pub k: usize,
    pub a: *const E,
    pub a_row: usize,
    pub a_step: usize,
    pub b: *const E,
    pub b_step: usize,
    pub c: *mut E,
    pub c_row: usize,
    /// Whether to add to C; otherwise it isn't read.
    pub add: u64,
    /// The columns of the last vector.
    pub mask: u64,
    pub alpha: E,
    /// If rows of B are picked: the distance of each step's row from `b`.
    pub rows: *const u32,
}

/// Computes a tile.
///
/// # Safety
/// All that the tile describes must be valid, C for writing; the processor must have the kernel's instructions.
type Run<E> = unsafe fn(&Tile<E>);

/// The micro-kernels of an instruction set.
pub struct Kernel<E: 'static> {
    /// For people.
    pub name: &'static str,
    /// By rows; with one vector, with two, and with two of which the second is not full.
    pub tiles: [[Run<E>; 3]; ROWS],
    /// The same, of rows of B that a list picks.
    pub picking: [[Run<E>; 3]; ROWS],
    /// Pairs of samples, by rows.
    pub pairs: &'static [pairs::Run<E>; ROWS],
}

/// Most rows of a tile.
pub const ROWS: usize = 12;
/// Entries of the largest tile.
const LARGEST: usize = ROWS * 32;
/// Most steps of a block: panels of this depth fit the first-level cache.
pub const DEPTH: usize = 256;
/// The same for products of one or two rows, which read B once: short enough that the rows of B are read as streams.
const THIN: usize = 32;
/// Tiles down, and columns, of a part of C that one task computes when the panels are shared.
const PART: (usize, usize) = (8, 128);
/// The same where A is Bᵀ and its panels serve both: rows of a part; and rows up to which that gains, as the entries of A then lie further apart.
const SAME: (usize, usize) = (96, 512);
/// Columns up to which rows of A are read where they lie, and rows up to which B is.
const UNPACKED: (usize, usize) = (160, 160);
/// Steps that are packed at a time, for all columns, where columns lie side by side.
const ROW_STEPS: usize = 4;
/// Bytes: distances that are a multiple of it make entries of a panel compete for the same places of the cache.
const ALIAS: usize = 1024;

/// How a product is cut: where the operands are read, and the length of the blocks.
struct Plan {
    pack: [bool; 2],
    depth: usize,
    /// Rows of a tile.
    rows: usize,
    /// Whether A is Bᵀ, whose panels then serve both: rows of a tile are some of a panel's columns.
    same: bool,
}

impl Plan {
    /// The blocks of the depth: first step and length.
    fn blocks(&self, k: usize) -> impl Iterator<Item = (usize, usize)> + use<> {
        let depth = self.depth;
        std::iter::successors(Some(0), move |first| Some(first + depth))
            .take_while(move |&first| first < k)
            .map(move |first| (first, depth.min(k - first)))
    }
}

/// Steps of a block: equal blocks, none longer than the cache wants.
fn depth(m: usize, k: usize) -> usize {
    let most = if m <= 2 { THIN } else { DEPTH };
    if k <= most {
        return k.max(1);
    }
    k.div_ceil(k.div_ceil(most).max(1)).next_multiple_of(16)
}

/// Rows of a tile: about the same for all.
pub fn tile_rows(m: usize) -> usize {
    if m <= ROWS { m.max(1) } else { m.div_ceil(m.div_ceil(ROWS)) }
}

impl<E: Scalar> Kernel<E> {
    /// Columns of one vector.
    pub const LANES: usize = 64 / size_of::<E>();

    /// Columns of a tile.
    fn cols(&self) -> usize {
        2 * Self::LANES
    }

    /// Which kernel of a tile's rows so many columns take, and the mask of the last vector.
    pub fn kind(&self, width: usize) -> (usize, u64) {
        let kind = match width {
            width if width <= Self::LANES => 0,
            width if width == self.cols() => 1,
            _ => 2,
        };
        (kind, u64::MAX >> (63 - (width - 1) % Self::LANES))
    }

    /// Entries per step of packed columns of B.
    fn packed_cols(&self, n: usize) -> usize {
        n.next_multiple_of(Self::LANES)
    }

    /// The product on the calling thread, or at least its lower half.
    ///
    /// # Safety
    /// As for [`MatMul::matmul`](super::MatMul::matmul); the processor must have the kernel's instructions.
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
        let aliased = |stride: usize| stride * size_of::<E>() % ALIAS == 0;
        let plan = Plan {
            pack: [
                n > UNPACKED.0 || n > self.cols() && a.1[1] == 1 && aliased(a.1[0]),
                n > 1 && b.1[1] != 1 || m > UNPACKED.1 || m > 2 * ROWS && aliased(b.1[0]),
            ],
            depth: depth(m, k),
            rows: tile_rows(m),
            same: false,
        };
        let room = [m, self.packed_cols(n)].map(|len| len * plan.depth.min(k));
        let room = [room[0] * usize::from(plan.pack[0]), room[1] * usize::from(plan.pack[1])];
        with_buffers(room, |left, right| {
            for (first, len) in plan.blocks(k) {
                // SAFETY: the steps from `first` on are inside A and B; the buffers hold a block of what is packed.
                unsafe {
                    let (a, b) = ((a.0.add(first * a.1[1]), a.1), (b.0.add(first * b.1[0]), b.1));
                    if plan.pack[0] {
                        pack_rows(a, m, len, left, 0..m, plan.rows);
                    }
                    if plan.pack[1] {
                        self.pack_cols(b, n, len, right, 0..n);
                    }
                    let a = (if plan.pack[0] { left } else { a.0 }, a.1);
                    let b = (if plan.pack[1] { right } else { b.0 }, b.1);
                    self.tiles(&plan, len, a, b, [m, n], [0..m, 0..n], lower, alpha, add || first > 0, c);
                }
            }
        });
    }

    /// The product, or at least its lower half, by all threads: each block is packed once for all.
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
        let same = lower && m == n && m <= SAME.1 && (a.0, a.1) == (b.0, [b.1[1], b.1[0]]);
        let plan = Plan { pack: [!same, true], depth: depth(m, k), rows: tile_rows(m), same };
        let (rows, cols) = (if same { SAME.0.div_ceil(self.cols()) * self.cols() } else { PART.0 * plan.rows }, PART.1);
        let part = |at: usize, len: usize, end: usize| at * len..(at * len + len).min(end);
        let (down, across) = (m.div_ceil(rows), n.div_ceil(cols));
        let parts: Vec<(usize, usize)> = (0..across)
            .flat_map(|j| (0..down).map(move |i| (i, j)))
            .filter(|&(i, j)| !lower || part(i, rows, m).end > j * cols)
            .collect();
        let (a_ptr, b_ptr, c_ptr) = (Shared(a.0.cast_mut()), Shared(b.0.cast_mut()), Shared(c.0));
        let room = [if same { 0 } else { m }, self.packed_cols(n)].map(|len| len * plan.depth.min(k));
        let packs = if same { 0 } else { down };
        let (sa, sb, sc) = (a.1, b.1, c.1);
        // Inside the pool from here on: to enter it again and again would cost a wake-up each time.
        rayon::scope(|_| {
            with_buffers(room, |left, right| {
                let (left, right) = (Shared(left), Shared(right));
                for (first, len) in plan.blocks(k) {
                    (0..packs + across).into_par_iter().for_each(|at| {
                        // SAFETY: as in `product`; each task packs panels of its own.
                        unsafe {
                            if at < packs {
                                let a = (a_ptr.get().cast_const().add(first * sa[1]), sa);
                                pack_rows(a, m, len, left.get(), part(at, rows, m), plan.rows);
                            } else {
                                let b = (b_ptr.get().cast_const().add(first * sb[0]), sb);
                                self.pack_cols(b, n, len, right.get(), part(at - packs, cols, n));
                            }
                        }
                    });
                    parts.par_iter().for_each(|&(i, j)| {
                        let part = [part(i, rows, m), part(j, cols, n)];
                        let (a, b) = ((left.get().cast_const(), sa), (right.get().cast_const(), sb));
                        // SAFETY: all panels are packed; the parts of C are disjoint.
                        unsafe {
                            let c = (c_ptr.get(), sc);
                            self.tiles(&plan, len, a, b, [m, n], part, lower, alpha, add || first > 0, c);
                        }
                    });
                }
            })
        });
    }

    /// Packs the panels of B that start in a range of columns, which starts at a panel.
    ///
    /// # Safety
    /// As for [`pack_rows`].
    unsafe fn pack_cols(&self, (b, [deep, along]): Operand<E>, n: usize, depth: usize, to: *mut E, cols: Range<usize>) {
        let panels = cols.step_by(self.cols()).map(|col| (col, self.cols().min(n - col)));
        // Rows that lie side by side are read as the streams that they are.
        let steps = if along == 1 { ROW_STEPS } else { depth };
        for first in (0..depth).step_by(steps) {
            let steps = steps.min(depth - first);
            for (col, width) in panels.clone() {
                let packed = self.packed_cols(width);
                // SAFETY: as for the rows.
                unsafe {
                    let (b, to) = (b.add(col * along + first * deep), to.add(col * depth + first * packed));
                    panel(b, [along, deep], [width, steps], to, packed);
                }
            }
        }
    }

    /// The tiles of a part of C; of those on the wrong side of the diagonal none, if only the lower half is wanted.
    ///
    /// # Safety
    /// The panels or entries that the part needs must be valid, and its entries of C the caller's own.
    unsafe fn tiles(
        &self,
        plan: &Plan,
        k: usize,
        (a, [a_row, a_step]): Operand<E>,
        (b, [b_step, _]): Operand<E>,
        [m, n]: [usize; 2],
        [rows, cols]: [Range<usize>; 2],
        lower: bool,
        alpha: E,
        add: bool,
        (c, [down, across]): Output<E>,
    ) {
        let size = size_of::<E>();
        let panels = b;
        for col in cols.step_by(2 * Self::LANES) {
            let width = self.cols().min(n - col);
            let packed = self.packed_cols(width);
            let (kind, mask) = self.kind(width);
            // SAFETY: this column is inside B, or its panel starts at `col · k`.
            let (b, b_step) = unsafe { if plan.pack[1] { (b.add(col * k), packed) } else { (b.add(col), b_step) } };
            let mut next = rows.start;
            while next < rows.end {
                let row = next;
                // Tiles of about the same height down a panel.
                let ahead = (self.cols() - row % self.cols()).min(m - row);
                let height = if plan.same { ahead.div_ceil(ahead.div_ceil(ROWS)) } else { plan.rows.min(m - row) };
                next += height;
                if lower && row + height <= col {
                    continue;
                }
                // SAFETY: as for B; the tile is inside C.
                let ((a, a_row, a_step), c) = unsafe {
                    let a = if plan.same {
                        let (panel, at) = (row - row % self.cols(), row % self.cols());
                        (panels.add(panel * k + at), 1, self.packed_cols(self.cols().min(n - panel)))
                    } else if plan.pack[0] {
                        (a.add(row * k), 1, height)
                    } else {
                        (a.add(row * a_row), a_row, a_step)
                    };
                    (a, c.add(row * down + col * across))
                };
                let tile = |c: *mut E, c_row: usize, add: bool| Tile {
                    k,
                    a,
                    a_row: a_row * size,
                    a_step: a_step * size,
                    b,
                    b_step: b_step * size,
                    c,
                    c_row: c_row * size,
                    add: u64::from(add),
                    mask,
                    alpha,
                    rows: std::ptr::null(),
                };
                let run = self.tiles[height - 1][kind];
                if across == 1 || width == 1 {
                    // SAFETY: the rows of this tile's columns lie side by side.
                    unsafe { run(&tile(c, down, add)) };
                } else {
                    let mut apart = [E::zero(); LARGEST];
                    // SAFETY: no tile is larger; the places in C are its own.
                    unsafe {
                        run(&tile(apart.as_mut_ptr(), self.cols(), false));
                        for (i, apart) in apart.chunks_exact(self.cols()).take(height).enumerate() {
                            let c = c.add(i * down);
                            for (j, &x) in apart[..width].iter().enumerate() {
                                let c = c.add(j * across);
                                *c = if add { *c + x } else { x };
                            }
                        }
                    }
                }
            }
        }
    }
}

/// Packs the panels of A that start in a range of rows, which starts at a panel.
///
/// # Safety
/// `depth` steps of A's `m` rows must be valid, and the packed rows for writing.
unsafe fn pack_rows<E: Pack>(
    (a, [along, deep]): Operand<E>,
    m: usize,
    depth: usize,
    to: *mut E,
    rows: Range<usize>,
    height: usize,
) {
    for row in rows.step_by(height) {
        let height = height.min(m - row);
        // SAFETY: panels before this one are full, so it starts at `row · depth`.
        unsafe { panel(a.add(row * along), [along, deep], [height, depth], to.add(row * depth), height) };
    }
}

/// The product, or that of the transposes, which is the same: the one with rows of C that lie side by side.
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

/// A cache line.
#[derive(Clone, Copy)]
#[repr(C, align(64))]
struct Line([u8; 64]);

thread_local! {
    static SPARE: Cell<Vec<Line>> = const { Cell::new(Vec::new()) };
}

/// Calls `run` with two buffers of at least these lengths, which the thread keeps for the next time. They hold what was left in them.
pub fn with_buffers<E: Pack>(lens: [usize; 2], run: impl FnOnce(*mut E, *mut E)) {
    let [left, right] = lens.map(|len| (len * size_of::<E>()).div_ceil(size_of::<Line>()));
    if left + right == 0 {
        return run(std::ptr::null_mut(), std::ptr::null_mut());
    }
    // Taken, not borrowed: a thread that waits for others may meanwhile start another product.
    let mut buffer = SPARE.take();
    if buffer.len() < left + right {
        buffer.clear();
        buffer.resize(left + right, Line([0; 64]));
    }
    let (left, right) = buffer.split_at_mut(left);
    run(left.as_mut_ptr().cast(), right.as_mut_ptr().cast());
    SPARE.set(buffer);
}

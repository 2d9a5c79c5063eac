//! The matrix product on the host: strided, batched, threaded, the same bits for any number of
//! threads.
//!
//! This is the only module of the crate that may use `unsafe`: it runs micro-kernels on raw
//! pointers, hands them to `matrixmultiply` where it has no kernel of its own, and lets threads
//! write disjoint parts of one output. [`Gemm::check`] proves the bounds and the disjointness
//! first.
#![allow(unsafe_code)]

use std::ops::Range;

use rayon::prelude::*;

use crate::cpu::scalar::CpuScalar;
use crate::shape::checked_size;
use crate::{BatchAxis, Gemm, Strides};

use blocked::{LONG_BLOCK_STEPS, MAX_BLOCK_STEPS};
use long::{MAX_BLOCKS, Totals};
use parts::{MAX_BATCH_PARTS, MAX_PARTIAL_ENTRIES};
use tile::{Dots, Kernel, Operand, Output, Shared};

pub(super) mod arena;
#[cfg(target_arch = "x86_64")]
mod avx512;
mod blocked;
mod dot;
mod element;
mod long;
mod pack;
pub(super) mod pairs;
pub(super) mod parts;
#[cfg(test)]
mod refusals;
pub(super) mod scatter;
pub(super) mod sparse;
#[cfg(test)]
mod tests;
mod tile;

pub use element::MatMul;
pub use pack::transpose;

macro_rules! matmul {
    ($elem:ty, $gemm:path, $name:ident) => {
        impl MatMul for $elem {
            #[inline]
            unsafe fn matmul(
                [m, k, n]: [usize; 3],
                alpha: Self,
                (a, sa): Operand<Self>,
                (b, sb): Operand<Self>,
                beta: Self,
                (c, sc): Output<Self>,
            ) {
                let [sa, sb, sc] = [sa, sb, sc].map(|s| s.map(|stride| stride as isize));
                // SAFETY: the caller's promise is exactly what `matrixmultiply` asks for.
                unsafe {
                    $gemm(m, k, n, alpha, a, sa[0], sa[1], b, sb[0], sb[1], beta, c, sc[0], sc[1])
                }
            }

            #[cfg(target_arch = "x86_64")]
            #[inline]
            fn kernel() -> Option<&'static Kernel<Self>> {
                is_x86_feature_detected!("avx512f").then_some(&avx512::$name)
            }

            #[cfg(not(target_arch = "x86_64"))]
            fn kernel() -> Option<&'static Kernel<Self>> {
                None
            }

            #[inline]
            fn dots() -> &'static Dots<Self> {
                #[cfg(target_arch = "x86_64")]
                if is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") {
                    return &dot::$name;
                }
                &Dots::PORTABLE
            }
        }
    };
}
matmul!(f32, matrixmultiply::sgemm, F32);
matmul!(f64, matrixmultiply::dgemm, F64);

/// Rows of one task's tile of C. Fixed, so that the partition never depends on the number of
/// threads. Not measured.
const TASK_ROWS: usize = 256;
/// Columns of one task's tile of C, fixed likewise. Not measured.
const TASK_COLUMNS: usize = 512;
/// Maximum rows of A for which a wide product is cut by columns alone: every task reads all of A
/// where it lies, and no task waits for another. Not measured.
const MAX_FLAT_ROWS: usize = 160;
/// Columns of one task of such a product. Not measured.
const FLAT_TASK_COLUMNS: usize = 128;
/// Minimum columns of C for which a product counts as wide: four tasks. Not measured.
const MIN_FLAT_COLUMNS: usize = 4 * FLAT_TASK_COLUMNS;
/// Minimum multiply-adds for which a product is split across threads; starting tasks costs more
/// than a smaller one takes. Not measured.
const MIN_PARALLEL_MULTIPLY_ADDS: usize = 1 << 16;
/// Minimum multiply-adds for which all threads share one product, each a large part of C. Not
/// measured.
const MIN_SHARED_MULTIPLY_ADDS: usize = 1 << 24;
/// Minimum entries of C of a shared product. Not measured.
const MIN_SHARED_ENTRIES: usize = 1 << 14;
/// Minimum rows, and minimum columns, of C of a shared product. Not measured.
const MIN_SHARED_SIDE: usize = 64;
/// Maximum parts that a long sum is cut into where C is too small to be shared. Not measured.
const MAX_SUM_PARTS: usize = 16;
/// Minimum steps of the sum in each of these parts. Not measured.
const MIN_PART_STEPS: usize = 1 << 10;
/// Minimum multiply-adds in each of these parts. Not measured.
const MIN_PART_MULTIPLY_ADDS: usize = 1 << 17;
/// Minimum steps of the sum for which entries are computed as dot products. Not measured.
const MIN_DOT_STEPS: usize = 64;
/// Maximum entries of C that are computed as dot products, unless C is one row or one column. Not
/// measured.
const MAX_DOT_ENTRIES: usize = 256;
/// Maximum rows of a symmetric product for which threads split a long sum rather than share C. Not
/// measured.
const MAX_SPLIT_SYMMETRIC_ROWS: usize = 512;
/// Rows of one task of a symmetric product that is neither shared nor split. Not measured.
const SYMMETRIC_STRIP_ROWS: usize = 256;

/// Runs the product that `g` describes on host slices.
///
/// # Panics
/// If `g` reads or writes outside a slice, or writes an entry of C twice.
#[track_caller]
pub fn gemm<E: CpuScalar>(g: &Gemm, a: &[E], b: &[E], c: &mut [E]) {
    checked(g, a, b, c, true);
}

/// The product, sums over batch axes in parts if they may be.
#[track_caller]
fn checked<E: CpuScalar>(g: &Gemm, a: &[E], b: &[E], c: &mut [E], in_parts: bool) {
    g.check(a.len(), b.len(), c.len());
    let is_kept = |axis: &BatchAxis| axis.c > 0 || axis.len == 1;
    let (kept, summed): (Vec<_>, Vec<_>) = g.batch.iter().copied().partition(is_kept);
    let (items, terms) = (count(&kept), count(&summed));
    if g.m == 0 || g.n == 0 || items == 0 {
        return;
    }
    let work = saturating([g.m, g.n, g.k.max(1), items, terms.max(1)]);
    if g.sparse
        && work >= MIN_PARALLEL_MULTIPLY_ADDS
        && terms > 0
        && sparse::product(g, a, sparse::Rows::Given(b), c)
    {
        return;
    }
    let tools = Tools::new();
    if items == 1 && terms == 1 && g.k > 0 && tools.whole(g, a, b, c) {
        return;
    }
    if in_parts && terms > 1 && g.k > 0 && sum_in_parts(g, &kept, &summed, a, b, c) {
        return;
    }
    let across = if flat(g.m, g.n) { FLAT_TASK_COLUMNS } else { TASK_COLUMNS };
    let tiles = Tiles {
        g,
        tools,
        kept: &kept,
        summed: &summed,
        terms,
        a: Shared::new(a.as_ptr().cast_mut()),
        b: Shared::new(b.as_ptr().cast_mut()),
        c: Shared::new(c.as_mut_ptr()),
        across,
        count: [g.m.div_ceil(TASK_ROWS), g.n.div_ceil(across)],
    };
    let tasks = items * tiles.per_item();
    if tasks == 1 || work < MIN_PARALLEL_MULTIPLY_ADDS {
        (0..tasks).for_each(|at| tiles.compute(at));
    } else {
        let share = (tasks.saturating_mul(MIN_PARALLEL_MULTIPLY_ADDS) / work).clamp(1, tasks);
        (0..tasks).into_par_iter().with_min_len(share).for_each(|at| tiles.compute(at));
    }
}

/// A product that [`Gemm::check`] has accepted, in tiles of C: for every item of the kept axes so
/// many, each of them a task of its own.
struct Tiles<'g, E: 'static> {
    g: &'g Gemm,
    tools: Tools<E>,
    kept: &'g [BatchAxis],
    summed: &'g [BatchAxis],
    terms: usize,
    a: Shared<E>,
    b: Shared<E>,
    c: Shared<E>,
    /// Columns of a tile.
    across: usize,
    /// Tiles along the rows and along the columns of one item's C.
    count: [usize; 2],
}

impl<E: CpuScalar> Tiles<'_, E> {
    fn per_item(&self) -> usize {
        self.count[0] * self.count[1]
    }

    /// Computes the tile of this number.
    #[inline]
    fn compute(&self, at: usize) {
        let (g, per_item) = (self.g, self.per_item());
        let (item, row, col) = if per_item == 1 {
            (at, 0, 0)
        } else {
            let tile = at % per_item;
            (at / per_item, tile / self.count[1] * TASK_ROWS, tile % self.count[1] * self.across)
        };
        let (rows, cols) = (TASK_ROWS.min(g.m - row), self.across.min(g.n - col));
        let (a0, b0, c0) = offset(self.kept, item);
        let (a0, b0) = (g.a.offset + a0 + row * g.a.row, g.b.offset + b0 + col * g.b.col);
        let c0 = g.c.offset + c0 + row * g.c.row + col * g.c.col;
        if self.terms == 0 || g.k == 0 {
            if !g.accumulate {
                self.clear(c0, rows, cols);
            }
            return;
        }
        // SAFETY: the tile of C is this task's own.
        let c = unsafe { self.c.get().add(c0) };
        let (dims, alpha) = ([rows, g.k, cols], E::of(g.alpha));
        let at_once = (MAX_BLOCKS / g.k.div_ceil(MAX_BLOCK_STEPS)).max(1);
        if self.terms <= at_once {
            self.add_terms(
                0..self.terms,
                dims,
                alpha,
                [a0, b0],
                g.accumulate,
                (c, [g.c.row, g.c.col]),
            );
            return;
        }
        let mut totals = Totals::new(rows * cols);
        for first in (0..self.terms).step_by(at_once) {
            let terms = first..self.terms.min(first + at_once);
            let piece = (totals.piece(), [cols, 1]);
            self.add_terms(terms, dims, E::one(), [a0, b0], false, piece);
            totals.add();
        }
        // SAFETY: as above.
        unsafe { blocked::write(totals, cols, alpha, g.accumulate, (c, [g.c.row, g.c.col])) };
    }

    /// Adds some terms of the sum over batch axes to `c`, or writes their sum with `add` off.
    #[inline]
    fn add_terms(
        &self,
        terms: Range<usize>,
        dims: [usize; 3],
        alpha: E,
        [a0, b0]: [usize; 2],
        add: bool,
        c: Output<E>,
    ) {
        let (g, first) = (self.g, terms.start);
        for term in terms {
            let (a1, b1, _) = offset(self.summed, term);
            let add = add || term > first;
            // SAFETY: `check` has shown that the whole product stays inside the slices; this is a
            // part of it. A and B are only read; C is the task's own.
            unsafe {
                let a = (self.a.get().add(a0 + a1), [g.a.row, g.a.col]);
                let b = (self.b.get().add(b0 + b1), [g.b.row, g.b.col]);
                self.tools.product(
                    dims,
                    alpha,
                    (a.0.cast_const(), a.1),
                    (b.0.cast_const(), b.1),
                    add,
                    c,
                    false,
                );
            }
        }
    }

    /// The tile of an empty sum, which begins at `c0`.
    fn clear(&self, c0: usize, rows: usize, cols: usize) {
        let g = self.g;
        for (i, j) in (0..rows).flat_map(|i| (0..cols).map(move |j| (i, j))) {
            // SAFETY: an entry of a task's own tile of C, inside it by `check`.
            unsafe { *self.c.get().add(c0 + i * g.c.row + j * g.c.col) = E::zero() };
        }
    }
}

/// Where the item of this number begins in A, B and C. Items of tiny products pay for every
/// division.
#[inline]
fn offset(axes: &[BatchAxis], mut at: usize) -> (usize, usize, usize) {
    let (mut a, mut b, mut c) = (0, 0, 0);
    for (level, axis) in axes.iter().enumerate().rev() {
        let mut i = at;
        if level > 0 {
            (i, at) = (at % axis.len, at / axis.len);
        }
        (a, b, c) = (a + i * axis.a, b + i * axis.b, c + i * axis.c);
    }
    (a, b, c)
}

/// The number of items of some batch axes.
fn count(axes: &[BatchAxis]) -> usize {
    axes.iter().map(|axis| axis.len).product()
}

/// The product of sizes that only says what is worth while: where operands are repeated, it may be
/// more than can be counted.
fn saturating<const N: usize>(sizes: [usize; N]) -> usize {
    sizes.into_iter().fold(1, usize::saturating_mul)
}

/// Whether A has few rows, and C many more columns.
fn flat(m: usize, n: usize) -> bool {
    m <= MAX_FLAT_ROWS && n >= MIN_FLAT_COLUMNS
}

/// Few large sums over batch axes, their terms in parts that threads compute on their own; whether
/// it was done.
fn sum_in_parts<E: CpuScalar>(
    g: &Gemm,
    kept: &[BatchAxis],
    summed: &[BatchAxis],
    a: &[E],
    b: &[E],
    c: &mut [E],
) -> bool {
    let (items, tiles) = (count(kept), g.m.div_ceil(TASK_ROWS) * g.n.div_ceil(TASK_COLUMNS));
    let [cut, inner @ ..] = summed else { return false };
    let entries = items * g.m * g.n;
    let work = saturating([entries, g.k, count(summed)]);
    let parts =
        cut.len.min(MAX_BATCH_PARTS / (items * tiles).max(1)).min(work / MIN_PART_MULTIPLY_ADDS);
    if parts < 2 || entries * parts > MAX_PARTIAL_ENTRIES {
        return false;
    }
    let len = cut.len.div_ceil(parts);
    let mut sums = vec![E::zero(); cut.len.div_ceil(len) * entries];
    sums.par_chunks_exact_mut(entries).enumerate().for_each(|(part, sums)| {
        let first = part * len;
        // The items side by side, and the terms from `first` on.
        let mut next = entries;
        let mut batch: Vec<BatchAxis> = Vec::with_capacity(kept.len() + summed.len());
        for axis in kept {
            next /= axis.len;
            batch.push(BatchAxis { c: next, ..*axis });
        }
        batch.push(BatchAxis { len: len.min(cut.len - first), ..*cut });
        batch.extend(inner);
        let (from_a, from_b) = (g.a.at(first * cut.a), g.b.at(first * cut.b));
        let part = Gemm {
            a: from_a,
            b: from_b,
            c: Strides::rows(g.n),
            batch,
            alpha: 1.0,
            accumulate: false,
            ..g.clone()
        };
        checked(&part, a, b, sums, false);
    });
    let whole = parts::add_up(&mut sums, entries);
    let (alpha, mut places) = (E::of(g.alpha), vec![g.c.offset]);
    for axis in kept {
        places =
            places.iter().flat_map(|&at| (0..axis.len).map(move |i| at + i * axis.c)).collect();
    }
    for (item, place) in places.into_iter().enumerate() {
        for (i, j) in (0..g.m).flat_map(|i| (0..g.n).map(move |j| (i, j))) {
            let sum = alpha * whole[(item * g.m + i) * g.n + j];
            let c = &mut c[place + i * g.c.row + j * g.c.col];
            *c = if g.accumulate { *c + sum } else { sum };
        }
    }
    true
}

/// The lower half of `C += A Aᵀ`, for `A: [r, d]` and `C: [r, r]`; what is above the diagonal may
/// change.
pub fn syrk<E: CpuScalar>(r: usize, d: usize, a: &[E], c: &mut [E]) {
    assert!(
        checked_size(&[r, d]).is_some_and(|size| size <= a.len())
            && checked_size(&[r, r]).is_some_and(|size| size <= c.len()),
        "symmetric product [{r}, {d}] of {} entries to {}",
        a.len(),
        c.len()
    );
    if r == 0 {
        return;
    }
    let tools = Tools::<E>::new();
    let (left, right) = ((a.as_ptr(), [d, 1]), (a.as_ptr(), [1, d]));
    // SAFETY: both matrices are inside their slices, and C is borrowed for writing.
    if unsafe {
        tools.together([r, d, r], E::one(), left, right, true, (c.as_mut_ptr(), [r, 1]), true)
    } {
        return;
    }
    c.par_chunks_mut(SYMMETRIC_STRIP_ROWS * r).enumerate().for_each(|(strip, c)| {
        let (first, len) = (strip * SYMMETRIC_STRIP_ROWS, c.len() / r);
        let g = Gemm {
            b: Strides::transposed(d),
            c: Strides::rows(r),
            ..Gemm::new(len, first + len, d)
        };
        gemm(&g.accumulating(), &a[first * d..][..len * d], a, c);
    });
}

/// What this machine computes products with.
#[derive(Clone, Copy)]
struct Tools<E: 'static> {
    kernel: Option<&'static Kernel<E>>,
    dots: &'static Dots<E>,
}

impl<E: CpuScalar> Tools<E> {
    fn new() -> Self {
        Tools { kernel: E::kernel(), dots: E::dots() }
    }

    /// The product of a batch of one by all threads, if it is one that they gain from sharing;
    /// whether it was computed. `g` has been [checked](Gemm::check).
    fn whole(self, g: &Gemm, a: &[E], b: &[E], c: &mut [E]) -> bool {
        // SAFETY: `check` has shown that the whole product stays inside the slices, and C is
        // borrowed for writing.
        unsafe {
            self.together(
                [g.m, g.k, g.n],
                E::of(g.alpha),
                (a.as_ptr().add(g.a.offset), [g.a.row, g.a.col]),
                (b.as_ptr().add(g.b.offset), [g.b.row, g.b.col]),
                g.accumulate,
                (c.as_mut_ptr().add(g.c.offset), [g.c.row, g.c.col]),
                false,
            )
        }
    }

    /// One product by all threads, if it is one that they gain from sharing; whether it was.
    ///
    /// # Safety
    /// As for [`MatMul::matmul`].
    unsafe fn together(
        self,
        [m, k, n]: [usize; 3],
        alpha: E,
        a: Operand<E>,
        b: Operand<E>,
        add: bool,
        c: Output<E>,
        lower: bool,
    ) -> bool {
        let work = saturating([m, n, k]);
        let parts = MAX_SUM_PARTS.min(k / MIN_PART_STEPS).min(work / MIN_PART_MULTIPLY_ADDS);
        let apart = lower && m <= MAX_SPLIT_SYMMETRIC_ROWS && parts == MAX_SUM_PARTS;
        if !apart
            && !flat(m, n)
            && work >= MIN_SHARED_MULTIPLY_ADDS
            && m * n >= MIN_SHARED_ENTRIES
            && m.min(n) >= MIN_SHARED_SIDE
        {
            if let Some(kernel) = self.kernel {
                // SAFETY: the caller's promise; the machine has the kernel's instructions.
                unsafe { kernel.shared([m, k, n], alpha, a, b, add, c, lower) };
                return true;
            }
        }
        if parts < 2 || !apart && (m > TASK_ROWS || n > TASK_COLUMNS) {
            return false;
        }
        let len = k.div_ceil(parts).next_multiple_of(16);
        let mut sums = vec![E::zero(); k.div_ceil(len) * m * n];
        let (sa, sb) = (a.1, b.1);
        let (a_ptr, b_ptr) = (Shared::new(a.0.cast_mut()), Shared::new(b.0.cast_mut()));
        sums.par_chunks_exact_mut(m * n).enumerate().for_each(|(part, sums)| {
            let first = part * len;
            let dims = [m, len.min(k - first), n];
            // SAFETY: steps of the sum from `first` on, into places of this part's own.
            unsafe {
                let (left, right) =
                    (a_ptr.get().add(first * sa[1]), b_ptr.get().add(first * sb[0]));
                self.product(
                    dims,
                    E::one(),
                    (left, sa),
                    (right, sb),
                    false,
                    (sums.as_mut_ptr(), [n, 1]),
                    lower,
                );
            }
        });
        let whole = parts::add_up(&mut sums, m * n);
        for (i, j) in (0..m).flat_map(|i| (0..n).map(move |j| (i, j))) {
            let sum = alpha * whole[i * n + j];
            // SAFETY: an entry of C.
            unsafe {
                let c = c.0.add(i * c.1[0] + j * c.1[1]);
                *c = if add { *c + sum } else { sum };
            }
        }
        true
    }

    /// The product on the calling thread, or at least its lower half. Outer products (k = 1) into
    /// contiguous rows are written directly.
    ///
    /// # Safety
    /// As for [`MatMul::matmul`].
    unsafe fn product(
        self,
        [m, k, n]: [usize; 3],
        alpha: E,
        (a, sa): Operand<E>,
        (b, sb): Operand<E>,
        add: bool,
        (c, sc): Output<E>,
        lower: bool,
    ) {
        if k == 1 && sb[1] == 1 && sc[1] == 1 && !add {
            for i in 0..m {
                // SAFETY: rows of B and C are contiguous here and valid by the caller's promise.
                let (factor, b, c) = unsafe {
                    (
                        alpha * *a.add(i * sa[0]),
                        std::slice::from_raw_parts(b, n),
                        std::slice::from_raw_parts_mut(c.add(i * sc[0]), n),
                    )
                };
                for (c, b) in c.iter_mut().zip(b) {
                    *c = factor * *b;
                }
            }
            return;
        }
        // SAFETY: the caller's promise; the machine has the tools' instructions.
        unsafe {
            let along = sa[1] == 1 && sb[0] == 1 && k >= MIN_DOT_STEPS;
            if along && (m * n <= MAX_DOT_ENTRIES || m == 1 || n == 1) {
                self.dots.product([m, k, n], alpha, (a, sa), (b, sb), add, (c, sc));
            } else if let Some(kernel) = self.kernel {
                kernel.product([m, k, n], alpha, (a, sa), (b, sb), add, (c, sc), lower);
            } else {
                portable([m, k, n], alpha, (a, sa), (b, sb), add, (c, sc));
            }
        }
    }
}

/// The product by `matrixmultiply`.
///
/// # Safety
/// As for [`MatMul::matmul`].
unsafe fn portable<E: CpuScalar>(
    [m, k, n]: [usize; 3],
    alpha: E,
    a: Operand<E>,
    b: Operand<E>,
    add: bool,
    c: Output<E>,
) {
    let piece = |k: usize, alpha: E, a, b, add: bool, c| {
        let beta = if add { E::one() } else { E::zero() };
        // SAFETY: a part of the caller's product.
        unsafe { E::matmul([m, k, n], alpha, a, b, beta, c) };
    };
    let longest = MAX_BLOCKS * LONG_BLOCK_STEPS;
    if k <= longest {
        return piece(k, alpha, a, b, add, c);
    }
    // SAFETY: the caller's promise.
    unsafe {
        blocked::in_pieces([m, k, n], alpha, a, b, add, c, longest, |k, a, b, c| {
            piece(k, E::one(), a, b, false, c);
        });
    }
}

//! The matrix product on the host: strided, batched, threaded, the same bits for any number of threads.
//!
//! This is the only module of the crate that may use `unsafe`: it hands raw pointers to `matrixmultiply` and lets threads write
//! disjoint tiles of one output. [`Gemm::check`] proves the bounds and the disjointness first.
#![allow(unsafe_code)]

use rayon::prelude::*;

use crate::{Gemm, Scalar};

/// The single-threaded strided product behind [`Scalar`].
pub trait MatMul: Sized + Copy {
    /// `C = alpha · A B + beta · C` with (row, column) strides.
    ///
    /// # Safety
    /// `a`, `b`, `c` must be valid for every entry that the dimensions and strides address, `c` exclusively so.
    unsafe fn matmul(
        dims: [usize; 3],
        alpha: Self,
        a: (*const Self, [usize; 2]),
        b: (*const Self, [usize; 2]),
        beta: Self,
        c: (*mut Self, [usize; 2]),
    );
}

macro_rules! matmul {
    ($elem:ty, $gemm:path) => {
        impl MatMul for $elem {
            #[inline]
            unsafe fn matmul(
                [m, k, n]: [usize; 3],
                alpha: Self,
                (a, sa): (*const Self, [usize; 2]),
                (b, sb): (*const Self, [usize; 2]),
                beta: Self,
                (c, sc): (*mut Self, [usize; 2]),
            ) {
                let [sa, sb, sc] = [sa, sb, sc].map(|s| s.map(|stride| stride as isize));
                // SAFETY: the caller's promise is exactly what `matrixmultiply` asks for.
                unsafe { $gemm(m, k, n, alpha, a, sa[0], sa[1], b, sb[0], sb[1], beta, c, sc[0], sc[1]) }
            }
        }
    };
}
matmul!(f32, matrixmultiply::sgemm);
matmul!(f64, matrixmultiply::dgemm);

/// Rows and columns of one task's tile of C. Fixed, so that the partition never depends on the number of threads.
const TILE: (usize, usize) = (256, 512);
/// Multiply-adds below which a product runs on the calling thread: starting tasks would cost more.
const SERIAL: usize = 1 << 16;

struct Shared<E>(*mut E);
// SAFETY: tasks write through the pointer at disjoint places only (`Gemm::check`), and the borrow of C outlives them.
unsafe impl<E: Send> Send for Shared<E> {}
// SAFETY: as above.
unsafe impl<E: Send> Sync for Shared<E> {}

impl<E> Shared<E> {
    fn get(&self) -> *mut E {
        self.0
    }
}

/// Runs the product that `g` describes on host slices.
///
/// # Panics
/// If `g` reads or writes outside a slice, or writes an entry of C twice.
#[track_caller]
pub fn gemm<E: Scalar>(g: &Gemm, a: &[E], b: &[E], c: &mut [E]) {
    g.check(a.len(), b.len(), c.len());
    let kept: Vec<_> = g.batch.iter().filter(|axis| axis.c > 0 || axis.len == 1).copied().collect();
    let summed: Vec<_> = g.batch.iter().filter(|axis| axis.c == 0 && axis.len != 1).copied().collect();
    let items: usize = kept.iter().map(|axis| axis.len).product();
    let terms: usize = summed.iter().map(|axis| axis.len).product();
    if g.m == 0 || g.n == 0 || items == 0 {
        return;
    }
    let tiles = (g.m.div_ceil(TILE.0), g.n.div_ceil(TILE.1));
    let per_item = tiles.0 * tiles.1;
    let (a_ptr, b_ptr, c_ptr) = (Shared(a.as_ptr().cast_mut()), Shared(b.as_ptr().cast_mut()), Shared(c.as_mut_ptr()));
    let offset = |axes: &[crate::BatchAxis], mut at: usize| {
        let (mut a, mut b, mut c) = (0, 0, 0);
        for axis in axes.iter().rev() {
            let i = at % axis.len;
            at /= axis.len;
            (a, b, c) = (a + i * axis.a, b + i * axis.b, c + i * axis.c);
        }
        (a, b, c)
    };
    let task = |at: usize| {
        let (item, tile) = (at / per_item, at % per_item);
        let (row, col) = (tile / tiles.1 * TILE.0, tile % tiles.1 * TILE.1);
        let (rows, cols) = (TILE.0.min(g.m - row), TILE.1.min(g.n - col));
        let (a0, b0, c0) = offset(&kept, item);
        let c0 = g.c.offset + c0 + row * g.c.row + col * g.c.col;
        let mut beta = if g.accumulate { E::one() } else { E::zero() };
        if terms == 0 || g.k == 0 {
            if !g.accumulate {
                for (i, j) in (0..rows).flat_map(|i| (0..cols).map(move |j| (i, j))) {
                    // SAFETY: an entry of this task's tile of C, inside it by `check`.
                    unsafe { *c_ptr.get().add(c0 + i * g.c.row + j * g.c.col) = E::zero() };
                }
            }
            return;
        }
        for term in 0..terms {
            let (a1, b1, _) = offset(&summed, term);
            let a0 = g.a.offset + a0 + a1 + row * g.a.row;
            let b0 = g.b.offset + b0 + b1 + col * g.b.col;
            // SAFETY: `check` has shown that the whole product stays inside the slices; this is a part of it. A and B are
            // only read; the tile of C is this task's own.
            unsafe {
                product(
                    [rows, g.k, cols],
                    E::of(g.alpha),
                    (a_ptr.get().add(a0), [g.a.row, g.a.col]),
                    (b_ptr.get().add(b0), [g.b.row, g.b.col]),
                    beta,
                    (c_ptr.get().add(c0), [g.c.row, g.c.col]),
                );
            }
            beta = E::one();
        }
    };
    let tasks = items * per_item;
    let work = (g.m * g.n * g.k.max(1)).saturating_mul(items).saturating_mul(terms.max(1));
    if tasks == 1 || work < SERIAL {
        (0..tasks).for_each(task);
    } else {
        let share = (tasks * SERIAL / work).clamp(1, tasks);
        (0..tasks).into_par_iter().with_min_len(share).for_each(task);
    }
}

/// One tile. Outer products (k = 1) into contiguous rows are written directly: packing them would cost more than the product.
///
/// # Safety
/// As for [`MatMul::matmul`].
unsafe fn product<E: Scalar>(
    [m, k, n]: [usize; 3],
    alpha: E,
    (a, sa): (*const E, [usize; 2]),
    (b, sb): (*const E, [usize; 2]),
    beta: E,
    (c, sc): (*mut E, [usize; 2]),
) {
    if k == 1 && sb[1] == 1 && sc[1] == 1 && beta == E::zero() {
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
    } else {
        // SAFETY: the caller's promise.
        unsafe { E::matmul([m, k, n], alpha, (a, sa), (b, sb), beta, (c, sc)) }
    }
}

//! Products of few entries and long sums, with both operands side by side along the sum: each entry
//! is a dot product.
//!
//! Long sums are cut into pieces whose results are added up in doubles: rounding does not grow with
//! the length. Nothing is packed, and what is loaded serves all entries of a tile. The lanes of a
//! sum and the order in which they are added up are the same for every entry, wherever it is in its
//! tile.

use super::tile::{DOTS_COLUMNS, DOTS_ROWS, Dots, DotsSums, Operand, Output};
use crate::cpu::scalar::CpuScalar;

/// Steps of a sum's piece. In lanes side by side, few roundings reach each of them.
const PIECE_STEPS: usize = 512;

impl<E: CpuScalar> Dots<E> {
    /// Tiles for any machine.
    pub const PORTABLE: Self = Dots([
        [portable::<E, 1, 1>, portable::<E, 1, 2>, portable::<E, 1, 3>, portable::<E, 1, 4>],
        [portable::<E, 2, 1>, portable::<E, 2, 2>, portable::<E, 2, 3>, portable::<E, 2, 4>],
        [portable::<E, 3, 1>, portable::<E, 3, 2>, portable::<E, 3, 3>, portable::<E, 3, 4>],
    ]);

    /// `C = alpha · A B`, or `C += alpha · A B`, on the calling thread.
    ///
    /// # Safety
    /// As for [`MatMul::matmul`](super::MatMul::matmul), with entries side by side along the sum;
    /// the processor must have the instructions of the tiles.
    pub unsafe fn product(
        &self,
        [m, k, n]: [usize; 3],
        alpha: E,
        (a, [a_row, _]): Operand<E>,
        (b, [_, b_col]): Operand<E>,
        add: bool,
        (c, [down, across]): Output<E>,
    ) {
        for row in (0..m).step_by(DOTS_ROWS) {
            let rows = DOTS_ROWS.min(m - row);
            for col in (0..n).step_by(DOTS_COLUMNS) {
                let cols = DOTS_COLUMNS.min(n - col);
                // SAFETY: these rows and columns are inside the operands, the places inside C.
                unsafe {
                    let (a, b) = (a.add(row * a_row), b.add(col * b_col));
                    let mut totals = [0.0; DOTS_ROWS * DOTS_COLUMNS];
                    for first in (0..k).step_by(PIECE_STEPS) {
                        let len = PIECE_STEPS.min(k - first);
                        let piece = self.0[rows - 1][cols - 1](
                            len,
                            (a.add(first), a_row),
                            (b.add(first), b_col),
                        );
                        totals.iter_mut().zip(piece).for_each(|(total, x)| *total += x.f64());
                    }
                    let sums = totals.map(E::of);
                    for (i, j) in (0..rows).flat_map(|i| (0..cols).map(move |j| (i, j))) {
                        let (c, x) = (
                            c.add((row + i) * down + (col + j) * across),
                            alpha * sums[DOTS_COLUMNS * i + j],
                        );
                        *c = if add { *c + x } else { x };
                    }
                }
            }
        }
    }
}

/// In eight lanes.
///
/// # Safety
/// The rows and columns must be valid.
unsafe fn portable<E: CpuScalar, const R: usize, const S: usize>(
    k: usize,
    (a, a_row): (*const E, usize),
    (b, b_col): (*const E, usize),
) -> DotsSums<E> {
    let mut sums = [E::zero(); DOTS_ROWS * DOTS_COLUMNS];
    for (i, j) in (0..R).flat_map(|i| (0..S).map(move |j| (i, j))) {
        // SAFETY: a row of A and a column of B.
        let (a, b) = unsafe {
            (
                std::slice::from_raw_parts(a.add(i * a_row), k),
                std::slice::from_raw_parts(b.add(j * b_col), k),
            )
        };
        let mut lanes = [E::zero(); 8];
        let (a, b) = (a.chunks_exact(8), b.chunks_exact(8));
        let rest: E = a.remainder().iter().zip(b.remainder()).map(|(a, b)| *a * *b).sum();
        for (a, b) in a.zip(b) {
            for (lane, (a, b)) in lanes.iter_mut().zip(a.iter().zip(b)) {
                *lane += *a * *b;
            }
        }
        sums[DOTS_COLUMNS * i + j] = lanes.into_iter().sum::<E>() + rest;
    }
    sums
}

#[cfg(target_arch = "x86_64")]
mod avx2 {
    use std::arch::x86_64::*;

    use super::{DOTS_COLUMNS, DOTS_ROWS, Dots, DotsSums};

    macro_rules! dots {
        ($elem:ty, $mask:ty, $lanes:literal, $tile:ident, $dots:ident,
         $zero:ident, $load:ident, $masked:ident, $fma:ident, $add:ident, $store:ident) => {
            /// `U` vectors of each sum in flight: a multiply-add takes longer than its turn.
            // SAFETY: the rows and columns must be valid; the processor must have AVX2 and FMA.
            #[target_feature(enable = "avx2,fma")]
            unsafe fn $tile<const R: usize, const S: usize, const U: usize>(
                k: usize,
                (a, a_row): (*const $elem, usize),
                (b, b_col): (*const $elem, usize),
            ) -> DotsSums<$elem> {
                // SAFETY: reads entries below `k`.
                unsafe {
                    let mut sums = [[[$zero(); S]; R]; U];
                    let (mut at, whole) = (0, k - k % $lanes);
                    while at + U * $lanes <= whole {
                        for u in 0..U {
                            let at = at + u * $lanes;
                            let mut right = [$zero(); S];
                            for j in 0..S {
                                right[j] = $load(b.add(j * b_col + at));
                            }
                            for i in 0..R {
                                let left = $load(a.add(i * a_row + at));
                                for j in 0..S {
                                    sums[u][i][j] = $fma(left, right[j], sums[u][i][j]);
                                }
                            }
                        }
                        at += U * $lanes;
                    }
                    while at < k {
                        let mut mask: [$mask; $lanes] = [0; $lanes];
                        for lane in 0..$lanes.min(k - at) {
                            mask[lane] = -1;
                        }
                        let mask = _mm256_loadu_si256(mask.as_ptr().cast());
                        for i in 0..R {
                            let left = $masked(a.add(i * a_row + at), mask);
                            for j in 0..S {
                                sums[0][i][j] =
                                    $fma(left, $masked(b.add(j * b_col + at), mask), sums[0][i][j]);
                            }
                        }
                        at += $lanes;
                    }
                    let mut out = [0.0; DOTS_ROWS * DOTS_COLUMNS];
                    for i in 0..R {
                        for j in 0..S {
                            let mut sum = sums[0][i][j];
                            for u in 1..U {
                                sum = $add(sum, sums[u][i][j]);
                            }
                            let mut lanes = [0.0; $lanes];
                            $store(lanes.as_mut_ptr(), sum);
                            let mut half = $lanes / 2;
                            while half > 0 {
                                for lane in 0..half {
                                    lanes[lane] += lanes[lane + half];
                                }
                                half /= 2;
                            }
                            out[DOTS_COLUMNS * i + j] = lanes[0];
                        }
                    }
                    out
                }
            }

            /// For AVX2 and FMA.
            pub static $dots: Dots<$elem> = Dots([
                [$tile::<1, 1, 4>, $tile::<1, 2, 4>, $tile::<1, 3, 4>, $tile::<1, 4, 2>],
                [$tile::<2, 1, 4>, $tile::<2, 2, 2>, $tile::<2, 3, 2>, $tile::<2, 4, 1>],
                [$tile::<3, 1, 4>, $tile::<3, 2, 2>, $tile::<3, 3, 1>, $tile::<3, 4, 1>],
            ]);
        };
    }

    #[rustfmt::skip]
    dots!(
        f32, i32, 8, single, F32, _mm256_setzero_ps, _mm256_loadu_ps, _mm256_maskload_ps,
        _mm256_fmadd_ps, _mm256_add_ps, _mm256_storeu_ps
    );
    #[rustfmt::skip]
    dots!(
        f64, i64, 4, double, F64, _mm256_setzero_pd, _mm256_loadu_pd, _mm256_maskload_pd,
        _mm256_fmadd_pd, _mm256_add_pd, _mm256_storeu_pd
    );
}
#[cfg(target_arch = "x86_64")]
pub use avx2::{F32, F64};

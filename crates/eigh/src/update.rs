//! The symmetric update of rank `2 nb` that follows a panel of reflectors.

use rayon::prelude::*;
use vivit_tensor::{Gemm, Scalar, Strides, gemm};

use crate::parallel::PARALLEL;

/// Rows of one task. Within squares of this size along the diagonal both triangles are updated.
pub(crate) const SQUARE: usize = 128;

/// `A −= Σⱼ vⱼ wⱼᵀ + wⱼ vⱼᵀ` for the rows above a panel with the vectors `v`, rows of length `n`;
/// `w` holds the vectors `w` in its first third.
pub(crate) fn update<E: Scalar>(leading: &mut [E], v: &[E], w: &mut [E], n: usize) {
    // One product with the rows v, w and w, v: the triangle is then read and written once.
    w.copy_within(..v.len(), 2 * v.len());
    w[v.len()..2 * v.len()].copy_from_slice(v);
    let nb = v.len() / n;
    let w = &*w;
    let part = |(k, rows): (usize, &mut [E])| {
        let first = k * SQUARE;
        let (m, cols) = (rows.len() / n, first + rows.len() / n);
        let product = Gemm {
            a: Strides { offset: nb * n + first, row: 1, col: n },
            b: Strides::rows(n),
            c: Strides::rows(n),
            ..Gemm::new(m, cols, 2 * nb)
        };
        gemm(&product.scaled(-1.0).accumulating(), w, w, rows);
    };
    if leading.len() < PARALLEL * n {
        leading.chunks_mut(SQUARE * n).enumerate().for_each(part);
    } else {
        leading.par_chunks_mut(SQUARE * n).enumerate().for_each(part);
    }
}

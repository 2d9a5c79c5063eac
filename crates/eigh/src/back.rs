//! Back-transformation: eigenvectors of the tridiagonal matrix become those of the matrix.
//!
//! With `A = Q T Qᵀ` and `Q = H_{n−1} ⋯ H₁`, a vector `z` of `T` gives `Q z`; with vectors in rows,
//! `Z ← Z H₁ H₂ ⋯ H_{n−1}`. The product of one block's reflectors is `I − Vᵀ S V` with the
//! [factor](crate::compact_wy) `S`, so that `Z ← Z − ((Z Vᵀ) S) V` consists of matrix products.
//! Strips of vectors pass through all blocks of reflectors independently of each other, and stay in
//! cache meanwhile. The same holds for `A = Q B Qᵀ` with a [band](crate::band) `B`.

use std::ops::Range;

use bytemuck::{cast_slice, cast_slice_mut};
use rayon::prelude::*;
use vivit_tensor::{Gemm, Matrix, Scalar, Strides, gemm, with_dtype};

use crate::compact_wy::{factor, triangle};
use crate::kernels::{Element, Rows, products, subtract};
use crate::parallel::PARALLEL;
use crate::tridiagonal::blocks;

/// Reflectors that are applied together to many vectors; at most [`MAX_BLOCK`].
///
/// [`MAX_BLOCK`]: crate::tridiagonal::MAX_BLOCK
const BLOCK: usize = 64;
/// The same for small matrices.
const SMALL_BLOCK: usize = 32;
/// The same for vectors one by one.
const TINY_BLOCK: usize = 16;
/// Number of vectors up to which each is transformed on its own, in tasks of [`GROUP`].
pub(crate) const FEW: usize = 24;
/// Vectors of one such task.
pub(crate) const GROUP: usize = 5;
/// Vectors of one strip at most.
const STRIP: usize = 256;

/// The reflectors of a reduction to lower bandwidth `width`, one in tridiagonal form: row `i` of
/// `rows` has the last entry of reflector `i` at column `i − width`, and zeros from there to the
/// end of what blocks read.
pub(crate) struct Reflectors<'a, E> {
    pub(crate) rows: &'a Matrix<E>,
    pub(crate) tau: &'a [E],
    pub(crate) width: usize,
}

impl<E: Scalar> Reflectors<'_, E> {
    /// Blocks of `size` rows, ascending, each with the number of columns that its reflectors
    /// occupy; of a band wider than one, no larger than its width.
    fn blocks(&self, size: usize) -> Vec<(Range<usize>, usize)> {
        let (n, width) = (self.rows.rows(), self.width);
        let size = if width > 1 { size.min(width) } else { size };
        blocks(n, size)
            .filter(|rows| rows.end > width)
            .map(|rows| (rows.clone(), rows.end - width))
            .collect()
    }

    /// Applies the reflectors to the rows of `z`.
    pub(crate) fn transform(&self, z: &mut Matrix<E>) {
        if z.rows() == 0 {
            return;
        }
        if z.rows() > FEW || z.cols() < PARALLEL {
            return together(self, z);
        }
        let (n, v, z) = (z.cols(), self.rows.as_slice(), z.as_mut_slice());
        let blocks = self.blocks(TINY_BLOCK);
        // The same type under its name as a value: the casts change nothing.
        with_dtype!(E::DTYPE, F => {
            each::<F>(n, &blocks, cast_slice(v), cast_slice(self.tau), cast_slice_mut(z))
        });
    }
}

/// Vectors of a strip: an even number of equal strips.
pub(crate) fn strip(vectors: usize) -> usize {
    vectors.div_ceil(2 * vectors.div_ceil(2 * STRIP))
}

/// Applies blocks of reflectors to strips of vectors.
fn together<E: Scalar>(reflectors: &Reflectors<E>, z: &mut Matrix<E>) {
    let (k, n) = (z.rows(), z.cols());
    let block = if n < PARALLEL { SMALL_BLOCK } else { BLOCK };
    let blocks = reflectors.blocks(block);
    let rows = |rows: &Range<usize>| &reflectors.rows.as_slice()[rows.start * n..];
    let triangle = |(range, cols): &(Range<usize>, usize)| {
        factor(rows(range), n, *cols, &reflectors.tau[range.clone()])
    };
    let apply = |z: &mut [E], triangles: &[Vec<E>]| {
        let k = z.len() / n;
        let (mut y, mut ys) = (vec![E::zero(); k * block], vec![E::zero(); k * block]);
        for ((range, cols), s) in blocks.iter().zip(triangles) {
            let (hi, nb, v) = (*cols, range.len(), rows(range));
            gemm(
                &Gemm { a: Strides::rows(n), b: Strides::transposed(n), ..Gemm::new(k, nb, hi) },
                z,
                v,
                &mut y,
            );
            gemm(&Gemm::new(k, nb, nb), &y, s, &mut ys);
            let product = Gemm { b: Strides::rows(n), c: Strides::rows(n), ..Gemm::new(k, hi, nb) };
            gemm(&product.scaled(-1.0).accumulating(), &ys, v, z);
        }
    };
    if n < PARALLEL {
        apply(z.as_mut_slice(), &blocks.iter().map(triangle).collect::<Vec<_>>());
    } else {
        let triangles: Vec<Vec<E>> = blocks.par_iter().map(triangle).collect();
        z.as_mut_slice().par_chunks_mut(strip(k) * n).for_each(|z| apply(z, &triangles));
    }
}

/// Applies blocks of reflectors, rows of `v: [n, n]`, to every row of `z: [k, n]` on its own, which
/// is faster for few vectors.
fn each<F: Element>(n: usize, blocks: &[(Range<usize>, usize)], v: &[F], tau: &[F], z: &mut [F]) {
    let of =
        |rows: &Range<usize>| Rows { entries: &v[rows.start * n..], stride: n, count: rows.len() };
    let triangle = |(rows, cols): &(Range<usize>, usize)| {
        let (lo, nb) = (rows.start, rows.len());
        let mut gram = vec![F::zero(); nb * nb];
        for (j, gram) in gram.chunks_exact_mut(nb).enumerate() {
            products(of(&(lo..lo + j)), &v[(lo + j) * n..][..*cols], gram);
        }
        triangle(&gram, &tau[rows.clone()])
    };
    let triangles: Vec<_> = blocks.par_iter().with_min_len(4).map(triangle).collect();
    z.par_chunks_mut(GROUP * n).for_each(|z| {
        for ((rows, cols), s) in blocks.iter().zip(&triangles) {
            let (nb, v) = (rows.len(), of(rows));
            for z in z.chunks_exact_mut(n) {
                let z = &mut z[..*cols];
                let (mut y, mut ys) = ([F::zero(); TINY_BLOCK], [F::zero(); TINY_BLOCK]);
                products(v, z, &mut y);
                for (&y, s) in y.iter().zip(s.chunks_exact(nb)) {
                    ys.iter_mut().zip(s).for_each(|(ys, &s)| *ys += y * s);
                }
                subtract(v, &ys, z);
            }
        }
    });
}

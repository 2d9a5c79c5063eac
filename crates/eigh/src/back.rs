//! Back-transformation: eigenvectors of the tridiagonal matrix become those of the matrix.
//!
//! With `A = Q T Qᵀ` and `Q = H_{n−1} ⋯ H₁`, a vector `z` of `T` gives `Q z`; with vectors in rows,
//! `Z ← Z H₁ H₂ ⋯ H_{n−1}`. The product of one panel's reflectors is `I − V S Vᵀ` with an upper
//! triangular `S` (Schreiber & Van Loan, SIAM J. Sci. Stat. Comput. 10 (1989) 53–57), so that `Z ←
//! Z − ((Z V) S) Vᵀ` consists of matrix products. Strips of vectors pass through all blocks of
//! reflectors independently of each other, and stay in cache meanwhile.

use std::ops::Range;

use bytemuck::{cast_slice, cast_slice_mut};
use rayon::prelude::*;
use vivit_tensor::{Gemm, Matrix, Scalar, Strides, gemm, with_dtype};

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
const FEW: usize = 24;
/// Vectors of one such task.
const GROUP: usize = 5;
/// Vectors of one strip at most.
const STRIP: usize = 256;

/// Applies the reflectors to the rows of `z`.
pub(crate) fn transform<E: Scalar>(reflectors: &Matrix<E>, tau: &[E], z: &mut Matrix<E>) {
    if z.rows() == 0 {
        return;
    }
    if z.rows() > FEW || z.cols() < PARALLEL {
        return together(reflectors, tau, z);
    }
    let (n, v, z) = (reflectors.rows(), reflectors.as_slice(), z.as_mut_slice());
    // The same type under its name as a value: the casts change nothing.
    with_dtype!(E::DTYPE, F => {
        each::<F>(n, cast_slice(v), cast_slice(tau), cast_slice_mut(z))
    });
}

/// Applies blocks of reflectors to strips of vectors.
fn together<E: Scalar>(reflectors: &Matrix<E>, tau: &[E], z: &mut Matrix<E>) {
    let (k, n) = (z.rows(), z.cols());
    let block = if n < PARALLEL { SMALL_BLOCK } else { BLOCK };
    let rows: Vec<_> = blocks(n, block).collect();
    let triangle = |rows: &Range<usize>| {
        let (v, tau, nb) =
            (&reflectors.as_slice()[rows.start * n..], &tau[rows.clone()], rows.len());
        let mut gram = vec![E::zero(); nb * nb];
        gemm(
            &Gemm { a: Strides::rows(n), b: Strides::transposed(n), ..Gemm::new(nb, nb, rows.end) },
            v,
            v,
            &mut gram,
        );
        triangle(&gram, tau)
    };
    let apply = |z: &mut [E], triangles: &[Vec<E>]| {
        let k = z.len() / n;
        let (mut y, mut ys) = (vec![E::zero(); k * block], vec![E::zero(); k * block]);
        for (rows, s) in rows.iter().zip(triangles) {
            let (hi, nb) = (rows.end, rows.len());
            let v = &reflectors.as_slice()[rows.start * n..];
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
        apply(z.as_mut_slice(), &rows.iter().map(triangle).collect::<Vec<_>>());
    } else {
        let triangles: Vec<Vec<E>> = rows.par_iter().map(triangle).collect();
        let strips = 2 * k.div_ceil(2 * STRIP);
        z.as_mut_slice().par_chunks_mut(k.div_ceil(strips) * n).for_each(|z| apply(z, &triangles));
    }
}

/// Applies blocks of reflectors, the rows of `v: [n, n]`, to every row of `z: [k, n]` on its own,
/// which is faster for few vectors.
fn each<F: Element>(n: usize, v: &[F], tau: &[F], z: &mut [F]) {
    let of =
        |rows: Range<usize>| Rows { entries: &v[rows.start * n..], stride: n, count: rows.len() };
    let triangle = |rows: Range<usize>| {
        let (lo, nb) = (rows.start, rows.len());
        let mut gram = vec![F::zero(); nb * nb];
        for (j, gram) in gram.chunks_exact_mut(nb).enumerate() {
            products(of(lo..lo + j), &v[(lo + j) * n..][..lo + j], gram);
        }
        (triangle(&gram, &tau[rows.clone()]), rows)
    };
    let blocks: Vec<_> = blocks(n, TINY_BLOCK).collect();
    let blocks: Vec<_> = blocks.into_par_iter().with_min_len(4).map(triangle).collect();
    z.par_chunks_mut(GROUP * n).for_each(|z| {
        for (s, rows) in &blocks {
            let (nb, v) = (rows.len(), of(rows.clone()));
            for z in z.chunks_exact_mut(n) {
                let z = &mut z[..rows.end];
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

/// The factor `S` of reflectors with scalar products `gram`, `vᵢ · vⱼ` at `(j, i)` for `i < j`:
/// `Sⱼⱼ = τⱼ`, and above it `−τⱼ S (Vᵀ vⱼ)`.
fn triangle<E: Scalar>(gram: &[E], tau: &[E]) -> Vec<E> {
    let nb = tau.len();
    let mut s = vec![E::zero(); nb * nb];
    for j in 0..nb {
        for i in 0..j {
            let sum: E = s[i * nb + i..i * nb + j]
                .iter()
                .zip(&gram[j * nb + i..j * nb + j])
                .map(|(&s, &g)| s * g)
                .sum();
            s[i * nb + j] = -tau[j] * sum;
        }
        s[j * nb + j] = tau[j];
    }
    s
}

//! Back-transformation: eigenvectors of the tridiagonal matrix become those of the matrix.
//!
//! With `A = Q T Qᵀ` and `Q = H_{n−1} ⋯ H₁`, a vector `z` of `T` gives `Q z`; with vectors in rows, `Z ← Z H₁ H₂ ⋯ H_{n−1}`. The
//! product of one panel's reflectors is `I − V S Vᵀ` with an upper triangular `S` (Schreiber & Van Loan, SIAM J. Sci. Stat. Comput.
//! 10 (1989) 53–57), so that `Z ← Z − ((Z V) S) Vᵀ` consists of matrix products.

//! Strips of vectors pass through all blocks of reflectors independently of each other, and stay in cache meanwhile.

use rayon::prelude::*;
use vivit_tensor::{Gemm, Matrix, Scalar, Strides, gemm};

use crate::tridiagonal::blocks;

/// Reflectors that are applied together to many vectors; at most [`MAX_BLOCK`].
///
/// [`MAX_BLOCK`]: crate::tridiagonal::MAX_BLOCK
const BLOCK: usize = 64;
/// Reflectors that are applied together to few vectors.
const SMALL_BLOCK: usize = 32;
/// Vectors of one strip at most.
const STRIP: usize = 256;
/// Size from which on tasks are worth while.
const PARALLEL: usize = 256;

/// Applies the reflectors to the rows of `z`.
pub(crate) fn transform<E: Scalar>(reflectors: &Matrix<E>, tau: &[E], z: &mut Matrix<E>) {
    let (k, n) = (z.rows(), z.cols());
    if k == 0 {
        return;
    }
    let block = if n >= PARALLEL && 4 * k >= n { BLOCK } else { SMALL_BLOCK };
    let rows: Vec<_> = blocks(n, block).collect();
    let triangle =
        |rows: &std::ops::Range<usize>| triangle(&reflectors.as_slice()[rows.start * n..], n, &tau[rows.clone()], rows.end);
    let apply = |z: &mut [E], triangles: &[Vec<E>]| {
        let k = z.len() / n;
        let (mut y, mut ys) = (vec![E::zero(); k * block], vec![E::zero(); k * block]);
        for (rows, s) in rows.iter().zip(triangles) {
            let (hi, nb) = (rows.end, rows.len());
            let v = &reflectors.as_slice()[rows.start * n..];
            gemm(&Gemm { a: Strides::rows(n), b: Strides::transposed(n), ..Gemm::new(k, nb, hi) }, z, v, &mut y);
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

/// The factor `S` of the reflectors in the first rows of `v`: `Sⱼⱼ = τⱼ`, and above it `−τⱼ S (Vᵀ vⱼ)`.
fn triangle<E: Scalar>(v: &[E], n: usize, tau: &[E], hi: usize) -> Vec<E> {
    let nb = tau.len();
    let mut gram = vec![E::zero(); nb * nb];
    gemm(&Gemm { a: Strides::rows(n), b: Strides::transposed(n), ..Gemm::new(nb, nb, hi) }, v, v, &mut gram);
    let mut s = vec![E::zero(); nb * nb];
    for j in 0..nb {
        for i in 0..j {
            let sum: E = s[i * nb + i..i * nb + j].iter().zip(&gram[j * nb + i..j * nb + j]).map(|(&s, &g)| s * g).sum();
            s[i * nb + j] = -tau[j] * sum;
        }
        s[j * nb + j] = tau[j];
    }
    s
}

//! Back-transformation: eigenvectors of the tridiagonal matrix become those of the matrix.
//!
//! With `A = Q T Qᵀ` and `Q = H_{n−1} ⋯ H₁`, a vector `z` of `T` gives `Q z`; with vectors in rows, `Z ← Z H₁ H₂ ⋯ H_{n−1}`. The
//! product of one panel's reflectors is `I − V S Vᵀ` with an upper triangular `S` (Schreiber & Van Loan, SIAM J. Sci. Stat. Comput.
//! 10 (1989) 53–57), so that `Z ← Z − ((Z V) S) Vᵀ` consists of matrix products.

use vivit_tensor::{Gemm, Matrix, Scalar, Strides, gemm};

use crate::tridiagonal::{PANEL, panels};

/// Applies the reflectors to the rows of `z`.
pub(crate) fn transform<E: Scalar>(reflectors: &Matrix<E>, tau: &[E], z: &mut Matrix<E>) {
    let (k, n) = (z.rows(), z.cols());
    let mut s = [E::zero(); PANEL * PANEL];
    let (mut y, mut ys) = (vec![E::zero(); k * PANEL], vec![E::zero(); k * PANEL]);
    for panel in panels(n) {
        let (lo, hi) = (panel.start, panel.end);
        let nb = hi - lo;
        let v = &reflectors.as_slice()[lo * n..];
        triangle(v, n, &tau[panel], hi, &mut s);
        let (rows, columns) = (Strides::rows(n), Strides::transposed(n));
        gemm(&Gemm { a: rows, b: columns, ..Gemm::new(k, nb, hi) }, z.as_slice(), v, &mut y);
        gemm(&Gemm::new(k, nb, nb), &y, &s, &mut ys);
        let product = Gemm { b: rows, c: rows, ..Gemm::new(k, hi, nb) };
        gemm(&product.scaled(-1.0).accumulating(), &ys, v, z.as_mut_slice());
    }
}

/// The factor `S` of the reflectors in the first rows of `v`: `Sⱼⱼ = τⱼ`, and above it `−τⱼ S (Vᵀ vⱼ)`.
fn triangle<E: Scalar>(v: &[E], n: usize, tau: &[E], hi: usize, s: &mut [E]) {
    let nb = tau.len();
    let mut gram = vec![E::zero(); nb * nb];
    gemm(&Gemm { a: Strides::rows(n), b: Strides::transposed(n), ..Gemm::new(nb, nb, hi) }, v, v, &mut gram);
    s[..nb * nb].fill(E::zero());
    for j in 0..nb {
        for i in 0..j {
            let sum: E = (i..j).map(|l| s[i * nb + l] * gram[l * nb + j]).sum();
            s[i * nb + j] = -tau[j] * sum;
        }
        s[j * nb + j] = tau[j];
    }
}

//! The product of several reflectors as one matrix.
//!
//! With reflectors `vⱼ` in the rows of `V`, `H₁ H₂ ⋯ = I − Vᵀ S V` with an upper triangular `S`
//! (Schreiber & Van Loan, SIAM J. Sci. Stat. Comput. 10 (1989) 53–57), and `⋯ H₂ H₁ = I − Vᵀ Sᵀ V`.

use vivit_tensor::{Gemm, Scalar, Strides, gemm};

/// The factor `S` of the reflectors in the rows of `v`, of which `cols` columns count, `stride`
/// apart.
pub(crate) fn factor<E: Scalar>(v: &[E], stride: usize, cols: usize, tau: &[E]) -> Vec<E> {
    let nb = tau.len();
    let mut gram = vec![E::zero(); nb * nb];
    let product = Gemm::new(nb, nb, cols);
    let product = Gemm { a: Strides::rows(stride), b: Strides::transposed(stride), ..product };
    gemm(&product, v, v, &mut gram);
    triangle(&gram, tau)
}

/// The factor `S` of reflectors with scalar products `gram`, `vᵢ · vⱼ` at `(j, i)` for `i < j`:
/// `Sⱼⱼ = τⱼ`, and above it `−τⱼ S (Vᵀ vⱼ)`.
pub(crate) fn triangle<E: Scalar>(gram: &[E], tau: &[E]) -> Vec<E> {
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

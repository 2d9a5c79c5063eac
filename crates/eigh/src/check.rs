//! The self-check of returned eigenpairs against the matrix they belong to.

use vivit_tensor::{Gemm, Matrix, Scalar, gemm};

use crate::Error;

/// A symmetric matrix kept for checking.
#[derive(Clone, Debug)]
pub(crate) struct Original<E> {
    /// Both triangles, divided by the power of two that the solver divides by.
    matrix: Matrix<E>,
    /// The Frobenius norm.
    norm: f64,
}

/// What residual and orthogonality may be at most for an `n × n` matrix.
fn bound<E: Scalar>(n: usize) -> f64 {
    10.0 * n as f64 * E::EPSILON.f64()
}

/// The larger one; not a number if one of them is not.
fn worse(a: f64, b: f64) -> f64 {
    if a >= b || a.is_nan() { a } else { b }
}

impl<E: Scalar> Original<E> {
    /// Copies the lower triangle.
    pub(crate) fn new(a: &Matrix<E>) -> Self {
        let matrix = Matrix::from_fn(a.rows(), a.rows(), |i, j| if j <= i { a[(i, j)] } else { a[(j, i)] });
        let norm = matrix.as_slice().iter().map(|x| x.f64() * x.f64()).sum::<f64>().sqrt();
        Original { matrix, norm }
    }

    /// Compares the values' sum with the trace and their sum of squares with that of the entries: O(n) after the copy.
    pub(crate) fn check_values(&self, values: &[f64]) -> Result<(), Error> {
        let n = values.len();
        let trace: f64 = (0..n).map(|i| self.matrix[(i, i)].f64()).sum();
        let sum: f64 = values.iter().sum();
        let norm = values.iter().map(|x| x * x).sum::<f64>().sqrt();
        let root = (n as f64).sqrt().max(1.0);
        let residual = worse((sum - trace).abs() / root, (norm - self.norm).abs()) / self.norm.max(f64::MIN_POSITIVE);
        if residual <= bound::<E>(n) {
            return Ok(());
        }
        Err(Error::Inaccurate { residual, orthogonality: 0.0, bound: bound::<E>(n) })
    }

    /// Computes residuals and scalar products of the vectors in rows: O(n² K).
    pub(crate) fn check_vectors(&self, values: &[f64], vectors: &Matrix<E>) -> Result<(), Error> {
        let (k, n) = (vectors.rows(), vectors.cols());
        let mut products = Matrix::<E>::zeros(k, k);
        gemm(&Gemm::nt(k, k, n), vectors.as_slice(), vectors.as_slice(), products.as_mut_slice());
        let mut orthogonality = 0.0;
        for (i, j) in (0..k).flat_map(|i| (0..k).map(move |j| (i, j))) {
            let expected = f64::from(u8::from(i == j));
            orthogonality = worse(orthogonality, (products[(i, j)].f64() - expected).abs());
        }
        let mut images = Matrix::<E>::zeros(k, n);
        gemm(&Gemm::new(k, n, n), vectors.as_slice(), self.matrix.as_slice(), images.as_mut_slice());
        let mut residual = 0.0;
        for (i, &value) in values.iter().enumerate() {
            let parts = images.row(i).iter().zip(vectors.row(i)).map(|(image, x)| image.f64() - value * x.f64());
            residual = worse(residual, parts.map(|r| r * r).sum::<f64>().sqrt());
        }
        residual /= self.norm.max(f64::MIN_POSITIVE);
        let bound = bound::<E>(n);
        if residual <= bound && orthogonality <= bound {
            return Ok(());
        }
        Err(Error::Inaccurate { residual, orthogonality, bound })
    }
}

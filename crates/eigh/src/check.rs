//! The self-check of returned eigenpairs against the matrix they belong to.

use vivit_tensor::{Gemm, Matrix, Scalar, gemm};

use crate::Error;

/// Vectors that are checked at a time.
const ROWS: usize = 256;

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
        let matrix =
            Matrix::from_fn(a.rows(), a.rows(), |i, j| if j <= i { a[(i, j)] } else { a[(j, i)] });
        let norm = matrix.as_slice().iter().map(|x| x.f64() * x.f64()).sum::<f64>().sqrt();
        Original { matrix, norm }
    }

    /// Compares the values' sum with the trace and their sum of squares with that of the entries:
    /// O(n) after the copy.
    pub(crate) fn check_values(&self, values: &[f64]) -> Result<(), Error> {
        let n = values.len();
        let trace: f64 = (0..n).map(|i| self.matrix[(i, i)].f64()).sum();
        let sum: f64 = values.iter().sum();
        let norm = values.iter().map(|x| x * x).sum::<f64>().sqrt();
        let root = (n as f64).sqrt().max(1.0);
        let residual = worse((sum - trace).abs() / root, (norm - self.norm).abs())
            / self.norm.max(f64::MIN_POSITIVE);
        if residual <= bound::<E>(n) {
            return Ok(());
        }
        Err(Error::Inaccurate { residual, orthogonality: 0.0, bound: bound::<E>(n) })
    }

    /// Computes residuals and scalar products of the vectors in rows, some rows at a time: O(n² K).
    pub(crate) fn check_vectors(&self, values: &[f64], vectors: &Matrix<E>) -> Result<(), Error> {
        let (k, n) = (vectors.rows(), vectors.cols());
        let (mut residual, mut orthogonality) = (0.0, 0.0);
        let mut images = vec![E::zero(); ROWS.min(k) * n];
        let mut products = vec![E::zero(); ROWS.min(k) * k];
        for first in (0..k).step_by(ROWS) {
            let rows = first..k.min(first + ROWS);
            let x = &vectors.as_slice()[first * n..rows.end * n];
            gemm(&Gemm::new(rows.len(), n, n), x, self.matrix.as_slice(), &mut images);
            // With themselves and the vectors before.
            let others = rows.end;
            gemm(&Gemm::nt(rows.len(), others, n), x, vectors.as_slice(), &mut products);
            for (i, (image, products)) in
                rows.zip(images.chunks_exact(n).zip(products.chunks_exact(others)))
            {
                let parts = image
                    .iter()
                    .zip(vectors.row(i))
                    .map(|(image, x)| image.f64() - values[i] * x.f64());
                residual = worse(residual, parts.map(|r| r * r).sum::<f64>().sqrt());
                for (j, product) in products.iter().enumerate() {
                    let expected = f64::from(u8::from(i == j));
                    orthogonality = worse(orthogonality, (product.f64() - expected).abs());
                }
            }
        }
        residual /= self.norm.max(f64::MIN_POSITIVE);
        let bound = bound::<E>(n);
        if residual <= bound && orthogonality <= bound {
            return Ok(());
        }
        Err(Error::Inaccurate { residual, orthogonality, bound })
    }
}

#[cfg(test)]
mod tests {
    use vivit_tensor::{Rng, Strides};

    use super::*;
    use crate::Real;
    use crate::{EighOptions, Householder, Reduction, Wanted};

    /// A Gram matrix of half rank.
    fn gram<E: Real>(n: usize) -> Matrix<E> {
        let x = Rng::new(n as u64).normal(n * n);
        let x: Vec<E> = x.into_iter().map(E::of).collect();
        let mut a = Matrix::zeros(n, n);
        gemm(
            &Gemm { a: Strides::rows(n), b: Strides::transposed(n), ..Gemm::new(n, n, n / 2) },
            &x,
            &x,
            a.as_mut_slice(),
        );
        a
    }

    #[track_caller]
    fn assert_refused<R: std::fmt::Debug>(what: &str, result: Result<R, Error>) {
        let Err(Error::Inaccurate { residual, orthogonality, bound }) = result else {
            panic!("{what}: {result:?}")
        };
        assert!(!(residual <= bound && orthogonality <= bound), "{what}");
    }

    /// All and some vectors.
    fn vectors<E: Real>(reduction: &Reduction<E>) -> [Result<Matrix<E>, Error>; 2] {
        let n = reduction.values().len();
        [reduction.vectors(&(0..n).collect::<Vec<_>>()), reduction.vectors(&[n - 1])]
    }

    fn assert_notices<E: Real>(n: usize) {
        let options = EighOptions::default().check(true);
        // Well above what is allowed, far below what a reader would notice.
        let error = E::of(200.0 * bound::<E>(n));
        let reduction = Reduction::<E>::with_options(gram(n), options).unwrap();
        vectors(&reduction).into_iter().for_each(|result| assert!(result.is_ok()));
        type Damage<E> = fn(&mut Reduction<E>, usize, E);
        let damages: [(&str, Damage<E>); 5] = [
            ("reflector", |r, n, error| r.householder.reflectors[(n - 1, 0)] += error),
            ("factor", |r, n, error| r.householder.tau[n - 1] += error),
            ("factor that is no number", |r, n, _| r.householder.tau[n - 1] = E::of(f64::NAN)),
            ("tridiagonal matrix", |r, _, _| r.householder.t.e.iter_mut().for_each(|e| *e *= 1.1)),
            ("values", |r, n, error| {
                let largest = r.values.values[n - 1];
                r.values.values.iter_mut().for_each(|value| *value += error.f64() * largest);
            }),
        ];
        for (what, damage) in damages {
            let mut damaged = reduction.clone();
            damage(&mut damaged, n, error);
            for (kind, result) in ["all", "one"].into_iter().zip(vectors(&damaged)) {
                assert_refused(&format!("{what}, {kind}, n = {n}, {}", E::NAME), result);
            }
        }
        let mut householder = Householder::<E>::new(gram(n), options, Wanted::Values).unwrap();
        householder.t.e.iter_mut().for_each(|e| *e *= 1.1);
        assert_refused("values", Reduction::of(householder));
    }

    #[test]
    fn wrong_results_are_refused() {
        for n in [12, 60, 300] {
            assert_notices::<f32>(n);
            assert_notices::<f64>(n);
        }
    }

    #[test]
    fn unchecked_results_are_not_refused() {
        let mut reduction =
            Reduction::<f64>::with_options(gram(20), EighOptions::default().check(false)).unwrap();
        reduction.householder.tau[19] += 1.0;
        assert!(vectors(&reduction).into_iter().all(|result| result.is_ok()));
    }
}

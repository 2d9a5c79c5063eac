//! A group's part of Gram space in host memory, in either precision.

use vivit_eigh::{Error as EighError, Real, Reduction};
use vivit_tensor::{Gemm, Matrix, Scalar, Strides};

/// Eigenvalues and what eigenvectors are made from, and `Vᵀg`.
#[derive(Debug)]
pub(crate) struct Space<E> {
    eigen: Reduction<E>,
    /// `Vᵀg`, `[R, N_grad]`, if gradients travelled.
    cross: Option<Matrix<E>>,
}

impl<E: Real> Space<E> {
    /// Of a Gram matrix `[R, R]`, whose lower half counts.
    pub fn new(gram: Matrix<E>, cross: Option<Matrix<E>>) -> Result<Self, EighError> {
        Ok(Space { eigen: Reduction::new(gram)?, cross })
    }

    /// `[N_grad, K]`: `(g_nᵀ V) ẽ_k`, each column times its factor.
    fn projections(&self, vectors: &Matrix<f64>, factors: &[f64]) -> Option<Matrix<f64>> {
        let (cross, k, r) = (self.cross.as_ref()?, vectors.rows(), vectors.cols());
        let n = cross.cols();
        // Exact: they came from this precision.
        let vectors: Vec<E> = vectors.as_slice().iter().map(|&e| E::of(e)).collect();
        let mut projections = Matrix::zeros(n, k);
        let g = Gemm { a: Strides::transposed(n), b: Strides::transposed(r), ..Gemm::new(n, k, r) };
        vivit_tensor::gemm(&g, cross.as_slice(), &vectors, projections.as_mut_slice());
        Some(Matrix::from_fn(n, k, |n, k| projections[(n, k)].f64() * factors[k]))
    }
}

/// [`Space`] in the graph's precision.
#[derive(Debug)]
pub(crate) enum HostSpace {
    /// Single.
    F32(Space<f32>),
    /// Double.
    F64(Space<f64>),
}

impl From<Space<f32>> for HostSpace {
    fn from(space: Space<f32>) -> Self {
        HostSpace::F32(space)
    }
}

impl From<Space<f64>> for HostSpace {
    fn from(space: Space<f64>) -> Self {
        HostSpace::F64(space)
    }
}

fn widened<E: Scalar>(matrix: Matrix<E>) -> Matrix<f64> {
    let (rows, cols) = (matrix.rows(), matrix.cols());
    Matrix::new(rows, cols, E::into_host(matrix.into_vec()).into_vec())
}

impl HostSpace {
    /// All eigenvalues, ascending.
    pub fn values(&self) -> Vec<f64> {
        match self {
            HostSpace::F32(space) => space.eigen.values().iter().map(|&x| f64::from(x)).collect(),
            HostSpace::F64(space) => space.eigen.values().to_vec(),
        }
    }

    /// Unit eigenvectors of these eigenvalues, `[K, R]`.
    pub fn vectors(&self, indices: &[usize]) -> Result<Matrix<f64>, EighError> {
        match self {
            HostSpace::F32(space) => space.eigen.vectors(indices).map(widened),
            HostSpace::F64(space) => space.eigen.vectors(indices).map(widened),
        }
    }

    /// `(g_nᵀ V) ẽ_k` times a factor per direction, `[N_grad, K]`, if gradients travelled.
    pub fn projections(&self, vectors: &Matrix<f64>, factors: &[f64]) -> Option<Matrix<f64>> {
        match self {
            HostSpace::F32(space) => space.projections(vectors, factors),
            HostSpace::F64(space) => space.projections(vectors, factors),
        }
    }
}

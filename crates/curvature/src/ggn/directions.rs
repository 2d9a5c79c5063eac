//! First- and second-order derivatives of every sample's loss along GGN eigenvectors.

use vivit_tensor::Matrix;

/// Directional derivatives of one parameter group along K chosen eigenvectors.
///
/// They speak of the unreduced losses `ℓ_n = s L_n` (s = N for a mean, 1 for a sum), so that for a
/// mean the average of [`lambdas`](Self::lambdas) over samples is the eigenvalue.
#[derive(Clone, Debug, PartialEq)]
pub struct DirectionalDerivatives {
    /// The chosen eigenvalues λ_k, `[K]`, in the criterion's order.
    pub eigenvalues: Vec<f64>,
    /// The chosen eigenvalues' positions among all, ascending ones.
    pub indices: Vec<usize>,
    /// The Gram matrix's unit eigenvectors ẽ_k, `[K, V·N_S]`; entry `v·N_S + n` belongs to column v
    /// of sample n.
    pub gram_eigenvectors: Matrix<f64>,
    /// First derivatives `γ[n, k] = e_kᵀ ∇ℓ_n`, `[N_grad, K]`. The sign of a direction is that of
    /// ẽ_k with its entry of largest magnitude positive.
    pub gammas: Matrix<f64>,
    /// Second derivatives `λ[n, k] = e_kᵀ ∇²ℓ_n e_k` in the GGN's approximation, `[N_ggn, K]`.
    pub lambdas: Matrix<f64>,
}

impl DirectionalDerivatives {
    /// Number of directions K.
    #[allow(clippy::len_without_is_empty)] // a criterion that chooses nothing is an error
    pub fn len(&self) -> usize {
        self.eigenvalues.len()
    }

    /// Mean over samples of γ, per direction: `[K]`.
    pub fn mean_gammas(&self) -> Vec<f64> {
        column_means(&self.gammas)
    }

    /// Mean over samples of λ, per direction: `[K]`.
    pub fn mean_lambdas(&self) -> Vec<f64> {
        column_means(&self.lambdas)
    }

    /// Variance over samples of γ (divided by their number), per direction: `[K]`.
    pub fn variance_gammas(&self) -> Vec<f64> {
        column_variances(&self.gammas)
    }

    /// Variance over samples of λ (divided by their number), per direction: `[K]`.
    pub fn variance_lambdas(&self) -> Vec<f64> {
        column_variances(&self.lambdas)
    }
}

fn column_variances(matrix: &Matrix<f64>) -> Vec<f64> {
    let n = matrix.rows();
    let variance = |(k, mean): (usize, f64)| {
        (0..n).map(|i| (matrix[(i, k)] - mean).powi(2)).sum::<f64>() / n as f64
    };
    column_means(matrix).into_iter().enumerate().map(variance).collect()
}

fn column_means(matrix: &Matrix<f64>) -> Vec<f64> {
    let n = matrix.rows();
    (0..matrix.cols()).map(|k| (0..n).map(|i| matrix[(i, k)]).sum::<f64>() / n as f64).collect()
}

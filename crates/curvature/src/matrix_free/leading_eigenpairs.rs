//! What searches for eigenpairs return.

use vivit_tensor::Tensor;

/// Eigenpairs at one end of an operator's spectrum: those that were asked for, or, in
/// [`Error::NoConvergence`](crate::Error::NoConvergence), what a search had of them when it ended.
#[derive(Clone, Debug)]
pub struct LeadingEigenpairs {
    /// The eigenvalues `[K]`, ascending.
    pub eigenvalues: Vec<f64>,
    /// The orthonormal eigenvectors `[K, D]`, the entry of largest magnitude positive.
    pub eigenvectors: Tensor,
    /// The residual norms `|A q − λ q|`, `[K]`: an eigenvalue lies at most so far from each of
    /// [`eigenvalues`](Self::eigenvalues).
    pub residuals: Vec<f64>,
    /// Products with vectors that were needed.
    pub products: usize,
}

impl LeadingEigenpairs {
    /// Sorts what was found in any order.
    pub(crate) fn ascending(
        eigenvalues: &[f64],
        eigenvectors: &Tensor,
        residuals: &[f64],
        products: usize,
    ) -> Self {
        let mut order: Vec<usize> = (0..eigenvalues.len()).collect();
        order.sort_by(|&i, &j| eigenvalues[i].total_cmp(&eigenvalues[j]));
        LeadingEigenpairs {
            eigenvalues: order.iter().map(|&i| eigenvalues[i]).collect(),
            eigenvectors: eigenvectors.index_select(0, &order),
            residuals: order.iter().map(|&i| residuals[i]).collect(),
            products,
        }
    }
}

/// Equal numbers; vectors that can't be read from their device equal none.
impl PartialEq for LeadingEigenpairs {
    fn eq(&self, other: &Self) -> bool {
        let vectors = |pairs: &Self| pairs.eigenvectors.to_vec().ok();
        self.eigenvalues == other.eigenvalues
            && self.residuals == other.residuals
            && self.products == other.products
            && vectors(self).is_some_and(|own| vectors(other).is_some_and(|other| own == other))
    }
}

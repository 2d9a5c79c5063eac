//! Leading eigenpairs by power iteration with deflation.

use vivit_tensor::{Device, Rng, Tensor};

use super::basis::{Basis, Products, normal, row_dots, row_norms, scale_rows, with_signs};
use super::dense::dense;
use super::leading_eigenpairs::LeadingEigenpairs;
use super::search::{at_least_one, check_search, unfinished};
use super::spectrum_end::SpectrumEnd;
use crate::{Error, LinearOperator};

vivit_tensor::options! {
    /// How [`power_iteration`] iterates.
    #[derive(Clone, Copy, Debug, PartialEq)]
    pub struct PowerIterationOptions {
        /// A pair counts as found if `|P A q − λ q| ≤ tolerance · |λ_1|`, P the projection off the
        /// pairs found before. Default: 1e-4.
        pub tolerance: f64 = 1e-4,
        /// Iterations per eigenpair, a product each. Default: 1000.
        pub max_iterations: usize = 1000,
        /// Seed of the starting vectors. Default: 0.
        pub seed: u64 = 0,
    }
}

/// The `k` eigenpairs of largest magnitude of a symmetric operator, one after the other, by power
/// iteration.
///
/// From a random unit vector v orthogonal to the eigenvectors found before,
///
/// ```text
/// w = A v      λ = ⟨v, w⟩      w ← P w = w − Σ_j q_j ⟨q_j, w⟩      v ← w / |w|
/// ```
///
/// until `|P w − λ v|` is small (Golub & Van Loan, *Matrix Computations*, 4th ed., section 8.2.1,
/// with deflation by projection). The error shrinks by `|λ_{k+1} / λ_k|` per product, so close
/// eigenvalues are slow, and two of the same magnitude and opposite signs never separate;
/// [`lanczos`](crate::lanczos) needs fewer products for the same accuracy, while this keeps only
/// `k + 3` vectors. Repeated eigenvalues are found with their multiplicity. An operator of at most
/// so many dimensions is made dense by D products and solved by [`eigh`](vivit_eigh::eigh).
///
/// Cost: a product and `4 k D` multiply-adds per iteration, and k products for the residuals that
/// are returned. The same seed gives the same bits on the same device.
///
/// ```
/// use vivit_curvature::{PowerIterationOptions, power_iteration};
/// use vivit_tensor::{Device, Tensor};
///
/// // Eigenvalues −1 and 3.
/// let a = Tensor::from_vec(&Device::cpu_f64(), [2, 2], vec![1.0, 2.0, 2.0, 1.0])?;
/// let pairs = power_iteration(&a, 2, &PowerIterationOptions::default().tolerance(1e-10))?;
/// assert!((pairs.eigenvalues[0] + 1.0).abs() < 1e-9);
/// assert!((pairs.eigenvalues[1] - 3.0).abs() < 1e-9);
/// # Ok::<(), vivit_curvature::Error>(())
/// ```
///
/// # Errors
/// If `k` is 0 or more than D, an option is out of range, or a product fails or is not finite. If
/// an eigenpair is not found in time, the error holds those that were found before, and the last
/// approximation ([`NoConvergence`](Error::NoConvergence)).
pub fn power_iteration(
    operator: &dyn LinearOperator,
    k: usize,
    options: &PowerIterationOptions,
) -> Result<LeadingEigenpairs, Error> {
    let mut products = Products::new(operator)?;
    let d = products.dim();
    check_search(k, d, options.tolerance)?;
    at_least_one("max_iterations", options.max_iterations)?;
    if d <= k + 3 && d <= options.max_iterations.saturating_mul(k) {
        return dense(products, k, SpectrumEnd::LargestMagnitude, 1, options.tolerance);
    }
    let mut rng = Rng::new(options.seed);
    let mut found = Basis::new(products.device(), k, d);
    let mut scale = 0.0f64;
    for _ in 0..k {
        let mut v = start(&found, products.device(), &mut rng)?;
        let mut iteration = 0;
        loop {
            let (mut w, norms) = products.apply(&v)?;
            iteration += 1;
            let value = row_dots(&v, &w)?[0];
            scale = scale.max(value.abs());
            found.project_out(&mut w)?;
            found.project_out(&mut w)?;
            let mut residual = w.clone();
            residual.axpy(-value, &v);
            let (residual, norm) = (row_norms(&residual)?[0], row_norms(&w)?[0]);
            let allowed = options.tolerance * scale;
            // Nothing but rounding along the found eigenvectors is left: v is in the null space.
            let null = norm <= 10.0 * w.dtype().epsilon() * norms[0].max(scale);
            if residual <= allowed || null {
                found.push_orthogonal(v, 0.0)?;
                break;
            }
            if iteration == options.max_iterations {
                found.push_orthogonal(v, 0.0)?;
                let pairs = pairs(&found, &mut products)?;
                return Err(unfinished("power iteration", k, pairs, allowed));
            }
            v = w.scale(norm.recip());
        }
    }
    pairs(&found, &mut products)
}

/// The rows of `found` as eigenpairs, with a product each for its residual.
fn pairs(found: &Basis, products: &mut Products<'_>) -> Result<LeadingEigenpairs, Error> {
    let vectors = found.slice(0, found.len());
    let (w, _) = products.apply(&vectors)?;
    let eigenvalues = row_dots(&vectors, &w)?;
    let mut residuals = w;
    residuals.axpy(-1.0, &scale_rows(&vectors, &eigenvalues)?);
    let residuals = row_norms(&residuals)?;
    Ok(LeadingEigenpairs::ascending(
        &eigenvalues,
        &with_signs(&vectors)?,
        &residuals,
        products.done,
    ))
}

/// A random unit vector orthogonal to the rows of `found`.
fn start(found: &Basis, device: &Device, rng: &mut Rng) -> Result<Tensor, Error> {
    let d = found.dim();
    loop {
        let mut v = normal(device, rng, 1, d)?;
        let before = row_norms(&v)?[0];
        found.project_out(&mut v)?;
        let once = row_norms(&v)?[0];
        v = v.scale(once.recip());
        found.project_out(&mut v)?;
        let norm = row_norms(&v)?[0];
        if once > 1e-3 * before / (d as f64).sqrt() && norm > 0.5 {
            return Ok(v.scale(norm.recip()));
        }
    }
}

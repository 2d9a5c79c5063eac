//! Stochastic Lanczos quadrature: an operator's spectrum as a few weighted points.

use vivit_eigh::eigh;
use vivit_tensor::{Matrix, Rng};

use super::basis::{Basis, Products, normal, row_dots, row_norms};
use super::search::at_least_one;
use super::trace::mean_with_error;
use crate::{Error, Estimate, LinearOperator};

vivit_tensor::options! {
    /// How [`LanczosQuadrature`] samples an operator.
    #[derive(Clone, Copy, Debug, PartialEq)]
    pub struct QuadratureOptions {
        /// Lanczos vectors (steps, points) per run; at least 2. Default: 128.
        pub vectors: usize = 128,
        /// Runs from independent random vectors. Default: 1.
        pub repeats: usize = 1,
        /// Keep all vectors of a run orthonormal. Without it a run keeps three vectors instead of
        /// all, at the price of repeated points with divided weights ("ghosts"), which does little
        /// harm to densities. Default: yes.
        pub reorthogonalize: bool = true,
        /// Seed of the starting vectors. Default: 0.
        pub seed: u64 = 0,
    }
}

/// A point of a quadrature.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Node {
    /// The Ritz value θ.
    pub value: f64,
    /// Its weight ω; the weights of a run sum to one.
    pub weight: f64,
    /// The Ritz pair's residual norm: an eigenvalue lies at most so far from the value (in exact
    /// arithmetic).
    pub residual: f64,
}

/// Weighted points that stand for the spectrum of an operator: stochastic Lanczos quadrature.
///
/// A run of m Lanczos steps from a random unit vector v (normal, normalised) gives a tridiagonal
/// matrix `T = Q A Qᵀ`: `[m, m]`. With its eigenpairs `T y_l = θ_l y_l`,
///
/// ```text
/// vᵀ f(A) v ≈ Σ_l ω_l f(θ_l)      ω_l = y_l[0]²
/// ```
///
/// which is exact for polynomials of degree up to 2m − 1 (Golub & Welsch, *Calculation of Gauss
/// quadrature rules*, Math. Comp. 23, 1969), and `E[vᵀ f(A) v] = tr f(A) / D` (Ubaru, Chen & Saad,
/// *Fast estimation of tr(f(A)) via stochastic Lanczos quadrature*, SIAM J. Matrix Anal. Appl.
/// 38(4), 2017). A run that reaches an invariant subspace has fewer points, and is exact for every
/// f.
///
/// Cost: m products per run; with re-orthogonalisation memory for `m + 2` vectors and `4 m² D`
/// multiply-adds, one run after the other. Densities with any options and traces of functions are
/// then free: see [`density`](Self::density), [`log_density`](Self::log_density) and
/// [`trace`](Self::trace).
#[derive(Clone, Debug, PartialEq)]
pub struct LanczosQuadrature {
    pub(crate) dim: usize,
    pub(crate) vectors: usize,
    pub(crate) products: usize,
    /// What rounding makes of a zero, relative to the largest value.
    pub(crate) rounding: f64,
    pub(crate) runs: Vec<Vec<Node>>,
}

impl LanczosQuadrature {
    /// Runs Lanczos from [`repeats`](QuadratureOptions::repeats) random vectors.
    ///
    /// ```
    /// use vivit_curvature::{LanczosQuadrature, QuadratureOptions};
    /// use vivit_tensor::{Device, Tensor};
    ///
    /// // Eigenvalues 1 and 3.
    /// let a = Tensor::from_vec(&Device::cpu_f64(), [2, 2], [2.0, 1.0, 1.0, 2.0])?;
    /// let points = LanczosQuadrature::new(&a, &QuadratureOptions::default().repeats(100))?;
    /// let log_det = points.trace(f64::ln);
    /// assert!((log_det.value - 3f64.ln()).abs() < 5.0 * log_det.standard_error.unwrap());
    /// # Ok::<(), vivit_curvature::Error>(())
    /// ```
    ///
    /// # Errors
    /// If an option is out of range, or a product fails or is not finite.
    pub fn new(operator: &dyn LinearOperator, options: &QuadratureOptions) -> Result<Self, Error> {
        if options.vectors < 2 {
            return Err(Error::InvalidOption {
                name: "vectors",
                value: options.vectors as f64,
                allowed: "at least 2".into(),
            });
        }
        at_least_one("repeats", options.repeats)?;
        let mut products = Products::new(operator)?;
        let mut rng = Rng::new(options.seed);
        let runs: Vec<Vec<Node>> = (0..options.repeats)
            .map(|_| run(&mut products, options, &mut rng))
            .collect::<Result<_, Error>>()?;
        let rounding = 100.0 * operator.device().dtype().epsilon();
        Ok(LanczosQuadrature {
            dim: products.dim(),
            vectors: options.vectors,
            products: products.done,
            rounding,
            runs,
        })
    }

    /// The points of each run, ascending.
    pub fn runs(&self) -> &[Vec<Node>] {
        &self.runs
    }

    /// Products with vectors that were needed.
    pub fn products(&self) -> usize {
        self.products
    }

    /// `tr f(A) ≈ D / R · Σ_r Σ_l ω_rl f(θ_rl)`, with the standard error over the R runs.
    ///
    /// `f = ln` gives the logarithm of the determinant of a positive definite operator, `f(λ) = λ /
    /// (λ + δ)` its effective dimension.
    pub fn trace(&self, f: impl Fn(f64) -> f64) -> Estimate {
        let of_run = |run: &Vec<Node>| {
            self.dim as f64 * run.iter().map(|node| node.weight * f(node.value)).sum::<f64>()
        };
        let (value, standard_error) =
            mean_with_error(&self.runs.iter().map(of_run).collect::<Vec<f64>>());
        Estimate { value, standard_error, products: self.products }
    }
}

/// One run: the three-term recurrence `β_j q_{j+1} = A q_j − α_j q_j − β_{j−1} q_{j−1}`.
fn run(
    products: &mut Products<'_>,
    options: &QuadratureOptions,
    rng: &mut Rng,
) -> Result<Vec<Node>, Error> {
    let (device, d, steps) =
        (products.device(), products.dim(), options.vectors.min(products.dim()));
    let mut v = normal(device, rng, 1, d)?;
    v = v.scale(row_norms(&v)?[0].recip());
    let mut basis = options.reorthogonalize.then(|| Basis::new(device, steps, d));
    if let Some(basis) = &mut basis {
        basis.push(&v, 0, 1.0);
    }
    let (mut alphas, mut betas): (Vec<f64>, Vec<f64>) = (Vec::new(), Vec::new());
    let mut before = None;
    let mut norm = 0.0f64;
    // The last β is that of the direction beyond the last vector: it gives residuals.
    let last = loop {
        let (mut w, norms) = products.apply(&v)?;
        norm = norm.max(norms[0]);
        let floor = 10.0 * w.dtype().epsilon() * norm;
        let alpha = row_dots(&w, &v)?[0];
        alphas.push(alpha);
        w.axpy(-alpha, &v);
        if let (Some(before), Some(&beta)) = (&before, betas.last()) {
            w.axpy(-beta, before);
        }
        let done = alphas.len() == steps;
        let beta = match &mut basis {
            Some(basis) if done => {
                basis.project_out(&mut w)?;
                row_norms(&w)?[0]
            }
            Some(basis) => {
                let (_, beta) = basis.push_orthogonal(w, floor)?;
                if beta > 0.0 {
                    v = basis.copy(alphas.len());
                }
                beta
            }
            None => {
                let beta = row_norms(&w)?[0];
                before = Some(v);
                v = w.scale(if beta > floor { beta.recip() } else { 1.0 });
                beta
            }
        };
        if done || beta <= floor {
            // All of the space, or a subspace that the operator maps to itself: nothing lies
            // beyond.
            let nothing = beta <= floor || (basis.is_some() && alphas.len() == d);
            break if nothing { 0.0 } else { beta };
        }
        betas.push(beta);
    };
    let m = alphas.len();
    let t = Matrix::from_fn(m, m, |i, j| match i.abs_diff(j) {
        0 => alphas[i],
        1 => betas[i.min(j)],
        _ => 0.0,
    });
    let eigen = eigh(t).map_err(|source| Error::Projection { source })?;
    let node = |l: usize| Node {
        value: eigen.values[l],
        weight: eigen.vectors[(l, 0)].powi(2),
        residual: last * eigen.vectors[(l, m - 1)].abs(),
    };
    Ok((0..m).map(node).collect())
}

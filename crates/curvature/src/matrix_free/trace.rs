//! Stochastic estimates of an operator's trace and diagonal.

use vivit_tensor::{Device, Rng, Tensor, Unary};

use super::basis::{Basis, Products, row_dots};
use super::search::at_least_one;
use crate::{Error, LinearOperator};

/// What random vectors are drawn from; both have `E[v vᵀ] = I`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum ProbeVectors {
    /// Entries ±1 with equal probability: the smallest variance, and exact for diagonal operators.
    #[default]
    Rademacher,
    /// Standard normal entries.
    Gaussian,
}

impl ProbeVectors {
    /// `[k, d]`.
    fn draw(self, device: &Device, rng: &mut Rng, k: usize, d: usize) -> Result<Tensor, Error> {
        let data = match self {
            ProbeVectors::Rademacher => {
                (0..k * d).map(|_| if rng.unit() < 0.5 { -1.0 } else { 1.0 }).collect::<Vec<f64>>()
            }
            ProbeVectors::Gaussian => rng.normal(k * d),
        };
        Ok(Tensor::from_vec(device, [k, d], data)?)
    }
}

vivit_tensor::options! {
    /// How traces and diagonals are estimated.
    #[derive(Clone, Copy, Debug, PartialEq)]
    pub struct TraceOptions {
        /// Products with vectors to spend. Default: 100.
        pub vectors: usize = 100,
        /// What the random vectors are drawn from. Default: [`ProbeVectors::Rademacher`].
        pub probes: ProbeVectors = ProbeVectors::Rademacher,
        /// Vectors to multiply at a time: memory for three times as many. Random vectors do not
        /// depend on it. Default: 16.
        pub batch: usize = 16,
        /// Seed of the random vectors. Default: 0.
        pub seed: u64 = 0,
    }
}

impl TraceOptions {
    fn check(&self) -> Result<(), Error> {
        at_least_one("vectors", self.vectors)?;
        at_least_one("batch", self.batch)
    }
}

/// An estimated number.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Estimate {
    /// The estimate.
    pub value: f64,
    /// Its standard error, estimated from the spread of its terms; none of a single term. 0 if the
    /// value is exact up to rounding.
    pub standard_error: Option<f64>,
    /// Products with vectors that were needed.
    pub products: usize,
}

/// An estimated diagonal.
#[derive(Clone, Debug)]
pub struct DiagonalEstimate {
    /// The estimate, `[D]`.
    pub diagonal: Tensor,
    /// The standard error of each entry, `[D]`, estimated from the spread of its terms; none of a
    /// single term.
    pub standard_error: Option<Tensor>,
    /// Products with vectors that were needed.
    pub products: usize,
}

/// The mean of numbers and its standard error.
pub(crate) fn mean_with_error(terms: &[f64]) -> (f64, Option<f64>) {
    let m = terms.len() as f64;
    let mean = terms.iter().sum::<f64>() / m;
    let spread = terms.iter().map(|term| (term - mean).powi(2)).sum::<f64>();
    (mean, (terms.len() > 1).then(|| (spread / (m - 1.0) / m).sqrt()))
}

/// Hutchinson's estimate of the trace: the mean of `vᵀ A v` over m =
/// [`vectors`](TraceOptions::vectors) random vectors (Hutchinson, *A stochastic estimator of the
/// trace of the influence matrix for Laplacian smoothing splines*, Commun. Stat. Simul. Comput.
/// 18(3), 1989).
///
/// It is unbiased, with variance `2/m · Σ_{i≠j} A_ij²` for Rademacher and `2/m · Σ_ij A_ij²` for
/// Gaussian vectors, so the error falls with `1/√m`. Cost: m products, memory for three batches of
/// vectors.
///
/// ```
/// use vivit_curvature::{TraceOptions, hutchinson_trace};
/// use vivit_tensor::{Device, Tensor};
///
/// let a = Tensor::from_vec(&Device::cpu_f64(), &[2, 2], &[2.0, 1.0, 1.0, 3.0])?;
/// let trace = hutchinson_trace(&a, &TraceOptions::default().vectors(1000))?;
/// assert!((trace.value - 5.0).abs() < 5.0 * trace.standard_error.unwrap());
/// # Ok::<(), vivit_curvature::Error>(())
/// ```
///
/// # Errors
/// If an option is out of range, or a product fails or is not finite.
pub fn hutchinson_trace(
    operator: &dyn LinearOperator,
    options: &TraceOptions,
) -> Result<Estimate, Error> {
    options.check()?;
    let mut products = Products::new(operator)?;
    let mut rng = Rng::new(options.seed);
    let mut terms = Vec::with_capacity(options.vectors);
    for size in batches(options.vectors, options.batch) {
        let v = options.probes.draw(products.device(), &mut rng, size, products.dim())?;
        terms.extend(row_dots(&v, &products.apply(&v)?.0)?);
    }
    let (value, standard_error) = mean_with_error(&terms);
    Ok(Estimate { value, standard_error, products: products.done })
}

/// The trace by Hutch++: exactly in a subspace that A maps random vectors to, by Hutchinson's
/// estimator in the rest (Meyer, Musco, Musco & Woodruff, *Hutch++: Optimal stochastic trace
/// estimation*, SOSA 2021, algorithm 1).
///
/// With m = [`vectors`](TraceOptions::vectors) products in all, `s = ⌊m/3⌋` random vectors S and Q
/// an orthonormal basis (in rows) of `A S`,
///
/// ```text
/// tr A ≈ tr(Q A Qᵀ) + 1/g Σ_{i ≤ g} v_iᵀ P A P v_i        P = I − Qᵀ Q,   g = m − s − rank(A S)
/// ```
///
/// It is unbiased; for positive semi-definite A the error falls with `1/m` rather than `1/√m`, and
/// it is exact if the rank of A is at most `m/3`: the estimate then has standard error 0 up to
/// rounding. The standard error is that of the second term, given Q. Cost: m products, memory for
/// `m/3` vectors and three batches, `(2/9) m² D` multiply-adds for Q.
///
/// ```
/// use vivit_curvature::{TraceOptions, hutch_plus_plus};
/// use vivit_tensor::{Device, Tensor};
///
/// let ones = Tensor::full(&Device::cpu_f64(), [50, 50], 1.0); // rank 1
/// let trace = hutch_plus_plus(&ones, &TraceOptions::default().vectors(6))?;
/// assert!((trace.value - 50.0).abs() < 1e-10);
/// # Ok::<(), vivit_curvature::Error>(())
/// ```
///
/// # Errors
/// If there are fewer than 3 vectors, an option is out of range, or a product fails or is not
/// finite.
pub fn hutch_plus_plus(
    operator: &dyn LinearOperator,
    options: &TraceOptions,
) -> Result<Estimate, Error> {
    options.check()?;
    let mut products = Products::new(operator)?;
    let (m, d) = (options.vectors, products.dim());
    if m < 3 {
        let allowed = "at least 3: a third each for the subspace, its trace and the rest".into();
        return Err(Error::InvalidOption { name: "vectors", value: m as f64, allowed });
    }
    let (device, mut rng) = (products.device(), Rng::new(options.seed));
    let sketch = (m / 3).min(d);
    let mut basis = Basis::new(device, sketch, d);
    let mut largest = 0.0f64;
    for size in batches(sketch, options.batch) {
        let (mut w, norms) = products.apply(&options.probes.draw(device, &mut rng, size, d)?)?;
        largest = norms.into_iter().fold(largest, f64::max);
        let floor = 10.0 * device.dtype().epsilon() * largest;
        basis.project_out(&mut w)?;
        for i in 0..size {
            basis.push_orthogonal(w.slice(i, i + 1), floor)?;
        }
    }
    let rank = basis.len();
    let mut inside = 0.0;
    let mut first = 0;
    for size in batches(rank, options.batch) {
        let q = basis.slice(first, first + size);
        inside += row_dots(&q, &products.apply(&q)?.0)?.iter().sum::<f64>();
        first += size;
    }
    if rank == d {
        return Ok(Estimate { value: inside, standard_error: Some(0.0), products: products.done });
    }
    let mut terms = Vec::new();
    for size in batches(m - sketch - rank, options.batch) {
        let mut v = options.probes.draw(device, &mut rng, size, d)?;
        basis.project_out(&mut v)?;
        terms.extend(row_dots(&v, &products.apply(&v)?.0)?);
    }
    let (outside, standard_error) = mean_with_error(&terms);
    Ok(Estimate { value: inside + outside, standard_error, products: products.done })
}

/// The diagonal of A: the mean of `v ∘ A v` over m = [`vectors`](TraceOptions::vectors) random
/// vectors (Bekas, Kokiopoulou & Saad, *An estimator for the diagonal of a matrix*, Appl. Numer.
/// Math. 57, 2007, equation 3, with the divisor `Σ v ∘ v` replaced by its expectation m).
///
/// It is unbiased; entry i has variance `1/m · Σ_{j≠i} A_ij²` for Rademacher vectors, and `A_ii² /
/// m + 1/m · Σ_j A_ij²` for Gaussian ones. Cost: m products, memory for three batches of vectors.
///
/// ```
/// use vivit_curvature::{TraceOptions, hutchinson_diagonal};
/// use vivit_tensor::{Device, Tensor};
///
/// let a = Tensor::from_vec(&Device::cpu_f64(), &[2, 2], &[2.0, 0.1, 0.1, 3.0])?;
/// let estimate = hutchinson_diagonal(&a, &TraceOptions::default().vectors(1000))?;
/// let diagonal = estimate.diagonal.to_vec()?;
/// assert!((diagonal[0] - 2.0).abs() < 0.02 && (diagonal[1] - 3.0).abs() < 0.02);
/// # Ok::<(), vivit_curvature::Error>(())
/// ```
///
/// # Errors
/// If an option is out of range, or a product fails or is not finite.
pub fn hutchinson_diagonal(
    operator: &dyn LinearOperator,
    options: &TraceOptions,
) -> Result<DiagonalEstimate, Error> {
    options.check()?;
    let mut products = Products::new(operator)?;
    let (device, d) = (products.device(), products.dim());
    let mut rng = Rng::new(options.seed);
    let (mut mean, mut spread) = (Tensor::zeros(device, [d]), Tensor::zeros(device, [d]));
    let mut done = 0.0;
    for size in batches(options.vectors, options.batch) {
        let v = options.probes.draw(device, &mut rng, size, d)?;
        let terms = products.apply(&v)?.0.mul(&v);
        // Means and sums of squared deviations of two samples together (Chan, Golub & LeVeque,
        // 1979): nothing cancels.
        let new = size as f64;
        let own = terms.sum(0).scale(new.recip());
        spread.axpy(1.0, &terms.sub(&own).unary(Unary::Square).sum(0));
        let shift = own.sub(&mean);
        spread.axpy(done * new / (done + new), &shift.unary(Unary::Square));
        mean.axpy(new / (done + new), &shift);
        done += new;
    }
    let standard_error = (options.vectors > 1)
        .then(|| spread.scale((done * (done - 1.0)).recip()).unary(Unary::Sqrt));
    Ok(DiagonalEstimate { diagonal: mean, standard_error, products: products.done })
}

/// `total` in batches of at most `batch`.
fn batches(total: usize, batch: usize) -> impl Iterator<Item = usize> {
    (0..total).step_by(batch).map(move |first| batch.min(total - first))
}

//! Methods that know an operator by its products, against spectra, traces and diagonals that are
//! known otherwise.

use vivit::curvature::{
    Error, LanczosOptions, LanczosQuadrature, LeadingEigenpairs, LinearOperator,
    PowerIterationOptions, QuadratureOptions, SpectrumEnd, TraceOptions, hutch_plus_plus,
    hutchinson_diagonal, hutchinson_trace, lanczos, power_iteration,
};
use vivit::tensor::{Device, Matrix, Rng, Tensor};
use vivit_tests::zoo::host;

mod lanczos;
mod power_iteration;
mod refusals;
mod stochastic;

/// `Q diag(values) Qᵀ` with a random orthogonal Q, a product of three reflections.
fn rotated(values: &[f64], seed: u64) -> Matrix<f64> {
    let n = values.len();
    let mut a = Matrix::from_fn(n, n, |i, j| if i == j { values[i] } else { 0.0 });
    let mut rng = Rng::new(seed);
    for _ in 0..3 {
        let u: Vec<f64> = rng.normal(n);
        let norm: f64 = u.iter().map(|x| x * x).sum();
        for _ in 0..2 {
            // Reflects the rows and transposes, twice.
            let along: Vec<f64> = (0..n)
                .map(|i| (0..n).map(|j| a[(i, j)] * u[j]).sum::<f64>() * 2.0 / norm)
                .collect();
            a = Matrix::from_fn(n, n, |i, j| a[(j, i)] - along[j] * u[i]);
        }
    }
    Matrix::from_fn(n, n, |i, j| 0.5 * (a[(i, j)] + a[(j, i)]))
}

fn tensor(device: &Device, a: &Matrix<f64>) -> Tensor {
    Tensor::from_vec(device, [a.rows(), a.cols()], a.as_slice()).unwrap()
}

/// A diagonal operator.
struct Diagonal(Tensor);

impl Diagonal {
    fn new(values: &[f64]) -> Self {
        Diagonal(Tensor::from_vec(&host(), [values.len()], values).unwrap())
    }
}

impl LinearOperator for Diagonal {
    fn dim(&self) -> usize {
        self.0.len()
    }

    fn device(&self) -> &Device {
        self.0.device()
    }

    fn apply(&self, x: &Tensor) -> Result<Tensor, Error> {
        Ok(x.mul(&self.0))
    }
}

/// The `k` leading ones of the values, ascending.
fn leading(values: &[f64], which: SpectrumEnd, k: usize) -> Vec<f64> {
    let mut values = values.to_vec();
    match which {
        SpectrumEnd::Largest => values.sort_by(|a, b| b.total_cmp(a)),
        SpectrumEnd::Smallest => values.sort_by(f64::total_cmp),
        _ => values.sort_by(|a, b| b.abs().total_cmp(&a.abs())),
    }
    values.truncate(k);
    values.sort_by(f64::total_cmp);
    values
}

fn magnitude(values: &[f64]) -> f64 {
    values.iter().fold(0.0, |max, x| max.max(x.abs()))
}

/// Values as expected, and vectors that are orthonormal, of the right sign, and eigenvectors by
/// products on the host.
#[track_caller]
fn assert_pairs(
    pairs: &LeadingEigenpairs,
    a: &Matrix<f64>,
    expected: &[f64],
    norm: f64,
    bound: f64,
) {
    let (k, n) = (expected.len(), a.rows());
    assert_eq!((pairs.eigenvalues.len(), pairs.residuals.len()), (k, k));
    assert_eq!(**pairs.eigenvectors.shape(), [k, n]);
    for (i, (got, expected)) in pairs.eigenvalues.iter().zip(expected).enumerate() {
        let error = (got - expected).abs();
        assert!(
            error <= bound * norm,
            "value {i} of {n}: {got}, not {expected}: {error:e} > {:e}",
            bound * norm
        );
    }
    let q = pairs.eigenvectors.to_matrix::<f64>().unwrap();
    let row = |i: usize| q.row(i).to_vec();
    let dot = |x: &[f64], y: &[f64]| x.iter().zip(y).map(|(x, y)| x * y).sum::<f64>();
    let rounding = 10.0 * pairs.eigenvectors.dtype().epsilon() * (n as f64).sqrt() * 4.0;
    for i in 0..k {
        let v = row(i);
        for j in 0..=i {
            let identity = if i == j { 1.0 } else { 0.0 };
            assert!(
                (dot(&v, &row(j)) - identity).abs() <= rounding,
                "vectors {i} and {j} of {n}: {:e}",
                dot(&v, &row(j))
            );
        }
        let residual = (0..n)
            .map(|r| (dot(a.row(r), &v) - pairs.eigenvalues[i] * v[r]).powi(2))
            .sum::<f64>()
            .sqrt();
        assert!(
            residual <= bound * norm,
            "residual {residual:e} of pair {i} of {n}, bound {:e}",
            bound * norm
        );
        let said = pairs.residuals[i];
        assert!(
            (said - residual).abs() <= rounding * norm,
            "residual {i} is {residual:e}, reported as {said:e}"
        );
        let largest =
            v.iter().fold(0.0f64, |largest, x| if x.abs() > largest.abs() { *x } else { largest });
        assert!(largest > 0.0);
    }
}

#[test]
fn the_same_seed_gives_the_same_bits() {
    let a = tensor(&host(), &rotated(&(0..50).map(f64::from).collect::<Vec<_>>(), 3));
    let bits = |pairs: &LeadingEigenpairs| {
        let vectors = pairs.eigenvectors.to_vec().unwrap();
        pairs.eigenvalues.iter().chain(&vectors).map(|x| x.to_bits()).collect::<Vec<u64>>()
    };
    let of = |seed| bits(&lanczos(&a, 3, &LanczosOptions::default().seed(seed)).unwrap());
    assert_eq!(of(5), of(5));
    assert_ne!(of(5), of(6));
    let of = |seed| {
        let options = PowerIterationOptions::default().seed(seed);
        bits(&power_iteration(&a, 2, &options).unwrap())
    };
    assert_eq!(of(5), of(5));
    let of = |seed| {
        let options = TraceOptions::default().seed(seed);
        let estimates =
            [hutchinson_trace(&a, &options).unwrap(), hutch_plus_plus(&a, &options).unwrap()];
        let diagonal = hutchinson_diagonal(&a, &options).unwrap().diagonal.to_vec().unwrap();
        (
            estimates,
            diagonal,
            LanczosQuadrature::new(&a, &QuadratureOptions::default().seed(seed)).unwrap(),
        )
    };
    assert_eq!(of(5), of(5));
    assert_ne!(of(5), of(6));
}

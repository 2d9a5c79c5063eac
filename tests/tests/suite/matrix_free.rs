//! Methods that know an operator by its products, against spectra, traces and diagonals that are
//! known otherwise.

use std::cell::Cell;
use std::f64::consts::PI;

use proptest::prelude::*;
use vivit::curvature::{
    DensityOptions, Error, LanczosOptions, LanczosQuadrature, LeadingEigenpairs, LinearOperator,
    LogDensityOptions, OnProduct, PowerIterationOptions, QuadratureOptions, SpectrumEnd,
    TraceOptions, hutch_plus_plus, hutchinson_diagonal, hutchinson_trace, lanczos, power_iteration,
};
use vivit::eigh::eigvalsh;
use vivit::prelude::*;
use vivit::tensor::Rng;
use vivit_tests::zoo::Host;

use crate::nets::config;

mod stochastic;

type Host32 = Cpu<f32>;

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

fn tensor<B: Backend>(backend: &B, a: &Matrix<f64>) -> Tensor<B> {
    Tensor::from_f64(backend, &[a.rows(), a.cols()], a.as_slice()).unwrap()
}

/// A diagonal operator.
struct Diagonal<B: Backend>(Tensor<B>);

impl Diagonal<Host> {
    fn new(values: &[f64]) -> Self {
        Diagonal(Tensor::from_f64(&Host::new(), &[values.len()], values).unwrap())
    }
}

impl<B: Backend> LinearOperator<B> for Diagonal<B> {
    fn dim(&self) -> usize {
        self.0.len()
    }

    fn backend(&self) -> &B {
        self.0.backend()
    }

    fn apply(&self, x: &Tensor<B>) -> Result<Tensor<B>, Error> {
        Ok(x.mul(&self.0))
    }
}

/// The `k` leading ones of the values.
fn leading(values: &[f64], which: SpectrumEnd, k: usize) -> Vec<f64> {
    let mut values = values.to_vec();
    match which {
        SpectrumEnd::Largest => values.sort_by(|a, b| b.total_cmp(a)),
        SpectrumEnd::Smallest => values.sort_by(f64::total_cmp),
        _ => values.sort_by(|a, b| b.abs().total_cmp(&a.abs())),
    }
    values.truncate(k);
    values
}

fn magnitude(values: &[f64]) -> f64 {
    values.iter().fold(0.0, |max, x| max.max(x.abs()))
}

/// Values as expected, and vectors that are orthonormal, of the right sign, and eigenvectors by
/// products on the host.
#[track_caller]
fn assert_pairs<B: Backend>(
    pairs: &LeadingEigenpairs<B>,
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
    let q = pairs.eigenvectors.to_matrix().unwrap();
    let row = |i: usize| q.row(i).iter().map(|x| x.f64()).collect::<Vec<f64>>();
    let dot = |x: &[f64], y: &[f64]| x.iter().zip(y).map(|(x, y)| x * y).sum::<f64>();
    let rounding = 10.0 * B::Elem::EPSILON.f64() * (n as f64).sqrt() * 4.0;
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

/// Spectra by name, and whether magnitudes are distinct enough for the end to be told apart.
fn spectra(n: usize) -> Vec<(&'static str, Vec<f64>)> {
    let x = |i: usize| i as f64 / n as f64;
    let of = |f: &dyn Fn(usize) -> f64| (0..n).map(f).collect::<Vec<f64>>();
    vec![
        ("uniform", of(&|i| 1.0 + x(i))),
        (
            "the (1, 2, 1) matrix's",
            of(&|i| 2.0 + 2.0 * ((i + 1) as f64 * PI / (n + 1) as f64).cos()),
        ),
        ("outliers", of(&|i| if i < 3 { 10.0 + 7.0 * i as f64 } else { x(i) })),
        ("copies", of(&|i| if i < 4 { 5.0 } else { x(i) })),
        ("all equal", of(&|_| 3.0)),
        ("zero", of(&|_| 0.0)),
        ("rank one", of(&|i| if i == n / 2 { 2.0 } else { 0.0 })),
        ("rank three", of(&|i| if i < 3 { 1.0 + i as f64 } else { 0.0 })),
        ("indefinite", of(&|i| 2.0 * x(i) - 0.93)),
        ("negative", of(&|i| -1.0 - 3.0 * x(i))),
        ("decaying", of(&|i| 0.01f64.powf(x(i)))),
        ("two clusters", of(&|i| if i % 2 == 0 { 1.0 } else { -2.0 })),
    ]
}

#[track_caller]
fn assert_lanczos<B: Backend>(
    backend: &B,
    values: &[f64],
    k: usize,
    options: &LanczosOptions,
    bound: f64,
) {
    let a = rotated(values, 7);
    let operator = tensor(backend, &a);
    let rounded = operator.to_matrix().unwrap();
    let a = Matrix::from_fn(a.rows(), a.cols(), |i, j| rounded[(i, j)].f64());
    let pairs = lanczos(&operator, k, options).unwrap();
    assert_pairs(&pairs, &a, &leading(values, options.which, k), magnitude(values), bound);
}

#[test]
fn lanczos_finds_the_ends_of_known_spectra() {
    for n in [1, 2, 5, 30, 90] {
        for (name, values) in spectra(n) {
            for which in
                [SpectrumEnd::Largest, SpectrumEnd::Smallest, SpectrumEnd::LargestMagnitude]
            {
                for (k, block) in [(1, 1), (4, 1), (4, 3), (7, 10)] {
                    if k <= n {
                        println!("{name}, {n}: {k} {which:?}, block {block}");
                        let options = LanczosOptions {
                            which,
                            block,
                            tolerance: 1e-10,
                            max_products: 5000,
                            ..Default::default()
                        };
                        assert_lanczos(&Host::new(), &values, k, &options, 1.1e-10);
                        let options = LanczosOptions { tolerance: 1e-5, ..options };
                        assert_lanczos(&Host32::new(), &values, k, &options, 2e-5);
                    }
                }
            }
        }
    }
}

#[test]
fn lanczos_finds_all_pairs() {
    for n in [1, 2, 3, 8, 25, 40] {
        for (name, values) in spectra(n) {
            for block in [1, 4] {
                println!("{name}, {n}, block {block}");
                let options = LanczosOptions { block, tolerance: 1e-10, ..Default::default() };
                assert_lanczos(&Host::new(), &values, n, &options, 1e-10);
                assert_lanczos(
                    &Host32::new(),
                    &values,
                    n,
                    &LanczosOptions { tolerance: 1e-5, ..options },
                    2e-5,
                );
            }
        }
    }
}

#[test]
fn lanczos_on_the_matrix_with_an_analytic_spectrum() {
    let n = 200;
    let a = Matrix::from_fn(n, n, |i, j| match i.abs_diff(j) {
        0 => 2.0,
        1 => 1.0,
        _ => 0.0,
    });
    let pairs = lanczos(
        &tensor(&Host::new(), &a),
        3,
        &LanczosOptions { tolerance: 1e-9, max_products: 5000, ..Default::default() },
    );
    let pairs = pairs.unwrap();
    for j in 0..3 {
        let angle = (j + 1) as f64 * PI / (n + 1) as f64;
        // The error of a Ritz value is at most the residual's square over the gap, about 5e-4.
        assert!((pairs.eigenvalues[j] - (2.0 + 2.0 * angle.cos())).abs() < 1e-12);
        let vector = pairs.eigenvectors.slice(j, j + 1).to_vec().unwrap();
        let sine = |i: usize| ((i + 1) as f64 * angle).sin() * (2.0 / (n + 1) as f64).sqrt();
        let overlap: f64 = vector.iter().enumerate().map(|(i, x)| x * sine(i)).sum();
        assert!((overlap.abs() - 1.0).abs() < 1e-9, "{overlap}");
    }
}

#[test]
fn lanczos_does_not_miss_copies() {
    // One Krylov sequence holds one vector of each eigenspace; only the search for copies can find
    // the others.
    let mut values: Vec<f64> = (0..3000).map(|i| i as f64 / 3000.0).collect();
    values[10..14].copy_from_slice(&[3.0, 3.0, 2.0, 1.5]);
    let diagonal = Diagonal::new(&values);
    let of = |options: LanczosOptions| lanczos(&diagonal, 3, &options).unwrap().eigenvalues;
    let are = |got: Vec<f64>, expected: [f64; 3]| {
        got.iter().zip(expected).all(|(got, expected)| (got - expected).abs() < 1e-6)
    };
    let mut missed = 0;
    for seed in 0..10 {
        let options = LanczosOptions { tolerance: 1e-6, seed, ..Default::default() };
        for block in [1, 2, 4] {
            let got = of(LanczosOptions { block, ..options });
            assert!(are(got.clone(), [3.0, 3.0, 2.0]), "block {block}, seed {seed}: {got:?}");
        }
        // Rounding may bring a copy back.
        missed +=
            usize::from(are(of(LanczosOptions { copies: false, ..options }), [3.0, 2.0, 1.5]));
        assert!(are(of(LanczosOptions { copies: false, block: 2, ..options }), [3.0, 3.0, 2.0]));
    }
    assert!(missed >= 5, "hardly anything was missed, so this tests little: {missed} of 10");
}

#[test]
fn lanczos_takes_few_products_and_says_how_many() {
    let values: Vec<f64> = (0..2000).map(|i| 1.0 / (1.0 + i as f64)).collect();
    let diagonal = Diagonal::new(&values);
    let seen = Cell::new(0);
    let watched = OnProduct::new(&diagonal, |products| seen.set(products));
    let pairs =
        lanczos(&watched, 5, &LanczosOptions { tolerance: 1e-8, ..Default::default() }).unwrap();
    assert_eq!(pairs.products, seen.get());
    assert!(pairs.products < 120, "{}", pairs.products);
    assert!(
        pairs.eigenvalues.iter().zip(&values).all(|(got, expected)| (got - expected).abs() < 1e-10)
    );
}

#[test]
fn lanczos_finds_the_crowded_end_with_more_vectors() {
    let values: Vec<f64> = (0..90).map(|i| 0.7f64.powi(i)).collect();
    let options = LanczosOptions {
        which: SpectrumEnd::Smallest,
        tolerance: 1e-10,
        extra: 80,
        ..Default::default()
    };
    assert_lanczos(&Host::new(), &values, 2, &options, 1e-10);
    let few = LanczosOptions { extra: 1, ..options };
    let error = lanczos(&Diagonal::new(&values), 2, &few).unwrap_err();
    assert!(matches!(error, Error::NoConvergence { .. }), "{error}");
    assert_lanczos(
        &Host::new(),
        &values,
        2,
        &LanczosOptions { which: SpectrumEnd::Largest, ..few },
        1e-10,
    );
}

#[test]
fn lanczos_is_as_good_at_any_scale() {
    for scale in [1e-100, 1e-9, 1e100] {
        let values: Vec<f64> = (0..60).map(|i| scale * 0.8f64.powi(i)).collect();
        assert_lanczos(
            &Host::new(),
            &values,
            3,
            &LanczosOptions { tolerance: 1e-10, ..Default::default() },
            1e-10,
        );
    }
    let values: Vec<f64> = (0..60).map(|i| 1e-12 * 0.8f64.powi(i)).collect();
    assert_lanczos(&Host32::new(), &values, 3, &LanczosOptions::default(), 2e-5);
}

#[test]
fn the_same_seed_gives_the_same_bits() {
    let a = tensor(&Host::new(), &rotated(&(0..50).map(f64::from).collect::<Vec<_>>(), 3));
    let bits = |pairs: &LeadingEigenpairs<Host>| {
        let vectors = pairs.eigenvectors.to_vec().unwrap();
        pairs.eigenvalues.iter().chain(&vectors).map(|x| x.to_bits()).collect::<Vec<u64>>()
    };
    let of = |seed| bits(&lanczos(&a, 3, &LanczosOptions { seed, ..Default::default() }).unwrap());
    assert_eq!(of(5), of(5));
    assert_ne!(of(5), of(6));
    let of = |seed| {
        let options = PowerIterationOptions { seed, ..Default::default() };
        bits(&power_iteration(&a, 2, &options).unwrap())
    };
    assert_eq!(of(5), of(5));
    let of = |seed| {
        let options = TraceOptions { seed, ..Default::default() };
        let estimates =
            [hutchinson_trace(&a, &options).unwrap(), hutch_plus_plus(&a, &options).unwrap()];
        let diagonal = hutchinson_diagonal(&a, &options).unwrap().diagonal.to_vec().unwrap();
        (
            estimates,
            diagonal,
            LanczosQuadrature::new(&a, &QuadratureOptions { seed, ..Default::default() }).unwrap(),
        )
    };
    assert_eq!(of(5), of(5));
    assert_ne!(of(5), of(6));
}

proptest! {
    #![proptest_config(config(32))]

    #[test]
    fn lanczos_agrees_with_the_dense_solver(n in 1usize..50, k in 1usize..6, block in 1usize..4, seed in 0u64..1000) {
        let x: Vec<f64> = Rng::new(seed).normal(n * n);
        let a = Matrix::from_fn(n, n, |i, j| x[i * n + j] + x[j * n + i]);
        let values = eigvalsh(a.clone()).unwrap();
        let k = k.min(n);
        for which in [SpectrumEnd::Largest, SpectrumEnd::Smallest, SpectrumEnd::LargestMagnitude] {
            let options = LanczosOptions { which, block, seed, tolerance: 1e-9, ..Default::default() };
            let pairs = lanczos(&tensor(&Host::new(), &a), k, &options).unwrap();
            assert_pairs(&pairs, &a, &leading(&values, which, k), magnitude(&values), 1e-9);
        }
    }
}

#[test]
fn power_iteration_finds_known_pairs() {
    let cases: [(&str, Vec<f64>); 6] = [
        ("decaying", (0..40).map(|i| 0.7f64.powi(i)).collect()),
        ("copies", (0..40).map(|i| if i < 3 { 4.0 } else { f64::from(i) / 40.0 }).collect()),
        ("rank one", (0..40).map(|i| if i == 3 { -2.0 } else { 0.0 }).collect()),
        ("zero", vec![0.0; 40]),
        ("indefinite", (0..40).map(|i| (-0.8f64).powi(i)).collect()),
        ("one", vec![-3.0]),
    ];
    for (name, values) in cases {
        println!("{name}");
        let (a, k) = (rotated(&values, 9), values.len().min(4));
        let options = PowerIterationOptions { tolerance: 1e-9, ..Default::default() };
        let pairs = power_iteration(&tensor(&Host::new(), &a), k, &options).unwrap();
        // Residuals along earlier vectors come on top: √k times the tolerance.
        assert_pairs(
            &pairs,
            &a,
            &leading(&values, SpectrumEnd::LargestMagnitude, k),
            magnitude(&values),
            3e-9,
        );
    }
    let a = rotated(&[2.0, -1.0, 0.0, 0.5], 1);
    let pairs = power_iteration(
        &tensor(&Host::new(), &a),
        4,
        &PowerIterationOptions { tolerance: 1e-9, ..Default::default() },
    );
    assert_pairs(&pairs.unwrap(), &a, &[2.0, -1.0, 0.5, 0.0], 2.0, 3e-9);
}

#[test]
fn power_iteration_says_that_opposite_values_do_not_separate() {
    let diagonal = Diagonal::new(&[1.0, -1.0, 0.3]);
    let options = PowerIterationOptions { max_iterations: 50, ..Default::default() };
    let error = power_iteration(&diagonal, 1, &options).unwrap_err();
    assert!(
        matches!(error, Error::NoConvergence { converged: 0, k: 1, products: 50, .. }),
        "{error}"
    );
    assert!(error.to_string().contains("power iteration found 0 of 1"), "{error}");
}

/// An operator that goes wrong in one product.
struct Broken {
    host: Host,
    at: usize,
    done: Cell<usize>,
    value: f64,
}

impl LinearOperator<Host> for Broken {
    fn dim(&self) -> usize {
        30
    }

    fn backend(&self) -> &Host {
        &self.host
    }

    fn apply(&self, x: &Tensor<Host>) -> Result<Tensor<Host>, Error> {
        let mut y = x.to_vec()?;
        for row in y.chunks_mut(30) {
            row.iter_mut().enumerate().for_each(|(i, y)| *y *= i as f64);
            self.done.set(self.done.get() + 1);
            if self.done.get() == self.at {
                row[7] = self.value;
            }
        }
        Ok(Tensor::from_vec(x.backend(), x.shape(), y)?)
    }
}

#[test]
fn a_product_that_is_not_finite_is_named() {
    for value in [f64::NAN, f64::INFINITY] {
        for at in [1, 3, 6] {
            let broken = || Broken { host: Host::new(), at, done: Cell::new(0), value };
            let options = TraceOptions { vectors: 9, batch: 2, ..Default::default() };
            let errors = [
                lanczos(&broken(), 2, &LanczosOptions { block: 2, ..Default::default() })
                    .unwrap_err(),
                power_iteration(&broken(), 2, &PowerIterationOptions::default()).unwrap_err(),
                hutchinson_trace(&broken(), &options).unwrap_err(),
                hutch_plus_plus(&broken(), &options).unwrap_err(),
                hutchinson_diagonal(&broken(), &options).unwrap_err(),
                LanczosQuadrature::new(&broken(), &QuadratureOptions::default()).unwrap_err(),
            ];
            for error in errors {
                assert_eq!(error, Error::NonFiniteProduct { product: at }, "{error}");
            }
        }
    }
}

#[test]
fn a_budget_that_is_too_small_says_what_was_reached() {
    let values: Vec<f64> = (0..500).map(f64::from).collect();
    for max_products in [1, 6, 40] {
        let options = LanczosOptions { max_products, tolerance: 1e-12, ..Default::default() };
        let error = lanczos(&Diagonal::new(&values), 5, &options).unwrap_err();
        let Error::NoConvergence {
            method: "Lanczos",
            converged,
            k: 5,
            products,
            residual,
            allowed,
        } = error
        else {
            panic!("{error}")
        };
        assert!(products <= max_products && converged < 5 && residual > allowed, "{error}");
        assert!(error.to_string().contains("allow more products or a larger tolerance"));
    }
    // A tolerance below rounding is not reached, and ends.
    let options = LanczosOptions { tolerance: 1e-30, ..Default::default() };
    assert!(matches!(
        lanczos(&Diagonal::new(&values), 5, &options),
        Err(Error::NoConvergence { .. })
    ));
}

#[test]
fn options_out_of_range_are_named() {
    let a = Diagonal::new(&[1.0, 2.0, 3.0]);
    let lanczos_with = |k, options| lanczos(&a, k, &options).unwrap_err();
    let power_with = |k, options| power_iteration(&a, k, &options).unwrap_err();
    let trace_with = |vectors, batch| TraceOptions { vectors, batch, ..Default::default() };
    let points_with = |vectors, repeats| {
        LanczosQuadrature::new(&a, &QuadratureOptions { vectors, repeats, ..Default::default() })
            .unwrap_err()
    };
    let points = LanczosQuadrature::new(&a, &QuadratureOptions::default()).unwrap();
    let density = DensityOptions::default();
    let log = LogDensityOptions::default();
    let nan = f64::NAN;
    let cases = [
        (lanczos_with(0, LanczosOptions::default()), "k is 0", "1 to 3"),
        (lanczos_with(4, LanczosOptions::default()), "k is 4", "1 to 3"),
        (
            lanczos_with(1, LanczosOptions { tolerance: 0.0, ..Default::default() }),
            "tolerance is 0",
            "positive",
        ),
        (
            lanczos_with(1, LanczosOptions { tolerance: nan, ..Default::default() }),
            "tolerance is NaN",
            "positive",
        ),
        (
            lanczos_with(1, LanczosOptions { block: 0, ..Default::default() }),
            "block is 0",
            "at least 1",
        ),
        (power_with(4, PowerIterationOptions::default()), "k is 4", "1 to 3"),
        (
            power_with(1, PowerIterationOptions { max_iterations: 0, ..Default::default() }),
            "max_iterations is 0",
            "at least 1",
        ),
        (hutchinson_trace(&a, &trace_with(0, 1)).unwrap_err(), "vectors is 0", "at least 1"),
        (hutchinson_diagonal(&a, &trace_with(1, 0)).unwrap_err(), "batch is 0", "at least 1"),
        (hutch_plus_plus(&a, &trace_with(2, 1)).unwrap_err(), "vectors is 2", "at least 3"),
        (
            hutchinson_trace(&Diagonal::new(&[]), &trace_with(1, 1)).unwrap_err(),
            "dimension",
            "at least 1",
        ),
        (points_with(1, 1), "vectors is 1", "at least 2"),
        (points_with(2, 0), "repeats is 0", "at least 1"),
        (
            points.density(&DensityOptions { points: 1, ..density }).unwrap_err(),
            "points is 1",
            "at least 2",
        ),
        (
            points.density(&DensityOptions { kappa: 1.0, ..density }).unwrap_err(),
            "kappa is 1",
            "above 1",
        ),
        (
            points.density(&DensityOptions { margin: -0.1, ..density }).unwrap_err(),
            "margin is -0.1",
            "at least 0",
        ),
        (
            points
                .density(&DensityOptions { boundaries: Some((nan, 1.0)), ..density })
                .unwrap_err(),
            "lower boundary is NaN",
            "finite",
        ),
        (
            points
                .density(&DensityOptions { boundaries: Some((2.0, 1.0)), ..density })
                .unwrap_err(),
            "upper boundary is 1",
            "above",
        ),
        (
            points.log_density(&LogDensityOptions { epsilon: 0.0, ..log }).unwrap_err(),
            "epsilon is 0",
            "positive",
        ),
        (
            points.log_density(&LogDensityOptions { kappa: nan, ..log }).unwrap_err(),
            "kappa is NaN",
            "above 1",
        ),
        (
            points
                .log_density(&LogDensityOptions { boundaries: Some((-1.0, 1.0)), ..log })
                .unwrap_err(),
            "lower boundary is -1",
            "at least 0",
        ),
    ];
    for (error, name, allowed) in cases {
        let message = error.to_string();
        assert!(
            message.contains(name) && message.contains(allowed),
            "{message:?} lacks {name:?} or {allowed:?}"
        );
        assert!(matches!(error, Error::InvalidOption { .. }), "{message}");
    }
}

/// An operator that drops a row.
struct Short(Tensor<Host>);

impl LinearOperator<Host> for Short {
    fn dim(&self) -> usize {
        self.0.len()
    }

    fn backend(&self) -> &Host {
        self.0.backend()
    }

    fn apply(&self, x: &Tensor<Host>) -> Result<Tensor<Host>, Error> {
        Ok(x.slice(1, x.shape()[0]))
    }
}

#[test]
fn an_operator_that_changes_the_shape_is_an_error() {
    let short = Short(Tensor::zeros(&Host::new(), [4]));
    let error = lanczos(&short, 1, &LanczosOptions::default()).unwrap_err();
    assert_eq!(error, Error::ProductShape { got: vec![0, 4], expected: vec![1, 4] });
}

//! Estimates that are random: against the expectation and the variance that theory gives them.

use std::f64::consts::TAU;

use vivit::curvature::{
    DensityOptions, Estimate, LanczosQuadrature, LogDensityOptions, ProbeVectors,
    QuadratureOptions, TraceOptions, hutch_plus_plus, hutchinson_diagonal, hutchinson_trace,
};
use vivit::tensor::{Matrix, Rng};
use vivit_tests::zoo::host;

use super::{Diagonal, rotated, tensor};

/// Standard errors that a mean may be off: a false alarm in 150 000 checks of a normal variable,
/// were the seeds not fixed.
const SIGMAS: f64 = 4.5;

/// A symmetric matrix without structure, and its trace, `Σ_ij A_ij²` and `Σ_i A_ii²`.
fn unstructured(n: usize) -> (Matrix<f64>, f64, f64, f64) {
    let x: Vec<f64> = Rng::new(42).normal(n * n);
    let a =
        Matrix::from_fn(n, n, |i, j| x[i * n + j] + x[j * n + i] + if i == j { 3.0 } else { 0.0 });
    let trace = (0..n).map(|i| a[(i, i)]).sum();
    let squares = a.as_slice().iter().map(|x| x * x).sum();
    let diagonal = (0..n).map(|i| a[(i, i)].powi(2)).sum();
    (a, trace, squares, diagonal)
}

/// Mean and variance.
fn moments(x: &[f64]) -> (f64, f64) {
    let n = x.len() as f64;
    let mean = x.iter().sum::<f64>() / n;
    (mean, x.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / (n - 1.0))
}

fn repeated(
    runs: u64,
    options: TraceOptions,
    estimate: impl Fn(&TraceOptions) -> Estimate,
) -> Vec<Estimate> {
    (0..runs).map(|seed| estimate(&options.seed(seed))).collect()
}

#[test]
fn hutchinson_is_unbiased_with_the_variance_of_theory() {
    let (a, trace, squares, diagonal) = unstructured(20);
    let a = tensor(&host(), &a);
    let runs = 400;
    for (probes, variance) in [
        (ProbeVectors::Rademacher, 2.0 * (squares - diagonal)),
        (ProbeVectors::Gaussian, 2.0 * squares),
    ] {
        for vectors in [25, 100] {
            let options = TraceOptions::default().vectors(vectors).probes(probes).batch(7).seed(0);
            let estimates =
                repeated(runs, options, |options| hutchinson_trace(&a, options).unwrap());
            let (mean, spread) =
                moments(&estimates.iter().map(|estimate| estimate.value).collect::<Vec<_>>());
            let expected = variance / vectors as f64;
            let off = (mean - trace) / (expected / runs as f64).sqrt();
            assert!(off.abs() < SIGMAS, "{probes:?}, {vectors}: {off} standard errors");
            // The variance falls with 1/m. A sample variance of nearly normal numbers has relative
            // standard error √(2/(R − 1)).
            let off = (spread / expected - 1.0) / (2.0 / (runs - 1) as f64).sqrt();
            assert!(
                off.abs() < SIGMAS,
                "{probes:?}, {vectors}: the variance is {off} standard errors off"
            );
            // The mean of R·m squared deviations, whose terms have the kurtosis of a chi-squared
            // variable at most (15 with one degree).
            let reported = moments(
                &estimates
                    .iter()
                    .map(|estimate| estimate.standard_error.unwrap().powi(2))
                    .collect::<Vec<_>>(),
            );
            let off =
                (reported.0 / expected - 1.0) / (14.0 / (runs as f64 * vectors as f64)).sqrt();
            assert!(
                off.abs() < SIGMAS,
                "{probes:?}, {vectors}: reported errors are {off} standard errors off"
            );
            assert!(estimates.iter().all(|estimate| estimate.products == vectors));
        }
    }
}

#[test]
fn batches_do_not_change_the_random_vectors() {
    let (a, ..) = unstructured(20);
    let a = tensor(&host(), &a);
    let close = |x: f64, y: f64| (x - y).abs() < 1e-12 * x.abs().max(1.0);
    let of = |batch| {
        let options = TraceOptions::default()
            .vectors(30)
            .probes(ProbeVectors::Rademacher)
            .batch(batch)
            .seed(3);
        let diagonal = hutchinson_diagonal(&a, &options).unwrap();
        let errors = diagonal.standard_error.unwrap().to_vec().unwrap();
        let numbers =
            [hutchinson_trace(&a, &options).unwrap(), hutch_plus_plus(&a, &options).unwrap()];
        let numbers: Vec<f64> =
            numbers.iter().flat_map(|x| [x.value, x.standard_error.unwrap()]).collect();
        [numbers, diagonal.diagonal.to_vec().unwrap(), errors].concat()
    };
    let one = of(1);
    for batch in [7, 30, 1000] {
        assert!(one.iter().zip(of(batch)).all(|(x, y)| close(*x, y)), "batches of {batch}");
    }
}

#[test]
fn rademacher_vectors_are_exact_for_diagonal_operators() {
    let values: Vec<f64> = (0..30).map(f64::from).collect();
    let options = TraceOptions::default().vectors(3);
    let trace = hutchinson_trace(&Diagonal::new(&values), &options).unwrap();
    assert_eq!((trace.value, trace.standard_error), (435.0, Some(0.0)));
    let diagonal = hutchinson_diagonal(&Diagonal::new(&values), &options).unwrap();
    assert_eq!(diagonal.diagonal.to_vec().unwrap(), values);
    assert_eq!(diagonal.standard_error.unwrap().to_vec().unwrap(), vec![0.0; 30]);
    let single = TraceOptions::default().vectors(1);
    assert_eq!(hutchinson_trace(&Diagonal::new(&values), &single).unwrap().standard_error, None);
    assert!(
        hutchinson_diagonal(&Diagonal::new(&values), &single).unwrap().standard_error.is_none()
    );
}

#[test]
fn hutch_plus_plus_is_exact_for_low_rank() {
    for (n, rank, vectors) in
        [(60, 1, 3), (60, 5, 15), (60, 20, 60), (60, 0, 6), (1, 1, 3), (10, 10, 30), (10, 10, 300)]
    {
        let values: Vec<f64> =
            (0..n).map(|i| if i < rank { 1.0 + i as f64 } else { 0.0 }).collect();
        let trace: f64 = values.iter().sum();
        let a = tensor(&host(), &rotated(&values, 5));
        let estimate = hutch_plus_plus(&a, &TraceOptions::default().vectors(vectors)).unwrap();
        assert!(
            (estimate.value - trace).abs() < 1e-10 * trace.max(1.0),
            "{n}, {rank}, {vectors}: {estimate:?}, not {trace}"
        );
        assert!(
            estimate.standard_error.unwrap_or(0.0) < 1e-10 * trace.max(1.0),
            "{n}, {rank}, {vectors}: {estimate:?}"
        );
        assert!(estimate.products <= vectors);
    }
}

#[test]
fn hutch_plus_plus_is_unbiased_and_better_than_hutchinson() {
    let values: Vec<f64> = (0..100).map(|i| 1.0 / (1.0 + f64::from(i)).powi(2)).collect();
    let trace: f64 = values.iter().sum();
    let a = tensor(&host(), &rotated(&values, 5));
    let runs = 200;
    let of = |vectors, estimate: &dyn Fn(&TraceOptions) -> Estimate| {
        let estimates = repeated(runs, TraceOptions::default().vectors(vectors), estimate);
        let (mean, variance) =
            moments(&estimates.iter().map(|estimate| estimate.value).collect::<Vec<_>>());
        let off = (mean - trace) / (variance / runs as f64).sqrt();
        assert!(off.abs() < SIGMAS, "{vectors}: {off} standard errors");
        let reported =
            estimates.iter().map(|estimate| estimate.standard_error.unwrap().powi(2)).sum::<f64>()
                / runs as f64;
        // Two estimates of a variance from 200 runs, and the variance given Q in place of all.
        assert!(
            (0.5..2.0).contains(&(reported / variance)),
            "{vectors}: {reported:e} for {variance:e}"
        );
        variance.sqrt()
    };
    let plain = of(30, &|options| hutchinson_trace(&a, options).unwrap());
    let (few, many) = (
        of(30, &|options| hutch_plus_plus(&a, options).unwrap()),
        of(120, &|options| hutch_plus_plus(&a, options).unwrap()),
    );
    assert!(few < 0.2 * plain, "{few:e} with, {plain:e} without the subspace");
    // 1/m or faster: a quarter, with the standard error of two sample deviations, √(1/(2·199))
    // each.
    assert!(many < 0.25 * few * (1.0 + SIGMAS * (1.0f64 / 199.0).sqrt()), "{many:e} after {few:e}");
    let indefinite: Vec<f64> =
        values.iter().enumerate().map(|(i, x)| if i % 2 == 0 { *x } else { -x }).collect();
    let (a, trace) = (tensor(&host(), &rotated(&indefinite, 5)), indefinite.iter().sum::<f64>());
    let estimates =
        repeated(runs, TraceOptions::default().vectors(30), |o| hutch_plus_plus(&a, o).unwrap());
    let (mean, variance) =
        moments(&estimates.iter().map(|estimate| estimate.value).collect::<Vec<_>>());
    assert!(((mean - trace) / (variance / runs as f64).sqrt()).abs() < SIGMAS);
}

#[test]
fn the_diagonal_is_estimated_with_the_variance_of_theory() {
    let n = 20;
    let (a, ..) = unstructured(n);
    let operator = tensor(&host(), &a);
    let vectors = 4000;
    for probes in [ProbeVectors::Rademacher, ProbeVectors::Gaussian] {
        let options = TraceOptions::default().vectors(vectors).probes(probes).batch(64).seed(1);
        let estimate = hutchinson_diagonal(&operator, &options).unwrap();
        assert_eq!(estimate.products, vectors);
        let (got, errors) = (
            estimate.diagonal.to_vec().unwrap(),
            estimate.standard_error.unwrap().to_vec().unwrap(),
        );
        for i in 0..n {
            let (square, row) = (a[(i, i)].powi(2), a.row(i).iter().map(|x| x * x).sum::<f64>());
            let variance =
                if probes == ProbeVectors::Rademacher { row - square } else { row + square };
            let expected = (variance / vectors as f64).sqrt();
            let off = (got[i] - a[(i, i)]) / expected;
            assert!(off.abs() < SIGMAS, "{probes:?}, entry {i}: {off} standard errors");
            // The relative error of a deviation from m terms of kurtosis at most 15 is √(14/(4 m)).
            assert!(
                (errors[i] / expected - 1.0).abs()
                    < SIGMAS * (14.0 / (4.0 * vectors as f64)).sqrt(),
                "entry {i}"
            );
        }
    }
}

#[test]
fn quadrature_weights_sum_to_one_and_moments_are_those_of_the_vector() {
    let values: Vec<f64> = (0..200).map(|i| (f64::from(i) * 0.37).sin()).collect();
    for reorthogonalize in [true, false] {
        let options = QuadratureOptions::default()
            .vectors(20)
            .repeats(3)
            .reorthogonalize(reorthogonalize)
            .seed(4);
        let points = LanczosQuadrature::new(&Diagonal::new(&values), &options).unwrap();
        assert_eq!((points.products(), points.runs().len()), (60, 3));
        let mut rng = Rng::new(4);
        for run in points.runs() {
            assert!((run.iter().map(|node| node.weight).sum::<f64>() - 1.0).abs() < 1e-12);
            // Gauss quadrature is exact up to degree 2·20 − 1: compare with vᵀ A^j v of the same
            // starting vector.
            let v: Vec<f64> = rng.normal(200);
            let norm: f64 = v.iter().map(|x| x * x).sum();
            for degree in [1, 2, 5, 20, 39] {
                let exact =
                    v.iter().zip(&values).map(|(v, x)| v * v * x.powi(degree)).sum::<f64>() / norm;
                let got = run.iter().map(|node| node.weight * node.value.powi(degree)).sum::<f64>();
                assert!((got - exact).abs() < 1e-12, "degree {degree}: {got}, not {exact}");
            }
            for node in run {
                let distance =
                    values.iter().map(|x| (x - node.value).abs()).fold(f64::INFINITY, f64::min);
                assert!(
                    distance <= node.residual + 1e-12,
                    "{node:?} is {distance:e} from an eigenvalue"
                );
            }
        }
    }
}

#[test]
fn quadrature_stops_at_an_invariant_subspace() {
    for reorthogonalize in [true, false] {
        let options = QuadratureOptions::default().reorthogonalize(reorthogonalize);
        for (values, most) in [
            (vec![2.5; 50], 1),
            (vec![0.0; 50], 1),
            ([vec![1.0; 30], vec![4.0; 20]].concat(), 2),
            (vec![7.0], 1),
        ] {
            let points = LanczosQuadrature::new(&Diagonal::new(&values), &options).unwrap();
            assert_eq!(points.runs()[0].len(), most, "{:?}", points.runs());
            let trace: f64 = values.iter().sum();
            let exact = most < 2;
            assert!(!exact || (points.trace(|x| x).value - trace).abs() < 1e-12 * trace.max(1.0));
        }
    }
}

/// Variance of `vᵀ A v` for a uniformly random unit vector: `2 (D tr A² − (tr A)²) / (D² (D + 2))`.
fn sphere_variance(values: &[f64]) -> f64 {
    let d = values.len() as f64;
    let (trace, squares) = (values.iter().sum::<f64>(), values.iter().map(|x| x * x).sum::<f64>());
    2.0 * (d * squares - trace * trace) / (d * d * (d + 2.0))
}

#[test]
fn a_density_integrates_to_one_and_has_the_spectrum_s_moments() {
    let values: Vec<f64> =
        (0..150).map(|i| (f64::from(i) * 0.37).sin() + f64::from(i % 5)).collect();
    let squares: Vec<f64> = values.iter().map(|x| x * x).collect();
    let d = values.len() as f64;
    let (repeats, a) = (50, tensor(&host(), &rotated(&values, 8)));
    let points = LanczosQuadrature::new(
        &a,
        &QuadratureOptions::default().vectors(40).repeats(repeats).seed(1),
    )
    .unwrap();
    let density = points.density(&DensityOptions::default()).unwrap();
    assert_eq!((density.grid.len(), density.density.len()), (1024, 1024));
    assert!(density.grid.windows(2).all(|pair| pair[0] < pair[1]));
    let (low, high) =
        (values.iter().copied().fold(9.0, f64::min), values.iter().copied().fold(-9.0, f64::max));
    assert!(
        (density.boundaries.0 - low).abs() < 1e-2 && (density.boundaries.1 - high).abs() < 1e-2,
        "{:?}",
        density.boundaries
    );
    // Bumps have a standard deviation of σ d; the margin is 5 of them.
    assert!((density.mass() - 1.0).abs() < 1e-5, "{}", density.mass());
    let step = density.grid[1] - density.grid[0];
    let moment = |power| {
        density.grid.iter().zip(&density.density).map(|(x, p)| p * x.powi(power)).sum::<f64>()
            * step
    };
    let error = |values: &[f64]| (sphere_variance(values) / repeats as f64).sqrt();
    let off = (moment(1) - values.iter().sum::<f64>() / d).abs() / error(&values);
    assert!(off < SIGMAS, "the mean is {off} standard errors off");
    let off = (moment(2) - density.width.powi(2) - squares.iter().sum::<f64>() / d).abs()
        / error(&squares);
    assert!(off < SIGMAS, "the second moment is {off} standard errors off");
    let trace = points.trace(|x| x * x);
    let off = (trace.value - squares.iter().sum::<f64>()) / d / error(&squares);
    assert!(off.abs() < SIGMAS, "the trace is {off} standard errors off");
    // A deviation from 50 runs.
    let ratio = trace.standard_error.unwrap() / d / error(&squares);
    assert!((ratio - 1.0).abs() < SIGMAS / (2.0 * (repeats - 1) as f64).sqrt(), "{ratio}");
}

#[test]
fn a_log_density_integrates_to_one_and_has_the_spectrum_s_moments() {
    let values: Vec<f64> = (0..150)
        .map(|i| 10f64.powf(f64::from(i % 50) / 25.0 - 1.0) * if i % 3 == 0 { -1.0 } else { 1.0 })
        .collect();
    // Magnitudes: Lanczos on the indefinite operator sees ln|λ| through zero, so the semi-definite
    // one is the one with a known error.
    let positive: Vec<f64> = values.iter().map(|x| x.abs()).collect();
    let epsilon = 1e-5;
    let logs: Vec<f64> = positive.iter().map(|x| (x + epsilon).ln()).collect();
    let a = tensor(&host(), &rotated(&positive, 8));
    let options = QuadratureOptions::default().vectors(60).repeats(50).seed(1);
    let points = LanczosQuadrature::new(&a, &options).unwrap();
    let density =
        points.log_density(&LogDensityOptions::default().margin(0.5).epsilon(epsilon)).unwrap();
    assert!(density.logarithmic && (density.mass() - 1.0).abs() < 1e-5, "{}", density.mass());
    let axis: Vec<f64> = density.grid.iter().map(|x| x.ln()).collect();
    let (step, per_log) = (axis[1] - axis[0], density.per_log());
    let moment =
        |power| axis.iter().zip(&per_log).map(|(t, p)| p * t.powi(power)).sum::<f64>() * step;
    let d = logs.len() as f64;
    let squares: Vec<f64> = logs.iter().map(|x| x * x).collect();
    let off =
        (moment(1) - logs.iter().sum::<f64>() / d).abs() / (sphere_variance(&logs) / 50.0).sqrt();
    assert!(off < SIGMAS, "the mean logarithm is {off} standard errors off");
    let second = moment(2) - density.width.powi(2) - squares.iter().sum::<f64>() / d;
    let off = second.abs() / (sphere_variance(&squares) / 50.0).sqrt();
    assert!(off < SIGMAS, "the mean squared logarithm is {off} standard errors off");
    // ∫ p dλ = 1, by the rule for uneven points; the grid is fine in λ too.
    let plain: f64 = (1..1024)
        .map(|i| {
            0.5 * (density.grid[i] - density.grid[i - 1])
                * (density.density[i] + density.density[i - 1])
        })
        .sum();
    assert!((plain - 1.0).abs() < 1e-3, "{plain}");
    let indefinite =
        LanczosQuadrature::new(&tensor(&host(), &rotated(&values, 8)), &options).unwrap();
    let density = indefinite.log_density(&LogDensityOptions::default().margin(1.0)).unwrap();
    assert!((density.mass() - 1.0).abs() < 1e-3, "{}", density.mass());
}

#[test]
fn one_bump_is_papyan_s_gaussian() {
    let (c, m, kappa, margin) = (2.5, 32, 2.0f64, 0.1);
    let points = LanczosQuadrature::new(
        &Diagonal::new(&[c; 20]),
        &QuadratureOptions::default().vectors(m).repeats(2),
    )
    .unwrap();
    let sigma = 2.0 / (m - 1) as f64 / (8.0 * kappa.ln()).sqrt();
    let gauss = |x: f64, at: f64, width: f64| {
        (-0.5 * ((x - at) / width).powi(2)).exp() / (width * TAU.sqrt())
    };
    let (low, high) = (1.0f64, 4.0f64);
    let options = DensityOptions::default()
        .points(300)
        .kappa(kappa)
        .margin(margin)
        .boundaries(Some((low, high)));
    let density = points.density(&options).unwrap();
    let width = sigma * 1.2 * 0.5 * (high - low);
    assert!((density.width - width).abs() < 1e-14);
    assert!((density.grid[0] - 0.7).abs() < 1e-14 && (density.grid[299] - 4.3).abs() < 1e-14);
    for (x, p) in density.grid.iter().zip(&density.density) {
        assert!((p - gauss(*x, c, width)).abs() < 1e-12);
    }
    let epsilon = 1e-2;
    let options = LogDensityOptions::default()
        .points(300)
        .kappa(kappa)
        .margin(margin)
        .boundaries(Some((low, high)))
        .epsilon(epsilon);
    let density = points.log_density(&options).unwrap();
    let width = sigma * 1.2 * 0.5 * ((high + epsilon) / (low + epsilon)).ln();
    for (x, p) in density.grid.iter().zip(&density.density) {
        assert!((p - gauss(x.ln(), (c + epsilon).ln(), width) / x).abs() < 1e-11);
    }
    // Boundaries of its own, without length.
    for c in [c, 0.0, -1e-3] {
        let points =
            LanczosQuadrature::new(&Diagonal::new(&[c; 20]), &QuadratureOptions::default())
                .unwrap();
        let densities = [
            points.density(&DensityOptions::default()).unwrap(),
            points.log_density(&LogDensityOptions::default().kappa(3.0)).unwrap(),
        ];
        for density in densities {
            assert!((density.mass() - 1.0).abs() < 1e-6, "{c}: {}", density.mass());
        }
    }
}

//! Lanczos against spectra that are known.

use std::f64::consts::PI;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use proptest::prelude::*;
use vivit::curvature::{Error, LanczosOptions, OnProduct, SpectrumEnd, lanczos};
use vivit::eigh::eigvalsh;
use vivit::tensor::{Device, Matrix, Rng, Tensor};
use vivit_tests::zoo::host;

use super::{Diagonal, assert_pairs, leading, magnitude, rotated, tensor};
use crate::nets::config;

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
fn assert_lanczos(device: &Device, values: &[f64], k: usize, options: &LanczosOptions, bound: f64) {
    let a = rotated(values, 7);
    let operator = tensor(device, &a);
    let rounded = operator.to_matrix::<f64>().unwrap();
    let a = Matrix::from_fn(a.rows(), a.cols(), |i, j| rounded[(i, j)]);
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
                        let options = LanczosOptions::default()
                            .which(which)
                            .block(block)
                            .tolerance(1e-10)
                            .max_products(5000);
                        assert_lanczos(&host(), &values, k, &options, 1.1e-10);
                        let options = options.tolerance(1e-5);
                        assert_lanczos(&Device::cpu(), &values, k, &options, 2e-5);
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
                let options = LanczosOptions::default().block(block).tolerance(1e-10);
                assert_lanczos(&host(), &values, n, &options, 1e-10);
                assert_lanczos(&Device::cpu(), &values, n, &options.tolerance(1e-5), 2e-5);
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
        &tensor(&host(), &a),
        3,
        &LanczosOptions::default().tolerance(1e-9).max_products(5000),
    );
    let pairs = pairs.unwrap();
    for j in 0..3 {
        let angle = (3 - j) as f64 * PI / (n + 1) as f64;
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
        let options = LanczosOptions::default().tolerance(1e-6).seed(seed);
        for block in [1, 2, 4] {
            let got = of(options.block(block));
            assert!(are(got.clone(), [2.0, 3.0, 3.0]), "block {block}, seed {seed}: {got:?}");
        }
        // Rounding may bring a copy back.
        missed += usize::from(are(of(options.copies(false)), [1.5, 2.0, 3.0]));
        assert!(are(of(options.copies(false).block(2)), [2.0, 3.0, 3.0]));
    }
    assert!(missed >= 5, "hardly anything was missed, so this tests little: {missed} of 10");
}

#[test]
fn lanczos_takes_few_products_and_says_how_many() {
    let values: Vec<f64> = (0..2000).map(|i| 1.0 / (1.0 + i as f64)).collect();
    let diagonal = Diagonal::new(&values);
    let seen = AtomicUsize::new(0);
    let watched = OnProduct::new(&diagonal, |products| seen.store(products, Relaxed));
    let pairs = lanczos(&watched, 5, &LanczosOptions::default().tolerance(1e-8)).unwrap();
    assert_eq!(pairs.products, seen.load(Relaxed));
    assert!(pairs.products < 120, "{}", pairs.products);
    assert!(
        pairs
            .eigenvalues
            .iter()
            .rev()
            .zip(&values)
            .all(|(got, expected)| (got - expected).abs() < 1e-10)
    );
}

#[test]
fn lanczos_finds_the_crowded_end_with_more_vectors() {
    let values: Vec<f64> = (0..90).map(|i| 0.7f64.powi(i)).collect();
    let options = LanczosOptions::default().which(SpectrumEnd::Smallest).tolerance(1e-10).extra(80);
    assert_lanczos(&host(), &values, 2, &options, 1e-10);
    let few = options.extra(1).max_extra(1);
    let error = lanczos(&Diagonal::new(&values), 2, &few).unwrap_err();
    assert!(matches!(error, Error::NoConvergence { .. }), "{error}");
    assert_lanczos(&host(), &values, 2, &few.which(SpectrumEnd::Largest), 1e-10);
    // The space grows by itself while products remain.
    assert_lanczos(&host(), &values, 2, &options.extra(1), 1e-10);
}

#[test]
fn a_search_that_ends_early_keeps_what_it_found() {
    let values: Vec<f64> = (0..500).map(f64::from).collect();
    for max_products in [1, 6, 40, 60] {
        let options = LanczosOptions::default().max_products(max_products).tolerance(1e-12);
        let error = lanczos(&Diagonal::new(&values), 5, &options).unwrap_err();
        assert_eq!(error, error.clone());
        let Error::NoConvergence { found, residual, .. } = error else { panic!("{error}") };
        let known = found.eigenvalues.len();
        assert_eq!(found.residuals.len(), known);
        assert_eq!(found.eigenvectors.shape(), &[known, 500]);
        assert!(known == 5 || residual.is_infinite());
        assert!(known > 0 || max_products < 7, "{max_products}");
        let rounding = 500.0 * 500.0 * f64::EPSILON;
        let vectors = found.eigenvectors.to_vec().unwrap();
        for (k, vector) in vectors.chunks(500).enumerate() {
            // The definition of the residual, and what it says of the spectrum.
            let (value, bound) = (found.eigenvalues[k], found.residuals[k]);
            let entry = |i: usize| (values[i] - value) * vector[i];
            let expected = (0..500).map(|i| entry(i).powi(2)).sum::<f64>().sqrt();
            assert!((expected - bound).abs() < rounding, "{expected} {bound}");
            let distance = values.iter().map(|v| (v - value).abs()).fold(f64::MAX, f64::min);
            assert!(distance <= bound + rounding);
        }
    }
}

#[test]
fn small_operators_are_solved_densely() {
    for d in [1, 2, 5, 20] {
        // Many copies, which a Krylov space does not see.
        let values: Vec<f64> = (0..d).map(|i| (i / 4) as f64 - 1.0).collect();
        for k in [1, d] {
            let options = LanczosOptions::default().block(3);
            let pairs = lanczos(&Diagonal::new(&values), k, &options).unwrap();
            assert_eq!((pairs.products, pairs.eigenvalues.len()), (d, k));
            for (got, expected) in pairs.eigenvalues.iter().zip(&values[d - k..]) {
                assert!((got - expected).abs() < 1e-14 * d as f64, "{got} {expected}");
            }
        }
    }
    // Not symmetric: nothing can be right.
    let a = Tensor::from_vec(&host(), [2, 2], vec![0.0, 1.0, -1.0, 0.0]).unwrap();
    let error = lanczos(&a, 1, &LanczosOptions::default()).unwrap_err();
    assert!(matches!(error, Error::NoConvergence { converged: 0, .. }), "{error}");
}

#[test]
fn lanczos_is_as_good_at_any_scale() {
    for scale in [1e-100, 1e-9, 1e100] {
        let values: Vec<f64> = (0..60).map(|i| scale * 0.8f64.powi(i)).collect();
        assert_lanczos(&host(), &values, 3, &LanczosOptions::default().tolerance(1e-10), 1e-10);
    }
    let values: Vec<f64> = (0..60).map(|i| 1e-12 * 0.8f64.powi(i)).collect();
    assert_lanczos(&Device::cpu(), &values, 3, &LanczosOptions::default(), 2e-5);
}

proptest! {
    #![proptest_config(config(32))]

    #[test]
    fn lanczos_agrees_with_the_dense_solver(
        n in 1usize..50,
        k in 1usize..6,
        block in 1usize..4,
        seed in 0u64..1000,
    ) {
        let x: Vec<f64> = Rng::new(seed).normal(n * n);
        let a = Matrix::from_fn(n, n, |i, j| x[i * n + j] + x[j * n + i]);
        let values = eigvalsh(a.clone()).unwrap();
        let k = k.min(n);
        for which in [SpectrumEnd::Largest, SpectrumEnd::Smallest, SpectrumEnd::LargestMagnitude] {
            let options =
                LanczosOptions::default().which(which).block(block).seed(seed).tolerance(1e-9);
            let pairs = lanczos(&tensor(&host(), &a), k, &options).unwrap();
            assert_pairs(&pairs, &a, &leading(&values, which, k), magnitude(&values), 1e-9);
        }
    }
}

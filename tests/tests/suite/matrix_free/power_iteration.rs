//! Power iteration against spectra that are known.

use vivit::curvature::{Error, PowerIterationOptions, SpectrumEnd, power_iteration};
use vivit_tests::zoo::host;

use super::{Diagonal, assert_pairs, leading, magnitude, rotated, tensor};

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
        let options = PowerIterationOptions::default().tolerance(1e-9);
        let pairs = power_iteration(&tensor(&host(), &a), k, &options).unwrap();
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
    let pairs =
        power_iteration(&tensor(&host(), &a), 4, &PowerIterationOptions::default().tolerance(1e-9));
    assert_pairs(&pairs.unwrap(), &a, &[-1.0, 0.0, 0.5, 2.0], 2.0, 3e-9);
}

#[test]
fn power_iteration_says_that_opposite_values_do_not_separate() {
    let diagonal = Diagonal::new(&[1.0, -1.0, 0.3, 0.2, 0.1, 0.0]);
    let options = PowerIterationOptions::default().max_iterations(50);
    let error = power_iteration(&diagonal, 1, &options).unwrap_err();
    assert!(
        matches!(error, Error::NoConvergence { converged: 0, k: 1, products: 51, .. }),
        "{error}"
    );
    assert!(error.to_string().contains("power iteration found 0 of 1"), "{error}");
}

#[test]
fn power_iteration_keeps_what_it_found() {
    // The first is found quickly, the second never.
    let values = [3.0, 1.0, -1.0, 0.3, 0.2, 0.1, 0.0];
    let options = PowerIterationOptions::default().max_iterations(100).tolerance(1e-9);
    let error = power_iteration(&Diagonal::new(&values), 2, &options).unwrap_err();
    let Error::NoConvergence { found, converged: 1, k: 2, .. } = error else { panic!("{error}") };
    assert!((found.eigenvalues[1] - 3.0).abs() < 1e-9 && found.residuals[1] < 3e-9);
    let vectors = found.eigenvectors.to_vec().unwrap();
    for (k, vector) in vectors.chunks(values.len()).enumerate() {
        let entry = |i: usize| (values[i] - found.eigenvalues[k]) * vector[i];
        let residual = (0..values.len()).map(|i| entry(i).powi(2)).sum::<f64>().sqrt();
        assert!((residual - found.residuals[k]).abs() < 1e-12);
    }
    // A mixture of the two.
    assert!(found.residuals[0] > 0.1 && found.eigenvalues[0].abs() < 1.0);
}

#[test]
fn small_operators_are_solved_densely() {
    // Opposite values separate where the matrix is written out.
    let options = PowerIterationOptions::default().tolerance(1e-12);
    let pairs = power_iteration(&Diagonal::new(&[1.0, -1.0, 0.3]), 2, &options).unwrap();
    assert_eq!((pairs.eigenvalues, pairs.products), (vec![-1.0, 1.0], 3));
}

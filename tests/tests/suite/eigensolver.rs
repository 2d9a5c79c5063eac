//! Invariants of the eigensolver on random spectra, and of what it hands out piece by piece.

use proptest::prelude::*;
use vivit::eigh::{Real, Reduction, eigh, eigvalsh};
use vivit::tensor::{Matrix, Rng, Scalar};

use crate::nets::config;

/// `Q diag(values) Qᵀ` with a random orthogonal Q (a product of reflections).
fn with_spectrum(values: &[f64], seed: u64) -> Matrix<f64> {
    let n = values.len();
    let mut a = Matrix::from_fn(n, n, |i, j| if i == j { values[i] } else { 0.0 });
    let mut rng = Rng::new(seed);
    for _ in 0..3 {
        let u: Vec<f64> = rng.normal(n);
        let norm: f64 = u.iter().map(|x| x * x).sum();
        for side in 0..2 {
            for i in 0..n {
                let dot: f64 =
                    (0..n).map(|j| u[j] * if side == 0 { a[(i, j)] } else { a[(j, i)] }).sum();
                for j in 0..n {
                    let at = if side == 0 { (i, j) } else { (j, i) };
                    a[at] -= 2.0 * dot / norm * u[j];
                }
            }
        }
    }
    a
}

#[track_caller]
fn assert_decomposed<E: Real>(a: &Matrix<f64>, values: &[f64]) {
    let n = a.rows();
    let own = Matrix::from_fn(n, n, |i, j| E::of(a[(i, j)]));
    let scale = values.iter().fold(0.0f64, |scale, x| scale.max(x.abs()));
    let bound = 10.0 * n.max(1) as f64 * E::EPSILON.f64();
    let eigen = eigh(own.clone()).unwrap();
    let mut expected = values.to_vec();
    expected.sort_by(f64::total_cmp);
    for (got, expected) in eigen.values.iter().zip(&expected) {
        assert!(
            (got.f64() - expected).abs() <= bound * scale,
            "{got} for {expected}, scale {scale}"
        );
    }
    assert!(eigen.values.windows(2).all(|pair| pair[0] <= pair[1]));
    let dot = |x: &[E], y: &[E]| x.iter().zip(y).map(|(x, y)| x.f64() * y.f64()).sum::<f64>();
    let q = &eigen.vectors;
    for k in 0..n {
        for i in 0..n {
            let residual = dot(own.row(i), q.row(k)) - eigen.values[k].f64() * q[(k, i)].f64();
            assert!(residual.abs() <= bound * scale, "residual {residual} of vector {k}");
            let identity = if i == k { 1.0 } else { 0.0 };
            assert!((dot(q.row(i), q.row(k)) - identity).abs() <= bound, "vectors {i} and {k}");
        }
    }
    let only_values = eigvalsh(own.clone()).unwrap();
    for (with, without) in eigen.values.iter().zip(&only_values) {
        assert!(
            (with.f64() - without.f64()).abs() <= bound * scale,
            "{with} with vectors, {without} without"
        );
    }
    // Some vectors, in any order, are those of their eigenvalues.
    let some: Vec<usize> = (0..n).rev().step_by(2).collect();
    let reduction = Reduction::new(own.clone()).unwrap();
    let few = reduction.vectors(&some).unwrap();
    for (row, &k) in some.iter().enumerate() {
        for i in 0..n {
            let residual =
                dot(own.row(i), few.row(row)) - reduction.values()[k].f64() * few[(row, i)].f64();
            assert!(residual.abs() <= bound * scale, "residual {residual} of chosen vector {k}");
        }
        for other in 0..row {
            assert!(dot(few.row(row), few.row(other)).abs() <= bound);
        }
        let largest = few.row(row).iter().fold(0.0f64, |largest, x| {
            if x.f64().abs() > largest.abs() { x.f64() } else { largest }
        });
        assert!(largest > 0.0, "the entry of largest magnitude is positive");
    }
}

proptest! {
    #![proptest_config(config(24))]

    #[test]
    fn random_spectra(values in prop::collection::vec(-5.0..5.0f64, 1..40), seed in 0u64..1000) {
        let a = with_spectrum(&values, seed);
        assert_decomposed::<f64>(&a, &values);
        assert_decomposed::<f32>(&a, &values);
    }

    #[test]
    fn low_rank(n in 1usize..40, rank in 0usize..6, seed in 0u64..1000) {
        let values: Vec<f64> =
            (0..n).map(|k| if k < rank { 1.0 + k as f64 } else { 0.0 }).collect();
        assert_decomposed::<f64>(&with_spectrum(&values, seed), &values);
        assert_decomposed::<f32>(&with_spectrum(&values, seed), &values);
    }

    #[test]
    fn clusters(n in 1usize..40, spread in -16i32..-2, seed in 0u64..1000) {
        let values: Vec<f64> =
            (0..n).map(|k| (k % 3) as f64 + 10f64.powi(spread) * k as f64).collect();
        assert_decomposed::<f64>(&with_spectrum(&values, seed), &values);
        assert_decomposed::<f32>(&with_spectrum(&values, seed), &values);
    }

    #[test]
    fn graded(n in 1usize..40, decades in 1i32..20, seed in 0u64..1000) {
        let values: Vec<f64> =
            (0..n).map(|k| 10f64.powf(-f64::from(decades) * k as f64 / n as f64)).collect();
        assert_decomposed::<f64>(&with_spectrum(&values, seed), &values);
        assert_decomposed::<f32>(&with_spectrum(&values, seed), &values);
    }
}

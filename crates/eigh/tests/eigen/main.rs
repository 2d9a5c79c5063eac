//! Accuracy of eigenvalues and eigenvectors over many families and sizes, errors, and independence of threads.

mod families;

use families::Case;
use vivit_eigh::{Eigen, Error, Reduction, eigh, eigvalsh};
use vivit_tensor::{Gemm, Matrix, Scalar, gemm};

fn to<E: Scalar>(a: &Matrix<f64>) -> Matrix<E> {
    Matrix::new(a.rows(), a.cols(), a.as_slice().iter().map(|&x| E::of(x)).collect())
}

fn wide<E: Scalar>(a: &Matrix<E>) -> Matrix<f64> {
    Matrix::new(a.rows(), a.cols(), a.as_slice().iter().map(|x| x.f64()).collect())
}

/// `|X|` (Frobenius), safe against overflow and underflow.
fn norm(x: impl Iterator<Item = f64> + Clone) -> f64 {
    let largest = x.clone().fold(0.0, |max: f64, x| if x.abs() > max || x.is_nan() { x.abs() } else { max });
    if largest == 0.0 { 0.0 } else { largest * x.map(|x| (x / largest) * (x / largest)).sum::<f64>().sqrt() }
}

/// Residual, orthonormality and signs of some pairs; `size` is the matrix's norm.
fn assert_pairs<E: Scalar>(name: &str, a: &Matrix<f64>, size: f64, values: &[E], vectors: &Matrix<E>) {
    let (k, n) = (vectors.rows(), vectors.cols());
    assert_eq!((k, n), (values.len(), a.rows()), "{name}");
    let bound = 10.0 * n as f64 * E::EPSILON.f64();
    let q = wide(vectors);
    let mut residual = Matrix::<f64>::zeros(k, n);
    let inverse = if size > 0.0 { 1.0 / size } else { 0.0 };
    let scaled = Matrix::new(n, n, a.as_slice().iter().map(|x| x * inverse).collect());
    gemm(&Gemm::new(k, n, n), q.as_slice(), scaled.as_slice(), residual.as_mut_slice());
    for i in 0..k {
        let value = values[i].f64() * inverse;
        residual.row_mut(i).iter_mut().zip(q.row(i)).for_each(|(r, q)| *r -= value * q);
    }
    let error = norm(residual.as_slice().iter().copied());
    assert!(error <= bound, "{name}: residual {error:e} > {bound:e}");
    let mut products = Matrix::<f64>::from_fn(k, k, |i, j| if i == j { -1.0 } else { 0.0 });
    gemm(&Gemm::nt(k, k, n).accumulating(), q.as_slice(), q.as_slice(), products.as_mut_slice());
    let error = norm(products.as_slice().iter().copied());
    assert!(error <= bound, "{name}: not orthonormal, {error:e} > {bound:e}");
    for i in 0..k {
        let first = q.row(i).iter().fold(0.0, |max: f64, x| if x.abs() > max.abs() { *x } else { max });
        assert!(first > 0.0, "{name}: sign of vector {i}");
    }
}

fn assert_values<E: Scalar>(name: &str, size: f64, values: &[E], truth: &[f64]) {
    assert_eq!(values.len(), truth.len(), "{name}");
    assert!(values.windows(2).all(|w| w[0] <= w[1]), "{name}: not ascending");
    let bound = 10.0 * truth.len() as f64 * E::EPSILON.f64() * size;
    for (i, (value, truth)) in values.iter().zip(truth).enumerate() {
        let error = (value.f64() - truth).abs();
        assert!(error <= bound, "{name}: value {i} is {value}, not {truth}, off by {error:e} > {bound:e}");
    }
}

/// All requests on one matrix.
fn assert_case<E: Scalar>(case: &Case) {
    let a = to::<E>(&case.a);
    let (n, exact) = (a.rows(), wide(&a));
    let name = format!("{}, {}", case.name, E::NAME);
    let Eigen { values: reference, .. } = eigh(exact.clone()).unwrap_or_else(|error| panic!("{name}: {error}"));
    let size = reference.iter().fold(0.0, |max: f64, x| max.max(x.abs()));
    let eigen = eigh(a.clone()).unwrap_or_else(|error| panic!("{name}: {error}"));
    let reduction = Reduction::checked(a.clone()).unwrap_or_else(|error| panic!("{name}: {error}"));
    for values in [&eigen.values, reduction.values()] {
        assert_values(&name, size, values, &reference);
        if let Some(truth) = &case.truth {
            assert_values(&name, size, values, truth);
        }
    }
    assert_pairs(&format!("{name}, all"), &exact, size, &eigen.values, &eigen.vectors);
    let requests = [
        ("top", (n.saturating_sub(10)..n).rev().collect()),
        ("bottom", (0..n.min(3)).collect()),
        ("every third", (0..n).step_by(3).collect()),
        ("scattered", (0..n / 9).map(|k| (k * 7919 + 3) % n).collect::<std::collections::BTreeSet<_>>().into_iter().collect()),
    ];
    for (kind, indices) in requests.into_iter().collect::<Vec<(&str, Vec<usize>)>>() {
        let vectors = reduction.vectors(&indices).unwrap_or_else(|error| panic!("{name}, {kind}: {error}"));
        let values: Vec<E> = indices.iter().map(|&k| reduction.values()[k]).collect();
        assert_pairs(&format!("{name}, {kind}"), &exact, size, &values, &vectors);
    }
}

#[test]
fn random_of_every_size() {
    for n in 0..=130 {
        assert_case::<f32>(&families::random(n));
        assert_case::<f64>(&families::random(n));
    }
}

#[test]
fn gram_of_every_size() {
    for n in 0..=130 {
        assert_case::<f32>(&families::gram(n, n.div_ceil(10)));
        assert_case::<f64>(&families::gram(n, n.div_ceil(10)));
    }
}

#[test]
fn families_in_single_precision() {
    for n in [0, 1, 2, 3, 4, 5, 7, 8, 9, 16, 31, 32, 33, 34, 63, 64, 65, 97, 128, 130, 200, 257] {
        families::all(n, 1.2e-7, 30.0).iter().for_each(assert_case::<f32>);
    }
}

#[test]
fn families_in_double_precision() {
    for n in [0, 1, 2, 3, 4, 5, 6, 8, 10, 17, 31, 32, 33, 35, 63, 64, 66, 96, 129, 200, 257] {
        families::all(n, 2.3e-16, 300.0).iter().for_each(assert_case::<f64>);
    }
}

#[test]
fn wilkinson_glued_or_not() {
    for case in [(1, 0.0), (10, 1e-14), (10, 1e-8), (10, 1e-4), (12, 1.0)].map(|(n, glue)| families::wilkinson(n, glue)) {
        assert_case::<f32>(&case);
        assert_case::<f64>(&case);
    }
}

#[test]
fn larger_matrices() {
    assert_case::<f32>(&families::gram(640, 576));
    assert_case::<f64>(&families::gram(500, 450));
}

#[test]
fn very_large_and_very_small_entries() {
    let times = |case: Case, factor: f64| Case {
        name: format!("{} times {factor:e}", case.name),
        a: Matrix::new(case.a.rows(), case.a.cols(), case.a.as_slice().iter().map(|x| x * factor).collect()),
        truth: None,
    };
    for n in [1, 2, 5, 33, 70] {
        for factor in [1e150, 1e-150, 1e305, 1e-290] {
            assert_case::<f64>(&times(families::random(n), factor));
            assert_case::<f64>(&times(families::gram(n, n.div_ceil(10)), factor));
        }
        for factor in [1e18, 1e-18, 1e35] {
            assert_case::<f32>(&times(families::random(n), factor));
            assert_case::<f32>(&times(families::gram(n, n.div_ceil(10)), factor));
        }
    }
}

/// The 128 × 128 matrix of the file and its eigenvalues.
fn hard_matrix() -> (Matrix<f32>, Vec<f64>) {
    let file = include_bytes!("../data/hard_gram_matrix.safetensors");
    let start = 8 + u64::from_le_bytes(file[..8].try_into().unwrap()) as usize;
    let header = std::str::from_utf8(&file[8..start]).unwrap();
    let data = |name: &str| {
        let entry = header.split_once(&format!("\"{name}\"")).unwrap().1;
        let offsets = entry.split_once("\"data_offsets\":[").unwrap().1.split_once(']').unwrap().0;
        let (from, to) = offsets.split_once(',').unwrap();
        &file[start + from.trim().parse::<usize>().unwrap()..start + to.trim().parse::<usize>().unwrap()]
    };
    let matrix = data("matrix").chunks_exact(4).map(|x| f32::from_le_bytes(x.try_into().unwrap())).collect();
    let values = data("eigenvalues_f64").chunks_exact(8).map(|x| f64::from_le_bytes(x.try_into().unwrap())).collect();
    (Matrix::new(128, 128, matrix), values)
}

#[test]
fn matrix_that_defeated_lapack() {
    let (a, truth) = hard_matrix();
    let case = Case { name: "hard Gram matrix".to_owned(), a: wide(&a), truth: Some(truth) };
    assert_case::<f32>(&case);
    assert_case::<f64>(&case);
}

#[test]
fn same_bits_with_any_number_of_threads() {
    fn run<E: Scalar>(threads: usize) -> Vec<(Vec<E>, Matrix<E>)> {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| {
            let sizes = [1, 40, 128, 300, 600];
            let both = sizes.map(|n| {
                let a = to::<E>(&families::gram(n, n.div_ceil(2)).a);
                let eigen = eigh(a.clone()).unwrap();
                let reduction = Reduction::new(a).unwrap();
                let some = reduction.vectors(&[n - 1, n / 2]).unwrap_or_else(|_| reduction.vectors(&[0]).unwrap());
                [(eigen.values, eigen.vectors), (reduction.values().to_vec(), some)]
            });
            both.into_iter().flatten().collect()
        })
    }
    for threads in [2, 5] {
        assert!(run::<f32>(1) == run::<f32>(threads), "{threads} threads");
        assert!(run::<f64>(1) == run::<f64>(threads), "{threads} threads");
    }
}

#[test]
fn only_the_lower_triangle_is_read() {
    for n in [2, 31, 70] {
        let a = families::random(n).a;
        let poisoned = Matrix::from_fn(n, n, |i, j| if j > i { f64::NAN } else { a[(i, j)] });
        assert_eq!(eigh(a.clone()), eigh(poisoned.clone()));
        assert_eq!(eigvalsh(a), eigvalsh(poisoned));
    }
}

#[test]
fn refused_with_reasons() {
    assert_eq!(eigvalsh(Matrix::<f32>::zeros(2, 3)), Err(Error::NotSquare { rows: 2, cols: 3 }));
    let mut a = families::random(20).a;
    a[(7, 3)] = f64::NEG_INFINITY;
    assert_eq!(eigvalsh(a.clone()), Err(Error::NonFinite { row: 7, col: 3, value: f64::NEG_INFINITY }));
    a[(7, 3)] = f64::NAN;
    let message = eigvalsh(a).unwrap_err().to_string();
    assert!(message.contains("(7, 3)") && message.contains("NaN"), "{message}");
    let reduction = Reduction::new(families::random(5).a).unwrap();
    assert_eq!(reduction.vectors(&[4, 5]), Err(Error::Index { index: 5, n: 5 }));
    assert_eq!(reduction.vectors(&[4, 1, 4]), Err(Error::RepeatedIndex { index: 4 }));
    assert_eq!(reduction.vectors(&[]).unwrap(), Matrix::zeros(0, 5));
    let huge = Matrix::new(2, 2, vec![f32::MAX; 4]);
    assert_eq!(eigvalsh(huge), Err(Error::Overflow { index: 1, n: 2, dtype: "f32" }));
    assert_eq!(eigvalsh(Matrix::<f64>::zeros(0, 0)), Ok(Vec::new()));
}

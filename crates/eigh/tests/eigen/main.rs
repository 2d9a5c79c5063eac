//! Accuracy of eigenvalues and eigenvectors over many families and sizes, errors, and independence
//! of threads.

mod families;

use families::Case;
use rayon::prelude::*;
use vivit_eigh::{
    EighOptions, Error, Real, Reduction, Stages, eigh, eigh_with, eigvalsh, eigvalsh_with,
};
use vivit_tensor::{Gemm, Matrix, gemm};

fn checked() -> EighOptions {
    EighOptions::default().check(true)
}

fn to<E: Real>(a: &Matrix<f64>) -> Matrix<E> {
    Matrix::new(a.rows(), a.cols(), a.as_slice().iter().map(|&x| E::of(x)).collect())
}

fn wide<E: Real>(a: &Matrix<E>) -> Matrix<f64> {
    Matrix::new(a.rows(), a.cols(), a.as_slice().iter().map(|x| x.f64()).collect())
}

/// `|X|` (Frobenius), safe against overflow and underflow.
fn norm(x: impl Iterator<Item = f64> + Clone) -> f64 {
    let largest =
        x.clone().fold(0.0, |max: f64, x| if x.abs() > max || x.is_nan() { x.abs() } else { max });
    if largest == 0.0 {
        0.0
    } else {
        largest * x.map(|x| (x / largest) * (x / largest)).sum::<f64>().sqrt()
    }
}

/// The distance of subnormal numbers: results among them are rounded by up to half of that,
/// whatever their size.
fn spacing<E: Real>() -> f64 {
    E::min_positive_value().f64() * E::EPSILON.f64()
}

/// `|Q Qᵀ − I|` (Frobenius), from the lower triangle.
fn departure(q: &Matrix<f64>) -> f64 {
    const ROWS: usize = 128;
    let (k, n) = (q.rows(), q.cols());
    let mut squares = 0.0;
    for first in (0..k).step_by(ROWS) {
        let end = k.min(first + ROWS);
        let mut products = vec![0.0; (end - first) * end];
        gemm(
            &Gemm::nt(end - first, end, n),
            &q.as_slice()[first * n..],
            q.as_slice(),
            &mut products,
        );
        for (i, products) in (first..end).zip(products.chunks_exact(end)) {
            squares += 2.0 * products[..i].iter().map(|x| x * x).sum::<f64>()
                + (products[i] - 1.0) * (products[i] - 1.0);
        }
    }
    squares.sqrt()
}

/// Residual, orthonormality and signs of some pairs; `size` is the matrix's norm.
fn assert_pairs<E: Real>(
    name: &str,
    a: &Matrix<f64>,
    size: f64,
    values: &[E],
    vectors: &Matrix<E>,
) {
    let (k, n) = (vectors.rows(), vectors.cols());
    assert_eq!((k, n), (values.len(), a.rows()), "{name}");
    let bound = 10.0 * n as f64 * E::EPSILON.f64();
    let q = wide(vectors);
    let mut residual = Matrix::<f64>::zeros(k, n);
    // Divided, as the inverse of a subnormal number is infinite.
    let relative = |x: f64| if size > 0.0 { x / size } else { x };
    let scaled = Matrix::new(n, n, a.as_slice().iter().map(|&x| relative(x)).collect());
    gemm(&Gemm::new(k, n, n), q.as_slice(), scaled.as_slice(), residual.as_mut_slice());
    for i in 0..k {
        let value = relative(values[i].f64());
        residual.row_mut(i).iter_mut().zip(q.row(i)).for_each(|(r, q)| *r -= value * q);
    }
    let error = norm(residual.as_slice().iter().copied());
    let allowed = bound + relative(spacing::<E>()) * (k as f64).sqrt();
    assert!(error <= allowed, "{name}: residual {error:e} > {allowed:e}");
    let error = departure(&q);
    assert!(error <= bound, "{name}: not orthonormal, {error:e} > {bound:e}");
    for i in 0..k {
        let first =
            q.row(i).iter().fold(0.0, |max: f64, x| if x.abs() > max.abs() { *x } else { max });
        assert!(first > 0.0, "{name}: sign of vector {i}");
    }
}

fn assert_values<E: Real>(name: &str, size: f64, values: &[E], truth: &[f64]) {
    assert_eq!(values.len(), truth.len(), "{name}");
    assert!(values.windows(2).all(|w| w[0] <= w[1]), "{name}: not ascending");
    let bound = 10.0 * truth.len() as f64 * E::EPSILON.f64() * size + spacing::<E>();
    for (i, (value, truth)) in values.iter().zip(truth).enumerate() {
        let error = (value.f64() - truth).abs();
        assert!(
            error <= bound,
            "{name}: value {i} is {value}, not {truth}, off by {error:e} > {bound:e}"
        );
    }
}

/// All requests on one matrix, reduced as the solver chooses.
fn assert_case<E: Real>(case: &Case) {
    assert_stages::<E>(case, Stages::Auto);
}

/// All requests on one matrix.
fn assert_stages<E: Real>(case: &Case, stages: Stages) {
    let a = to::<E>(&case.a);
    let (n, exact) = (a.rows(), wide(&a));
    let name = format!("{}, {}, {stages:?}", case.name, E::NAME);
    // Large matrices are checked from outside only.
    let options = EighOptions::default().stages(stages).check(n <= 257);
    let eigen = eigh_with(a.clone(), options).unwrap_or_else(|error| panic!("{name}: {error}"));
    // In double precision without known eigenvalues, two different methods are compared: values
    // with vectors and values alone, or two stages and one.
    let reference = match &case.truth {
        Some(truth) => truth.clone(),
        None if E::EPSILON.f64() == f64::EPSILON && stages != Stages::Two => {
            eigen.values.iter().map(|value| value.f64()).collect()
        }
        None => eigvalsh_with(exact.clone(), options.stages(Stages::One))
            .unwrap_or_else(|error| panic!("{name}: {error}")),
    };
    let size = reference.iter().fold(0.0, |max: f64, x| max.max(x.abs()));
    let reduction = Reduction::with_options(a, options.check(n <= 700))
        .unwrap_or_else(|error| panic!("{name}: {error}"));
    for values in [&eigen.values, reduction.values()] {
        assert_values(&name, size, values, &reference);
    }
    assert_pairs(&format!("{name}, all"), &exact, size, &eigen.values, &eigen.vectors);
    let all: Vec<usize> = (0..n).collect();
    let scattered: std::collections::BTreeSet<usize> =
        (0..n / 9).map(|k| (k * 7919 + 3) % n).collect();
    let requests = [
        ("all in two steps", all),
        ("top", (n.saturating_sub(10)..n).rev().collect()),
        ("bottom", (0..n.min(3)).collect()),
        ("middle", (n / 2..n.min(n / 2 + 1)).collect()),
        ("every third", (0..n).step_by(3).collect()),
        ("scattered", scattered.into_iter().collect()),
    ];
    // The largest matrices are decomposed as a whole twice only, here and for every third, as that
    // takes most of the time.
    for (kind, indices) in requests.into_iter().skip(usize::from(n > 700)) {
        let vectors =
            reduction.vectors(&indices).unwrap_or_else(|error| panic!("{name}, {kind}: {error}"));
        let values: Vec<E> = indices.iter().map(|&k| reduction.values()[k]).collect();
        assert_pairs(&format!("{name}, {kind}"), &exact, size, &values, &vectors);
    }
    let top = reduction.top(4).unwrap_or_else(|error| panic!("{name}: {error}"));
    assert_eq!(top.values, reduction.values()[n.saturating_sub(4)..], "{name}");
    assert_pairs(&format!("{name}, top 4"), &exact, size, &top.values, &top.vectors);
    if n > 700 {
        return;
    }
    let threshold = E::of(size / 2.0);
    let above = reduction.above(threshold).unwrap_or_else(|error| panic!("{name}: {error}"));
    assert!(above.values.iter().all(|&value| value > threshold), "{name}");
    assert_eq!(above.values, reduction.values()[n - above.values.len()..], "{name}");
    assert!(
        reduction.values()[..n - above.values.len()].iter().all(|&value| value <= threshold),
        "{name}"
    );
    assert_pairs(&format!("{name}, above"), &exact, size, &above.values, &above.vectors);
}

fn assert_families<E: Real>(sizes: impl IntoIterator<Item = usize>, range: families::Range) {
    for n in sizes {
        families::all(n, range).iter().for_each(assert_case::<E>);
    }
}

/// The same in two stages, whatever the size.
fn assert_in_two_stages<E: Real>(sizes: impl IntoIterator<Item = usize>, range: families::Range) {
    for n in sizes {
        families::all(n, range).iter().for_each(|case| assert_stages::<E>(case, Stages::Two));
    }
}

#[test]
fn every_small_size_in_single_precision() {
    assert_families::<f32>(0..=130, families::F32);
}

#[test]
fn every_small_size_in_double_precision() {
    assert_families::<f64>(0..=130, families::F64);
}

#[test]
fn middle_sizes() {
    assert_families::<f32>([200, 257], families::F32);
    assert_families::<f64>([200, 257], families::F64);
}

#[test]
fn size_640() {
    assert_families::<f32>([640], families::F32);
    assert_families::<f64>([640], families::F64);
}

#[test]
fn size_1000() {
    assert_families::<f32>([1000], families::F32);
    assert_families::<f64>([1000], families::F64);
}

/// Around one, two and three blocks of the band, and of the reflectors.
const BLOCK_ENDS: [usize; 17] = [0, 1, 2, 3, 4, 7, 20, 33, 63, 64, 65, 66, 68, 127, 130, 193, 257];

#[test]
fn two_stages_in_single_precision() {
    assert_in_two_stages::<f32>(BLOCK_ENDS, families::F32);
}

#[test]
fn two_stages_in_double_precision() {
    assert_in_two_stages::<f64>(BLOCK_ENDS, families::F64);
}

#[test]
fn two_stages_of_size_640() {
    assert_in_two_stages::<f32>([640], families::F32);
    assert_in_two_stages::<f64>([640], families::F64);
}

/// A size at which the solver itself takes two stages for values.
#[test]
fn two_stages_by_choice() {
    let values: Vec<f64> = (0..1700).map(|i| f64::from(i) / 1700.0).collect();
    let case = families::spectrum("arithmetic", &values);
    assert_case::<f32>(&case);
    let a = to::<f32>(&case.a);
    let [auto, two] = [Stages::Auto, Stages::Two]
        .map(|stages| eigvalsh_with(a.clone(), EighOptions::default().stages(stages)));
    assert_eq!(auto, two);
}

#[test]
fn wilkinson_glued_or_not() {
    for case in [(1, 0.0), (10, 1e-14), (10, 1e-8), (10, 1e-4), (12, 1.0)]
        .map(|(n, glue)| families::wilkinson(n, glue))
    {
        assert_case::<f32>(&case);
        assert_case::<f64>(&case);
    }
}

#[test]
fn gram_of_nearly_full_rank() {
    assert_case::<f32>(&families::gram(640, 576));
    assert_case::<f64>(&families::gram(500, 450));
}

#[test]
fn at_the_ends_of_the_range() {
    for n in [1, 2, 3, 5, 33, 70] {
        for factor in [1e305, 1e-290, 1e-308, 1e-320] {
            assert_case::<f64>(&families::times(families::random(n), factor));
            assert_case::<f64>(&families::times(families::gram(n, n.div_ceil(10)), factor));
        }
        for factor in [1e35, 1e-37, 1e-42] {
            assert_case::<f32>(&families::times(families::random(n), factor));
            assert_case::<f32>(&families::times(families::gram(n, n.div_ceil(10)), factor));
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
        &file[start + from.trim().parse::<usize>().unwrap()
            ..start + to.trim().parse::<usize>().unwrap()]
    };
    let matrix =
        data("matrix").chunks_exact(4).map(|x| f32::from_le_bytes(x.try_into().unwrap())).collect();
    let values = data("eigenvalues_f64")
        .chunks_exact(8)
        .map(|x| f64::from_le_bytes(x.try_into().unwrap()))
        .collect();
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
    fn run<E: Real>(threads: usize) -> Vec<(Vec<E>, Matrix<E>)> {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| {
            let sizes = [1, 40, 128, 300, 600];
            let both = sizes.map(|n| {
                let a = to::<E>(&families::gram(n, n.div_ceil(2)).a);
                let eigen = eigh(a.clone()).unwrap();
                let reduction = Reduction::new(a).unwrap();
                let some = reduction
                    .vectors(&[n - 1, n / 2])
                    .unwrap_or_else(|_| reduction.vectors(&[0]).unwrap());
                [(eigen.values, eigen.vectors), (reduction.values().to_vec(), some)]
            });
            let in_two_stages = sizes.map(|n| {
                let options = EighOptions::default().stages(Stages::Two);
                let a = to::<E>(&families::gram(n, n.div_ceil(2)).a);
                let reduction = Reduction::with_options(a.clone(), options).unwrap();
                let eigen = eigh_with(a, options).unwrap();
                let top = reduction.vectors(&[n - 1]).unwrap();
                [(eigen.values, eigen.vectors), (reduction.values().to_vec(), top)]
            });
            both.into_iter().chain(in_two_stages).flatten().collect()
        })
    }
    for threads in [2, 5] {
        assert!(run::<f32>(1) == run::<f32>(threads), "{threads} threads");
        assert!(run::<f64>(1) == run::<f64>(threads), "{threads} threads");
    }
}

#[test]
fn calls_from_within_tasks_of_any_pool_finish_with_the_same_bits() {
    let a = families::gram(300, 270).a;
    let pairs = |_| {
        let reduction = Reduction::new(a.clone()).unwrap();
        (eigh(a.clone()).unwrap(), reduction.top(3).unwrap())
    };
    let expected = pairs(0);
    for threads in [1, 2, 3, 8] {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        let found: Vec<_> = pool.install(|| (0..9).into_par_iter().map(pairs).collect());
        assert!(found.iter().all(|found| *found == expected), "{threads} threads");
    }
}

#[test]
fn only_the_lower_triangle_is_read() {
    for n in [2, 31, 70, 300] {
        let a = families::random(n).a;
        for poison in [f64::NAN, f64::INFINITY] {
            let poisoned = Matrix::from_fn(n, n, |i, j| if j > i { poison } else { a[(i, j)] });
            assert_eq!(eigh(a.clone()), eigh(poisoned.clone()));
            assert_eq!(eigvalsh(a.clone()), eigvalsh(poisoned.clone()));
            let two = checked().stages(Stages::Two);
            assert_eq!(eigh_with(a.clone(), two), eigh_with(poisoned.clone(), two));
            let top = |a: Matrix<f64>| Reduction::with_options(a, checked()).unwrap().top(2);
            assert_eq!(top(a.clone()), top(poisoned));
        }
    }
}

#[test]
fn zeros_of_either_sign() {
    for n in [1, 2, 3, 40, 300] {
        let eigen = eigh(Matrix::new(n, n, vec![-0.0f32; n * n])).unwrap();
        assert!(eigen.values.iter().all(|&value| value == 0.0), "{n}");
        let identity = Matrix::from_fn(n, n, |i, j| if i == j { 1.0 } else { 0.0 });
        assert_eq!(eigen.vectors, identity, "{n}");
    }
    for stages in [Stages::One, Stages::Two] {
        let options = EighOptions::default().stages(stages);
        let zero = eigvalsh_with(Matrix::new(150, 150, vec![-0.0f64; 150 * 150]), options);
        assert_eq!(zero, Ok(vec![0.0; 150]));
    }
    let signed = Matrix::new(2, 2, vec![-0.0f64, 0.0, -0.0, 0.0]);
    assert_eq!(eigvalsh(signed), Ok(vec![0.0, 0.0]));
}

#[test]
fn chosen_vectors_come_in_the_order_asked_for() {
    for n in [6, 9, 40, 300] {
        let reduction = Reduction::new(families::random(n).a).unwrap();
        let indices = [n - 1, 0, n / 2, n - 2];
        let vectors = reduction.vectors(&indices).unwrap();
        for (i, &index) in indices.iter().enumerate() {
            let alone = reduction.vectors(&[index]).unwrap();
            let overlap: f64 = alone.row(0).iter().zip(vectors.row(i)).map(|(x, y)| x * y).sum();
            assert!((overlap - 1.0).abs() < 1e-9, "n = {n}, vector {index}");
        }
    }
}

#[test]
fn pairs_at_the_top_and_above_a_threshold() {
    let reduction =
        Reduction::new(Matrix::from_fn(5, 5, |i, j| if i == j { i as f64 } else { 0.0 })).unwrap();
    assert_eq!(reduction.top(2).unwrap().values, [3.0, 4.0]);
    assert_eq!(reduction.top(0).unwrap().values, []);
    assert_eq!(reduction.top(9).unwrap().values, reduction.values());
    assert_eq!(reduction.above(2.0).unwrap().values, [3.0, 4.0]);
    assert_eq!(reduction.above(-1.0).unwrap().vectors.rows(), 5);
    for threshold in [4.0, f64::INFINITY, f64::NAN] {
        assert_eq!(reduction.above(threshold).unwrap().vectors, Matrix::zeros(0, 5));
    }
}

#[test]
fn refused_with_reasons() {
    assert_eq!(eigvalsh(Matrix::<f32>::zeros(2, 3)), Err(Error::NotSquare { rows: 2, cols: 3 }));
    let mut a = families::random(20).a;
    a[(7, 3)] = f64::NEG_INFINITY;
    assert_eq!(
        eigvalsh(a.clone()),
        Err(Error::NonFinite { row: 7, col: 3, value: f64::NEG_INFINITY })
    );
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

#[test]
fn the_check_changes_no_result() {
    let sizes = [0, 1, 7, 40, 300];
    let cases = sizes.iter().flat_map(|&n| [Stages::One, Stages::Two].map(|stages| (n, stages)));
    for (n, stages) in cases {
        let a = families::gram(n, n.div_ceil(2)).a;
        let [with, without] = [true, false].map(|check| {
            let options = EighOptions::default().stages(stages).check(check);
            let reduction = Reduction::with_options(a.clone(), options).unwrap();
            let top = reduction.top(3).unwrap();
            (
                eigh_with(a.clone(), options).unwrap(),
                eigvalsh_with(a.clone(), options).unwrap(),
                top,
            )
        });
        assert!(with == without, "{n}");
    }
}

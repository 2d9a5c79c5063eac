//! The eigensolver against an independent one, faer's, in double precision.
//!
//! The oracle decomposes what the element type made of the matrix. Values are compared one by one;
//! vectors as subspaces, as those of a cluster of eigenvalues are arbitrary within it. Eigenvalues
//! belong to one cluster unless they are so far apart that the perturbation which is allowed, `10 n
//! ε |A|`, cannot mix them much.

#[path = "../../../crates/eigh/tests/eigen/families.rs"]
mod families;

use std::ops::Range;

use faer::{Mat, Side};
use families::Case;
use vivit::eigh::{Real, Reduction, eigh};
use vivit::tensor::{Gemm, Matrix, Scalar, gemm};

/// The oracle's decomposition.
struct Oracle {
    values: Vec<f64>,
    /// In rows.
    vectors: Matrix<f64>,
    norm: f64,
}

impl Oracle {
    fn new(a: &Matrix<f64>) -> Self {
        let n = a.rows();
        let eigen = Mat::from_fn(n, n, |i, j| a[(i, j)])
            .self_adjoint_eigen(Side::Lower)
            .expect("the oracle converges");
        let (values, vectors) = (eigen.S(), eigen.U());
        let values: Vec<f64> = (0..n).map(|i| values[i]).collect();
        let norm = values.iter().fold(0.0, |max: f64, x| max.max(x.abs()));
        Oracle { values, vectors: Matrix::from_fn(n, n, |i, j| vectors[(j, i)]), norm }
    }

    /// The indices between gaps larger than `gap`, and the smaller gap beside them.
    fn clusters(&self, gap: f64) -> Vec<(Range<usize>, f64)> {
        let n = self.values.len();
        let step = |i: usize| {
            if i == 0 || i == n { f64::INFINITY } else { self.values[i] - self.values[i - 1] }
        };
        let cuts: Vec<usize> = (0..=n).filter(|&i| step(i) > gap).collect();
        cuts.windows(2).map(|cut| (cut[0]..cut[1], step(cut[0]).min(step(cut[1])))).collect()
    }
}

/// Values, all vectors and some vectors of a matrix, which is `factor` times the one that the
/// oracle sees.
fn assert_agrees<E: Real>(name: &str, a: &Matrix<f64>, factor: f64) {
    let n = a.rows();
    let own = Matrix::from_fn(n, n, |i, j| E::of(a[(i, j)] * factor));
    let oracle = Oracle::new(&Matrix::from_fn(n, n, |i, j| own[(i, j)].f64() / factor));
    let name = format!("{name}, {}", E::NAME);
    let bound = 10.0 * n as f64 * E::EPSILON.f64();
    let eigen = eigh(own.clone()).unwrap();
    let reduction = Reduction::new(own).unwrap();
    for values in [&eigen.values, reduction.values()] {
        assert_eq!(values.len(), n, "{name}");
        for (i, (value, truth)) in values.iter().zip(&oracle.values).enumerate() {
            let error = (value.f64() / factor - truth).abs();
            assert!(
                error <= bound * oracle.norm,
                "{name}: value {i} is {value}, not {truth}, off by {error:e}"
            );
        }
    }
    let clusters = oracle.clusters(20.0 * bound * oracle.norm);
    let all: Vec<usize> = (0..n).collect();
    assert_subspaces(&name, &oracle, &clusters, bound, &all, &eigen.vectors);
    for indices in [
        (n.saturating_sub(7)..n).rev().collect(),
        all[..n.min(2)].to_vec(),
        all.into_iter().step_by(3).collect(),
    ] {
        let vectors = reduction.vectors(&indices).unwrap();
        assert_subspaces(&name, &oracle, &clusters, bound, &indices, &vectors);
    }
}

/// The vectors of each cluster lie in the oracle's subspace: `|Q (1 − P)|` is the distance of the
/// projectors if all of the cluster were asked for. With a residual `R` and the gap `δ` it is at
/// most `|R| / δ` (Davis & Kahan).
fn assert_subspaces<E: Real>(
    name: &str,
    oracle: &Oracle,
    clusters: &[(Range<usize>, f64)],
    bound: f64,
    indices: &[usize],
    vectors: &Matrix<E>,
) {
    let n = oracle.values.len();
    for (cluster, gap) in clusters {
        let rows: Vec<usize> =
            (0..indices.len()).filter(|&row| cluster.contains(&indices[row])).collect();
        let (k, m) = (rows.len(), cluster.len());
        let mut q: Vec<f64> =
            rows.iter().flat_map(|&row| vectors.row(row)).map(|x| x.f64()).collect();
        let basis = &oracle.vectors.as_slice()[cluster.start * n..cluster.end * n];
        let mut parts = vec![0.0; k * m];
        gemm(&Gemm::nt(k, m, n), &q, basis, &mut parts);
        gemm(&Gemm::new(k, n, m).scaled(-1.0).accumulating(), &parts, basis, &mut q);
        let distance = q.iter().map(|x| x * x).sum::<f64>().sqrt();
        // The oracle's own error on top, and rounding.
        let allowed = 2.0 * bound * oracle.norm / gap + bound;
        assert!(
            distance <= allowed,
            "{name}: subspace of {cluster:?} is off by {distance:e} > {allowed:e}"
        );
    }
}

const SIZES: [usize; 18] = [1, 2, 3, 4, 5, 7, 10, 16, 21, 32, 33, 42, 64, 65, 100, 130, 200, 300];

fn assert_families<E: Real>(range: families::Range) {
    let unscaled = families::Range { factor: 1.0, ..range };
    for Case { name, a, .. } in SIZES.iter().flat_map(|&n| families::all(n, unscaled)) {
        assert_agrees::<E>(&name, &a, 1.0);
    }
    // A power of two, so that the oracle sees the same matrix.
    let power = range.factor.log2().round();
    for n in [1, 2, 33, 100, 257] {
        for Case { name, a, .. } in [families::random(n), families::gram(n, n.div_ceil(10))] {
            assert_agrees::<E>(&name, &a, power.exp2());
            assert_agrees::<E>(&name, &a, (-power).exp2());
        }
    }
}

#[test]
fn agrees_in_single_precision() {
    assert_families::<f32>(families::F32);
}

#[test]
fn agrees_in_double_precision() {
    assert_families::<f64>(families::F64);
}

#[test]
fn agrees_on_large_matrices() {
    for n in [640, 1000] {
        let clusters: Vec<f64> =
            (0..n).map(|i| if i < n / 3 { 1e-3 } else { 1.0 + (i % 2) as f64 }).collect();
        let cases = [
            families::random(n),
            families::gram(n, n / 10),
            families::spectrum("three clusters", &clusters),
            families::wilkinson(n / 21, 1e-7),
        ];
        for Case { name, a, .. } in cases {
            assert_agrees::<f32>(&name, &a, 1.0);
            assert_agrees::<f64>(&name, &a, 1.0);
        }
    }
}

#[test]
fn agrees_on_glued_wilkinson_matrices() {
    for Case { name, a, .. } in [(1, 0.0), (10, 1e-14), (10, 1e-8), (10, 1e-4), (12, 1.0)]
        .map(|(n, glue)| families::wilkinson(n, glue))
    {
        assert_agrees::<f32>(&name, &a, 1.0);
        assert_agrees::<f64>(&name, &a, 1.0);
    }
}

#[test]
fn agrees_on_the_matrix_that_defeated_lapack() {
    let case = vivit_tests::case::Case::read(
        &vivit_tests::case::own_cases().join("hard_gram_matrix.safetensors"),
    )
    .unwrap();
    let a = Matrix::new(128, 128, case.array("matrix").unwrap().data.clone());
    assert_agrees::<f32>("hard Gram matrix", &a, 1.0);
    assert_agrees::<f64>("hard Gram matrix", &a, 1.0);
}

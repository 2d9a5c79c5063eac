//! Families of symmetric matrices that are easy to get wrong.

use vivit_tensor::{Gemm, Matrix, Rng, gemm};

/// A symmetric matrix and, if known, its eigenvalues in ascending order.
pub struct Case {
    /// What it is.
    pub name: String,
    /// Both triangles.
    pub a: Matrix<f64>,
    /// Eigenvalues.
    pub truth: Option<Vec<f64>>,
}

fn case(name: &str, a: Matrix<f64>, truth: Option<Vec<f64>>) -> Case {
    let truth = truth.map(|mut values| {
        values.sort_by(f64::total_cmp);
        values
    });
    Case { name: format!("{name}, n = {}", a.rows()), a, truth }
}

/// Symmetric with normal entries.
pub fn random(n: usize) -> Case {
    let x = Matrix::new(n, n, Rng::new(n as u64).normal(n * n));
    case("random", Matrix::from_fn(n, n, |i, j| x[(i.max(j), i.min(j))]), None)
}

/// `X Xᵀ` with `X` of size `n × rank`.
pub fn gram(n: usize, rank: usize) -> Case {
    let x: Vec<f64> = Rng::new(n as u64).normal(n * rank);
    let mut a = Matrix::zeros(n, n);
    gemm(&Gemm::nt(n, n, rank), &x, &x, a.as_mut_slice());
    let a = Matrix::from_fn(n, n, |i, j| a[(i.max(j), i.min(j))]);
    case(&format!("Gram of rank {rank}"), a, None)
}

/// A matrix with this spectrum and random eigenvectors.
pub fn spectrum(name: &str, values: &[f64]) -> Case {
    let n = values.len();
    let mut a = Matrix::from_fn(n, n, |i, j| if i == j { values[i] } else { 0.0 });
    let mut rng = Rng::new(3 * n as u64 + 1);
    for _ in 0..3 {
        let v: Vec<f64> = rng.normal(n);
        let norm: f64 = v.iter().map(|x| x * x).sum();
        if norm == 0.0 {
            continue;
        }
        let p: Vec<f64> = (0..n)
            .map(|i| a.row(i).iter().zip(&v).map(|(a, v)| a * v).sum::<f64>() * 2.0 / norm)
            .collect();
        let half = p.iter().zip(&v).map(|(p, v)| p * v).sum::<f64>() / norm;
        let w: Vec<f64> = p.iter().zip(&v).map(|(p, v)| p - half * v).collect();
        a = Matrix::from_fn(n, n, |i, j| a[(i, j)] - v[i] * w[j] - w[i] * v[j]);
    }
    case(name, Matrix::from_fn(n, n, |i, j| a[(i.max(j), i.min(j))]), Some(values.to_vec()))
}

/// Tridiagonal with constant or varying entries.
pub fn tridiagonal(
    name: &str,
    d: &[f64],
    e: impl Fn(usize) -> f64,
    truth: Option<Vec<f64>>,
) -> Case {
    let n = d.len();
    let a = Matrix::from_fn(n, n, |i, j| match i.abs_diff(j) {
        0 => d[i],
        1 => e(i.min(j)),
        _ => 0.0,
    });
    case(name, a, truth)
}

/// `glued` copies of Wilkinson's `W21+`, joined by entries of size `glue`.
pub fn wilkinson(copies: usize, glue: f64) -> Case {
    let d: Vec<f64> = (0..21 * copies).map(|i| (i % 21).abs_diff(10) as f64).collect();
    tridiagonal(
        &format!("Wilkinson glued by {glue:e}"),
        &d,
        |i| if i % 21 == 20 { glue } else { 1.0 },
        None,
    )
}

/// A case with all entries multiplied by `factor`.
pub fn times(case: Case, factor: f64) -> Case {
    let Case { name, a, truth } = case;
    let scale = |x: &f64| x * factor;
    Case {
        name: format!("{name}, times {factor:e}"),
        a: Matrix::new(a.rows(), a.cols(), a.as_slice().iter().map(scale).collect()),
        truth: truth.map(|truth| truth.iter().map(scale).collect()),
    }
}

/// What the families depend on the element type for.
#[derive(Clone, Copy)]
pub struct Range {
    /// The rounding.
    pub epsilon: f64,
    /// Decades of scale within one matrix.
    pub decades: f64,
    /// Factor that entries are multiplied and divided by.
    pub factor: f64,
}

/// Single precision.
pub const F32: Range = Range { epsilon: 1.2e-7, decades: 30.0, factor: 1e18 };
/// Double precision.
pub const F64: Range = Range { epsilon: 2.3e-16, decades: 300.0, factor: 1e150 };

/// Everything of one size.
pub fn all(n: usize, range: Range) -> Vec<Case> {
    let Range { epsilon, decades, factor } = range;
    let diagonal =
        |values: &[f64]| Matrix::from_fn(n, n, |i, j| if i == j { values[i] } else { 0.0 });
    let at = |i: usize| i as f64 / (n.max(2) - 1) as f64;
    let list = |f: &dyn Fn(usize) -> f64| (0..n).map(f).collect::<Vec<f64>>();
    let uniform: Vec<f64> = Rng::new(5).uniform(n, -1.0, 1.0);
    let graded =
        Matrix::from_fn(n, n, |i, j| 10f64.powf(-decades * at(i.max(j))) * (1.0 + at(i.min(j))));
    let reversed = Matrix::from_fn(n, n, |i, j| graded[(n - 1 - i, n - 1 - j)]);
    let pi = std::f64::consts::PI;
    let second = list(&|k| 2.0 - 2.0 * (pi * (k + 1) as f64 / (n + 1) as f64).cos());
    vec![
        random(n),
        gram(n, n.div_ceil(10)),
        gram(n, 1),
        case("identity", diagonal(&vec![1.0; n]), Some(vec![1.0; n])),
        case("zero", Matrix::zeros(n, n), Some(vec![0.0; n])),
        case("diagonal", diagonal(&uniform), Some(uniform.clone())),
        spectrum("one cluster", &list(&|i| 1.0 + epsilon * i as f64)),
        spectrum("two clusters", &list(&|i| if i < n / 3 { 1e-3 } else { 1.0 })),
        spectrum("geometric", &list(&|i| epsilon.powf(at(i)))),
        spectrum("arithmetic", &list(&|i| 1.0 - (1.0 - epsilon) * at(i))),
        tridiagonal("(1, 2, 1)", &vec![2.0; n], |_| 1.0, Some(second)),
        tridiagonal(
            "Wilkinson",
            &list(&|i| (i as f64 - (n as f64 - 1.0) / 2.0).abs()),
            |_| 1.0,
            None,
        ),
        tridiagonal(
            "glued Wilkinson",
            &list(&|i| (i % 21).abs_diff(10) as f64),
            |i| if i % 21 == 20 { 1e-7 } else { 1.0 },
            None,
        ),
        case("Hilbert", Matrix::from_fn(n, n, |i, j| 1.0 / (i + j + 1) as f64), None),
        case("graded down", graded, None),
        case("graded up", reversed, None),
        case(
            "bipartite graph",
            Matrix::from_fn(n, n, |i, j| f64::from(u8::from(i % 2 != j % 2))),
            None,
        ),
        case(
            "multipartite graph",
            Matrix::from_fn(n, n, |i, j| f64::from(u8::from(i % 7 != j % 7))),
            None,
        ),
        tridiagonal("tiny off-diagonals", &uniform, |i| 10f64.powi(-(i as i32 % 40)), None),
        times(random(n), factor),
        times(random(n), 1.0 / factor),
        times(gram(n, n.div_ceil(10)), factor),
        times(gram(n, n.div_ceil(10)), 1.0 / factor),
    ]
}

//! Eigenvectors of a tridiagonal matrix for known eigenvalues, by inverse iteration.
//!
//! For a computed eigenvalue `λ`, `x ← (T − λ)⁻¹ x / |·|` converges to its vector in two or three steps from almost every start
//! (Peters & Wilkinson, SIAM Rev. 21 (1979) 339–360; LAPACK's `stein`). `T − λ` is factored once with partial pivoting. After a
//! step from a unit vector, `1 / |(T − λ)⁻¹ x|` is the residual. Vectors of values that lie too close for the precision asked for
//! are orthogonalised against each other in every step. Starts are pseudo-random and depend on the index only.
//!
//! Large clusters can defeat this; the result is therefore checked, and `None` sends the caller to the robust way.

use vivit_tensor::{Gemm, Matrix, Rng, Scalar, gemm};

use crate::tridiagonal::Tridiagonal;
use crate::values::Values;

/// Steps after which a vector is given up.
const MAX_STEPS: usize = 8;

/// Unit eigenvectors of the given ascending indices in rows, or nothing if they are not accurate and orthonormal.
pub(crate) fn vectors<E: Scalar>(t: &Tridiagonal, values: &Values, indices: &[usize]) -> Option<Matrix<E>> {
    let n = t.d.len();
    let norm = t.norm();
    let mut x = Matrix::<f64>::zeros(indices.len(), n);
    // Everything here is in double precision, so that vectors of single precision come out orthogonal for much closer values.
    let close = norm * f64::min(1e-3, 100.0 * f64::EPSILON / E::EPSILON.f64());
    // Per block: the last shift, and the indices (into `indices`) of the cluster that it belongs to.
    let mut last: Vec<(f64, Vec<usize>)> = vec![(f64::NEG_INFINITY, Vec::new()); values.blocks.len()];
    for (k, &index) in indices.iter().enumerate() {
        let block = values.block[index];
        let rows = values.blocks[block].clone();
        let (shift, cluster) = &mut last[block];
        if values.values[index] - *shift > close {
            cluster.clear();
        }
        let lambda = f64::max(values.values[index], *shift + f64::EPSILON * norm);
        let (earlier, x) = x.as_mut_slice().split_at_mut(k * n);
        let x = &mut x[rows.clone()];
        if x.len() == 1 {
            x[0] = 1.0;
            continue;
        }
        let solver = Shifted::new(&t.d[rows.clone()], &t.e[rows.start..rows.end - 1], lambda, f64::EPSILON * norm);
        let cluster_vectors = || cluster.iter().map(|&c| &earlier[c * n..][rows.clone()]);
        if !iterate(&solver, x, index, norm, cluster_vectors) {
            return None;
        }
        *shift = lambda;
        cluster.push(k);
    }
    let accurate = accurate::<E>(t, values, indices, &x, norm);
    // Entries that would be subnormal are below rounding everywhere, and slow.
    let round = |x: f64| if x.abs() < 1e-30 { E::zero() } else { E::of(x) };
    accurate.then(|| Matrix::new(indices.len(), n, x.into_vec().into_iter().map(round).collect()))
}

/// Inverse iteration for one vector; false if it does not converge.
fn iterate<'a, C>(solver: &Shifted, x: &mut [f64], seed: usize, norm: f64, cluster: impl Fn() -> C) -> bool
where
    C: Iterator<Item = &'a [f64]>,
{
    let enough = (x.len() as f64).sqrt() * 2.0 * f64::EPSILON * norm;
    x.copy_from_slice(&Rng::new(seed as u64).uniform(x.len(), -1.0, 1.0));
    normalise(x);
    let mut good = 0;
    for _ in 0..MAX_STEPS {
        solver.solve(x);
        let growth = normalise(x);
        let mut kept = 1.0;
        for other in cluster() {
            let overlap: f64 = other.iter().zip(&*x).map(|(a, b)| a * b).sum();
            x.iter_mut().zip(other).for_each(|(x, other)| *x -= overlap * other);
            kept *= normalise(x);
        }
        // One more step after the residual is down, as the first one can be lucky.
        good += usize::from(growth * enough >= 1.0 && kept > 0.1);
        if good == 2 {
            return true;
        }
    }
    good > 0
}

/// Scales to unit length; returns the length before.
fn normalise(x: &mut [f64]) -> f64 {
    let largest = x.iter().fold(0.0, |max: f64, x| max.max(x.abs()));
    if !(largest > 0.0 && largest < f64::INFINITY) {
        return 0.0;
    }
    let scaled: f64 = x.iter().map(|x| (x / largest) * (x / largest)).sum();
    let norm = largest * scaled.sqrt();
    x.iter_mut().for_each(|x| *x /= norm);
    norm
}

/// Whether residuals and orthonormality are at rounding level of the element type.
fn accurate<E: Scalar>(t: &Tridiagonal, values: &Values, indices: &[usize], x: &Matrix<f64>, norm: f64) -> bool {
    let (k, n) = (x.rows(), x.cols());
    let bound = n.max(8) as f64 * E::EPSILON.f64();
    let residual = |row: usize| {
        let (x, lambda) = (x.row(row), values.values[indices[row]]);
        let squares = (0..n).map(|i| {
            let left = if i > 0 { t.e[i - 1] * x[i - 1] } else { 0.0 };
            let right = if i + 1 < n { t.e[i] * x[i + 1] } else { 0.0 };
            let r = (t.d[i] - lambda) * x[i] + left + right;
            r * r
        });
        squares.sum::<f64>().sqrt()
    };
    if !(0..k).all(|row| residual(row) <= bound * norm) {
        return false;
    }
    let mut products = Matrix::<f64>::zeros(k, k);
    gemm(&Gemm::nt(k, k, n), x.as_slice(), x.as_slice(), products.as_mut_slice());
    (0..k).all(|i| (0..k).all(|j| (products[(i, j)] - f64::from(u8::from(i == j))).abs() <= bound))
}

/// `T − λ` as `P L U`.
struct Shifted {
    /// The diagonal of U and the two diagonals above it.
    u: Vec<[f64; 3]>,
    /// The multiplier of each step and whether its rows were exchanged.
    l: Vec<(f64, bool)>,
}

impl Shifted {
    fn new(d: &[f64], e: &[f64], lambda: f64, tiny: f64) -> Self {
        let n = d.len();
        let (mut u, mut l) = (Vec::with_capacity(n), Vec::with_capacity(n));
        let mut row = [d[0] - lambda, e[0], 0.0];
        for i in 0..n - 1 {
            let next = [e[i], d[i + 1] - lambda, e.get(i + 1).copied().unwrap_or(0.0)];
            let exchange = next[0].abs() > row[0].abs();
            let (pivot, other) = if exchange { (next, [row[0], row[1], 0.0]) } else { ([row[0], row[1], 0.0], next) };
            let factor = if pivot[0] == 0.0 { 0.0 } else { other[0] / pivot[0] };
            u.push(pivot);
            l.push((factor, exchange));
            row = [other[1] - factor * pivot[1], other[2] - factor * pivot[2], 0.0];
        }
        u.push(row);
        // A pivot at rounding level stands for one that is zero; its size makes the solution large, as it should be.
        for pivot in u.iter_mut().map(|row| &mut row[0]).filter(|pivot| pivot.abs() < tiny) {
            *pivot = tiny.copysign(*pivot);
        }
        Shifted { u, l }
    }

    /// `x ← (T − λ)⁻¹ x`, up to a positive factor if that is needed against overflow.
    fn solve(&self, x: &mut [f64]) {
        let n = x.len();
        for (i, &(factor, exchange)) in self.l.iter().enumerate() {
            if exchange {
                x.swap(i, i + 1);
            }
            x[i + 1] -= factor * x[i];
        }
        let (mut one, mut two) = (0.0, 0.0);
        for i in (0..n).rev() {
            let [pivot, first, second] = self.u[i];
            let value = (x[i] - first * one - second * two) / pivot;
            x[i] = value;
            (one, two) = (value, one);
        }
    }
}

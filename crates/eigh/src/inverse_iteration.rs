//! Eigenvectors of a tridiagonal matrix for known eigenvalues, by inverse iteration.
//!
//! For a computed eigenvalue `λ`, `x ← (T − λ)⁻¹ x / |·|` converges to its vector in two or three
//! steps from almost every start (Peters & Wilkinson, SIAM Rev. 21 (1979) 339–360; LAPACK's
//! `stein`). `T − λ` is factored once with partial pivoting. After a step from a unit vector, `1 /
//! |(T − λ)⁻¹ x|` is the residual. Vectors of values that lie too close for the precision asked for
//! are orthogonalised against each other in every step. Starts are pseudo-random and depend on the
//! index only.
//!
//! Large clusters can defeat this; the result is therefore checked, and `None` sends the caller to
//! the robust way.

use rayon::prelude::*;
use vivit_tensor::{Gemm, Matrix, Rng, Scalar, gemm};

use crate::kernels::dot;
use crate::parallel::PARALLEL;
use crate::tridiagonal::Tridiagonal;
use crate::values::Values;

/// Steps after which a vector is given up.
const MAX_STEPS: usize = 8;

/// Unit eigenvectors of the given ascending indices in rows, or nothing if they are not accurate
/// and orthonormal.
pub(crate) fn vectors<E: Scalar>(
    t: &Tridiagonal,
    values: &Values,
    indices: &[usize],
) -> Option<Matrix<E>> {
    let n = t.d.len();
    let norm = t.norm();
    // Everything here is in double precision, so that vectors of single precision come out
    // orthogonal for much closer values.
    let close = norm * f64::min(1e-3, 100.0 * f64::EPSILON / E::EPSILON.f64());
    // Indices of one block whose values are close to each other. Vectors of different blocks do not
    // overlap.
    let mut order = indices.to_vec();
    order.sort_by_key(|&index| (values.block[index], index));
    let together = |a: &usize, b: &usize| {
        values.block[*a] == values.block[*b] && values.values[*b] - values.values[*a] <= close
    };
    let clusters: Vec<&[usize]> = order.chunk_by(together).collect();
    // Orthogonalising a large cluster costs more than all vectors by other means.
    if clusters.iter().any(|members| members.len() > usize::max(16, n / 24)) {
        return None;
    }
    let least = if n >= PARALLEL { 1 } else { clusters.len().max(1) };
    let solve = |members: &&[usize]| cluster(t, values, members, norm);
    let solved: Vec<Option<_>> = clusters.par_iter().with_min_len(least).map(solve).collect();
    let mut x = Matrix::<f64>::zeros(indices.len(), n);
    for (members, found) in clusters.into_iter().zip(solved) {
        for (index, vector) in members.iter().zip(found?) {
            let row = indices.binary_search(index).expect("the index is one of those asked for");
            x.row_mut(row)[values.blocks[values.block[*index]].clone()].copy_from_slice(&vector);
        }
    }
    // Entries that would be subnormal are below rounding everywhere, and slow.
    let round = |x: f64| if x.abs() < 1e-30 { E::zero() } else { E::of(x) };
    let accurate = accurate::<E>(t, values, indices, &x, norm);
    accurate.then(|| Matrix::new(indices.len(), n, x.into_vec().into_iter().map(round).collect()))
}

/// The vectors of a cluster, within its block's rows.
fn cluster(
    t: &Tridiagonal,
    values: &Values,
    members: &[usize],
    norm: f64,
) -> Option<Vec<Vec<f64>>> {
    let rows = values.blocks[values.block[members[0]]].clone();
    if rows.len() == 1 {
        return Some(vec![vec![1.0]]);
    }
    let tiny = f64::EPSILON * norm;
    let mut shift = f64::NEG_INFINITY;
    let mut found: Vec<Vec<f64>> = Vec::with_capacity(members.len());
    for &index in members {
        shift = f64::max(values.values[index], shift + tiny);
        let solver = Shifted::new(&t.d[rows.clone()], &t.e[rows.start..rows.end - 1], shift, tiny);
        let mut x = Rng::new(index as u64).uniform(rows.len(), -1.0, 1.0);
        iterate(&solver, &mut x, norm, &found).then_some(())?;
        found.push(x);
    }
    Some(found)
}

/// Inverse iteration from `x`, orthogonal to the vectors of the cluster so far; false if it does
/// not converge.
fn iterate(solver: &Shifted, x: &mut [f64], norm: f64, cluster: &[Vec<f64>]) -> bool {
    // The error that QL iteration may leave in an eigenvalue, and a tenth of the residual that is
    // allowed.
    let enough = x.len().max(8) as f64 * f64::EPSILON * norm;
    normalise(x);
    let mut good = 0;
    for _ in 0..MAX_STEPS {
        solver.solve(x);
        let growth = normalise(x);
        let mut kept = 1.0;
        for other in cluster {
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
    // Twice, as the inverse of the largest entry alone may be subnormal or infinite.
    let factor = 1.0 / largest.clamp(1e-150, 1e150);
    x.iter_mut().for_each(|x| *x *= factor);
    let norm = dot(x, x).sqrt();
    let inverse = 1.0 / norm;
    x.iter_mut().for_each(|x| *x *= inverse);
    norm / factor
}

/// Whether residuals and orthonormality are at rounding level of the element type.
fn accurate<E: Scalar>(
    t: &Tridiagonal,
    values: &Values,
    indices: &[usize],
    x: &Matrix<f64>,
    norm: f64,
) -> bool {
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
    /// The inverse of the diagonal of U, and the two diagonals above it.
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
            let (pivot, other) = if exchange {
                (next, [row[0], row[1], 0.0])
            } else {
                ([row[0], row[1], 0.0], next)
            };
            let factor = if pivot[0] == 0.0 { 0.0 } else { other[0] / pivot[0] };
            u.push(pivot);
            l.push((factor, exchange));
            row = [other[1] - factor * pivot[1], other[2] - factor * pivot[2], 0.0];
        }
        u.push(row);
        // A pivot at rounding level stands for one that is zero; its size makes the solution large,
        // as it should be.
        for pivot in u.iter_mut().map(|row| &mut row[0]).filter(|pivot| pivot.abs() < tiny) {
            *pivot = tiny.copysign(*pivot);
        }
        u.iter_mut().for_each(|row| row[0] = row[0].recip());
        Shifted { u, l }
    }

    /// `x ← (T − λ)⁻¹ x`.
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
            let [inverse, first, second] = self.u[i];
            let value = (x[i] - second * two - first * one) * inverse;
            x[i] = value;
            (one, two) = (value, one);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Results are accurate either way, so that only this notices if inverse iteration gives up
    /// without need.
    #[test]
    fn single_vectors_do_not_need_the_way_of_all() {
        for (n, seed) in [(300, 1), (700, 2), (1152, 3), (1500, 4)] {
            let mut rng = Rng::new(seed);
            let t = Tridiagonal { d: rng.uniform(n, 0.0, 1.0), e: rng.uniform(n - 1, 0.1, 1.0) };
            let values = crate::values::values(&t);
            let (top, bottom): (Vec<usize>, Vec<usize>) =
                ((n - 10..n).collect(), (0..10).collect());
            for indices in [top, bottom, (0..n).step_by(n / 7).collect()] {
                assert!(
                    vectors::<f32>(&t, &values, &indices).is_some(),
                    "f32, n = {n}, {indices:?}"
                );
                assert!(
                    vectors::<f64>(&t, &values, &indices).is_some(),
                    "f64, n = {n}, {indices:?}"
                );
            }
        }
    }
}

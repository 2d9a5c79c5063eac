//! All eigenpairs of a small tridiagonal matrix by implicit QL iteration with accumulated
//! rotations.
//!
//! One step of QL with Wilkinson's shift is a chain of plane rotations (EISPACK's `imtql2`), which
//! are applied to the vectors as they come. For the sizes at which dividing no longer pays. If it
//! does not converge, which is not known to happen, values that do not depend on it and inverse
//! iteration take its place.

use vivit_tensor::{Matrix, Scalar};

use crate::inverse_iteration;
use crate::tridiagonal::Tridiagonal;
use crate::values::{self, MAX_STEPS, negligible};

/// Ascending eigenvalues and the unit eigenvectors in the rows of a matrix, or where the iteration
/// did not converge.
pub(crate) fn eigen<E: Scalar>(t: &Tridiagonal) -> Result<(Vec<f64>, Matrix<E>), usize> {
    iterate(t, MAX_STEPS * t.d.len()).or_else(|at| one_by_one(t).ok_or(at))
}

/// The same from the values.
fn one_by_one<E: Scalar>(t: &Tridiagonal) -> Option<(Vec<f64>, Matrix<E>)> {
    let values = values::values(t);
    let vectors = inverse_iteration::vectors(t, &values, &(0..t.d.len()).collect::<Vec<_>>())?;
    Some((values.values, vectors))
}

/// The same by at most so many QL steps.
fn iterate<E: Scalar>(t: &Tridiagonal, mut steps: usize) -> Result<(Vec<f64>, Matrix<E>), usize> {
    let n = t.d.len();
    let norm = t.norm();
    let (mut d, mut e) = (t.d.clone(), t.e.clone());
    let mut q = Matrix::from_fn(n, n, |i, j| if i == j { E::one() } else { E::zero() });
    let mut l = 0;
    while l < n {
        let m =
            (l..n - 1).find(|&i| e[i].abs() <= negligible(norm, d[i], d[i + 1])).unwrap_or(n - 1);
        if m == l {
            l += 1;
            continue;
        }
        steps = steps.checked_sub(1).ok_or(l)?;
        step(&mut d, &mut e, l, m, |i, c, s| {
            let (c, s) = (E::of(c), E::of(s));
            let (x, y) = q.as_mut_slice()[i * n..(i + 2) * n].split_at_mut(n);
            for (x, y) in x.iter_mut().zip(y) {
                (*x, *y) = (c * *x - s * *y, s * *x + c * *y);
            }
        });
    }
    let mut order: Vec<usize> = (0..n).collect();
    order.sort_by(|&i, &j| d[i].total_cmp(&d[j]));
    let mut vectors = Matrix::zeros(n, n);
    for (to, &from) in order.iter().enumerate() {
        vectors.row_mut(to).copy_from_slice(q.row(from));
    }
    Ok((order.into_iter().map(|i| d[i]).collect(), vectors))
}

/// One step on rows `l..=m`, whose off-diagonal entries are not negligible. `rotate(i, c, s)` is to
/// replace rows `i` and `i + 1` of the vectors, `x` and `y`, by `c x − s y` and `s x + c y`.
fn step(d: &mut [f64], e: &mut [f64], l: usize, m: usize, mut rotate: impl FnMut(usize, f64, f64)) {
    let ratio = (d[l + 1] - d[l]) / (2.0 * e[l]);
    let mut g = d[m] - d[l] + e[l] / (ratio + (ratio * ratio + 1.0).sqrt().copysign(ratio));
    let (mut s, mut c, mut p) = (1.0, 1.0, 0.0);
    for i in (l..m).rev() {
        let (f, b) = (s * e[i], c * e[i]);
        let squared = f * f + g * g;
        let r = if squared > 1e-280 { squared.sqrt() } else { f.hypot(g) };
        if i + 1 < m {
            e[i + 1] = r;
        }
        if r == 0.0 {
            d[i + 1] -= p;
            return;
        }
        (s, c) = (f / r, g / r);
        g = d[i + 1] - p;
        let r = (d[i] - g) * s + 2.0 * c * b;
        p = s * r;
        d[i + 1] = g + p;
        g = c * r - b;
        rotate(i, c, s);
    }
    d[l] -= p;
    e[l] = g;
}

#[cfg(test)]
mod tests {
    use vivit_tensor::Rng;

    use super::*;

    #[test]
    fn both_ways_find_the_same_pairs() {
        for n in [2, 3, 9, 32] {
            let mut rng = Rng::new(n as u64);
            let t = Tridiagonal { d: rng.uniform(n, 0.0, 1.0), e: rng.uniform(n - 1, 0.1, 1.0) };
            assert_eq!(iterate::<f64>(&t, 0), Err(0), "n = {n}");
            let (values, vectors) = eigen::<f64>(&t).unwrap();
            let (other_values, other_vectors) = one_by_one::<f64>(&t).unwrap();
            for i in 0..n {
                assert!((values[i] - other_values[i]).abs() <= 1e-14, "n = {n}, value {i}");
                let overlap: f64 =
                    vectors.row(i).iter().zip(other_vectors.row(i)).map(|(a, b)| a * b).sum();
                assert!((overlap.abs() - 1.0).abs() <= 1e-12, "n = {n}, vector {i}");
            }
        }
    }
}

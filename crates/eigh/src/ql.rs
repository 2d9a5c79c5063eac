//! All eigenpairs of a tridiagonal matrix by implicit QL iteration with accumulated rotations: the robust way.
//!
//! One step of QL with Wilkinson's shift is a chain of plane rotations (EISPACK's `imtql2`). Rotations are collected over many
//! steps and then applied to strips of the vectors' columns, which stay in cache meanwhile and are independent of each other.

use rayon::prelude::*;
use vivit_tensor::{Matrix, Scalar};

use crate::tridiagonal::Tridiagonal;
use crate::values::MAX_STEPS;

/// Columns of one strip.
const STRIP: usize = 64;

/// Replaces rows `at` and `at + 1` of the vectors, `x` and `y`, by `c x − s y` and `s x + c y`.
struct Rotation {
    at: usize,
    c: f64,
    s: f64,
}

/// Some columns of the vectors, row-major.
struct Strip<E> {
    first: usize,
    width: usize,
    rows: Vec<E>,
}

/// Ascending eigenvalues and the unit eigenvectors in the rows of a matrix, or where the iteration did not converge.
pub(crate) fn eigen<E: Scalar>(t: &Tridiagonal) -> Result<(Vec<f64>, Matrix<E>), usize> {
    let n = t.d.len();
    let mut strips: Vec<Strip<E>> = (0..n).step_by(STRIP).map(|first| Strip::identity(n, first)).collect();
    let (mut d, mut e) = (t.d.clone(), t.e.clone());
    let mut rotations: Vec<Rotation> = Vec::new();
    let tiny = f64::EPSILON * t.norm() / 16.0;
    let mut steps = MAX_STEPS * n;
    let mut l = 0;
    while l < n {
        let negligible = |i: usize| e[i].abs() <= tiny || e[i].abs() <= f64::EPSILON * (d[i].abs() * d[i + 1].abs()).sqrt();
        let m = (l..n - 1).find(|&i| negligible(i)).unwrap_or(n - 1);
        if m == l {
            l += 1;
            continue;
        }
        steps = steps.checked_sub(1).ok_or(l)?;
        step(&mut d, &mut e, l, m, &mut rotations);
        if rotations.len() >= 32 * n {
            apply(&mut strips, &rotations);
            rotations.clear();
        }
    }
    apply(&mut strips, &rotations);
    let mut order: Vec<usize> = (0..n).collect();
    order.sort_by(|&i, &j| d[i].total_cmp(&d[j]));
    let mut vectors = Matrix::zeros(n, n);
    for (to, &from) in order.iter().enumerate() {
        for Strip { first, width, rows } in &strips {
            vectors.row_mut(to)[*first..first + width].copy_from_slice(&rows[from * width..(from + 1) * width]);
        }
    }
    Ok((order.into_iter().map(|i| d[i]).collect(), vectors))
}

impl<E: Scalar> Strip<E> {
    /// Columns `first..first + STRIP` of the identity.
    fn identity(n: usize, first: usize) -> Self {
        let width = STRIP.min(n - first);
        let mut rows = vec![E::zero(); n * width];
        for k in 0..width {
            rows[(first + k) * width + k] = E::one();
        }
        Strip { first, width, rows }
    }
}

/// One step on rows `l..=m`, whose off-diagonal entries are not negligible.
fn step(d: &mut [f64], e: &mut [f64], l: usize, m: usize, rotations: &mut Vec<Rotation>) {
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
        rotations.push(Rotation { at: i, c, s });
    }
    d[l] -= p;
    e[l] = g;
}

fn apply<E: Scalar>(strips: &mut [Strip<E>], rotations: &[Rotation]) {
    strips.par_iter_mut().for_each(|Strip { width, rows, .. }| {
        for &Rotation { at, c, s } in rotations {
            let (c, s) = (E::of(c), E::of(s));
            let (x, y) = rows[at * *width..(at + 2) * *width].split_at_mut(*width);
            for (x, y) in x.iter_mut().zip(y) {
                (*x, *y) = (c * *x - s * *y, s * *x + c * *y);
            }
        }
    });
}

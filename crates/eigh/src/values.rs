//! Eigenvalues of a tridiagonal matrix: QL iteration without square roots.
//!
//! The Pal–Walker–Kahan variant of implicit QL works on the squares `eᵢ²` and needs two divisions per step (Parlett, *The
//! Symmetric Eigenvalue Problem*, section 8-15; LAPACK's `sterf`). An off-diagonal entry is negligible, and the matrix splits there,
//! if it is below rounding next to its diagonal neighbours or next to the whole matrix; both change eigenvalues by less than
//! their error. A block is turned around if its small entries are at the end, where QL wants the large ones.

use std::ops::Range;

use crate::tridiagonal::Tridiagonal;

/// QL steps allowed per eigenvalue on average; two are typical.
pub(crate) const MAX_STEPS: usize = 30;

/// Products above this size have not lost digits to underflow.
const SAFE: f64 = 1e-280;

/// All eigenvalues in ascending order, each with the index of its block in the list of unreduced blocks.
#[derive(Clone, Debug)]
pub(crate) struct Values {
    /// Ascending.
    pub(crate) values: Vec<f64>,
    /// `block[k]` is the block that `values[k]` belongs to.
    pub(crate) block: Vec<usize>,
    /// Rows of the unreduced blocks.
    pub(crate) blocks: Vec<Range<usize>>,
}

/// The size up to which an off-diagonal entry between diagonal entries `d` and `f` is negligible.
pub(crate) fn negligible(norm: f64, d: f64, f: f64) -> f64 {
    f64::EPSILON * f64::max((d.abs() * f.abs()).sqrt(), norm / 16.0)
}

/// The rows between negligible off-diagonal entries.
fn blocks(t: &Tridiagonal) -> Vec<Range<usize>> {
    let norm = t.norm();
    let mut blocks = Vec::new();
    let mut start = 0;
    for i in 0..t.d.len() {
        if i + 1 == t.d.len() || t.e[i].abs() <= negligible(norm, t.d[i], t.d[i + 1]) {
            blocks.push(start..i + 1);
            start = i + 1;
        }
    }
    blocks
}

/// Computes all eigenvalues. An iteration that does not converge is reported by its position.
pub(crate) fn values(t: &Tridiagonal) -> Result<Values, usize> {
    let norm = t.norm();
    let blocks = blocks(t);
    let mut all = Vec::with_capacity(t.d.len());
    for (k, rows) in blocks.iter().enumerate() {
        let mut d = t.d[rows.clone()].to_vec();
        let mut squares: Vec<f64> = t.e[rows.start..rows.end - 1].iter().map(|e| e * e).collect();
        if d[0].abs() > d[d.len() - 1].abs() {
            d.reverse();
            squares.reverse();
        }
        ql(&mut d, &mut squares, norm).map_err(|at| rows.start + at)?;
        all.extend(d.into_iter().map(|value| (value, k)));
    }
    all.sort_by(|a, b| a.0.total_cmp(&b.0));
    let (values, block) = all.into_iter().unzip();
    Ok(Values { values, block, blocks })
}

/// Replaces the diagonal `d` by the eigenvalues, in no particular order; `b` holds the squared off-diagonal entries.
fn ql(d: &mut [f64], b: &mut [f64], norm: f64) -> Result<(), usize> {
    let n = d.len();
    let absolute = (f64::EPSILON * norm / 16.0) * (f64::EPSILON * norm / 16.0);
    let relative = f64::EPSILON * f64::EPSILON;
    let mut steps = MAX_STEPS * n;
    let mut l = 0;
    while l < n {
        let m = (l..n - 1).find(|&i| b[i] <= absolute || b[i] <= relative * (d[i] * d[i + 1]).abs()).unwrap_or(n - 1);
        if m == l {
            l += 1;
        } else if m == l + 1 {
            (d[l], d[m]) = two(d[l], b[l], d[m]);
            l += 2;
        } else {
            steps = steps.checked_sub(1).ok_or(l)?;
            step(&mut d[l..=m], &mut b[l..m]);
        }
    }
    Ok(())
}

/// The eigenvalues of `[[f, √b], [√b, g]]`.
fn two(f: f64, b: f64, g: f64) -> (f64, f64) {
    let (sum, half) = (f + g, (f - g) / 2.0);
    let root = (half * half + b).sqrt();
    if sum == 0.0 {
        return (root, -root);
    }
    let large = sum / 2.0 + root.copysign(sum);
    // The smaller one from the determinant; its two terms are divided before they are subtracted, against overflow.
    let (big, small) = if f.abs() > g.abs() { (f, g) } else { (g, f) };
    (large, (big / large) * small - b / large)
}

/// One QL step with Wilkinson's shift on an unreduced block.
fn step(d: &mut [f64], b: &mut [f64]) {
    let m = d.len() - 1;
    let root = b[0].sqrt();
    let ratio = (d[1] - d[0]) / (2.0 * root);
    let shift = d[0] - root / (ratio + (ratio * ratio + 1.0).sqrt().copysign(ratio));
    // `p = γ² / c` in Parlett's formulas; `c = previous.0 / previous.1`.
    let mut previous = (1.0, 1.0);
    let mut s = 0.0;
    let mut gamma = d[m] - shift;
    let mut p = gamma * gamma;
    for i in (0..m).rev() {
        let bi = b[i];
        let r = p + bi;
        if i + 1 < m {
            b[i + 1] = s * r;
        }
        s = bi / r;
        let old_gamma = gamma;
        // γ = c (dᵢ − σ) − s γ with c = p / r and s = b / r; one division deep, as the loop waits for nothing else.
        let numerator = p * (d[i] - shift) - bi * old_gamma;
        let (squared, product) = (numerator * numerator, p * r);
        gamma = numerator / r;
        let next = if squared > SAFE && product > SAFE {
            squared / product
        } else {
            let c = p / r;
            gamma = c * (d[i] - shift) - s * old_gamma;
            if c == 0.0 { previous.0 / previous.1 * bi } else { gamma * gamma / c }
        };
        previous = (p, r);
        p = next;
        d[i + 1] = old_gamma + (d[i] - gamma);
    }
    b[0] = s * p;
    d[0] = shift + gamma;
}

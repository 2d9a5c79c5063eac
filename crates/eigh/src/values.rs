//! Eigenvalues of a tridiagonal matrix: QL iteration without square roots.
//!
//! The Pal–Walker–Kahan variant of implicit QL works on the squares `eᵢ²` and needs two divisions
//! per step (Parlett, *The Symmetric Eigenvalue Problem*, section 8-15; LAPACK's `sterf`). An
//! off-diagonal entry is negligible, and the matrix splits there, if it is below rounding next to
//! its diagonal neighbours or next to the whole matrix; both change eigenvalues by less than their
//! error. A block is turned around if its small entries are at the end, where QL wants the large
//! ones. A block whose iteration does not converge is bisected instead, which always ends: the
//! number of negative terms of
//!
//! ```text
//! q₁ = d₁ − x,   qᵢ = dᵢ − x − eᵢ₋₁² / qᵢ₋₁
//! ```
//!
//! is the number of eigenvalues below `x`.

use std::ops::Range;

use crate::tridiagonal::Tridiagonal;

/// QL steps allowed per eigenvalue on average; two are typical.
pub(crate) const MAX_STEPS: usize = 30;

/// Products above this size have not lost digits to underflow.
const SAFE: f64 = 1e-280;

/// All eigenvalues in ascending order, each with the index of its block in the list of unreduced
/// blocks.
#[derive(Clone, Debug)]
pub struct Values {
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

/// Computes all eigenvalues.
pub(crate) fn values(t: &Tridiagonal) -> Values {
    values_within(t, MAX_STEPS)
}

/// Computes all eigenvalues with at most `steps` QL steps per eigenvalue on average.
fn values_within(t: &Tridiagonal, steps: usize) -> Values {
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
        if !ql(&mut d, &mut squares, norm, steps * rows.len()) {
            bisect(&t.d[rows.clone()], &t.e[rows.start..rows.end - 1], norm, &mut d);
        }
        all.extend(d.into_iter().map(|value| (value, k)));
    }
    all.sort_by(|a, b| a.0.total_cmp(&b.0));
    let (values, block) = all.into_iter().unzip();
    Values { values, block, blocks }
}

/// Replaces the diagonal `d` by the eigenvalues, in no particular order; `b` holds the squared
/// off-diagonal entries. False if that takes too many steps.
fn ql(d: &mut [f64], b: &mut [f64], norm: f64, mut steps: usize) -> bool {
    let n = d.len();
    let absolute = (f64::EPSILON * norm / 16.0) * (f64::EPSILON * norm / 16.0);
    let relative = f64::EPSILON * f64::EPSILON;
    let mut l = 0;
    while l < n {
        let m = (l..n - 1)
            .find(|&i| b[i] <= absolute || b[i] <= relative * (d[i] * d[i + 1]).abs())
            .unwrap_or(n - 1);
        if m == l {
            l += 1;
        } else if m == l + 1 {
            (d[l], d[m]) = two(d[l], b[l], d[m]);
            l += 2;
        } else if steps == 0 {
            return false;
        } else {
            steps -= 1;
            step(&mut d[l..=m], &mut b[l..m]);
        }
    }
    true
}

/// The eigenvalues of an unreduced block, ascending, by bisection.
fn bisect(d: &[f64], e: &[f64], norm: f64, values: &mut [f64]) {
    let enough = f64::EPSILON * norm / 16.0;
    let below = |x: f64| {
        let mut q = d[0] - x;
        let mut count = usize::from(q < 0.0);
        for (d, e) in d[1..].iter().zip(e) {
            // A term that vanishes stands for one at rounding level.
            let previous =
                if q.abs() < f64::MIN_POSITIVE { f64::MIN_POSITIVE.copysign(q) } else { q };
            q = d - x - e * (e / previous);
            count += usize::from(q < 0.0);
        }
        count
    };
    // All values lie within the norm, up to rounding.
    let mut least = -norm * (1.0 + 1e-14);
    for (k, value) in values.iter_mut().enumerate() {
        let (mut lo, mut hi) = (least, norm * (1.0 + 1e-14));
        while hi - lo > f64::max(enough, f64::EPSILON * f64::max(lo.abs(), hi.abs())) {
            let middle = lo + (hi - lo) / 2.0;
            if below(middle) > k {
                hi = middle;
            } else {
                lo = middle;
            }
        }
        (*value, least) = (lo + (hi - lo) / 2.0, lo);
    }
}

/// The eigenvalues of `[[f, √b], [√b, g]]`.
fn two(f: f64, b: f64, g: f64) -> (f64, f64) {
    let (sum, half) = (f + g, (f - g) / 2.0);
    let root = (half * half + b).sqrt();
    if sum == 0.0 {
        return (root, -root);
    }
    let large = sum / 2.0 + root.copysign(sum);
    // The smaller one from the determinant; its two terms are divided before they are subtracted,
    // against overflow.
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
        // γ = c (dᵢ − σ) − s γ with c = p / r and s = b / r; one division deep, as the loop waits
        // for nothing else.
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

#[cfg(test)]
mod tests {
    use vivit_tensor::Rng;

    use super::*;

    #[test]
    fn bisection_finds_the_same_values() {
        for n in [1, 2, 3, 10, 100, 257] {
            let mut rng = Rng::new(n as u64);
            let uniform =
                Tridiagonal { d: rng.uniform(n, -1.0, 1.0), e: rng.uniform(n - 1, -1.0, 1.0) };
            let zeros = Tridiagonal { d: vec![0.0; n], e: vec![1.0; n - 1] };
            let at = |i: usize| i as f64 / n as f64;
            let graded = Tridiagonal {
                d: (0..n).map(|i| 10f64.powf(-200.0 * at(i))).collect(),
                e: (1..n).map(|i| 10f64.powf(-200.0 * at(i)) / 3.0).collect(),
            };
            let wilkinson = Tridiagonal {
                d: (0..n).map(|i| (i % 21).abs_diff(10) as f64).collect(),
                e: vec![1.0; n - 1],
            };
            for t in [uniform, zeros, graded, wilkinson] {
                let (iterated, bisected) = (values(&t), values_within(&t, 0));
                let bound = 4.0 * (n.max(8) as f64).sqrt() * f64::EPSILON * t.norm();
                for (a, b) in iterated.values.iter().zip(&bisected.values) {
                    assert!((a - b).abs() <= bound, "n = {n}: {a} and {b}");
                }
            }
        }
    }
}

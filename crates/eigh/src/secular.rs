//! Eigenvalues and eigenvectors of a diagonal matrix plus a matrix of rank one.
//!
//! With `d` ascending, `ρ > 0` and no `zⱼ` zero, the eigenvalues of `D + ρ z zᵀ` are the roots of
//! the secular equation
//!
//! ```text
//! f(λ) = 1/ρ + Σⱼ zⱼ² / (dⱼ − λ) = 0,
//! ```
//!
//! one in each interval `(dᵢ, dᵢ₊₁)` and one right of the last pole. `f` increases between poles.
//! Each root is found by rational interpolation (Li, LAPACK working note 89; LAPACK's `laed4`),
//! safeguarded by bisection. It is kept as the index of the nearest pole and the distance `μ` to
//! it, so that all differences `λᵢ − dⱼ` are accurate. Eigenvectors are those of the matrix whose
//! eigenvalues the computed roots are *exactly* (Gu & Eisenstat, SIAM J. Matrix Anal. Appl. 15
//! (1994) 1266–1276): by Löwner's formula its `z` is
//!
//! ```text
//! ẑⱼ² ∝ Πᵢ (λᵢ − dⱼ) / Πᵢ≠ⱼ (dᵢ − dⱼ),
//! ```
//!
//! and the vectors `ẑⱼ / (dⱼ − λᵢ)` are orthogonal to working precision however close the roots
//! are.

use pulp::{Arch, Simd, WithSimd};
use vivit_tensor::Scalar;

/// Steps after which the middle of the bracket is taken for a root; a tenth is typical.
const MAX_STEPS: usize = 100;

/// `D + ρ z zᵀ` with ascending `d`, non-zero `z` of about unit length and positive `ρ`.
pub(crate) struct Secular<'a> {
    pub(crate) d: &'a [f64],
    pub(crate) z: &'a [f64],
    pub(crate) rho: f64,
}

/// The eigenvalue `d[origin] + offset`.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Root {
    pub(crate) origin: usize,
    pub(crate) offset: f64,
}

/// `Σ zⱼ² / (dⱼ − λ)` and its derivative over the poles left and right of a place.
struct Sums {
    left: f64,
    left_slope: f64,
    right: f64,
    right_slope: f64,
}

impl Secular<'_> {
    /// Root `i`, up to errors in `f` of `tolerance` times the size of its terms.
    pub(crate) fn root(&self, i: usize, tolerance: f64) -> Root {
        let (d, z, k) = (self.d, self.z, self.d.len());
        let last = i + 1 == k;
        if k == 1 {
            return Root { origin: 0, offset: self.rho * z[0] * z[0] };
        }
        // The two poles that interpolation uses: the neighbours, or the last two.
        let (l, r) = if last { (i - 1, i) } else { (i, i + 1) };
        let (zl, zr, gap) = (z[l] * z[l], z[r] * z[r], d[r] - d[l]);
        let (origin, mut lo, mut hi, guess);
        if last {
            let length: f64 = z.iter().map(|z| z * z).sum();
            (origin, lo, hi) = (r, 0.0, self.rho * length * (1.0 + 4.0 * f64::EPSILON));
            let c = 1.0 / self.rho + sum(&d[..l], &z[..l], d[r], hi / 2.0).0;
            guess = larger_root(c, zl + zr - c * gap, -zr * gap);
        } else {
            let half = gap / 2.0;
            let c = 1.0 / self.rho
                + sum(&d[..l], &z[..l], d[l], half).0
                + sum(&d[r + 1..], &z[r + 1..], d[l], half).0;
            if c + (zr - zl) / half > 0.0 {
                (origin, lo, hi) = (l, 0.0, half);
                guess = smaller_root(c, c * gap + zl + zr, zl * gap);
            } else {
                (origin, lo, hi) = (r, -half, 0.0);
                guess = -smaller_root(-c, zl + zr - c * gap, zr * gap);
            }
        }
        let mut offset = if guess > lo && guess < hi { guess } else { middle(lo, hi) };
        let (mut before, mut middle_way) = (f64::INFINITY, last);
        for step in 1..=MAX_STEPS {
            let sums = self.sums(r, origin, offset);
            let f = 1.0 / self.rho + sums.left + sums.right;
            let size = 8.0 * (sums.left.abs() + sums.right.abs()) + 2.0 / self.rho;
            if f.abs() <= tolerance * size {
                break;
            }
            if f < 0.0 {
                lo = offset;
            } else {
                hi = offset;
            }
            if hi - lo <= 2.0 * f64::EPSILON * f64::max(lo.abs(), hi.abs()) {
                break;
            }
            if !last && f.abs() > before / 10.0 {
                middle_way = !middle_way;
            }
            before = f.abs();
            let (dl, dr) = (d[l] - d[origin] - offset, d[r] - d[origin] - offset);
            let slope = sums.left_slope + sums.right_slope;
            let c = if middle_way {
                f - dl * sums.left_slope - dr * sums.right_slope
            } else if origin == l {
                f - dr * slope + gap * (z[l] / dl) * (z[l] / dl)
            } else {
                f - dl * slope - gap * (z[r] / dr) * (z[r] / dr)
            };
            let (a, b) = ((dl + dr) * f - dl * dr * slope, dl * dr * f);
            let mut eta = if last { larger_root(c.abs(), a, b) } else { smaller_root(c, a, b) };
            if f * eta >= 0.0 {
                eta = -f / slope;
            }
            let next = offset + eta;
            offset = if next > lo && next < hi && step % 8 != 0 { next } else { middle(lo, hi) };
        }
        Root { origin, offset }
    }

    fn sums(&self, split: usize, origin: usize, offset: f64) -> Sums {
        let (d, z) = (self.d, self.z);
        let (left, left_slope) = sum(&d[..split], &z[..split], d[origin], offset);
        let (right, right_slope) = sum(&d[split..], &z[split..], d[origin], offset);
        Sums { left, left_slope, right, right_slope }
    }

    /// `ẑⱼ` for `j` in `first..first + z.len()`, up to a common factor, with the signs of `z`.
    pub(crate) fn refine(&self, roots: &[Root], first: usize, z: &mut [f64]) {
        let d = &self.d[first..first + z.len()];
        z.fill(1.0);
        for (i, root) in roots.iter().enumerate() {
            let (pole, lambda) = (self.d[i], self.d[root.origin]);
            // The pole's own factor has no denominator; the loop divides by zero there and is
            // corrected.
            let own = i.checked_sub(first).filter(|&j| j < z.len());
            let kept = own.map(|j| z[j] * (lambda - d[j] + root.offset));
            for (z, &d) in z.iter_mut().zip(d) {
                *z *= (lambda - d + root.offset) / (pole - d);
            }
            if let Some(j) = own {
                z[j] = kept.unwrap_or(0.0);
            }
        }
        for (z, sign) in z.iter_mut().zip(&self.z[first..]) {
            *z = z.abs().sqrt().copysign(*sign);
        }
    }
}

/// `x ← factor · zⱼ / (dⱼ − λ)` with `λ = pole + offset`, rounded.
pub(crate) fn vector<E: Scalar>(
    d: &[f64],
    z: &[f64],
    pole: f64,
    offset: f64,
    factor: f64,
    x: &mut [E],
) {
    for ((x, &d), &z) in x.iter_mut().zip(d).zip(z) {
        *x = E::of(z / (d - pole - offset) * factor);
    }
}

/// The length of the vector `zⱼ / (dⱼ − λ)`.
pub(crate) fn length(d: &[f64], z: &[f64], pole: f64, offset: f64) -> f64 {
    sum(d, z, pole, offset).1.sqrt()
}

/// A place well inside a bracket of one sign, also if its ends differ by orders of magnitude.
fn middle(lo: f64, hi: f64) -> f64 {
    let (near, far) = if hi > lo.abs() { (lo, hi) } else { (hi, lo) };
    if near.abs() * 16.0 > far.abs() {
        near + (far - near) / 2.0
    } else {
        (near / far).max(1e-8).sqrt() * far
    }
}

/// The root of smaller magnitude on the relevant branch of `c x² − a x + b = 0`.
fn smaller_root(c: f64, a: f64, b: f64) -> f64 {
    let root = (a * a - 4.0 * b * c).abs().sqrt();
    if a <= 0.0 { (a - root) / (2.0 * c) } else { 2.0 * b / (a + root) }
}

/// The other root of `c x² − a x + b = 0`.
fn larger_root(c: f64, a: f64, b: f64) -> f64 {
    let root = (a * a - 4.0 * b * c).abs().sqrt();
    if a >= 0.0 { (a + root) / (2.0 * c) } else { 2.0 * b / (a - root) }
}

/// `Σ zⱼ² / δⱼ` and `Σ zⱼ² / δⱼ²` with `δⱼ = dⱼ − pole − offset`.
fn sum(d: &[f64], z: &[f64], pole: f64, offset: f64) -> (f64, f64) {
    Arch::new().dispatch(Sum { d, z, pole, offset })
}

struct Sum<'a> {
    d: &'a [f64],
    z: &'a [f64],
    pole: f64,
    offset: f64,
}

impl WithSimd for Sum<'_> {
    type Output = (f64, f64);
    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) -> (f64, f64) {
        let ((ds, d), (zs, z)) = (S::as_simd_f64s(self.d), S::as_simd_f64s(self.z));
        let (pole, offset) = (simd.splat_f64s(self.pole), simd.splat_f64s(self.offset));
        let (mut sums, mut slopes) = (simd.splat_f64s(0.0), simd.splat_f64s(0.0));
        for (&d, &z) in ds.iter().zip(zs) {
            let quotient = simd.div_f64s(z, simd.sub_f64s(simd.sub_f64s(d, pole), offset));
            sums = simd.mul_add_e_f64s(z, quotient, sums);
            slopes = simd.mul_add_e_f64s(quotient, quotient, slopes);
        }
        let (mut sum, mut slope) = (simd.reduce_sum_f64s(sums), simd.reduce_sum_f64s(slopes));
        for (&d, &z) in d.iter().zip(z) {
            let quotient = z / (d - self.pole - self.offset);
            sum += z * quotient;
            slope += quotient * quotient;
        }
        (sum, slope)
    }
}

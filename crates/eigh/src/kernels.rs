//! Vector kernels with a fixed order of summation.
//!
//! Sums run over [`LANES`] independent accumulators, so that the compiler may keep them in vector registers; the order of
//! operations depends on lengths only, never on threads.

use vivit_tensor::Scalar;

/// Independent accumulators of a sum.
pub(crate) const LANES: usize = 16;

/// One accumulator per lane.
type Lanes<E> = [E; LANES];

fn total<E: Scalar>(lanes: &Lanes<E>) -> E {
    let mut width = LANES / 2;
    let mut sums = *lanes;
    while width > 0 {
        for i in 0..width {
            sums[i] += sums[i + width];
        }
        width /= 2;
    }
    sums[0]
}

/// `x · y`.
pub(crate) fn dot<E: Scalar>(x: &[E], y: &[E]) -> E {
    let mut lanes = [E::zero(); LANES];
    let y = &y[..x.len()];
    let (xs, ys) = (x.chunks_exact(LANES), y.chunks_exact(LANES));
    let rest: E = xs.remainder().iter().zip(ys.remainder()).map(|(&x, &y)| x * y).sum();
    for (x, y) in xs.zip(ys) {
        for l in 0..LANES {
            lanes[l] += x[l] * y[l];
        }
    }
    total(&lanes) + rest
}

/// `y += a x`.
pub(crate) fn axpy<E: Scalar>(a: E, x: &[E], y: &mut [E]) {
    for (y, &x) in y.iter_mut().zip(x) {
        *y += a * x;
    }
}

/// `y += Σ_{i, j} (A_L)ᵢⱼ xⱼ eᵢ + (A_L)ᵢⱼ xᵢ eⱼ` over rows `i` in `first..first + rows`, where `A_L` is the lower triangle with
/// halved diagonal. `a` holds these rows, `stride` apart, beginning with column 0.
pub(crate) fn symv_rows<E: Scalar>(a: &[E], stride: usize, first: usize, rows: usize, x: &[E], y: &mut [E]) {
    let mut i = 0;
    while i + 4 <= rows {
        symv_four(&a[i * stride..], stride, first + i, x, y);
        i += 4;
    }
    for i in i..rows {
        let row = &a[i * stride..];
        let at = first + i;
        y[at] += row[at] * x[at] + dot(&row[..at], x);
        axpy(x[at], &row[..at], &mut y[..at]);
    }
}

/// [`symv_rows`] of four rows: entries of `x` and `y` are loaded once for all of them.
fn symv_four<E: Scalar>(a: &[E], stride: usize, first: usize, x: &[E], y: &mut [E]) {
    let row = |k: usize| &a[k * stride..k * stride + first];
    let (a0, a1, a2, a3) = (row(0), row(1), row(2), row(3));
    let [x0, x1, x2, x3] = [x[first], x[first + 1], x[first + 2], x[first + 3]];
    let mut sums = [[E::zero(); LANES]; 4];
    let whole = first - first % LANES;
    let (xs, ys) = (x[..whole].chunks_exact(LANES), y[..whole].chunks_exact_mut(LANES));
    let pairs = a0[..whole].chunks_exact(LANES).zip(a1[..whole].chunks_exact(LANES));
    let fours = pairs.zip(a2[..whole].chunks_exact(LANES).zip(a3[..whole].chunks_exact(LANES)));
    for (((a0, a1), (a2, a3)), (x, y)) in fours.zip(xs.zip(ys)) {
        for l in 0..LANES {
            y[l] += (x0 * a0[l] + x1 * a1[l]) + (x2 * a2[l] + x3 * a3[l]);
            sums[0][l] += a0[l] * x[l];
            sums[1][l] += a1[l] * x[l];
            sums[2][l] += a2[l] * x[l];
            sums[3][l] += a3[l] * x[l];
        }
    }
    for j in whole..first {
        y[j] += (x0 * a0[j] + x1 * a1[j]) + (x2 * a2[j] + x3 * a3[j]);
    }
    for k in 0..4 {
        let a = &a[k * stride..k * stride + first + k + 1];
        let mut sum = total(&sums[k]);
        for j in whole..first {
            sum += a[j] * x[j];
        }
        for j in first..first + k {
            sum += a[j] * x[j];
            y[j] += a[j] * x[first + k];
        }
        y[first + k] += sum + a[first + k] * x[first + k];
    }
}

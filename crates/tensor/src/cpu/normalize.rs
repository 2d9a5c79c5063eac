//! Normalisation of rows and its Jacobian, row by row while they are in the cache.

use super::fill::filled;
use super::pool::Storage;
use super::scalar::CpuScalar;
use super::sum::{sum, sum_of_products};

/// The mean of a row.
#[inline(always)]
fn mean_of<E: CpuScalar>(x: &[E]) -> E {
    E::of(sum(x, &|x| x) / x.len() as f64)
}

/// The mean (0 without `centre`) and `1/σ` of a row, `σ² = mean((x − mean)²) + ε`.
#[inline(always)]
fn moments<E: CpuScalar>(x: &[E], centre: bool, epsilon: E) -> (E, E) {
    let mean = if centre { mean_of(x) } else { E::zero() };
    let squares = sum(x, &|x| (x - mean) * (x - mean));
    (mean, (E::of(squares / x.len() as f64) + epsilon).sqrt().recip())
}

/// `(x − mean)/σ` of every row of `x: [rows, block]`.
pub(super) fn normalize<E: CpuScalar>(
    x: &[E],
    block: usize,
    centre: bool,
    epsilon: E,
) -> Storage<E> {
    filled(
        x.len(),
        block,
        #[inline(always)]
        |first, out| {
            for (out, x) in out.chunks_exact_mut(block).zip(x[first..].chunks_exact(block)) {
                let (mean, inverse) = moments(x, centre, epsilon);
                out.iter_mut().zip(x).for_each(|(out, x)| *out = (*x - mean) * inverse);
            }
        },
    )
}

/// `1/σ` of every row of `x: [rows, block]`.
pub(super) fn inverse_deviations<E: CpuScalar>(
    x: &[E],
    block: usize,
    centre: bool,
    epsilon: E,
) -> Storage<E> {
    filled(
        x.len() / block,
        1,
        #[inline(always)]
        |first, out| {
            for (out, x) in out.iter_mut().zip(x[first * block..].chunks_exact(block)) {
                *out = moments(x, centre, epsilon).1;
            }
        },
    )
}

/// `(M − mean(M) − x̂ mean(x̂ ∘ M))/σ` for `mat: [v, rows, block]`, `normal: [rows, block]`,
/// `inverse: [rows]`; without `centre`, `mean(M)` is left out.
pub(super) fn chain<E: CpuScalar>(
    normal: &[E],
    inverse: &[E],
    mat: &[E],
    block: usize,
    centre: bool,
) -> Storage<E> {
    let share = E::of(block as f64).recip();
    filled(
        mat.len(),
        block,
        #[inline(always)]
        |first, out| {
            for (i, out) in out.chunks_exact_mut(block).enumerate() {
                let at = first + i * block;
                let (row, m) = (at / block % inverse.len(), &mat[at..at + block]);
                let normal = &normal[row * block..][..block];
                let mean = if centre { mean_of(m) } else { E::zero() };
                let (along, scale) = (share * sum_of_products(normal, m), inverse[row]);
                let entries = m.iter().zip(normal);
                out.iter_mut()
                    .zip(entries)
                    .for_each(|(out, (m, normal))| *out = scale * (*m - mean - along * *normal));
            }
        },
    )
}

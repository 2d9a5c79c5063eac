//! Leading eigenpairs of operators that are small enough to be written out.

use vivit_eigh::eigh;
use vivit_tensor::{Matrix, Tensor};

use super::basis::{Products, with_signs};
use super::leading_eigenpairs::LeadingEigenpairs;
use super::search::unfinished;
use super::spectrum_end::SpectrumEnd;
use crate::Error;

/// The k leading eigenpairs, from the D products with unit vectors, `block` of them at a time.
///
/// The matrix `(A + Aᵀ) / 2` is solved on the host in double precision. Residuals are those of A
/// and the vectors as they are returned.
///
/// # Errors
/// If a product fails or is not finite, or a residual is larger than tolerance and rounding
/// explain, as where the operator is not symmetric.
pub(crate) fn dense(
    mut products: Products<'_>,
    k: usize,
    which: SpectrumEnd,
    block: usize,
    tolerance: f64,
) -> Result<LeadingEigenpairs, Error> {
    let (d, device) = (products.dim(), products.device());
    let a = columns(&mut products, block)?;
    let symmetric = Matrix::from_fn(d, d, |i, j| 0.5 * a[(i, j)] + 0.5 * a[(j, i)]);
    let eigen = eigh(symmetric).map_err(|source| Error::Projection { source })?;
    let mut order: Vec<usize> = (0..d).collect();
    order.sort_by(|&i, &j| which.key(eigen.values[j]).total_cmp(&which.key(eigen.values[i])));
    order.truncate(k);
    let values: Vec<f64> = order.iter().map(|&i| eigen.values[i]).collect();
    let vectors = Matrix::from_fn(k, d, |i, j| eigen.vectors[(order[i], j)]);
    let vectors = with_signs(&Tensor::from_vec(device, [k, d], vectors.as_slice())?)?;
    let residuals = residuals(&a, &values, &vectors.to_vec()?);
    let scale = eigen.values.iter().fold(0.0, |scale: f64, value| scale.max(value.abs()));
    let pairs = LeadingEigenpairs::ascending(&values, &vectors, &residuals, products.done);
    let rounding = 100.0 * device.dtype().epsilon() * d as f64 * scale;
    if residuals.iter().all(|&residual| residual <= rounding.max(tolerance * scale)) {
        return Ok(pairs);
    }
    Err(unfinished("a dense solver", k, pairs, tolerance * scale))
}

/// A, column by column: row i is `A e_i`.
fn columns(products: &mut Products<'_>, block: usize) -> Result<Matrix<f64>, Error> {
    let (d, device) = (products.dim(), products.device());
    let mut entries = Vec::with_capacity(d * d);
    for first in (0..d).step_by(block) {
        let end = d.min(first.saturating_add(block));
        let mut units = vec![0.0; (end - first) * d];
        (first..end).for_each(|i| units[(i - first) * d + i] = 1.0);
        let (y, _) = products.apply(&Tensor::from_vec(device, [end - first, d], units)?)?;
        entries.extend(y.to_vec()?);
    }
    Ok(Matrix::from_fn(d, d, |i, j| entries[i * d + j]))
}

/// `|A q − λ q|` for each row q.
fn residuals(a: &Matrix<f64>, values: &[f64], vectors: &[f64]) -> Vec<f64> {
    let d = a.rows();
    let residual = |(value, q): (&f64, &[f64])| {
        let entry = |j: usize| (0..d).map(|i| a[(i, j)] * q[i]).sum::<f64>() - value * q[j];
        (0..d).map(entry).fold(0.0, f64::hypot)
    };
    values.iter().zip(vectors.chunks(d)).map(residual).collect()
}

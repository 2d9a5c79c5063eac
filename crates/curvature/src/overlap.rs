//! How much two eigenspaces have in common.

use vivit_autodiff::ParamMap;
use vivit_tensor::{Gemm, Tensor};

use crate::Error;

/// The overlap `‖E₁ᵀ E₂‖²_F / min(K₁, K₂)` of two spaces with orthonormal columns, `[K, *p]` per
/// parameter: 1 if one contains the other, 0 if they are orthogonal, about `max(K₁, K₂)/D` for
/// random ones. (Gur-Ari, Roberts & Dyer, *Gradient Descent Happens in a Tiny Subspace*, 2018,
/// section 3, for equal K.)
///
/// Eigenspaces come from anywhere: batches, data sets, checkpoints, GGN and Hessian; of the same
/// parameters.
///
/// ```
/// use vivit_autodiff::{ParamId, ParamMap};
/// use vivit_curvature::eigenspace_overlap;
/// use vivit_tensor::{Device, Tensor};
///
/// let space = |rows: Vec<f64>| -> Result<ParamMap<Tensor>, vivit_tensor::Error> {
///     let vectors = Tensor::from_vec(&Device::cpu(), [rows.len() / 3, 3], rows)?;
///     Ok(ParamMap::from_iter([(ParamId::new(0), vectors)]))
/// };
/// let plane = space(vec![1.0, 0.0, 0.0, 0.0, 1.0, 0.0])?;
/// let line = space(vec![0.0, 0.6, 0.8])?;
/// assert!((eigenspace_overlap(&plane, &line)? - 0.36).abs() < 1e-6);
/// assert_eq!(eigenspace_overlap(&plane, &plane)?, 1.0);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
/// If the spaces are of different parameters or shapes, or have no vectors.
pub fn eigenspace_overlap(a: &ParamMap<Tensor>, b: &ParamMap<Tensor>) -> Result<f64, Error> {
    if a.is_empty() || !a.keys().eq(b.keys()) {
        return Err(Error::OtherParameters { first: a.len(), second: b.len() });
    }
    let rows = |map: &ParamMap<Tensor>| {
        map.values().next().and_then(|e| e.shape().first().copied()).unwrap_or(0)
    };
    let (k, l) = (rows(a), rows(b));
    let mut products = vec![0.0; k * l];
    for (param, first) in a.iter() {
        let second = &b[param];
        let fits = [(first, k), (second, l)]
            .iter()
            .all(|(e, k)| e.shape().rank() > 0 && e.shape()[0] == *k);
        if !fits || first.shape()[1..] != second.shape()[1..] || k * l == 0 {
            return Err(Error::OtherShapes {
                first: first.shape().to_vec(),
                second: second.shape().to_vec(),
            });
        }
        let d = first.len() / k;
        let product = first.gemm(&Gemm::nt(k, l, d), second, [k, l]).to_vec()?;
        products.iter_mut().zip(product).for_each(|(sum, x)| *sum += x);
    }
    Ok(products.iter().map(|x| x * x).sum::<f64>() / k.min(l) as f64)
}

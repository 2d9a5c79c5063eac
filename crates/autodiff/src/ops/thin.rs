//! Arrays with an axis that disappeared, beside those that still have it.

use vivit_tensor::Tensor;

/// The array with an axis of length one at `axis`, where one disappeared; free.
pub(super) fn thin(x: &Tensor, axis: usize) -> Tensor {
    let mut shape = x.shape().to_vec();
    shape.insert(axis, 1);
    x.reshape(&shape)
}

/// `mat`, repeated along an axis `axis` that it lacks, times `factor`, which has that axis.
pub(super) fn spread_along(mat: &Tensor, axis: usize, factor: &Tensor) -> Tensor {
    thin(mat, axis).mul(factor)
}

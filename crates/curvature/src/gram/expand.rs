//! V itself: whole (`Raw`), or expanded some out-features at a time (`Expand`), folded in and
//! dropped.

use std::ops::Range;

use vivit_autodiff::Outer;
use vivit_tensor::{Gemm, Tensor};

use super::dims::ContractionDims;

/// The lower half of `lower += VᵀV`, and `cross += VᵀW` where it is wanted too: V is expanded once.
pub(super) fn add_symmetric(
    lower: &mut Tensor,
    v: &Outer,
    mut cross: Option<(&mut Tensor, &Outer)>,
    limit: usize,
) {
    let dims = match &cross {
        Some((_, w)) => dims_between(v, w),
        None => ContractionDims::symmetric(v.dims()),
    };
    for rows in blocks_of(v, dims.slice(limit)) {
        let part = v.expand(rows.clone());
        add_raw_symmetric(lower, &part);
        if let Some((cross, w)) = &mut cross {
            add_raw_between(cross, &part, &w.expand(rows));
        }
    }
}

/// `cross += VᵀW`
pub(super) fn add_between(cross: &mut Tensor, v: &Outer, w: &Outer, limit: usize) {
    for rows in blocks_of(v, dims_between(v, w).slice(limit)) {
        add_raw_between(cross, &v.expand(rows.clone()), &w.expand(rows));
    }
}

/// `cross[c] += V_cᵀ W_c`
pub(super) fn add_by_column(cross: &mut Tensor, v: &Outer, w: &Outer, limit: usize) {
    for rows in blocks_of(v, dims_between(v, w).slice(limit)) {
        add_raw_by_column(cross, &v.expand(rows.clone()), &w.expand(rows));
    }
}

/// The lower half of `lower += VᵀV` for `v: [V, N, *]`, all of it or a slice of the parameter's
/// entries.
pub(super) fn add_raw_symmetric(lower: &mut Tensor, v: &Tensor) {
    let (r, device) = (lower.shape()[0], lower.device().clone());
    device.syrk(r, v.len() / r, v.buf(), lower.buf_mut());
}

/// `cross += VᵀW` for `v: [V, N, *]`, `w: [W, M, *]`.
pub(super) fn add_raw_between(cross: &mut Tensor, v: &Tensor, w: &Tensor) {
    let ([r, n], device) = ([cross.shape()[0], cross.shape()[1]], cross.device().clone());
    device.gemm(&Gemm::nt(r, n, v.len() / r).accumulating(), v.buf(), w.buf(), cross.buf_mut());
}

/// `cross[c] += V_cᵀ W_c` for `v: [C, N, *]`, `w: [C, M, *]`.
pub(super) fn add_raw_by_column(cross: &mut Tensor, v: &Tensor, w: &Tensor) {
    let ([c, n, m], device) =
        ([cross.shape()[0], cross.shape()[1], cross.shape()[2]], cross.device().clone());
    let d = v.len() / (c * n);
    let g = Gemm::nt(n, m, d).accumulating().batch(c, n * d, m * d, n * m);
    device.gemm(&g, v.buf(), w.buf(), cross.buf_mut());
}

/// `VᵀW` of two structures.
pub(super) fn dims_between(v: &Outer, w: &Outer) -> ContractionDims {
    ContractionDims::between(v.dims(), w.dims().v, w.dims().n)
}

/// Ranges of `rows` out-features.
fn blocks_of(outer: &Outer, rows: usize) -> impl Iterator<Item = Range<usize>> + use<> {
    let o = outer.dims().o;
    (0..o).step_by(rows).map(move |first| first..(first + rows).min(o))
}

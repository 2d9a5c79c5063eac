//! One operation of a sweep: what travels through its derivatives.

use vivit_tensor::Tensor;

use crate::{Batch, Io, Op, Part, Second};

/// Adds what has arrived.
pub(crate) fn add(sum: &mut Option<Tensor>, more: Tensor) {
    match sum {
        Some(sum) => sum.axpy(1.0, &more),
        empty => *empty = Some(more),
    }
}

/// Adds [`pull_back`] of a factor.
pub(crate) fn add_pull_back(
    sum: &mut Option<Tensor>,
    op: &dyn Op,
    io: Io<'_>,
    wrt: usize,
    factor: &Tensor,
    apart: bool,
) {
    match (&mut *sum, op.part_of_argument(io)) {
        (Some(sum), Some(Part { axis, first })) => {
            // A factor has a sample axis, even where the value has none.
            let lead = if io.batched[wrt] { 1 } else { 2 };
            sum.add_part(lead + axis, first, factor);
        }
        _ => add(sum, pull_back(op, io, wrt, factor, apart)),
    }
}

/// Adds `J t` of one operation.
pub(crate) fn add_push(
    sum: &mut Option<Tensor>,
    op: &dyn Op,
    io: Io<'_>,
    wrt: usize,
    tangent: &Tensor,
) {
    match (&mut *sum, op.part_of_result(io, wrt)) {
        (Some(sum), Some(Part { axis, first })) => sum.add_part(1 + axis, first, tangent),
        _ => add(sum, op.jac(io, wrt, tangent)),
    }
}

/// `Jᵀ` of one operation on a stacked factor `[V, N, *out]`, to `[V, N, *arg]`.
///
/// Where a value has no sample axis (it is computed from parameters alone), the factor has one all
/// the same: N long with `apart`, else 1.
pub(crate) fn pull_back(
    op: &dyn Op,
    io: Io<'_>,
    wrt: usize,
    factor: &Tensor,
    apart: bool,
) -> Tensor {
    if io.out_batched() {
        let batch = if apart { Batch::Keep } else { Batch::Sum };
        let product = op.jac_t(io, wrt, factor, batch);
        if io.batched[wrt] || apart {
            return product;
        }
        let shape = io.args[wrt].shape().prefixed(&[factor.shape()[0], 1]);
        return product.reshape(shape);
    }
    let (v, n) = (factor.shape()[0], factor.shape()[1]);
    let product = op.jac_t(io, wrt, &factor.reshape(io.out.shape().prefixed(&[v * n])), Batch::Sum);
    product.reshape(io.args[wrt].shape().prefixed(&[v, n]))
}

/// `R_ab t`, `a = wrt`, `b = along`: `mat: [1, N, *out]`, `tangent: [K, *b]`, to a factor `[K, N,
/// *a]`; nothing if it vanishes.
///
/// As in [`pull_back`], where a value has no sample axis its factor has one all the same: N long
/// with `apart`, else 1.
pub(crate) fn residual(
    op: &dyn Op,
    io: Io<'_>,
    (wrt, along): (usize, usize),
    tangent: &Tensor,
    mat: &Tensor,
    apart: bool,
) -> Option<Tensor> {
    let k = tangent.shape()[0];
    let value = io.args[along];
    Some(match op.second(wrt, along) {
        Second::Missing | Second::Zero => return None,
        Second::Entrywise(f) => {
            let bend = mat.mul(&f(io));
            let tangent = if io.batched[along] {
                tangent.clone()
            } else {
                tangent.reshape(value.shape().prefixed(&[k, 1]))
            };
            tangent.mul(&bend)
        }
        Second::Bilinear => {
            let each = (0..k).map(|k| {
                let direction = tangent.slice(k, k + 1).reshape(*value.shape());
                let mut args = io.args.to_vec();
                args[along] = &direction;
                pull_back(op, Io { args: &args, ..io }, wrt, mat, apart)
            });
            Tensor::concat(&each.collect::<Vec<_>>(), 0)
        }
        Second::Product(f) if io.out_batched() => {
            let product = f(io, mat, tangent, if apart { Batch::Keep } else { Batch::Sum });
            if io.batched[wrt] || apart {
                product
            } else {
                product.reshape(io.args[wrt].shape().prefixed(&[k, 1]))
            }
        }
        Second::Product(f) => {
            let each = (0..mat.shape()[1]).map(|n| {
                let one = mat.index_select(1, &[n]).reshape(io.out.shape().prefixed(&[1]));
                f(io, &one, tangent, Batch::Sum).reshape(io.args[wrt].shape().prefixed(&[k, 1]))
            });
            Tensor::concat(&each.collect::<Vec<_>>(), 1)
        }
    })
}

//! The Hessian's diagonal, summed over samples or of each. (BackPACK's `DiagHessian`,
//! `BatchDiagHessian`.)
//!
//! The Hessian is the GGN plus, for every operation, the pulled-back `R = Σ_o m_o ∂²y_o/∂x²` with m
//! the loss's gradient at its result. Each R travels as signed columns (Dangel, Harmeling & Hennig,
//! *Modular block-diagonal curvature approximations*, AISTATS 2020; for any operation here, not
//! only for activations), and the diagonal is the sum of signed squares.
//!
//! An operation that is not piecewise linear adds as many columns as a sample has entries there
//! (twice as many where its second derivatives mix entries): time and memory grow with the widths
//! of the layers. For a piecewise linear network the diagonal is the GGN's.

use vivit_autodiff::Batch;
use vivit_tensor::Tensor;

use crate::constructors::{of_hessian, per_parameter};
use crate::squares::total;

of_hessian! {
    /// `diag(H)`: `[*p]` per parameter. Over chosen samples it estimates the diagonal of the whole
    /// batch.
    DiagHessian
}

per_parameter! { DiagHessian, Tensor, |site| {
    Ok(total(&site.shares(0), Batch::Sum).reshape(*site.shape()))
} }

of_hessian! {
    /// Every sample's share of `diag(H)`: `[N_S, *p]` per parameter.
    BatchDiagHessian
}

per_parameter! { BatchDiagHessian, Tensor, |site| {
    let shape = site.shape().prefixed(&[site.samples(0)]);
    Ok(total(&site.shares(0), Batch::Keep).reshape(shape))
} }

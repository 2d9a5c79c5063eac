//! Per-sample gradients `g_n = ∂L_n/∂θ`, the reduction's factor included, so that they sum to the
//! gradient. (BackPACK's `BatchGrad`.)

use vivit_autodiff::Batch;
use vivit_tensor::Tensor;

use crate::constructors::{of_gradient, per_parameter};

of_gradient! {
    /// The gradient of every sample's share of the loss: `[N_S, *p]` per parameter.
    BatchGrad
}

per_parameter! { BatchGrad, Tensor, |site| {
    let gradients = site.jac_t(0, Batch::Keep);
    let shape = gradients.shape().tail();
    Ok(gradients.reshape(shape))
} }

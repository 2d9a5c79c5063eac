//! Sum over samples of squared gradients, `Σ_n g_n²`, entry by entry. (BackPACK's
//! `SumGradSquared`.)

use vivit_autodiff::Batch;
use vivit_tensor::Tensor;

use crate::constructors::{of_gradient, per_parameter};
use crate::squares::squares;

of_gradient! {
    /// `Σ_n (∂L_n/∂θ)²`: `[*p]` per parameter.
    SumGradSquared
}

per_parameter! { SumGradSquared, Tensor, |site| {
    Ok(squares(&site.share(0), Batch::Sum).reshape(*site.shape()))
} }

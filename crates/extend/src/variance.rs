//! Variance over samples of the gradient's entries, `(1/N) Σ_n g_n² − ((1/N) Σ_n g_n)²`, of the
//! reduced `g_n = ∂L_n/∂θ`. (BackPACK's `Variance`.)
//!
//! Times N² it is the variance of the unreduced losses' gradients where the loss is a mean over
//! samples.

use vivit_autodiff::Batch;
use vivit_tensor::{Tensor, Unary};

use crate::constructors::{of_gradient, per_parameter};
use crate::squares::squares;

of_gradient! {
    /// The variance over samples of `∂L_n/∂θ`: `[*p]` per parameter. Over chosen samples, N is
    /// their number.
    Variance
}

per_parameter! { Variance, Tensor, |site| {
    let n = site.samples(0) as f64;
    let mean = site.jac_t(0, Batch::Sum).scale(1.0 / n).reshape(*site.shape());
    let second = squares(&site.share(0), Batch::Sum).scale(1.0 / n).reshape(*site.shape());
    Ok(second.sub(&mean.unary(Unary::Square)))
} }

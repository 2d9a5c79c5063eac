//! Jacobians of the model's outputs in its parameters, per sample.

use vivit_autodiff::{Batch, Seed};
use vivit_tensor::Tensor;

use crate::constructors::{of_seed, per_parameter};

of_seed! {
    /// `∂f[n, c]/∂θ`: `[C, N_S, *p]` per parameter, for all outputs or for chosen ones, in the
    /// order given.
    ///
    /// No loss is needed ([`run_without_loss`](crate::run_without_loss)); the outputs of a sample
    /// are counted flattened.
    Jacobian, Seed::Outputs(None), "Of the chosen samples, in that order."
}

impl Jacobian {
    /// Of the chosen outputs.
    #[must_use]
    pub fn outputs(mut self, outputs: Vec<usize>) -> Self {
        self.probe.seed = Seed::Outputs(Some(outputs));
        self
    }
}

per_parameter! { Jacobian, Tensor, |site| Ok(site.jac_t(0, Batch::Keep)) }

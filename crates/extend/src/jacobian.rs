//! Jacobians of the model's outputs in its parameters, per sample.

use vivit_autodiff::{Batch, Probe, Seed};
use vivit_tensor::{Backend, Tensor};

use crate::constructors::per_parameter;

/// `∂f[n, c]/∂θ`: `[C, N_S, *p]` per parameter, for all outputs or for chosen ones, in the order given.
///
/// The loss does not matter; the outputs of a sample are counted flattened.
#[derive(Clone, Debug)]
pub struct Jacobian<B: Backend> {
    probe: Probe<B>,
}

impl<B: Backend> Jacobian<B> {
    /// Of every output.
    #[allow(clippy::new_without_default)] // an extension is asked for by name
    pub fn new() -> Self {
        Jacobian { probe: Probe::new(Seed::Outputs(None)) }
    }

    /// Of the chosen outputs.
    #[must_use]
    pub fn outputs(mut self, outputs: Vec<usize>) -> Self {
        self.probe.seed = Seed::Outputs(Some(outputs));
        self
    }

    /// Of the chosen samples, in that order.
    #[must_use]
    pub fn samples(mut self, samples: Vec<usize>) -> Self {
        self.probe.samples = Some(samples);
        self
    }
}

per_parameter! { Jacobian, Tensor<B>, |site| Ok(site.jac_t(0, Batch::Keep)) }

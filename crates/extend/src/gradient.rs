//! The gradient `∂L/∂θ = Σ_n g_n`.

use vivit_autodiff::{Batch, ParamMap, Probe, Seed, Site};
use vivit_tensor::Tensor;

use crate::{Error, Extension};

/// The gradient of every parameter, `[*p]`.
#[derive(Clone, Copy, Debug, Default)]
pub struct Gradient;

impl Gradient {
    /// Of all samples.
    pub fn new() -> Self {
        Gradient
    }
}

impl Extension for Gradient {
    type Value = Tensor;
    type Out = ParamMap<Tensor>;

    fn name(&self) -> &'static str {
        "Gradient"
    }

    fn probes(&self) -> Vec<Probe> {
        vec![Probe::new(Seed::Gradient)]
    }

    fn per_sample(&self) -> bool {
        false
    }

    fn visit(&mut self, site: &Site<'_>) -> Result<Tensor, Error> {
        Ok(site.jac_t(0, Batch::Sum).reshape(*site.shape()))
    }

    fn finish(self, values: ParamMap<Tensor>) -> Result<Self::Out, Error> {
        Ok(values)
    }
}

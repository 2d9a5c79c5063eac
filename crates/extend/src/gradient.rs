//! The gradient `∂L/∂θ = Σ_n g_n`.

use vivit_autodiff::{Batch, ParamMap, Probe, Seed, Site};
use vivit_tensor::{Backend, Tensor};

use crate::{Error, Extension};

/// The gradient of every parameter, `[*p]`.
#[derive(Debug)]
pub struct Gradient<B: Backend>(ParamMap<Tensor<B>>);

impl<B: Backend> Gradient<B> {
    /// The extension.
    #[allow(clippy::new_without_default)] // an extension is asked for by name
    pub fn new() -> Self {
        Gradient(ParamMap::new())
    }
}

impl<B: Backend> Extension<B> for Gradient<B> {
    type Out = ParamMap<Tensor<B>>;

    fn name(&self) -> &'static str {
        "Gradient"
    }

    fn probes(&self) -> Vec<Probe<B>> {
        vec![Probe::new(Seed::Gradient)]
    }

    fn per_sample(&self) -> bool {
        false
    }

    fn visit(&mut self, site: &Site<'_, B>) -> Result<(), Error> {
        self.0.insert(site.param(), site.jac_t(0, Batch::Sum).reshape(*site.shape()));
        Ok(())
    }

    fn finish(self) -> Result<Self::Out, Error> {
        Ok(self.0)
    }
}

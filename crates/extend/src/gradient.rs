//! The gradient `∂L/∂θ = Σ_n g_n`.

use std::marker::PhantomData;

use vivit_autodiff::{Batch, ParamMap, Probe, Seed, Site};
use vivit_tensor::{Backend, Tensor};

use crate::{Error, Extension};

/// The gradient of every parameter, `[*p]`.
#[derive(Clone, Copy, Debug)]
pub struct Gradient<B: Backend>(PhantomData<B>);

impl<B: Backend> Gradient<B> {
    /// The extension.
    #[allow(clippy::new_without_default)] // an extension is asked for by name
    pub fn new() -> Self {
        Gradient(PhantomData)
    }
}

impl<B: Backend> Extension<B> for Gradient<B> {
    type Value = Tensor<B>;
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

    fn visit(&mut self, site: &Site<'_, B>) -> Result<Tensor<B>, Error> {
        Ok(site.jac_t(0, Batch::Sum).reshape(*site.shape()))
    }

    fn finish(self, values: ParamMap<Tensor<B>>) -> Result<Self::Out, Error> {
        Ok(values)
    }
}

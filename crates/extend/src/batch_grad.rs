//! Per-sample gradients `g_n = ∂L_n/∂θ`, the reduction's factor included, so that they sum to the gradient.
//! (BackPACK's `BatchGrad`.)

use vivit_autodiff::{Batch, ParamMap, Probe, Seed, Site};
use vivit_tensor::{Backend, Tensor};

use crate::{Error, Extension};

/// The gradient of every sample's share of the loss: `[N_S, *p]` per parameter.
#[derive(Debug)]
pub struct BatchGrad<B: Backend> {
    samples: Option<Vec<usize>>,
    result: ParamMap<Tensor<B>>,
}

impl<B: Backend> BatchGrad<B> {
    /// Of all samples.
    #[allow(clippy::new_without_default)] // an extension is asked for by name
    pub fn new() -> Self {
        BatchGrad { samples: None, result: ParamMap::new() }
    }

    /// Of the chosen samples, in that order.
    #[must_use]
    pub fn samples(mut self, samples: Vec<usize>) -> Self {
        self.samples = Some(samples);
        self
    }
}

impl<B: Backend> Extension<B> for BatchGrad<B> {
    type Out = ParamMap<Tensor<B>>;

    fn name(&self) -> &'static str {
        "BatchGrad"
    }

    fn probes(&self) -> Vec<Probe<B>> {
        vec![Probe::new(Seed::Gradient).of(self.samples.clone())]
    }

    fn visit(&mut self, site: &Site<'_, B>) -> Result<(), Error> {
        let gradients = site.jac_t(0, Batch::Keep);
        let shape = gradients.shape().tail();
        self.result.insert(site.param(), gradients.reshape(shape));
        Ok(())
    }

    fn finish(self) -> Result<Self::Out, Error> {
        Ok(self.result)
    }
}

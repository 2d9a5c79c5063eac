//! The GGN's square root `V_n = J_nᵀ S_n`, so that `G = Σ_n V_n V_nᵀ`. (BackPACK's `SqrtGGNExact`, `SqrtGGNMC`.)

use vivit_autodiff::{Batch, ParamMap, Probe, Root, Seed, Site};
use vivit_tensor::{Backend, Tensor};

use crate::{Error, Extension};

/// V: `[V, N_S, *p]` per parameter. Over chosen samples it is scaled so that `V Vᵀ` estimates the GGN of the whole batch.
#[derive(Debug)]
pub struct SqrtGgn<B: Backend> {
    probe: Probe<B>,
    result: ParamMap<Tensor<B>>,
}

impl<B: Backend> SqrtGgn<B> {
    /// With the given root of the loss Hessian.
    pub fn new(root: Root) -> Self {
        SqrtGgn { probe: Probe::new(Seed::Root(root)), result: ParamMap::new() }
    }

    /// With the exact root of fewest columns.
    pub fn exact() -> Self {
        Self::new(Root::default())
    }

    /// With `draws` Monte-Carlo columns.
    pub fn sampled(draws: usize, seed: u64) -> Self {
        Self::new(Root::Sampled { draws, seed })
    }

    /// Of the chosen samples, in that order.
    #[must_use]
    pub fn samples(mut self, samples: Vec<usize>) -> Self {
        self.probe.samples = Some(samples);
        self
    }
}

impl<B: Backend> Extension<B> for SqrtGgn<B> {
    type Out = ParamMap<Tensor<B>>;

    fn name(&self) -> &'static str {
        "SqrtGgn"
    }

    fn probes(&self) -> Vec<Probe<B>> {
        vec![self.probe.clone()]
    }

    fn visit(&mut self, site: &Site<'_, B>) -> Result<(), Error> {
        self.result.insert(site.param(), site.jac_t(0, Batch::Keep));
        Ok(())
    }

    fn finish(self) -> Result<Self::Out, Error> {
        Ok(self.result)
    }
}

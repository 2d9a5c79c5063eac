//! What a quantity is to the sweep.

use vivit_autodiff::{Graph, Loss, ParamId, ParamMap, Probe, Site};

use crate::Error;

/// A quantity that is computed while factors travel backwards.
pub trait Extension {
    /// What there is per parameter.
    type Value;
    /// The result, usually the values of all parameters.
    type Out;

    /// The name that errors show.
    fn name(&self) -> &'static str;

    /// What must travel backwards. In [`visit`](Extension::visit) the site's probes have these
    /// positions.
    fn probes(&self) -> Vec<Probe>;

    /// Whether products are asked per sample (`Batch::Keep`, outer-product structure) or only
    /// summed. Operations that couple samples allow sums only.
    fn per_sample(&self) -> bool {
        true
    }

    /// Whether a loss is needed: by default, whether one of the probes is [computed from
    /// it](vivit_autodiff::Seed::needs_loss). To be overridden where
    /// [`prepare`](Extension::prepare) reads the loss.
    ///
    /// [`run_without_loss`](crate::run_without_loss) takes only extensions that need none.
    fn needs_loss(&self) -> bool {
        self.probes().iter().any(|probe| probe.seed.needs_loss())
    }

    /// Is called once before the sweep, with the parameters that are going to be visited.
    ///
    /// # Errors
    /// Ends the run before any work.
    fn prepare(&mut self, graph: &Graph, loss: &dyn Loss, params: &[ParamId]) -> Result<(), Error> {
        let _ = (graph, loss, params);
        Ok(())
    }

    /// Sees one parameter with all that reached it. Parameters come in reverse order of their first
    /// use, each once.
    ///
    /// # Errors
    /// Ends the sweep.
    fn visit(&mut self, site: &Site<'_>) -> Result<Self::Value, Error>;

    /// Hands over the result: of most extensions the values as they are.
    ///
    /// # Errors
    /// If there is none.
    fn finish(self, values: ParamMap<Self::Value>) -> Result<Self::Out, Error>;
}

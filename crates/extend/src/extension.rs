//! What a quantity is to the sweep.

use vivit_autodiff::{Graph, Loss, ParamId, ParamMap, Probe, Site};

use crate::Error;

/// A quantity that is computed while factors travel backwards.
///
/// ```
/// # use vivit_autodiff::{Batch, ParamMap, Probe, Seed, Site};
/// # use vivit_extend::{Error, Extension, run};
/// # use vivit_tensor::Reduce;
/// # use vivit_autodiff::{Graph, Mse, Tape};
/// # use vivit_tensor::{Device, Tensor};
/// # let cpu = Device::cpu_f64();
/// # let mut tape = Tape::new(&cpu);
/// # let x = tape.input(Tensor::from_vec(&cpu, [2, 2], vec![1.0, 2.0, 3.0, 4.0])?);
/// # let w = tape.named_param("w", Tensor::zeros(&cpu, [1, 2]));
/// # let y = tape.linear(x, w, None);
/// # let graph = Graph::new(tape, y)?;
/// # let w = graph.param_id(w)?;
/// # let loss = Mse::sum(Tensor::from_vec(&cpu, [2, 1], vec![1.0, -1.0])?);
/// /// `‖∂L_n/∂θ‖²`, `[N]` per parameter.
/// struct BatchL2;
/// impl Extension for BatchL2 {
///     type Value = Tensor;
///     type Out = ParamMap<Tensor>;
///     fn name(&self) -> &'static str { "BatchL2" }
///     fn probes(&self) -> Vec<Probe> { vec![Probe::new(Seed::Gradient)] }
///     fn visit(&mut self, site: &Site<'_>) -> Result<Tensor, Error> {
///         let g = site.jac_t(0, Batch::Keep); // [1, N, *p]
///         Ok(g.reshape([g.shape()[1], site.shape().size()]).reduce(Reduce::SumSquares, 1))
///     }
///     fn finish(self, values: ParamMap<Tensor>) -> Result<Self::Out, Error> { Ok(values) }
/// }
/// let (norms,) = run(&graph, &loss, (BatchL2,))?;
/// assert_eq!(norms[w].to_vec()?, [20.0, 100.0]); // of (−2, −4) and (6, 8)
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
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

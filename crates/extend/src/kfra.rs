//! Kronecker-factored recursive approximation, KFRA (Botev, Ritter & Barber, ICML 2017): `G ≈ B ⊗
//! A` as in [`Kfac`](crate::Kfac), with B from a recursion that averages over samples at every step
//! ([`Graph::averaged_sweep`]).
//!
//! The recursion carries one matrix of (entries per sample)² numbers at each value between the
//! parameters and the output: cheap for narrow fully-connected networks with many outputs, out of
//! reach for convolutions over large images. It asks nothing of the sweep that other extensions run
//! in, and is done before it.

use std::fmt;

use vivit_autodiff::{Graph, KfraSite, Loss, Order, ParamId, ParamMap, Probe, Site};
use vivit_tensor::Tensor;

use crate::kfac::input_factor;
use crate::{Error, Extension, Kronecker};

/// KFRA: a [`Kronecker`] per parameter.
#[derive(Default)]
pub struct Kfra {
    factors: ParamMap<Kronecker>,
}

impl fmt::Debug for Kfra {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Kfra").finish_non_exhaustive()
    }
}

impl Kfra {
    /// Of all samples.
    pub fn new() -> Self {
        Kfra { factors: ParamMap::new() }
    }

    fn factors(graph: &Graph, at: &KfraSite<'_>) -> Result<Kronecker, Error> {
        let shape = *graph.tape().param_value(at.param)?.shape();
        Ok(match (at.outer(), at.output_factor()) {
            (Some(outer), Some(b)) => {
                Kronecker::new(b, Some(input_factor(&outer)), outer.order(), shape)
            }
            _ => {
                let block: Tensor = at.block();
                let d = shape.size();
                Kronecker::new(block.reshape([1, d, d]), None, Order::OutIn, shape)
            }
        })
    }
}

impl Extension for Kfra {
    type Value = Kronecker;
    type Out = ParamMap<Kronecker>;

    fn name(&self) -> &'static str {
        "Kfra"
    }

    fn probes(&self) -> Vec<Probe> {
        Vec::new()
    }

    fn needs_loss(&self) -> bool {
        true
    }

    fn prepare(&mut self, graph: &Graph, loss: &dyn Loss, params: &[ParamId]) -> Result<(), Error> {
        let mut factors = ParamMap::new();
        graph.averaged_sweep(loss, params, "Kfra", |at| {
            if !params.contains(&at.param) {
                return Ok(());
            }
            if factors.insert(at.param, Self::factors(graph, at)?).is_some() {
                let reason = format!(
                    "parameter {} is used more than once, for which the approximation is not \
                     defined; use Kfac",
                    graph.tape().param_name(at.param)?
                );
                return Err(Error::Unsupported {
                    extension: "Kfra",
                    op: at.operation().name().into(),
                    reason,
                });
            }
            Ok::<(), Error>(())
        })?;
        self.factors = factors;
        Ok(())
    }

    fn visit(&mut self, site: &Site<'_>) -> Result<Kronecker, Error> {
        Ok(self.factors.remove(site.param()).expect("every parameter on the way has been seen"))
    }

    fn finish(self, values: ParamMap<Kronecker>) -> Result<Self::Out, Error> {
        Ok(values)
    }
}

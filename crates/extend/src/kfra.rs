//! Kronecker-factored recursive approximation.

use std::fmt;

use vivit_autodiff::{Graph, KfraSite, Loss, Order, ParamId, ParamMap, Probe, Site};
use vivit_tensor::Tensor;

use crate::kfac::input_factor;
use crate::{Error, Extension, Kronecker};

/// Kronecker-factored recursive approximation, KFRA (Botev, Ritter & Barber, ICML 2017): `G ≈ B ⊗
/// A` as in [`Kfac`](crate::Kfac), with B from a recursion that averages over samples at every step
/// ([`Graph::averaged_sweep`]).
///
/// The recursion carries one matrix of (entries per sample)² numbers at each value between the
/// parameters and the output: cheap for narrow fully-connected networks with many outputs, out of
/// reach for convolutions over large images. It asks nothing of the sweep that other extensions run
/// in, and is done before it.
///
/// The result is a [`Kronecker`] per parameter.
///
/// ```
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
/// // y = x·w at w = 0, with x = (1, 2) and (3, 4); squared errors against 1 and −1.
/// use vivit_extend::{Kfra, run};
///
/// let (factors,) = run(&graph, &loss, (Kfra::new(),))?;
/// let a = factors[w].a().expect("a weight has both").to_vec()?;
/// assert_eq!(a, [5.0, 7.0, 7.0, 10.0]); // (1/N) Σ_n x xᵀ
/// let b = factors[w].b().to_vec()?;
/// assert!((b[0] - 4.0).abs() < 1e-14); // Σ_n 2
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
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

//! A hook: a closure that sees every site of the sweep.

use std::fmt;

use vivit_autodiff::{ParamMap, Probe, Site};

use crate::{Error, Extension};

/// Calls a closure with every site, in the same sweep as the other extensions.
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
/// use vivit_autodiff::{Batch, Probe, Seed};
/// use vivit_extend::{OnSite, run};
///
/// let mut names = Vec::new();
/// let hook = OnSite::new(vec![Probe::new(Seed::Gradient)], |site| {
///     assert_eq!(site.jac_t(0, Batch::Sum).to_vec()?, [4.0, 4.0]);
///     names.push(site.name().to_string());
///     Ok(())
/// });
/// run(&graph, &loss, (hook,))?;
/// assert_eq!(names, ["w"]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct OnSite<F> {
    probes: Vec<Probe>,
    hook: F,
}

impl<F: FnMut(&Site<'_>) -> Result<(), Error>> OnSite<F> {
    /// A hook that reads what `probes` (possibly none) send to a site.
    pub fn new(probes: Vec<Probe>, hook: F) -> Self {
        OnSite { probes, hook }
    }
}

impl<F> fmt::Debug for OnSite<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OnSite").field("probes", &self.probes).finish_non_exhaustive()
    }
}

impl<F: FnMut(&Site<'_>) -> Result<(), Error>> Extension for OnSite<F> {
    type Value = ();
    type Out = ();

    fn name(&self) -> &'static str {
        "OnSite"
    }

    fn probes(&self) -> Vec<Probe> {
        self.probes.clone()
    }

    fn per_sample(&self) -> bool {
        !self.probes.is_empty()
    }

    fn visit(&mut self, site: &Site<'_>) -> Result<(), Error> {
        (self.hook)(site)
    }

    fn finish(self, _values: ParamMap<()>) -> Result<(), Error> {
        Ok(())
    }
}

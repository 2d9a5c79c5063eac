//! The GGN's diagonal blocks, one per group of parameters.

use vivit_autodiff::{ParamId, ParamMap};

use super::settings::Settings;
use super::spaces;
use super::{DirectionalDerivatives, Eigenpairs, GramSpace, NewtonStep, Plan};
use crate::Error;

/// Diagonal blocks of the GGN, one per group of parameters, from one sweep; made by
/// [`Ggn::blocks`](crate::Ggn::blocks).
///
/// Results have one entry per group, in the order of the groups. A criterion is asked for every
/// group; where groups want different ones, ask their [`gram_spaces`](GgnBlocks::gram_spaces).
///
/// ```
/// use vivit_autodiff::{Graph, Mse, Tape};
/// use vivit_curvature::{Ggn, top_k};
/// use vivit_tensor::{Device, Rng, Tensor};
///
/// let (cpu, mut rng) = (Device::cpu_f64(), Rng::new(0));
/// let mut tape = Tape::new(&cpu);
/// let x = tape.input(Tensor::from_vec(&cpu, [6, 4], rng.normal(24))?);
/// let w = tape.named_param("weight", Tensor::from_vec(&cpu, [2, 4], rng.normal(8))?);
/// let b = tape.named_param("bias", Tensor::zeros(&cpu, [2]));
/// let y = tape.linear(x, w, Some(b));
/// let graph = Graph::new(tape, y)?;
/// let loss = Mse::mean(Tensor::zeros(&cpu, [6, 2]));
///
/// let blocks = Ggn::new(&graph, &loss).blocks(graph.groups_per_param());
/// let [weight, bias] = &blocks.directional_derivatives(top_k(1))?[..] else { unreachable!() };
/// assert!((bias.eigenvalues[0] - 1.0).abs() < 1e-12); // the mean of 2/2 per sample and output
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct GgnBlocks<'a> {
    settings: Settings<'a>,
    groups: Vec<Vec<ParamId>>,
}

impl<'a> GgnBlocks<'a> {
    pub(crate) fn new(settings: Settings<'a>, groups: Vec<Vec<ParamId>>) -> Self {
        GgnBlocks { settings, groups }
    }

    /// The groups.
    pub fn groups(&self) -> &[Vec<ParamId>] {
        &self.groups
    }

    /// Gram matrices, gradients' projections and eigenvalues of every group.
    ///
    /// # Errors
    /// If there is no group, one is empty, a parameter is in two groups or none of the graph,
    /// samples or targets do not fit, a number is NaN or infinite, or an operation couples samples.
    pub fn gram_spaces(&self) -> Result<Vec<GramSpace>, Error> {
        spaces::compute(&self.settings, &self.groups, true)
    }

    /// All eigenvalues of every group's Gram matrix, ascending: `[N_S·V]`.
    ///
    /// # Errors
    /// As [`gram_spaces`](GgnBlocks::gram_spaces).
    pub fn spectra(&self) -> Result<Vec<Vec<f64>>, Error> {
        let spaces = spaces::compute(&self.settings, &self.groups, false)?;
        Ok(spaces.iter().map(|space| space.spectrum().to_vec()).collect())
    }

    /// The chosen eigenvalues with their eigenvectors in parameter format, per group.
    ///
    /// # Errors
    /// As [`gram_spaces`](GgnBlocks::gram_spaces), and if the criterion's choice is empty,
    /// repeated, out of range or numerically zero.
    pub fn eigenpairs(
        &self,
        criterion: impl Fn(&[f64]) -> Vec<usize>,
    ) -> Result<Vec<Eigenpairs>, Error> {
        let spaces = spaces::compute(&self.settings, &self.groups, false)?;
        spaces.iter().map(|space| space.eigenpairs(&criterion)).collect()
    }

    /// Per-sample first and second derivatives along the chosen eigenvectors, per group.
    ///
    /// # Errors
    /// As [`eigenpairs`](GgnBlocks::eigenpairs).
    pub fn directional_derivatives(
        &self,
        criterion: impl Fn(&[f64]) -> Vec<usize>,
    ) -> Result<Vec<DirectionalDerivatives>, Error> {
        self.gram_spaces()?.iter().map(|space| space.directional_derivatives(&criterion)).collect()
    }

    /// The directionally damped Newton step of all groups' parameters: each group's, side by side.
    ///
    /// # Errors
    /// As [`eigenpairs`](GgnBlocks::eigenpairs), and if the damping does not fit or leaves a
    /// curvature that is not positive.
    pub fn newton_step(
        &self,
        criterion: impl Fn(&[f64]) -> Vec<usize>,
        damping: impl Fn(&DirectionalDerivatives) -> Vec<f64>,
    ) -> Result<NewtonStep, Error> {
        let mut whole = NewtonStep { step: ParamMap::new(), directions: Vec::new() };
        for space in self.gram_spaces()? {
            let NewtonStep { step, directions } = space.newton_step(&criterion, &damping)?;
            whole.step.extend(step);
            whole.directions.extend(directions);
        }
        Ok(whole)
    }

    /// What the [`gram_spaces`](GgnBlocks::gram_spaces) will take: memory, multiply-adds, how each
    /// parameter is contracted, and how the work is cut. Nothing but the seeds at the output is
    /// computed.
    ///
    /// # Errors
    /// As [`gram_spaces`](GgnBlocks::gram_spaces).
    pub fn plan(&self) -> Result<Plan, Error> {
        spaces::plan(&self.settings, &self.groups)
    }
}

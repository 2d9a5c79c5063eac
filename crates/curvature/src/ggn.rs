//! The entrance: a graph, a loss, and how to approximate the GGN.

use std::fmt;

use vivit_autodiff::{Graph, Loss, Probe, Root, RootColumns, Seed};
use vivit_tensor::Device;

use crate::{
    Contraction, DirectionalDerivatives, Eigenpairs, Error, GramSpace, Group, NewtonStep, Plan,
    Progress,
};

/// The generalized Gauss-Newton matrix of a graph's loss, and how it is to be approximated.
///
/// Each of [`spectrum`](Ggn::spectrum), [`eigenpairs`](Ggn::eigenpairs),
/// [`directional_derivatives`](Ggn::directional_derivatives) and [`newton_step`](Ggn::newton_step)
/// costs one sweep, one Gram matrix and one eigenvalue computation per group; eigenvectors in
/// parameter space cost one more sweep of as many columns. To get several of them for the price of
/// one, build the [`gram_space`](Ggn::gram_space) once.
pub struct Ggn<'a> {
    pub(crate) graph: &'a Graph,
    pub(crate) loss: &'a dyn Loss,
    pub(crate) root: Root,
    pub(crate) grad_samples: Option<Vec<usize>>,
    pub(crate) ggn_samples: Option<Vec<usize>>,
    pub(crate) contraction: Contraction,
    pub(crate) budget: Option<usize>,
    pub(crate) progress: Option<Box<dyn Fn(Progress) + 'a>>,
}

impl fmt::Debug for Ggn<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ggn")
            .field("loss", &self.loss)
            .field("root", &self.root)
            .field("grad_samples", &self.grad_samples)
            .field("ggn_samples", &self.ggn_samples)
            .field("contraction", &self.contraction)
            .field("budget", &self.budget)
            .finish_non_exhaustive()
    }
}

impl<'a> Ggn<'a> {
    /// The exact GGN over all samples.
    pub fn new(graph: &'a Graph, loss: &'a dyn Loss) -> Self {
        let (root, contraction) = (Root::default(), Contraction::default());
        Ggn {
            graph,
            loss,
            root,
            grad_samples: None,
            ggn_samples: None,
            contraction,
            budget: None,
            progress: None,
        }
    }

    /// The exact root with this choice of columns.
    ///
    /// [`RootColumns::Rank`] (the default) is cheaper; [`RootColumns::Outputs`] lists the
    /// structural zeros of the spectrum too.
    #[must_use]
    pub fn columns(mut self, columns: RootColumns) -> Self {
        self.root = Root::Exact(columns);
        self
    }

    /// A Monte-Carlo root of `draws` columns per sample.
    #[must_use]
    pub fn monte_carlo(mut self, draws: usize, seed: u64) -> Self {
        self.root = Root::MonteCarlo { draws, seed };
        self
    }

    /// The samples of the GGN, in this order. The GGN of the whole batch is estimated from them.
    #[must_use]
    pub fn ggn_samples(mut self, samples: impl Into<Vec<usize>>) -> Self {
        self.ggn_samples = Some(samples.into());
        self
    }

    /// The samples of the gradients, in this order; chosen independently of the GGN's.
    #[must_use]
    pub fn grad_samples(mut self, samples: impl Into<Vec<usize>>) -> Self {
        self.grad_samples = Some(samples.into());
        self
    }

    /// In which order the Gram matrix is contracted, and in how much memory. Default: the cheapest,
    /// parameter by parameter, in 64 MiB; [`GramSpace::report`] tells.
    #[must_use]
    pub fn contraction(mut self, contraction: Contraction) -> Self {
        self.contraction = contraction;
        self
    }

    /// Bytes that may be in use at a time, those of the tape's values among them. Default: three
    /// quarters of the memory that the device has (the machine, or the container, on the CPU).
    ///
    /// What does not fit is cut into slices of samples, then of columns, and every slice is swept
    /// again with each of the others: the same results up to rounding, in less memory and more
    /// time. See [`plan`](Ggn::plan).
    #[must_use]
    pub fn memory_budget(mut self, bytes: usize) -> Self {
        self.budget = Some(bytes);
        self
    }

    /// Calls `report` as the work goes on.
    #[must_use]
    pub fn on_progress(mut self, report: impl Fn(Progress) + 'a) -> Self {
        self.progress = Some(Box::new(report));
        self
    }

    /// Gram matrices, gradients' projections and eigenvalues of every group: what all results are
    /// made of.
    ///
    /// # Errors
    /// If a parameter is in two groups or none of the graph, samples or targets do not fit, a
    /// number is NaN or infinite, or an operation couples samples.
    pub fn gram_space<'s>(&'s self, groups: &'s [Group<'s>]) -> Result<GramSpace<'s>, Error> {
        GramSpace::new(self, groups, true)
    }

    /// All eigenvalues that the Gram matrix shows, ascending, per group: `[N_S·V]`. The GGN's other
    /// eigenvalues are zero. Criteria do not matter.
    ///
    /// # Errors
    /// As [`gram_space`](Ggn::gram_space).
    pub fn spectrum(&self, groups: &[Group<'_>]) -> Result<Vec<Vec<B::Elem>>, Error> {
        let space = GramSpace::new(self, groups, false)?;
        Ok((0..groups.len()).map(|group| space.spectrum(group).to_vec()).collect())
    }

    /// The chosen eigenvalues with their eigenvectors in parameter format, per group.
    ///
    /// # Errors
    /// As [`gram_space`](Ggn::gram_space), and if a criterion's choice is empty, repeated, out of
    /// range or numerically zero.
    pub fn eigenpairs(&self, groups: &[Group<'_>]) -> Result<Vec<Eigenpairs>, Error> {
        GramSpace::new(self, groups, false)?.eigenpairs()
    }

    /// Per-sample first and second derivatives along the chosen eigenvectors, per group.
    ///
    /// # Errors
    /// As [`eigenpairs`](Ggn::eigenpairs).
    pub fn directional_derivatives(
        &self,
        groups: &[Group<'_>],
    ) -> Result<Vec<DirectionalDerivatives<B::Elem>>, Error> {
        self.gram_space(groups)?.directional_derivatives()
    }

    /// The directionally damped Newton step `Δθ = Σ_k −γ̄_k / (λ̄_k + δ_k) e_k` of all groups'
    /// parameters.
    ///
    /// `damping` returns δ `[K]` for a group's directional derivatives; see
    /// [`constant`](crate::constant).
    ///
    /// # Errors
    /// As [`eigenpairs`](Ggn::eigenpairs), and if the damping does not fit or leaves a curvature
    /// that is not positive.
    pub fn newton_step(
        &self,
        groups: &[Group<'_>],
        damping: impl Fn(&DirectionalDerivatives<B::Elem>) -> Vec<f64>,
    ) -> Result<NewtonStep, Error> {
        self.gram_space(groups)?.newton_step(damping)
    }

    /// What a [`gram_space`](Ggn::gram_space) of these groups will take: memory, multiply-adds, how
    /// each parameter is contracted, and how the work is cut. Nothing but the seeds at the output
    /// is computed.
    ///
    /// # Errors
    /// As [`gram_space`](Ggn::gram_space).
    pub fn plan(&self, groups: &[Group<'_>]) -> Result<Plan, Error> {
        GramSpace::plan(self, groups)
    }

    pub(crate) fn budget(&self) -> usize {
        let known =
            || self.graph.tape().device().memory().map_or(usize::MAX, |bytes| bytes / 4 * 3);
        self.budget.unwrap_or_else(known)
    }

    pub(crate) fn ggn_probe(&self) -> Probe {
        Probe::new(Seed::Root(self.root)).of(self.ggn_samples.clone())
    }

    pub(crate) fn grad_probe(&self) -> Probe {
        Probe::new(Seed::Gradient).of(self.grad_samples.clone())
    }

    pub(crate) fn report(&self, progress: Progress) {
        if let Some(report) = &self.progress {
            report(progress);
        }
    }
}

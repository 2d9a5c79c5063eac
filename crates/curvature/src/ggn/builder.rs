//! The entrance: a graph, a loss, and how to approximate the GGN.

use vivit_autodiff::{Graph, Loss, ParamId, Root, RootColumns};

use super::blocks::GgnBlocks;
use super::progress::{Listener, Progress};
use super::settings::Settings;
use super::{DirectionalDerivatives, Eigenpairs, GramSpace, NewtonStep, Plan};
use crate::params::chosen_params;
use crate::{Contraction, Error};

/// The generalized Gauss-Newton matrix `G = Σ_n J_nᵀ H_n J_n` of a graph's loss, and how it is to be
/// approximated: J_n is the Jacobian of sample n's outputs in the parameters, H_n the Hessian of its
/// loss in the outputs.
///
/// By default of all parameters together; of some with [`params`](Ggn::params), and block by block
/// with [`blocks`](Ggn::blocks). With `G = V Vᵀ`, everything is read off the Gram matrix `Vᵀ V`,
/// which has the same non-zero eigenvalues and one row per sample and column of the loss Hessian's
/// root.
///
/// Each of [`spectrum`](Ggn::spectrum), [`eigenpairs`](Ggn::eigenpairs),
/// [`directional_derivatives`](Ggn::directional_derivatives) and [`newton_step`](Ggn::newton_step)
/// costs one sweep, one Gram matrix and one eigenvalue computation; eigenvectors in parameter space
/// cost one more sweep of as many columns. To get several of them for the price of one, keep the
/// [`gram_space`](Ggn::gram_space): it owns what it needs.
///
/// A criterion chooses directions: it is given the eigenvalues, ascending, and returns the indices
/// of those to use, in the order in which results have them; see [`top_k`](crate::top_k),
/// [`above`](crate::above), [`nonzero`](crate::nonzero).
///
/// ```
/// use vivit_autodiff::{CrossEntropy, Graph, Tape};
/// use vivit_curvature::{Ggn, top_k};
/// use vivit_tensor::{Device, Rng, Tensor};
///
/// let (cpu, mut rng) = (Device::cpu_f64(), Rng::new(0));
/// let mut tape = Tape::new(&cpu);
/// let x = tape.input(Tensor::from_vec(&cpu, [6, 4], rng.normal(24))?);
/// let w = tape.param(Tensor::from_vec(&cpu, [3, 4], rng.normal(12))?);
/// let y = tape.linear(x, w, None);
/// let graph = Graph::new(tape, y)?;
/// let loss = CrossEntropy::mean([0, 1, 2, 0, 1, 2]);
///
/// let along = Ggn::new(&graph, &loss).directional_derivatives(top_k(2))?;
/// assert_eq!((along.gammas.rows(), along.gammas.cols()), (6, 2)); // [N, K]
/// // Of a mean, the average second derivative along an eigenvector is its eigenvalue.
/// assert!((along.mean_lambdas()[1] - along.eigenvalues[1]).abs() < 1e-12);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct Ggn<'a> {
    settings: Settings<'a>,
    params: Option<Vec<ParamId>>,
}

impl<'a> Ggn<'a> {
    /// The exact GGN over all samples and parameters.
    pub fn new(graph: &'a Graph, loss: &'a dyn Loss) -> Self {
        let settings = Settings {
            graph,
            loss,
            root: Root::default(),
            grad_samples: None,
            ggn_samples: None,
            contraction: Contraction::default(),
            budget: None,
            listener: Listener::default(),
        };
        Ggn { settings, params: None }
    }

    /// The block of these parameters.
    #[must_use]
    pub fn params(mut self, params: impl Into<Vec<ParamId>>) -> Self {
        self.params = Some(params.into());
        self
    }

    /// The blocks of several groups of parameters, which replace [`params`](Ggn::params): the GGN
    /// becomes block-diagonal, and all blocks share one sweep. See
    /// [`Graph::groups_by_layer`](vivit_autodiff::Graph::groups_by_layer).
    pub fn blocks(&self, groups: impl IntoIterator<Item = Vec<ParamId>>) -> GgnBlocks<'a> {
        GgnBlocks::new(self.settings.clone(), groups.into_iter().collect())
    }

    /// The exact root with this choice of columns.
    ///
    /// [`RootColumns::Rank`] (the default) is cheaper; [`RootColumns::Outputs`] lists the
    /// structural zeros of the spectrum too.
    #[must_use]
    pub fn columns(mut self, columns: RootColumns) -> Self {
        self.settings.root = Root::Exact(columns);
        self
    }

    /// A Monte-Carlo root of `draws` columns per sample.
    #[must_use]
    pub fn monte_carlo(mut self, draws: usize, seed: u64) -> Self {
        self.settings.root = Root::MonteCarlo { draws, seed };
        self
    }

    /// The samples of the GGN, in this order. The GGN of the whole batch is estimated from them.
    #[must_use]
    pub fn ggn_samples(mut self, samples: impl Into<Vec<usize>>) -> Self {
        self.settings.ggn_samples = Some(samples.into());
        self
    }

    /// The samples of the gradients, in this order; chosen independently of the GGN's.
    #[must_use]
    pub fn grad_samples(mut self, samples: impl Into<Vec<usize>>) -> Self {
        self.settings.grad_samples = Some(samples.into());
        self
    }

    /// In which order the Gram matrix is contracted, and in how much memory. Default: the cheapest,
    /// parameter by parameter, in 64 MiB; [`GramSpace::report`] tells.
    #[must_use]
    pub fn contraction(mut self, contraction: Contraction) -> Self {
        self.settings.contraction = contraction;
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
        self.settings.budget = Some(bytes);
        self
    }

    /// Calls `report` as the work goes on.
    #[must_use]
    pub fn on_progress(mut self, report: impl Fn(Progress) + Send + Sync + 'static) -> Self {
        self.settings.listener = Listener::new(report);
        self
    }

    /// The only block.
    fn block(&self) -> Result<GgnBlocks<'a>, Error> {
        let params = chosen_params(self.settings.graph, self.params.clone())?;
        Ok(GgnBlocks::new(self.settings.clone(), vec![params]))
    }

    /// Gram matrix, gradients' projections and eigenvalues: what all results are made of.
    ///
    /// # Errors
    /// If a parameter is chosen twice or none of the graph, samples or targets do not fit, a number
    /// is NaN or infinite, or an operation couples samples.
    pub fn gram_space(&self) -> Result<GramSpace, Error> {
        Ok(only(self.block()?.gram_spaces()?))
    }

    /// All eigenvalues that the Gram matrix shows, ascending: `[N_S·V]`. The GGN's other
    /// eigenvalues are zero.
    ///
    /// # Errors
    /// As [`gram_space`](Ggn::gram_space).
    pub fn spectrum(&self) -> Result<Vec<f64>, Error> {
        Ok(only(self.block()?.spectra()?))
    }

    /// The chosen eigenvalues with their eigenvectors in parameter format.
    ///
    /// # Errors
    /// As [`gram_space`](Ggn::gram_space), and if the criterion's choice is empty, repeated, out of
    /// range or numerically zero.
    pub fn eigenpairs(
        &self,
        criterion: impl Fn(&[f64]) -> Vec<usize>,
    ) -> Result<Eigenpairs, Error> {
        Ok(only(self.block()?.eigenpairs(criterion)?))
    }

    /// Per-sample first and second derivatives along the chosen eigenvectors.
    ///
    /// # Errors
    /// As [`eigenpairs`](Ggn::eigenpairs).
    pub fn directional_derivatives(
        &self,
        criterion: impl Fn(&[f64]) -> Vec<usize>,
    ) -> Result<DirectionalDerivatives, Error> {
        Ok(only(self.block()?.directional_derivatives(criterion)?))
    }

    /// The directionally damped Newton step `Δθ = Σ_k −γ̄_k / (λ̄_k + δ_k) e_k`.
    ///
    /// `damping` returns δ `[K]` for the directional derivatives; see
    /// [`constant`](crate::constant).
    ///
    /// # Errors
    /// As [`eigenpairs`](Ggn::eigenpairs), and if the damping does not fit or leaves a curvature
    /// that is not positive.
    pub fn newton_step(
        &self,
        criterion: impl Fn(&[f64]) -> Vec<usize>,
        damping: impl Fn(&DirectionalDerivatives) -> Vec<f64>,
    ) -> Result<NewtonStep, Error> {
        self.block()?.newton_step(criterion, damping)
    }

    /// What a [`gram_space`](Ggn::gram_space) will take: memory, multiply-adds, how each parameter
    /// is contracted, and how the work is cut. Nothing but the seeds at the output is computed.
    ///
    /// # Errors
    /// As [`gram_space`](Ggn::gram_space).
    pub fn plan(&self) -> Result<Plan, Error> {
        self.block()?.plan()
    }
}

/// The result of the only block.
fn only<T>(results: Vec<T>) -> T {
    results.into_iter().next().expect("one result per block")
}

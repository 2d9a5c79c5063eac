//! Optimizers: those of [`nn`](crate::nn::optim), which follow a gradient, and the damped Newton
//! step, which follows the curvature.

use std::fmt;

use vivit_autodiff::{Graph, Loss, ParamId, Root, RootColumns};
use vivit_curvature::{DirectionalDerivatives, Ggn};
use vivit_nn::Weights;

pub use vivit_nn::optim::{Adam, AdamOptions, AdamW, Optimizer, OptimizerState, Sgd, SgdOptions};

use crate::Error;

/// A rule that moves a model's parameters so that a loss gets smaller: the [`Optimizer`]s of this
/// crate, and [`DampedNewton`]. An optimizer of one's own implements it with [`Graph::backward`]
/// and [`Optimizer::step`].
///
/// # Examples
/// ```
/// use vivit::curvature::top_k_nonzero;
/// use vivit::nn::{linear, tanh};
/// use vivit::optim::{Adam, DampedNewton, Descent};
/// use vivit::prelude::*;
///
/// let cpu = Device::cpu_f64();
/// let x = Tensor::from_vec(&cpu, &[8, 3], Rng::new(1).normal(24))?;
/// let loss = CrossEntropy::mean(vec![0, 1, 2, 0, 1, 2, 0, 1]);
///
/// let newton = DampedNewton::new(top_k_nonzero(4, 1e-10), constant(0.1));
/// let rules: [Box<dyn Descent>; 2] = [Box::new(Adam::new(0.01)?), Box::new(newton)];
/// for mut rule in rules {
///     let mut model = Sequential::new(&cpu, vec![linear(3, 5), tanh(), linear(5, 3)], 0)?;
///     let before = model.forward(&x)?.loss(&loss)?;
///     for _ in 0..10 {
///         let graph = model.forward(&x)?;
///         rule.descend(&mut model, &graph, &loss)?;
///     }
///     assert!(model.forward(&x)?.loss(&loss)? < before);
/// }
/// # Ok::<(), vivit::Error>(())
/// ```
pub trait Descent: Send + Sync {
    /// One step down the loss at the end of a graph that a forward pass of this model
    /// recorded.
    ///
    /// # Errors
    /// If targets do not fit, a number is NaN or infinite, or what the step is made of does not
    /// exist; the model is left as it was.
    fn descend(&mut self, model: &mut Weights, graph: &Graph, loss: &dyn Loss)
    -> Result<(), Error>;
}

// One by one: an implementation for everything that is an `Optimizer` would leave no room for the
// Newton step.
macro_rules! along_gradient {
    ($($optimizer:ident)+) => {
        $(impl Descent for $optimizer {
            fn descend(
                &mut self,
                model: &mut Weights,
                graph: &Graph,
                loss: &dyn Loss,
            ) -> Result<(), Error> {
                Ok(self.step(model, &graph.backward(loss)?)?)
            }
        })+
    };
}

along_gradient! { Sgd Adam AdamW }

/// Which parameters belong together, for a graph.
type Grouping = dyn Fn(&Graph) -> Result<Vec<Vec<ParamId>>, vivit_autodiff::Error> + Send + Sync;
/// The samples to use of a batch of the given size.
type Samples = dyn FnMut(usize) -> Vec<usize> + Send + Sync;
/// Chooses directions among ascending eigenvalues.
type Criterion = dyn Fn(&[f64]) -> Vec<usize> + Send + Sync;
/// The damping δ `[K]` along the directions of a group.
type Damping = dyn Fn(&DirectionalDerivatives) -> Vec<f64> + Send + Sync;

/// The directionally damped Newton step as an optimizer: `θ ← θ + η Σ_k −γ̄_k / (λ̄_k + δ_k) e_k`,
/// a sum over the chosen eigenvectors of every group's GGN block (Dangel, Tatzel & Hennig, TMLR
/// 2022).
///
/// It acts in the chosen directions only; where the gradient has a share outside of them, it stays.
/// Parameters that are in no group stay, too.
///
/// # Examples
/// ```
/// use vivit::curvature::top_k_nonzero;
/// use vivit::nn::{linear, relu};
/// use vivit::optim::DampedNewton;
/// use vivit::prelude::*;
///
/// let cpu = Device::cpu_f64();
/// let mut model = Sequential::new(&cpu, vec![linear(3, 5), relu(), linear(5, 3)], 0)?;
/// let x = Tensor::from_vec(&cpu, &[8, 3], Rng::new(1).normal(24))?;
/// let loss = CrossEntropy::mean(vec![0, 1, 2, 0, 1, 2, 0, 1]);
///
/// // One GGN block per layer, estimated from half of the batch with one Monte-Carlo column per
/// // sample.
/// let mut newton = DampedNewton::new(top_k_nonzero(3, 1e-8), constant(1.0))
///     .groups(|graph| Ok(graph.groups_by_layer()))
///     .ggn_samples(|batch| (0..batch / 2).collect())
///     .monte_carlo(1, 42)
///     .learning_rate(0.5)?;
/// let graph = model.forward(&x)?;
/// let directions = newton.step(&mut model, &graph, &loss)?;
/// println!("the first layer's leading eigenvalues: {:?}", directions[0].eigenvalues);
/// # Ok::<(), vivit::Error>(())
/// ```
pub struct DampedNewton {
    groups: Box<Grouping>,
    criterion: Box<Criterion>,
    damping: Box<Damping>,
    learning_rate: f64,
    root: Root,
    grad_samples: Option<Box<Samples>>,
    ggn_samples: Option<Box<Samples>>,
}

impl fmt::Debug for DampedNewton {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DampedNewton")
            .field("learning_rate", &self.learning_rate)
            .field("root", &self.root)
            .finish_non_exhaustive()
    }
}

impl DampedNewton {
    /// With the exact GGN of all samples, all parameters in one group, and learning rate 1.
    ///
    /// `criterion` chooses directions among a block's ascending eigenvalues (see
    /// [`top_k_nonzero`](crate::curvature::top_k_nonzero)), `damping` returns δ `[K]` for their
    /// directional derivatives (see [`constant`](crate::curvature::constant)).
    pub fn new(
        criterion: impl Fn(&[f64]) -> Vec<usize> + Send + Sync + 'static,
        damping: impl Fn(&DirectionalDerivatives) -> Vec<f64> + Send + Sync + 'static,
    ) -> Self {
        DampedNewton {
            groups: Box::new(|graph| Ok(vec![graph.params()])),
            criterion: Box::new(criterion),
            damping: Box::new(damping),
            learning_rate: 1.0,
            root: Root::default(),
            grad_samples: None,
            ggn_samples: None,
        }
    }

    /// One GGN block per group of parameters: [`Graph::groups_by_layer`],
    /// [`Graph::groups_matching`], or a rule of one's own.
    #[must_use]
    pub fn groups(
        mut self,
        groups: impl Fn(&Graph) -> Result<Vec<Vec<ParamId>>, vivit_autodiff::Error>
        + Send
        + Sync
        + 'static,
    ) -> Self {
        self.groups = Box::new(groups);
        self
    }

    /// The factor η of the step.
    ///
    /// # Errors
    /// If it is not positive and finite.
    pub fn learning_rate(mut self, learning_rate: f64) -> Result<Self, Error> {
        if !(learning_rate > 0.0 && learning_rate.is_finite()) {
            let (what, expected) = ("the learning rate", "positive and finite");
            return Err(vivit_nn::Error::Option { what, expected, value: learning_rate }.into());
        }
        self.learning_rate = learning_rate;
        Ok(self)
    }

    /// The exact root of the loss's Hessian, with this choice of columns.
    #[must_use]
    pub fn columns(mut self, columns: RootColumns) -> Self {
        self.root = Root::Exact(columns);
        self
    }

    /// A Monte-Carlo root of `draws` columns per sample; every step draws anew, from the seeds that
    /// follow `seed`.
    #[must_use]
    pub fn monte_carlo(mut self, draws: usize, seed: u64) -> Self {
        self.root = Root::MonteCarlo { draws, seed };
        self
    }

    /// The root of the loss's Hessian of the next step. For Monte-Carlo its seed is the next one: a
    /// step that is made with it goes on where this one stopped.
    pub fn root(&self) -> Root {
        self.root
    }

    /// The samples of the GGN: `choose` gets the number of samples in the batch, at every step.
    #[must_use]
    pub fn ggn_samples(
        mut self,
        choose: impl FnMut(usize) -> Vec<usize> + Send + Sync + 'static,
    ) -> Self {
        self.ggn_samples = Some(Box::new(choose));
        self
    }

    /// The samples of the gradient, chosen independently of the GGN's.
    #[must_use]
    pub fn grad_samples(
        mut self,
        choose: impl FnMut(usize) -> Vec<usize> + Send + Sync + 'static,
    ) -> Self {
        self.grad_samples = Some(Box::new(choose));
        self
    }

    /// One step at the end of a graph that a forward pass of this model recorded. Returns
    /// what the step was made of: the directional derivatives of every group.
    ///
    /// # Errors
    /// As [`Ggn::newton_step`]; the model is left as it was.
    pub fn step(
        &mut self,
        model: &mut Weights,
        graph: &Graph,
        loss: &dyn Loss,
    ) -> Result<Vec<DirectionalDerivatives>, Error> {
        let groups = (self.groups)(graph)?;
        let mut ggn = Ggn::new(graph, loss);
        ggn = match self.root {
            Root::Exact(columns) => ggn.columns(columns),
            Root::MonteCarlo { draws, seed } => ggn.monte_carlo(draws, seed),
        };
        if let Some(choose) = &mut self.grad_samples {
            ggn = ggn.grad_samples(choose(graph.samples()));
        }
        if let Some(choose) = &mut self.ggn_samples {
            ggn = ggn.ggn_samples(choose(graph.samples()));
        }
        let newton = ggn.blocks(groups).newton_step(&self.criterion, &self.damping)?;
        model.add_scaled(self.learning_rate, &newton.step)?;
        if let Root::MonteCarlo { seed, .. } = &mut self.root {
            *seed = seed.wrapping_add(1);
        }
        Ok(newton.directions)
    }
}

impl Descent for DampedNewton {
    fn descend(
        &mut self,
        model: &mut Weights,
        graph: &Graph,
        loss: &dyn Loss,
    ) -> Result<(), Error> {
        self.step(model, graph, loss).map(drop)
    }
}

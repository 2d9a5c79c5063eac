//! A model, a batch and a loss, and the tasks on them.

use std::hint::black_box;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Instant;

use vivit::Error;
use vivit::curvature::{CurvatureOperator, Ntk, Progress};
use vivit::extend::{BatchL2Grad, DiagHessian, run};
use vivit::nn::linear;
use vivit::nn::networks::{self, Network};
use vivit::prelude::*;

use crate::{Net, Task};

/// Seeds of the model, the batch and the Monte-Carlo draws.
const SEEDS: [u64; 3] = [0, 1, 2];

/// The Newton step's damping δ along every direction.
const DAMPING: f64 = 1.0;

/// How the GGN is approximated, and along how many directions it is looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Approximation {
    /// Number of directions.
    pub k: usize,
    /// Draws of the Monte-Carlo GGN; `None` for the exact one.
    pub draws: Option<usize>,
    /// Number of the GGN's samples, the first ones; `None` for all.
    pub sub: Option<usize>,
    /// Memory budget in bytes; `None` for the default.
    pub memory: Option<usize>,
}

impl Approximation {
    /// The exact GGN of all samples, along its top `k` directions.
    pub fn exact(k: usize) -> Self {
        Approximation { k, draws: None, sub: None, memory: None }
    }
}

/// A reference network with random weights, a random batch and a mean loss: squared error for the
/// demo network, cross-entropy for the others.
#[derive(Debug)]
pub struct Problem {
    model: Sequential,
    input: Tensor,
    loss: Box<dyn Loss>,
    vector: OnceLock<Tensor>,
}

impl Problem {
    /// The network with a standard normal batch of `samples`; the same numbers at every call.
    ///
    /// # Errors
    /// If the model can't be built.
    pub fn new(device: &Device, net: Net, samples: usize) -> Result<Self, Error> {
        Self::with_classes(device, net, samples, None)
    }

    /// The same with so many classes instead of the network's own, where it ends in a linear layer.
    ///
    /// # Errors
    /// If the model can't be built.
    pub fn with_classes(
        device: &Device,
        net: Net,
        samples: usize,
        classes: Option<usize>,
    ) -> Result<Self, Error> {
        let Network { mut layers, input, vocabulary, classes: own, positions } =
            networks::by_name(net.name())
                .expect("every net on the command line is a reference network");
        let classes = match (classes, net.last_inputs(), layers.last_mut()) {
            (Some(classes), Some(inputs), Some(last)) => {
                *last = linear(inputs, classes);
                classes
            }
            _ => own,
        };
        let mut rng = Rng::new(SEEDS[1]);
        let shape = [&[samples], input.as_slice()].concat();
        let entries = shape.iter().product();
        let mut below = |len: usize, bound: usize| -> Vec<usize> {
            (0..len).map(|_| (rng.unit() * bound as f64) as usize).collect()
        };
        let numbers = match vocabulary {
            Some(size) => below(entries, size).into_iter().map(|token| token as f64).collect(),
            None => Rng::new(SEEDS[1]).normal(entries),
        };
        let input = Tensor::from_vec(device, &shape, numbers)?;
        let loss: Box<dyn Loss> = match net {
            Net::Demo => {
                let target = Rng::new(SEEDS[2]).normal(samples * classes);
                Box::new(Mse::mean(Tensor::from_vec(device, [samples, classes], target)?))
            }
            _ => Box::new(CrossEntropy::mean(below(samples * positions, classes))),
        };
        let model = Sequential::new(device, layers, SEEDS[0])?;
        Ok(Problem { model, input, loss, vector: OnceLock::new() })
    }

    /// Number of the model's parameters.
    pub fn num_params(&self) -> usize {
        self.model.num_params()
    }

    /// Computes `task`, from the forward pass on; all parameters are one group. Returns the seconds
    /// that the eigenvalues of the Gram matrix took, if the task has one.
    ///
    /// # Errors
    /// Those of the library: for example, if there are fewer than K directions.
    pub fn solve(&self, task: Task, approximation: Approximation) -> Result<Option<f64>, Error> {
        let graph = self.model.forward(&self.input)?;
        if self.extend(&graph, task)? {
            return Ok(None);
        }
        // When progress was reported last, and the seconds of eigenvalues.
        let clock = Arc::new(Mutex::new((Instant::now(), 0.0)));
        let listener = Arc::clone(&clock);
        let mut ggn = Ggn::new(&graph, self.loss.as_ref()).on_progress(move |progress| {
            let mut clock = listener.lock().unwrap_or_else(PoisonError::into_inner);
            let since = std::mem::replace(&mut clock.0, Instant::now()).elapsed();
            if matches!(progress, Progress::Eigenvalues { .. }) {
                clock.1 += since.as_secs_f64();
            }
        });
        if let Some(draws) = approximation.draws {
            ggn = ggn.monte_carlo(draws, SEEDS[2]);
        }
        if let Some(sub) = approximation.sub {
            ggn = ggn.ggn_samples((0..sub).collect::<Vec<_>>());
        }
        if let Some(memory) = approximation.memory {
            ggn = ggn.memory_budget(memory);
        }
        let top = top_k(approximation.k);
        match task {
            Task::Eigvalsh => drop(black_box(ggn.spectrum()?)),
            Task::Eigh => finished(&ggn.eigenpairs(top)?.eigenvectors)?,
            Task::Dd => drop(black_box(ggn.directional_derivatives(top)?)),
            Task::Newton => finished(&ggn.newton_step(top, constant(DAMPING))?.step)?,
            _ => unreachable!("done above"),
        }
        let seconds = clock.lock().unwrap_or_else(PoisonError::into_inner).1;
        Ok(Some(seconds))
    }

    /// The vector of products, `[1, D]`: drawn once, as it is given where products are needed.
    fn vector(&self, operator: &CurvatureOperator<'_>) -> Result<&Tensor, Error> {
        if self.vector.get().is_none() {
            let numbers = Rng::new(SEEDS[2]).normal(operator.dim());
            let drawn = Tensor::from_vec(operator.device(), [1, operator.dim()], numbers)?;
            self.vector.get_or_init(|| drawn);
        }
        Ok(self.vector.get().expect("drawn above"))
    }

    /// The tasks that need no Gram matrix of the GGN; false if it is another one.
    fn extend(&self, graph: &Graph, task: Task) -> Result<bool, Error> {
        let loss = self.loss.as_ref();
        match task {
            Task::Grad => finished(&graph.backward(loss)?)?,
            Task::BatchGrad => finished(&run(graph, loss, (BatchGrad::new(),))?.0)?,
            Task::BatchL2 => finished(&run(graph, loss, (BatchL2Grad::new(),))?.0)?,
            Task::Variance => finished(&run(graph, loss, (Variance::new(),))?.0)?,
            Task::DiagGgn => finished(&run(graph, loss, (DiagGgn::exact(),))?.0)?,
            Task::DiagGgnMc => {
                finished(&run(graph, loss, (DiagGgn::monte_carlo(1, SEEDS[2]),))?.0)?
            }
            Task::DiagHessian => finished(&run(graph, loss, (DiagHessian::new(),))?.0)?,
            Task::Kfac | Task::Kflr => {
                let kfac =
                    if task == Task::Kfac { Kfac::monte_carlo(1, SEEDS[2]) } else { Kfac::kflr() };
                let (factors,) = run(graph, loss, (kfac,))?;
                finished(&factors.map(|factors| factors.b().clone()))?;
            }
            Task::Ggnvp | Task::Hvp => {
                let product = if task == Task::Hvp {
                    CurvatureProduct::hessian(graph, loss)
                } else {
                    CurvatureProduct::ggn(graph, loss)
                };
                let operator = product.build()?;
                let product = operator.apply(self.vector(&operator)?)?;
                black_box(product.reshape([operator.dim()]).slice(0, 1).to_vec()?);
            }
            Task::Ntk => drop(black_box(Ntk::new(graph).matrix()?)),
            _ => return Ok(false),
        }
        Ok(true)
    }
}

/// Waits for results that a device may still be computing: commands run in order, so the smallest
/// of them tells.
fn finished(results: &ParamMap<Tensor>) -> Result<(), Error> {
    if let Some(smallest) = results.values().min_by_key(|result| result.len()) {
        black_box(smallest.to_vec()?);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_task_runs() {
        let problem = Problem::new(&Device::cpu_f64(), Net::Demo, 4).unwrap();
        assert_eq!(problem.num_params(), 7 * 5 + 5 + 5 * 5 + 5 + 5 * 3 + 3);
        for task in Task::all() {
            let eigen = problem.solve(task, Approximation::exact(4)).unwrap();
            let has_gram_matrix =
                [Task::Eigvalsh, Task::Eigh, Task::Dd, Task::Newton].contains(&task);
            assert_eq!(eigen.is_some_and(|seconds| seconds > 0.0), has_gram_matrix, "{task:?}");
            problem
                .solve(task, Approximation { k: 1, draws: Some(1), sub: Some(2), memory: None })
                .unwrap();
        }
    }

    #[test]
    fn the_last_layer_has_as_many_outputs_as_asked_for() {
        let params = |net: Net, classes| {
            Problem::with_classes(&Device::cpu(), net, 1, classes).unwrap().num_params()
        };
        for net in [Net::Demo, Net::Mlp, Net::Net2c2d, Net::Net3c3d] {
            let more = net.last_inputs().unwrap() + 1;
            let own = if net == Net::Demo { 3 } else { 10 };
            assert_eq!(params(net, Some(own)), params(net, None));
            assert_eq!(params(net, Some(own + 2)), params(net, None) + 2 * more);
        }
    }

    #[test]
    fn too_many_directions_are_an_error() {
        let problem = Problem::new(&Device::cpu(), Net::Demo, 1).unwrap();
        let message = problem.solve(Task::Dd, Approximation::exact(4)).unwrap_err().to_string();
        assert!(message.contains("there are 3 eigenvalues"), "{message}");
    }
}

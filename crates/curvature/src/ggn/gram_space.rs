//! Gram space: what a sweep leaves behind of a group, and everything that is read off it.

use std::sync::Arc;

use vivit_autodiff::{Batch, Graph, ParamId, ParamMap, Reduction, StreamShape};
use vivit_tensor::{Matrix, Reduce, Tensor, Unary};

use super::DirectionalDerivatives;
use super::gradient_in_span::GradientInSpan;
use super::host_space::HostSpace;
use super::plan::cut;
use super::progress::{Listener, Progress};
use super::roots::{Roots, part};
use crate::{Error, GramReport};

/// Columns that an eigenvector sweep carries at a time: bounds its memory to that of an ordinary
/// GGN sweep.
const EIGENVECTOR_COLUMNS: usize = 16;

/// The chosen eigenvalues of a group's GGN block and their eigenvectors.
#[derive(Clone, Debug)]
pub struct Eigenpairs {
    /// The eigenvalues `[K]`, in the criterion's order.
    pub eigenvalues: Vec<f64>,
    /// The eigenvectors, `[K, *p]` per parameter: orthonormal over the whole group, the entry of
    /// largest magnitude positive.
    pub eigenvectors: ParamMap<Tensor>,
}

/// A directionally damped Newton step.
#[derive(Clone, Debug)]
pub struct NewtonStep {
    /// Δθ, `[*p]` per parameter: to be added.
    pub step: ParamMap<Tensor>,
    /// The directional derivatives that it was made of, per group.
    pub directions: Vec<DirectionalDerivatives>,
}

/// What all groups' spaces share.
#[derive(Clone, Debug)]
pub(crate) struct Shared {
    pub graph: Graph,
    pub reduction: Reduction,
    /// V's columns at the output, `[V, N_S, *out]`.
    pub roots: Roots,
    /// Gradients, if they were wanted and did not travel.
    pub span: Option<Arc<GradientInSpan>>,
    /// Bytes that may be in use at a time, and those that all spaces take together.
    pub budget: usize,
    pub held: usize,
    pub listener: Listener,
}

/// Chosen directions in Gram space.
struct GramEigenpairs {
    indices: Vec<usize>,
    values: Vec<f64>,
    /// `[K, R]`.
    vectors: Matrix<f64>,
}

/// Gram matrix, gradients' projections and eigenvalues of a group of parameters; all results come
/// out of it. It owns what it needs, so that it can be kept and asked later, by any thread.
///
/// ```
/// use vivit_autodiff::{CrossEntropy, Graph, Tape};
/// use vivit_curvature::{Ggn, GramSpace, above, top_k};
/// use vivit_tensor::{Device, Rng, Tensor};
///
/// /// What a notebook or a window keeps of a batch.
/// struct Analysis {
///     space: GramSpace,
/// }
///
/// fn analyse() -> Result<Analysis, Box<dyn std::error::Error>> {
///     let (cpu, mut rng) = (Device::cpu(), Rng::new(0));
///     let mut tape = Tape::new(&cpu);
///     let x = tape.input(Tensor::from_vec(&cpu, [4, 3], rng.normal(12))?);
///     let w = tape.param(Tensor::from_vec(&cpu, [2, 3], rng.normal(6))?);
///     let y = tape.linear(x, w, None);
///     let graph = Graph::new(tape, y)?;
///     let space = Ggn::new(&graph, &CrossEntropy::mean([0, 1, 0, 1])).gram_space()?;
///     Ok(Analysis { space })
/// }
///
/// let Analysis { space } = analyse()?;
/// let largest = space.spectrum()[space.spectrum().len() - 1];
/// assert_eq!(space.eigenpairs(top_k(1))?.eigenvalues, [largest]);
/// assert!(space.directional_derivatives(above(0.5 * largest))?.len() >= 1);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct GramSpace {
    /// The group's position.
    group: usize,
    params: Vec<ParamId>,
    spectrum: Vec<f64>,
    space: HostSpace,
    report: GramReport,
    shared: Shared,
}

impl GramSpace {
    pub(crate) fn new(
        group: usize,
        params: Vec<ParamId>,
        space: HostSpace,
        report: GramReport,
        shared: Shared,
    ) -> Self {
        GramSpace { group, params, spectrum: space.values(), space, report, shared }
    }

    /// The group's parameters.
    pub fn params(&self) -> &[ParamId] {
        &self.params
    }

    /// In which order every parameter's share of the Gram matrix was contracted, and what that
    /// cost.
    pub fn report(&self) -> &GramReport {
        &self.report
    }

    /// All eigenvalues of the Gram matrix, ascending.
    pub fn spectrum(&self) -> &[f64] {
        &self.spectrum
    }

    /// The reduction's factor of the unreduced losses, `ℓ_n = s L_n`.
    fn scale(&self) -> f64 {
        match self.shared.reduction {
            Reduction::Mean => self.shared.graph.samples() as f64,
            Reduction::Sum => 1.0,
        }
    }

    /// The indices that a criterion chooses, checked.
    fn chosen(&self, criterion: &dyn Fn(&[f64]) -> Vec<usize>) -> Result<Vec<usize>, Error> {
        let (group, values, directions) = (self.group, &self.spectrum, self.spectrum.len());
        let largest = values.last().copied().unwrap_or(0.0);
        let epsilon = self.shared.graph.tape().device().dtype().epsilon();
        let threshold = directions as f64 * epsilon * largest.max(0.0);
        let chosen = criterion(values);
        if chosen.is_empty() {
            return Err(Error::NoDirections { group, directions, largest });
        }
        let mut seen = vec![false; directions];
        for &index in &chosen {
            match seen.get_mut(index) {
                None => return Err(Error::DirectionOutOfRange { group, index, directions }),
                Some(true) => return Err(Error::RepeatedDirection { group, index }),
                Some(seen) => *seen = true,
            }
            if values[index] <= threshold {
                return Err(Error::ZeroDirection { group, index, value: values[index], threshold });
            }
        }
        Ok(chosen)
    }

    /// The directions that a criterion chooses.
    fn gram_eigenpairs(
        &self,
        criterion: &dyn Fn(&[f64]) -> Vec<usize>,
    ) -> Result<GramEigenpairs, Error> {
        let indices = self.chosen(criterion)?;
        let values = indices.iter().map(|&index| self.spectrum[index]).collect();
        let eigen = |source| Error::Eigen { group: self.group, source };
        let vectors = self.space.vectors(&indices).map_err(eigen)?;
        Ok(GramEigenpairs { indices, values, vectors })
    }

    /// Per-sample first and second derivatives along the eigenvectors that `criterion` chooses.
    ///
    /// # Errors
    /// If the criterion's choice is empty, repeated, out of range or numerically zero, or only a
    /// spectrum was asked for.
    pub fn directional_derivatives(
        &self,
        criterion: impl Fn(&[f64]) -> Vec<usize>,
    ) -> Result<DirectionalDerivatives, Error> {
        self.derivatives(&criterion)
    }

    fn derivatives(
        &self,
        criterion: &dyn Fn(&[f64]) -> Vec<usize>,
    ) -> Result<DirectionalDerivatives, Error> {
        let GramEigenpairs { indices, values: eigenvalues, vectors } =
            self.gram_eigenpairs(criterion)?;
        let (n, n_ggn) = (self.shared.graph.samples(), self.shared.roots.samples());
        let s = self.scale();
        let gammas = self.gammas(s, &eigenvalues, &vectors)?;
        let mut lambdas = Matrix::zeros(n_ggn, vectors.rows());
        for (at, value) in eigenvalues.iter().enumerate() {
            let e = vectors.row(at);
            for i in 0..n_ggn {
                let share: f64 = e[i..].iter().step_by(n_ggn).map(|e| e * e).sum();
                lambdas[(i, at)] = s * n_ggn as f64 / n as f64 * value * share;
            }
        }
        Ok(DirectionalDerivatives {
            eigenvalues,
            indices,
            gram_eigenvectors: vectors,
            gammas,
            lambdas,
        })
    }

    /// `γ: [N_grad, K] = s · (g_nᵀ V) ẽ_k / √λ_k`
    fn gammas(
        &self,
        s: f64,
        eigenvalues: &[f64],
        vectors: &Matrix<f64>,
    ) -> Result<Matrix<f64>, Error> {
        if let Some(span) = &self.shared.span {
            let mut gammas = Matrix::zeros(span.len(), vectors.rows());
            for (at, value) in eigenvalues.iter().enumerate() {
                let scale = s * value.sqrt();
                span.along(vectors.row(at))
                    .enumerate()
                    .for_each(|(n, share)| gammas[(n, at)] = scale * share);
            }
            return Ok(gammas);
        }
        let factors: Vec<f64> = eigenvalues.iter().map(|value| s / value.sqrt()).collect();
        self.space.projections(vectors, &factors).ok_or(Error::NoGradients)
    }

    /// The eigenvalues that `criterion` chooses with their eigenvectors in parameter format: one
    /// batch-summed sweep of K columns.
    ///
    /// # Errors
    /// If the criterion's choice is empty, repeated, out of range or numerically zero.
    pub fn eigenpairs(
        &self,
        criterion: impl Fn(&[f64]) -> Vec<usize>,
    ) -> Result<Eigenpairs, Error> {
        self.pairs(&criterion)
    }

    fn pairs(&self, criterion: &dyn Fn(&[f64]) -> Vec<usize>) -> Result<Eigenpairs, Error> {
        let GramEigenpairs { values: eigenvalues, vectors: mut weights, .. } =
            self.gram_eigenpairs(criterion)?;
        for (at, value) in eigenvalues.iter().enumerate() {
            let scale = value.sqrt().recip();
            weights.row_mut(at).iter_mut().for_each(|e| *e *= scale);
        }
        let total = weights.rows();
        let mut parts: ParamMap<Vec<Tensor>> =
            self.params.iter().map(|&param| (param, Vec::new())).collect();
        for first in (0..total).step_by(EIGENVECTOR_COLUMNS) {
            let last = (first + EIGENVECTOR_COLUMNS).min(total);
            let rows = (first..last).flat_map(|k| weights.row(k).to_vec()).collect();
            let columns = self.apply_v(&Matrix::new(last - first, weights.cols(), rows))?;
            let signs = signs(&columns);
            for (param, column) in columns {
                let ones = vec![1; column.shape().rank() - 1];
                let signs = signs.reshape([&[last - first], &ones[..]].concat());
                parts
                    .get_mut(param)
                    .expect("only the group's parameters are visited")
                    .push(column.mul(&signs));
            }
            self.shared.listener.report(Progress::Eigenvectors { done: last, total });
        }
        Ok(Eigenpairs { eigenvalues, eigenvectors: parts.map(|parts| Tensor::concat(parts, 0)) })
    }

    /// The directionally damped Newton step of the group's parameters, along the eigenvectors that
    /// `criterion` chooses.
    ///
    /// # Errors
    /// If the criterion's choice is empty, repeated, out of range or numerically zero, or the
    /// damping does not fit or leaves a curvature that is not positive.
    pub fn newton_step(
        &self,
        criterion: impl Fn(&[f64]) -> Vec<usize>,
        damping: impl Fn(&DirectionalDerivatives) -> Vec<f64>,
    ) -> Result<NewtonStep, Error> {
        self.step(&criterion, &damping)
    }

    fn step(
        &self,
        criterion: &dyn Fn(&[f64]) -> Vec<usize>,
        damping: &dyn Fn(&DirectionalDerivatives) -> Vec<f64>,
    ) -> Result<NewtonStep, Error> {
        let (group, directions) = (self.group, self.derivatives(criterion)?);
        // Of the reduced loss: the sample mean for a mean, N times it for a sum.
        let whole = self.shared.graph.samples() as f64 / self.scale();
        let (expected, deltas) = (directions.len(), damping(&directions));
        if deltas.len() != expected {
            return Err(Error::DampingLength { group, got: deltas.len(), expected });
        }
        let (gammas, lambdas) = (directions.mean_gammas(), directions.mean_lambdas());
        let mut weights = vec![0.0; directions.gram_eigenvectors.cols()];
        for direction in 0..expected {
            let (curvature, damping) = (whole * lambdas[direction], deltas[direction]);
            let damped = curvature + damping;
            if !(damped > 0.0 && damped.is_finite()) {
                return Err(Error::Damping { group, direction, curvature, damping });
            }
            let value = directions.eigenvalues[direction];
            let weight = -whole * gammas[direction] / damped / value.sqrt();
            let e = directions.gram_eigenvectors.row(direction);
            weights.iter_mut().zip(e).for_each(|(sum, e)| *sum += weight * e);
        }
        let step = self.apply_v(&Matrix::new(1, weights.len(), weights))?;
        let step = step.map(|column| column.reshape(column.shape().tail()));
        Ok(NewtonStep { step, directions: vec![directions] })
    }

    /// In how many slices of samples a sweep of (columns, samples) fits the memory budget; one
    /// sample at a time if none does.
    fn passes(&self, (columns, samples): (usize, usize)) -> usize {
        let Shared { graph, budget, held, roots, .. } = &self.shared;
        let size = graph.tape().device().dtype().size();
        let room = budget.saturating_sub(graph.held_bytes() + held);
        let mut passes = 1;
        while passes < samples {
            let stream = StreamShape {
                columns,
                samples: samples.div_ceil(passes),
                chosen: roots.chosen().is_some() || passes > 1,
            };
            let sweep =
                graph.plan_sweep(&[stream], &self.params, |site| 2 * columns * site.entries * size);
            if sweep.peak <= room {
                break;
            }
            passes = (passes * 2).min(samples);
        }
        passes
    }

    /// `V w` for each row w of `weights: [K, R]`: `Σ_n J_nᵀ (Σ_v S_n[:, v] w[v, n])`, a
    /// batch-summed sweep of K columns. `[K, *p]` per parameter.
    fn apply_v(&self, weights: &Matrix<f64>) -> Result<ParamMap<Tensor>, Error> {
        let Shared { graph, roots, .. } = &self.shared;
        let (k, n, all) = (weights.rows(), roots.samples(), roots.combined(weights)?);
        let mut result: ParamMap<Tensor> = ParamMap::new();
        for some in cut(n, self.passes((k, n))) {
            let factor = part(&all, &(0..k, some));
            graph.propagate(vec![factor], &self.params, false, |site| {
                let share = site.jac_t(0, Batch::Sum).reshape(site.shape().prefixed(&[k]));
                match result.get_mut(site.param()) {
                    Some(sum) => sum.axpy(1.0, &share),
                    None => drop(result.insert(site.param(), share)),
                }
                Ok::<(), Error>(())
            })?;
        }
        Ok(result)
    }
}

/// `±1` per column, `[K]`, so that the entry of largest magnitude over all parameters becomes
/// positive; nothing is read.
fn signs(columns: &ParamMap<Tensor>) -> Tensor {
    let (mut high, mut low) = (Vec::new(), Vec::new());
    for column in columns.values() {
        let k = column.shape()[0];
        let flat = column.reshape([k, column.len() / k]);
        high.push(flat.reduce(Reduce::Max, 1).reshape([k, 1]));
        low.push(flat.reduce(Reduce::Min, 1).reshape([k, 1]));
    }
    let over = |parts: &[Tensor], f| Tensor::concat(parts, 1).reduce(f, 1);
    let excess = over(&low, Reduce::Min).scale(-1.0).sub(&over(&high, Reduce::Max));
    // The slope of |x| is a sign: 1 above zero, −1 elsewhere.
    let magnitude = Unary::LeakyRelu(-1.0);
    Tensor::full(excess.device(), *excess.shape(), -1.0).unary_chain(
        magnitude,
        &excess,
        &excess.unary(magnitude),
    )
}

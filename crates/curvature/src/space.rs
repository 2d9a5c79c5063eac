//! Gram space: what a sweep leaves behind, and everything that is read off it.

use vivit_autodiff::{Batch, Factor, ParamMap, PendingChecks, Reduction, Site, StreamShape, Var};
use vivit_eigh::Reduction as Tridiagonal;
use vivit_tensor::{Device, Gemm, Matrix, Reduce, Scalar, Strides, Tensor, Unary};

use crate::gram::GramBlocks;
use crate::plan::{Job, cut};
use crate::slices::{self, HostBlocks};
use crate::span::Span;
use crate::{DirectionalDerivatives, Error, Ggn, GramReport, Group, Plan, Slices};

/// Columns that an eigenvector sweep carries at a time: bounds its memory to that of an ordinary
/// GGN sweep.
const COLUMNS: usize = 16;

/// What a long computation has just finished.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Progress {
    /// A parameter's share of the Gram matrix.
    Gram {
        /// Parameters done.
        done: usize,
        /// Parameters in all.
        total: usize,
    },
    /// A group's eigenvalues.
    Eigenvalues {
        /// Groups done.
        done: usize,
        /// Groups in all.
        total: usize,
    },
    /// Eigenvectors of a group in parameter space.
    Eigenvectors {
        /// Directions done.
        done: usize,
        /// Directions of the group in all.
        total: usize,
    },
}

/// The chosen eigenvalues of a group's GGN block and their eigenvectors.
#[derive(Clone, Debug)]
pub struct Eigenpairs {
    /// The eigenvalues `[K]`, in the criterion's order.
    pub eigenvalues: Vec<B::Elem>,
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
    pub directions: Vec<DirectionalDerivatives<B::Elem>>,
}

/// One group's part of Gram space.
#[derive(Debug)]
struct GroupSpace<E> {
    eigen: Tridiagonal<E>,
    /// `Vᵀg`, `[R, N_grad]`, if gradients travelled.
    cross: Option<Matrix<E>>,
}

/// All groups' spaces, and how they came about.
type Spaces<E> = (Vec<GroupSpace<E>>, GramReport);

/// Chosen directions in Gram space.
struct GramEigenpairs<E> {
    indices: Vec<usize>,
    values: Vec<E>,
    /// `[K, R]`.
    vectors: Matrix<E>,
}

/// Gram matrices, gradients' projections and eigenvalues of every group; all results come out of
/// it.
#[derive(Debug)]
pub struct GramSpace<'a> {
    ggn: &'a Ggn<'a>,
    groups: &'a [Group<'a>],
    spaces: Vec<GroupSpace<B::Elem>>,
    /// Gradients, if they were wanted and did not travel.
    span: Option<Span>,
    report: GramReport,
}

impl<'a> GramSpace<'a> {
    pub(crate) fn new(
        ggn: &'a Ggn<'a>,
        groups: &'a [Group<'a>],
        gradients: bool,
    ) -> Result<Self, Error> {
        let (wanted, group_of) = check_groups(ggn, groups)?;
        let (Seeds { factors: seeds, span }, mut unsettled) = seeds(ggn, gradients)?;
        let job = Job { ggn, groups, wanted: &wanted, group_of: &group_of, seeds: &seeds };
        let plan = job.plan()?;
        let done = if plan.slices == Slices::WHOLE {
            whole(&job, &plan, &mut unsettled)
        } else {
            sliced(&job, plan)
        };
        match done {
            Ok((spaces, report)) => Ok(GramSpace { ggn, groups, spaces, span, report }),
            // The work may have stumbled over the NaN that the device has just found.
            Err(error) => {
                unsettled.wait()?;
                Err(error)
            }
        }
    }

    pub(crate) fn plan(ggn: &Ggn<'_>, groups: &[Group<'_>]) -> Result<Plan, Error> {
        let (wanted, group_of) = check_groups(ggn, groups)?;
        let (Seeds { factors: seeds, .. }, unsettled) = seeds(ggn, true)?;
        unsettled.wait()?;
        Job { ggn, groups, wanted: &wanted, group_of: &group_of, seeds: &seeds }.plan()
    }

    /// In which order every parameter's share of the Gram matrices was contracted, and what that
    /// cost.
    pub fn report(&self) -> &GramReport {
        &self.report
    }

    /// All eigenvalues of a group's Gram matrix, ascending.
    pub fn spectrum(&self, group: usize) -> &[B::Elem] {
        self.spaces[group].eigen.values()
    }

    /// The indices that a group's criterion chooses, checked.
    fn chosen(&self, group: usize) -> Result<Vec<usize>, Error> {
        let values: Vec<f64> = self.spectrum(group).iter().map(|value| value.f64()).collect();
        let directions = values.len();
        let largest = values.last().copied().unwrap_or(0.0);
        let threshold = directions as f64 * B::Elem::EPSILON.f64() * largest.max(0.0);
        let chosen = self.groups[group].choose(&values);
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

    /// The directions that a group's criterion chooses.
    fn gram_eigenpairs(&self, group: usize) -> Result<GramEigenpairs<B::Elem>, Error> {
        let indices = self.chosen(group)?;
        let eigen = &self.spaces[group].eigen;
        let values = indices.iter().map(|&index| eigen.values()[index]).collect();
        let vectors = eigen.vectors(&indices).map_err(|source| Error::Eigen { group, source })?;
        Ok(GramEigenpairs { indices, values, vectors })
    }

    /// Per-sample first and second derivatives along the chosen eigenvectors, per group.
    ///
    /// # Errors
    /// If a criterion's choice is empty, repeated, out of range or numerically zero.
    pub fn directional_derivatives(&self) -> Result<Vec<DirectionalDerivatives<B::Elem>>, Error> {
        (0..self.groups.len()).map(|group| self.derivatives_of(group)).collect()
    }

    fn derivatives_of(&self, group: usize) -> Result<DirectionalDerivatives<B::Elem>, Error> {
        let GramEigenpairs { indices, values: eigenvalues, vectors } =
            self.gram_eigenpairs(group)?;
        let k = vectors.rows();
        let n = self.ggn.graph.samples();
        let n_ggn = self.ggn.ggn_samples.as_ref().map_or(n, Vec::len);
        let s = match self.ggn.loss.reduction() {
            Reduction::Mean => n as f64,
            Reduction::Sum => 1.0,
        };
        let gammas = self.gammas(group, s, &eigenvalues, &vectors)?;
        let mut lambdas = Matrix::zeros(n_ggn, k);
        for (at, &value) in eigenvalues.iter().enumerate() {
            let (value, e) = (value.f64(), vectors.row(at));
            for i in 0..n_ggn {
                let share: f64 = e[i..].iter().step_by(n_ggn).map(|e| e.f64() * e.f64()).sum();
                lambdas[(i, at)] = B::Elem::of(s * n_ggn as f64 / n as f64 * value * share);
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
        group: usize,
        s: f64,
        eigenvalues: &[B::Elem],
        vectors: &Matrix<B::Elem>,
    ) -> Result<Matrix<B::Elem>, Error> {
        let (k, r) = (vectors.rows(), vectors.cols());
        if let Some(span) = &self.span {
            let mut gammas = Matrix::zeros(span.len(), k);
            for (at, value) in eigenvalues.iter().enumerate() {
                let scale = s * value.f64().sqrt();
                span.along(vectors.row(at))
                    .enumerate()
                    .for_each(|(n, share)| gammas[(n, at)] = B::Elem::of(scale * share));
            }
            return Ok(gammas);
        }
        let cross = self.spaces[group].cross.as_ref().ok_or(Error::NoGradients)?;
        let n = cross.cols();
        let mut gammas = Matrix::zeros(n, k);
        let g = Gemm { a: Strides::transposed(n), b: Strides::transposed(r), ..Gemm::new(n, k, r) };
        vivit_tensor::gemm(&g, cross.as_slice(), vectors.as_slice(), gammas.as_mut_slice());
        for (at, value) in eigenvalues.iter().enumerate() {
            let scale = B::Elem::of(s / value.f64().sqrt());
            (0..n).for_each(|n| gammas[(n, at)] *= scale);
        }
        Ok(gammas)
    }

    /// The chosen eigenvalues with their eigenvectors in parameter format, per group: one
    /// batch-summed sweep of K columns each.
    ///
    /// # Errors
    /// If a criterion's choice is empty, repeated, out of range or numerically zero.
    pub fn eigenpairs(&self) -> Result<Vec<Eigenpairs>, Error> {
        (0..self.groups.len()).map(|group| self.eigenpairs_of(group)).collect()
    }

    fn eigenpairs_of(&self, group: usize) -> Result<Eigenpairs, Error> {
        let GramEigenpairs { values: eigenvalues, vectors: mut weights, .. } =
            self.gram_eigenpairs(group)?;
        for (at, value) in eigenvalues.iter().enumerate() {
            let scale = B::Elem::of(value.f64().sqrt().recip());
            weights.row_mut(at).iter_mut().for_each(|e| *e *= scale);
        }
        let total = weights.rows();
        let mut parts: ParamMap<Vec<Tensor>> =
            self.groups[group].params.iter().map(|&var| (var, Vec::new())).collect();
        for first in (0..total).step_by(COLUMNS) {
            let last = (first + COLUMNS).min(total);
            let some = Matrix::new(
                last - first,
                weights.cols(),
                (first..last).flat_map(|k| weights.row(k).to_vec()).collect(),
            );
            let columns = self.apply_v(group, &some)?;
            let signs = signs(&columns);
            for (var, column) in columns {
                let ones = vec![1; column.shape().rank() - 1];
                let signs = signs.reshape([&[last - first], &ones[..]].concat().as_slice());
                parts
                    .get_mut(var)
                    .expect("only the group's parameters are visited")
                    .push(column.mul(&signs));
            }
            self.ggn.report(Progress::Eigenvectors { done: last, total });
        }
        let eigenvectors =
            parts.into_iter().map(|(var, parts)| (var, Tensor::concat(&parts, 0))).collect();
        Ok(Eigenpairs { eigenvalues, eigenvectors })
    }

    /// The directionally damped Newton step of all groups' parameters.
    ///
    /// # Errors
    /// If a criterion's choice is empty, repeated, out of range or numerically zero, or the damping
    /// does not fit or leaves a curvature that is not positive.
    pub fn newton_step(
        &self,
        damping: impl Fn(&DirectionalDerivatives<B::Elem>) -> Vec<f64>,
    ) -> Result<NewtonStep, Error> {
        let directions = self.directional_derivatives()?;
        let mut step = ParamMap::new();
        // Of the reduced loss: the sample mean for a mean, N times it for a sum.
        let whole = match self.ggn.loss.reduction() {
            Reduction::Mean => 1.0,
            Reduction::Sum => self.ggn.graph.samples() as f64,
        };
        for (group, directions) in directions.iter().enumerate() {
            let (expected, deltas) = (directions.len(), damping(directions));
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
                let weight = -whole * gammas[direction]
                    / damped
                    / directions.eigenvalues[direction].f64().sqrt();
                let e = directions.gram_eigenvectors.row(direction);
                weights.iter_mut().zip(e).for_each(|(sum, e)| *sum += weight * e.f64());
            }
            let weights =
                Matrix::new(1, weights.len(), weights.into_iter().map(B::Elem::of).collect());
            for (var, column) in self.apply_v(group, &weights)? {
                let shape = column.shape().tail();
                step.insert(var, column.reshape(shape));
            }
        }
        Ok(NewtonStep { step, directions })
    }

    /// In how many slices of samples a sweep of (columns, samples) fits the memory budget; one
    /// sample at a time if none does.
    fn passes(&self, params: &[Var], (columns, samples): (usize, usize), chosen: bool) -> usize {
        let (graph, size) = (self.ggn.graph, size_of::<B::Elem>());
        let spaces: usize =
            self.spaces.iter().map(|space| space.eigen.values().len().pow(2)).sum::<usize>() * size;
        let room = self.ggn.budget().saturating_sub(graph.held_bytes() + spaces);
        let mut passes = 1;
        while passes < samples {
            let stream = StreamShape {
                columns,
                samples: samples.div_ceil(passes),
                chosen: chosen || passes > 1,
            };
            let sweep =
                graph.plan_sweep(&[stream], params, |site| 2 * columns * site.entries * size);
            if sweep.peak <= room {
                break;
            }
            passes = (passes * 2).min(samples);
        }
        passes
    }

    /// `V w` for each row w of `weights: [K, R]`: `Σ_n J_nᵀ (Σ_v S_n[:, v] w[v, n])`, a
    /// batch-summed sweep of K columns. `[K, *p]` per parameter.
    fn apply_v(
        &self,
        group: usize,
        weights: &Matrix<B::Elem>,
    ) -> Result<ParamMap<Tensor>, Error> {
        let (graph, probe) = (self.ggn.graph, self.ggn.ggn_probe());
        let roots = probe.pending_columns(graph, self.ggn.loss)?;
        let (k, v, n) = (weights.rows(), roots.shape()[0], roots.shape()[1]);
        let c = roots.len() / (v * n);
        let weights =
            Tensor::from_vec(graph.tape().device(), &[k, v, n], weights.as_slice().to_vec())?;
        let g = Gemm {
            a: Strides { offset: 0, row: v * n, col: n },
            b: Strides::rows(n * c),
            c: Strides::rows(n * c),
            ..Gemm::new(k, c, v)
        };
        let shape = roots.shape().tail().prefixed(&[k]);
        let columns = weights.gemm(&g.batch(n, 1, c, c), &roots, shape);
        let params = &self.groups[group].params;
        let mut result: ParamMap<Tensor> = ParamMap::new();
        for some in cut(n, self.passes(params, (k, n), probe.samples.is_some())) {
            let factor = slices::part(
                &Factor { columns: columns.clone(), samples: probe.samples.clone() },
                &(0..k, some),
            );
            graph.propagate(vec![factor], params, false, |site| {
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

/// What is sent backwards, and the gradients if they are known without.
struct Seeds {
    /// V's columns and, if gradients are wanted and not in their span, the gradient's.
    factors: Vec<Factor>,
    span: Option<Span>,
}

fn seeds<'a>(
    ggn: &Ggn<'a>,
    gradients: bool,
) -> Result<(Seeds, PendingChecks<'a>), Error> {
    ggn.graph.check_apart(Some("a GGN per sample"))?;
    let mut probes = vec![ggn.ggn_probe()];
    probes.extend(gradients.then(|| ggn.grad_probe()));
    let (mut factors, unsettled) = ggn.graph.seeds(ggn.loss, &probes)?;
    let span = if gradients { Span::new(ggn, &factors[0])? } else { None };
    if span.is_some() {
        factors.truncate(1);
    }
    Ok((Seeds { factors, span }, unsettled))
}

/// Eigenvalues of all groups, from one sweep.
fn whole(
    job: &Job<'_, '_>,
    plan: &Plan,
    unsettled: &mut PendingChecks<'_>,
) -> Result<Spaces<B::Elem>, Error> {
    let (ggn, gradients) = (job.ggn, job.seeds.len() > 1);
    let device = ggn.graph.tape().device();
    let mut blocks: Vec<Option<GramBlocks>> = job.groups.iter().map(|_| None).collect();
    let mut report = GramReport::default();
    let (mut done, total) = (0, job.wanted.len());
    ggn.graph.propagate(job.seeds.to_vec(), job.wanted, true, |site: &Site<'_>| {
        let group = job.group_of[site.param()];
        let block = blocks[group]
            .get_or_insert_with(|| GramBlocks::new(device, site, gradients, plan.contraction));
        report.rows.push(block.add(site, group)?);
        done += 1;
        ggn.report(Progress::Gram { done, total });
        Ok::<(), Error>(())
    })?;
    let total = job.groups.len();
    let mut spaces = Vec::with_capacity(total);
    for (group, block) in blocks.into_iter().enumerate() {
        let block = block.expect("every group has a parameter, and every parameter was visited");
        let (block, cross) = block.finish();
        let cross = cross.map(|cross| unsettled.read_matrix(cross)).transpose()?;
        let eigen = Tridiagonal::new(unsettled.read_matrix(block)?)
            .map_err(|source| Error::Eigen { group, source })?;
        spaces.push(GroupSpace { eigen, cross });
        ggn.report(Progress::Eigenvalues { done: group + 1, total });
    }
    Ok((spaces, report))
}

/// Eigenvalues of all groups, slice by slice.
fn sliced(job: &Job<'_, '_>, plan: Plan) -> Result<Spaces<B::Elem>, Error> {
    let total = job.groups.len();
    let mut spaces = Vec::with_capacity(total);
    for (group, HostBlocks { ggn, cross }) in slices::run(job, &plan)?.into_iter().enumerate() {
        let eigen = Tridiagonal::new(ggn).map_err(|source| Error::Eigen { group, source })?;
        spaces.push(GroupSpace { eigen, cross });
        job.ggn.report(Progress::Eigenvalues { done: group + 1, total });
    }
    Ok((spaces, plan.report))
}

/// Checks that every parameter is in the graph and in one group, and returns them all and the group
/// of each.
fn check_groups(
    ggn: &Ggn<'_>,
    groups: &[Group<'_>],
) -> Result<(Vec<Var>, ParamMap<usize>), Error> {
    let graph = ggn.graph;
    if groups.is_empty() {
        return Err(Error::NoGroups);
    }
    let mut seen = ParamMap::new();
    for (group, params) in groups.iter().map(|group| &group.params).enumerate() {
        if params.is_empty() {
            return Err(Error::EmptyGroup { group });
        }
        for &var in params {
            graph.check_param(var)?;
            if let Some(first) = seen.insert(var, group) {
                return Err(Error::RepeatedParameter {
                    name: graph.tape().param_name(var)?.into(),
                    first,
                    second: group,
                });
            }
        }
    }
    Ok((seen.iter().map(|(var, _)| var).collect(), seen))
}

/// `±1` per column, `[K]`, so that the entry of largest magnitude over all parameters becomes
/// positive; nothing is read.
fn signs(columns: &ParamMap<Tensor>) -> Tensor {
    let (mut high, mut low) = (Vec::new(), Vec::new());
    for (_, column) in columns.iter() {
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

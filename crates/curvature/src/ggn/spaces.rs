//! How the Gram spaces of all groups come about: one sweep, or several of slices.

use std::sync::Arc;

use vivit_autodiff::{Factor, ParamId, ParamMap, PendingChecks, Site};
use vivit_eigh::{Error as EighError, Real};
use vivit_tensor::{Matrix, with_dtype};

use super::gradient_in_span::GradientInSpan;
use super::gram_space::Shared;
use super::host_space::{HostSpace, Space};
use super::plan::Job;
use super::progress::Progress;
use super::settings::Settings;
use super::sliced_gram::{self, HostBlocks};
use super::{GramSpace, Plan, Slices};
use crate::gram::GramBlocks;
use crate::{Error, GramReport};

/// The Gram spaces of all groups, with the gradients' projections if they are wanted.
pub(crate) fn compute(
    settings: &Settings<'_>,
    groups: &[Vec<ParamId>],
    gradients: bool,
) -> Result<Vec<GramSpace>, Error> {
    let (wanted, group_of) = check_groups(settings, groups)?;
    let (Seeds { factors: seeds, span }, mut pending) = seeds(settings, gradients)?;
    let job = Job { settings, groups, wanted: &wanted, group_of: &group_of, seeds: &seeds };
    let plan = job.plan()?;
    let whole = plan.slices == Slices::WHOLE;
    let done = with_dtype!(settings.graph.tape().device().dtype(), E => if whole {
        whole_batch::<E>(&job, &plan, &mut pending)
    } else {
        in_slices::<E>(&job, plan)
    });
    let (spaces, report) = match done {
        Ok(done) => done,
        // The work may have stumbled over the NaN that the device has just found.
        Err(error) => {
            pending.wait()?;
            return Err(error);
        }
    };
    let size = settings.graph.tape().device().dtype().size();
    let shared = Shared {
        graph: settings.graph.clone(),
        reduction: settings.loss.reduction(),
        roots: seeds[0].clone(),
        span: span.map(Arc::new),
        budget: settings.budget(),
        held: spaces.len() * job.rows().pow(2) * size,
        listener: settings.listener.clone(),
    };
    let finish = |(group, space): (usize, HostSpace)| {
        let params = groups[group].clone();
        GramSpace::new(group, params, space, report.of_group(group), shared.clone())
    };
    Ok(spaces.into_iter().enumerate().map(finish).collect())
}

/// What [`compute`] with gradients will take.
pub(crate) fn plan(settings: &Settings<'_>, groups: &[Vec<ParamId>]) -> Result<Plan, Error> {
    let (wanted, group_of) = check_groups(settings, groups)?;
    let (Seeds { factors: seeds, .. }, pending) = seeds(settings, true)?;
    pending.wait()?;
    Job { settings, groups, wanted: &wanted, group_of: &group_of, seeds: &seeds }.plan()
}

/// What is sent backwards, and the gradients if they are known without.
struct Seeds {
    /// V's columns and, if gradients are wanted and not in their span, the gradient's.
    factors: Vec<Factor>,
    span: Option<GradientInSpan>,
}

fn seeds<'a>(
    settings: &Settings<'a>,
    gradients: bool,
) -> Result<(Seeds, PendingChecks<'a>), Error> {
    settings.graph.check_apart(Some("a GGN per sample"))?;
    let mut probes = vec![settings.ggn_probe()];
    probes.extend(gradients.then(|| settings.grad_probe()));
    let (mut factors, pending) = settings.graph.seeds(settings.loss, &probes)?;
    let span = if gradients { GradientInSpan::new(settings, &factors[0])? } else { None };
    if span.is_some() {
        factors.truncate(1);
    }
    Ok((Seeds { factors, span }, pending))
}

/// All groups' spaces, and how they came about.
type Spaces = (Vec<HostSpace>, GramReport);

/// Eigenvalues of all groups, from one sweep.
fn whole_batch<E: Real>(
    job: &Job<'_, '_>,
    plan: &Plan,
    pending: &mut PendingChecks<'_>,
) -> Result<Spaces, Error>
where
    HostSpace: From<Space<E>>,
{
    let (settings, gradients) = (job.settings, job.seeds.len() > 1);
    let device = settings.graph.tape().device();
    let mut blocks: Vec<Option<GramBlocks>> = job.groups.iter().map(|_| None).collect();
    let mut report = GramReport::default();
    let (mut done, total) = (0, job.wanted.len());
    settings.graph.propagate(job.seeds.to_vec(), job.wanted, true, |site: &Site<'_>| {
        let group = job.group_of[site.param()];
        let block = blocks[group]
            .get_or_insert_with(|| GramBlocks::new(device, site, gradients, plan.contraction));
        report.rows.push(block.add(site, group)?);
        done += 1;
        settings.listener.report(Progress::Gram { done, total });
        Ok::<(), Error>(())
    })?;
    let mut spaces = Vec::with_capacity(job.groups.len());
    for block in blocks {
        let block = block.expect("every group has a parameter, and every parameter was visited");
        let (block, cross) = block.finish();
        let cross = cross.map(|cross| pending.read_matrix::<E>(cross)).transpose()?;
        spaces.push(space(job, spaces.len(), pending.read_matrix(block)?, cross)?);
    }
    Ok((spaces, report))
}

/// Eigenvalues of all groups, slice by slice.
fn in_slices<E: Real>(job: &Job<'_, '_>, plan: Plan) -> Result<Spaces, Error>
where
    HostSpace: From<Space<E>>,
{
    let mut spaces = Vec::with_capacity(job.groups.len());
    for HostBlocks { ggn, cross } in sliced_gram::run::<E>(job, &plan)? {
        spaces.push(space(job, spaces.len(), ggn, cross)?);
    }
    Ok((spaces, plan.report))
}

/// The space of a group's Gram matrix.
fn space<E: Real>(
    job: &Job<'_, '_>,
    group: usize,
    gram: Matrix<E>,
    cross: Option<Matrix<E>>,
) -> Result<HostSpace, Error>
where
    HostSpace: From<Space<E>>,
{
    let eigen = |source: EighError| Error::Eigen { group, source };
    let space = Space::new(gram, cross).map_err(eigen)?;
    let total = job.groups.len();
    job.settings.listener.report(Progress::Eigenvalues { done: group + 1, total });
    Ok(space.into())
}

/// Checks that every parameter is in the graph and in one group, and returns them all and the group
/// of each.
fn check_groups(
    settings: &Settings<'_>,
    groups: &[Vec<ParamId>],
) -> Result<(Vec<ParamId>, ParamMap<usize>), Error> {
    let graph = settings.graph;
    if groups.is_empty() {
        return Err(Error::NoGroups);
    }
    let mut seen = ParamMap::new();
    for (group, params) in groups.iter().enumerate() {
        if params.is_empty() {
            return Err(Error::EmptyGroup { group });
        }
        for &param in params {
            graph.check_param(param)?;
            if let Some(first) = seen.insert(param, group) {
                return Err(Error::RepeatedParameter {
                    name: graph.tape().param_name(param)?.into(),
                    first,
                    second: group,
                });
            }
        }
    }
    Ok((seen.keys().collect(), seen))
}

//! How the Gram spaces of all groups come about: one sweep, or several of slices.

use vivit_autodiff::{ParamId, ParamMap, PendingChecks, Site};
use vivit_eigh::{Error as EighError, Real};
use vivit_tensor::{Matrix, with_dtype};

use super::gram_space::Shared;
use super::host_space::{HostSpace, Space};
use super::plan::Job;
use super::progress::Progress;
use super::seeds::{Seeds, Sizes};
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
    let (seeds, mut pending) = Seeds::new(settings, gradients)?;
    let job = Job { settings, groups, wanted: &wanted, group_of: &group_of, sizes: seeds.sizes };
    let plan = job.plan()?;
    let whole = plan.slices == Slices::WHOLE;
    let done = with_dtype!(settings.graph.tape().device().dtype(), E => if whole {
        whole_batch::<E>(&job, &seeds, &plan, &mut pending)
    } else {
        in_slices::<E>(&job, &seeds, plan)
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
        roots: seeds.roots,
        span: seeds.span,
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
    let sizes = Sizes::planned(settings)?;
    Job { settings, groups, wanted: &wanted, group_of: &group_of, sizes }.plan()
}

/// All groups' spaces, and how they came about.
type Spaces = (Vec<HostSpace>, GramReport);

/// Eigenvalues of all groups, from one sweep.
fn whole_batch<E: Real>(
    job: &Job<'_, '_>,
    seeds: &Seeds,
    plan: &Plan,
    pending: &mut PendingChecks<'_>,
) -> Result<Spaces, Error>
where
    HostSpace: From<Space<E>>,
{
    let (settings, gradients) = (job.settings, seeds.gradient.is_some());
    let device = settings.graph.tape().device();
    let mut blocks: Vec<Option<GramBlocks>> = job.groups.iter().map(|_| None).collect();
    let mut report = GramReport::default();
    let (mut done, total) = (0, job.wanted.len());
    settings.graph.propagate(seeds.factors(), job.wanted, true, |site: &Site<'_>| {
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
fn in_slices<E: Real>(job: &Job<'_, '_>, seeds: &Seeds, plan: Plan) -> Result<Spaces, Error>
where
    HostSpace: From<Space<E>>,
{
    let mut spaces = Vec::with_capacity(job.groups.len());
    for HostBlocks { ggn, cross } in sliced_gram::run::<E>(job, seeds, &plan)? {
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

//! Gram matrices in slices: V never exists for more than two slices of its rows, which are swept
//! again with every other one.

use std::ops::Range;

use vivit_autodiff::{Factor, Site};
use vivit_tensor::{Matrix, Scalar, Tensor};

use super::plan::{Job, Plan, cut};
use super::progress::Progress;
use super::roots::{Rows, part};
use super::seeds::{Seeds, Sizes};
use crate::Error;
use crate::gram::{GramBlocks, add_between};

/// A group's matrices on the host: `VᵀV`, of which the lower half counts, and `Vᵀg`.
pub(crate) struct HostBlocks<E> {
    pub ggn: Matrix<E>,
    pub cross: Option<Matrix<E>>,
}

/// A group's products of two different slices.
struct Between {
    /// `[R_i, R_j]`
    ggn: Tensor,
    /// V of the one with the gradients of the other, and the other way round.
    cross: [Option<Tensor>; 2],
}

/// All groups' matrices, slice by slice.
pub(crate) fn run<E: Scalar>(
    job: &Job<'_, '_>,
    seeds: &Seeds,
    plan: &Plan,
) -> Result<Vec<HostBlocks<E>>, Error> {
    let (v, gradient) = (&seeds.roots, seeds.gradient.as_ref());
    let Sizes { columns, samples: n, gradients: n_grad, .. } = seeds.sizes;
    let rows = columns * n;
    let mut blocks: Vec<HostBlocks<E>> = (job.groups.iter())
        .map(|_| HostBlocks {
            ggn: Matrix::zeros(rows, rows),
            cross: n_grad.map(|n| Matrix::zeros(rows, n)),
        })
        .collect();
    let slices = plan.slices.of(columns, n);
    // As many slices of the gradients' samples, some of them possibly empty.
    let mut shares: Vec<Range<usize>> = n_grad.map_or_else(Vec::new, |n| cut(n, slices.len()));
    shares.resize(slices.len(), 0..0);
    let mut progress = (0, job.wanted.len() * slices.len() * (slices.len() + 1) / 2);
    for i in 0..slices.len() {
        for j in 0..=i {
            let pair = if i == j { vec![i] } else { vec![i, j] };
            let mut factors: Vec<Factor> = pair.iter().map(|&at| v.part(&slices[at])).collect();
            // Where the gradients of each slice are among the factors.
            let mut places = [None; 2];
            for (place, &at) in places.iter_mut().zip(&pair) {
                if let (Some(gradient), false) = (gradient, shares[at].is_empty()) {
                    *place = Some(factors.len());
                    factors.push(part(gradient, &(0..1, shares[at].clone())));
                }
            }
            let offsets: Vec<usize> = pair.iter().map(|&at| shares[at].start).collect();
            if i == j {
                within(
                    job,
                    plan,
                    factors,
                    &slices[i],
                    (places[0], offsets[0]),
                    &mut blocks,
                    &mut progress,
                )?;
            } else {
                between(
                    job,
                    plan,
                    factors,
                    [&slices[i], &slices[j]],
                    places,
                    [offsets[0], offsets[1]],
                    &mut blocks,
                    &mut progress,
                )?;
            }
        }
    }
    Ok(blocks)
}

/// Tells how far the work has come.
fn step(job: &Job<'_, '_>, (done, total): &mut (usize, usize)) {
    *done += 1;
    job.settings.listener.report(Progress::Gram { done: *done, total: *total });
}

/// A slice with itself.
fn within<E: Scalar>(
    job: &Job<'_, '_>,
    plan: &Plan,
    factors: Vec<Factor>,
    rows: &Rows,
    (gradient, offset): (Option<usize>, usize),
    blocks: &mut [HostBlocks<E>],
    progress: &mut (usize, usize),
) -> Result<(), Error> {
    let graph = job.settings.graph;
    let mut parts: Vec<Option<GramBlocks>> = blocks.iter().map(|_| None).collect();
    graph.propagate(factors, job.wanted, true, |site: &Site<'_>| {
        let group = job.group_of[site.param()];
        let part = parts[group].get_or_insert_with(|| {
            GramBlocks::new(graph.tape().device(), site, gradient.is_some(), plan.contraction)
        });
        part.add(site, group)?;
        step(job, progress);
        Ok::<(), Error>(())
    })?;
    let n = job.sizes.samples;
    for (part, block) in parts.into_iter().zip(blocks) {
        let (ggn, cross) =
            part.expect("every group has a parameter, and every parameter was visited").finish();
        place(&mut block.ggn, &ggn.to_matrix()?, n, [rows, rows]);
        if let (Some(to), Some(from)) = (&mut block.cross, cross) {
            place_cross(to, &from.to_matrix()?, n, rows, offset);
        }
    }
    Ok(())
}

/// Two slices.
fn between<E: Scalar>(
    job: &Job<'_, '_>,
    plan: &Plan,
    factors: Vec<Factor>,
    rows: [&Rows; 2],
    gradients: [Option<usize>; 2],
    offsets: [usize; 2],
    blocks: &mut [HostBlocks<E>],
    progress: &mut (usize, usize),
) -> Result<(), Error> {
    let graph = job.settings.graph;
    let device = graph.tape().device();
    let count = |at: usize| factors[at].columns.shape()[..2].iter().product::<usize>();
    let zeros = |v: usize, w: usize| Tensor::zeros(device, [count(v), count(w)]);
    let fresh = || Between {
        ggn: zeros(0, 1),
        cross: [0, 1].map(|v| gradients[1 - v].map(|g| zeros(v, g))),
    };
    let mut parts: Vec<Between> = blocks.iter().map(|_| fresh()).collect();
    graph.propagate(factors, job.wanted, true, |site: &Site<'_>| {
        let Between { ggn, cross } = &mut parts[job.group_of[site.param()]];
        add_between(ggn, site, (0, 1), plan.contraction);
        for (v, cross) in cross.iter_mut().enumerate() {
            if let (Some(cross), Some(g)) = (cross, gradients[1 - v]) {
                add_between(cross, site, (v, g), plan.contraction);
            }
        }
        step(job, progress);
        Ok::<(), Error>(())
    })?;
    let n = job.sizes.samples;
    for (part, block) in parts.into_iter().zip(blocks) {
        place(&mut block.ggn, &part.ggn.to_matrix()?, n, rows);
        for (v, from) in part.cross.into_iter().enumerate() {
            if let (Some(to), Some(from)) = (&mut block.cross, from) {
                place_cross(to, &from.to_matrix()?, n, rows[v], offsets[1 - v]);
            }
        }
    }
    Ok(())
}

/// Where the rows of a slice lie among all rows: `(column, sample)` to `column · n + sample`.
fn positions((columns, samples): &Rows, n: usize) -> Vec<usize> {
    columns.clone().flat_map(|v| samples.clone().map(move |sample| v * n + sample)).collect()
}

/// Writes a block into the lower half; of a slice with itself, what lies above the diagonal is not
/// known.
fn place<E: Scalar>(to: &mut Matrix<E>, from: &Matrix<E>, n: usize, [rows, cols]: [&Rows; 2]) {
    let same = rows == cols;
    let cols = positions(cols, n);
    for (i, row) in positions(rows, n).into_iter().enumerate() {
        for (&col, &entry) in cols.iter().zip(from.row(i)) {
            if row >= col {
                to[(row, col)] = entry;
            } else if !same {
                to[(col, row)] = entry;
            }
        }
    }
}

/// Writes the products with the gradients from number `first` on.
fn place_cross<E: Scalar>(
    to: &mut Matrix<E>,
    from: &Matrix<E>,
    n: usize,
    rows: &Rows,
    first: usize,
) {
    for (i, row) in positions(rows, n).into_iter().enumerate() {
        to.row_mut(row)[first..first + from.cols()].copy_from_slice(from.row(i));
    }
}

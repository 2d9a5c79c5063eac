//! Back-transformation of the second stage: eigenvectors of the tridiagonal matrix become those of
//! the band.
//!
//! With the reflections `Hₛₖ` of step `k` of sweep `s`, which act on different rows for different
//! `k`, `B = Q T Qᵀ` with `Q = (Πₖ H₀ₖ) (Πₖ H₁ₖ) ⋯`, so that the last sweep is applied first. The
//! reflectors of step `k` of consecutive sweeps form a parallelogram, each one row further on than
//! the one before; with the [factor](crate::compact_wy) `S` of a parallelogram `V`, a vector `z`
//! becomes `z − Vᵀ S V z`. Within a group of sweeps, the parallelograms are applied from the first
//! step to the last one (Haidar, Luszczek & Dongarra, IPDPS'14).

use std::ops::Range;

use bytemuck::{cast_slice, cast_slice_mut};
use rayon::prelude::*;
use vivit_tensor::{Gemm, Matrix, Scalar, Strides, gemm, with_dtype};

use crate::back::{FEW, GROUP, strip};
use crate::chase::sweeps;
use crate::compact_wy::factor;
use crate::kernels::{Element, axpy, dot};
use crate::parallel::PARALLEL;

/// Sweeps of a parallelogram.
const SWEEPS: usize = 32;
/// Groups of sweeps whose parallelograms are made at a time.
const GROUPS: usize = 4;
/// The reflectors of the second stage, stored right of the diagonal as [`chase`](crate::chase)
/// leaves them.
pub(crate) struct Sweeps<'a, E> {
    pub(crate) rows: &'a Matrix<E>,
    pub(crate) width: usize,
}

/// Reflectors of one step of consecutive sweeps.
struct Parallelogram<E> {
    /// The entries of a vector that it acts on.
    columns: Range<usize>,
    /// The reflectors in rows, with zeros where they have no entries: `V`.
    v: Vec<E>,
    /// `Sᵀ V`.
    sv: Vec<E>,
}

impl<E: Scalar> Sweeps<'_, E> {
    /// Applies the reflectors to the rows of `z`.
    pub(crate) fn transform(&self, z: &mut Matrix<E>) {
        if z.rows() > FEW {
            return self.together(z);
        }
        let (n, v, z) = (z.cols(), self.rows.as_slice(), z.as_mut_slice());
        // The same type under its name as a value: the casts change nothing.
        with_dtype!(E::DTYPE, F => {
            each::<F>(n, self.width, cast_slice(v), cast_slice_mut(z))
        });
    }

    /// Applies parallelograms of reflectors to strips of vectors.
    fn together(&self, z: &mut Matrix<E>) {
        let (k, n) = (z.rows(), z.cols());
        let groups: Vec<Range<usize>> = (0..sweeps(n))
            .step_by(SWEEPS)
            .map(|first| first..sweeps(n).min(first + SWEEPS))
            .collect();
        let strip = strip(k);
        for groups in groups.rchunks(GROUPS) {
            let all: Vec<Vec<Parallelogram<E>>> =
                groups.iter().rev().map(|group| self.parallelograms(group)).collect();
            let apply = |z: &mut [E]| apply(n, &all, z);
            if n < PARALLEL {
                apply(z.as_mut_slice());
            } else {
                z.as_mut_slice().par_chunks_mut(strip * n).for_each(apply);
            }
        }
    }

    /// The parallelograms of a group of sweeps, from the first step to the last one.
    fn parallelograms(&self, group: &Range<usize>) -> Vec<Parallelogram<E>> {
        let n = self.rows.rows();
        let steps = (n - group.start - 1).div_ceil(self.width);
        let least = if n < PARALLEL { steps } else { 4 };
        let steps = (0..steps).into_par_iter().with_min_len(least);
        steps.map(|k| self.parallelogram(group, k)).collect()
    }

    /// The reflectors of step `k` of a group of sweeps.
    fn parallelogram(&self, group: &Range<usize>, k: usize) -> Parallelogram<E> {
        let n = self.rows.rows();
        let rows = |s: usize| {
            let first = s + 1 + k * self.width;
            first.min(n)..n.min(first + self.width)
        };
        let columns = rows(group.start).start..rows(group.end - 1).end;
        let mut v = vec![E::zero(); group.len() * columns.len()];
        let mut tau = vec![E::zero(); group.len()];
        for ((s, v), tau) in group.clone().zip(v.chunks_exact_mut(columns.len())).zip(&mut tau) {
            let rows = rows(s);
            let v = &mut v[rows.start - columns.start..][..rows.len()];
            v.copy_from_slice(&self.rows.row(s)[rows]);
            if let Some(first) = v.first_mut() {
                *tau = std::mem::replace(first, E::one());
            }
        }
        let (nb, width) = (group.len(), columns.len());
        let s = factor(&v, width, width, &tau);
        let mut sv = vec![E::zero(); nb * width];
        gemm(&Gemm::tn(nb, width, nb), &s, &v, &mut sv);
        Parallelogram { columns, v, sv }
    }
}

/// Applies the parallelograms of some groups of sweeps, the last group first, to the rows of `z`.
///
/// A parallelogram can follow when the group before is two steps further on: so all groups pass
/// over the vectors close behind each other, while these are in cache.
fn apply<E: Scalar>(n: usize, groups: &[Vec<Parallelogram<E>>], z: &mut [E]) {
    let k = z.len() / n;
    let mut y = vec![E::zero(); k * SWEEPS];
    let steps = groups.iter().map(Vec::len).max().unwrap_or(0);
    for at in 0..steps + 2 * groups.len() {
        for (lag, group) in groups.iter().enumerate() {
            let Some(p) = at.checked_sub(2 * lag).and_then(|step| group.get(step)) else {
                continue;
            };
            let (width, nb) = (p.columns.len(), p.v.len() / p.columns.len());
            let rows = Strides::rows(n).at(p.columns.start);
            let along = Gemm { a: rows, ..Gemm::nt(k, nb, width) };
            gemm(&along, z, &p.v, &mut y);
            let across = Gemm { c: rows, ..Gemm::new(k, width, nb) };
            gemm(&across.scaled(-1.0).accumulating(), &y, &p.sv, z);
        }
    }
}

/// Applies one reflector after the other to the rows of `z: [k, n]`.
fn each<F: Element>(n: usize, width: usize, stored: &[F], z: &mut [F]) {
    let apply = |z: &mut [F]| {
        for s in (0..sweeps(n)).rev() {
            for first in (s + 1..n).step_by(width) {
                let stored = &stored[s * n..][first..n.min(first + width)];
                for z in z.chunks_exact_mut(n) {
                    reflect(stored, &mut z[first..][..stored.len()]);
                }
            }
        }
    };
    if n < PARALLEL {
        apply(z);
    } else {
        z.par_chunks_mut(GROUP * n).for_each(apply);
    }
}

/// `z ← z − τ (v · z) v` for a stored reflector.
fn reflect<F: Element>(stored: &[F], z: &mut [F]) {
    let [tau, v @ ..] = stored else { return };
    let [first, rest @ ..] = z else { return };
    let factor = *tau * (*first + dot(v, rest));
    *first -= factor;
    axpy(-factor, v, rest);
}

//! Sliding windows: unfold, fold, pooling, and convolution without an unfolded copy of the whole
//! batch.

use std::ops::Range;

use rayon::prelude::*;

use super::fill::{scratch, wide};
use super::kernel::parts::{MAX_BATCH_PARTS, MAX_PARTIAL_ENTRIES, add_up};
use super::kernel::scatter::{self, Windows};
use super::kernel::sparse::{self, Rows};
use super::kernel::transpose;
use super::pool::Storage;
use super::runs::{Run, Runs};
use crate::cpu::scalar::CpuScalar;
use crate::shape::checked_size;
use crate::{ConvDims, ConvWeights, Gemm, Shape, Strides, Window};

/// `out: [kernel, windows]`, `windows` of them, with rows `stride` apart.
fn unfold_plane<E: CpuScalar>(
    x: &[E],
    out: &mut [E],
    stride: usize,
    runs: &Runs,
    windows: usize,
    covered: bool,
) {
    if !covered {
        out.chunks_mut(stride).for_each(|row| row[..windows].fill(E::zero()));
    }
    for &Run { k, first, len, at } in &runs.runs {
        let out = &mut out[k * stride + first..][..len];
        if runs.step == 1 {
            short_runs(out, &x[at..at + len], |out, x| *out = *x);
        } else {
            out.iter_mut().zip(x[at..].iter().step_by(runs.step)).for_each(|(out, x)| *out = *x);
        }
    }
}

/// Whether every kernel element of every window sees the input.
fn covers(w: &Window) -> bool {
    (0..3)
        .all(|axis| [0, w.kernel[axis] - 1].iter().all(|&k| w.seen(axis, k) == (0..w.output[axis])))
}

/// `x: [kernel, windows]`, with rows `stride` apart.
fn fold_plane<E: CpuScalar>(x: &[E], stride: usize, out: &mut [E], runs: &Runs) {
    out.fill(E::zero());
    for &Run { k, first, len, at } in &runs.runs {
        add_spread(&x[k * stride + first..][..len], &mut out[at..], runs.step);
    }
}

/// `f(out[i], x[i])` for all i. Runs are as short as an image is wide: a few entries at a time,
/// without what longer loops begin with.
#[inline(always)]
fn short_runs<E: CpuScalar>(out: &mut [E], x: &[E], f: impl Fn(&mut E, &E)) {
    /// Entries at a time. Not measured.
    const CHUNK_ENTRIES: usize = 4;
    let (mut out, mut x) = (out.chunks_exact_mut(CHUNK_ENTRIES), x.chunks_exact(CHUNK_ENTRIES));
    for (out, x) in (&mut out).zip(&mut x) {
        for i in 0..CHUNK_ENTRIES {
            f(&mut out[i], &x[i]);
        }
    }
    out.into_remainder().iter_mut().zip(x.remainder()).for_each(|(out, x)| f(out, x));
}

/// `out[i · step] += x[i]`
fn add_spread<E: CpuScalar>(x: &[E], out: &mut [E], step: usize) {
    if step == 1 {
        short_runs(&mut out[..x.len()], x, |out, x| *out += *x);
    } else {
        out.iter_mut().step_by(step).zip(x).for_each(|(out, x)| *out += *x);
    }
}

/// Runs `plane(p, output plane)` for all planes.
fn planewise<E: CpuScalar>(
    planes: usize,
    len: usize,
    plane: impl Fn(usize, &mut [E]) + Sync,
) -> Storage<E> {
    let size = checked_size(&[planes, len]).expect("all planes fit the memory");
    super::fill::filled(size, len, |first, out| {
        out.chunks_exact_mut(len).enumerate().for_each(|(i, out)| plane(first / len + i, out));
    })
}

pub(super) fn unfold<E: CpuScalar>(x: &[E], planes: usize, w: &Window) -> Storage<E> {
    let (from, windows, runs, covered) = (w.input_len(), w.output_len(), Runs::new(w), covers(w));
    planewise(planes, w.kernel_len() * windows, |p, out| {
        unfold_plane(&x[p * from..][..from], out, windows, &runs, windows, covered)
    })
}

pub(super) fn unfold_windows<E: CpuScalar>(x: &[E], n: usize, c: usize, w: &Window) -> Storage<E> {
    let (plane, t, k, runs, covered) =
        (w.input_len(), w.output_len(), w.kernel_len(), Runs::new(w), covers(w));
    samplewise(n, 1, t * c * k, c * k * t, |samples, out, unfolded| {
        let x = &x[samples.start * c * plane..][..c * plane];
        if w.is_pointwise() {
            return transpose(x, t, [c, t], out);
        }
        unfolded
            .chunks_exact_mut(k * t)
            .zip(x.chunks_exact(plane))
            .for_each(|(out, x)| unfold_plane(x, out, t, &runs, t, covered));
        transpose(unfolded, t, [c * k, t], out);
    })
}

pub(super) fn fold<E: CpuScalar>(x: &[E], planes: usize, w: &Window) -> Storage<E> {
    let (windows, runs) = (w.output_len(), Runs::new(w));
    let from = w.kernel_len() * windows;
    planewise(planes, w.input_len(), |p, out| {
        fold_plane(&x[p * from..][..from], windows, out, &runs)
    })
}

pub(super) fn sum<E: CpuScalar>(x: &[E], planes: usize, w: &Window) -> Storage<E> {
    let (from, runs) = (w.input_len(), Runs::new(w));
    planewise(planes, w.output_len(), |p, out| {
        out.fill(E::zero());
        let x = &x[p * from..][..from];
        for &Run { first, len, at, .. } in &runs.runs {
            out[first..first + len]
                .iter_mut()
                .zip(x[at..].iter().step_by(runs.step))
                .for_each(|(out, x)| *out += *x);
        }
    })
}

pub(super) fn spread<E: CpuScalar>(x: &[E], planes: usize, w: &Window) -> Storage<E> {
    let (from, runs) = (w.output_len(), Runs::new(w));
    planewise(planes, w.input_len(), |p, out| {
        out.fill(E::zero());
        let x = &x[p * from..][..from];
        for &Run { first, len, at, .. } in &runs.runs {
            add_spread(&x[first..first + len], &mut out[at..], runs.step);
        }
    })
}

pub(super) fn argmax<E: CpuScalar>(x: &[E], planes: usize, w: &Window) -> Storage<u32> {
    let (from, to, runs, covered) = (w.input_len(), w.output_len(), Runs::new(w), covers(w));
    let mut index = Storage::stale(planes * to);
    // Where each window sees kernel element 0; the others are as far from there in every window.
    let mut corners = vec![0; to];
    if covered {
        for run in runs.runs.iter().filter(|run| run.k == 0) {
            let seen = (run.at as u32..).step_by(runs.step);
            corners[run.first..][..run.len]
                .iter_mut()
                .zip(seen)
                .for_each(|(corner, at)| *corner = at);
        }
    }
    let search = |(best, seen): &mut (Storage<E>, Storage<E>), p: usize, index: &mut [u32]| {
        let x = &x[p * from..][..from];
        if covered {
            for runs_of in runs.runs.chunk_by(|a, b| a.k == b.k) {
                for &Run { first, len, at, .. } in runs_of {
                    every(&x[at..], runs.step, &mut seen[first..first + len]);
                }
                let Run { k, first, at, .. } = runs_of[0];
                keep_larger(k == 0, (best, index), seen, &corners, at as u32 - corners[first]);
            }
            return;
        }
        index.fill(u32::MAX);
        best.fill(E::neg_infinity());
        for &Run { first, len, at, .. } in &runs.runs {
            for window in first..first + len {
                let here = at + (window - first) * runs.step;
                if index[window] == u32::MAX || wins(x[here], best[window]) {
                    (best[window], index[window]) = (x[here], here as u32);
                }
            }
        }
    };
    let fresh = || (scratch(to), scratch(to));
    if planes * to < super::fill::CHUNK {
        let mut best = fresh();
        index.chunks_exact_mut(to).enumerate().for_each(|(p, index)| search(&mut best, p, index));
    } else {
        index
            .par_chunks_exact_mut(to)
            .enumerate()
            .for_each_init(fresh, |best, (p, index)| search(best, p, index));
    }
    index
}

/// Whether x takes the place of the best so far: if it is larger, or the first NaN.
#[inline(always)]
fn wins<E: CpuScalar>(x: E, best: E) -> bool {
    // Not `x > best`: a comparison with NaN is false.
    #[allow(clippy::neg_cmp_op_on_partial_ord, clippy::eq_op)]
    let wins = !(x <= best) & (best == best);
    wins
}

/// Of what all windows see at one kernel element, what wins, and its position; at the first one,
/// everything.
fn keep_larger<E: CpuScalar>(
    first: bool,
    (best, index): (&mut [E], &mut [u32]),
    seen: &[E],
    corners: &[u32],
    distance: u32,
) {
    wide(
        #[inline(always)]
        || {
            let all = best.iter_mut().zip(index).zip(seen.iter().zip(corners));
            if first {
                all.for_each(|((best, index), (&x, &corner))| {
                    (*best, *index) = (x, corner + distance)
                });
            } else {
                // No branches: which element wins is as good as random.
                all.for_each(|((best, index), (&x, &corner))| {
                    let wins = wins(x, *best);
                    *best = if wins { x } else { *best };
                    *index = if wins { corner + distance } else { *index };
                });
            }
        },
    );
}

/// `out = x[0], x[step], x[2 step] …`
fn every<E: CpuScalar>(x: &[E], step: usize, out: &mut [E]) {
    match (step, out.split_last_mut()) {
        (1, _) => out.copy_from_slice(&x[..out.len()]),
        (2, Some((last, most))) => {
            *last = x[2 * most.len()];
            most.iter_mut().zip(x.chunks_exact(2)).for_each(|(out, x)| *out = x[0]);
        }
        _ => out.iter_mut().zip(x.iter().step_by(step)).for_each(|(out, x)| *out = *x),
    }
}

pub(super) fn take<E: CpuScalar>(x: &[E], index: &[u32], planes: usize, w: &Window) -> Storage<E> {
    let (from, to) = (w.input_len(), w.output_len());
    planewise(x.len() / from, to, |p, out| {
        let (x, index) = (&x[p * from..][..from], &index[p % planes * to..][..to]);
        out.iter_mut().zip(index).for_each(|(out, &at)| *out = x[at as usize]);
    })
}

pub(super) fn put<E: CpuScalar>(x: &[E], index: &[u32], planes: usize, w: &Window) -> Storage<E> {
    let (from, to) = (w.output_len(), w.input_len());
    planewise(x.len() / from, to, |p, out| {
        out.fill(E::zero());
        let (x, index) = (&x[p * from..][..from], &index[p % planes * from..][..from]);
        x.iter().zip(index).for_each(|(x, &at)| out[at as usize] += *x);
    })
}

pub(super) fn move_index<E: CpuScalar>(
    index: &[u32],
    from: [usize; 3],
    first: [isize; 3],
    to: [usize; 3],
) -> (Storage<u32>, Storage<E>) {
    // Where every position goes: planes are small beside the index.
    let places: Vec<Option<u32>> = (0..from.iter().product::<usize>())
        .map(|at| {
            let place = [at / (from[1] * from[2]), at / from[2] % from[1], at % from[2]];
            let moved = [0, 1, 2].map(|axis| place[axis] as isize - first[axis]);
            let inside = (0..3).all(|axis| moved[axis] >= 0 && (moved[axis] as usize) < to[axis]);
            let [a, b, c] = moved.map(|at| at as usize);
            inside.then(|| ((a * to[1] + b) * to[2] + c) as u32)
        })
        .collect();
    let mut moved = Storage::stale(index.len());
    let mut inside: Storage<E> = scratch(index.len());
    moved.iter_mut().zip(inside.iter_mut()).zip(index).for_each(|((moved, inside), &at)| {
        let place = places[at as usize];
        (*moved, *inside) =
            (place.unwrap_or(0), if place.is_some() { E::one() } else { E::zero() });
    });
    (moved, inside)
}

/// Maximum columns of a convolution's product, made of the windows of several samples side by side;
/// one sample may have more. Not measured.
const MAX_JOINED_COLUMNS: usize = 160;

/// Minimum multiply-adds for which a transposed convolution looks for zeros. Not measured.
const MIN_SCATTERED_MULTIPLY_ADDS: usize = 1 << 16;

/// Samples whose windows are columns of one product.
fn together(t: usize) -> usize {
    (MAX_JOINED_COLUMNS / t.max(1)).max(1)
}

pub(super) fn conv<E: CpuScalar>(
    x: &[E],
    w: &[E],
    n: usize,
    dims: ConvDims,
    window: &Window,
) -> Storage<E> {
    let ConvDims { groups, c, o } = dims;
    let (k, t, plane) = (c * window.kernel_len(), window.output_len(), window.input_len());
    let (runs, covered, most) = (Runs::new(window), covers(window), together(t));
    let wide = if most > 1 { groups * o * most * t } else { 0 };
    samplewise(n, most, groups * o * t, groups * k * most * t + wide, |samples, y, scratch| {
        let (first, columns) = (samples.start, samples.len() * t);
        let g = Gemm::new(o, columns, k).batch(groups, o * k, k * columns, o * columns);
        if most == 1 && window.is_pointwise() {
            return super::kernel::gemm(&g, w, &x[first * groups * k * t..][..groups * k * t], y);
        }
        let (unfolded, wide) = scratch.split_at_mut(groups * k * columns);
        for sample in samples.clone() {
            let x = &x[sample * groups * c * plane..][..groups * c * plane];
            let rows = unfolded[(sample - first) * t..].chunks_mut(window.kernel_len() * columns);
            rows.zip(x.chunks_exact(plane))
                .for_each(|(out, x)| unfold_plane(x, out, columns, &runs, t, covered));
        }
        if most == 1 {
            return super::kernel::gemm(&g, w, unfolded, y);
        }
        super::kernel::gemm(&g, w, unfolded, wide);
        for (at, y) in y.chunks_exact_mut(groups * o * t).enumerate() {
            y.chunks_exact_mut(t)
                .zip(wide.chunks(columns))
                .for_each(|(y, wide)| y.copy_from_slice(&wide[at * t..][..t]));
        }
    })
}

pub(super) fn conv_transposed<E: CpuScalar>(
    y: &[E],
    w: &[E],
    [columns, n]: [usize; 2],
    dims: ConvDims,
    window: &Window,
) -> Storage<E> {
    let ConvDims { groups, c, o } = dims;
    let (k, t, plane) = (c * window.kernel_len(), window.output_len(), window.input_len());
    let (runs, most) = (Runs::new(window), together(t));
    if !window.is_pointwise() && y.len() * k >= MIN_SCATTERED_MULTIPLY_ADDS {
        let windows = Windows {
            kernel: window.kernel_len(),
            windows: t,
            plane,
            runs: &runs.runs,
            step: runs.step,
        };
        if let Some(x) = scatter::conv_transposed(y, w, [columns, n], dims, &windows) {
            return x;
        }
    }
    let n = columns * n;
    let wide = if most > 1 { groups * o * most * t } else { 0 };
    samplewise(n, most, groups * c * plane, groups * k * most * t + wide, |samples, x, scratch| {
        let columns = samples.len() * t;
        let g = Gemm::tn(k, columns, o).batch(groups, o * k, o * columns, k * columns);
        let y = &y[samples.start * groups * o * t..samples.end * groups * o * t];
        if most == 1 && window.is_pointwise() {
            return super::kernel::gemm(&g, w, y, x);
        }
        let (unfolded, wide) = scratch.split_at_mut(groups * k * columns);
        if most == 1 {
            super::kernel::gemm(&g, w, y, unfolded);
        } else {
            for (at, y) in y.chunks_exact(groups * o * t).enumerate() {
                let rows = wide.chunks_mut(columns);
                y.chunks_exact(t)
                    .zip(rows)
                    .for_each(|(y, wide)| wide[at * t..][..t].copy_from_slice(y));
            }
            super::kernel::gemm(&g, w, wide, unfolded);
        }
        for (at, x) in x.chunks_exact_mut(groups * c * plane).enumerate() {
            let rows = unfolded[at * t..].chunks(window.kernel_len() * columns);
            x.chunks_exact_mut(plane)
                .zip(rows)
                .for_each(|(out, x)| fold_plane(x, columns, out, &runs));
        }
    })
}

/// Runs `job(samples, their output, a scratch buffer of the thread)` for all samples, at most
/// `most` of them at a time.
fn samplewise<E: CpuScalar>(
    n: usize,
    most: usize,
    len: usize,
    scratch: usize,
    job: impl Fn(Range<usize>, &mut [E], &mut [E]) + Sync,
) -> Storage<E> {
    let size = checked_size(&[n, len]).expect("all samples fit the memory");
    let mut out = super::fill::scratch(size);
    let fresh = || super::fill::scratch(scratch);
    let some = |scratch: &mut [E], at: usize, out: &mut [E]| {
        job(at * most..(at * most + most).min(n), out, scratch)
    };
    let size = (most * len).max(1);
    if n <= most || n.div_ceil(most) * scratch < super::fill::CHUNK {
        let mut scratch = fresh();
        out.chunks_mut(size).enumerate().for_each(|(at, out)| some(&mut scratch, at, out));
    } else {
        let chunks = out.par_chunks_mut(size).enumerate();
        chunks.for_each_init(fresh, |scratch: &mut Storage<E>, (at, out)| some(scratch, at, out));
    }
    out
}

/// What the windows see of one sample's groups, `[groups·c, kernel, windows]`.
fn unfold_sample<E: CpuScalar>(x: &[E], to: &mut [E], w: &Window, runs: &Runs, covered: bool) {
    let (plane, windows) = (w.input_len(), w.output_len());
    let rows = to.chunks_exact_mut(w.kernel_len() * windows);
    rows.zip(x.chunks_exact(plane))
        .for_each(|(out, x)| unfold_plane(x, out, windows, runs, windows, covered));
}

pub(super) fn conv_weights<E: CpuScalar>(p: &ConvWeights, s: &[E], x: &[E]) -> Storage<E> {
    let (g, w, ConvDims { groups, c, .. }) = (p.gemm(), &p.window, p.dims);
    let (planes, plane, zt) = (groups * c, w.input_len(), p.features() * w.output_len());
    let (runs, covered) = (Runs::new(w), covers(w));
    let mut out: Storage<E> = scratch(p.len());
    if p.is_empty() || p.samples.is_empty() || zt == 0 {
        out.fill(E::zero());
        return out;
    }
    let x = &x[p.samples.start * planes * plane..p.samples.end * planes * plane];
    let one = |at: usize, to: &mut [E]| {
        unfold_sample(&x[at * c * plane..][..c * plane], to, w, &runs, covered)
    };
    // What is little is computed by the calling thread.
    let little = p.len() / g.n * zt < super::fill::CHUNK;
    if !little && sparse::product(&g, s, Rows::Made(zt, &one), &mut out) {
        return out;
    }
    // Of one sample: all groups, and one column or all of them.
    let (m, i, st) = (g.m, g.n, p.dims.o * w.output_len());
    let of_groups = |sample: usize, column: usize| {
        let a = g.a.at(sample * groups * st + column * p.held * groups * st);
        Gemm { a, batch: Vec::new(), sparse: false, ..g.clone() }.batch(groups, st, zt, m * i)
    };
    let (samples, fresh) = (p.samples.len(), || scratch(groups * zt));
    let unfold = |sample: usize, to: &mut [E]| {
        unfold_sample(&x[sample * planes * plane..][..planes * plane], to, w, &runs, covered)
    };
    if !p.summed {
        let one = |z: &mut Storage<E>, (at, out): (usize, &mut [E])| {
            unfold(at % samples, z);
            super::kernel::gemm(&of_groups(at % samples, at / samples), s, z, out);
        };
        if little {
            let mut z = fresh();
            out.chunks_exact_mut(groups * m * i).enumerate().for_each(|out| one(&mut z, out));
        } else {
            out.par_chunks_exact_mut(groups * m * i).enumerate().for_each_init(fresh, one);
        }
        return out;
    }
    let some = |z: &mut Storage<E>, samples: Range<usize>, sums: &mut [E]| {
        let first = samples.start;
        for sample in samples {
            unfold(sample, z);
            let g = Gemm { accumulate: sample > first, ..of_groups(sample, 0) };
            super::kernel::gemm(
                &g.batch(p.columns, p.held * groups * st, 0, groups * m * i),
                s,
                z,
                sums,
            );
        }
    };
    if little {
        some(&mut fresh(), 0..samples, &mut out);
        return out;
    }
    let len = samples.div_ceil(MAX_BATCH_PARTS.min(MAX_PARTIAL_ENTRIES / out.len()).max(1));
    let mut sums: Storage<E> = scratch(samples.div_ceil(len) * out.len());
    sums.par_chunks_exact_mut(out.len()).enumerate().for_each_init(fresh, |z, (part, sums)| {
        some(z, part * len..(part * len + len).min(samples), sums);
    });
    out.copy_from_slice(add_up(&mut sums, p.len()));
    out
}

/// Adds what one kernel element sees of two sides, `met: [plane, plane, n]`, to `out: [windows,
/// windows · n]`, rows of `cols`.
#[inline]
fn add_met<E: CpuScalar>(
    met: &[E],
    out: &mut [E],
    of_k: &[Run],
    [plane, n, cols]: [usize; 3],
    step: usize,
) {
    for run in of_k {
        for window in 0..run.len {
            let line = &met[(run.at + window * step) * plane * n..][..plane * n];
            let out = &mut out[(run.first + window) * cols..][..cols];
            for other in of_k {
                for (at, len) in other.joined(step) {
                    let from = &line[(other.at + at * step) * n..][..len * n];
                    let to = &mut out[(other.first + at) * n..][..len * n];
                    to.iter_mut().zip(from).for_each(|(to, from)| *to += *from);
                }
            }
        }
    }
}

/// Samples of the left side whose planes one task multiplies with those of the right. Not measured.
const SAMPLES_PER_TASK: usize = 8;

pub(super) fn window_products<E: CpuScalar>(
    x: &[E],
    y: &[E],
    [m, n]: [usize; 2],
    [groups, c]: [usize; 2],
    w: &Window,
) -> Option<Storage<E>> {
    let (plane, t, k) = (w.input_len(), w.output_len(), w.kernel_len());
    // Where two planes meet everywhere, what two windows see of them is a sum of some of it.
    if plane * plane * (c + k) > t * t * k * c {
        return None;
    }
    let (runs, rows, cols) = (Runs::new(w), m * t, t * n);
    let mut starts = vec![0; k + 1];
    runs.runs.iter().for_each(|run| starts[run.k + 1] += 1);
    (0..k).for_each(|k| starts[k + 1] += starts[k]);
    // `[groups, c, m, plane]`, and `[groups, c, plane, n]`: samples innermost, for long sums.
    let (of_group, of_sample) = (c * plane, groups * c * plane);
    let x = super::array::copy_strided(
        x,
        &Shape::from([groups, c, m, plane]),
        &[of_group, plane, of_sample, 1],
    );
    let y = super::array::copy_strided(
        y,
        &Shape::from([groups, c, plane, n]),
        &[of_group, plane, 1, of_sample],
    );
    let size = checked_size(&[groups, rows, cols]).expect("all products fit the memory");
    let mut out: Storage<E> = scratch(size);
    let fresh = || scratch(SAMPLES_PER_TASK.min(m) * plane * plane * n);
    let tasks: Vec<(usize, usize)> =
        (0..groups).flat_map(|g| (0..m).step_by(SAMPLES_PER_TASK).map(move |m| (g, m))).collect();
    let mut places: Vec<&mut [E]> = Vec::with_capacity(tasks.len());
    let mut rest = &mut out[..];
    for &(_, first) in &tasks {
        let (place, others) = rest.split_at_mut(SAMPLES_PER_TASK.min(m - first) * t * cols);
        (rest, _) = (others, places.push(place));
    }
    tasks.par_iter().zip(places).for_each_init(
        fresh,
        |met: &mut Storage<E>, (&(group, first), out)| {
            let some = SAMPLES_PER_TASK.min(m - first);
            let a = Strides::transposed(m * plane).at((group * c * m + first) * plane);
            let g = Gemm { a, ..Gemm::new(some * plane, plane * n, c) };
            super::kernel::gemm(&g, &x, &y[group * c * plane * n..], met);
            let of_samples = met.chunks_exact(plane * plane * n);
            for (met, out) in of_samples.zip(out.chunks_exact_mut(t * cols)) {
                out.fill(E::zero());
                for of_k in starts.windows(2).map(|bounds| &runs.runs[bounds[0]..bounds[1]]) {
                    add_met(met, out, of_k, [plane, n, cols], runs.step);
                }
            }
        },
    );
    Some(out)
}

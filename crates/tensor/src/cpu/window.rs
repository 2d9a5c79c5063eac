//! Sliding windows: unfold, fold, pooling, and convolution without an unfolded copy of the whole batch.

use rayon::prelude::*;

use super::CpuBuf;
use crate::{ConvDims, Gemm, Scalar, Window};

/// Visits every run of windows along the innermost axis that a kernel element sees: `run(kernel element, first window, number
/// of windows, input position of the first, distance of the following)`. The rest of the windows see padding there.
fn for_seen(w: &Window, mut run: impl FnMut(usize, usize, usize, usize, usize)) {
    let [_, ky, kx] = w.kernel;
    for k in 0..w.kernel_len() {
        let [k0, k1, k2] = [k / (ky * kx), k / kx % ky, k % kx];
        let seen = w.seen(2, k2);
        if seen.is_empty() {
            continue;
        }
        let x2 = seen.start * w.stride[2] + k2 * w.dilation[2] - w.padding[2];
        for o0 in w.seen(0, k0) {
            let x0 = o0 * w.stride[0] + k0 * w.dilation[0] - w.padding[0];
            for o1 in w.seen(1, k1) {
                let x1 = o1 * w.stride[1] + k1 * w.dilation[1] - w.padding[1];
                let first = (o0 * w.output[1] + o1) * w.output[2] + seen.start;
                run(k, first, seen.len(), (x0 * w.input[1] + x1) * w.input[2] + x2, w.stride[2]);
            }
        }
    }
}

fn unfold_plane<E: Scalar>(x: &[E], out: &mut [E], w: &Window) {
    let windows = w.output_len();
    if !covers(w) {
        out.fill(E::zero());
    }
    for_seen(w, |k, first, len, at, step| {
        let out = &mut out[k * windows + first..][..len];
        if step == 1 {
            out.copy_from_slice(&x[at..at + len]);
        } else {
            out.iter_mut().zip(x[at..].iter().step_by(step)).for_each(|(out, x)| *out = *x);
        }
    });
}

/// Whether every kernel element of every window sees the input.
fn covers(w: &Window) -> bool {
    (0..3).all(|axis| [0, w.kernel[axis] - 1].iter().all(|&k| w.seen(axis, k) == (0..w.output[axis])))
}

fn fold_plane<E: Scalar>(x: &[E], out: &mut [E], w: &Window) {
    let windows = w.output_len();
    out.fill(E::zero());
    for_seen(w, |k, first, len, at, step| {
        let x = &x[k * windows + first..][..len];
        out[at..].iter_mut().step_by(step).zip(x).for_each(|(out, x)| *out += *x);
    });
}

/// Runs `plane(p, output plane)` for all planes.
fn planewise<E: Scalar>(planes: usize, len: usize, plane: impl Fn(usize, &mut [E]) + Sync) -> CpuBuf<E> {
    super::filled(planes * len, len, |first, out| {
        out.chunks_exact_mut(len).enumerate().for_each(|(i, out)| plane(first / len + i, out));
    })
}

pub(super) fn unfold<E: Scalar>(x: &[E], planes: usize, w: &Window) -> CpuBuf<E> {
    let from = w.input_len();
    planewise(planes, w.kernel_len() * w.output_len(), |p, out| unfold_plane(&x[p * from..][..from], out, w))
}

pub(super) fn fold<E: Scalar>(x: &[E], planes: usize, w: &Window) -> CpuBuf<E> {
    let from = w.kernel_len() * w.output_len();
    planewise(planes, w.input_len(), |p, out| fold_plane(&x[p * from..][..from], out, w))
}

pub(super) fn sum<E: Scalar>(x: &[E], planes: usize, w: &Window) -> CpuBuf<E> {
    let from = w.input_len();
    planewise(planes, w.output_len(), |p, out| {
        let x = &x[p * from..][..from];
        for_seen(w, |_, first, len, at, step| {
            out[first..first + len].iter_mut().zip(x[at..].iter().step_by(step)).for_each(|(out, x)| *out += *x);
        });
    })
}

pub(super) fn spread<E: Scalar>(x: &[E], planes: usize, w: &Window) -> CpuBuf<E> {
    let from = w.output_len();
    planewise(planes, w.input_len(), |p, out| {
        let x = &x[p * from..][..from];
        for_seen(w, |_, first, len, at, step| {
            out[at..].iter_mut().step_by(step).zip(&x[first..first + len]).for_each(|(out, x)| *out += *x);
        });
    })
}

pub(super) fn argmax<E: Scalar>(x: &[E], planes: usize, w: &Window) -> Vec<u32> {
    let (from, to) = (w.input_len(), w.output_len());
    let mut index = vec![0u32; planes * to];
    let run = |p: usize, index: &mut [u32]| {
        let x = &x[p * from..][..from];
        index.fill(u32::MAX);
        for_seen(w, |_, first, len, at, step| {
            for (i, best) in index[first..first + len].iter_mut().enumerate() {
                let here = at + i * step;
                if *best == u32::MAX || x[here] > x[*best as usize] || (x[here].is_nan() && !x[*best as usize].is_nan()) {
                    *best = here as u32;
                }
            }
        });
    };
    if planes * to < super::CHUNK {
        index.chunks_exact_mut(to).enumerate().for_each(|(p, index)| run(p, index));
    } else {
        index.par_chunks_exact_mut(to).enumerate().for_each(|(p, index)| run(p, index));
    }
    index
}

pub(super) fn take<E: Scalar>(x: &[E], index: &[u32], planes: usize, w: &Window) -> CpuBuf<E> {
    let (from, to) = (w.input_len(), w.output_len());
    planewise(x.len() / from, to, |p, out| {
        let (x, index) = (&x[p * from..][..from], &index[p % planes * to..][..to]);
        out.iter_mut().zip(index).for_each(|(out, &at)| *out = x[at as usize]);
    })
}

pub(super) fn put<E: Scalar>(x: &[E], index: &[u32], planes: usize, w: &Window) -> CpuBuf<E> {
    let (from, to) = (w.output_len(), w.input_len());
    planewise(x.len() / from, to, |p, out| {
        let (x, index) = (&x[p * from..][..from], &index[p % planes * from..][..from]);
        x.iter().zip(index).for_each(|(x, &at)| out[at as usize] += *x);
    })
}

/// Whether the unfolded plane is the plane itself (a kernel of one, stride one, no padding).
fn is_pointwise(w: &Window) -> bool {
    w.kernel == [1; 3] && w.input == w.output && w.padding == [0; 3]
}

pub(super) fn conv<E: Scalar>(x: &[E], w: &[E], n: usize, dims: ConvDims, window: &Window) -> CpuBuf<E> {
    let ConvDims { groups, c, o } = dims;
    let (k, t, plane) = (c * window.kernel_len(), window.output_len(), window.input_len());
    let g = Gemm::new(o, t, k).batch(groups, o * k, k * t, o * t);
    samplewise(n, groups * o * t, groups * k * t, |sample, y, unfolded| {
        let x = &x[sample * groups * c * plane..][..groups * c * plane];
        if is_pointwise(window) {
            super::gemm(&g, w, x, y);
        } else {
            let to = window.kernel_len() * t;
            unfolded.chunks_exact_mut(to).zip(x.chunks_exact(plane)).for_each(|(out, x)| unfold_plane(x, out, window));
            super::gemm(&g, w, unfolded, y);
        }
    })
}

pub(super) fn conv_transposed<E: Scalar>(y: &[E], w: &[E], n: usize, dims: ConvDims, window: &Window) -> CpuBuf<E> {
    let ConvDims { groups, c, o } = dims;
    let (k, t, plane) = (c * window.kernel_len(), window.output_len(), window.input_len());
    let g = Gemm::tn(k, t, o).batch(groups, o * k, o * t, k * t);
    samplewise(n, groups * c * plane, groups * k * t, |sample, x, unfolded| {
        let y = &y[sample * groups * o * t..][..groups * o * t];
        if is_pointwise(window) {
            super::gemm(&g, w, y, x);
        } else {
            super::gemm(&g, w, y, unfolded);
            let from = window.kernel_len() * t;
            x.chunks_exact_mut(plane).zip(unfolded.chunks_exact(from)).for_each(|(out, x)| fold_plane(x, out, window));
        }
    })
}

/// Runs `job(sample, its output, a scratch buffer of the thread)` for all samples.
fn samplewise<E: Scalar>(n: usize, len: usize, scratch: usize, job: impl Fn(usize, &mut [E], &mut Vec<E>) + Sync) -> CpuBuf<E> {
    let mut out = vec![E::zero(); n * len];
    let fresh = || vec![E::zero(); scratch];
    if n <= 1 || n * scratch < super::CHUNK {
        let mut scratch = fresh();
        out.chunks_exact_mut(len.max(1)).enumerate().for_each(|(sample, out)| job(sample, out, &mut scratch));
    } else {
        out.par_chunks_exact_mut(len.max(1))
            .enumerate()
            .for_each_init(fresh, |scratch, (sample, out)| job(sample, out, scratch));
    }
    out.into()
}

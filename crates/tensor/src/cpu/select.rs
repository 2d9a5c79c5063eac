//! The choice between two arrays, entry by entry.

use std::iter::repeat;

use super::array::{copy_run, for_runs};
use super::fill::filled;
use super::pool::Storage;
use super::scalar::CpuScalar;
use crate::Shape;

/// a where `mask` is not 0, b elsewhere; whatever the other one is there.
pub(super) fn select<E: CpuScalar>(
    (mask, mask_shape): (&[E], &Shape),
    (a, a_shape): (&[E], &Shape),
    (b, b_shape): (&[E], &Shape),
    out: &Shape,
) -> Storage<E> {
    let strides = [mask_shape, a_shape, b_shape].map(|shape| shape.broadcast_strides(out));
    let axes = out.merged_axes([&strides[0], &strides[1], &strides[2]]);
    // One long run is cut into chunks, so that threads can share it.
    if let [(len, [1, 1, 1])] = axes[..] {
        return filled(len, 1, |first, out| {
            let end = first + out.len();
            run(&mask[first..end], a[first..end].iter(), b[first..end].iter(), out);
        });
    }
    let step = axes[axes.len() - 1].1;
    for_runs(&axes, |[i, j, k], out: &mut [E]| {
        let (mask, a, b) = (&mask[i..], &a[j..], &b[k..]);
        match step {
            [0, p, q] => {
                let (x, step) = if mask[0] == E::zero() { (b, q) } else { (a, p) };
                copy_run(x, step, out);
            }
            [1, 1, 1] => run(mask, a.iter(), b.iter(), out),
            [1, 1, 0] => run(mask, a.iter(), repeat(&b[0]), out),
            [1, 0, 1] => run(mask, repeat(&a[0]), b.iter(), out),
            [m, p, q] => out.iter_mut().enumerate().for_each(|(at, out)| {
                *out = if mask[at * m] == E::zero() { b[at * q] } else { a[at * p] };
            }),
        }
    })
}

/// A run of neighbours in the mask. Both entries are read, so that it vectorises.
#[inline(always)]
fn run<'x, E: CpuScalar>(
    mask: &[E],
    a: impl Iterator<Item = &'x E>,
    b: impl Iterator<Item = &'x E>,
    out: &mut [E],
) {
    for (out, ((mask, &a), &b)) in out.iter_mut().zip(mask.iter().zip(a).zip(b)) {
        *out = if *mask == E::zero() { b } else { a };
    }
}

//! Launchers of the sliding windows (`window.cl`), and convolutions through them.

use vivit_tensor::{ConvDims, ConvWeights, Gemm, Scalar, Window};

use crate::buffer::Buf;
use crate::call::Call;
use crate::device::OpenCl;
use crate::info::Kernels;
use crate::product;
use crate::session::Outcome;

/// Planes of a group where a core takes them one after the other.
const PLANES: usize = 8;

impl<'s> Call<'s> {
    fn window(self, w: &Window) -> Self {
        [w.input, w.kernel, w.stride, w.padding, w.dilation, w.output]
            .iter()
            .fold(self, |call, &[x, y, z]| call.words([x, y, z, 0]))
    }

    /// A work-item per input position of `planes` planes.
    fn inputs(self, planes: usize, w: &Window) -> Outcome {
        self.rows(w.input[2], planes * w.input[0] * w.input[1])
    }

    /// A work-item per window of `planes` planes.
    fn outputs(self, planes: usize, w: &Window) -> Outcome {
        self.rows(w.output[2], planes * w.output[0] * w.output[1])
    }
}

pub(crate) fn unfold<E: Scalar>(cl: &OpenCl<E>, x: &Buf<E>, planes: usize, w: &Window) -> Buf<E> {
    assert_eq!(x.len, planes * w.input_len(), "unfold of {planes} planes of {w:?}");
    let out = cl.session.allocate(planes * w.kernel_len() * w.output_len());
    let call = cl.call("unfold").buf(x).buf(&out).window(w).words([planes]);
    call.outputs(planes * w.kernel_len(), w).into(&cl.session, out)
}

pub(crate) fn fold<E: Scalar>(cl: &OpenCl<E>, x: &Buf<E>, planes: usize, w: &Window) -> Buf<E> {
    let mut out = cl.session.allocate(planes * w.input_len());
    fold_into(cl, x, planes, w, &mut out);
    out
}

fn fold_into<E: Scalar>(cl: &OpenCl<E>, x: &Buf<E>, planes: usize, w: &Window, out: &mut Buf<E>) {
    assert!(
        x.len == planes * w.kernel_len() * w.output_len() && out.len == planes * w.input_len(),
        "fold of {planes} planes of {w:?}"
    );
    let outcome = cl.call("fold").buf(x).buf(out).window(w).words([planes]).inputs(planes, w);
    cl.keep(outcome, out);
}

pub(crate) fn window_sum<E: Scalar>(
    cl: &OpenCl<E>,
    x: &Buf<E>,
    planes: usize,
    w: &Window,
) -> Buf<E> {
    assert_eq!(x.len, planes * w.input_len(), "window sum of {planes} planes of {w:?}");
    let out = cl.session.allocate(planes * w.output_len());
    cl.call("window_sum")
        .buf(x)
        .buf(&out)
        .window(w)
        .words([planes])
        .outputs(planes, w)
        .into(&cl.session, out)
}

pub(crate) fn window_spread<E: Scalar>(
    cl: &OpenCl<E>,
    x: &Buf<E>,
    planes: usize,
    w: &Window,
) -> Buf<E> {
    assert_eq!(x.len, planes * w.output_len(), "window spread of {planes} planes of {w:?}");
    let out = cl.session.allocate(planes * w.input_len());
    cl.call("window_spread")
        .buf(x)
        .buf(&out)
        .window(w)
        .words([planes])
        .inputs(planes, w)
        .into(&cl.session, out)
}

pub(crate) fn argmax<E: Scalar>(cl: &OpenCl<E>, x: &Buf<E>, planes: usize, w: &Window) -> Buf<u32> {
    assert_eq!(x.len, planes * w.input_len(), "argmax of {planes} planes of {w:?}");
    let out = cl.session.allocate(planes * w.output_len());
    cl.call("argmax")
        .buf(x)
        .buf(&out)
        .window(w)
        .words([planes])
        .outputs(planes, w)
        .into(&cl.session, out)
}

pub(crate) fn gather<E: Scalar>(
    cl: &OpenCl<E>,
    x: &Buf<E>,
    index: &Buf<u32>,
    planes: usize,
    w: &Window,
) -> Buf<E> {
    let (from, to) = (w.input_len(), w.output_len());
    let all = x.len / from.max(1);
    assert!(
        index.len == planes * to && all * from == x.len && (planes == 0 || all % planes == 0),
        "gather from {planes} planes of {w:?}"
    );
    let out = cl.session.allocate(all * to);
    cl.call("gather")
        .buf(x)
        .buf(index)
        .buf(&out)
        .words([to, all, planes, from])
        .rows(to, all)
        .into(&cl.session, out)
}

pub(crate) fn scatter_add<E: Scalar>(
    cl: &OpenCl<E>,
    x: &Buf<E>,
    index: &Buf<u32>,
    planes: usize,
    w: &Window,
) -> Buf<E> {
    let (from, to) = (w.output_len(), w.input_len());
    let all = x.len / from.max(1);
    assert!(
        index.len == planes * from && all * from == x.len && (planes == 0 || all % planes == 0),
        "scatter into {planes} planes of {w:?}"
    );
    let out = cl.session.allocate(all * to);
    if cl.kernels == Kernels::Cores {
        let call = cl
            .call("scatter_add_planes")
            .buf(x)
            .buf(index)
            .buf(&out)
            .words([from, all, planes, to]);
        return call.groups(all.div_ceil(PLANES), [PLANES, 1]).into(&cl.session, out);
    }
    let call =
        cl.call("scatter_add").buf(x).buf(index).buf(&out).window(w).words([all]).words([planes]);
    call.inputs(all, w).into(&cl.session, out)
}

/// Samples that are unfolded together: few enough to stay in a cache where there are cores, else as
/// many as fit into some memory.
fn samples_at_once<E: Scalar>(cl: &OpenCl<E>, unfolded: usize) -> usize {
    let numbers = if cl.kernels == Kernels::Cores { 1 << 19 } else { 1 << 26 };
    (numbers / unfolded.max(1)).max(1)
}

pub(crate) fn conv<E: Scalar>(
    cl: &OpenCl<E>,
    x: &Buf<E>,
    w: &Buf<E>,
    n: usize,
    dims: ConvDims,
    window: &Window,
) -> Buf<E> {
    let ConvDims { groups, c, o } = dims;
    let (k, t, plane) = (c * window.kernel_len(), window.output_len(), window.input_len());
    let mut y = cl.session.allocate(n * groups * o * t);
    let g = |n: usize| {
        Gemm::new(o, t, k).batch(n, 0, groups * k * t, groups * o * t).batch(
            groups,
            o * k,
            k * t,
            o * t,
        )
    };
    if window.is_pointwise() {
        product::product(cl, &g(n), w, x, &mut y, false);
        return y;
    }
    let at_once = samples_at_once(cl, groups * k * t);
    for first in (0..n).step_by(at_once) {
        let some = at_once.min(n - first);
        let x = x.slice(first * groups * c * plane, some * groups * c * plane);
        let unfolded = unfold(cl, &x, some * groups * c, window);
        let mut g = g(some);
        g.c.offset = first * groups * o * t;
        product::product(cl, &g, w, &unfolded, &mut y, false);
    }
    y
}

pub(crate) fn conv_transposed<E: Scalar>(
    cl: &OpenCl<E>,
    y: &Buf<E>,
    w: &Buf<E>,
    n: usize,
    dims: ConvDims,
    window: &Window,
) -> Buf<E> {
    let ConvDims { groups, c, o } = dims;
    let (k, t, plane) = (c * window.kernel_len(), window.output_len(), window.input_len());
    let mut x = cl.session.allocate(n * groups * c * plane);
    let g = |n: usize| {
        Gemm::tn(k, t, o).batch(n, 0, groups * o * t, groups * k * t).batch(
            groups,
            o * k,
            o * t,
            k * t,
        )
    };
    if window.is_pointwise() {
        product::product(cl, &g(n), w, y, &mut x, false);
        return x;
    }
    let at_once = samples_at_once(cl, groups * k * t);
    for first in (0..n).step_by(at_once) {
        let some = at_once.min(n - first);
        let y = y.slice(first * groups * o * t, some * groups * o * t);
        let mut unfolded = cl.session.allocate(some * groups * k * t);
        product::product(cl, &g(some), w, &y, &mut unfolded, false);
        let mut part = x.slice(first * groups * c * plane, some * groups * c * plane);
        fold_into(cl, &unfolded, some * groups * c, window, &mut part);
        if part.block.is_err() {
            x.block = part.block;
        }
    }
    x
}

pub(crate) fn conv_weights<E: Scalar>(
    cl: &OpenCl<E>,
    p: &ConvWeights,
    s: &Buf<E>,
    x: &Buf<E>,
) -> Buf<E> {
    let mut out = cl.session.allocate(p.len());
    let (planes, plane) = (p.dims.groups * p.dims.c, p.window.input_len());
    let unfolded_len = p.dims.groups * p.features() * p.window.output_len();
    let at_once =
        if p.window.is_pointwise() { usize::MAX } else { samples_at_once(cl, unfolded_len) };
    // Without samples a sum is zero all the same.
    let mut first = p.samples.start;
    loop {
        let some = first..first.saturating_add(at_once).min(p.samples.end);
        let inputs = x.slice(some.start * planes * plane, some.len() * planes * plane);
        let unfolded = if p.window.is_pointwise() {
            inputs
        } else {
            unfold(cl, &inputs, some.len() * planes, &p.window)
        };
        first = some.end;
        product::product(cl, &p.gemm_of(some), s, &unfolded, &mut out, false);
        if first >= p.samples.end {
            return out;
        }
    }
}

/// Indices of planes of shape `from` as those of planes of shape `to`, whose first entry lies at
/// `first` of the others, and 1 where they stay inside, 0 elsewhere.
pub(crate) fn translate_index<E: Scalar>(
    cl: &OpenCl<E>,
    index: &Buf<u32>,
    entries: usize,
    from: [usize; 3],
    first: [isize; 3],
    to: [usize; 3],
) -> (Buf<u32>, Buf<E>) {
    assert!(entries <= index.len, "{entries} of {} indices", index.len);
    let (moved, inside) = (cl.session.allocate(entries), cl.session.allocate(entries));
    let ([f0, f1, f2], [a, b, c], [t0, t1, t2]) = (from, first, to);
    let call = cl.call("translate_index").buf(index).buf(&moved).buf(&inside);
    let call = call.words([f0, f1, f2, entries]).signed([a, b, c, 0]).words([t0, t1, t2, 0]);
    match call.flat(entries).0 {
        Ok(()) => (moved, inside),
        Err(error) => {
            (cl.session.spoiled(entries, error.clone()), cl.session.spoiled(entries, error))
        }
    }
}

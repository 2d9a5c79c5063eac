//! Launchers of gathers and scatters along an axis, and of running sums (`picks.cl`).

use vivit_tensor::{AxisPicks, Scalar};

use crate::buffer::Buf;
use crate::device::OpenCl;

/// Work-items of a scatter from which on a line along the axis is no longer cut into parts, each of
/// which reads all positions. Not measured.
const MANY: usize = 1 << 14;
/// Parts of a line at most.
const MAX_PARTS: usize = 64;

pub(crate) fn positions<E: Scalar>(cl: &OpenCl<E>, x: &Buf<E>, axes: &[usize]) -> Buf<u32> {
    let count = x.len / axes.len().max(1);
    let mut out = cl.session.allocate(count);
    for (at, &axis) in axes.iter().enumerate() {
        let call = cl.call("positions").buf(x).buf(&out).words([axis, count, axes.len(), at]);
        let outcome = call.flat(count);
        out = outcome.into(&cl.session, out);
    }
    out
}

/// Samples, and what has an axis of them.
fn how(p: &AxisPicks) -> [usize; 4] {
    [p.samples, usize::from(p.own_source), usize::from(p.own_index), usize::from(p.per_entry)]
}

pub(crate) fn gather_axis<E: Scalar>(
    cl: &OpenCl<E>,
    x: &Buf<E>,
    index: &Buf<u32>,
    p: &AxisPicks,
) -> Buf<E> {
    p.check(Some(x.len), None, index.len);
    let out = cl.session.allocate(p.picked_len());
    let rows = p.columns * p.samples * p.outer * p.picks;
    let call = cl.call("gather_axis").buf(x).buf(index).buf(&out).words(how(p));
    let call = call.words([p.outer, p.axis, p.picks, p.inner]).words([rows]);
    call.rows(p.inner, rows).into(&cl.session, out)
}

pub(crate) fn scatter_axis<E: Scalar>(
    cl: &OpenCl<E>,
    y: &Buf<E>,
    index: &Buf<u32>,
    p: &AxisPicks,
) -> Buf<E> {
    p.check(None, Some(y.len), index.len);
    let out = cl.session.allocate(p.source_len());
    let planes = p.columns * p.source_samples() * p.outer;
    let parts = MANY.div_ceil((planes * p.inner).max(1)).clamp(1, MAX_PARTS.min(p.axis.max(1)));
    let len = p.axis.div_ceil(parts);
    let call = cl.call("scatter_axis").buf(y).buf(index).buf(&out).words(how(p));
    let call = call.words([p.outer, p.axis, p.picks, p.inner]);
    let call = call.words([parts, len, planes * parts, 0]);
    call.rows(p.inner, planes * parts).into(&cl.session, out)
}

pub(crate) fn first_equal<E: Scalar>(cl: &OpenCl<E>, index: &Buf<u32>, len: usize) -> Buf<u32> {
    let (out, rows) = (cl.session.allocate(index.len), index.len / len.max(1));
    let call = cl.call("first_equal").buf(index).buf(&out).words([len, rows]);
    call.rows(len, rows).into(&cl.session, out)
}

pub(crate) fn cumsum<E: Scalar>(
    cl: &OpenCl<E>,
    x: &Buf<E>,
    [outer, axis, inner]: [usize; 3],
    exclusive: bool,
    reverse: bool,
) -> Buf<E> {
    assert_eq!(x.len, outer * axis * inner, "running sums of [{outer}, {axis}, {inner}]");
    let (out, lines) = (cl.session.allocate(x.len), outer * inner);
    let call = cl.call("cumsum").buf(x).buf(&out).words([lines, axis, inner, 0]);
    let call = call.words([usize::from(exclusive), usize::from(reverse)]);
    call.flat(lines).into(&cl.session, out)
}

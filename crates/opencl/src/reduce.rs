//! Launchers of reductions, softmax, draws and the search for NaN (`reduce.cl`).

use vivit_tensor::{Error, Reduce, Scalar};

use crate::Kernels;
use crate::buffer::Buf;
use crate::device::OpenCl;
use crate::session::Outcome;

/// Work-items that share a long axis, as in the kernels.
const TEAM: usize = 64;
/// Length from which on an axis is shared.
const LONG: usize = 256;
/// Results from which on each has a work-item of its own, however long the axis.
const MANY: usize = 1 << 15;
/// Entries of a part in the search for NaN.
const PART: usize = 256;

pub(crate) fn reduce<E: Scalar>(
    cl: &OpenCl<E>,
    f: Reduce,
    x: &Buf<E>,
    outer: usize,
    axis: usize,
    inner: usize,
) -> Buf<E> {
    assert_eq!(x.len, outer * axis * inner, "reduction of [{outer}, {axis}, {inner}]");
    let name = match f {
        Reduce::Sum => "sum",
        Reduce::SumSquares => "sum_squares",
        Reduce::Max => "max",
        Reduce::Min => "min",
    };
    let results = outer * inner;
    let out = cl.session.allocate(results);
    // Neighbours share a work-item where it has a cache of its own, work-items take turns where
    // they read together.
    let share = if cl.kernels == Kernels::Cores { axis.div_ceil(TEAM) } else { 0 };
    let outcome = if axis >= LONG && (inner == 1 || results < MANY) {
        let call = cl
            .session
            .call(format!("reduce_long_{name}"))
            .buf(x)
            .buf(&out)
            .words([results, axis, inner, share]);
        call.groups(results, [TEAM, 1])
    } else {
        cl.session
            .call(format!("reduce_{name}"))
            .buf(x)
            .buf(&out)
            .words([results, axis, inner, 0])
            .flat(results)
    };
    outcome.into(&cl.session, out)
}

pub(crate) fn softmax<E: Scalar>(
    cl: &OpenCl<E>,
    x: &Buf<E>,
    outer: usize,
    axis: usize,
    inner: usize,
) -> Buf<E> {
    assert_eq!(x.len, outer * axis * inner, "softmax of [{outer}, {axis}, {inner}]");
    let out = cl.session.allocate(x.len);
    let call = cl.session.call("softmax").buf(x).buf(&out).words([outer * inner, axis, inner, 0]);
    call.flat(outer * inner).into(&cl.session, out)
}

pub(crate) fn draw_one_hot<E: Scalar>(
    cl: &OpenCl<E>,
    p: &Buf<E>,
    u: &[f64],
    outer: usize,
    axis: usize,
    inner: usize,
) -> Buf<E> {
    assert!(
        p.len == outer * axis * inner && u.len() % (outer * inner).max(1) == 0,
        "draws from [{outer}, {axis}, {inner}]"
    );
    let out = cl.session.allocate(u.len() * axis);
    if out.len == 0 {
        return out;
    }
    let uniform = cl.session.upload(u.iter().map(|&u| E::of(u)).collect());
    let call = cl.session.call("draw_one_hot").buf(p).buf(&uniform).buf(&out).words([
        u.len(),
        axis,
        inner,
        outer,
    ]);
    call.flat(u.len()).into(&cl.session, out)
}

/// Per array the position of its first NaN or infinity, `u32::MAX` where there is none.
pub(crate) fn search_non_finite<E: Scalar>(cl: &OpenCl<E>, arrays: &[&Buf<E>]) -> Buf<u32> {
    let mut found = cl.session.allocate::<u32>(arrays.len());
    for (at, x) in arrays.iter().enumerate() {
        let slot = found.slice(at, 1);
        if let Err(error) = search_into(cl, x, slot).0 {
            found = cl.session.spoiled(found.len, error);
        }
    }
    found
}

fn search_into<E: Scalar>(cl: &OpenCl<E>, x: &Buf<E>, slot: Buf<u32>) -> Outcome {
    let mut parts = x.len.div_ceil(PART).max(1);
    let mut least = if parts == 1 { slot.clone() } else { cl.session.allocate(parts) };
    let share = if cl.kernels == Kernels::Cores { PART } else { 0 };
    let mut outcome = cl
        .session
        .call("non_finite")
        .buf(x)
        .buf(&least)
        .words([x.len, parts, share, 0])
        .flat(parts);
    while parts > 1 && outcome.0.is_ok() {
        let fewer = parts.div_ceil(PART);
        let next = if fewer == 1 { slot.clone() } else { cl.session.allocate(fewer) };
        outcome = cl
            .session
            .call("least")
            .buf(&least)
            .buf(&next)
            .words([parts, fewer, PART, 0])
            .flat(fewer);
        (least, parts) = (next, fewer);
    }
    outcome
}

/// Reads what searches have found: array and position of the first NaN or infinity.
pub(crate) fn answer<E: Scalar>(
    cl: &OpenCl<E>,
    found: &Buf<u32>,
) -> Result<Option<(usize, usize)>, Error> {
    let found = cl.session.download(found)?;
    Ok(found.iter().position(|&at| at != u32::MAX).map(|array| (array, found[array] as usize)))
}

/// Makes the first entry of `x` NaN if one of the searches has found something.
pub(crate) fn mark<E: Scalar>(cl: &OpenCl<E>, found: &Buf<u32>, x: &mut Buf<E>) {
    if x.len > 0 {
        cl.session.own(x);
        let outcome =
            cl.session.call("mark").buf(found).buf(x).words([found.len]).groups(1, [1, 1]);
        cl.keep(outcome, x);
    }
}

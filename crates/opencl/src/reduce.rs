//! Launchers of reductions, softmax, draws and the search for NaN (`reduce.cl`).

use vivit_tensor::{Buffer, Error, PendingSearch, Reduce, Scalar};

use crate::buffer::Buf;
use crate::device::OpenCl;
use crate::info::Kernels;
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
        Reduce::Product => "product",
    };
    let results = outer * inner;
    let out = cl.session.allocate(results);
    // Neighbours share a work-item where it has a cache of its own, work-items take turns where
    // they read together.
    let share = if cl.kernels == Kernels::Cores { axis.div_ceil(TEAM) } else { 0 };
    let outcome = if axis >= LONG && (inner == 1 || results < MANY) {
        let call = cl
            .call(format!("reduce_long_{name}"))
            .buf(x)
            .buf(&out)
            .words([results, axis, inner, share]);
        call.groups(results, [TEAM, 1])
    } else {
        cl.call(format!("reduce_{name}"))
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
    let call = cl.call("softmax").buf(x).buf(&out).words([outer * inner, axis, inner, 0]);
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
    let call =
        cl.call("draw_one_hot").buf(p).buf(&uniform).buf(&out).words([u.len(), axis, inner, outer]);
    call.flat(u.len()).into(&cl.session, out)
}

fn search_into<E: Scalar>(cl: &OpenCl<E>, x: &Buf<E>, slot: Buf<u32>) -> Outcome {
    let mut parts = x.len.div_ceil(PART).max(1);
    let mut least = if parts == 1 { slot.clone() } else { cl.session.allocate(parts) };
    let share = if cl.kernels == Kernels::Cores { PART } else { 0 };
    let mut outcome =
        cl.call("non_finite").buf(x).buf(&least).words([x.len, parts, share, 0]).flat(parts);
    while parts > 1 && outcome.0.is_ok() {
        let fewer = parts.div_ceil(PART);
        let next = if fewer == 1 { slot.clone() } else { cl.session.allocate(fewer) };
        outcome =
            cl.call("least").buf(&least).buf(&next).words([parts, fewer, PART, 0]).flat(fewer);
        (least, parts) = (next, fewer);
    }
    outcome
}

/// A search that was started: what it finds lies on the device.
#[derive(Debug)]
pub(crate) struct Search<E: Scalar> {
    cl: OpenCl<E>,
    /// Per array the position of its first NaN or infinity, `u32::MAX` where there is none.
    found: Buf<u32>,
}

impl<E: Scalar> Search<E> {
    /// Starts it.
    pub fn start(cl: &OpenCl<E>, arrays: &[Buf<E>]) -> Self {
        let mut found = cl.session.allocate::<u32>(arrays.len());
        for (at, x) in arrays.iter().enumerate() {
            let slot = found.slice(at, 1);
            if let Err(error) = search_into(cl, x, slot).0 {
                found = cl.session.spoiled(found.len, error);
            }
        }
        Search { cl: cl.clone(), found }
    }
}

impl<E: Scalar> PendingSearch for Search<E> {
    fn wait(&self) -> Result<Option<(usize, usize)>, Error> {
        let found = self.cl.session.download(&self.found)?;
        Ok(found.iter().position(|&at| at != u32::MAX).map(|array| (array, found[array] as usize)))
    }

    fn mark(&self, x: &mut Buffer) {
        if x.len() > 0 {
            let (cl, found) = (&self.cl, &self.found);
            cl.write(x, |x| {
                cl.session.own(x);
                let outcome = cl.call("mark").buf(found).buf(x).words([found.len]);
                cl.keep(outcome.groups(1, [1, 1]), x);
            });
        }
    }
}

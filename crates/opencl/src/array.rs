//! Launchers of the copies (`array.cl`), and how strided axes are handed to kernels.

use vivit_tensor::{Scalar, Shape};

use crate::buffer::Buf;
use crate::device::OpenCl;

/// Outer axes that a kernel's vectors have room for. Usual kernels take the last eight and step
/// along seven of them; where there are more, wide ones take all and step along eleven.
const OUTER: usize = 16;
const _: () = assert!(Shape::MAX_RANK <= 12, "kernels take eleven outer axes and an inner one");

/// Whether so many outer axes need a wide kernel, and how its name ends then.
pub(crate) fn width(rank: usize) -> (bool, &'static str) {
    if rank > 7 { (true, "_wide") } else { (false, "") }
}

/// Axes as kernels take them: the innermost apart, the others right-aligned in vectors.
pub(crate) struct Axes<const N: usize> {
    pub inner: (usize, [usize; N]),
    /// Number of outer axes.
    pub rank: usize,
    pub lens: [usize; OUTER],
    pub steps: [[usize; OUTER]; N],
    /// Product of the outer lengths.
    pub rows: usize,
}

impl<const N: usize> Axes<N> {
    pub fn new(axes: &[(usize, [usize; N])]) -> Self {
        let (&inner, outer) = axes.split_last().expect("at least one axis");
        let (mut lens, mut steps) = ([1; OUTER], [[0; OUTER]; N]);
        for (at, &(len, step)) in (OUTER - outer.len()..OUTER).zip(outer) {
            lens[at] = len;
            (0..N).for_each(|i| steps[i][at] = step[i]);
        }
        Axes { inner, rank: outer.len(), lens, steps, rows: lens.iter().product() }
    }
}

pub(crate) fn fill<E: Scalar>(cl: &OpenCl<E>, len: usize, value: f64) -> Buf<E> {
    let out = cl.session.allocate(len);
    cl.call("fill").buf(&out).real(value).words([len]).flat(len).into(&cl.session, out)
}

/// Reads from entry `first` on.
pub(crate) fn copy_strided<E: Scalar>(
    cl: &OpenCl<E>,
    x: &Buf<E>,
    first: usize,
    shape: &Shape,
    strides: &[usize],
) -> Buf<E> {
    let out = cl.session.allocate(shape.size());
    if out.len == 0 {
        return out;
    }
    let last =
        first + shape.iter().zip(strides).map(|(len, stride)| (len - 1) * stride).sum::<usize>();
    assert!(last < x.len, "reading {shape} with strides {strides:?} of {} entries", x.len);
    let Axes { inner: (n, [step]), rank, lens, steps: [steps], rows } =
        Axes::new(&shape.merged_axes([strides]));
    let (wide, suffix) = width(rank);
    let call = cl.call(format!("copy_strided{suffix}")).buf(x).buf(&out);
    let call = call.words([n, step, rows, first]).words([rank]).axes(wide, lens).axes(wide, steps);
    call.rows(n, rows).into(&cl.session, out)
}

pub(crate) fn index_select<E: Scalar>(
    cl: &OpenCl<E>,
    x: &Buf<E>,
    outer: usize,
    axis: usize,
    inner: usize,
    pick: &[usize],
) -> Buf<E> {
    assert!(
        x.len == outer * axis * inner && pick.iter().all(|&at| at < axis),
        "index select of [{outer}, {axis}, {inner}]"
    );
    if let [first, rest @ ..] = pick {
        // Equal steps upwards need no list of indices on the device.
        let step = rest.first().map_or(Some(0), |second| second.checked_sub(*first));
        if let Some(step) =
            step.filter(|&step| pick.windows(2).all(|pair| pair[0] + step == pair[1]))
        {
            let shape = Shape::from([outer, pick.len(), inner]);
            return copy_strided(cl, x, first * inner, &shape, &[axis * inner, step * inner, 1]);
        }
    }
    let out = cl.session.allocate(outer * pick.len() * inner);
    let indices = cl.session.upload(pick.iter().map(|&at| at as u32).collect());
    let call = cl.call("index_select").buf(x).buf(&indices).buf(&out).words([
        inner,
        axis,
        pick.len(),
        outer,
    ]);
    call.rows(inner, pick.len() * outer).into(&cl.session, out)
}

/// The parts side by side: `[outer, l₀]`, `[outer, l₁]`, … to `[outer, l₀ + l₁ + …]`.
pub(crate) fn concat<E: Scalar>(cl: &OpenCl<E>, parts: &[Buf<E>], outer: usize) -> Buf<E> {
    let lens: Vec<usize> = parts.iter().map(|part| part.len / outer.max(1)).collect();
    let total: usize = lens.iter().sum();
    let mut out = cl.session.allocate(outer * total);
    let mut before = 0;
    for (part, &len) in parts.iter().zip(&lens) {
        assert_eq!(part.len, outer * len, "concat of {outer} rows");
        let place = out.slice(before, part.len);
        let outcome = if outer == 1 {
            cl.session.copy(part, &place)
        } else {
            let call = cl.call("place").buf(part).buf(&place).words([len, total, outer, 0]);
            call.rows(len, outer)
        };
        cl.keep(outcome, &mut out);
        before += len;
    }
    out
}

pub(crate) fn row_or_nan<E: Scalar>(
    cl: &OpenCl<E>,
    ids: &Buf<E>,
    rows: usize,
    from_end: bool,
) -> Buf<E> {
    let out = cl.session.allocate(ids.len);
    let call = cl.call("row_or_nan").buf(ids).buf(&out);
    let call = call.words([rows, ids.len, usize::from(from_end), 0]);
    call.flat(ids.len).into(&cl.session, out)
}

pub(crate) fn eye<E: Scalar>(cl: &OpenCl<E>, n: usize) -> Buf<E> {
    let out = cl.session.allocate(n.saturating_mul(n));
    cl.call("eye").buf(&out).words([n]).rows(n, n).into(&cl.session, out)
}

pub(crate) fn one_hot<E: Scalar>(cl: &OpenCl<E>, ids: &Buf<E>, classes: usize) -> Buf<E> {
    let out = cl.session.allocate(ids.len * classes);
    let call = cl.call("one_hot").buf(ids).buf(&out).words([classes, ids.len]);
    call.rows(classes, ids.len).into(&cl.session, out)
}

/// An axis of padding: its length, the zeros in front of it (negative: entries cropped) and the
/// length of the result.
#[derive(Clone, Copy)]
struct Padded {
    from: usize,
    before: isize,
    to: usize,
}

pub(crate) fn pad<E: Scalar>(
    cl: &OpenCl<E>,
    x: &Buf<E>,
    shape: &Shape,
    pads: &[(isize, isize)],
) -> Buf<E> {
    assert!(x.len == shape.size() && pads.len() == shape.rank(), "pad of {shape} by {pads:?}");
    let mut axes: Vec<Padded> = Vec::with_capacity(shape.rank() + 1);
    for (&from, &(before, after)) in shape.iter().zip(pads) {
        let to = usize::try_from(from as isize + before + after).expect("cropped below nothing");
        match axes.last_mut() {
            // An axis that stays as it is joins the one around it.
            Some(outer) if (before, after) == (0, 0) => {
                *outer = Padded {
                    from: outer.from * from,
                    before: outer.before * from as isize,
                    to: outer.to * from,
                };
            }
            _ => axes.push(Padded { from, before, to }),
        }
    }
    let inner = axes.pop().unwrap_or(Padded { from: 1, before: 0, to: 1 });
    let rows: usize = axes.iter().map(|axis| axis.to).product();
    let out = cl.session.allocate(rows * inner.to);
    let (mut lens, mut before, mut from, mut steps) =
        ([1; OUTER], [0; OUTER], [1; OUTER], [0; OUTER]);
    let mut step = inner.from;
    for (at, axis) in (OUTER - axes.len()..OUTER).zip(&axes).rev() {
        (lens[at], before[at], from[at], steps[at]) = (axis.to, axis.before, axis.from, step);
        step *= axis.from;
    }
    let (wide, suffix) = width(axes.len());
    let call = cl.call(format!("pad{suffix}")).buf(x).buf(&out);
    let call = call
        .words([inner.to, inner.from, rows, 0])
        .signed([inner.before])
        .words([axes.len()])
        .axes(wide, lens)
        .signed_axes(wide, before)
        .axes(wide, from)
        .axes(wide, steps);
    call.rows(inner.to, rows).into(&cl.session, out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_innermost_axis_is_apart_from_the_others() {
        let shape = Shape::from([2, 3, 4]);
        let axes = Axes::new(&shape.merged_axes([&[1, 2, 6]]));
        assert_eq!((axes.inner, axes.rank, axes.rows), ((4, [6]), 2, 6));
    }

    #[test]
    fn wide_kernels_are_for_more_axes_than_usual() {
        let names = [1, 7, 8, 11].map(|rank| width(rank).1);
        assert_eq!(names, ["", "", "_wide", "_wide"]);
    }

    #[test]
    fn as_many_axes_as_a_shape_has_fit_into_the_vectors() {
        let shape = Shape::new(&[2; Shape::MAX_RANK]);
        // Reversed axes: none of them merge.
        let strides: Vec<usize> = (0..Shape::MAX_RANK).map(|axis| 1 << axis).collect();
        let axes = Axes::new(&shape.merged_axes([&strides]));
        let outer = Shape::MAX_RANK - 1;
        assert_eq!((axes.inner, axes.rank), ((2, [1 << outer]), outer));
        assert_eq!(axes.rows, shape.size() / 2);
        assert_eq!(axes.lens[OUTER - outer..], shape[1..]);
        assert_eq!(axes.steps[0][OUTER - outer..], strides[..outer]);
        assert!(axes.steps[0][..OUTER - outer].iter().all(|&step| step == 0));
    }
}

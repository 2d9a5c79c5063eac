//! Element-wise maps, reductions and copies.

use rayon::prelude::*;

use super::fill::{CHUNK, filled, wide};
pub(super) use super::kernel::syrk;
use super::kernel::transpose;
use super::pool::Storage;
use super::scalar::CpuScalar;
use super::sum::{fold_lanes, sum_axis};
use crate::{Binary, Reduce, Row, RowVisitor, Shape, Unary};

pub(super) fn unary<E: CpuScalar>(f: Unary, x: &[E]) -> Storage<E> {
    struct Map<'a, E>(&'a [E]);
    impl<E: CpuScalar> RowVisitor for Map<'_, E> {
        type Out = Storage<E>;
        fn visit<R: Row>(self, row: R) -> Storage<E> {
            filled(
                self.0.len(),
                1,
                #[inline(always)]
                |first, out| {
                    let len = out.len();
                    // A loop: a long body in `for_each` would not be inlined.
                    for (out, x) in out.iter_mut().zip(&self.0[first..first + len]) {
                        *out = row.f(*x);
                    }
                },
            )
        }
    }
    f.visit(Map(x))
}

pub(super) fn unary_chain<E: CpuScalar>(f: Unary, x: &[E], y: &[E], mat: &[E]) -> Storage<E> {
    struct Chain<'a, E>(&'a [E], &'a [E], &'a [E]);
    impl<E: CpuScalar> RowVisitor for Chain<'_, E> {
        type Out = Storage<E>;
        fn visit<R: Row>(self, row: R) -> Storage<E> {
            let Chain(x, y, mat) = self;
            filled(
                mat.len(),
                1,
                #[inline(always)]
                |first, out| {
                    let end = first + out.len();
                    let args = x[first..end].iter().zip(&y[first..end]).zip(&mat[first..end]);
                    // A loop: a long body in `for_each` would not be inlined.
                    for (out, ((x, y), m)) in out.iter_mut().zip(args) {
                        *out = *m * row.d1(*x, *y);
                    }
                },
            )
        }
    }
    struct Slopes<'a, E>(&'a [E], &'a [E]);
    impl<E: CpuScalar> RowVisitor for Slopes<'_, E> {
        type Out = Storage<E>;
        fn visit<R: Row>(self, row: R) -> Storage<E> {
            map_pairs(
                self.0,
                self.1,
                #[inline(always)]
                |x, y| row.d1(x, y),
            )
        }
    }
    if mat.len() <= x.len() {
        return f.visit(Chain(x, y, mat));
    }
    // A slope may take much longer than a product: once for all columns.
    let slopes = f.visit(Slopes(x, y));
    filled(
        mat.len(),
        1,
        #[inline(always)]
        |mut first, mut out| {
            // A chunk may cross from one column of the matrix to the next: slopes start over.
            while !out.is_empty() {
                let at = first % slopes.len();
                let len = (slopes.len() - at).min(out.len());
                let (part, rest) = out.split_at_mut(len);
                let args = slopes[at..at + len].iter().zip(&mat[first..first + len]);
                part.iter_mut().zip(args).for_each(|(out, (slope, m))| *out = *m * *slope);
                (first, out) = (first + len, rest);
            }
        },
    )
}

pub(super) fn unary_second<E: CpuScalar>(f: Unary, x: &[E], y: &[E]) -> Storage<E> {
    struct Second<'a, E>(&'a [E], &'a [E]);
    impl<E: CpuScalar> RowVisitor for Second<'_, E> {
        type Out = Storage<E>;
        fn visit<R: Row>(self, row: R) -> Storage<E> {
            map_pairs(
                self.0,
                self.1,
                #[inline(always)]
                |x, y| row.d2(x, y),
            )
        }
    }
    f.visit(Second(x, y))
}

/// `f(x, y)` of arguments and results of a map.
#[inline(always)]
fn map_pairs<E: CpuScalar>(x: &[E], y: &[E], f: impl Fn(E, E) -> E + Sync) -> Storage<E> {
    filled(
        x.len(),
        1,
        #[inline(always)]
        |first, out| {
            let end = first + out.len();
            // A loop: a long body in `for_each` would not be inlined.
            for (out, (x, y)) in out.iter_mut().zip(x[first..end].iter().zip(&y[first..end])) {
                *out = f(*x, *y);
            }
        },
    )
}

/// Calls `run(start of each operand, chunk of the output)` for every run along the innermost of
/// `axes`.
pub(super) fn for_runs<E: CpuScalar, const N: usize>(
    axes: &[(usize, [usize; N])],
    run: impl Fn([usize; N], &mut [E]) + Sync,
) -> Storage<E> {
    let (&(inner, _), outer) = axes.split_last().expect("at least one axis");
    let len = inner * outer.iter().map(|(len, _)| len).product::<usize>();
    filled(
        len,
        inner,
        #[inline(always)]
        |first, out| {
            let mut odometer = Odometer::at(outer, first / inner);
            for out in out.chunks_exact_mut(inner) {
                run(odometer.start, out);
                odometer.advance(outer);
            }
        },
    )
}

/// Where a run starts in each operand, from one run to the next without divisions.
struct Odometer<const N: usize> {
    /// Position on each of the outer axes.
    index: [usize; Shape::MAX_RANK],
    start: [usize; N],
}

impl<const N: usize> Odometer<N> {
    /// At the run of this number.
    fn at(outer: &[(usize, [usize; N])], mut number: usize) -> Self {
        let (mut index, mut start) = ([0; Shape::MAX_RANK], [0; N]);
        for (axis, &(len, step)) in outer.iter().enumerate().rev() {
            index[axis] = number % len;
            number /= len;
            (0..N).for_each(|op| start[op] += index[axis] * step[op]);
        }
        Odometer { index, start }
    }

    #[inline(always)]
    fn advance(&mut self, outer: &[(usize, [usize; N])]) {
        for (axis, &(len, step)) in outer.iter().enumerate().rev() {
            self.index[axis] += 1;
            (0..N).for_each(|op| self.start[op] += step[op]);
            if self.index[axis] < len {
                return;
            }
            self.index[axis] = 0;
            (0..N).for_each(|op| self.start[op] -= len * step[op]);
        }
    }
}

/// Rows and columns from which on matrices are transposed in blocks.
const LEAST: usize = 4;

/// `[*outer, across, down]`, matrices `x: [down, across]` with rows `step` apart, transposed.
fn copy_transposed<E: CpuScalar>(
    x: &[E],
    outer: &[(usize, [usize; 1])],
    [down, across]: [usize; 2],
    step: usize,
) -> Storage<E> {
    let matrices: usize = outer.iter().map(|(len, _)| len).product();
    filled(
        matrices * across * down,
        down,
        #[inline(always)]
        |first, mut out| {
            let mut row = first / down;
            while !out.is_empty() {
                let (mut matrix, col) = (row / across, row % across);
                let cols = (across - col).min(out.len() / down);
                let mut start = col;
                for &(len, [step]) in outer.iter().rev() {
                    start += matrix % len * step;
                    matrix /= len;
                }
                let (part, rest) = out.split_at_mut(cols * down);
                transpose(&x[start..], step, [down, cols], part);
                (row, out) = (row + cols, rest);
            }
        },
    )
}

pub(super) fn copy_strided<E: CpuScalar>(x: &[E], shape: &Shape, strides: &[usize]) -> Storage<E> {
    let axes = shape.merged_axes([strides]);
    if let [outer @ .., (across, [1]), (down, [step])] = &axes[..] {
        if *step > 1 && *across.min(down) >= LEAST {
            return copy_transposed(x, outer, [*down, *across], *step);
        }
    }
    let step = axes[axes.len() - 1].1[0];
    for_runs(
        &axes,
        #[inline(always)]
        |[start], out| copy_run(&x[start..], step, out),
    )
}

/// Entries `step` apart.
#[inline(always)]
pub(super) fn copy_run<E: CpuScalar>(x: &[E], step: usize, out: &mut [E]) {
    match step {
        1 => out.copy_from_slice(&x[..out.len()]),
        0 => out.fill(x[0]),
        _ => out.iter_mut().zip(x.iter().step_by(step)).for_each(|(out, x)| *out = *x),
    }
}

pub(super) fn binary<E: CpuScalar>(
    f: Binary,
    a: (&[E], &Shape),
    b: (&[E], &Shape),
    out: &Shape,
) -> Storage<E> {
    match f {
        Binary::Add => zip(|a, b| a + b, a, b, out),
        Binary::Sub => zip(|a, b| a - b, a, b, out),
        Binary::Mul => zip(|a, b| a * b, a, b, out),
        Binary::Div => zip(|a, b| a / b, a, b, out),
        Binary::Max => zip(larger, a, b, out),
        Binary::Min => zip(smaller, a, b, out),
        Binary::Pow => zip(E::powf, a, b, out),
        Binary::Fmod => zip(|a, b| a % b, a, b, out),
        Binary::Remainder => zip(remainder, a, b, out),
        Binary::PRelu => zip(|a, b| if a > E::zero() { a } else { a * b }, a, b, out),
        Binary::Less => zip(|a, b| one_if(a < b), a, b, out),
        Binary::LessEqual => zip(|a, b| one_if(a <= b), a, b, out),
        Binary::Equal => zip(|a, b| one_if(a == b), a, b, out),
    }
}

/// The larger one. NaN wins, so that it can't hide behind a minimum or a maximum.
#[inline(always)]
fn larger<E: CpuScalar>(a: E, b: E) -> E {
    if (a > b) | a.is_nan() { a } else { b }
}

/// The smaller one; NaN wins.
#[inline(always)]
fn smaller<E: CpuScalar>(a: E, b: E) -> E {
    if (a < b) | a.is_nan() { a } else { b }
}

/// The remainder with the sign of b.
#[inline(always)]
fn remainder<E: CpuScalar>(a: E, b: E) -> E {
    let r = a % b;
    if r != E::zero() && (r < E::zero()) != (b < E::zero()) { r + b } else { r }
}

#[inline(always)]
fn one_if<E: CpuScalar>(holds: bool) -> E {
    if holds { E::one() } else { E::zero() }
}

fn zip<E: CpuScalar>(
    f: impl Fn(E, E) -> E + Sync,
    (a, a_shape): (&[E], &Shape),
    (b, b_shape): (&[E], &Shape),
    out: &Shape,
) -> Storage<E> {
    let axes = out.merged_axes([&a_shape.broadcast_strides(out), &b_shape.broadcast_strides(out)]);
    let step = axes[axes.len() - 1].1;
    // One long run is cut into chunks, so that threads can share it.
    if let [(len, [1, 1])] = axes[..] {
        return filled(
            len,
            1,
            #[inline(always)]
            |first, out| {
                let len = out.len();
                let args = a[first..first + len].iter().zip(&b[first..first + len]);
                out.iter_mut().zip(args).for_each(|(out, (a, b))| *out = f(*a, *b));
            },
        );
    }
    for_runs(
        &axes,
        #[inline(always)]
        |[i, j], out: &mut [E]| match step {
            [1, 1] => {
                let len = out.len();
                let args = a[i..i + len].iter().zip(&b[j..j + len]);
                out.iter_mut().zip(args).for_each(|(out, (a, b))| *out = f(*a, *b));
            }
            [1, 0] => out.iter_mut().zip(&a[i..]).for_each(|(out, a)| *out = f(*a, b[j])),
            [0, 1] => out.iter_mut().zip(&b[j..]).for_each(|(out, b)| *out = f(a[i], *b)),
            [p, q] => out
                .iter_mut()
                .enumerate()
                .for_each(|(at, out)| *out = f(a[i + at * p], b[j + at * q])),
        },
    )
}

pub(super) fn pad<E: CpuScalar>(x: &[E], shape: &Shape, pads: &[(isize, isize)]) -> Storage<E> {
    let rank = shape.rank();
    let padded: Vec<usize> = shape
        .iter()
        .zip(pads)
        .map(|(&len, &(before, after))| {
            usize::try_from(len as isize + before + after).expect("cropped below nothing")
        })
        .collect();
    let strides = shape.strides();
    let inner = if rank == 0 { 1 } else { padded[rank - 1] };
    filled(
        padded.iter().product(),
        inner,
        #[inline(always)]
        |first, out| {
            out.fill(E::zero());
            'rows: for (i, out) in out.chunks_exact_mut(inner.max(1)).enumerate() {
                let (mut at, mut start) = (first / inner + i, 0);
                for axis in (0..rank.saturating_sub(1)).rev() {
                    let from = (at % padded[axis]) as isize - pads[axis].0;
                    at /= padded[axis];
                    if from < 0 || from >= shape[axis] as isize {
                        continue 'rows;
                    }
                    start += from as usize * strides[axis];
                }
                let (before, len) =
                    if rank == 0 { (0, 1) } else { (pads[rank - 1].0, shape[rank - 1]) };
                let (to, skip) = (before.max(0) as usize, (-before).max(0) as usize);
                let copied = inner.saturating_sub(to).min(len.saturating_sub(skip));
                out[to..to + copied].copy_from_slice(&x[start + skip..start + skip + copied]);
            }
        },
    )
}

pub(super) fn reduce<E: CpuScalar>(
    f: Reduce,
    x: &[E],
    outer: usize,
    axis: usize,
    inner: usize,
) -> Storage<E> {
    let shape = [outer, axis, inner];
    match f {
        Reduce::Sum => sum_axis(x, shape, |x| x),
        Reduce::SumSquares => sum_axis(x, shape, |x| x * x),
        Reduce::Min => fold_axis(E::infinity(), smaller, x, shape),
        Reduce::Max => fold_axis(E::neg_infinity(), larger, x, shape),
        Reduce::Product => fold_axis(E::one(), |a, b| a * b, x, shape),
    }
}

/// Folds the middle axis with `f`.
fn fold_axis<E: CpuScalar>(
    empty: E,
    f: impl Fn(E, E) -> E + Sync,
    x: &[E],
    [outer, axis, inner]: [usize; 3],
) -> Storage<E> {
    if inner == 1 {
        return filled(
            outer,
            1,
            #[inline(always)]
            |first, out| {
                for (i, out) in out.iter_mut().enumerate() {
                    *out = fold_run(empty, &f, &x[(first + i) * axis..][..axis]);
                }
            },
        );
    }
    filled(
        outer * inner,
        1,
        #[inline(always)]
        |mut first, mut out| {
            while !out.is_empty() {
                let (o, at) = (first / inner, first % inner);
                let len = (inner - at).min(out.len());
                let (part, rest) = out.split_at_mut(len);
                part.fill(empty);
                for a in 0..axis {
                    let x = &x[(o * axis + a) * inner + at..][..len];
                    part.iter_mut().zip(x).for_each(|(out, x)| *out = f(*out, *x));
                }
                (first, out) = (first + len, rest);
            }
        },
    )
}

/// Folds a contiguous run, when it is long in blocks that threads share: a fixed order.
fn fold_run<E: CpuScalar>(empty: E, f: &(impl Fn(E, E) -> E + Sync), x: &[E]) -> E {
    if x.len() <= CHUNK {
        return fold_lanes(empty, &|x| x, f, x);
    }
    let parts: Vec<E> = x
        .par_chunks(CHUNK)
        .map(|part| {
            wide(
                #[inline(always)]
                || fold_lanes(empty, &|x| x, f, part),
            )
        })
        .collect();
    fold_lanes(empty, &|x| x, f, &parts)
}

/// `[outer, lens[0]]`, `[outer, lens[1]]`, … side by side.
pub(super) fn concat<E: CpuScalar>(parts: &[&[E]], outer: usize) -> Storage<E> {
    let lens: Vec<usize> = parts.iter().map(|part| part.len() / outer.max(1)).collect();
    let total: usize = lens.iter().sum();
    filled(
        outer * total,
        total,
        #[inline(always)]
        |first, out| {
            for (i, mut out) in out.chunks_exact_mut(total.max(1)).enumerate() {
                let row = first / total + i;
                for (part, &len) in parts.iter().zip(&lens) {
                    let (own, rest) = out.split_at_mut(len);
                    own.copy_from_slice(&part[row * len..][..len]);
                    out = rest;
                }
            }
        },
    )
}

/// `y[o, first + i] += x[o, i]`, in parallel over o where there is enough of it.
pub(super) fn add_part<E: CpuScalar>(x: &[E], y: &mut [E], outer: usize, first: usize) {
    if x.is_empty() {
        return;
    }
    let (len, row) = (x.len() / outer, y.len() / outer);
    let add = |(y, x): (&mut [E], &[E])| {
        wide(|| y[first..first + len].iter_mut().zip(x).for_each(|(y, x)| *y += *x));
    };
    if x.len() <= CHUNK {
        y.chunks_exact_mut(row).zip(x.chunks_exact(len)).for_each(add);
    } else {
        let rows = y.par_chunks_exact_mut(row).zip(x.par_chunks_exact(len));
        rows.with_min_len(CHUNK.div_ceil(len)).for_each(add);
    }
}

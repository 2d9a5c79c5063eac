//! Reductions over axes.

use vivit_autodiff::{InputKind, Tape, Var};
use vivit_tensor::Unary;

use crate::graph::call::{Call, Outcome, Outcome1};
use crate::graph::fault::{Fault, ensure};
use crate::graph::value::Array;

fn one(array: Array) -> Outcome {
    Ok(vec![array.into()])
}

/// A function of the entries along one axis.
type AlongAxis = fn(&mut Tape, Var, usize) -> Var;

/// A reduction over one axis, which disappears, and what it makes of nothing.
#[derive(Clone, Copy)]
struct Reduction {
    over: AlongAxis,
    of_nothing: f64,
}

const SUM: Reduction = Reduction { over: Tape::sum, of_nothing: 0.0 };
const MEAN: Reduction = Reduction { over: Tape::mean, of_nothing: f64::NAN };
const MAX: Reduction = Reduction { over: Tape::max, of_nothing: f64::NEG_INFINITY };
const MIN: Reduction = Reduction { over: Tape::min, of_nothing: f64::INFINITY };
const PROD: Reduction = Reduction { over: Tape::prod, of_nothing: 1.0 };
const LOGSUMEXP: Reduction = Reduction { over: Tape::logsumexp, of_nothing: f64::NEG_INFINITY };

/// Which axes an operation reduces, and whether they stay with length one.
struct Axes {
    axes: Vec<usize>,
    keep: bool,
}

impl Call<'_> {
    /// Those that argument 1 or option `axes` names; all where neither is given, none where the
    /// list is empty and option `none_if_empty` says so.
    fn reduced_axes(&mut self, x: Array) -> Result<Axes, Fault> {
        let rank = self.recording.rank(x);
        let given = match self.optional_integers(1)? {
            Some(numbers) => Some(numbers),
            None => self.ints("axes")?,
        };
        let keep = self.flag("keep", true)?;
        let axes = match given {
            Some(numbers) if !numbers.is_empty() => self.axes(&numbers, rank)?,
            _ if self.flag("none_if_empty", false)? => Vec::new(),
            _ => (0..rank).collect(),
        };
        Ok(Axes { axes, keep })
    }

    /// Reduces over axes that lie side by side as over one.
    fn over(&mut self, x: Array, axes: &Axes, reduction: Reduction) -> Outcome1 {
        let mut x = self.recording.settled(x);
        let shape = self.shape(x);
        let mut left = shape.clone();
        for &axis in &axes.axes {
            left[axis] = 1;
        }
        if shape.contains(&0) {
            let size = left.iter().product();
            // Of truth values the largest is 1, the smallest 0.
            let bounds = if x.kind == InputKind::Bool {
                [0.0, 1.0]
            } else {
                [f64::NEG_INFINITY, f64::INFINITY]
            };
            let value = reduction.of_nothing.clamp(bounds[0], bounds[1]);
            let filled = self.recording.host_array(&left, vec![value; size], x.kind)?;
            let kept =
                left.iter().enumerate().filter(|(at, _)| axes.keep || !axes.axes.contains(at));
            let kept: Vec<usize> = kept.map(|(_, &len)| len).collect();
            return Ok(self.recording.reshape(filled, &kept));
        }
        // From the last run of axes to the first, so that earlier axes keep their places.
        let mut end = axes.axes.len();
        while end > 0 {
            let mut first = end - 1;
            while first > 0 && axes.axes[first - 1] + 1 == axes.axes[first] {
                first -= 1;
            }
            let (axis, after) = (axes.axes[first], axes.axes[end - 1] + 1);
            let own = self.shape(x);
            let merged: usize = own[axis..after].iter().product();
            let flat = [&own[..axis], &[merged], &own[after..]].concat();
            x = self.recording.reshape(x, &flat);
            let at = axis + self.lead(x);
            let var = (reduction.over)(self.tape(x), x.var, at);
            x = Array { var, ..x };
            end = first;
        }
        if axes.keep {
            x = self.recording.reshape(x, &left);
        }
        Ok(x)
    }

    /// The mean over the axes from one on, which stay with length one.
    pub(super) fn mean_from(&mut self, x: Array, axis: usize) -> Outcome1 {
        let axes = (axis..self.recording.rank(x)).collect();
        self.over(x, &Axes { axes, keep: true }, MEAN)
    }

    fn reduction(&mut self, reduction: Reduction) -> Outcome {
        let x = self.array(0)?;
        let axes = self.reduced_axes(x)?;
        one(self.over(x, &axes, reduction)?)
    }

    /// `after(Σ before(x))`
    fn summed(&mut self, before: Option<Unary>, after: Option<Unary>) -> Outcome {
        let mut x = self.array(0)?;
        let axes = self.reduced_axes(x)?;
        if let Some(before) = before {
            x = self.map(before, x);
        }
        let sum = self.over(x, &axes, SUM)?;
        one(match after {
            Some(after) => self.map(after, sum),
            None => sum,
        })
    }

    /// The place of an extreme entry along an axis.
    fn place_of(&mut self, find: AlongAxis) -> Outcome {
        let mut x = self.array(0)?;
        let mut shape = self.shape(x);
        let axis = self.axis(self.int("axis", 0)?, shape.len())?;
        ensure!(shape[axis] > 0, "there is no entry along axis {axis} of {shape:?}");
        let last = self.flag("last", false)?;
        let len = shape[axis];
        if last {
            let entries: Vec<usize> = (0..len).rev().collect();
            x = self.picked(x, axis, &entries)?;
        }
        let at = axis + self.lead(x);
        let var = find(self.tape(x), x.var, at);
        let mut found = Array { var, kind: InputKind::Integer, ..x };
        if last {
            let end = self.recording.host_array(&[], vec![(len - 1) as f64], found.kind)?;
            found = Array { kind: found.kind, ..self.pair(end, found, Tape::sub)? };
        }
        shape[axis] = 1;
        if !self.flag("keep", true)? {
            shape.remove(axis);
        }
        one(self.recording.reshape(found, &shape))
    }
}

pub(super) fn sum(call: &mut Call<'_>) -> Outcome {
    call.reduction(SUM)
}

pub(super) fn mean(call: &mut Call<'_>) -> Outcome {
    call.reduction(MEAN)
}

pub(super) fn max(call: &mut Call<'_>) -> Outcome {
    call.reduction(MAX)
}

pub(super) fn min(call: &mut Call<'_>) -> Outcome {
    call.reduction(MIN)
}

pub(super) fn prod(call: &mut Call<'_>) -> Outcome {
    call.reduction(PROD)
}

pub(super) fn norm1(call: &mut Call<'_>) -> Outcome {
    call.summed(Some(Unary::Abs), None)
}

pub(super) fn norm2(call: &mut Call<'_>) -> Outcome {
    call.summed(Some(Unary::Square), Some(Unary::Sqrt))
}

pub(super) fn sum_squares(call: &mut Call<'_>) -> Outcome {
    call.summed(Some(Unary::Square), None)
}

pub(super) fn log_sum(call: &mut Call<'_>) -> Outcome {
    call.summed(None, Some(Unary::Ln))
}

impl Call<'_> {
    /// Over all axes behind `[N, C]`, which stay with length one.
    fn over_planes(&mut self, x: Array, reduction: Reduction) -> Outcome1 {
        let rank = self.recording.rank(x);
        ensure!(rank > 2, "[N, C, *] is needed, got {:?}", self.shape(x));
        self.over(x, &Axes { axes: (2..rank).collect(), keep: true }, reduction)
    }
}

/// The mean of each plane.
pub(super) fn global_avg_pool(call: &mut Call<'_>) -> Outcome {
    let x = call.array(0)?;
    one(call.over_planes(x, MEAN)?)
}

/// The largest entry of each plane.
pub(super) fn global_max_pool(call: &mut Call<'_>) -> Outcome {
    let x = call.array(0)?;
    one(call.over_planes(x, MAX)?)
}

/// The p-norm of each plane.
pub(super) fn global_lp_pool(call: &mut Call<'_>) -> Outcome {
    let (x, p) = (call.array(0)?, call.size("p", 2)?);
    let powers = call.powers(x, p)?;
    let sum = call.over_planes(powers, SUM)?;
    one(call.root(sum, p))
}

impl Call<'_> {
    /// `|x|^p`
    pub(super) fn powers(&mut self, x: Array, p: usize) -> Outcome1 {
        ensure!(p > 0, "option \"p\" must be at least 1");
        if p == 2 {
            return Ok(self.map(Unary::Square, x));
        }
        let size = self.map(Unary::Abs, x);
        Ok(if p == 1 { size } else { self.map(Unary::Powf(p as f64), size) })
    }

    /// `x^(1/p)`
    pub(super) fn root(&mut self, x: Array, p: usize) -> Array {
        match p {
            1 => x,
            2 => self.map(Unary::Sqrt, x),
            _ => self.map(Unary::Powf(1.0 / p as f64), x),
        }
    }
}

/// The variance: divided by the number of entries less `correction`.
pub(super) fn variance(call: &mut Call<'_>) -> Outcome {
    let x = call.array(0)?;
    let axes = call.reduced_axes(x)?;
    let shape = call.shape(x);
    let entries: usize = axes.axes.iter().map(|&axis| shape[axis]).product();
    let left = entries as f64 - call.float("correction", 1.0)?;
    ensure!(left > 0.0, "the variance of {entries} entries is not defined");
    let kept = Axes { axes: axes.axes.clone(), keep: true };
    let mean = call.over(x, &kept, MEAN)?;
    let centred = call.pair(x, mean, Tape::sub)?;
    let squares = call.map(Unary::Square, centred);
    let sum = call.over(squares, &axes, SUM)?;
    one(call.map(Unary::Scale(1.0 / left), sum))
}

pub(super) fn logsumexp(call: &mut Call<'_>) -> Outcome {
    call.reduction(LOGSUMEXP)
}

pub(super) fn argmax(call: &mut Call<'_>) -> Outcome {
    call.place_of(Tape::argmax)
}

pub(super) fn argmin(call: &mut Call<'_>) -> Outcome {
    call.place_of(Tape::argmin)
}

/// Running sums along the axis of argument 1.
pub(super) fn cumsum(call: &mut Call<'_>) -> Outcome {
    let (x, number) = (call.array(0)?, call.integer(1)?);
    let axis = call.axis(number, call.recording.rank(x))?;
    let (exclusive, reverse) = (call.flag("exclusive", false)?, call.flag("reverse", false)?);
    let at = axis + call.lead(x);
    let var = call.tape(x).cumsum(x.var, at, exclusive, reverse);
    one(Array { var, ..x })
}

/// Probabilities along an axis.
pub(super) fn softmax(call: &mut Call<'_>) -> Outcome {
    call.along_axis(Tape::softmax)
}

pub(super) fn log_softmax(call: &mut Call<'_>) -> Outcome {
    call.along_axis(Tape::log_softmax)
}

impl Call<'_> {
    fn along_axis(&mut self, f: AlongAxis) -> Outcome {
        let x = self.array(0)?;
        let shape = self.shape(x);
        let number = self.int("axis", -1)?;
        // With option `flat`, all axes from there on are one.
        let (axis, flat) = (self.axis(number, shape.len())?, self.flag("flat", false)?);
        ensure!(!shape.contains(&0), "an array of shape {shape:?} has no entries");
        let x = if flat {
            let last = shape[axis..].iter().product();
            self.recording.reshape(x, &[&shape[..axis], &[last]].concat())
        } else {
            x
        };
        let at = axis + self.lead(x);
        let var = f(self.tape(x), x.var, at);
        let result = self.float_of(var, x);
        one(self.recording.reshape(result, &shape))
    }
}

/// `x / max(‖x‖_p, epsilon)` along an axis.
pub(super) fn lp_normalize(call: &mut Call<'_>) -> Outcome {
    let x = call.array(0)?;
    let axis = call.axis(call.int("axis", -1)?, call.recording.rank(x))?;
    let axes = Axes { axes: vec![axis], keep: true };
    // A bound on what the root is taken of keeps the derivative of a zero vector finite.
    let (p, least) = (call.size("p", 2)?, call.float("epsilon", 1e-12)?);
    ensure!(least > 0.0, "option \"epsilon\" must be above 0, got {least}");
    let powers = call.powers(x, p)?;
    let sum = call.over(powers, &axes, SUM)?;
    let sum = call.map(Unary::HardTanh(least.powi(p as i32), f64::INFINITY), sum);
    let norm = call.root(sum, p);
    one(call.pair(x, norm, Tape::div)?)
}

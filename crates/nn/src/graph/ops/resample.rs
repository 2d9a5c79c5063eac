//! Padding, and planes of other sizes.

use vivit_autodiff::ops::{Coordinates, Interpolation, Nearest, ResizeOptions};

use crate::graph::call::{Call, Outcome, Outcome1};
use crate::graph::fault::{Fault, ensure, fault};
use crate::graph::value::Array;

fn one(array: Array) -> Outcome {
    Ok(vec![array.into()])
}

/// Around all axes, or those of argument 3: the numbers before each of them, then those behind.
/// Negative ones crop. Argument 2 is the constant.
pub(super) fn pad(call: &mut Call<'_>) -> Outcome {
    let (mut x, pads) = (call.array(0)?, call.integers(1)?);
    let value = call.optional_number(2)?.unwrap_or(0.0);
    let shape = call.shape(x);
    let axes = match call.optional_integers(3)? {
        Some(numbers) => numbers
            .iter()
            .map(|&number| call.axis(number, shape.len()))
            .collect::<Result<Vec<_>, Fault>>()?,
        None => (0..shape.len()).collect(),
    };
    ensure!(
        pads.len() == 2 * axes.len(),
        "two numbers per axis are needed for {} axes, got {pads:?}",
        axes.len()
    );
    let mode = call.text("mode", "constant")?.to_string();
    for (at, &axis) in axes.iter().enumerate() {
        let (before, behind) = (pads[at], pads[axes.len() + at]);
        x = call.padded_axis(x, axis, [before, behind], &mode, value)?;
    }
    one(x)
}

impl Call<'_> {
    pub(super) fn padded_axis(
        &mut self,
        x: Array,
        axis: usize,
        [before, behind]: [i64; 2],
        mode: &str,
        value: f64,
    ) -> Outcome1 {
        let mut shape = self.shape(x);
        let len = shape[axis] as i64;
        let crop = |pad: i64| pad.min(0).saturating_neg();
        let (first, end) = (crop(before), len.saturating_sub(crop(behind)));
        ensure!(
            first < end || (len == 0 && first == end),
            "nothing is left of {len} entries of axis {axis} with padding [{before}, {behind}]"
        );
        let x = self.part(x, axis, first as usize, end as usize)?;
        let (before, behind) = (before.max(0) as usize, behind.max(0) as usize);
        if (before, behind) == (0, 0) {
            return Ok(x);
        }
        let left = (end - first) as usize;
        shape[axis] = left.saturating_add(before).saturating_add(behind);
        self.recording.check_shape(&shape)?;
        ensure!(left > 0, "an axis without entries can't be padded");
        match mode {
            "constant" => {}
            "reflect" => ensure!(
                before < left && behind < left,
                "an axis of {left} entries can't be mirrored by [{before}, {behind}]"
            ),
            "edge" | "wrap" => {}
            other => fault!(
                "option \"mode\" must be \"constant\", \"reflect\", \"edge\" or \"wrap\", got \
                 {other:?}"
            ),
        }
        let mut pads = vec![(0, 0); shape.len() - axis];
        pads[0] = (before, behind);
        let tape = self.tape(x);
        let var = match mode {
            "reflect" => tape.reflect_pad(x.var, &pads),
            "edge" => tape.replicate_pad(x.var, &pads),
            "wrap" => tape.circular_pad(x.var, &pads),
            _ => {
                let pads: Vec<(isize, isize)> =
                    pads.iter().map(|&(a, b)| (a as isize, b as isize)).collect();
                tape.constant_pad(x.var, &pads, value)
            }
        };
        Ok(Array { var, ..x })
    }

    fn coordinates(&self) -> Result<Coordinates, Fault> {
        Ok(match self.text("coordinates", "half_pixel")? {
            "half_pixel" => Coordinates::HalfPixel,
            "pytorch_half_pixel" => Coordinates::PytorchHalfPixel,
            "align_corners" => Coordinates::AlignCorners,
            "asymmetric" => Coordinates::Asymmetric,
            other => fault!(
                "option \"coordinates\" must be \"half_pixel\", \"pytorch_half_pixel\", \
                 \"align_corners\" or \"asymmetric\", got {other:?}"
            ),
        })
    }

    fn interpolation(&self) -> Result<Interpolation, Fault> {
        Ok(match self.text("mode", "nearest")? {
            "nearest" => {
                Interpolation::Nearest(match self.text("nearest", "round_prefer_floor")? {
                    "round_prefer_floor" => Nearest::RoundPreferFloor,
                    "round_prefer_ceil" => Nearest::RoundPreferCeil,
                    "floor" => Nearest::Floor,
                    "ceil" => Nearest::Ceil,
                    other => fault!(
                        "option \"nearest\" must be \"round_prefer_floor\", \"round_prefer_ceil\", \
                         \"floor\" or \"ceil\", got {other:?}"
                    ),
                })
            }
            "linear" => Interpolation::Linear,
            "cubic" => Interpolation::Cubic(self.float("cubic", -0.75)?),
            other => fault!(
                "option \"mode\" must be \"nearest\", \"linear\" or \"cubic\", got {other:?}"
            ),
        })
    }
}

/// The last axes resized: x, scales, lengths, of which one is given; all axes or those of option
/// `axes`.
pub(super) fn resize(call: &mut Call<'_>) -> Outcome {
    let x = call.array(0)?;
    let shape = call.shape(x);
    let axes = match call.ints("axes")? {
        Some(numbers) => numbers
            .iter()
            .map(|&number| call.axis(number, shape.len()))
            .collect::<Result<Vec<_>, Fault>>()?,
        None => (0..shape.len()).collect(),
    };
    let mut output = shape.clone();
    let mut scales = vec![1.0; shape.len()];
    let given = match call.optional(1)? {
        Some(given) => call.recording.numbers(given),
        None => None,
    };
    let given = given.filter(|given| !given.is_empty());
    let lengths = call.optional_integers(2)?.filter(|lengths| !lengths.is_empty());
    let counted = given.as_ref().map_or(0, Vec::len) + lengths.as_ref().map_or(0, Vec::len);
    ensure!(
        counted == axes.len(),
        "one scale or length for each of {} axes is needed, got {counted}",
        axes.len()
    );
    for (at, &axis) in axes.iter().enumerate() {
        if let Some(lengths) = &lengths {
            let len = usize::try_from(lengths[at]).ok().filter(|&len| len > 0);
            let Some(len) = len else { fault!("lengths must be at least 1, got {lengths:?}") };
            output[axis] = len;
            scales[axis] = len as f64 / shape[axis] as f64;
        } else if let Some(given) = &given {
            let len = (shape[axis] as f64 * given[at]).floor();
            ensure!(
                given[at] > 0.0 && (1.0..1e15).contains(&len),
                "scales must leave at least one entry, got {given:?} for {shape:?}"
            );
            output[axis] = len as usize;
            scales[axis] = given[at];
        }
    }
    ensure!(!shape.contains(&0), "an array of shape {shape:?} has no entries");
    call.recording.check_shape(&output)?;
    // Axes in front that stay as they are take no part.
    let first = (0..shape.len()).find(|&axis| output[axis] != shape[axis]).unwrap_or(shape.len());
    if first == shape.len() {
        return one(x);
    }
    let scales = given.is_some().then(|| scales[first..].to_vec());
    let options = ResizeOptions::default()
        .interpolation(call.interpolation()?)
        .coordinates(call.coordinates()?)
        .scales(scales);
    let var = call.tape(x).resize(x.var, &output[first..], &options);
    one(Array { var, ..x })
}

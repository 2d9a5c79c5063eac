//! Shapes: what they are, and the same numbers in others.

use vivit_autodiff::InputKind;

use crate::graph::call::{Call, Outcome, Outcome1};
use crate::graph::fault::{Fault, ensure, fault};
use crate::graph::value::{Array, Place, Value};

fn one(array: Array) -> Outcome {
    Ok(vec![array.into()])
}

impl Call<'_> {
    fn host_integers(&mut self, numbers: &[usize]) -> Outcome1 {
        let shape = [numbers.len()];
        let numbers = numbers.iter().map(|&number| number as f64).collect();
        self.recording.host_array(&shape, numbers, InputKind::Integer)
    }

    /// The array repeated along axes of length one, and along new ones in front.
    pub(super) fn repeated_to(&mut self, x: Array, shape: &[usize]) -> Outcome1 {
        let x = self.recording.settled(x);
        let own = self.shape(x);
        if own == shape {
            return Ok(x);
        }
        self.recording.check_shape(shape)?;
        let fits = own.len() <= shape.len()
            && own.iter().zip(&shape[shape.len() - own.len()..]).all(|(a, b)| a == b || *a == 1);
        ensure!(fits, "shape {own:?} does not repeat to {shape:?}");
        if shape.contains(&0) {
            return self.recording.host_array(shape, Vec::new(), x.kind);
        }
        if x.place == Place::Host {
            let numbers = self.recording.repeated(x, shape);
            return self.recording.host_array(shape, numbers, x.kind);
        }
        let mut longer = vec![1; shape.len() - own.len()];
        longer.extend(own);
        let x = self.recording.reshape(x, &longer);
        let var = self.tape(x).broadcast(x.var, shape);
        Ok(Array { var, ..x })
    }
}

/// Lengths that integers are, at least 0.
fn lengths(numbers: &[i64]) -> Result<Vec<usize>, Fault> {
    let sizes: Option<Vec<usize>> =
        numbers.iter().map(|&number| usize::try_from(number).ok()).collect();
    sizes.ok_or_else(|| Fault(format!("lengths must be at least 0, got {numbers:?}")))
}

pub(super) fn identity(call: &mut Call<'_>) -> Outcome {
    match call.args.first().cloned().flatten() {
        Some(value) => Ok(vec![value]),
        None => fault!("argument 0 is missing"),
    }
}

/// x, as dropout in evaluation mode leaves it: x, ratio, whether to train.
pub(super) fn dropout(call: &mut Call<'_>) -> Outcome {
    if let Some(training) = call.optional(2)? {
        let known = call.recording.numbers(training);
        ensure!(
            known.is_some_and(|truth| truth.iter().all(|&truth| truth == 0.0)),
            "dropout in training mode is not supported; export the model in evaluation mode \
             (`model.eval()`)"
        );
    }
    let x = call.array(0)?;
    one(x)
}

/// The lengths of the axes from `start` to before `end`.
pub(super) fn shape(call: &mut Call<'_>) -> Outcome {
    let x = call.array(0)?;
    let shape = call.shape(x);
    let signed = shape.len() as i64;
    let clamped = |at: i64| (if at < 0 { at + signed } else { at }).clamp(0, signed) as usize;
    let first = clamped(call.int("start", 0)?);
    let end = clamped(call.int("end", signed)?);
    let part = shape.get(first..end.max(first)).unwrap_or_default();
    one(call.host_integers(part)?)
}

/// The number of entries.
pub(super) fn size(call: &mut Call<'_>) -> Outcome {
    let x = call.array(0)?;
    let entries: usize = call.shape(x).iter().product();
    one(call.recording.host_array(&[], vec![entries as f64], InputKind::Integer)?)
}

/// To lengths of which one may be −1, whatever is left; with 0 for the same as before, unless
/// `zero` says that 0 means 0.
pub(super) fn reshape(call: &mut Call<'_>) -> Outcome {
    let (x, target) = (call.array(0)?, call.integers(1)?);
    let shape = call.shape(x);
    let entries: usize = shape.iter().product();
    let zero = call.flag("zero", false)?;
    let mut free = None;
    let mut lens = Vec::with_capacity(target.len());
    for (at, &len) in target.iter().enumerate() {
        lens.push(match len {
            -1 => {
                ensure!(free.is_none(), "two lengths of {target:?} are left open");
                free = Some(at);
                1
            }
            0 if !zero => match shape.get(at) {
                Some(&len) => len,
                None => fault!("length {at} of {target:?} is that of {shape:?}, which has none"),
            },
            len => match usize::try_from(len) {
                Ok(len) => len,
                Err(_) => fault!("lengths must be at least −1, got {target:?}"),
            },
        });
    }
    let known = lens.iter().try_fold(1usize, |size, &len| size.checked_mul(len));
    if let (Some(at), Some(known)) = (free, known) {
        ensure!(
            known > 0 && entries % known == 0,
            "{entries} entries of shape {shape:?} can't be reshaped to {target:?}"
        );
        lens[at] = entries / known;
    }
    let size = lens.iter().try_fold(1usize, |size, &len| size.checked_mul(len));
    ensure!(
        size == Some(entries),
        "{entries} entries of shape {shape:?} can't be reshaped to {target:?}"
    );
    call.recording.check_shape(&lens)?;
    one(call.recording.reshape(x, &lens))
}

/// All axes before `axis` in one, and all from there on.
pub(super) fn flatten(call: &mut Call<'_>) -> Outcome {
    let x = call.array(0)?;
    let shape = call.shape(x);
    let number = call.int("axis", 1)?;
    let axis = if number == shape.len() as i64 {
        shape.len()
    } else {
        call.axis(number, shape.len().max(1))?
    };
    let [rows, columns] = [&shape[..axis], &shape[axis..]].map(|part| part.iter().product());
    one(call.recording.reshape(x, &[rows, columns]))
}

/// Without the named axes of length one, or without all of them.
pub(super) fn squeeze(call: &mut Call<'_>) -> Outcome {
    let x = call.array(0)?;
    let shape = call.shape(x);
    let axes = match call.optional_integers(1)? {
        Some(numbers) => call.axes(&numbers, shape.len())?,
        None => (0..shape.len()).filter(|&axis| shape[axis] == 1).collect(),
    };
    for &axis in &axes {
        ensure!(shape[axis] == 1, "axis {axis} of {shape:?} does not have length 1");
    }
    let left: Vec<usize> =
        (0..shape.len()).filter(|axis| !axes.contains(axis)).map(|axis| shape[axis]).collect();
    one(call.recording.reshape(x, &left))
}

/// With axes of length one, which the numbers name in the result.
pub(super) fn unsqueeze(call: &mut Call<'_>) -> Outcome {
    let (x, numbers) = (call.array(0)?, call.integers(1)?);
    let shape = call.shape(x);
    let axes = call.axes(&numbers, shape.len() + numbers.len())?;
    let mut rest = shape.iter();
    let longer: Vec<usize> = (0..shape.len() + axes.len())
        .map(|axis| if axes.contains(&axis) { 1 } else { *rest.next().unwrap_or(&1) })
        .collect();
    call.recording.check_shape(&longer)?;
    one(call.recording.reshape(x, &longer))
}

/// The axes in the order `order`, or reversed.
pub(super) fn transpose(call: &mut Call<'_>) -> Outcome {
    let Some(x) = call.raw(0)? else { fault!("argument 0 is missing") };
    let rank = call.recording.rank(x);
    let order = match call.ints("order")? {
        None => (0..rank).rev().collect(),
        Some(numbers) => {
            let order = numbers
                .iter()
                .map(|&number| call.axis(number, rank))
                .collect::<Result<Vec<_>, Fault>>()?;
            let mut sorted = order.clone();
            sorted.sort_unstable();
            ensure!(
                sorted.iter().copied().eq(0..rank),
                "option \"order\" must name each of {rank} axes once, got {numbers:?}"
            );
            order
        }
    };
    // A linear layer's weight reaches its product as it is.
    if order == [1, 0] && x.place == Place::Device && !call.recording.is_batched(x) {
        return one(Array { turned: !x.turned, ..x });
    }
    one(call.recording.permute(x, &order))
}

/// Repeats along axes of length one, both ways: the shape is what both have in common.
pub(super) fn expand(call: &mut Call<'_>) -> Outcome {
    let (x, target) = (call.array(0)?, call.integers(1)?);
    let own = call.shape(x);
    // −1 leaves a length as it is.
    let offset = target.len().saturating_sub(own.len());
    let kept: Vec<i64> = target
        .iter()
        .enumerate()
        .map(|(at, &len)| if len == -1 && at >= offset { own[at - offset] as i64 } else { len })
        .collect();
    let shape = crate::graph::recording::broadcast(&[own, lengths(&kept)?])?;
    one(call.repeated_to(x, &shape)?)
}

/// An array filled with one number.
pub(super) fn fill(call: &mut Call<'_>) -> Outcome {
    let shape = lengths(&call.integers(0)?)?;
    let (value, kind) = match call.option_number("value")? {
        Some(number) => number,
        None => (0.0, InputKind::Float),
    };
    call.recording.check_shape(&shape)?;
    let numbers = vec![value; shape.iter().product()];
    one(call.recording.host_array(&shape, numbers, kind)?)
}

impl Call<'_> {
    /// A number, and its kind as JSON tells it.
    fn option_number(&self, name: &str) -> Result<Option<(f64, InputKind)>, Fault> {
        if let Some(flag) = self.node.attributes.get(name).and_then(|value| value.as_bool()) {
            return Ok(Some((f64::from(u8::from(flag)), InputKind::Bool)));
        }
        let whole = self.node.attributes.get(name).is_some_and(|value| value.is_i64());
        let kind = if whole { InputKind::Integer } else { InputKind::Float };
        Ok(self.optional_float(name)?.map(|number| (number, kind)))
    }
}

/// `start, start + step, …`, before `end`.
pub(super) fn range(call: &mut Call<'_>) -> Outcome {
    let mut bounds = [0.0; 3];
    let mut kind = InputKind::Integer;
    for (at, bound) in bounds.iter_mut().enumerate() {
        let Some(number) = call.optional_number(at)? else { fault!("argument {at} is missing") };
        *bound = number;
        if call.array(at)?.kind == InputKind::Float {
            kind = InputKind::Float;
        }
    }
    let [start, end, step] = bounds;
    ensure!(step != 0.0 && step.is_finite(), "the step must not be {step}");
    let steps = ((end - start) / step).ceil().max(0.0);
    ensure!(steps < 1e15, "{start} to {end} in steps of {step} are too many numbers");
    let len = steps as usize;
    call.recording.check_shape(&[len])?;
    let numbers = (0..len).map(|at| start + at as f64 * step).collect();
    one(call.recording.host_array(&[len], numbers, kind)?)
}

pub(super) fn concat(call: &mut Call<'_>) -> Outcome {
    let parts = call.arrays()?;
    one(call.concatenated(parts)?)
}

impl Call<'_> {
    /// Arrays side by side along the axis of option `axis`.
    pub(super) fn concatenated(&mut self, parts: Vec<Array>) -> Outcome1 {
        let Some(&first) = parts.first() else { fault!("there is nothing to concatenate") };
        let rank = self.recording.rank(first);
        let axis = self.axis(self.int("axis", 0)?, rank)?;
        self.joined(parts, axis)
    }

    /// Lengths of the parts into which an axis is split.
    fn split_lengths(&mut self, len: usize, at: usize) -> Result<Vec<usize>, Fault> {
        if let Some(numbers) = self.optional_integers(at)? {
            if let ([number], true) = (&numbers[..], self.flag("chunks", false)?) {
                let size = usize::try_from(*number).ok().filter(|&size| size > 0);
                let Some(size) = size else { fault!("the parts' length must be at least 1") };
                let starts = (0..len).step_by(size);
                return Ok(starts.map(|start| size.min(len - start)).collect());
            }
            let lens = lengths(&numbers)?;
            let whole = lens.iter().fold(0usize, |sum, &part| sum.saturating_add(part));
            ensure!(whole == len, "parts of {numbers:?} do not make {len} entries");
            return Ok(lens);
        }
        let parts = self.size("parts", self.node.outputs.len())?;
        ensure!(parts > 0, "option \"parts\" must be at least 1");
        ensure!(parts <= len.max(1), "an axis of {len} entries can't be split into {parts} parts");
        let size = len.div_ceil(parts);
        Ok((0..parts).map(|part| size.min(len.saturating_sub(part * size))).collect())
    }

    fn parts_of(&mut self, x: Array) -> Result<Vec<Array>, Fault> {
        let shape = self.shape(x);
        let axis = self.axis(self.int("axis", 0)?, shape.len())?;
        let lens = self.split_lengths(shape[axis], 1)?;
        let mut first = 0;
        let mut parts = Vec::with_capacity(lens.len());
        for len in lens {
            parts.push(self.part(x, axis, first, first + len)?);
            first += len;
        }
        Ok(parts)
    }
}

/// Parts of an axis: of the lengths of argument 1, or as many equal ones as there are results (the
/// last may be shorter).
pub(super) fn split(call: &mut Call<'_>) -> Outcome {
    let x = call.array(0)?;
    Ok(call.parts_of(x)?.into_iter().map(Value::from).collect())
}

/// As [`split`], to one list; without lengths, single entries, whose axis disappears unless `keep`.
pub(super) fn split_to_list(call: &mut Call<'_>) -> Outcome {
    let x = call.array(0)?;
    let shape = call.shape(x);
    let axis = call.axis(call.int("axis", 0)?, shape.len())?;
    let given = call.optional_integers(1)?;
    let parts = if given.is_some() || call.node.attributes.contains_key("parts") {
        call.parts_of(x)?
    } else {
        (0..shape[axis]).map(|at| call.part(x, axis, at, at + 1)).collect::<Result<_, _>>()?
    };
    if given.is_some() || call.flag("keep", true)? {
        return Ok(vec![Value::List(parts)]);
    }
    let mut thin = shape;
    thin.remove(axis);
    let parts = parts.into_iter().map(|part| call.recording.reshape(part, &thin)).collect();
    Ok(vec![Value::List(parts)])
}

/// Entries from `starts` to before `ends` along `axes`, `steps` apart; bounds beyond an axis end
/// with it.
pub(super) fn slice(call: &mut Call<'_>) -> Outcome {
    let mut x = call.array(0)?;
    let (starts, ends) = (call.integers(1)?, call.integers(2)?);
    let shape = call.shape(x);
    let axes = match call.optional_integers(3)? {
        Some(axes) => axes,
        None => (0..starts.len() as i64).collect(),
    };
    let steps = call.optional_integers(4)?.unwrap_or_else(|| vec![1; starts.len()]);
    let counts = [ends.len(), axes.len(), steps.len()];
    ensure!(
        counts.iter().all(|&count| count == starts.len()),
        "starts {starts:?}, ends {ends:?}, axes {axes:?} and steps {steps:?} differ in number"
    );
    call.axes(&axes, shape.len())?;
    for at in 0..starts.len() {
        let axis = call.axis(axes[at], shape.len())?;
        let picked = picked(shape[axis], starts[at], ends[at], steps[at])?;
        x = call.strided(x, axis, picked)?;
    }
    one(x)
}

/// Entries of an axis: the first, how far apart, how many.
#[derive(Clone, Copy)]
struct Picked {
    first: usize,
    step: isize,
    len: usize,
}

/// The entries of an axis that a slice names, as NumPy and ONNX count them.
fn picked(len: usize, start: i64, end: i64, step: i64) -> Result<Picked, Fault> {
    ensure!(step != 0, "a step must not be 0");
    let signed = len as i64;
    let from_end = |at: i64| if at < 0 { at.saturating_add(signed) } else { at };
    let bounds = if step > 0 { (0, signed) } else { (-1, signed - 1) };
    let [first, end] = [start, end].map(|at| from_end(at).clamp(bounds.0, bounds.1));
    let room = if step > 0 { end - first } else { first - end };
    let by = step.unsigned_abs();
    let len = if room > 0 { (room as u64).div_ceil(by) as usize } else { 0 };
    // A step beyond the axis names its first entry only.
    let step = isize::try_from(step).ok().filter(|_| len > 1).unwrap_or(1);
    Ok(Picked { first: first.max(0) as usize, step, len })
}

impl Call<'_> {
    fn strided(&mut self, x: Array, axis: usize, picked: Picked) -> Outcome1 {
        let Picked { first, step, len } = picked;
        if step == 1 || len == 0 {
            return self.part(x, axis, first, first + len);
        }
        let x = self.recording.settled(x);
        let at = axis + self.lead(x);
        let var = self.tape(x).slice_by(x.var, at, first, step, len);
        Ok(Array { var, ..x })
    }

    /// Chosen entries of an axis.
    pub(super) fn picked(&mut self, x: Array, axis: usize, entries: &[usize]) -> Outcome1 {
        let x = self.recording.settled(x);
        let mut shape = self.shape(x);
        if entries.iter().copied().eq(0..shape[axis]) {
            return Ok(x);
        }
        shape[axis] = entries.len();
        self.recording.check_shape(&shape)?;
        if entries.is_empty() {
            return self.recording.host_array(&shape, Vec::new(), x.kind);
        }
        let at = axis + self.lead(x);
        let var = self.tape(x).index_select(x.var, at, entries);
        Ok(Array { var, ..x })
    }
}

/// The array several times along every axis.
pub(super) fn tile(call: &mut Call<'_>) -> Outcome {
    let (mut x, repeats) = (call.array(0)?, lengths(&call.integers(1)?)?);
    let mut shape = call.shape(x);
    ensure!(
        repeats.len() >= shape.len(),
        "{} repeats for the {} axes of {shape:?}",
        repeats.len(),
        shape.len()
    );
    let mut longer = vec![1; repeats.len() - shape.len()];
    longer.extend(shape);
    call.recording.check_shape(&longer)?;
    x = call.recording.reshape(x, &longer);
    shape = longer;
    for (axis, &repeat) in repeats.iter().enumerate() {
        if repeat == 1 {
            continue;
        }
        // [.., L, ..] to [.., repeat, L, ..] to [.., repeat · L, ..]
        let mut thin = shape.clone();
        thin.insert(axis, 1);
        let mut wide = thin.clone();
        wide[axis] = repeat;
        let spread = call.recording.reshape(x, &thin);
        let spread = call.repeated_to(spread, &wide)?;
        shape[axis] = shape[axis].saturating_mul(repeat);
        call.recording.check_shape(&shape)?;
        x = call.recording.reshape(spread, &shape);
    }
    one(x)
}

pub(super) fn flip(call: &mut Call<'_>) -> Outcome {
    let mut x = call.array(0)?;
    let (numbers, shape) = (call.integers(1)?, call.shape(x));
    for axis in call.axes(&numbers, shape.len())? {
        let entries: Vec<usize> = (0..shape[axis]).rev().collect();
        x = call.picked(x, axis, &entries)?;
    }
    one(x)
}

/// The entries on one side of a diagonal; zeros elsewhere.
pub(super) fn triangle(call: &mut Call<'_>) -> Outcome {
    let x = call.array(0)?;
    let diagonal = call.optional_integers(1)?.and_then(|numbers| numbers.first().copied());
    let (upper, diagonal) = (call.flag("upper", false)?, diagonal.unwrap_or(0));
    let shape = call.shape(x);
    let [.., rows, columns] = shape[..] else { fault!("two axes are needed, got {shape:?}") };
    let kept = |at: usize| {
        let (row, column) = ((at / columns) as i64, (at % columns) as i64);
        let beyond = column.saturating_sub(row);
        if upper { beyond >= diagonal } else { beyond <= diagonal }
    };
    let mask = (0..rows * columns).map(|at| f64::from(u8::from(kept(at)))).collect();
    let mask = call.recording.host_array(&[rows, columns], mask, InputKind::Bool)?;
    let zero = call.recording.host_array(&[], vec![0.0], x.kind)?;
    one(call.chosen(mask, x, zero)?)
}

/// The identity of a matrix's shape.
pub(super) fn eye(call: &mut Call<'_>) -> Outcome {
    let x = call.array(0)?;
    let shape = call.shape(x);
    let diagonal = call.int("diagonal", 0)?;
    let [rows, columns] = shape[..] else { fault!("two axes are needed, got {shape:?}") };
    let on =
        |at: usize| ((at % columns) as i64).checked_sub((at / columns) as i64) == Some(diagonal);
    let numbers = (0..rows * columns).map(|at| f64::from(u8::from(on(at)))).collect();
    one(call.recording.host_array(&shape, numbers, x.kind)?)
}

/// Blocks of channels to planes, `[N, C, H, W]` to `[N, C/b², H·b, W·b]`.
pub(super) fn depth_to_space(call: &mut Call<'_>) -> Outcome {
    let x = call.array(0)?;
    let (shape, block) = (call.shape(x), call.size("block", 1)?);
    let [n, c, h, w] = shape[..] else { fault!("four axes are needed, got {shape:?}") };
    let square = block.checked_mul(block).filter(|&square| square > 0 && c % square == 0);
    let Some(square) = square else { fault!("blocks of {block} do not divide {c} channels") };
    let depth = c / square;
    let (parts, order) = match call.text("mode", "depth_column_row")? {
        "depth_column_row" => ([n, block, block, depth, h, w], [0, 3, 4, 1, 5, 2]),
        "column_row_depth" => ([n, depth, block, block, h, w], [0, 1, 4, 2, 5, 3]),
        mode => fault!(
            "option \"mode\" must be \"depth_column_row\" or \"column_row_depth\", got {mode:?}"
        ),
    };
    let x = call.recording.reshape(x, &parts);
    let x = call.recording.permute(x, &order);
    one(call.recording.reshape(x, &[n, depth, h * block, w * block]))
}

/// Blocks of planes to channels, `[N, C, H·b, W·b]` to `[N, C·b², H, W]`.
pub(super) fn space_to_depth(call: &mut Call<'_>) -> Outcome {
    let x = call.array(0)?;
    let (shape, block) = (call.shape(x), call.size("block", 1)?);
    let [n, c, h, w] = shape[..] else { fault!("four axes are needed, got {shape:?}") };
    ensure!(
        block > 0 && h % block == 0 && w % block == 0,
        "blocks of {block} do not divide planes of {h}×{w}"
    );
    let (rows, columns) = (h / block, w / block);
    let x = call.recording.reshape(x, &[n, c, rows, block, columns, block]);
    let x = call.recording.permute(x, &[0, 3, 5, 1, 2, 4]);
    one(call.recording.reshape(x, &[n, block * block * c, rows, columns]))
}

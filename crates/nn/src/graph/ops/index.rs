//! Entries that numbers name.

use vivit_autodiff::ops::{Comparison, ScatterReduction};
use vivit_autodiff::{InputKind, Tape};

use crate::graph::call::{Call, Outcome, Outcome1};
use crate::graph::fault::{Fault, ensure, fault};
use crate::graph::value::{Array, Place};

fn one(array: Array) -> Outcome {
    Ok(vec![array.into()])
}

impl Call<'_> {
    /// Refuses indices that the host knows to be out of range.
    fn check_indices(&mut self, index: Array, len: usize) -> Result<(), Fault> {
        let Some(numbers) = self.recording.numbers(index) else { return Ok(()) };
        let range = -(len as f64)..len as f64;
        match numbers.iter().find(|&&at| at.fract() != 0.0 || !range.contains(&at)) {
            Some(at) => fault!("index {at} is out of range: the axis has {len} entries"),
            None => Ok(()),
        }
    }

    /// The entries of an axis that the host knows, without an index on the device.
    fn known_entries(&self, index: Array, len: usize) -> Option<Vec<usize>> {
        let numbers = self.recording.numbers(index)?;
        let entry = |at: f64| if at < 0.0 { at + len as f64 } else { at } as usize;
        Some(numbers.into_iter().map(entry).collect())
    }
}

/// The index's shape takes the place of the axis.
pub(super) fn gather(call: &mut Call<'_>) -> Outcome {
    let (x, index) = (call.array(0)?, call.array(1)?);
    let axis = call.axis(call.int("axis", 0)?, call.shape(x).len())?;
    one(call.gathered(x, index, axis)?)
}

impl Call<'_> {
    pub(super) fn gathered(&mut self, x: Array, index: Array, axis: usize) -> Outcome1 {
        let (shape, of_index) = (self.shape(x), self.shape(index));
        let whole = [&shape[..axis], &of_index[..], &shape[axis + 1..]].concat();
        self.recording.check_shape(&whole)?;
        self.check_indices(index, shape[axis])?;
        if let Some(entries) = self.known_entries(index, shape[axis]) {
            let picked = self.picked(x, axis, &entries)?;
            return Ok(self.recording.reshape(picked, &whole));
        }
        ensure!(!whole.contains(&0), "there is nothing to gather from {shape:?} by {of_index:?}");
        let x = self.recording.upload(x)?;
        let at = axis + self.lead(x);
        let batched = self.recording.is_batched(x);
        let tape = self.tape(x);
        // A table that every sample looks up: an embedding.
        let var = if !batched && axis == 0 && shape.len() == 2 {
            tape.embedding(index.var, x.var)
        } else {
            tape.gather(x.var, at, index.var)
        };
        Ok(Array { var, ..x })
    }
}

/// One entry of the axis for every entry of the index.
pub(super) fn gather_elements(call: &mut Call<'_>) -> Outcome {
    let mut both = [call.array(0)?, call.array(1)?];
    let [shape, of_index] = both.map(|array| call.shape(array));
    let axis = call.axis(call.int("axis", 0)?, shape.len())?;
    let fits = shape.len() == of_index.len()
        && (0..shape.len()).all(|at| at == axis || of_index[at] <= shape[at]);
    ensure!(fits, "an index of shape {of_index:?} does not fit shape {shape:?}");
    ensure!(!of_index.contains(&0) && !shape.contains(&0), "there is nothing to gather");
    call.check_indices(both[1], shape[axis])?;
    call.recording.together(&mut both)?;
    let [x, index] = both;
    let at = axis + call.lead(x);
    let var = call.tape(x).gather_elements(x.var, at, index.var);
    one(Array { var, ..x })
}

/// The largest entries along an axis, or with `largest` false the smallest, from the extreme one
/// on, and their places: x, how many.
pub(super) fn top_k(call: &mut Call<'_>) -> Outcome {
    let (x, count) = (call.array(0)?, call.integer(1)?);
    let shape = call.shape(x);
    let axis = call.axis(call.int("axis", -1)?, shape.len())?;
    let count = usize::try_from(count).ok().filter(|&count| count <= shape[axis]);
    let Some(count) = count else { fault!("axis {axis} of {shape:?} has fewer entries") };
    ensure!(count > 0 && !shape.contains(&0), "there is nothing to choose from {shape:?}");
    let least = !call.flag("largest", true)?;
    let at = axis + call.lead(x);
    let tape = call.tape(x);
    let places = tape.top_places(x.var, at, count, least);
    let entries = tape.gather_elements(x.var, at, places);
    let places = Array { var: places, kind: InputKind::Integer, ..x };
    Ok(vec![Array { var: entries, ..x }.into(), places.into()])
}

impl Call<'_> {
    /// Rows of an index of several axes as numbers into those axes joined: its last axis holds one
    /// number per axis.
    fn joined_index(&mut self, index: Array, lens: &[usize]) -> Outcome1 {
        let Some(numbers) = self.recording.numbers(index) else {
            fault!("an index of several axes must follow from shapes alone")
        };
        let shape = self.shape(index);
        let mut rows = Vec::with_capacity(numbers.len() / lens.len().max(1));
        for row in numbers.chunks(lens.len().max(1)) {
            let mut place = 0usize;
            for (&at, &len) in row.iter().zip(lens) {
                let from_front = if at < 0.0 { at + len as f64 } else { at };
                ensure!(
                    from_front.fract() == 0.0 && (0.0..len as f64).contains(&from_front),
                    "index {at} is out of range: the axis has {len} entries"
                );
                place = place * len + from_front as usize;
            }
            rows.push(place as f64);
        }
        self.recording.host_array(&shape[..shape.len() - 1], rows, InputKind::Integer)
    }

    /// The axes behind `front` that an index of several axes names, and the array with these in
    /// one.
    fn named_axes(
        &mut self,
        x: Array,
        index: Array,
        front: usize,
    ) -> Result<(Array, Vec<usize>), Fault> {
        let (shape, of_index) = (self.shape(x), self.shape(index));
        let Some(&named) = of_index.last() else { fault!("an index needs at least one axis") };
        ensure!(
            named >= 1 && front + named <= shape.len(),
            "an index of {named} numbers for the axes of {shape:?}"
        );
        let lens = shape[front..front + named].to_vec();
        let joined = lens.iter().product();
        let flat = [&shape[..front], &[joined], &shape[front + named..]].concat();
        Ok((self.recording.reshape(x, &flat), lens))
    }
}

/// Entries or slices that rows of the index name.
pub(super) fn gather_nd(call: &mut Call<'_>) -> Outcome {
    let (x, index) = (call.array(0)?, call.array(1)?);
    ensure!(call.int("batch_axes", 0)? == 0, "common leading axes are not supported");
    let (flat, lens) = call.named_axes(x, index, 0)?;
    let rows = call.joined_index(index, &lens)?;
    let shape = [&call.shape(rows)[..], &call.shape(flat)[1..]].concat();
    let Some(entries) = call.known_entries(rows, lens.iter().product()) else {
        fault!("an index of several axes must follow from shapes alone")
    };
    let picked = call.picked(flat, 0, &entries)?;
    call.recording.check_shape(&shape)?;
    one(call.recording.reshape(picked, &shape))
}

fn reduction(call: &Call<'_>) -> Result<ScatterReduction, Fault> {
    Ok(match call.text("reduction", "none")? {
        "none" => ScatterReduction::Replace,
        "add" => ScatterReduction::Add,
        other => fault!("option \"reduction\" must be \"none\" or \"add\", got {other:?}"),
    })
}

impl Call<'_> {
    /// Arrays of a scatter in one place; per sample where one of them is.
    fn scattered(&mut self, three: &mut [Array; 3]) -> Result<Place, Fault> {
        let place = self.recording.together(three)?;
        if three.iter().any(|&array| self.recording.is_batched(array)) {
            three[0] = self.recording.per_sample(three[0])?;
        }
        Ok(place)
    }
}

/// `x` with other entries along an axis: one for every entry of the index.
pub(super) fn scatter_elements(call: &mut Call<'_>) -> Outcome {
    let mut three = [call.array(0)?, call.array(1)?, call.array(2)?];
    let [shape, of_index, of_updates] = three.map(|array| call.shape(array));
    let axis = call.axis(call.int("axis", 0)?, shape.len())?;
    let fits = of_index == of_updates
        && shape.len() == of_index.len()
        && (0..shape.len()).all(|at| at == axis || of_index[at] == shape[at]);
    ensure!(
        fits && !of_index.contains(&0),
        "index {of_index:?} and updates {of_updates:?} must have equal shapes, in all axes but \
         {axis} those of {shape:?}"
    );
    call.check_indices(three[1], shape[axis])?;
    let reduction = reduction(call)?;
    call.scattered(&mut three)?;
    let [x, index, updates] = three;
    let at = axis + call.lead(x);
    let var = call.tape(x).scatter_elements(x.var, at, index.var, updates.var, reduction);
    one(Array { var, ..x })
}

/// `x` with other entries or slices where rows of the index say.
pub(super) fn scatter_nd(call: &mut Call<'_>) -> Outcome {
    let (x, index, updates) = (call.array(0)?, call.array(1)?, call.array(2)?);
    let (shape, reduction) = (call.shape(x), reduction(call)?);
    let (flat, lens) = call.named_axes(x, index, 0)?;
    let rows = call.joined_index(index, &lens)?;
    let count: usize = call.shape(rows).iter().product();
    ensure!(count > 0 && !shape.contains(&0), "there is nothing to scatter");
    let slices = [&[count], &call.shape(flat)[1..]].concat();
    let given = call.shape(updates);
    ensure!(
        given.iter().product::<usize>() == slices.iter().product::<usize>(),
        "updates of shape {given:?} for {count} slices of {:?}",
        &slices[1..]
    );
    let rows = call.recording.reshape(rows, &[count]);
    let updates = call.recording.reshape(updates, &slices);
    let mut three = [flat, rows, updates];
    call.scattered(&mut three)?;
    let [flat, rows, updates] = three;
    let at = call.lead(flat);
    let var = call.tape(flat).scatter_slices(flat.var, at, rows.var, updates.var, reduction);
    one(call.recording.reshape(Array { var, ..flat }, &shape))
}

/// Rows of a table: ids `[*]`, table `[V, F]`, to `[*, F]`.
pub(super) fn embedding(call: &mut Call<'_>) -> Outcome {
    call.args.swap(0, 1);
    gather(call)
}

/// 1 where an entry of the new axis is the number, 0 elsewhere: numbers, length, the two values.
pub(super) fn one_hot(call: &mut Call<'_>) -> Outcome {
    let (x, len, values) = (call.array(0)?, call.integer(1)?, call.optional(2)?);
    let len = usize::try_from(len).map_err(|_| Fault(format!("the length must not be {len}")))?;
    let mut shape = call.shape(x);
    let axis = call.axis(call.int("axis", -1)?, shape.len() + 1)?;
    shape.insert(axis, 1);
    call.recording.check_shape(&shape)?;
    let x = call.recording.reshape(x, &shape);
    // Negative numbers count from the end.
    let zero = call.recording.host_array(&[], vec![0.0], InputKind::Integer)?;
    let length = call.recording.host_array(&[], vec![len as f64], InputKind::Integer)?;
    let shifted = call.pair(x, length, Tape::add)?;
    let negative = call.compared(Comparison::Less, x, zero)?;
    let x = call.chosen(negative, shifted, x)?;
    let mut thin = vec![1; shape.len()];
    thin[axis] = len;
    let places = (0..len).map(|at| at as f64).collect();
    let places = call.recording.host_array(&thin, places, InputKind::Integer)?;
    let on = call.compared(Comparison::Equal, x, places)?;
    let Some(values) = values else {
        return one(Array { kind: InputKind::Float, ..on });
    };
    let (off, one_value) = (call.part(values, 0, 0, 1)?, call.part(values, 0, 1, 2)?);
    let [off, one_value] = [off, one_value].map(|value| call.recording.reshape(value, &[]));
    one(call.chosen(on, one_value, off)?)
}

/// The places of the entries that are not zero, `[axes, count]`.
pub(super) fn nonzero(call: &mut Call<'_>) -> Outcome {
    let x = call.array(0)?;
    let shape = call.shape(x);
    let Some(numbers) = call.recording.numbers(x) else {
        fault!("how many entries are not zero depends on the numbers of an input or a parameter")
    };
    let places: Vec<usize> = (0..numbers.len()).filter(|&at| numbers[at] != 0.0).collect();
    let mut axes = vec![0.0; shape.len() * places.len()];
    for (column, &place) in places.iter().enumerate() {
        let mut rest = place;
        for (axis, &len) in shape.iter().enumerate().rev() {
            axes[axis * places.len() + column] = (rest % len) as f64;
            rest /= len;
        }
    }
    one(call.recording.host_array(&[shape.len(), places.len()], axes, InputKind::Integer)?)
}

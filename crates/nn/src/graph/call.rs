//! One node at work: its arguments and options, checked as they are asked for.

use serde_json::Value as Json;
use vivit_autodiff::{InputKind, Tape, Var};
use vivit_tensor::Unary;

use super::fault::{Fault, ensure, fault};
use super::node::Node;
use super::recording::Recording;
use super::value::{Array, Place, Value};

/// What an operation returns.
pub(crate) type Outcome = Result<Vec<Value>, Fault>;

/// The array that a step of it returns.
pub(crate) type Outcome1 = Result<Array, Fault>;

pub(crate) struct Call<'c> {
    pub node: &'c Node,
    pub args: Vec<Option<Value>>,
    pub recording: &'c mut Recording,
}

impl Call<'_> {
    // Arguments.

    /// An array that may be left out, possibly transposed on the way.
    pub fn raw(&self, at: usize) -> Result<Option<Array>, Fault> {
        match self.args.get(at).and_then(Option::as_ref) {
            None => Ok(None),
            Some(Value::Array(array)) => Ok(Some(*array)),
            Some(Value::List(_)) => fault!("argument {at} is a list of arrays, not an array"),
        }
    }

    /// An array that may be left out.
    pub fn optional(&mut self, at: usize) -> Result<Option<Array>, Fault> {
        Ok(self.raw(at)?.map(|array| self.recording.settled(array)))
    }

    /// An array.
    pub fn array(&mut self, at: usize) -> Result<Array, Fault> {
        self.optional(at)?.ok_or_else(|| Fault(format!("argument {at} is missing")))
    }

    /// All arguments as arrays.
    pub fn arrays(&mut self) -> Result<Vec<Array>, Fault> {
        (0..self.args.len()).map(|at| self.array(at)).collect()
    }

    /// A list of arrays.
    pub fn list(&self, at: usize) -> Result<Vec<Array>, Fault> {
        match self.args.get(at).and_then(Option::as_ref) {
            Some(Value::List(list)) => Ok(list.clone()),
            Some(Value::Array(_)) => fault!("argument {at} is an array, not a list of arrays"),
            None => fault!("argument {at} is missing"),
        }
    }

    /// Whole numbers that may be left out: an argument that the host knows.
    pub fn optional_integers(&mut self, at: usize) -> Result<Option<Vec<i64>>, Fault> {
        let Some(array) = self.optional(at)? else { return Ok(None) };
        let Some(numbers) = self.recording.numbers(array) else {
            fault!(
                "argument {at} depends on the numbers of an input or a parameter, but shapes, axes \
                 and lengths must follow from shapes alone"
            )
        };
        ensure!(
            numbers.iter().all(|number| number.fract() == 0.0),
            "argument {at} must hold whole numbers, got {numbers:?}"
        );
        Ok(Some(numbers.into_iter().map(|number| number as i64).collect()))
    }

    /// Whole numbers: an argument that the host knows.
    pub fn integers(&mut self, at: usize) -> Result<Vec<i64>, Fault> {
        let found = self.optional_integers(at)?;
        found.ok_or_else(|| Fault(format!("argument {at} is missing")))
    }

    /// One number that the host knows and that may be left out.
    pub fn optional_number(&mut self, at: usize) -> Result<Option<f64>, Fault> {
        let Some(array) = self.optional(at)? else { return Ok(None) };
        match self.recording.numbers(array).as_deref() {
            Some(&[number]) => Ok(Some(number)),
            Some(numbers) => fault!("argument {at} must be one number, got {}", numbers.len()),
            None => fault!("argument {at} must be a constant"),
        }
    }

    /// One whole number that the host knows.
    pub fn integer(&mut self, at: usize) -> Result<i64, Fault> {
        match self.integers(at)?[..] {
            [number] => Ok(number),
            ref numbers => fault!("argument {at} must be one number, got {}", numbers.len()),
        }
    }

    // Options.

    fn option(&self, name: &str) -> Option<&Json> {
        self.node.attributes.get(name).filter(|value| !value.is_null())
    }

    pub fn optional_int(&self, name: &str) -> Result<Option<i64>, Fault> {
        let Some(value) = self.option(name) else { return Ok(None) };
        let found = value.as_i64();
        found.map(Some).ok_or_else(|| self.wrong(name, "a whole number", value))
    }

    pub fn int(&self, name: &str, default: i64) -> Result<i64, Fault> {
        Ok(self.optional_int(name)?.unwrap_or(default))
    }

    /// A whole number of at least 0.
    pub fn size(&self, name: &str, default: usize) -> Result<usize, Fault> {
        let Some(value) = self.option(name) else { return Ok(default) };
        let found = value.as_u64().and_then(|number| usize::try_from(number).ok());
        found.ok_or_else(|| self.wrong(name, "a whole number of at least 0", value))
    }

    pub fn optional_float(&self, name: &str) -> Result<Option<f64>, Fault> {
        let Some(value) = self.option(name) else { return Ok(None) };
        value.as_f64().map(Some).ok_or_else(|| self.wrong(name, "a number", value))
    }

    pub fn float(&self, name: &str, default: f64) -> Result<f64, Fault> {
        Ok(self.optional_float(name)?.unwrap_or(default))
    }

    /// A number without which the operation can't run.
    pub fn needed_float(&self, name: &str) -> Result<f64, Fault> {
        self.optional_float(name)?.ok_or_else(|| Fault(format!("option {name:?} is missing")))
    }

    pub fn flag(&self, name: &str, default: bool) -> Result<bool, Fault> {
        let Some(value) = self.option(name) else { return Ok(default) };
        value.as_bool().ok_or_else(|| self.wrong(name, "true or false", value))
    }

    pub fn text<'t>(&'t self, name: &str, default: &'t str) -> Result<&'t str, Fault> {
        let Some(value) = self.option(name) else { return Ok(default) };
        value.as_str().ok_or_else(|| self.wrong(name, "a text", value))
    }

    pub fn ints(&self, name: &str) -> Result<Option<Vec<i64>>, Fault> {
        let Some(value) = self.option(name) else { return Ok(None) };
        let numbers = value.as_array().and_then(|list| list.iter().map(Json::as_i64).collect());
        numbers.map(Some).ok_or_else(|| self.wrong(name, "a list of whole numbers", value))
    }

    /// Whole numbers of at least 0, one per axis.
    pub fn sizes(&self, name: &str, axes: usize, default: usize) -> Result<Vec<usize>, Fault> {
        let Some(numbers) = self.ints(name)? else { return Ok(vec![default; axes]) };
        let sizes: Option<Vec<usize>> =
            numbers.iter().map(|&number| usize::try_from(number).ok()).collect();
        match sizes {
            // Far from where sums of products of lengths overflow.
            Some(sizes) if sizes.len() == axes && sizes.iter().all(|&size| size < 1 << 31) => {
                Ok(sizes)
            }
            _ => fault!(
                "option {name:?} must hold {axes} whole numbers from 0 to 2³¹, got {numbers:?}"
            ),
        }
    }

    fn wrong(&self, name: &str, expected: &str, got: &Json) -> Fault {
        Fault(format!("option {name:?} must be {expected}, got {got}"))
    }

    // Shapes and axes.

    pub fn shape(&self, array: Array) -> Vec<usize> {
        self.recording.shape(array)
    }

    /// The axis that a number names: negative ones count from the last.
    pub fn axis(&self, number: i64, rank: usize) -> Result<usize, Fault> {
        let signed = rank as i64;
        ensure!(
            (-signed..signed).contains(&number),
            "axis {number} is out of range: there are {rank} axes"
        );
        Ok((if number < 0 { number + signed } else { number }) as usize)
    }

    /// The axes that numbers name, ascending, each once.
    pub fn axes(&self, numbers: &[i64], rank: usize) -> Result<Vec<usize>, Fault> {
        let mut axes = numbers
            .iter()
            .map(|&number| self.axis(number, rank))
            .collect::<Result<Vec<_>, Fault>>()?;
        axes.sort_unstable();
        axes.dedup();
        ensure!(axes.len() == numbers.len(), "an axis is given twice in {numbers:?}");
        Ok(axes)
    }

    // Recording.

    /// The tape and variable axis of an array's axis.
    pub fn lead(&self, array: Array) -> usize {
        self.recording.lead(array)
    }

    pub fn tape(&mut self, array: Array) -> &mut Tape {
        self.recording.tape(array.place)
    }

    /// The array of a variable beside `like`, of real numbers.
    pub fn float_of(&self, var: Var, like: Array) -> Array {
        Array { var, place: like.place, kind: InputKind::Float, turned: false }
    }

    /// Records `f`, entry by entry.
    pub fn map(&mut self, f: Unary, x: Array) -> Array {
        let x = self.recording.settled(x);
        let var = self.tape(x).map(f, x.var);
        Array { var, ..x }
    }

    /// Records an operation of two arrays that repeat along axes of length one.
    pub fn pair(
        &mut self,
        a: Array,
        b: Array,
        record: impl FnOnce(&mut Tape, Var, Var) -> Var,
    ) -> Result<Array, Fault> {
        let mut both = [a, b];
        let (place, _) = self.recording.aligned(&mut both)?;
        let var = record(self.recording.tape(place), both[0].var, both[1].var);
        Ok(Array { var, place, kind: a.kind, turned: false })
    }

    /// The entries `first..end` of an axis, possibly none.
    pub fn part(&mut self, x: Array, axis: usize, first: usize, end: usize) -> Outcome1 {
        let x = self.recording.settled(x);
        let mut shape = self.shape(x);
        if first == 0 && end == shape[axis] {
            return Ok(x);
        }
        if first >= end {
            shape[axis] = 0;
            return self.recording.host_array(&shape, Vec::new(), x.kind);
        }
        let at = axis + self.lead(x);
        let var = self.tape(x).slice(x.var, at, first, end);
        Ok(Array { var, ..x })
    }

    /// Arrays side by side along an axis.
    pub fn joined(&mut self, mut parts: Vec<Array>, axis: usize) -> Result<Array, Fault> {
        if parts.len() > 1 {
            let shapes: Vec<_> = parts.iter().map(|&part| self.shape(part)).collect();
            let empty = |shape: &Vec<usize>| shape.get(axis) == Some(&0);
            let mut keep = shapes.iter().map(|shape| !empty(shape));
            if !shapes.iter().all(empty) {
                parts.retain(|_| keep.next() == Some(true));
            }
        }
        let place = self.recording.together(&mut parts)?;
        let Some(&first) = parts.first() else { fault!("there is nothing to concatenate") };
        let shape = self.shape(first);
        let mut whole = shape.clone();
        whole[axis] = 0;
        for &part in &parts {
            let own = self.shape(part);
            let fits = own.len() == shape.len()
                && own.iter().zip(&shape).enumerate().all(|(at, (a, b))| at == axis || a == b);
            ensure!(fits, "shapes {shape:?} and {own:?} do not fit along all axes but {axis}");
            whole[axis] = whole[axis].saturating_add(own[axis]);
        }
        self.recording.check_shape(&whole)?;
        if let [only] = parts[..] {
            return Ok(only);
        }
        if place == Place::Device && parts.iter().any(|&part| self.recording.is_batched(part)) {
            // What all samples share becomes each sample's own.
            for part in parts.iter_mut() {
                *part = self.recording.per_sample(*part)?;
            }
        }
        let lead = self.lead(parts[0]);
        let vars: Vec<Var> = parts.iter().map(|part| part.var).collect();
        let var = self.recording.tape(place).concat(&vars, axis + lead);
        let kind = if parts.iter().all(|part| part.kind == first.kind) {
            first.kind
        } else {
            InputKind::Float
        };
        Ok(Array { var, place, kind, turned: false })
    }
}

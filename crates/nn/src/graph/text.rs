//! The text form of graph models: JSON beside a safetensors file.

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::{Map, Value, json};
use vivit_autodiff::{Dim, InputKind, InputSpec, OutputSpec};
use vivit_tensor::{Device, HostVec};

use super::{Argument, GraphError, GraphModel, GraphParts, GraphProblem, NamedArray, Node};
use crate::arrays::Arrays;
use crate::safetensors_file::{Bytes, to_bytes};
use crate::whole_file::write_whole;
use crate::{Error, description};

/// What the text says that it is.
const FORMAT: &str = "vivit-graph";
/// The version that this library writes and reads.
const VERSION: u64 = 1;
/// Constants of at most as many finite numbers are written out.
const WRITTEN_OUT: usize = 16;

/// # Descriptions
///
/// A graph model's text is a JSON object; its numbers are arrays of a safetensors file under their
/// names.
///
/// ```json
/// {
///     "format": "vivit-graph", "version": 1,
///     "inputs": [{"name": "x", "kind": "float", "shape": ["N", 3], "sample_axis": 0}],
///     "outputs": [{"name": "y", "sample_axis": 0, "class_axis": 1, "prediction": true}],
///     "parameters": ["fc.weight", "fc.bias"],
///     "buffers": [],
///     "constants": [{"name": "half", "kind": "float", "shape": [], "values": [0.5]}],
///     "nodes": [
///         {"op": "linear", "inputs": ["x", "fc.weight", "fc.bias"], "outputs": ["h"]},
///         {"op": "sum", "inputs": ["h", [1]], "outputs": ["y"], "options": {"keep": true}}
///     ]
/// }
/// ```
///
/// A node's inputs are names, lists of whole numbers, numbers, or `null` for one that is left out;
/// its operations are those of [`operations`](crate::operations). Constants without `values` are in
/// the file; kinds are `float`, `integer` and `bool`; lengths that stay open have names.
impl GraphModel {
    /// The model's text; its numbers are those of [`array_bytes`](GraphModel::array_bytes).
    ///
    /// # Errors
    /// If the device failed.
    pub fn description(&self) -> Result<Value, Error> {
        let parts = self.parts()?;
        let names = |arrays: &[NamedArray]| -> Vec<Value> {
            arrays.iter().map(|array| Value::from(array.name.as_str())).collect()
        };
        Ok(json!({
            "format": FORMAT,
            "version": VERSION,
            "inputs": parts.inputs.iter().map(input_text).collect::<Vec<_>>(),
            "outputs": parts.outputs.iter().map(output_text).collect::<Vec<_>>(),
            "parameters": names(&parts.params),
            "buffers": names(&parts.buffers),
            "constants": parts.constants.iter().map(constant_text).collect::<Vec<_>>(),
            "nodes": parts.nodes.iter().map(node_text).collect::<Vec<_>>(),
        }))
    }

    /// The model of a text and the arrays beside it. Arrays that the text does not name are passed
    /// over.
    ///
    /// # Errors
    /// If the text is no description of this version, an array is missing or has no numbers, or the
    /// parts make no graph.
    ///
    /// # Examples
    /// ```
    /// use vivit_autodiff::{InputSpec, OutputSpec};
    /// use vivit_nn::{Arrays, GraphModel, GraphParts, NamedArray, Node};
    /// use vivit_tensor::Device;
    ///
    /// let parts = GraphParts {
    ///     inputs: vec![InputSpec::new("x")],
    ///     outputs: vec![OutputSpec::new("y")],
    ///     params: vec![NamedArray::new("weight", &[2, 3], vec![0.5; 6])],
    ///     nodes: vec![Node::new("linear", &["x", "weight"], "y")],
    ///     ..GraphParts::default()
    /// };
    /// let cpu = Device::cpu();
    /// let model = GraphModel::new(&cpu, parts)?;
    /// let (text, bytes) = (model.description()?, model.array_bytes()?);
    /// let again = GraphModel::from_description(&cpu, &text, &Arrays::from_bytes(bytes)?)?;
    /// assert_eq!(again.nodes(), model.nodes());
    /// # Ok::<(), vivit_nn::Error>(())
    /// ```
    pub fn from_description(
        device: &Device,
        description: &Value,
        arrays: &Arrays<'_>,
    ) -> Result<Self, Error> {
        let parts = Reader { problems: Vec::new() }.parts(description, arrays)?;
        GraphModel::new(device, parts)
    }

    /// Writes the model's text and its arrays to two files, each as [`save`](crate::Weights::save)
    /// writes.
    ///
    /// # Errors
    /// If a file can't be written; always with the path.
    pub fn save_graph(
        &self,
        text: impl AsRef<Path>,
        arrays: impl AsRef<Path>,
    ) -> Result<(), Error> {
        let io = |path: &Path, result: std::io::Result<()>| {
            let failed = |error: std::io::Error| Error::Io { reason: error.to_string() };
            result.map_err(|error| failed(error).in_file(path))
        };
        let (text, arrays) = (text.as_ref(), arrays.as_ref());
        let words = format!("{:#}\n", self.description()?);
        io(arrays, write_whole(arrays, &self.array_bytes()?))?;
        io(text, write_whole(text, words.as_bytes()))
    }

    /// Reads what [`save_graph`](GraphModel::save_graph) wrote.
    ///
    /// # Errors
    /// As [`from_description`](GraphModel::from_description), and if a file can't be read; with the
    /// path.
    pub fn read_graph(
        device: &Device,
        text: impl AsRef<Path>,
        arrays: impl AsRef<Path>,
    ) -> Result<Self, Error> {
        let path = text.as_ref();
        let read = || -> Result<Value, Error> {
            let failed = |error: std::io::Error| Error::Io { reason: error.to_string() };
            let text = std::fs::read_to_string(path).map_err(failed)?;
            Ok(description::parse(&text)?)
        };
        let description = read().map_err(|error| error.in_file(path))?;
        let arrays = Arrays::read(arrays)?;
        Self::from_description(device, &description, &arrays).map_err(|error| error.in_file(path))
    }

    /// The arrays beside the text as the bytes of a safetensors file: the state dictionary in the
    /// model's precision, and the constants that the text does not write out.
    ///
    /// # Errors
    /// If the device failed.
    pub fn array_bytes(&self) -> Result<Vec<u8>, Error> {
        let parts = self.parts()?;
        let large = parts.constants.iter().filter(|constant| !is_written_out(constant));
        let arrays: Vec<(&str, Bytes)> = parts
            .params
            .iter()
            .chain(&parts.buffers)
            .chain(large)
            .map(|array| (array.name.as_str(), Bytes::of(&array.shape, array.values.clone())))
            .collect();
        to_bytes(&arrays, &BTreeMap::new())
    }
}

fn is_written_out(constant: &NamedArray) -> bool {
    let values = &constant.values;
    values.len() <= WRITTEN_OUT && (0..values.len()).all(|at| values.at(at).is_finite())
}

fn kind_text(kind: InputKind) -> &'static str {
    match kind {
        InputKind::Integer => "integer",
        InputKind::Bool => "bool",
        _ => "float",
    }
}

fn input_text(input: &InputSpec) -> Value {
    let dim = |dim: &Dim| match dim {
        Dim::Fixed(len) => Value::from(*len),
        Dim::Free(name) => Value::from(name.as_str()),
    };
    json!({
        "name": input.name,
        "kind": kind_text(input.kind),
        "shape": input.shape.as_ref().map(|shape| shape.iter().map(dim).collect::<Vec<_>>()),
        "sample_axis": input.sample_axis,
    })
}

fn output_text(output: &OutputSpec) -> Value {
    json!({
        "name": output.name,
        "sample_axis": output.sample_axis,
        "class_axis": output.class_axis,
        "prediction": output.prediction,
    })
}

fn constant_text(constant: &NamedArray) -> Value {
    let mut text = json!({
        "name": constant.name,
        "kind": kind_text(constant.kind),
        "shape": constant.shape,
    });
    if is_written_out(constant) {
        let values = (0..constant.values.len()).map(|at| constant.values.at(at));
        text["values"] = values.collect::<Vec<_>>().into();
    }
    text
}

fn node_text(node: &Node) -> Value {
    let argument = |argument: &Option<Argument>| match argument {
        None => Value::Null,
        Some(Argument::Value(name)) => Value::from(name.as_str()),
        Some(Argument::Integers(numbers)) => Value::from(numbers.clone()),
        Some(Argument::Number(number)) => Value::from(*number),
    };
    let mut text = json!({
        "op": node.op,
        "inputs": node.inputs.iter().map(argument).collect::<Vec<_>>(),
        "outputs": node.outputs,
    });
    if !node.name.is_empty() {
        text["name"] = node.name.as_str().into();
    }
    if !node.attributes.is_empty() {
        text["options"] = Value::Object(node.attributes.clone());
    }
    text
}

/// Reads a text, and gathers what is wrong with it.
struct Reader {
    problems: Vec<String>,
}

impl Reader {
    fn parts(mut self, text: &Value, arrays: &Arrays<'_>) -> Result<GraphParts, Error> {
        if text["format"] != FORMAT || text["version"] != VERSION {
            self.problems.push(format!(
                "this is no graph model of version {VERSION}: its format is {}, its version {}",
                text["format"], text["version"]
            ));
            return self.refused();
        }
        let known = [
            "format",
            "version",
            "inputs",
            "outputs",
            "parameters",
            "buffers",
            "constants",
            "nodes",
        ];
        self.only("the text", text, &known);
        let parts = GraphParts {
            inputs: self.each(text, "inputs", Self::input),
            outputs: self.each(text, "outputs", Self::output),
            params: self
                .each(text, "parameters", |reader, at, name| reader.stored(at, name, arrays)),
            buffers: self.each(text, "buffers", |reader, at, name| reader.stored(at, name, arrays)),
            constants: self.each(text, "constants", |reader, at, constant| {
                reader.constant(at, constant, arrays)
            }),
            nodes: self.each(text, "nodes", Self::node),
        };
        if self.problems.is_empty() { Ok(parts) } else { self.refused() }
    }

    fn refused<T>(self) -> Result<T, Error> {
        let interface = |reason| GraphProblem::Interface { reason };
        let problems = self.problems.into_iter().map(interface).collect();
        Err(GraphError { problems }.into())
    }

    /// The entries of a list, those that can be read.
    fn each<T>(
        &mut self,
        text: &Value,
        list: &str,
        read: impl Fn(&mut Self, &str, &Value) -> Option<T>,
    ) -> Vec<T> {
        match &text[list] {
            Value::Array(entries) => {
                let numbered = entries.iter().enumerate();
                numbered.filter_map(|(at, e)| read(self, &format!("{list}[{at}]"), e)).collect()
            }
            Value::Null => Vec::new(),
            other => {
                self.problems.push(format!("{list} must be a list, got {other}"));
                Vec::new()
            }
        }
    }

    /// Refuses names that nobody reads: a typing error would go unseen.
    fn only(&mut self, place: &str, text: &Value, known: &[&str]) {
        let Value::Object(map) = text else {
            self.problems.push(format!("{place} must be an object, got {text}"));
            return;
        };
        for name in map.keys().filter(|name| !known.contains(&name.as_str())) {
            self.problems.push(format!("{place} has no {name:?}, but {}", known.join(", ")));
        }
    }

    /// The value that `read` finds under a name; a problem if it finds none.
    fn get<'t, T>(
        &mut self,
        place: &str,
        text: &'t Value,
        name: &str,
        expected: &str,
        read: impl FnOnce(&'t Value) -> Option<T>,
    ) -> Option<T> {
        let found = read(&text[name]);
        if found.is_none() {
            let got = &text[name];
            self.problems.push(format!("{place}: {name} must be {expected}, got {got}"));
        }
        found
    }

    fn name(&mut self, place: &str, text: &Value) -> Option<String> {
        self.get(place, text, "name", "a text", |name| name.as_str().map(String::from))
    }

    fn kind(&mut self, place: &str, text: &Value) -> Option<InputKind> {
        self.get(place, text, "kind", "\"float\", \"integer\" or \"bool\"", |kind| {
            Some(match kind {
                Value::Null => InputKind::Float,
                kind => match kind.as_str()? {
                    "float" => InputKind::Float,
                    "integer" => InputKind::Integer,
                    "bool" => InputKind::Bool,
                    _ => return None,
                },
            })
        })
    }

    fn input(&mut self, place: &str, text: &Value) -> Option<InputSpec> {
        self.only(place, text, &["name", "kind", "shape", "sample_axis"]);
        let mut spec = InputSpec::new(&self.name(place, text)?).of_kind(self.kind(place, text)?);
        if !text["shape"].is_null() {
            let expected = "a list of lengths and names";
            let shape = self.get(place, text, "shape", expected, |shape| {
                let dim = |dim: &Value| match dim {
                    Value::String(name) => Some(Dim::Free(name.clone())),
                    dim => size(dim).map(Dim::Fixed),
                };
                shape.as_array()?.iter().map(dim).collect()
            })?;
            spec = spec.shaped(shape);
        }
        let axis = self.get(place, text, "sample_axis", "an axis, or null", |axis| match axis {
            Value::Null => Some(None),
            axis => size(axis).map(Some),
        })?;
        Some(spec.samples_along(axis))
    }

    fn output(&mut self, place: &str, text: &Value) -> Option<OutputSpec> {
        self.only(place, text, &["name", "sample_axis", "class_axis", "prediction"]);
        let axis = |default: usize| {
            move |axis: &Value| if axis.is_null() { Some(default) } else { size(axis) }
        };
        let spec = OutputSpec::new(&self.name(place, text)?);
        let samples = self.get(place, text, "sample_axis", "an axis", axis(0))?;
        let classes = self.get(place, text, "class_axis", "an axis", axis(1))?;
        let prediction =
            self.get(place, text, "prediction", "true or false", |flag| match flag {
                Value::Null => Some(true),
                flag => flag.as_bool(),
            })?;
        Some(spec.samples_along(samples).classes_along(classes).predicting(prediction))
    }

    /// An array of the file.
    fn stored(&mut self, place: &str, name: &Value, arrays: &Arrays<'_>) -> Option<NamedArray> {
        let Some(name) = name.as_str() else {
            self.problems.push(format!("{place} must be an array's name, got {name}"));
            return None;
        };
        match arrays.numbers(name) {
            Ok((shape, values)) => Some(NamedArray::new(name, &shape, values)),
            Err(error) => {
                self.problems.push(format!("{place}: {error}"));
                None
            }
        }
    }

    fn constant(&mut self, place: &str, text: &Value, arrays: &Arrays<'_>) -> Option<NamedArray> {
        self.only(place, text, &["name", "kind", "shape", "values"]);
        let (name, kind) = (self.name(place, text)?, self.kind(place, text)?);
        if text["values"].is_null() {
            let stored = self.stored(place, &Value::from(name), arrays)?;
            return Some(stored.of_kind(kind));
        }
        let shape: Vec<usize> = self.get(place, text, "shape", "a list of lengths", |shape| {
            shape.as_array()?.iter().map(size).collect()
        })?;
        let values: Vec<f64> = self.get(place, text, "values", "a list of numbers", |values| {
            values.as_array()?.iter().map(Value::as_f64).collect()
        })?;
        Some(NamedArray::new(&name, &shape, HostVec::from(values)).of_kind(kind))
    }

    fn node(&mut self, place: &str, text: &Value) -> Option<Node> {
        self.only(place, text, &["op", "name", "inputs", "outputs", "options"]);
        let op = self.get(place, text, "op", "a text", |op| op.as_str())?.to_string();
        let name = match &text["name"] {
            Value::Null => String::new(),
            _ => self.name(place, text)?,
        };
        let expected = "a list of names, lists of whole numbers, numbers and nulls";
        let inputs = self.get(place, text, "inputs", expected, |inputs| {
            let argument = |argument: &Value| {
                Some(match argument {
                    Value::Null => None,
                    Value::String(name) => Some(Argument::Value(name.clone())),
                    Value::Array(numbers) => {
                        let numbers = numbers.iter().map(Value::as_i64).collect::<Option<_>>()?;
                        Some(Argument::Integers(numbers))
                    }
                    number => Some(Argument::Number(number.as_f64()?)),
                })
            };
            inputs.as_array()?.iter().map(argument).collect()
        })?;
        let outputs = self.get(place, text, "outputs", "a list of names", |outputs| {
            let name = |name: &Value| name.as_str().map(String::from);
            outputs.as_array()?.iter().map(name).collect()
        })?;
        let attributes =
            self.get(place, text, "options", "an object", |options| match options {
                Value::Null => Some(Map::new()),
                options => options.as_object().cloned(),
            })?;
        Some(Node { name, op, inputs, outputs, attributes })
    }
}

fn size(value: &Value) -> Option<usize> {
    value.as_u64().and_then(|number| usize::try_from(number).ok())
}

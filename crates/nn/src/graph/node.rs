//! What a graph model is made of.

use serde_json::{Map, Value};
use vivit_autodiff::{InputKind, InputSpec, OutputSpec, Param};
use vivit_tensor::HostVec;

use crate::Error;

/// An argument of a [`Node`].
#[derive(Clone, Debug, PartialEq)]
pub enum Argument {
    /// The value of this name: an input, a parameter, a constant, or what an earlier node computes.
    Value(String),
    /// A list of whole numbers, written out: axes, lengths.
    Integers(Vec<i64>),
    /// A number, written out.
    Number(f64),
}

impl Argument {
    /// The name of a value.
    pub(crate) fn name(&self) -> Option<&str> {
        match self {
            Argument::Value(name) => Some(name),
            _ => None,
        }
    }
}

impl From<&str> for Argument {
    fn from(name: &str) -> Self {
        Argument::Value(name.into())
    }
}

impl From<String> for Argument {
    fn from(name: String) -> Self {
        Argument::Value(name)
    }
}

impl From<Vec<i64>> for Argument {
    fn from(numbers: Vec<i64>) -> Self {
        Argument::Integers(numbers)
    }
}

impl From<f64> for Argument {
    fn from(number: f64) -> Self {
        Argument::Number(number)
    }
}

/// A node of a graph model: an operation of the [vocabulary](super::operations) on named values.
///
/// ```
/// use vivit_nn::Node;
///
/// let node = Node::new("mean", &["x"], "y").with("keep", false);
/// assert_eq!(node.outputs, ["y"]);
/// ```
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Node {
    /// The name that errors show; empty for none.
    pub name: String,
    /// The operation.
    pub op: String,
    /// The arguments; one that is left out is `None`.
    pub inputs: Vec<Option<Argument>>,
    /// The names of what it computes; an empty name for a result that nobody reads.
    pub outputs: Vec<String>,
    /// The options, by name.
    pub attributes: Map<String, Value>,
}

impl Node {
    /// An operation on values, with one result.
    pub fn new(op: &str, inputs: &[&str], output: &str) -> Self {
        Node {
            name: String::new(),
            op: op.into(),
            inputs: inputs.iter().map(|&name| Some(name.into())).collect(),
            outputs: vec![output.into()],
            attributes: Map::new(),
        }
    }

    /// The same node under a name.
    #[must_use]
    pub fn named(self, name: &str) -> Self {
        Node { name: name.into(), ..self }
    }

    /// The same node with these arguments, of which some may be left out or written out.
    #[must_use]
    pub fn taking(self, inputs: Vec<Option<Argument>>) -> Self {
        Node { inputs, ..self }
    }

    /// The same node with these results.
    #[must_use]
    pub fn giving(self, outputs: Vec<String>) -> Self {
        Node { outputs, ..self }
    }

    /// The same node with an option.
    #[must_use]
    pub fn with(mut self, attribute: &str, value: impl Into<Value>) -> Self {
        self.attributes.insert(attribute.into(), value.into());
        self
    }

    /// How errors call the node: its name, or its first result's.
    pub fn label(&self) -> &str {
        let first = || self.outputs.iter().find(|name| !name.is_empty());
        if self.name.is_empty() { first().map_or("", String::as_str) } else { &self.name }
    }

    /// The names that it reads.
    pub(crate) fn reads(&self) -> impl Iterator<Item = &str> {
        self.inputs.iter().flatten().filter_map(Argument::name)
    }
}

/// A named array of a graph model: a parameter, or a constant.
#[derive(Clone, Debug, PartialEq)]
pub struct NamedArray {
    /// Its name.
    pub name: String,
    /// What its numbers are.
    pub kind: InputKind,
    /// Its shape.
    pub shape: Vec<usize>,
    /// Its numbers, row-major.
    pub values: HostVec,
}

impl NamedArray {
    /// An array of real numbers.
    pub fn new(name: &str, shape: &[usize], values: impl Into<HostVec>) -> Self {
        NamedArray {
            name: name.into(),
            kind: InputKind::Float,
            shape: shape.to_vec(),
            values: values.into(),
        }
    }

    /// The arrays of a model, from its device.
    pub(crate) fn all_of(params: &[Param]) -> Result<Vec<Self>, Error> {
        let each = params.iter();
        each.map(|Param { name, value }| Ok(NamedArray::new(name, value.shape(), value.to_host()?)))
            .collect()
    }

    /// The same array of numbers of another kind.
    #[must_use]
    pub fn of_kind(self, kind: InputKind) -> Self {
        NamedArray { kind, ..self }
    }
}

/// The parts of a graph model, which an importer or a program puts together and
/// [`GraphModel::new`](super::GraphModel::new) checks.
///
/// The nodes describe the computation of *one* sample: arrays have the sample axis that
/// [`InputSpec::sample_axis`] names, of length 1.
#[derive(Clone, Debug, Default)]
pub struct GraphParts {
    /// The inputs.
    pub inputs: Vec<InputSpec>,
    /// The outputs, by the names of values.
    pub outputs: Vec<OutputSpec>,
    /// The parameters.
    pub params: Vec<NamedArray>,
    /// Arrays of real numbers that belong to the state dictionary without being parameters: running
    /// statistics.
    pub buffers: Vec<NamedArray>,
    /// Further arrays that nothing is differentiated in.
    pub constants: Vec<NamedArray>,
    /// The nodes, in any order.
    pub nodes: Vec<Node>,
}

impl GraphParts {
    /// All arrays.
    pub(crate) fn arrays(&self) -> impl Iterator<Item = &NamedArray> {
        self.params.iter().chain(&self.buffers).chain(&self.constants)
    }
}

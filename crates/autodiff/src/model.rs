//! What records a graph from inputs.

use std::fmt;

use vivit_tensor::{Device, Tensor};

use crate::{Error, Graph};

/// A parameter of a model.
#[derive(Clone, Debug)]
pub struct Param {
    /// The name by which users know it: PyTorch's, `"layer1.0.conv1.weight"`.
    pub name: String,
    /// The value.
    pub value: Tensor,
}

/// The length of an axis, as a model states it before it sees an input.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Dim {
    /// This length and no other.
    Fixed(usize),
    /// Any length; axes of one name have equal lengths.
    Free(String),
}

impl fmt::Display for Dim {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Dim::Fixed(len) => write!(f, "{len}"),
            Dim::Free(name) => f.write_str(name),
        }
    }
}

/// What the numbers of an input are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum InputKind {
    /// Real numbers.
    #[default]
    Float,
    /// Whole numbers, stored as floats: tokens, indices.
    Integer,
    /// 0 and 1: masks.
    Bool,
}

/// An input of a model.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct InputSpec {
    /// Its name.
    pub name: String,
    /// What its numbers are.
    pub kind: InputKind,
    /// The lengths of its axes, the sample axis included; `None` if the model takes several shapes.
    pub shape: Option<Vec<Dim>>,
    /// The axis along which samples lie; `None` if all samples share the input: a mask, an
    /// adjacency matrix.
    pub sample_axis: Option<usize>,
}

impl InputSpec {
    /// An input of real numbers of any shape, with the sample axis in front.
    pub fn new(name: &str) -> Self {
        InputSpec {
            name: name.into(),
            kind: InputKind::default(),
            shape: None,
            sample_axis: Some(0),
        }
    }

    /// The same input of numbers of another kind.
    #[must_use]
    pub fn of_kind(self, kind: InputKind) -> Self {
        InputSpec { kind, ..self }
    }

    /// The same input with axes of these lengths, the sample axis included.
    #[must_use]
    pub fn shaped(self, shape: Vec<Dim>) -> Self {
        InputSpec { shape: Some(shape), ..self }
    }

    /// The same input with its samples along another axis, or shared by all samples.
    #[must_use]
    pub fn samples_along(self, sample_axis: Option<usize>) -> Self {
        InputSpec { sample_axis, ..self }
    }
}

impl fmt::Display for InputSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)?;
        let Some(shape) = &self.shape else { return Ok(()) };
        let axes: Vec<String> = shape.iter().map(Dim::to_string).collect();
        write!(f, " [{}]", axes.join(", "))
    }
}

/// An output of a model.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct OutputSpec {
    /// Its name.
    pub name: String,
    /// The axis along which samples lie.
    pub sample_axis: usize,
    /// The axis of classes (or of a regression's components), counted like the sample axis; losses
    /// see it as axis 1 of `[N, C, *]`.
    pub class_axis: usize,
    /// Whether this is the output that losses compare with targets.
    pub prediction: bool,
}

impl OutputSpec {
    /// An output `[N, C, *]`, the prediction.
    pub fn new(name: &str) -> Self {
        OutputSpec { name: name.into(), sample_axis: 0, class_axis: 1, prediction: true }
    }

    /// The same output with its samples along another axis.
    #[must_use]
    pub fn samples_along(self, sample_axis: usize) -> Self {
        OutputSpec { sample_axis, ..self }
    }

    /// The same output with its classes along another axis.
    #[must_use]
    pub fn classes_along(self, class_axis: usize) -> Self {
        OutputSpec { class_axis, ..self }
    }

    /// The same output, which losses see or do not.
    #[must_use]
    pub fn predicting(self, prediction: bool) -> Self {
        OutputSpec { prediction, ..self }
    }
}

/// Arrays for a model's inputs, by name or in the model's order.
///
/// ```
/// use vivit_autodiff::Inputs;
/// use vivit_tensor::{Device, Tensor};
///
/// let x = Tensor::zeros(&Device::cpu(), [8, 3]);
/// let single = Inputs::from(&x);
/// let named = Inputs::new().with("ids", x.clone()).with("mask", x);
/// assert_eq!((single.len(), named.len()), (1, 2));
/// ```
#[derive(Clone, Debug, Default)]
pub struct Inputs {
    arrays: Vec<(Option<String>, Tensor)>,
}

impl Inputs {
    /// No arrays yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// The same arrays and one for the input `name`.
    #[must_use]
    pub fn with(mut self, name: &str, value: Tensor) -> Self {
        self.arrays.push((Some(name.into()), value));
        self
    }

    /// The same arrays and one for the first input that none is for.
    #[must_use]
    pub fn and(mut self, value: Tensor) -> Self {
        self.arrays.push((None, value));
        self
    }

    /// Number of arrays.
    pub fn len(&self) -> usize {
        self.arrays.len()
    }

    /// Whether there is no array.
    pub fn is_empty(&self) -> bool {
        self.arrays.is_empty()
    }

    /// Names and arrays, in the order in which they were given; arrays without a name are for the
    /// inputs that no name is for, in the model's order.
    pub fn iter(&self) -> impl Iterator<Item = (Option<&str>, &Tensor)> {
        self.arrays.iter().map(|(name, value)| (name.as_deref(), value))
    }

    /// One array per input of a model, in the model's order.
    ///
    /// # Errors
    /// If an array is missing, surplus, given twice or misnamed, or has another number of axes or
    /// other fixed lengths than the input states, or axes of one name differ; all of it at once.
    pub fn matched<'i>(&'i self, specs: &[InputSpec]) -> Result<Vec<&'i Tensor>, Error> {
        let mut slots: Vec<Option<&Tensor>> = vec![None; specs.len()];
        let mut problems = Vec::new();
        let known = || specs.iter().map(InputSpec::to_string).collect::<Vec<_>>().join(", ");
        for (name, value) in self.iter() {
            let Some(name) = name else { continue };
            match specs.iter().position(|spec| spec.name == name) {
                None => problems.push(format!("there is no input {name}; there are {}", known())),
                Some(at) if slots[at].is_some() => {
                    problems.push(format!("input {name} is given twice"))
                }
                Some(at) => slots[at] = Some(value),
            }
        }
        for (_, value) in self.iter().filter(|(name, _)| name.is_none()) {
            match slots.iter_mut().find(|slot| slot.is_none()) {
                Some(slot) => *slot = Some(value),
                None => problems.push(format!(
                    "an array of shape {} is given beyond the inputs {}",
                    value.shape(),
                    known()
                )),
            }
        }
        let missing = specs.iter().zip(&slots).filter(|(_, slot)| slot.is_none());
        problems.extend(missing.map(|(spec, _)| format!("input {spec} is missing")));
        problems.extend(misshapen(specs, &slots));
        if !problems.is_empty() {
            return Err(Error::Inputs { problems });
        }
        Ok(slots.into_iter().flatten().collect())
    }
}

impl From<&Tensor> for Inputs {
    fn from(value: &Tensor) -> Self {
        Inputs::new().and(value.clone())
    }
}

impl From<Tensor> for Inputs {
    fn from(value: Tensor) -> Self {
        Inputs::new().and(value)
    }
}

impl From<&Inputs> for Inputs {
    fn from(inputs: &Inputs) -> Self {
        inputs.clone()
    }
}

/// What does not fit of the shapes; the sample axis is [`Graph::new`]'s to check.
fn misshapen(specs: &[InputSpec], slots: &[Option<&Tensor>]) -> Vec<String> {
    let mut problems = Vec::new();
    let mut known: Vec<(&str, usize, &str)> = Vec::new();
    for (spec, value) in specs.iter().zip(slots) {
        let (Some(shape), Some(value)) = (&spec.shape, value) else { continue };
        let got = value.shape();
        if got.rank() != shape.len() {
            problems.push(format!("input {spec} has {} axes, got {got}", shape.len()));
            continue;
        }
        for (axis, dim) in shape.iter().enumerate() {
            if spec.sample_axis == Some(axis) {
                continue;
            }
            match dim {
                Dim::Fixed(len) if *len != got[axis] => problems
                    .push(format!("input {spec} has {len} entries along axis {axis}, got {got}")),
                Dim::Fixed(_) => {}
                Dim::Free(name) => match known.iter().find(|(of, ..)| of == name) {
                    Some((_, len, first)) if *len != got[axis] => problems.push(format!(
                        "axis {name} has {len} entries in input {first}, but {} in input {}",
                        got[axis], spec.name
                    )),
                    Some(_) => {}
                    None => known.push((name, got[axis], &spec.name)),
                },
            }
        }
    }
    problems
}

/// Whatever records a graph from named inputs: rows of layers, imported graphs, a function of a
/// user's own.
///
/// Results, directions and steps are keyed by a parameter's place in [`params`](Model::params),
/// which is its number on the graph's tape.
///
/// ```
/// use vivit_autodiff::{Error, Graph, InputSpec, Inputs, Model, OutputSpec, Param, Tape};
/// use vivit_tensor::{Device, Tensor};
///
/// struct Line {
///     inputs: [InputSpec; 1],
///     outputs: [OutputSpec; 1],
///     params: Vec<Param>,
/// }
///
/// impl Model for Line {
///     fn inputs(&self) -> &[InputSpec] { &self.inputs }
///     fn outputs(&self) -> &[OutputSpec] { &self.outputs }
///     fn params(&self) -> &[Param] { &self.params }
///     fn device(&self) -> &Device { self.params[0].value.device() }
///     fn record(&self, inputs: &Inputs) -> Result<Graph, Error> {
///         let mut tape = Tape::new(self.device());
///         let slope = tape.named_param(&self.params[0].name, self.params[0].value.clone());
///         let x = tape.input(inputs.matched(&self.inputs)?[0].clone());
///         let y = tape.linear(x, slope, None);
///         Graph::new(tape, y)
///     }
/// }
///
/// let slope = Tensor::full(&Device::cpu(), [1, 1], 2.0);
/// let line = Line {
///     inputs: [InputSpec::new("x")],
///     outputs: [OutputSpec::new("y")],
///     params: vec![Param { name: "slope".into(), value: slope }],
/// };
/// let graph = line.record(&Tensor::full(&Device::cpu(), [3, 1], 0.5).into())?;
/// assert_eq!(graph.value().to_vec()?, [1.0; 3]);
/// # Ok::<(), Error>(())
/// ```
pub trait Model: Send + Sync {
    /// The inputs.
    fn inputs(&self) -> &[InputSpec];

    /// The outputs; one of them is the prediction.
    fn outputs(&self) -> &[OutputSpec];

    /// The parameters, in the order of their numbers.
    fn params(&self) -> &[Param];

    /// The device, with the precision of the model's arrays.
    fn device(&self) -> &Device;

    /// Records a forward pass in evaluation mode, whose output is the prediction `[N, C, *]`. The
    /// graph's parameters are [`params`](Model::params), in this order.
    ///
    /// # Errors
    /// If the inputs do not fit the model.
    fn record(&self, inputs: &Inputs) -> Result<Graph, Error>;
}

//! Models as text: a list of layers in JSON.
//!
//! A description is a list with one object per layer: its `op`, and its options under their names.
//!
//! ```json
//! [
//!     {"op": "conv2d", "in": 1, "out": 4, "kernel": 3, "padding": 1},
//!     {"op": "residual", "body": [{"op": "relu"}, {"op": "conv2d", "in": 4, "out": 4, "kernel": 1}]},
//!     {"op": "flatten"},
//!     {"op": "linear", "in": 64, "out": 10, "bias": false}
//! ]
//! ```
//!
//! Options that PyTorch has a default for may be left out; what belongs to spatial axes is one
//! number for all of them or a list. A layer's `op` and options are in [`layers`]' source, one arm
//! per op. Unknown ops and options are errors, so that no description is half understood.

mod options;
mod read;
#[cfg(test)]
mod tests;

use std::fmt;

pub use options::Options;
pub use read::layers;
pub use serde_json::Value;

use serde_json::Map;
use vivit_tensor::Device;

use crate::{Error, Layer, Sequential};

/// What keeps a description and layers apart: where, and why.
#[derive(Clone, Debug, PartialEq)]
pub struct DescriptionError {
    /// The layer's path in the list, `"2.body.0"`; empty for the list as a whole.
    pub path: String,
    /// What is wrong.
    pub problem: DescriptionProblem,
}

/// What is wrong with a description.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum DescriptionProblem {
    /// The text is no JSON.
    Json {
        /// Why not.
        reason: String,
    },
    /// Something that should be a list of layers is not.
    NotAList {
        /// What it is.
        got: String,
    },
    /// A layer without `op`.
    NoOp {
        /// What there is.
        got: String,
    },
    /// An `op` that the library does not have.
    UnknownOp {
        /// The op.
        op: String,
    },
    /// An option that the op does not have.
    UnknownOption {
        /// The op.
        op: String,
        /// The option.
        option: String,
        /// The options that it has.
        known: Vec<String>,
    },
    /// An option that must be there and is not.
    MissingOption {
        /// The op.
        op: String,
        /// The option.
        option: String,
    },
    /// An option with a value that it can't have.
    InvalidOption {
        /// The op.
        op: String,
        /// The option.
        option: String,
        /// What it may be.
        expected: String,
        /// What it was.
        got: String,
    },
    /// A layer that has no description.
    NotDescribed {
        /// The layer, in words.
        layer: String,
    },
}

impl DescriptionError {
    /// An error of the layer itself; containers prepend the path.
    pub fn new(problem: DescriptionProblem) -> Self {
        DescriptionError { path: String::new(), problem }
    }

    /// The same error, seen from the container that calls the layer `name`.
    #[must_use]
    pub fn inside(mut self, name: &str) -> Self {
        self.path =
            if self.path.is_empty() { name.into() } else { format!("{name}.{}", self.path) };
        self
    }
}

impl fmt::Display for DescriptionError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.path.as_str() {
            "" => write!(f, "the model's description: {}", self.problem),
            path => write!(f, "layer {path} of the model's description: {}", self.problem),
        }
    }
}

impl fmt::Display for DescriptionProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            DescriptionProblem::Json { reason } => write!(f, "this is no JSON: {reason}"),
            DescriptionProblem::NotAList { got } => {
                write!(f, "expected a list of layers, got {got}")
            }
            DescriptionProblem::NoOp { got } => {
                write!(
                    f,
                    "expected a layer, an object with the name of an op under \"op\", got {got}"
                )
            }
            DescriptionProblem::UnknownOp { op } => write!(f, "there is no op {op:?}"),
            DescriptionProblem::UnknownOption { op, option, known } if known.is_empty() => {
                write!(f, "{op} has no options, but {option:?} is given")
            }
            DescriptionProblem::UnknownOption { op, option, known } => {
                write!(f, "{op} has no option {option:?}; it has {}", known.join(", "))
            }
            DescriptionProblem::MissingOption { op, option } => {
                write!(f, "{op} needs the option {option:?}")
            }
            DescriptionProblem::InvalidOption { op, option, expected, got } => {
                write!(f, "{option:?} of {op} must be {expected}, got {got}")
            }
            DescriptionProblem::NotDescribed { layer } => {
                write!(f, "{layer} can't be described in JSON")
            }
        }
    }
}

impl std::error::Error for DescriptionError {}

/// Reads a text as JSON.
///
/// # Errors
/// If it is none.
pub fn parse(text: &str) -> Result<Value, DescriptionError> {
    let json = |error: serde_json::Error| DescriptionProblem::Json { reason: error.to_string() };
    serde_json::from_str(text).map_err(|error| DescriptionError::new(json(error)))
}

/// The description of layers: what [`layers`] reads, with all options.
///
/// # Errors
/// If one has no description, with its path.
///
/// # Examples
/// ```
/// use vivit_nn::{description, linear, relu};
///
/// let layers = vec![linear(4, 3), relu()];
/// let text = r#"[{"op": "linear", "in": 4, "out": 3, "bias": true}, {"op": "relu"}]"#;
/// assert_eq!(description::of(&layers)?, description::parse(text)?);
/// # Ok::<(), vivit_nn::Error>(())
/// ```
pub fn of(layers: &[Box<dyn Layer>]) -> Result<Value, DescriptionError> {
    let mut list = Vec::with_capacity(layers.len());
    for (at, layer) in layers.iter().enumerate() {
        let description =
            layer.describe().and_then(|description| complete(layer.name(), description));
        list.push(description.map_err(|error| error.inside(&at.to_string()))?);
    }
    Ok(Value::Array(list))
}

/// Refuses the nothing that a NaN or an infinity becomes in JSON: read back, it would be the
/// option's default.
fn complete(layer: String, description: Value) -> Result<Value, DescriptionError> {
    if description.as_object().is_some_and(|options| options.values().any(Value::is_null)) {
        return Err(DescriptionError::new(DescriptionProblem::NotDescribed { layer }));
    }
    Ok(description)
}

/// # Descriptions
impl Sequential {
    /// The model of a description, with PyTorch's default initialisation, drawn from `seed`.
    ///
    /// # Errors
    /// If the description names an op or option that there is not, or lacks one, with the path of
    /// the layer; or the layers make no model.
    ///
    /// # Examples
    /// ```
    /// use vivit_nn::{Sequential, description};
    /// use vivit_tensor::Device;
    ///
    /// let text = r#"[{"op": "linear", "in": 4, "out": 3}, {"op": "tanh"}, {"op": "linear", "in": 3, "out": 2}]"#;
    /// let model = Sequential::from_description(&Device::cpu(), &description::parse(text)?, 0)?;
    /// assert_eq!(model.num_params(), 23);
    ///
    /// // With the state dictionary, this is all that is needed to have the model again elsewhere.
    /// let (layers, state) = (model.description()?.to_string(), model.to_safetensors()?);
    /// let mut again = Sequential::from_description(&Device::cpu_f64(), &description::parse(&layers)?, 0)?;
    /// again.load_safetensors(&state)?;
    ///
    /// let typo = description::parse(r#"[{"op": "linear", "in": 4, "out": 3, "biass": false}]"#)?;
    /// let error = Sequential::from_description(&Device::cpu(), &typo, 0).unwrap_err();
    /// assert!(error.to_string().contains("linear has no option \"biass\""));
    /// # Ok::<(), vivit_nn::Error>(())
    /// ```
    pub fn from_description(
        device: &Device,
        description: &Value,
        seed: u64,
    ) -> Result<Self, Error> {
        Sequential::new(device, layers(description)?, seed)
    }

    /// The model's layers as a description.
    ///
    /// # Errors
    /// If a layer has none, with its path: layers of one's own, unless they implement
    /// [`Layer::describe`].
    pub fn description(&self) -> Result<Value, Error> {
        Ok(of(self.layers())?)
    }
}

/// A JSON value in an error message, cut where it is long.
fn shown(value: &Value) -> String {
    let text = value.to_string();
    match text.char_indices().nth(60) {
        Some((at, _)) => format!("{}…", &text[..at]),
        None => text,
    }
}

fn object(description: &Value) -> Result<(&str, &Map<String, Value>), DescriptionError> {
    let options = description.as_object();
    let op = options.and_then(|options| options.get("op")?.as_str());
    op.zip(options)
        .ok_or_else(|| DescriptionError::new(DescriptionProblem::NoOp { got: shown(description) }))
}

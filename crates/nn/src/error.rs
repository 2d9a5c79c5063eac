//! What can go wrong with a model.

use std::fmt;
use std::path::{Path, PathBuf};

use crate::description::error::DescriptionError;
use crate::graph::GraphError;
use crate::state::problem::{StateProblem, listed};

/// A layer that can't take its input: where in the model, and why.
#[derive(Clone, PartialEq, Eq)]
pub struct ShapeError {
    /// The layer's path in the model, `"2.body.0"`; empty for the layer itself.
    pub path: String,
    /// The layer, in words.
    pub layer: String,
    /// What it was given and what it needs.
    pub reason: String,
}

impl ShapeError {
    /// An error of the layer itself; containers prepend the path.
    pub fn new(layer: impl Into<String>, reason: impl Into<String>) -> Self {
        ShapeError { path: String::new(), layer: layer.into(), reason: reason.into() }
    }

    /// The same error, seen from the container that calls the layer `name`.
    #[must_use]
    pub fn inside(mut self, name: &str) -> Self {
        self.path =
            if self.path.is_empty() { name.into() } else { format!("{name}.{}", self.path) };
        self
    }
}

impl fmt::Display for ShapeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.path.as_str() {
            "" => write!(f, "layer {}: {}", self.layer, self.reason),
            path => write!(f, "layer {path} ({}): {}", self.layer, self.reason),
        }
    }
}

impl std::error::Error for ShapeError {}

/// Errors of building, running and changing models.
#[derive(Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A layer can't take what reaches it.
    #[error(transparent)]
    Shape(#[from] ShapeError),
    /// A layer that shares the parameters of one that does not come before it in the same row.
    #[error(
        "layer {path} shares the parameters of layer {layer}, which is not an earlier layer of its \
         own in the same row"
    )]
    Shared {
        /// Path of the sharing layer.
        path: String,
        /// Index of the layer that it names.
        layer: usize,
    },
    /// Layers wired together in a way that can't be.
    #[error("wiring: {0}")]
    Wiring(String),
    /// A parameter that the model does not have.
    #[error("the model has no parameter {name}; it has {}", .known.join(", "))]
    UnknownParameter {
        /// The name asked for.
        name: String,
        /// The names of its parameters.
        known: Vec<String>,
    },
    /// A parameter that does not fit into memory.
    #[error("parameter {name} of shape {shape:?} does not fit into memory")]
    TooLarge {
        /// The parameter.
        name: String,
        /// Its shape.
        shape: Vec<usize>,
    },
    /// A parameter value of the wrong shape.
    #[error("parameter {name} has shape {expected:?}, not {got:?}")]
    ParameterShape {
        /// The parameter.
        name: String,
        /// Its shape.
        expected: Vec<usize>,
        /// The shape given.
        got: Vec<usize>,
    },
    /// A number that is no index into a vocabulary.
    #[error("input {value} at index {index:?} is no row of the vocabulary of {vocabulary}: whole \
             numbers from 0 to {}", .vocabulary - 1)]
    Vocabulary {
        /// The number.
        value: f64,
        /// Where it is.
        index: Vec<usize>,
        /// Size of the vocabulary.
        vocabulary: usize,
    },
    /// An option out of its range.
    #[error("{what} must be {expected}, got {value}")]
    Option {
        /// The option.
        what: &'static str,
        /// What it may be.
        expected: &'static str,
        /// What it was.
        value: f64,
    },
    /// An optimizer that remembers another model's parameters.
    #[error(
        "the optimizer remembers {before:?} where this model's parameter {name} has shape \
         {shape:?}; make one optimizer per model"
    )]
    OtherModel {
        /// The parameter.
        name: String,
        /// Its shape.
        shape: Vec<usize>,
        /// The shape of what the optimizer remembers in its place.
        before: Vec<usize>,
    },
    /// The state of another kind of optimizer.
    #[error("this is the state of the optimizer {got:?}, not of {expected}")]
    OtherOptimizer {
        /// The kind that takes it.
        expected: &'static str,
        /// The kind that it is of.
        got: String,
    },
    /// A state that its kind of optimizer can't take.
    #[error("the state of the optimizer {kind:?} holds {what}")]
    OptimizerState {
        /// The kind.
        kind: String,
        /// What there is, or is not.
        what: String,
    },
    /// A layer that can't be written as nodes of a graph model.
    #[error("layer {path} ({layer}) can't be part of a graph model: {reason}")]
    NoNodes {
        /// The layer's path in the model; empty for the model itself.
        path: String,
        /// The layer, in words.
        layer: String,
        /// Why not.
        reason: String,
    },
    /// A description that is none, or a layer that has none.
    #[error(transparent)]
    Description(#[from] DescriptionError),
    /// Parts that make no graph, or a node that can't take what reaches it.
    #[error(transparent)]
    Graph(#[from] GraphError),
    /// A state dictionary that is not this model's.
    #[error("the state dictionary does not fit the model:{}", listed(.problems, .hint.as_deref()))]
    State {
        /// All that is wrong with it.
        problems: Vec<StateProblem>,
        /// What may help, if the names differ by one pattern.
        hint: Option<String>,
    },
    /// A name of which a file has no array.
    #[error("there is no array {name}; there are {}", .known.join(", "))]
    NoArray {
        /// The name.
        name: String,
        /// The names that there are.
        known: Vec<String>,
    },
    /// An array of another element type than what is asked for.
    #[error("array {name} of shape {shape:?} has element type {dtype}, but {expected} are needed")]
    ArrayType {
        /// Its name.
        name: String,
        /// Its element type, as safetensors calls it.
        dtype: String,
        /// Its shape.
        shape: Vec<usize>,
        /// What it may be.
        expected: &'static str,
    },
    /// Bytes that are no state dictionary.
    #[error("this is no safetensors file, or not all of one: {reason}")]
    NotSafetensors {
        /// Why not.
        reason: String,
    },
    /// The system did not read or write.
    #[error("{reason}")]
    Io {
        /// What it said.
        reason: String,
    },
    /// An error of a file.
    #[error("{}: {source}", .path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: Box<Error>,
    },
    /// Recording failed.
    #[error(transparent)]
    Autodiff(#[from] vivit_autodiff::Error),
}

impl Error {
    /// The same error, of a file.
    pub(crate) fn in_file(self, path: &Path) -> Self {
        Error::File { path: path.into(), source: Box::new(self) }
    }
}

/// Unwraps what recording said, and wraps what is a model's own.
impl From<Error> for vivit_autodiff::Error {
    fn from(error: Error) -> Self {
        match error {
            Error::Autodiff(error) => error,
            other => vivit_autodiff::ForeignError::new(other).into(),
        }
    }
}

impl From<vivit_tensor::Error> for Error {
    fn from(error: vivit_tensor::Error) -> Self {
        Error::Autodiff(error.into())
    }
}

vivit_tensor::debug_as_display!(ShapeError, Error);

//! What can go wrong with a description.

use std::fmt;

/// What keeps a description and layers apart: where, and why.
#[derive(Clone, PartialEq)]
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
        /// The ops that it has.
        known: Vec<String>,
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
    /// Steps of a wiring that can't be.
    Wiring {
        /// Why not.
        reason: String,
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
            DescriptionProblem::UnknownOp { op, known } => {
                write!(f, "there is no op {op:?}; there are {}", known.join(", "))
            }
            DescriptionProblem::UnknownOption { op, option, known } if known.is_empty() => {
                write!(f, "{op} has no options, but {option:?} is given")
            }
            DescriptionProblem::UnknownOption { op, option, known } => {
                write!(f, "{op} has no option {option:?}; it has {}", known.join(", "))
            }
            DescriptionProblem::MissingOption { op, option } => {
                write!(f, "{op} needs the option {option:?}, which has no default")
            }
            DescriptionProblem::InvalidOption { op, option, expected, got } => {
                write!(f, "{option:?} of {op} must be {expected}, got {got}")
            }
            DescriptionProblem::Wiring { reason } => write!(f, "wiring: {reason}"),
            DescriptionProblem::NotDescribed { layer } => {
                write!(
                    f,
                    "{layer} can't be described in JSON: only the library's layers can, with \
                     finite numbers as options; leave the layer out, or keep the model as a \
                     program and its state dictionary"
                )
            }
        }
    }
}

impl std::error::Error for DescriptionError {}

vivit_tensor::debug_as_display!(DescriptionError);

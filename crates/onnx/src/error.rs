//! What can go wrong with an ONNX file.

use std::fmt;
use std::path::PathBuf;

/// One thing that is wrong with an ONNX file, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Problem {
    /// An operation that the importer does not know, and the nodes that use it.
    Operation {
        /// The operation, with its domain unless that is ONNX's own.
        op: String,
        /// The nodes.
        nodes: Vec<String>,
    },
    /// A node that can't be imported.
    Node {
        /// The node.
        node: String,
        /// Its operation.
        op: String,
        /// Why not.
        reason: String,
    },
    /// An array that can't be read.
    Tensor {
        /// Its name.
        name: String,
        /// Why not.
        reason: String,
    },
    /// Something about the file as a whole.
    File {
        /// What it is.
        reason: String,
    },
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Problem::Operation { op, nodes } => {
                write!(f, "operation {op} is not supported (")?;
                let shown = nodes.iter().take(5).map(String::as_str).collect::<Vec<_>>();
                f.write_str(&shown.join(", "))?;
                match nodes.len().checked_sub(5).filter(|&more| more > 0) {
                    Some(more) => write!(f, " and {more} more)"),
                    None => f.write_str(")"),
                }
            }
            Problem::Node { node, op, reason } => write!(f, "node {node} ({op}): {reason}"),
            Problem::Tensor { name, reason } => write!(f, "array {name}: {reason}"),
            Problem::File { reason } => f.write_str(reason),
        }
    }
}

/// Errors of reading ONNX files.
#[derive(Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The system did not read.
    #[error("{}: {reason}", .path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        reason: String,
    },
    /// Bytes that are no ONNX file.
    #[error("this is no ONNX file, or not all of one: {reason}")]
    NotOnnx {
        /// Why not.
        reason: String,
    },
    /// A file that can't be imported.
    #[error("the file can't be imported:{}", listed(.problems))]
    Unsupported {
        /// All that is wrong with it.
        problems: Vec<Problem>,
    },
    /// A choice of parameters, names or axes that does not fit the file.
    #[error("{0}")]
    Choice(String),
    /// An error of a file.
    #[error("{}: {source}", .path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: Box<Error>,
    },
    /// The nodes make no model, or a state dictionary can't be read.
    #[error(transparent)]
    Model(Box<vivit_nn::Error>),
}

impl From<vivit_nn::Error> for Error {
    fn from(error: vivit_nn::Error) -> Self {
        Error::Model(Box::new(error))
    }
}

fn listed(problems: &[Problem]) -> String {
    match problems {
        [problem] => format!(" {problem}"),
        problems => problems.iter().map(|problem| format!("\n  {problem}")).collect(),
    }
}

vivit_tensor::debug_as_display!(Error);

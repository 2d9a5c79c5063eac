//! What can be wrong with a graph model.

use std::fmt;

/// One thing that is wrong with a graph, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum GraphProblem {
    /// A name that is given twice.
    Repeated {
        /// The name.
        name: String,
    },
    /// A name that nothing has.
    Unknown {
        /// The name.
        name: String,
        /// Who reads it: a node's name, or an output.
        reader: String,
    },
    /// Nodes that wait for each other.
    Cycle {
        /// Their names.
        nodes: Vec<String>,
    },
    /// An operation that there is not.
    Operation {
        /// The operation.
        op: String,
        /// The node.
        node: String,
    },
    /// An option that an operation does not have.
    Option {
        /// The option.
        option: String,
        /// The operation.
        op: String,
        /// The node.
        node: String,
        /// The operation's options.
        known: Vec<String>,
    },
    /// Too few or too many arguments.
    Arguments {
        /// The node.
        node: String,
        /// The operation.
        op: String,
        /// How many there are.
        got: usize,
        /// The smallest and the largest number.
        expected: (usize, usize),
    },
    /// An array whose numbers are not those of its shape.
    Array {
        /// Its name.
        name: String,
        /// Why not.
        reason: String,
    },
    /// Inputs or outputs that make no model.
    Interface {
        /// Why not.
        reason: String,
    },
    /// A node that can't take what reaches it.
    Node {
        /// The node.
        node: String,
        /// The operation.
        op: String,
        /// The shapes of its arguments.
        shapes: String,
        /// Why not.
        reason: String,
    },
}

impl fmt::Display for GraphProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            GraphProblem::Repeated { name } => {
                write!(f, "the name {name} is given twice; every value needs a name of its own")
            }
            GraphProblem::Unknown { name, reader } => {
                write!(f, "{reader} reads {name}, which nothing computes")
            }
            GraphProblem::Cycle { nodes } => {
                write!(f, "nodes wait for each other: {}", nodes.join(", "))
            }
            GraphProblem::Operation { op, node } => {
                write!(f, "node {node}: there is no operation {op}")
            }
            GraphProblem::Option { option, op, node, known } if known.is_empty() => {
                write!(f, "node {node}: {op} has no options, but {option:?} is given")
            }
            GraphProblem::Option { option, op, node, known } => {
                write!(f, "node {node}: {op} has no option {option:?}, but {}", known.join(", "))
            }
            GraphProblem::Arguments { node, op, got, expected: (least, most) } => {
                write!(f, "node {node}: {op} takes ")?;
                match most {
                    _ if least == most => write!(f, "{least}"),
                    &usize::MAX => write!(f, "at least {least}"),
                    _ => write!(f, "{least} to {most}"),
                }?;
                write!(f, " arguments, got {got}")
            }
            GraphProblem::Array { name, reason } => write!(f, "array {name}: {reason}"),
            GraphProblem::Interface { reason } => f.write_str(reason),
            GraphProblem::Node { node, op, shapes, reason } => {
                write!(f, "node {node} ({op} of {shapes}): {reason}")
            }
        }
    }
}

/// All that is wrong with a graph.
#[derive(Clone, PartialEq, Eq)]
pub struct GraphError {
    /// What it is.
    pub problems: Vec<GraphProblem>,
}

impl GraphError {
    /// One thing that is wrong.
    pub(crate) fn one(problem: GraphProblem) -> Self {
        GraphError { problems: vec![problem] }
    }
}

impl fmt::Display for GraphError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the graph can't be run:")?;
        match &self.problems[..] {
            [problem] => write!(f, " {problem}"),
            problems => problems.iter().try_for_each(|problem| write!(f, "\n  {problem}")),
        }
    }
}

impl std::error::Error for GraphError {}

vivit_tensor::debug_as_display!(GraphError);

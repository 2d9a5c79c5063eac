//! What a node computes.

use vivit_autodiff::{InputKind, Var};

/// Where an array is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// On the host, in double precision, without a sample axis: shapes, indices, constants.
    Host,
    /// On the model's device, on the tape that is differentiated.
    Device,
}

/// An array that a node reads or computes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Array {
    pub var: Var,
    pub place: Place,
    pub kind: InputKind,
    /// Whether the array is the matrix `var`, transposed: a linear layer's weight on its way into a
    /// product, which takes it as it is.
    pub turned: bool,
}

/// What a node computes.
#[derive(Clone, Debug)]
pub(crate) enum Value {
    Array(Array),
    List(Vec<Array>),
}

impl From<Array> for Value {
    fn from(array: Array) -> Self {
        Value::Array(array)
    }
}

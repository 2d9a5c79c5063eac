//! Names of what a tape holds: values, and parameters.

/// A value on a tape: a copyable position that knows which tape it is of. Another tape refuses it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Var {
    /// The number of its tape.
    pub(crate) tape: u32,
    pub(crate) index: u32,
}

impl Var {
    /// The position on the tape.
    pub fn index(self) -> usize {
        self.index as usize
    }
}

/// The number of a parameter: its place among the parameters that were recorded on a tape, or
/// that a model registers.
///
/// Unlike a [`Var`] it means the same in every graph of a model: results, directions and steps are
/// keyed by it and move between batches, checkpoints and processes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ParamId(u32);

impl ParamId {
    /// The parameter at a place, counted from 0.
    ///
    /// # Panics
    /// From 2³² on.
    pub fn new(index: usize) -> Self {
        ParamId(u32::try_from(index).expect("a model has fewer than 2³² parameters"))
    }

    /// The place, counted from 0.
    pub fn index(self) -> usize {
        self.0 as usize
    }
}

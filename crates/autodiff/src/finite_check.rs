//! What must hold of numbers that lie on a device.

use std::fmt;
use std::sync::Arc;

use vivit_tensor::Tensor;

use crate::Error;

/// Makes the error of a position and the value there.
type Fault = Arc<dyn Fn(usize, f64) -> Error + Send + Sync>;

/// The claim that an array has no NaN and no infinity, and the error if it has.
#[derive(Clone)]
pub struct FiniteCheck {
    array: Tensor,
    /// Where the error's value is read.
    shown: Tensor,
    fault: Fault,
}

impl fmt::Debug for FiniteCheck {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "claim of {}", self.array.shape())
    }
}

impl FiniteCheck {
    /// That `array` is finite; errors call it `what`.
    pub fn finite(array: &Tensor, what: impl Into<String>) -> Self {
        let (what, shape) = (what.into(), *array.shape());
        let fault = move |at: usize, value| Error::NonFinite {
            what: what.clone(),
            index: shape.index_of(at),
            value,
        };
        FiniteCheck { array: array.clone(), shown: array.clone(), fault: Arc::new(fault) }
    }

    /// That all entries of `of` are as they should be: `witness`, of the same length, is finite
    /// exactly where they are. `fault` makes the error of a position in `of` and the value there.
    pub fn witnessed(
        witness: Tensor,
        of: &Tensor,
        fault: impl Fn(usize, f64) -> Error + Send + Sync + 'static,
    ) -> Self {
        assert_eq!(witness.len(), of.len(), "a witness for every entry");
        FiniteCheck { array: witness, shown: of.clone(), fault: Arc::new(fault) }
    }

    /// What is looked at.
    pub(crate) fn array(&self) -> &Tensor {
        &self.array
    }

    /// The error of a position that is not finite.
    pub(crate) fn error(&self, at: usize) -> Result<Error, Error> {
        Ok((self.fault)(at, self.shown.to_vec()?[at]))
    }
}

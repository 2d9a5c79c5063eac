//! What must hold of numbers that lie on a device: looked at there while the work goes on, settled
//! before any result is returned.

use std::fmt;
use std::sync::Arc;

use vivit_tensor::{Buffer, HostVec, Matrix, NonFiniteSearch, Scalar, Tensor};

use crate::{Error, Graph};

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
        let fault = move |at: usize, value| {
            let strides = shape.strides();
            let index = (0..shape.rank()).map(|axis| at / strides[axis] % shape[axis]).collect();
            Error::NonFinite { what: what.clone(), index, value }
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

    fn error(&self, at: usize) -> Result<Error, Error> {
        Ok((self.fault)(at, self.shown.to_vec()?[at]))
    }
}

/// Claims that a device may still be looking at. Results count once they are settled.
#[must_use = "results count only once the claims are settled"]
pub struct PendingChecks<'g> {
    graph: &'g Graph,
    /// Whether the graph's own numbers are among the claims.
    whole: bool,
    claims: Vec<FiniteCheck>,
    search: NonFiniteSearch,
}

impl fmt::Debug for PendingChecks<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PendingChecks")
            .field("claims", &self.claims)
            .field("search", &self.search)
            .finish()
    }
}

impl<'g> PendingChecks<'g> {
    /// Has the device look at all numbers of a graph, and at more; does not wait.
    ///
    /// # Errors
    /// If the device failed, or knows already that a claim does not hold: the first one's error.
    pub(crate) fn whole(graph: &'g Graph, more: Vec<FiniteCheck>) -> Result<Self, Error> {
        let mut claims = graph.claims();
        claims.extend(more);
        Self::start(graph, true, claims)
    }

    /// As [`whole`](PendingChecks::whole), of the claims alone.
    pub(crate) fn of(graph: &'g Graph, claims: Vec<FiniteCheck>) -> Result<Self, Error> {
        Self::start(graph, false, claims)
    }

    fn start(graph: &'g Graph, whole: bool, claims: Vec<FiniteCheck>) -> Result<Self, Error> {
        let arrays: Vec<&Buffer> = claims.iter().map(|claim| claim.array.buf()).collect();
        let search = if claims.is_empty() {
            NonFiniteSearch::Done(None)
        } else {
            graph.tape().device().search_non_finite(&arrays)?
        };
        let mut pending = PendingChecks { graph, whole, claims, search };
        if matches!(pending.search, NonFiniteSearch::Done(_)) {
            pending.finish()?;
        }
        Ok(pending)
    }

    fn finish(&mut self) -> Result<(), Error> {
        match self.search.wait()? {
            Some((number, at)) => Err(self.claims[number].error(at)?),
            None => {
                self.holds();
                Ok(())
            }
        }
    }

    fn holds(&mut self) {
        if self.whole {
            self.graph.is_finite();
        }
        self.search = NonFiniteSearch::Done(None);
    }

    /// Waits for the device's answer.
    ///
    /// # Errors
    /// If a claim does not hold, or the device failed.
    pub fn wait(mut self) -> Result<(), Error> {
        self.finish()
    }

    /// The error of the first claim that does not hold; if all do, `other`.
    pub(crate) fn error_or<E: From<Error>>(mut self, other: E) -> E {
        self.finish().map_or_else(E::from, |()| other)
    }

    /// Reads a result: its entries tell, too, whether the claims hold, so nothing else is waited
    /// for.
    ///
    /// # Errors
    /// If a claim does not hold, or the device failed.
    pub fn read(&mut self, mut result: Tensor) -> Result<HostVec, Error> {
        if matches!(self.search, NonFiniteSearch::Done(None)) {
            return Ok(result.to_host()?);
        }
        let device = result.device().clone();
        self.search.mark(&*device, result.buf_mut());
        let entries = result.to_host()?;
        // Without a number to tell, or with a NaN that may be the result's own, the device is
        // asked.
        if !entries.is_empty() && entries.at(0).is_finite() {
            self.holds()
        } else {
            self.finish()?
        }
        Ok(entries)
    }

    /// As [`read`](PendingChecks::read), as a matrix: the first axis indexes rows.
    ///
    /// # Errors
    /// As there.
    pub fn read_matrix<E: Scalar>(&mut self, result: Tensor) -> Result<Matrix<E>, Error> {
        let (rows, cols) = (result.shape()[0], result.shape().tail().size());
        Ok(Matrix::new(rows, cols, self.read(result)?.into_vec()))
    }
}

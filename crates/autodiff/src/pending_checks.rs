//! Claims that are looked at on a device while the work goes on, and settled before any result is
//! returned.

use std::fmt;

use vivit_tensor::{Buffer, HostVec, Matrix, NonFiniteSearch, Scalar, Tensor};

use crate::{Error, FiniteCheck, Graph};

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
        let mut arrays: Vec<&Buffer> = Vec::with_capacity(claims.len());
        for array in claims.iter().map(FiniteCheck::array) {
            if array.device() != graph.tape().device() {
                return Err(graph.tape().other_device("an array that must be finite", array));
            }
            arrays.push(array.buf());
        }
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

impl Graph {
    /// Checks inputs, parameters and output for NaN and infinities; once.
    ///
    /// # Errors
    /// Naming the first array at fault, in the order of the tape.
    pub fn check_finite(&self) -> Result<(), Error> {
        PendingChecks::whole(self, Vec::new())?.wait()
    }
}

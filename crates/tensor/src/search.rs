//! Searches for NaN and infinities.

use std::fmt::Debug;

use crate::{Backend, Buffer, Error};

/// A search for NaN and infinities in several arrays.
#[derive(Clone, Debug)]
pub enum NonFiniteSearch {
    /// Number and position of the first array that has one, and of that entry.
    Done(Option<(usize, usize)>),
    /// Under way on a device.
    Pending(Arc<dyn PendingSearch>),
}

impl NonFiniteSearch {
    /// Number and position of the first array with a NaN or infinity, and of that entry. Waits for
    /// a pending search.
    ///
    /// # Errors
    /// If the device failed.
    pub fn wait(&self) -> Result<Option<(usize, usize)>, Error> {
        match self {
            NonFiniteSearch::Done(found) => Ok(*found),
            NonFiniteSearch::Pending(search) => search.wait(),
        }
    }

    /// Sets the first element of `x`, a buffer of `backend`, to NaN if the search has found
    /// something, so that reading `x` tells. Does not block.
    pub fn mark(&self, backend: &dyn Backend, x: &mut Buffer) {
        match self {
            NonFiniteSearch::Done(None) => {}
            NonFiniteSearch::Done(Some(_)) => {
                let same = x.clone();
                backend.axpy(f64::NAN, &same, x);
            }
            NonFiniteSearch::Pending(search) => search.mark(x),
        }
    }
}

/// A search that a device has started.
pub trait PendingSearch: Debug + Send + Sync {
    /// Waits for the search: number and position of the first array with a NaN or infinity, and of
    /// that entry.
    ///
    /// # Errors
    /// If the device failed.
    fn wait(&self) -> Result<Option<(usize, usize)>, Error>;
    /// Sets the first element of `x` to NaN on the device if the search finds something. Does not
    /// block.
    fn mark(&self, x: &mut Buffer);
}

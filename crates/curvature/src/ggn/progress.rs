//! How far a long computation has come.

use std::fmt;
use std::sync::Arc;

/// What a long computation has just finished.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Progress {
    /// A parameter's share of the Gram matrix.
    Gram {
        /// Parameters done.
        done: usize,
        /// Parameters in all.
        total: usize,
    },
    /// A group's eigenvalues.
    Eigenvalues {
        /// Groups done.
        done: usize,
        /// Groups in all.
        total: usize,
    },
    /// Eigenvectors of a group in parameter space.
    Eigenvectors {
        /// Directions done.
        done: usize,
        /// Directions of the group in all.
        total: usize,
    },
}

/// Whom progress is reported to, if to anyone.
#[derive(Clone, Default)]
pub(crate) struct Listener(Option<Arc<dyn Fn(Progress) + Send + Sync>>);

impl Listener {
    pub fn new(report: impl Fn(Progress) + Send + Sync + 'static) -> Self {
        Listener(Some(Arc::new(report)))
    }

    pub fn report(&self, progress: Progress) {
        if let Some(report) = &self.0 {
            report(progress);
        }
    }
}

impl fmt::Debug for Listener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_some() { "a listener" } else { "nobody" })
    }
}

//! What a quantity is to the sweep.

use vivit_autodiff::{Probe, Site};
use vivit_tensor::Backend;

/// Errors of a sweep with extensions.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The sweep failed.
    #[error(transparent)]
    Autodiff(#[from] vivit_autodiff::Error),
    /// An extension failed, for a reason of its own.
    #[error("extension {extension}: {source}")]
    Extension {
        /// The extension's name.
        extension: &'static str,
        /// Its reason.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

impl From<vivit_tensor::Error> for Error {
    fn from(error: vivit_tensor::Error) -> Self {
        Error::Autodiff(error.into())
    }
}

/// A quantity that is computed while factors travel backwards.
pub trait Extension<B: Backend> {
    /// The result.
    type Out;

    /// The name that errors show.
    fn name(&self) -> &'static str;

    /// What must travel backwards. In [`visit`](Extension::visit) the site's probes have these positions.
    fn probes(&self) -> Vec<Probe<B>>;

    /// Whether products are asked per sample (`Batch::Keep`, outer-product structure) or only summed. Operations that couple samples
    /// allow sums only.
    fn per_sample(&self) -> bool {
        true
    }

    /// Sees one parameter with all that reached it. Parameters come in reverse order of their first use, each once.
    ///
    /// # Errors
    /// Ends the sweep.
    fn visit(&mut self, site: &Site<'_, B>) -> Result<(), Error>;

    /// Hands over the result.
    ///
    /// # Errors
    /// If there is none.
    fn finish(self) -> Result<Self::Out, Error>;
}

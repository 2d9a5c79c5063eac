//! What a quantity is to the sweep.

use vivit_autodiff::{Graph, Loss, ParamId, ParamMap, Probe, Site};

/// Errors of a sweep with extensions.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The sweep failed.
    #[error(transparent)]
    Autodiff(#[from] vivit_autodiff::Error),
    /// A factor of a Kronecker product has no eigendecomposition.
    #[error("eigenvalues of a Kronecker factor: {0}")]
    Eigen(#[from] vivit_eigh::Error),
    /// A damping that is no number to add to eigenvalues.
    #[error("the damping must be a finite number of at least 0, got {damping}")]
    Damping {
        /// The damping.
        damping: f64,
    },
    /// A damped Kronecker product that is singular.
    #[error(
        "the damped curvature has an eigenvalue of {smallest:e} beside the largest of {largest:e}, \
         so that it can't be inverted; \
         add more damping"
    )]
    Singular {
        /// The smallest eigenvalue, damping included.
        smallest: f64,
        /// The largest one.
        largest: f64,
    },
    /// Vectors that do not fit a parameter.
    #[error(
        "vectors of shape {got:?} do not fit a parameter of shape {expected:?} (the number of \
         vectors comes first)"
    )]
    VectorsShape {
        /// The shape given.
        got: Vec<usize>,
        /// The parameter's shape.
        expected: Vec<usize>,
    },
    /// An extension that can't treat a graph.
    #[error("extension {extension} can't treat operation {op}: {reason}")]
    Unsupported {
        /// The extension's name.
        extension: &'static str,
        /// The operation.
        op: String,
        /// Why not, and what to do instead.
        reason: String,
    },
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
pub trait Extension {
    /// What there is per parameter.
    type Value;
    /// The result, usually the values of all parameters.
    type Out;

    /// The name that errors show.
    fn name(&self) -> &'static str;

    /// What must travel backwards. In [`visit`](Extension::visit) the site's probes have these
    /// positions.
    fn probes(&self) -> Vec<Probe>;

    /// Whether products are asked per sample (`Batch::Keep`, outer-product structure) or only
    /// summed. Operations that couple samples allow sums only.
    fn per_sample(&self) -> bool {
        true
    }

    /// Is called once before the sweep, with the parameters that are going to be visited.
    ///
    /// # Errors
    /// Ends the run before any work.
    fn prepare(&mut self, graph: &Graph, loss: &dyn Loss, params: &[ParamId]) -> Result<(), Error> {
        let _ = (graph, loss, params);
        Ok(())
    }

    /// Sees one parameter with all that reached it. Parameters come in reverse order of their first
    /// use, each once.
    ///
    /// # Errors
    /// Ends the sweep.
    fn visit(&mut self, site: &Site<'_>) -> Result<Self::Value, Error>;

    /// Hands over the result: of most extensions the values as they are.
    ///
    /// # Errors
    /// If there is none.
    fn finish(self, values: ParamMap<Self::Value>) -> Result<Self::Out, Error>;
}

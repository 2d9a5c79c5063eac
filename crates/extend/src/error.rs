//! What can go wrong in a sweep with extensions.

/// Errors of a sweep with extensions.
#[derive(thiserror::Error)]
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
    /// An extension that needs a loss, where none was given.
    #[error("extension {extension} needs a loss; pass one, to `run` instead of `run_without_loss`")]
    NeedsLoss {
        /// The extension's name.
        extension: &'static str,
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

vivit_tensor::debug_as_display!(Error);

//! One error for a whole program.

/// Any error of the library.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Arrays and devices.
    #[error(transparent)]
    Tensor(#[from] vivit_tensor::Error),
    /// The eigensolver.
    #[error(transparent)]
    Eigh(#[from] vivit_eigh::Error),
    /// Recording and sweeping.
    #[error(transparent)]
    Autodiff(#[from] vivit_autodiff::Error),
    /// Extensions.
    #[error(transparent)]
    Extend(#[from] vivit_extend::Error),
    /// Curvature.
    #[error(transparent)]
    Curvature(#[from] vivit_curvature::Error),
    /// Models.
    #[error(transparent)]
    Nn(#[from] vivit_nn::Error),
}

//! How many columns the root of a loss's Hessian has.

/// Columns of the exact loss-Hessian root.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum RootColumns {
    /// As many as the Hessian has rank, where the loss knows it: C−1 for softmax cross-entropy.
    #[default]
    Rank,
    /// One per output: C. The Gram matrix then shows the structural zeros too.
    Outputs,
}

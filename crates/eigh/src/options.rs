//! Options of all requests.

/// How a matrix is reduced to tridiagonal form.
///
/// Results of different ways differ within rounding.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Stages {
    /// In one stage or in two, whichever is faster: chosen by the size of the matrix and by whether
    /// all vectors are wanted at once.
    #[default]
    Auto,
    /// In one stage: half of the `4/3 n³` operations are products of the matrix with single
    /// vectors, which take as long as reading it does. Best while the matrix fits the cache.
    One,
    /// In two: to a band first, of bandwidth `b = 64`, by matrix products, in `4/3 n³` operations,
    /// then to the tridiagonal matrix, in `6 n² b` operations within the cache. Every eigenvector
    /// passes through both stages, which takes `5 n²` operations instead of `2 n²`.
    Two,
}

vivit_tensor::options! {
    /// Options of all requests.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct EighOptions {
        /// Whether results are checked against the matrix, of which a copy is kept, and refused
        /// with [`Error::Inaccurate`](crate::Error::Inaccurate) if they are not what the crate
        /// promises; in debug builds by default.
        ///
        /// Of vectors, residuals and orthonormality are computed, `|A qᵢ − λᵢ qᵢ|` and `|Q Qᵀ −
        /// I|`, in `2 n² k + n k²` operations for `k` of them. Of values alone, sum and sum of
        /// squares are compared with trace and Frobenius norm, in O(n) operations.
        pub check: bool = cfg!(debug_assertions),
        /// How the matrix is reduced.
        pub stages: Stages = Stages::Auto,
    }
}

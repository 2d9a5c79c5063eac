//! Options of all requests.

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
    }
}

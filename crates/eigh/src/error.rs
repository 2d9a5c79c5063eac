//! What an eigen-decomposition can refuse or fail at.

/// Errors of the eigensolver.
#[derive(Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The matrix is not square.
    #[error(
        "the matrix is {rows}×{cols}, but only a square matrix has eigenvalues; pass a symmetric \
         matrix such as a Gram matrix"
    )]
    NotSquare {
        /// Number of rows.
        rows: usize,
        /// Number of columns.
        cols: usize,
    },
    /// An entry of the lower triangle is infinite or not a number.
    #[error(
        "entry ({row}, {col}) of the matrix is {value}, and eigenvalues of such a matrix are \
         undefined; \
         look for overflow or invalid data in what the matrix was computed from"
    )]
    NonFinite {
        /// Row of the entry.
        row: usize,
        /// Column of the entry.
        col: usize,
        /// The entry.
        value: f64,
    },
    /// An eigenvalue is finite, but too large for the element type.
    #[error(
        "eigenvalue {index} of {n} is larger than {dtype} can hold; divide the matrix by a \
         constant and multiply the values by it"
    )]
    Overflow {
        /// The eigenvalue's index in ascending order.
        index: usize,
        /// The matrix's size.
        n: usize,
        /// The element type.
        dtype: &'static str,
    },
    /// The iteration for an eigenvalue did not converge.
    #[error(
        "the QL iteration for eigenvalue {index} of the {n}×{n} matrix did not converge; \
         add a small multiple of the identity to the matrix, or compute in f64, and please report \
         the matrix"
    )]
    NoConvergence {
        /// Position in the tridiagonal matrix at which the iteration stopped.
        index: usize,
        /// The matrix's size.
        n: usize,
    },
    /// An eigenvector was asked for that does not exist.
    #[error(
        "eigenvector {index} was asked for, but the matrix has {n} eigenpairs, counted from 0; ask \
         for indices below {n}"
    )]
    Index {
        /// The index asked for.
        index: usize,
        /// The number of eigenpairs.
        n: usize,
    },
    /// An eigenvector was asked for twice.
    #[error(
        "eigenvector {index} was asked for more than once; ask for every index once and repeat the \
         row of the result"
    )]
    RepeatedIndex {
        /// The index asked for twice.
        index: usize,
    },
    /// The self-check of the result failed.
    #[error(
        "the eigenpairs failed their check: residual {residual:.1e} (relative to the matrix), \
         departure from orthonormality \
         {orthogonality:.1e}, allowed {bound:.1e} each; this is a defect of the solver, please \
         report the matrix, and compute in f64 meanwhile"
    )]
    Inaccurate {
        /// `max |A qᵢ − λᵢ qᵢ| / ‖A‖`, or the error of the eigenvalues' sum and sum of squares in
        /// the same unit.
        residual: f64,
        /// `max |Q Qᵀ − I|`.
        orthogonality: f64,
        /// What both may be at most.
        bound: f64,
    },
}

vivit_tensor::debug_as_display!(Error);

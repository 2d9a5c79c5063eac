//! What can go wrong between a batch and its curvature.

use crate::matrix_free::leading_eigenpairs::LeadingEigenpairs;

/// Errors of curvature computations.
#[derive(Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// No group was given.
    #[error("no parameter group was given; pass at least one list of parameters")]
    NoGroups,
    /// A group without parameters.
    #[error("parameter group {group} is empty; put at least one parameter in it")]
    EmptyGroup {
        /// The group's position.
        group: usize,
    },
    /// A parameter in more than one place.
    #[error(
        "parameter {name} is in group {first} and again in group {second}; a parameter belongs to \
         one group at most"
    )]
    RepeatedParameter {
        /// The parameter.
        name: String,
        /// Position of the first group.
        first: usize,
        /// Position of the second, possibly the same.
        second: usize,
    },
    /// Derivatives per position of a loss that is not known to be a sum over positions.
    #[error(
        "the loss {loss} tells no positions of the output, as its Hessian is known by a root \
         alone; ask for derivatives per sample"
    )]
    NoPositions {
        /// The loss.
        loss: String,
    },
    /// A criterion that chose nothing.
    #[error(
        "the criterion of group {group} chose none of {directions} eigenvalues (the largest is \
         {largest:e}); relax it"
    )]
    NoDirections {
        /// The group's position.
        group: usize,
        /// Number of eigenvalues.
        directions: usize,
        /// The largest of them.
        largest: f64,
    },
    /// A criterion that chose an eigenvalue twice.
    #[error("the criterion of group {group} chose index {index} twice")]
    RepeatedDirection {
        /// The group's position.
        group: usize,
        /// The index.
        index: usize,
    },
    /// A criterion that chose beyond the eigenvalues.
    #[error(
        "the criterion of group {group} chose index {index}, but there are {directions} \
         eigenvalues, 0 to {}; \
         choose fewer, or ask for all above a threshold",
        .directions - 1
    )]
    DirectionOutOfRange {
        /// The group's position.
        group: usize,
        /// The index.
        index: usize,
        /// Number of eigenvalues.
        directions: usize,
    },
    /// A direction that the GGN does not have.
    #[error(
        "direction {index} of group {group} has eigenvalue {value:e}, which is numerically zero \
         (at most {threshold:e}), so it has no \
         eigenvector in parameter space; choose fewer directions, or use the criterion `nonzero`"
    )]
    ZeroDirection {
        /// The group's position.
        group: usize,
        /// The index among the ascending eigenvalues.
        index: usize,
        /// The eigenvalue.
        value: f64,
        /// What counts as zero: n ε λ_max.
        threshold: f64,
    },
    /// Damping of the wrong length.
    #[error("the damping of group {group} returned {got} values for {expected} directions")]
    DampingLength {
        /// The group's position.
        group: usize,
        /// Number of values.
        got: usize,
        /// Number of directions.
        expected: usize,
    },
    /// A damped curvature that can't be divided by.
    #[error(
        "direction {direction} of group {group} has mean curvature {curvature:e} and damping \
         {damping:e}: their sum must be positive"
    )]
    Damping {
        /// The group's position.
        group: usize,
        /// The direction's position among the chosen ones.
        direction: usize,
        /// The mean second derivative.
        curvature: f64,
        /// The damping.
        damping: f64,
    },
    /// A quantity that needs gradients where only the GGN was computed.
    #[error("gradients were not part of this Gram space; build it with `Ggn::gram_space`")]
    NoGradients,
    /// An empty choice of parameters.
    #[error(
        "the choice of parameters is empty; choose at least one, or none at all to use every \
         parameter"
    )]
    NoParameters,
    /// A parameter that is chosen twice.
    #[error("parameter {name} is chosen twice; choose every parameter once at most")]
    ParameterTwice {
        /// The parameter.
        name: String,
    },
    /// Vectors that do not fit a linear operator.
    #[error("an operator of dimension {dim} takes vectors [K, {dim}], got {got:?}")]
    VectorsShape {
        /// The vectors' shape.
        got: Vec<usize>,
        /// The operator's dimension.
        dim: usize,
    },
    /// A dense operator that is not square.
    #[error("a linear operator needs a square matrix, got {shape:?}")]
    NotSquare {
        /// The matrix's shape.
        shape: Vec<usize>,
    },
    /// The Gram matrix has no decomposition.
    #[error("eigenvalues of group {group}: {source}")]
    Eigen {
        /// The group's position.
        group: usize,
        /// Why not.
        source: vivit_eigh::Error,
    },
    /// An option of a matrix-free method with a value that makes no sense.
    #[error("{name} is {value}; it must be {allowed}")]
    InvalidOption {
        /// The option.
        name: &'static str,
        /// Its value.
        value: f64,
        /// What is allowed.
        allowed: String,
    },
    /// An operator that returned NaN or infinity.
    #[error(
        "product {product} of the operator with a vector is NaN or infinite (or too large for its \
         norm to be computed); look for overflow or invalid \
         data in what the operator is made of"
    )]
    NonFiniteProduct {
        /// The product's number, counted from 1, one per vector.
        product: usize,
    },
    /// An operator that returned vectors of another shape than it was given.
    #[error(
        "the operator made vectors {got:?} of vectors {expected:?}; `LinearOperator::apply` must \
         keep the shape"
    )]
    ProductShape {
        /// The shape that it returned.
        got: Vec<usize>,
        /// The shape that it was given.
        expected: Vec<usize>,
    },
    /// An iteration that did not reach its tolerance; it holds what was found.
    #[error(
        "{method} found {converged} of {k} eigenpairs in {products} products: the largest residual \
         |A q − λ q| is {residual:e}, the tolerance \
         allows {allowed:e}; take what was found (`found`) by its residuals, allow more products \
         or a larger tolerance, and for Lanczos more vectors (`extra`, `max_extra`) or a larger \
         block"
    )]
    NoConvergence {
        /// The method.
        method: &'static str,
        /// Number of eigenpairs within the tolerance.
        converged: usize,
        /// Number of eigenpairs asked for.
        k: usize,
        /// Products made, one per vector.
        products: usize,
        /// The largest residual norm of the leading approximations, infinite if there are fewer
        /// than k.
        residual: f64,
        /// The tolerance times the largest eigenvalue's magnitude.
        allowed: f64,
        /// The approximations that there are, k or fewer, each with its residual: an eigenvalue
        /// lies at most so far from its value.
        found: Box<LeadingEigenpairs>,
    },
    /// The small matrix that stands for an operator in a subspace has no decomposition.
    #[error("the operator's projection to a subspace: {source}")]
    Projection {
        /// Why not.
        source: vivit_eigh::Error,
    },
    /// Not even the smallest slices fit into the memory budget.
    #[error(
        "{need} bytes are needed at a time even if samples and columns are swept one by one \
         ({tape} for the tape, {gram} for the Gram matrices), but \
         the budget is {budget}; raise it (`Ggn::memory_budget`), choose fewer samples \
         (`Ggn::ggn_samples`) or smaller groups, or draw Monte-Carlo \
         columns (`Ggn::monte_carlo`)"
    )]
    Memory {
        /// Bytes that are needed.
        need: usize,
        /// Bytes that are allowed.
        budget: usize,
        /// Bytes of the tape's values.
        tape: usize,
        /// Bytes of the Gram matrices.
        gram: usize,
    },
    /// A data set without samples.
    #[error("the data set has no samples; pass at least one batch")]
    EmptyDataSet,
    /// A mean over a data set of which nothing counts.
    #[error(
        "the loss {loss} has nothing to average: every position of the data set is ignored or has \
         weight zero; use other targets, or the sum"
    )]
    NothingCounted {
        /// The loss.
        loss: String,
    },
    /// A sample's number that is missing, given twice or beyond the data set.
    #[error(
        "sample number {sample} is given twice, missing or out of range: the data set has \
         {samples} samples, each with a number of its own from 0 on"
    )]
    SampleNumber {
        /// The number.
        sample: usize,
        /// Samples in the data set.
        samples: usize,
    },
    /// A batch that is not what it was.
    #[error(
        "the batch differs from what it was when it was first read; a data set must give the same \
         batch for the same number each time"
    )]
    DataChanged,
    /// A vector that is missing.
    #[error("there is no vector for parameter {name}; pass one for each of the block")]
    MissingVector {
        /// The parameter.
        name: String,
    },
    /// Spaces of different parameters.
    #[error(
        "the spaces are not of the same parameters: one has vectors for {first}, the other for \
         {second}"
    )]
    OtherParameters {
        /// Number of parameters of the first.
        first: usize,
        /// Number of parameters of the second.
        second: usize,
    },
    /// Vectors of different shapes.
    #[error(
        "vectors of shape {first:?} and {second:?} are not of one parameter (the number of \
         vectors, at least one, comes first)"
    )]
    OtherShapes {
        /// The first shape.
        first: Vec<usize>,
        /// The second.
        second: Vec<usize>,
    },
    /// An error in a batch of a data set.
    #[error("batch {batch}: {source}")]
    Batch {
        /// The batch's number.
        batch: usize,
        /// What is wrong with it.
        source: Box<Error>,
    },
    /// Recording, seeding or sweeping failed.
    #[error(transparent)]
    Autodiff(#[from] vivit_autodiff::Error),
}

impl From<vivit_tensor::Error> for Error {
    fn from(error: vivit_tensor::Error) -> Self {
        Error::Autodiff(error.into())
    }
}

vivit_tensor::debug_as_display!(Error);

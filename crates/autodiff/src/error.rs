//! What can go wrong between a user's data and a sweep.

/// Errors of recording, seeding and sweeping.
#[derive(Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The batch holds no sample.
    #[error("the batch is empty (input {input} has shape {shape:?}); pass at least one sample")]
    EmptyBatch {
        /// The input, by its number among the inputs.
        input: usize,
        /// Its shape.
        shape: Vec<usize>,
    },
    /// Two inputs, or an input and the output, hold different numbers of samples.
    #[error(
        "{what} holds {got} samples, the first input {expected}; axis 0 of every input and of the \
         output is the sample axis"
    )]
    BatchMismatch {
        /// The array at fault.
        what: String,
        /// Its number of samples.
        got: usize,
        /// The number of samples of the first input.
        expected: usize,
    },
    /// The output depends on no input, so it has no sample axis.
    #[error(
        "the output depends on no input, so there are no samples to differentiate; record an input \
         first"
    )]
    OutputNotBatched,
    /// A variable of another tape.
    #[error(
        "variable {index} is of another graph; variables do not move between graphs, the numbers \
         of parameters (`ParamId`) do"
    )]
    ForeignVariable {
        /// The variable's position on its tape.
        index: usize,
    },
    /// A parameter that a graph does not have.
    #[error(
        "there is no parameter {}: the graph has {known}, from 0 on; take numbers of parameters \
         from `Graph::params` of a graph of the same model", .param.index()
    )]
    NoParameter {
        /// The parameter's number.
        param: crate::ParamId,
        /// Number of parameters.
        known: usize,
    },
    /// A variable that is no parameter of the graph.
    #[error(
        "variable {index} is no parameter of this graph; pass variables that `Tape::param` of the \
         same tape returned"
    )]
    NotAParameter {
        /// The variable's position on the tape.
        index: usize,
    },
    /// A parameter that the output does not depend on.
    #[error("the output does not depend on parameter {name}; leave it out or use it in the graph")]
    Unreached {
        /// The parameter.
        name: String,
    },
    /// A pattern that is no parameter's name.
    #[error("no parameter's name matches {pattern:?}; the graph has {}", .known.join(", "))]
    NoMatch {
        /// The pattern.
        pattern: String,
        /// The names of the graph's parameters.
        known: Vec<String>,
    },
    /// A loss where there is none.
    #[error("this takes a loss, and the run has none; pass one")]
    NoLoss,
    /// A sample index beyond the batch.
    #[error("sample index {index} is out of range: the batch holds {samples} samples, 0 to \
             {}", .samples - 1)]
    SampleOutOfRange {
        /// The index.
        index: usize,
        /// Samples in the batch.
        samples: usize,
    },
    /// A sample index given twice.
    #[error("sample index {index} is given twice; every sample may be chosen once")]
    RepeatedSample {
        /// The index.
        index: usize,
    },
    /// An empty choice of samples.
    #[error(
        "the choice of samples is empty; choose at least one, or none at all to use the whole batch"
    )]
    NoSamples,
    /// A number that is no row of an embedding's table.
    #[error("input {value} at index {index:?} is no row of the embedding's table: whole numbers \
             from 0 to {}", .rows.saturating_sub(1))]
    NoRow {
        /// The number.
        value: f64,
        /// Where it is.
        index: Vec<usize>,
        /// Rows of the table.
        rows: usize,
    },
    /// A number that names no entry of an axis.
    #[error("number {value} at {index:?} of an index names no entry of an axis of {axis_len}: \
             whole numbers from −{axis_len} to {}", .axis_len.saturating_sub(1))]
    NoEntry {
        /// The number.
        value: f64,
        /// Where it is in the index.
        index: Vec<usize>,
        /// Entries of the axis.
        axis_len: usize,
    },
    /// An operation that mixes samples where a quantity per sample is wanted.
    #[error(
        "operation {op} couples the samples of a batch, so {wanted_by} does not exist; \
         use a form that treats samples separately (batch norm: evaluation mode), or ask for the \
         plain gradient"
    )]
    CouplesSamples {
        /// The operation.
        op: String,
        /// What was asked for.
        wanted_by: String,
    },
    /// An operation without second derivatives where the Hessian is wanted.
    #[error(
        "operation {op} gives no second derivatives (in arguments {wrt} and {along}), which \
         {wanted_by} needs; implement `Op::second` for it, \
         or ask for the GGN instead, which does without"
    )]
    NoSecondDerivative {
        /// The operation.
        op: String,
        /// One of its arguments.
        wrt: usize,
        /// The other one, or the same.
        along: usize,
        /// What was asked for.
        wanted_by: String,
    },
    /// Second derivatives of an operation that need too many columns.
    #[error(
        "the result of {op} at position {position} has {entries} entries per sample: {wanted_by} \
         carries a column for each, {numbers} numbers, beyond \
         the limit of {limit}; choose fewer samples, narrower layers or parameters closer to the \
         output, or use the GGN, which does without"
    )]
    ResidualTooLarge {
        /// The operation.
        op: String,
        /// Its result's position on the tape.
        position: usize,
        /// Entries per sample.
        entries: usize,
        /// Numbers of all columns.
        numbers: usize,
        /// Numbers that are allowed.
        limit: usize,
        /// What was asked for.
        wanted_by: String,
    },
    /// An output that a model does not have.
    #[error("output {index} is out of range: the model has {outputs} outputs per sample, 0 to \
             {}", .outputs.saturating_sub(1))]
    OutputOutOfRange {
        /// The index.
        index: usize,
        /// Outputs per sample.
        outputs: usize,
    },
    /// An empty choice of outputs.
    #[error(
        "the choice of outputs is empty; choose at least one, or none at all to use every output"
    )]
    NoOutputs,
    /// An operation on parameters alone where curvature is averaged over samples.
    #[error(
        "operation {op} computes a weight from parameters, through which {wanted_by} is not \
         defined; use Kfac"
    )]
    NotAveraged {
        /// The operation.
        op: String,
        /// What was asked for.
        wanted_by: String,
    },
    /// A value whose averaged curvature is too large.
    #[error(
        "the result of {op} at position {position} has {entries} entries per sample: its averaged \
         curvature of {entries}² numbers is beyond the \
         limit of {limit}; use Kfac or Kflr, which do without, or fewer parameters, closer to the \
         output"
    )]
    AveragedTooLarge {
        /// The operation.
        op: String,
        /// Its result's position on the tape.
        position: usize,
        /// Entries of the result per sample.
        entries: usize,
        /// Numbers of a matrix at most.
        limit: usize,
    },
    /// A Monte-Carlo root with no draw.
    #[error("a Monte-Carlo root needs at least one draw, got 0")]
    NoDraws,
    /// A loss whose value is not one number per sample.
    #[error(
        "loss {loss} is not a scalar per sample: its values have shape {got:?}, expected \
         [{samples}]; sum over the other axes"
    )]
    LossNotScalar {
        /// The loss.
        loss: String,
        /// Shape of its values.
        got: Vec<usize>,
        /// Samples in the batch.
        samples: usize,
    },
    /// A loss whose gradient or Hessian root does not have the output's shape.
    #[error("the {what} of loss {loss} has shape {got:?}, expected {expected:?}")]
    LossShape {
        /// The loss.
        loss: String,
        /// Gradient or root.
        what: &'static str,
        /// The shape it returned, of a root that of a column.
        got: Vec<usize>,
        /// The shape it should have: the output's.
        expected: Vec<usize>,
    },
    /// Targets that do not fit the output.
    #[error(
        "loss {loss} can't compare an output of shape {output:?} with targets of shape {target:?}; \
         expected {expected}"
    )]
    TargetShape {
        /// The loss.
        loss: &'static str,
        /// The output's shape.
        output: Vec<usize>,
        /// The targets' shape.
        target: Vec<usize>,
        /// The targets' shape that would fit.
        expected: String,
    },
    /// A class label beyond the model's outputs.
    #[error("label {label} at position {position} is out of range: the model has {classes} \
             outputs, classes 0 to {}", .classes - 1)]
    LabelOutOfRange {
        /// Position among the labels, row-major.
        position: usize,
        /// The label.
        label: i64,
        /// Number of classes.
        classes: usize,
    },
    /// A target outside the interval that the loss is defined for.
    #[error(
        "target {value} at position {position} is outside [{low}, {high}], which loss {loss} needs"
    )]
    TargetOutOfRange {
        /// The loss.
        loss: &'static str,
        /// Position among the targets, row-major.
        position: usize,
        /// The target.
        value: f64,
        /// Smallest allowed value.
        low: f64,
        /// Largest allowed value.
        high: f64,
    },
    /// An option of a loss that does not fit.
    #[error("loss {loss}: {what} must be {expected}, got {got}")]
    LossOption {
        /// The loss.
        loss: &'static str,
        /// The option.
        what: &'static str,
        /// What it may be.
        expected: String,
        /// What it was.
        got: String,
    },
    /// A mean over nothing.
    #[error(
        "loss {loss} has nothing to average: every position is ignored or has weight zero; use \
         other targets, or the sum"
    )]
    NothingToAverage {
        /// The loss.
        loss: &'static str,
    },
    /// A NaN or an infinity in the data.
    #[error(
        "{what} holds {value} at index {index:?}; clean the data (or, if training diverged, lower \
         the learning rate)"
    )]
    NonFinite {
        /// The array at fault.
        what: String,
        /// Where in it.
        index: Vec<usize>,
        /// The value.
        value: f64,
    },
    /// A user's own columns that do not fit the output.
    #[error(
        "columns of shape {got:?} can't seed an output of {expected:?} (the number of columns \
         comes first, then the chosen samples)"
    )]
    ColumnsShape {
        /// The shape given.
        got: Vec<usize>,
        /// The shape per column.
        expected: Vec<usize>,
    },
    /// A tangent that does not fit its parameter.
    #[error(
        "a tangent of shape {got:?} does not fit parameter {name} of shape {expected:?} (the \
         number of tangents comes first)"
    )]
    TangentShape {
        /// The parameter.
        name: String,
        /// The shape given.
        got: Vec<usize>,
        /// The parameter's shape.
        expected: Vec<usize>,
    },
    /// A tangent of a parameter in which the graph was not linearised.
    #[error(
        "parameter {name} has a tangent, but the graph was not linearised in it; add it to the \
         parameters of the linearisation"
    )]
    NotLinearised {
        /// The parameter.
        name: String,
    },
    /// An operation whose second derivatives are not entry by entry.
    #[error(
        "operation {op} has second derivatives that mix its entries, of which the \
         positive-curvature Hessian takes no part by definition; \
         use the GGN or the Hessian"
    )]
    NotEntrywise {
        /// The operation.
        op: String,
    },
    /// The device or an array failed.
    #[error(transparent)]
    Tensor(#[from] vivit_tensor::Error),
}

vivit_tensor::debug_as_display!(Error);

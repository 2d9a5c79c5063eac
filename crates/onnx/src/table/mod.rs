//! The operations of ONNX: a table with one row per operation.

mod elementwise;
mod layers;
mod lists;
mod reduce;
mod shape;

use crate::convert::{Convert, Outcome};

/// What an ONNX operation becomes.
pub(crate) struct Row {
    pub op: &'static str,
    pub convert: fn(&mut Convert<'_>) -> Outcome,
    /// Limits, for the documentation; empty for none.
    pub limits: &'static str,
    /// Arguments without a derivative, counted from 0: indices, shapes, conditions, statistics.
    pub constant_inputs: &'static [usize],
    /// Arguments that are a layer's weights and biases.
    pub weights: &'static [usize],
}

/// All of this many arguments.
const NONE: &[usize] = &[];
const ALL: &[usize] = &[0, 1, 2, 3, 4, 5, 6, 7];
const FROM_1: &[usize] = &[1, 2, 3, 4, 5, 6, 7];

macro_rules! rows {
    ($($op:literal $convert:path, $constant:expr, $weights:expr, $limits:literal;)+) => {
        static ROWS: &[Row] = &[$(Row {
            op: $op,
            convert: $convert,
            limits: $limits,
            constant_inputs: $constant,
            weights: $weights,
        }),+];
    };
}

rows! {
    "Abs" elementwise::plain, NONE, NONE, "";
    "Acos" elementwise::plain, NONE, NONE, "";
    "Acosh" elementwise::plain, NONE, NONE, "";
    "Add" elementwise::plain, NONE, NONE, "";
    "And" elementwise::plain, ALL, NONE, "";
    "ArgMax" reduce::arg, ALL, NONE, "";
    "ArgMin" reduce::arg, ALL, NONE, "";
    "Asin" elementwise::plain, NONE, NONE, "";
    "Asinh" elementwise::plain, NONE, NONE, "";
    "Atan" elementwise::plain, NONE, NONE, "";
    "Atanh" elementwise::plain, NONE, NONE, "";
    "Attention" layers::attention, &[3], NONE,
        "without past keys and values, without the scores as a result";
    "AveragePool" layers::pool, NONE, NONE, "one to three spatial axes";
    "BatchNormalization" layers::batch_norm, &[3, 4], &[1, 2], "evaluation mode";
    "Cast" elementwise::cast, NONE, NONE, "half precision is computed in the model's precision";
    "CastLike" elementwise::cast_like, &[1], NONE, "as Cast";
    "Ceil" elementwise::plain, ALL, NONE, "";
    "Celu" elementwise::alpha, NONE, NONE, "";
    "Clip" elementwise::clip, &[1, 2], NONE, "";
    "Concat" shape::concat, NONE, NONE, "";
    "ConcatFromSequence" lists::concat, NONE, NONE, "";
    "Constant" shape::constant, NONE, NONE, "no texts, no sparse arrays";
    "ConstantOfShape" shape::constant_of_shape, ALL, NONE, "";
    "Conv" layers::conv, NONE, &[1, 2], "one to three spatial axes";
    "ConvTranspose" layers::conv_transpose, NONE, &[1, 2], "one to three spatial axes";
    "Cos" elementwise::plain, NONE, NONE, "";
    "Cosh" elementwise::plain, NONE, NONE, "";
    "CumSum" reduce::cumsum, &[1], NONE, "";
    "DepthToSpace" shape::depth_to_space, NONE, NONE, "";
    "Div" elementwise::plain, NONE, NONE, "";
    "Dropout" layers::dropout, FROM_1, NONE, "evaluation mode, without the mask as a result";
    "Einsum" layers::einsum, NONE, NONE, "";
    "Elu" elementwise::alpha, NONE, NONE, "";
    "Equal" elementwise::plain, ALL, NONE, "";
    "Erf" elementwise::plain, NONE, NONE, "";
    "Exp" elementwise::plain, NONE, NONE, "";
    "Expand" shape::expand, &[1], NONE, "";
    "EyeLike" shape::eye, ALL, NONE, "";
    "Flatten" shape::flatten, NONE, NONE, "";
    "Floor" elementwise::plain, ALL, NONE, "";
    "GRU" layers::gru, &[4], &[1, 2, 3], "default activations, full lengths, no clipping";
    "Gather" shape::gather, &[1], NONE, "";
    "GatherElements" shape::gather_elements, &[1], NONE, "";
    "GatherND" shape::gather_nd, &[1], NONE,
        "an index that follows from shapes, without common leading axes";
    "Gelu" elementwise::gelu, NONE, NONE, "";
    "Gemm" layers::gemm, NONE, &[1, 2], "";
    "GlobalAveragePool" layers::global, NONE, NONE, "";
    "GlobalLpPool" layers::global, NONE, NONE, "";
    "GlobalMaxPool" layers::global, NONE, NONE, "";
    "Greater" elementwise::plain, ALL, NONE, "";
    "GreaterOrEqual" elementwise::plain, ALL, NONE, "";
    "GroupNormalization" layers::group_norm, NONE, &[1, 2], "";
    "HardSigmoid" elementwise::hard_sigmoid, NONE, NONE, "";
    "HardSwish" elementwise::plain, NONE, NONE, "";
    "Hardmax" reduce::hardmax, ALL, NONE, "";
    "Identity" elementwise::plain, NONE, NONE, "";
    "If" lists::branch, &[0], NONE, "a condition that follows from shapes and constants";
    "InstanceNormalization" layers::instance_norm, NONE, &[1, 2], "";
    "IsInf" elementwise::is_infinite, ALL, NONE, "";
    "IsNaN" elementwise::is_nan, ALL, NONE, "";
    "LRN" layers::local_response_norm, NONE, NONE, "";
    "LSTM" layers::lstm, &[4], &[1, 2, 3],
        "default activations, full lengths, no peepholes, no clipping";
    "LayerNormalization" layers::layer_norm, NONE, &[1, 2], "";
    "LeakyRelu" elementwise::leaky_relu, NONE, NONE, "";
    "Less" elementwise::plain, ALL, NONE, "";
    "LessOrEqual" elementwise::plain, ALL, NONE, "";
    "Log" elementwise::plain, NONE, NONE, "";
    "LogSoftmax" reduce::softmax, NONE, NONE, "";
    "LpNormalization" layers::lp_normalize, NONE, NONE, "";
    "LpPool" layers::pool, NONE, NONE, "one to three spatial axes";
    "MatMul" elementwise::plain, NONE, &[0, 1], "";
    "Max" elementwise::plain, NONE, NONE, "";
    "MaxPool" layers::pool, NONE, NONE, "one to three spatial axes, without places as a result";
    "Mean" elementwise::variadic, NONE, NONE, "";
    "MeanVarianceNormalization" layers::mean_variance, NONE, NONE, "";
    "Min" elementwise::plain, NONE, NONE, "";
    "Mish" elementwise::plain, NONE, NONE, "";
    "Mod" elementwise::modulo, NONE, NONE, "";
    "Mul" elementwise::plain, NONE, NONE, "";
    "Neg" elementwise::plain, NONE, NONE, "";
    "NonZero" shape::nonzero, ALL, NONE, "of what follows from shapes and constants";
    "Not" elementwise::plain, ALL, NONE, "";
    "OneHot" shape::one_hot, &[0, 1], NONE, "";
    "Or" elementwise::plain, ALL, NONE, "";
    "PRelu" elementwise::plain, NONE, &[1], "";
    "Pad" shape::pad, FROM_1, NONE, "";
    "Pow" elementwise::plain, NONE, NONE, "";
    "RMSNormalization" layers::rms_norm, NONE, &[1], "";
    "RNN" layers::rnn, &[4], &[1, 2, 3], "tanh or ReLU, full lengths, no clipping";
    "Range" shape::range, ALL, NONE, "";
    "Reciprocal" elementwise::plain, NONE, NONE, "";
    "ReduceL1" reduce::reduce, &[1], NONE, "";
    "ReduceL2" reduce::reduce, &[1], NONE, "";
    "ReduceLogSum" reduce::reduce, &[1], NONE, "";
    "ReduceLogSumExp" reduce::reduce, &[1], NONE, "";
    "ReduceMax" reduce::reduce, &[1], NONE, "";
    "ReduceMean" reduce::reduce, &[1], NONE, "";
    "ReduceMin" reduce::reduce, &[1], NONE, "";
    "ReduceProd" reduce::reduce, &[1], NONE, "";
    "ReduceSum" reduce::reduce, &[1], NONE, "";
    "ReduceSumSquare" reduce::reduce, &[1], NONE, "";
    "Relu" elementwise::plain, NONE, NONE, "";
    "Reshape" shape::reshape, &[1], NONE, "";
    "Resize" shape::resize, FROM_1, NONE,
        "without antialiasing, cropping, aspect-ratio policies";
    "RotaryEmbedding" layers::rotary, &[3], NONE, "";
    "Round" elementwise::plain, ALL, NONE, "";
    "ScatterElements" shape::scatter_elements, &[1], NONE, "reduction none or add";
    "ScatterND" shape::scatter_nd, &[1], NONE,
        "reduction none or add, an index that follows from shapes";
    "Selu" elementwise::selu, NONE, NONE, "";
    "SequenceAt" lists::at, &[1], NONE, "";
    "SequenceConstruct" lists::construct, NONE, NONE, "";
    "SequenceEmpty" lists::empty, NONE, NONE, "";
    "SequenceErase" lists::erase, &[1], NONE, "";
    "SequenceInsert" lists::insert, &[2], NONE, "";
    "SequenceLength" lists::length, ALL, NONE, "";
    "Shape" shape::shape, ALL, NONE, "";
    "Shrink" elementwise::shrink, NONE, NONE, "";
    "Sigmoid" elementwise::plain, NONE, NONE, "";
    "Sign" elementwise::plain, ALL, NONE, "";
    "Sin" elementwise::plain, NONE, NONE, "";
    "Sinh" elementwise::plain, NONE, NONE, "";
    "Size" shape::size, ALL, NONE, "";
    "Slice" shape::slice, FROM_1, NONE, "";
    "Softmax" reduce::softmax, NONE, NONE, "";
    "Softplus" elementwise::plain, NONE, NONE, "";
    "Softsign" elementwise::plain, NONE, NONE, "";
    "SpaceToDepth" shape::space_to_depth, NONE, NONE, "";
    "Split" shape::split, &[1], NONE, "";
    "SplitToSequence" lists::split, &[1], NONE, "";
    "Sqrt" elementwise::plain, NONE, NONE, "";
    "Squeeze" shape::squeeze, &[1], NONE, "";
    "Sub" elementwise::plain, NONE, NONE, "";
    "Sum" elementwise::variadic, NONE, NONE, "";
    "Swish" elementwise::swish, NONE, NONE, "";
    "Tan" elementwise::plain, NONE, NONE, "";
    "Tanh" elementwise::plain, NONE, NONE, "";
    "ThresholdedRelu" elementwise::alpha, NONE, NONE, "";
    "Tile" elementwise::plain, &[1], NONE, "";
    "TopK" shape::top_k, &[1], NONE, "";
    "Transpose" shape::transpose, NONE, NONE, "";
    "Trilu" shape::triangle, &[1], NONE, "";
    "Unsqueeze" shape::unsqueeze, &[1], NONE, "";
    "Where" elementwise::plain, &[0], NONE, "";
    "Xor" elementwise::plain, ALL, NONE, "";
}

/// All rows, in the order of the names.
pub(crate) fn rows() -> &'static [Row] {
    ROWS
}

/// The row of an operation.
pub(crate) fn find(op: &str) -> Option<&'static Row> {
    ROWS.binary_search_by(|row| row.op.cmp(op)).ok().map(|at| &ROWS[at])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_sorted() {
        assert!(ROWS.windows(2).all(|pair| pair[0].op < pair[1].op));
    }
}

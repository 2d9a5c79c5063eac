//! The vocabulary of graph models: a table with one row per operation.

mod attention;
mod elementwise;
mod index;
mod linear;
mod list;
mod norm;
mod recurrent;
mod reduce;
mod resample;
mod shape;
mod window;

pub(crate) use elementwise::function_node;

use super::call::{Call, Outcome};

/// An operation of graph models.
#[derive(Debug)]
pub struct Operation {
    /// Its name.
    pub name: &'static str,
    /// The smallest and the largest number of arguments.
    pub arguments: (usize, usize),
    /// The names of its options.
    pub options: &'static [&'static str],
    /// What it computes.
    pub summary: &'static str,
    pub(crate) run: fn(&mut Call<'_>) -> Outcome,
}

/// The operation that needs one of two arguments only, as another one says.
pub(super) const BRANCH: &str = "if";

/// Any number of arguments.
const MANY: usize = usize::MAX;

macro_rules! operations {
    ($($name:literal ($least:expr, $most:expr) [$($option:literal),*] $run:path,
        $summary:literal;)+) => {
        /// All operations, in the order of their names.
        static OPERATIONS: &[Operation] = &[$(Operation {
            name: $name,
            arguments: ($least, $most),
            options: &[$($option),*],
            summary: $summary,
            run: $run,
        }),+];
    };
}

operations! {
    "abs" (1, 1) [] elementwise::map, "|x|";
    "acos" (1, 1) [] elementwise::map, "the inverse cosine";
    "acosh" (1, 1) [] elementwise::map, "the inverse hyperbolic cosine";
    "adaptive_avg_pool" (1, 1) ["output"] window::adaptive_avg_pool,
        "means of `output` windows that cover each plane of [N, C, *] evenly";
    "add" (2, 2) [] elementwise::add, "a + b";
    "and" (2, 2) [] elementwise::and, "whether both are not zero";
    "argmax" (1, 1) ["axis", "keep", "last"] reduce::argmax,
        "the place of the largest entry along `axis`, of several the first, or the `last`";
    "argmin" (1, 1) ["axis", "keep", "last"] reduce::argmin,
        "the place of the smallest entry along `axis`, of several the first, or the `last`";
    "asin" (1, 1) [] elementwise::map, "the inverse sine";
    "asinh" (1, 1) [] elementwise::map, "the inverse hyperbolic sine";
    "atan" (1, 1) [] elementwise::map, "the inverse tangent";
    "atanh" (1, 1) [] elementwise::map, "the inverse hyperbolic tangent";
    "attention" (3, 4) ["scale", "soft_cap", "causal"] attention::attention,
        "scaled dot-product attention of query [N, H, T, d], key [N, G, S, d], value [N, G, S, e] \
         and mask";
    "avg_pool" (1, 1) ["kernel", "stride", "padding", "dilation", "auto_padding", "ceil",
        "count_include_pad"] window::avg_pool, "the mean of each window of [N, C, *]";
    "batch_norm" (5, 5) ["epsilon"] norm::batch_norm,
        "(x − mean)/√(variance + epsilon) · weight + bias of x [N, C, *], weight, bias, mean, \
         variance";
    "bilinear" (3, 4) [] linear::bilinear,
        "xᵀ W_o z + b_o of x [*, I], z [*, J], weight [O, I, J], bias [O]";
    "cast" (1, 1) ["to"] elementwise::cast, "numbers of kind `to`: float, integer, bool";
    "cast_like" (2, 2) [] elementwise::cast_like, "numbers of the kind of another array's";
    "ceil" (1, 1) [] elementwise::map, "the next whole number from x up";
    "celu" (1, 1) ["alpha"] elementwise::map, "max(x, 0) + min(α (e^(x/α) − 1), 0)";
    "clip" (1, 3) ["min", "max"] elementwise::clip, "x between a lower and an upper bound";
    "concat" (1, MANY) ["axis"] shape::concat, "arrays side by side along `axis`";
    "conv" (2, 3) ["stride", "padding", "dilation", "groups", "auto_padding"] window::conv,
        "the convolution of x [N, C, *] with weight [O, C/groups, *], plus bias [O]";
    "conv_transpose" (2, 3) ["stride", "padding", "dilation", "groups", "auto_padding",
        "output_padding", "output_shape"] window::conv_transpose,
        "the transposed convolution of x [N, C, *] with weight [C, O/groups, *], plus bias [O]";
    "cos" (1, 1) [] elementwise::map, "the cosine";
    "cosh" (1, 1) [] elementwise::map, "the hyperbolic cosine";
    "cumsum" (2, 2) ["exclusive", "reverse"] reduce::cumsum,
        "running sums along the axis that argument 1 names";
    "depth_to_space" (1, 1) ["block", "mode"] shape::depth_to_space,
        "channels to blocks of planes, [N, C, H, W] to [N, C/b², H·b, W·b]";
    "div" (2, 2) [] elementwise::div, "a / b; of whole numbers towards zero";
    "dropout" (1, 3) [] shape::dropout, "x, as dropout in evaluation mode leaves it";
    "einsum" (1, MANY) ["equation"] linear::einsum, "a sum of products, as numpy.einsum writes it";
    "elu" (1, 1) ["alpha"] elementwise::map, "x above 0, α (eˣ − 1) elsewhere";
    "embedding" (2, 2) ["axis"] index::embedding, "rows of a table: ids and table [V, F]";
    "equal" (2, 2) [] elementwise::compare, "whether a = b";
    "erf" (1, 1) [] elementwise::map, "the error function";
    "exp" (1, 1) [] elementwise::map, "eˣ";
    "expand" (2, 2) [] shape::expand, "repeated along axes of length one to a shape";
    "expm1" (1, 1) [] elementwise::map, "eˣ − 1";
    "eye" (1, 1) ["diagonal"] shape::eye, "ones on a diagonal of a matrix of x's shape";
    "fill" (1, 1) ["value"] shape::fill, "an array of a shape that holds `value` everywhere";
    "flatten" (1, 1) ["axis"] shape::flatten,
        "all axes before `axis` in one, and all from there on";
    "flip" (2, 2) [] shape::flip, "the entries of the named axes in reverse order";
    "floor" (1, 1) [] elementwise::map, "the next whole number from x down";
    "gather" (2, 2) ["axis"] index::gather,
        "entries of `axis` by number, whose shape takes the axis's place";
    "gather_elements" (2, 2) ["axis"] index::gather_elements,
        "an entry of `axis` for every entry of an index";
    "gather_nd" (2, 2) ["batch_axes"] index::gather_nd,
        "entries or slices that rows of an index name";
    "gelu" (1, 1) [] elementwise::map, "x Φ(x)";
    "gelu_tanh" (1, 1) [] elementwise::map, "GELU's tanh approximation";
    "gemm" (2, 3) ["alpha", "beta", "transposed_a", "transposed_b"] linear::gemm,
        "α a · b + β c of matrices";
    "global_avg_pool" (1, 1) [] reduce::global_avg_pool, "the mean of each plane of [N, C, *]";
    "global_lp_pool" (1, 1) ["p"] reduce::global_lp_pool,
        "the p-norm of each plane of [N, C, *]";
    "global_max_pool" (1, 1) [] reduce::global_max_pool,
        "the largest entry of each plane of [N, C, *]";
    "greater" (2, 2) [] elementwise::compare, "whether a > b";
    "greater_equal" (2, 2) [] elementwise::compare, "whether a ≥ b";
    "group_norm" (1, 3) ["groups", "epsilon"] norm::group_norm,
        "x [N, C, *] normalised over groups of channels, times weight [C], plus bias [C]";
    "hard_sigmoid" (1, 1) ["alpha", "beta"] elementwise::map, "max(0, min(1, α x + β))";
    "hard_swish" (1, 1) [] elementwise::map, "x max(0, min(1, x/6 + 1/2))";
    "hard_tanh" (1, 1) ["min", "max"] elementwise::map, "x between two numbers";
    "identity" (1, 1) [] shape::identity, "x";
    "if" (3, 3) [] list::branch,
        "the first of two values if a condition that follows from shapes holds, else the second; \
         the other one is not computed";
    "instance_norm" (1, 3) ["epsilon"] norm::instance_norm,
        "x [N, C, *] normalised over each channel, times weight [C], plus bias [C]";
    "layer_norm" (1, 3) ["axis", "epsilon"] norm::layer_norm,
        "x normalised over the axes from `axis` on, times weight, plus bias";
    "leaky_relu" (1, 1) ["slope"] elementwise::map, "x above 0, slope · x elsewhere";
    "less" (2, 2) [] elementwise::compare, "whether a < b";
    "less_equal" (2, 2) [] elementwise::compare, "whether a ≤ b";
    "linear" (2, 3) [] linear::linear, "x · wᵀ + b of x [*, I], weight [O, I], bias [O]";
    "list" (0, MANY) [] list::list, "a list of arrays";
    "list_at" (2, 2) [] list::at, "an array of a list, by its place";
    "list_concat" (1, 1) ["axis", "stack"] list::concat,
        "the arrays of a list side by side along `axis`, or along a new one";
    "list_erase" (1, 2) [] list::erase, "a list without the array at a place, or without the last";
    "list_insert" (2, 3) [] list::insert, "a list with an array more, at a place or at the end";
    "list_length" (1, 1) [] list::length, "the number of arrays in a list";
    "local_response_norm" (1, 1) ["size", "before", "alpha", "beta", "k"] norm::local_response_norm,
        "x / (k + α/size Σ x²)^β over `size` channels around each, `before` of them before it";
    "log" (1, 1) [] elementwise::map, "the natural logarithm";
    "log1p" (1, 1) [] elementwise::map, "log(1 + x)";
    "log_sigmoid" (1, 1) [] elementwise::map, "log σ(x)";
    "log_softmax" (1, 1) ["axis", "flat"] reduce::log_softmax, "the logarithm of softmax";
    "log_sum" (1, 2) ["axes", "keep", "none_if_empty"] reduce::log_sum, "the logarithm of the sum";
    "logsumexp" (1, 2) ["axes", "keep", "none_if_empty"] reduce::logsumexp, "log Σ eˣ";
    "lp_normalize" (1, 1) ["axis", "p", "epsilon"] reduce::lp_normalize,
        "x / max(‖x‖_p, epsilon) along `axis`";
    "lp_pool" (1, 1) ["kernel", "stride", "padding", "dilation", "auto_padding", "ceil", "p"]
        window::lp_pool, "the p-norm of each window of [N, C, *]";
    "matmul" (2, 2) [] linear::matmul, "a · b, as numpy.matmul has it";
    "max" (1, 2) ["axes", "keep", "none_if_empty"] reduce::max, "the largest entry over axes";
    "max_pool" (1, 1) ["kernel", "stride", "padding", "dilation", "auto_padding", "ceil"]
        window::max_pool, "the largest entry of each window of [N, C, *]";
    "maximum" (1, MANY) [] elementwise::maximum, "the larger of each pair of entries";
    "mean" (1, 2) ["axes", "keep", "none_if_empty"] reduce::mean, "the mean over axes";
    "mean_variance_normalize" (1, 1) ["axes", "epsilon"] norm::mean_variance_normalize,
        "x less its mean, divided by its deviation, over `axes`";
    "min" (1, 2) ["axes", "keep", "none_if_empty"] reduce::min, "the smallest entry over axes";
    "minimum" (1, MANY) [] elementwise::minimum, "the smaller of each pair of entries";
    "mish" (1, 1) [] elementwise::map, "x tanh(log(1 + eˣ))";
    "mod" (2, 2) ["fmod"] elementwise::modulo, "the rest of a / b, with the sign of b, or of a";
    "mul" (2, 2) [] elementwise::mul, "a · b, entry by entry";
    "neg" (1, 1) [] elementwise::map, "−x";
    "nonzero" (1, 1) [] index::nonzero, "the places of the entries that are not zero";
    "norm1" (1, 2) ["axes", "keep", "none_if_empty"] reduce::norm1, "Σ |x| over axes";
    "norm2" (1, 2) ["axes", "keep", "none_if_empty"] reduce::norm2, "√(Σ x²) over axes";
    "not" (1, 1) [] elementwise::not, "whether x is zero";
    "not_equal" (2, 2) [] elementwise::compare, "whether a ≠ b";
    "one_hot" (2, 3) ["axis"] index::one_hot,
        "along a new axis of a length, one value at a number, another elsewhere";
    "or" (2, 2) [] elementwise::or, "whether one of both is not zero";
    "p_relu" (2, 2) ["axis"] elementwise::p_relu,
        "x above 0, slope · x elsewhere; with `axis` a slope for each of its entries";
    "pad" (2, 4) ["mode"] resample::pad,
        "entries around axes: a constant, mirrored, repeated or periodic ones";
    "pow" (2, 2) [] elementwise::pow, "a to the power of b";
    "prod" (1, 2) ["axes", "keep", "none_if_empty"] reduce::prod, "the product over axes";
    "range" (3, 3) [] shape::range, "start, start + step, … before end";
    "reciprocal" (1, 1) [] elementwise::map, "1 / x";
    "recurrent" (3, 6) ["cell", "direction", "time_major", "gates"] recurrent::recurrent,
        "an RNN, LSTM or GRU over [N, T, I]: all states, last hidden states, last cell states";
    "recurrent_layer" (3, 5) ["cell", "reverse"] recurrent::recurrent_layer,
        "all states of an RNN, LSTM or GRU over x [N, T, I] in one direction, with weights \
         [G·H, I] and [G·H, H] and biases [G·H] of input and state";
    "relu" (1, 1) [] elementwise::map, "max(x, 0)";
    "reshape" (2, 2) ["zero"] shape::reshape, "the same entries in another shape";
    "resize" (2, 3) ["mode", "coordinates", "nearest", "cubic", "axes"] resample::resize,
        "planes of another size: x, scales or lengths";
    "rms_norm" (1, 2) ["axis", "epsilon"] norm::rms_norm,
        "x divided by its root mean square over the axes from `axis` on, times weight";
    "rotary" (3, 4) ["interleaved", "heads", "rotated"] attention::rotary,
        "pairs of features rotated by position: x, cosines, sines, positions";
    "round" (1, 1) [] elementwise::map, "the nearest whole number, of two the even one";
    "rsqrt" (1, 1) [] elementwise::map, "1 / √x";
    "scale" (1, 1) ["factor"] elementwise::map, "factor · x";
    "scatter_elements" (3, 3) ["axis", "reduction"] index::scatter_elements,
        "x with other entries of `axis`, one for every entry of an index";
    "scatter_nd" (3, 3) ["reduction"] index::scatter_nd,
        "x with other entries or slices, which rows of an index name";
    "selu" (1, 1) [] elementwise::map, "the self-normalising ELU";
    "shape" (1, 1) ["start", "end"] shape::shape, "the lengths of the axes";
    "shift" (1, 1) ["by"] elementwise::map, "x + by";
    "sigmoid" (1, 1) [] elementwise::map, "1 / (1 + e⁻ˣ)";
    "sign" (1, 1) [] elementwise::map, "1 above 0, −1 below, 0 of 0";
    "silu" (1, 1) [] elementwise::map, "x σ(x)";
    "sin" (1, 1) [] elementwise::map, "the sine";
    "sinh" (1, 1) [] elementwise::map, "the hyperbolic sine";
    "size" (1, 1) [] shape::size, "the number of entries";
    "slice" (3, 5) [] shape::slice, "entries from starts to before ends along axes, in steps";
    "softmax" (1, 1) ["axis", "flat"] reduce::softmax, "probabilities along `axis`";
    "softplus" (1, 1) ["beta"] elementwise::map, "log(1 + e^(β x)) / β";
    "softsign" (1, 1) [] elementwise::map, "x / (1 + |x|)";
    "space_to_depth" (1, 1) ["block"] shape::space_to_depth,
        "blocks of planes to channels, [N, C, H·b, W·b] to [N, C·b², H, W]";
    "split" (1, 2) ["axis", "parts", "chunks"] shape::split,
        "parts of an axis of given lengths, or equal ones";
    "split_to_list" (1, 2) ["axis", "parts", "chunks", "keep"] shape::split_to_list,
        "parts of an axis as a list";
    "sqrt" (1, 1) [] elementwise::map, "the square root";
    "square" (1, 1) [] elementwise::map, "x²";
    "squeeze" (1, 2) [] shape::squeeze, "without axes of length one";
    "sub" (2, 2) [] elementwise::sub, "a − b";
    "sum" (1, 2) ["axes", "keep", "none_if_empty"] reduce::sum, "the sum over axes";
    "sum_squares" (1, 2) ["axes", "keep", "none_if_empty"] reduce::sum_squares,
        "the sum of squares over axes";
    "tan" (1, 1) [] elementwise::map, "the tangent";
    "tanh" (1, 1) [] elementwise::map, "the hyperbolic tangent";
    "thresholded_relu" (1, 1) ["alpha"] elementwise::map, "x above α, 0 elsewhere";
    "tile" (2, 2) [] shape::tile, "the array several times along every axis";
    "top_k" (2, 2) ["axis", "largest"] index::top_k,
        "the largest or smallest entries along `axis`, from the extreme one on, and their places";
    "transpose" (1, 1) ["order"] shape::transpose, "the axes in another order";
    "triangle" (1, 2) ["upper"] shape::triangle, "the entries on one side of a diagonal, else 0";
    "trunc" (1, 1) [] elementwise::map, "the next whole number from x towards zero";
    "unsqueeze" (2, 2) [] shape::unsqueeze, "with axes of length one";
    "variance" (1, 2) ["axes", "keep", "correction"] reduce::variance,
        "Σ (x − mean)² over axes, divided by the number of entries less `correction`";
    "where" (3, 3) [] elementwise::select, "a where a mask is not zero, b elsewhere";
    "xor" (2, 2) [] elementwise::xor, "whether exactly one of both is not zero";
}

/// The vocabulary of graph models, in the order of the names.
///
/// ```
/// use vivit_nn::operations;
///
/// let relu = operations().iter().find(|operation| operation.name == "relu").unwrap();
/// assert_eq!((relu.arguments, relu.summary), ((1, 1), "max(x, 0)"));
/// ```
pub fn operations() -> &'static [Operation] {
    OPERATIONS
}

/// The operation of a name.
pub(crate) fn find(name: &str) -> Option<&'static Operation> {
    let at = OPERATIONS.binary_search_by(|operation| operation.name.cmp(name));
    at.ok().map(|at| &OPERATIONS[at])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn operations_are_sorted() {
        assert!(OPERATIONS.windows(2).all(|pair| pair[0].name < pair[1].name));
    }
}

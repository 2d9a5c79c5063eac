//! One problem per layer and loss: what the support table in the documentation is made from.

use vivit::autodiff::ops::{AttentionParams, Comparison, RecurrentParams};
use vivit::autodiff::{Reduction, Tape, Var};
use vivit::nn::*;
use vivit::tensor::{Device, Tensor, Unary};

use super::{Kind, Layers, Maker, Problem, host};

/// A layer between two linear maps (or convolutions), so that factors arrive at it and leave it:
/// `(name, problem)`.
pub fn each() -> Vec<Problem> {
    each_on(&host())
}

/// As [`each`], on any device.
pub fn each_on(device: &Device) -> Vec<Problem> {
    use Kind::{CrossEntropy, Mse};
    use Reduction::{Mean, Sum};
    type Record = fn(&mut Tape, &[Var], Var) -> Var;
    let on = Maker(device);
    let row = |name, layers: fn() -> Layers, input: &[usize], kind, seed| {
        on.row(name, layers, input, kind, seed)
    };
    let taped = |name, record: Record, params: &[&[usize]], input: &[usize], kind, seed| {
        on.taped(name, record, params, input, kind, seed)
    };
    type Buffers<'a> = &'a [(&'static str, &'a [f64])];
    let row_of =
        |name, layers: fn() -> Layers, input: &[usize], kind, seed, buffers: Buffers<'_>| {
            on.row_of(name, layers, input, kind, seed, buffers)
        };
    let tokens = |name, layers: fn() -> Layers, input: &[usize], vocabulary, kind, seed| {
        on.tokens(name, layers, input, vocabulary, kind, seed)
    };
    fn activated(layer: Box<dyn Layer>) -> Layers {
        vec![linear(3, 4), layer, linear(4, 3)]
    }
    macro_rules! activation {
        ($name:literal, $layer:expr, $seed:literal) => {
            row($name, || activated($layer), &[3, 3], CrossEntropy(Mean), $seed)
        };
    }
    let mut zoo = vec![
        row("linear", || vec![linear(4, 3)], &[3, 4], CrossEntropy(Mean), 30),
        activation!("relu", relu(), 31),
        activation!("sigmoid", sigmoid(), 32),
        activation!("tanh", tanh(), 33),
        activation!("leaky_relu", leaky_relu(0.2), 34),
        activation!("elu", elu(0.7), 35),
        activation!("selu", selu(), 36),
        activation!("log_sigmoid", log_sigmoid(), 37),
        activation!("softplus", softplus(), 38),
        activation!("silu", silu(), 39),
        activation!("gelu", gelu(), 40),
        activation!("gelu_tanh", gelu_tanh(), 41),
        activation!("hard_tanh", hard_tanh(-0.5, 0.6), 42),
        activation!("relu6", relu6(), 88),
        activation!("hard_sigmoid", hard_sigmoid(), 89),
        activation!("hard_swish", hard_swish(), 90),
        activation!("mish", mish(), 91),
        activation!("softsign", softsign(), 92),
        activation!("celu", celu(0.7), 93),
        activation!("p_relu", p_relu(4), 94),
        row(
            "p_relu, channels",
            || vec![conv1d(1, 2, 2), p_relu(2), p_relu(1), flatten(), linear(6, 2)],
            &[3, 1, 4],
            CrossEntropy(Mean),
            95,
        ),
        row("glu", || vec![linear(3, 4), glu(1), linear(2, 3)], &[3, 3], CrossEntropy(Mean), 96),
        activation!("softmax", softmax(1), 43),
        activation!("log_softmax", log_softmax(1), 44),
        activation!("dropout", dropout(0.5), 45),
        row("flatten", || vec![linear(2, 2), flatten(), linear(4, 2)], &[3, 2, 2], Mse(Mean), 46),
        row(
            "permute",
            || vec![linear(3, 2), tanh(), permute(&[2, 1]), linear(3, 2)],
            &[2, 3, 3],
            CrossEntropy(Sum),
            47,
        ),
        row(
            "mean_over, sum_over",
            || vec![linear(2, 3), tanh(), mean_over(1), tanh(), sum_over(1)],
            &[3, 2, 2, 2],
            Mse(Sum),
            48,
        ),
        row(
            "zero_pad",
            || vec![conv2d(1, 2, 2), zero_pad2d([1, 0, 2, -1]), conv2d(2, 1, 2), flatten()],
            &[2, 1, 3, 3],
            Mse(Mean),
            49,
        ),
        row(
            "conv1d",
            || {
                vec![
                    Conv1d::new(2, 3, 3).padded(1).strided(2).boxed(),
                    tanh(),
                    flatten(),
                    linear(9, 2),
                ]
            },
            &[3, 2, 5],
            CrossEntropy(Mean),
            50,
        ),
        row(
            "conv2d",
            || {
                vec![
                    Conv2d::new(2, 4, 2).grouped(2).dilated([1, 2]).boxed(),
                    tanh(),
                    flatten(),
                    linear(16, 2),
                ]
            },
            &[2, 2, 3, 4],
            CrossEntropy(Mean),
            51,
        ),
        row(
            "conv3d",
            || vec![conv3d(1, 2, 2), tanh(), flatten(), linear(8, 2)],
            &[2, 1, 2, 3, 3],
            Mse(Mean),
            52,
        ),
        row(
            "conv_transpose1d",
            || {
                let conv = ConvTranspose1d::new(2, 3, 3).strided(3).padded(1).output_padded(2);
                vec![conv.boxed(), tanh(), flatten(), linear(27, 2)]
            },
            &[2, 2, 3],
            CrossEntropy(Mean),
            53,
        ),
        row(
            "conv_transpose2d",
            || {
                let conv = ConvTranspose2d::new(4, 2, 2)
                    .strided([2, 1])
                    .dilated([1, 2])
                    .grouped(2)
                    .without_bias();
                vec![conv.output_padded([1, 0]).boxed(), tanh(), flatten(), linear(40, 2)]
            },
            &[2, 4, 2, 2],
            Mse(Mean),
            54,
        ),
        row(
            "conv_transpose3d",
            || vec![ConvTranspose3d::new(1, 2, 2).boxed(), sigmoid(), flatten(), linear(36, 2)],
            &[2, 1, 1, 2, 2],
            CrossEntropy(Sum),
            55,
        ),
        row(
            "max_pool1d",
            || vec![conv1d(1, 2, 2), tanh(), max_pool1d(2, 1), flatten(), linear(6, 2)],
            &[3, 1, 5],
            Mse(Mean),
            56,
        ),
        row(
            "max_pool2d",
            || vec![conv2d(1, 2, 2), tanh(), max_pool2d(2, 1), flatten(), linear(8, 2)],
            &[3, 1, 4, 4],
            Mse(Mean),
            57,
        ),
        row(
            "max_pool3d",
            || vec![conv3d(1, 2, 1), tanh(), max_pool3d(2, 1), flatten(), linear(4, 2)],
            &[2, 1, 2, 3, 2],
            Mse(Mean),
            58,
        ),
        row(
            "avg_pool1d",
            || vec![conv1d(1, 2, 2), tanh(), avg_pool1d(2, 2), flatten(), linear(4, 2)],
            &[3, 1, 5],
            Mse(Mean),
            59,
        ),
        row(
            "avg_pool2d",
            || vec![conv2d(1, 2, 2), tanh(), avg_pool2d(2, 1), flatten(), linear(8, 2)],
            &[3, 1, 4, 4],
            Mse(Mean),
            60,
        ),
        row(
            "avg_pool3d",
            || vec![conv3d(1, 2, 1), tanh(), avg_pool3d(2, 1), flatten(), linear(4, 2)],
            &[2, 1, 2, 3, 2],
            Mse(Mean),
            61,
        ),
        row(
            "adaptive_avg_pool",
            || vec![conv2d(1, 2, 2), tanh(), adaptive_avg_pool2d([2, 3]), flatten(), linear(12, 2)],
            &[2, 1, 4, 6],
            Mse(Mean),
            62,
        ),
        row_of(
            "batch_norm, evaluation",
            || vec![conv2d(1, 2, 2), batch_norm(2), tanh(), flatten(), linear(8, 2)],
            &[3, 1, 3, 3],
            CrossEntropy(Mean),
            63,
            &[("1.running_mean", &[0.3, -0.2]), ("1.running_var", &[0.5, 2.0])],
        ),
        row(
            "layer_norm",
            || vec![linear(3, 4), layer_norm(&[2, 4]), tanh(), flatten(), linear(8, 2)],
            &[3, 2, 3],
            CrossEntropy(Mean),
            64,
        ),
        row(
            "group_norm",
            || vec![conv2d(1, 4, 2), group_norm(2, 4), tanh(), flatten(), linear(16, 2)],
            &[2, 1, 3, 3],
            Mse(Mean),
            65,
        ),
        row(
            "rms_norm",
            || vec![linear(3, 4), rms_norm(4, 1e-3), tanh(), linear(4, 3)],
            &[3, 3],
            CrossEntropy(Mean),
            66,
        ),
        tokens(
            "embedding",
            || vec![embedding(5, 3), tanh(), flatten(), linear(9, 2)],
            &[4, 3],
            5,
            CrossEntropy(Mean),
            67,
        ),
        tokens(
            "positional_embedding",
            || {
                vec![
                    embedding(4, 2),
                    positional_embedding(5, 2),
                    tanh(),
                    linear(2, 3),
                    permute(&[2, 1]),
                ]
            },
            &[2, 3],
            4,
            CrossEntropy(Mean),
            68,
        ),
        row(
            "self_attention",
            || vec![linear(2, 4), self_attention(4, 2, false), flatten(), linear(12, 2)],
            &[2, 3, 2],
            CrossEntropy(Mean),
            69,
        ),
        row(
            "self_attention, causal",
            || vec![self_attention(2, 1, true), linear(2, 3), permute(&[2, 1])],
            &[2, 3, 2],
            CrossEntropy(Sum),
            70,
        ),
        row("rnn", || vec![rnn(2, 3), flatten(), linear(9, 2)], &[3, 3, 2], CrossEntropy(Mean), 71),
        row("lstm", || vec![lstm(2, 2), flatten(), linear(6, 2)], &[2, 3, 2], Mse(Mean), 72),
        row(
            "residual, shared",
            || vec![linear(3, 3), residual(vec![tanh(), linear(3, 3)]), tanh(), shared(0)],
            &[3, 3],
            CrossEntropy(Mean),
            73,
        ),
        row(
            "branches, added",
            || {
                vec![
                    branches(
                        vec![vec![], vec![linear(3, 3), tanh()], vec![linear(3, 3)]],
                        Join::Sum,
                    ),
                    linear(3, 2),
                ]
            },
            &[3, 3],
            Mse(Mean),
            74,
        ),
        row(
            "branches, side by side",
            || {
                let rows = vec![vec![conv1d(1, 2, 3)], vec![avg_pool1d(3, 1)]];
                vec![branches(rows, Join::Concat(1)), tanh(), flatten(), linear(9, 2)]
            },
            &[3, 1, 5],
            CrossEntropy(Mean),
            75,
        ),
        row(
            "wiring",
            || {
                let mut net = Wiring::new();
                let x = net.input();
                let hidden = net.layer("hidden", linear(3, 3), x);
                let left = net.layer("left", tanh(), hidden);
                let twice = net.again("hidden", left);
                let both = net.join(Join::Concat(1), &[hidden, twice]);
                let out = net.layer("out", linear(6, 3), both);
                let sum = net.join(Join::Sum, &[out, x]);
                vec![net.output(sum)]
            },
            &[3, 3],
            CrossEntropy(Mean),
            79,
        ),
        taped(
            "arithmetic on the tape",
            |tape, p, x| {
                let a = tape.linear(x, p[0], None);
                let b = tape.linear(x, p[1], None);
                let b = tape.map(Unary::Exp, b);
                let product = tape.mul(a, b);
                let divisor = tape.map(Unary::Exp, p[2]);
                let quotient = tape.div(product, divisor);
                let difference = tape.sub(quotient, b);
                tape.scale(difference, 0.3)
            },
            &[&[3, 2], &[3, 2], &[3]],
            &[4, 2],
            Mse(Mean),
            76,
        ),
        taped(
            "maximum, minimum, pow on the tape",
            |tape, p, x| {
                let a = tape.linear(x, p[0], None);
                let b = tape.linear(x, p[1], None);
                let larger = tape.maximum(a, b);
                let smaller = tape.minimum(larger, p[2]);
                let base = tape.map(Unary::Exp, a);
                let power = tape.pow(base, smaller);
                let scaled = tape.pow(base, p[2]);
                tape.sub(power, scaled)
            },
            &[&[3, 2], &[3, 2], &[3]],
            &[4, 2],
            Mse(Mean),
            97,
        ),
        taped(
            "fmod, remainder on the tape",
            |tape, p, x| {
                let a = tape.linear(x, p[0], None);
                let b = tape.map(Unary::Exp, p[1]);
                let first = tape.fmod(a, b);
                let second = tape.remainder(a, b);
                let both = tape.add(first, second);
                tape.linear(both, p[2], None)
            },
            &[&[3, 2], &[3], &[2, 3]],
            &[4, 2],
            CrossEntropy(Mean),
            98,
        ),
        taped(
            "select, comparisons, logic on the tape",
            |tape, p, x| {
                let a = tape.linear(x, p[0], None);
                let b = tape.linear(x, p[1], None);
                let less = tape.compare(Comparison::Less, a, b);
                let above = tape.compare(Comparison::Greater, a, p[2]);
                let mask = tape.logical_and(less, above);
                let flipped = tape.logical_not(mask);
                let either = tape.logical_xor(flipped, less);
                // The logarithm of what is not chosen may be NaN.
                let log = tape.map(Unary::Ln, a);
                let zero = Tensor::zeros(tape.device(), []);
                let zero = tape.constant(zero);
                let positive = tape.compare(Comparison::Less, zero, a);
                let safe = tape.select(positive, log, b);
                let chosen = tape.select(mask, safe, p[2]);
                let others = tape.select(either, chosen, a);
                tape.tanh(others)
            },
            &[&[3, 2], &[3, 2], &[3]],
            &[4, 2],
            Mse(Mean),
            99,
        ),
        taped(
            "max, min, prod, logsumexp on the tape",
            |tape, p, x| {
                let h = tape.linear(x, p[0], None);
                let h = tape.tanh(h);
                let largest = tape.max(h, 1);
                let smallest = tape.min(h, 1);
                let product = tape.prod(h, 1);
                let total = tape.logsumexp(h, 1);
                let weight = tape.prod(p[1], 0);
                let extremes = tape.mul(largest, smallest);
                let rest = tape.mul(product, total);
                let sum = tape.add(extremes, rest);
                tape.mul(sum, weight)
            },
            &[&[2, 2], &[3, 2]],
            &[3, 3, 2],
            CrossEntropy(Mean),
            100,
        ),
        taped(
            "argmax, rounding on the tape",
            |tape, p, x| {
                let h = tape.linear(x, p[0], None);
                let position = tape.argmax(h, 2);
                let last = tape.argmin(h, 2);
                let positions = tape.add(position, last);
                let whole = tape.map(Unary::Round, h);
                let whole = tape.sum(whole, 2);
                let factors = tape.add(positions, whole);
                let h = tape.sum(h, 2);
                tape.mul(h, factors)
            },
            &[&[3, 2]],
            &[3, 3, 2],
            Mse(Mean),
            101,
        ),
        taped(
            "the largest entries on the tape",
            |tape, p, x| {
                let h = tape.linear(x, p[0], None);
                let places = tape.top_places(h, 2, 2, false);
                let entries = tape.gather_elements(h, 2, places);
                let squares = tape.map(Unary::Square, entries);
                tape.sum(squares, 2)
            },
            &[&[3, 2]],
            &[3, 3, 2],
            Mse(Mean),
            131,
        ),
        taped(
            "matrix products on the tape",
            |tape, p, x| {
                let a = tape.linear(x, p[0], None);
                let b = tape.linear(x, p[1], None);
                let scores = tape.matmul_transposed(a, b);
                let attention = tape.softmax(scores, 2);
                let mixed = tape.matmul(attention, b);
                tape.mean(mixed, 1)
            },
            &[&[2, 2], &[2, 2]],
            &[3, 3, 2],
            CrossEntropy(Mean),
            77,
        ),
        taped(
            "tied weights",
            |tape, p, x| {
                // One matrix as attention's output projection and as a recurrent layer's weight.
                let params = AttentionParams {
                    in_weight: p[0],
                    in_bias: None,
                    out_weight: p[1],
                    out_bias: None,
                };
                let x = tape.self_attention(x, params, 1, false);
                let params = RecurrentParams {
                    input_weight: p[1],
                    hidden_weight: p[1],
                    input_bias: None,
                    hidden_bias: None,
                };
                let h = tape.rnn(x, params);
                tape.sum(h, 1)
            },
            &[&[6, 2], &[2, 2]],
            &[3, 2, 2],
            Mse(Sum),
            78,
        ),
    ];
    zoo.extend(super::rearranged::each(on));
    zoo.extend(super::sequences::rows(on));
    for (at, (name, kind)) in [
        ("MSE", Mse(Mean)),
        ("cross-entropy", CrossEntropy(Sum)),
        ("cross-entropy, class weights", Kind::Weighted),
        ("cross-entropy, ignored labels", Kind::Ignoring),
        ("cross-entropy, label smoothing", Kind::Smoothed),
        ("cross-entropy, soft targets", Kind::Soft),
        ("BCE with logits", Kind::Bce),
        ("BCE with logits, pos_weight", Kind::WeightedBce),
    ]
    .into_iter()
    .enumerate()
    {
        zoo.push(row(
            name,
            || vec![linear(3, 3), tanh(), linear(3, 3)],
            &[4, 3],
            kind,
            80 + at as u64,
        ));
    }
    zoo
}

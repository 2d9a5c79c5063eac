//! Problems of attention, recurrent layers, norms, and weights that are computed.

use vivit::autodiff::ops::{
    AttentionOptions, Cell, ConvOptions, LocalResponseOptions, RecurrentOptions, RecurrentParams,
};
use vivit::autodiff::{Tape, Var};
use vivit::nn::*;
use vivit::tensor::{Tensor, Unary};

use super::Kind::{CrossEntropy, Mse};
use super::{Layers, Maker, Problem};
use vivit::autodiff::Reduction::{Mean, Sum};

/// All of them.
pub(super) fn rows(on: Maker<'_>) -> Vec<Problem> {
    let mut rows = attention(on);
    rows.extend(transformers(on));
    rows.extend(recurrent(on));
    rows.extend(norms(on));
    rows.extend(computed_weights(on));
    rows
}

/// The heads `[N, H, T, d]` of `x · wᵀ`.
fn heads(tape: &mut Tape, x: Var, weight: Var, heads: usize) -> Var {
    let projected = tape.linear(x, weight, None);
    tape.split_heads(projected, heads)
}

/// An array whose entries follow from their position.
fn array(tape: &Tape, shape: &[usize], entry: impl Fn(usize) -> f64) -> Tensor {
    let entries: Vec<f64> = (0..shape.iter().product()).map(entry).collect();
    Tensor::from_vec(tape.device(), shape, entries).expect("fits")
}

fn attention(on: Maker<'_>) -> Vec<Problem> {
    vec![
        on.taped(
            "attention, grouped heads, soft cap",
            |tape, p, x| {
                let [q, k, v] =
                    [(p[0], 4), (p[1], 2), (p[2], 2)].map(|(w, h)| heads(tape, x, w, h));
                let options = AttentionOptions::default().soft_cap(Some(0.8)).scale(Some(0.9));
                let y = tape.attention(q, k, v, options);
                let y = tape.join_heads(y);
                tape.mean(y, 1)
            },
            &[&[8, 2], &[4, 2], &[2, 2]],
            &[2, 3, 2],
            Mse(Mean),
            200,
        ),
        on.taped(
            "attention, masked per sample",
            |tape, p, x| {
                let [q, k, v] = [p[0], p[1], p[2]].map(|w| heads(tape, x, w, 1));
                // Sample 0 hides its last key, sample 1 all keys from query 1.
                let hidden = |at: usize| [2, 5, 8, 12, 13, 14].contains(&at);
                let entry = |at| if hidden(at) { f64::NEG_INFINITY } else { 0.1 * at as f64 };
                let mask = array(tape, &[2, 3, 3], entry);
                let mask = tape.batched_constant(mask);
                let y = tape.attention(q, k, v, AttentionOptions::default().mask(Some(mask)));
                let y = tape.join_heads(y);
                tape.flatten(y)
            },
            &[&[2, 2], &[2, 2], &[2, 2]],
            &[2, 3, 2],
            CrossEntropy(Mean),
            201,
        ),
        on.taped(
            "attention, learned bias and queries",
            |tape, p, x| {
                // As many learned queries as half the positions; a bias per head, query and key.
                let half = tape.slice(x, 1, 0, 2);
                let q = tape.add(half, p[0]);
                let [q, k, v] =
                    [(q, p[1]), (x, p[2]), (x, p[3])].map(|(x, w)| heads(tape, x, w, 2));
                let options = AttentionOptions::default().causal(true).mask(Some(p[4]));
                let y = tape.attention(q, k, v, options);
                let y = tape.join_heads(y);
                tape.sum(y, 1)
            },
            &[&[2, 2], &[2, 2], &[2, 2], &[2, 2], &[2, 2, 4]],
            &[2, 4, 2],
            Mse(Sum),
            202,
        ),
    ]
}

fn transformers(on: Maker<'_>) -> Vec<Problem> {
    let crossed: fn() -> Layers = || {
        let mut net = Wiring::new();
        let x = net.input();
        let (left, right) =
            (net.layer("left", linear(2, 3), x), net.layer("right", conv1d(3, 2, 1), x));
        let attention = MultiheadAttention::new(2, 2).key_features(3).value_features(2);
        let rows = net.layer("rows", permute(&[2, 1]), left);
        let columns = net.layer("columns", conv1d(3, 3, 1), rows);
        let keys = net.layer("keys", permute(&[2, 1]), columns);
        let values = net.layer("values", conv1d(2, 3, 1), right);
        let y = net.layer_of("attention", attention.boxed(), &[x, keys, values]);
        let packed = net.layer_of("memory", multihead_attention(2, 1), &[y, values]);
        vec![net.output(packed), flatten()]
    };
    vec![
        on.row("multihead_attention, crossed", crossed, &[2, 3, 2], CrossEntropy(Mean), 203),
        on.row(
            "multihead_attention",
            || vec![MultiheadAttention::new(2, 2).without_bias().causal().boxed(), linear(2, 1)],
            &[2, 3, 2],
            Mse(Mean),
            204,
        ),
        on.row(
            "transformer_encoder_layer",
            || {
                let layer = TransformerEncoderLayer::new(2, 1, 3).gelu().epsilon(0.1);
                vec![layer.boxed(), mean_over(1)]
            },
            &[2, 2, 2],
            CrossEntropy(Mean),
            205,
        ),
        on.row(
            "transformer_encoder_layer, norms first",
            || {
                let layer = TransformerEncoderLayer::new(2, 2, 2).norm_first().without_bias();
                vec![layer.gelu().causal().epsilon(0.1).boxed(), mean_over(1)]
            },
            &[2, 3, 2],
            Mse(Mean),
            206,
        ),
    ]
}

/// Parameters that are the first of `p`, with biases.
fn recurrent_params(p: &[Var]) -> RecurrentParams {
    RecurrentParams {
        input_weight: p[0],
        hidden_weight: p[1],
        input_bias: Some(p[2]),
        hidden_bias: Some(p[3]),
    }
}

fn recurrent(on: Maker<'_>) -> Vec<Problem> {
    vec![
        on.row("gru", || vec![gru(2, 2), flatten(), linear(6, 2)], &[2, 3, 2], Mse(Mean), 207),
        on.row(
            "gru, two layers, both directions",
            || {
                let layer = Recurrent::gru(2, 1).layers(2).bidirectional().without_bias();
                vec![layer.boxed(), select(1, -1)]
            },
            &[2, 3, 2],
            CrossEntropy(Mean),
            208,
        ),
        on.taped(
            "gru, reset before the product",
            |tape, p, x| {
                // A hidden state to begin with that is learned, the same for all samples.
                let options = RecurrentOptions::default().hidden(Some(p[4]));
                tape.recurrent(x, Cell::GruResetBefore, recurrent_params(p), options).hidden
            },
            &[&[6, 2], &[6, 2], &[6], &[6], &[2]],
            &[2, 3, 2],
            CrossEntropy(Sum),
            209,
        ),
        on.taped(
            "gru, states per sample",
            |tape, p, x| {
                let first = tape.slice(x, 1, 0, 1);
                let first = tape.reshape(first, &[2]);
                let first = tape.linear(first, p[4], None);
                let options = RecurrentOptions::default().reverse(true).hidden(Some(first));
                let states = tape.recurrent(x, Cell::Gru, recurrent_params(p), options);
                let sum = tape.sum(states.all, 1);
                tape.add(sum, states.hidden)
            },
            &[&[6, 2], &[6, 2], &[6], &[6], &[2, 2]],
            &[2, 2, 2],
            Mse(Mean),
            210,
        ),
        on.taped(
            "lstm, states per sample",
            |tape, p, x| {
                let first = tape.slice(x, 1, 0, 1);
                let first = tape.reshape(first, &[2]);
                let (hidden, cell) =
                    (tape.linear(first, p[4], None), tape.linear(first, p[5], None));
                let options = RecurrentOptions::default().hidden(Some(hidden)).cell(Some(cell));
                let states = tape.recurrent(x, Cell::Lstm, recurrent_params(p), options);
                let last = states.cell.expect("an LSTM has a cell state");
                tape.add(states.hidden, last)
            },
            &[&[8, 2], &[8, 2], &[8], &[8], &[2, 2], &[2, 2]],
            &[2, 2, 2],
            CrossEntropy(Mean),
            211,
        ),
        on.row(
            "rnn_relu",
            || {
                let layer = Recurrent::rnn(2, 3).cell(Cell::RnnRelu);
                vec![linear(2, 2), layer.boxed(), flatten(), linear(9, 2)]
            },
            &[3, 3, 2],
            Mse(Mean),
            212,
        ),
    ]
}

fn norms(on: Maker<'_>) -> Vec<Problem> {
    vec![
        on.row(
            "instance_norm",
            || {
                let norm = InstanceNorm::new(2).over_axes(2).epsilon(0.01).affine();
                vec![conv2d(1, 2, 2), norm.boxed(), tanh(), flatten(), linear(8, 2)]
            },
            &[3, 1, 3, 3],
            CrossEntropy(Mean),
            213,
        ),
        on.row(
            "local_response_norm",
            || {
                let norm = LocalResponseNorm::new(2).alpha(0.7).beta(0.6).k(1.3);
                vec![conv1d(1, 3, 2), norm.boxed(), flatten(), linear(9, 2)]
            },
            &[2, 1, 4],
            Mse(Mean),
            214,
        ),
        on.taped(
            "normalisation along axes",
            |tape, p, x| {
                let x = tape.linear(x, p[0], None);
                // Vectors of length zero have no direction.
                let x = tape.map(Unary::Shift(3.0), x);
                let one = tape.mean_variance_normalize(x, &[1, 3], 0.1);
                let two = tape.l2_normalize(x, 2, 1e-12);
                let three = tape.l1_normalize(x, 3, 1e-12);
                let options = LocalResponseOptions::default().alpha(0.9);
                let four = tape.local_response_norm(x, 3, options);
                let all = tape.concat(&[one, two, three, four], 1);
                let all = tape.mean(all, 2);
                let all = tape.flatten(all);
                tape.linear(all, p[1], None)
            },
            &[&[2, 2], &[2, 16]],
            &[2, 2, 2, 2],
            CrossEntropy(Mean),
            215,
        ),
    ]
}

/// `g v/‖v‖` per row.
fn weight_norm(tape: &mut Tape, v: Var, g: Var) -> Var {
    let squares = tape.mul(v, v);
    let squared = tape.sum(squares, 1);
    let norm = tape.map(Unary::Sqrt, squared);
    let factor = tape.div(g, norm);
    let rows = tape.value(v).shape()[0];
    let factor = tape.reshape(factor, &[rows, 1]);
    tape.mul(v, factor)
}

fn computed_weights(on: Maker<'_>) -> Vec<Problem> {
    vec![
        on.taped(
            "weight norm",
            |tape, p, x| {
                let weight = weight_norm(tape, p[0], p[1]);
                let hidden = tape.linear(x, weight, Some(p[2]));
                let hidden = tape.tanh(hidden);
                tape.linear(hidden, p[3], None)
            },
            &[&[3, 2], &[3], &[3], &[2, 3]],
            &[3, 2],
            CrossEntropy(Mean),
            216,
        ),
        on.taped(
            "computed weights of convolutions and norms",
            |tape, p, x| {
                let [kernel, back] = [p[0], p[1]].map(|kernel| tape.tanh(kernel));
                let y = tape.conv(x, kernel, None, &ConvOptions::new(1));
                let scale = tape.map(Unary::Exp, p[2]);
                let y = tape.group_norm(y, 1, Some(scale), None, 0.1);
                let y = tape.conv_transpose(y, back, None, &ConvOptions::new(1), &[0]);
                tape.flatten(y)
            },
            &[&[2, 1, 2], &[2, 1, 2], &[2]],
            &[2, 1, 3],
            Mse(Mean),
            217,
        ),
        on.taped(
            "weights per sample",
            |tape, p, x| {
                // A matrix per sample, computed from the sample, as in a hypernetwork.
                let weight = tape.linear(x, p[0], None);
                let weight = tape.reshape(weight, &[2, 3]);
                let weight = tape.tanh(weight);
                let hidden = tape.linear(x, p[1], None);
                let hidden = tape.reshape(hidden, &[3, 1]);
                let y = tape.matmul(weight, hidden);
                tape.flatten(y)
            },
            &[&[6, 2], &[3, 2]],
            &[3, 2],
            CrossEntropy(Mean),
            218,
        ),
        on.taped(
            "bilinear",
            |tape, p, x| {
                let (left, right) = (tape.linear(x, p[0], None), tape.linear(x, p[1], None));
                tape.bilinear(left, right, p[2], Some(p[3]))
            },
            &[&[2, 2], &[3, 2], &[2, 2, 3], &[2]],
            &[3, 2, 2],
            Mse(Mean),
            219,
        ),
        on.row(
            "bilinear layer",
            || {
                let mut net = Wiring::new();
                let x = net.input();
                let other = net.layer("other", linear(2, 3), x);
                let y = net.layer_of("y", bilinear(2, 3, 2), &[x, other]);
                let square = net.layer("square", Bilinear::new(2, 2, 2).without_bias().boxed(), y);
                vec![net.output(square)]
            },
            &[3, 2],
            CrossEntropy(Mean),
            220,
        ),
    ]
}

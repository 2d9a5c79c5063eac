//! Problems with operations that move, choose and contract entries: more rows of the support table.

use vivit::autodiff::Reduction::{Mean, Sum};
use vivit::autodiff::ops::{
    Coordinates, DepthOrder, Interpolation, Nearest, ResizeOptions, ScatterReduction,
};
use vivit::autodiff::{Tape, Var};
use vivit::tensor::Tensor;

use super::Kind::{CrossEntropy, Mse};
use super::{Maker, Problem};

/// Whole numbers as an index.
fn index(tape: &Tape, shape: &[usize], numbers: &[f64]) -> Tensor {
    Tensor::from_vec(tape.device(), shape, numbers).expect("fits")
}

/// `tanh(x · p₀ᵀ)`: what the operations of most rows work on.
fn hidden(tape: &mut Tape, p: &[Var], x: Var) -> Var {
    let hidden = tape.linear(x, p[0], None);
    tape.tanh(hidden)
}

pub(super) fn each(on: Maker<'_>) -> Vec<Problem> {
    vec![
        on.taped(
            "gather",
            |tape, p, x| {
                let h = hidden(tape, p, x);
                let same = index(tape, &[2, 2], &[2.0, 0.0, -1.0, 2.0]);
                let same = tape.constant(same);
                let own = index(tape, &[3, 2], &[0.0, 1.0, 1.0, 1.0, -1.0, 0.0]);
                let own = tape.input(own);
                let chosen = tape.gather(h, 2, same);
                let chosen = tape.gather(chosen, 1, own);
                let y = tape.flatten(chosen);
                tape.linear(y, p[1], None)
            },
            &[&[3, 2], &[2, 8]],
            &[3, 2, 2],
            CrossEntropy(Mean),
            100,
        ),
        on.taped(
            "gather, rows of a parameter",
            |tape, p, x| {
                let own = index(tape, &[3, 2], &[0.0, -1.0, 2.0, 2.0, 1.0, -3.0]);
                let own = tape.input(own);
                let rows = tape.gather(p[0], 0, own);
                let rows = tape.tanh(rows);
                let rows = tape.flatten(rows);
                let y = tape.linear(x, p[1], None);
                tape.mul(rows, y)
            },
            &[&[4, 2], &[4, 3]],
            &[3, 3],
            Mse(Mean),
            101,
        ),
        on.taped(
            "gather_elements, scatter_elements",
            |tape, p, x| {
                let h = hidden(tape, p, x);
                let own = index(tape, &[2, 1, 2], &[2.0, 0.0, -1.0, 1.0]);
                let own = tape.input(own);
                let same = index(tape, &[2, 1], &[1.0, -1.0]);
                let same = tape.constant(same);
                let chosen = tape.gather_elements(h, 2, own);
                let column = tape.slice(h, 2, 0, 1);
                let replaced = tape.scatter_elements(h, 2, same, column, ScatterReduction::Replace);
                let rows = tape.slice(replaced, 1, 0, 1);
                let sum = tape.scatter_elements(rows, 2, own, chosen, ScatterReduction::Add);
                let sum = tape.add(sum, replaced);
                tape.flatten(sum)
            },
            &[&[3, 2]],
            &[2, 2, 2],
            Mse(Mean),
            102,
        ),
        on.taped(
            "gather_nd, scatter_nd",
            |tape, p, x| {
                let h = hidden(tape, p, x);
                let own = index(tape, &[2, 2, 2], &[1.0, 0.0, 0.0, -1.0, 1.0, 2.0, 0.0, 0.0]);
                let own = tape.input(own);
                let same = index(tape, &[1, 1], &[-1.0]);
                let same = tape.constant(same);
                let rows = tape.gather_nd(h, same);
                let chosen = tape.gather_nd(h, own);
                let replaced = tape.scatter_nd(h, same, rows, ScatterReduction::Add);
                let y = tape.scatter_nd(replaced, own, chosen, ScatterReduction::Replace);
                let y = tape.tanh(y);
                tape.flatten(y)
            },
            &[&[3, 2]],
            &[2, 2, 2],
            Mse(Mean),
            111,
        ),
        on.taped(
            "slices in steps, scatter_slices",
            |tape, p, x| {
                let h = hidden(tape, p, x);
                let backwards = tape.slice_by(h, 1, 3, -2, 2);
                let steps = tape.slice_by(h, 1, 0, 3, 2);
                let same = index(tape, &[2], &[0.0, 0.0]);
                let same = tape.constant(same);
                let sum = tape.scatter_slices(steps, 1, same, backwards, ScatterReduction::Add);
                let y = tape.concat(&[sum, backwards], 1);
                tape.flatten(y)
            },
            &[&[2, 2]],
            &[2, 4, 2],
            Mse(Sum),
            103,
        ),
        on.taped(
            "broadcast, cumsum",
            |tape, p, x| {
                let h = hidden(tape, p, x);
                let h = tape.reshape(h, &[1, 3]);
                let wide = tape.broadcast(h, &[2, 3]);
                let shift = tape.broadcast(p[1], &[2, 3]);
                let sum = tape.add(wide, shift);
                let down = tape.cumsum(sum, 1, false, false);
                let across = tape.cumsum(down, 2, true, true);
                tape.flatten(across)
            },
            &[&[3, 2], &[3]],
            &[3, 2],
            Mse(Mean),
            104,
        ),
        on.taped(
            "reflect_pad, replicate_pad, circular_pad, constant_pad",
            |tape, p, x| {
                let h = hidden(tape, p, x);
                let h = tape.reflect_pad(h, &[(1, 0), (1, 2)]);
                let h = tape.replicate_pad(h, &[(0, 1)]);
                let h = tape.circular_pad(h, &[(2, 0), (0, 0)]);
                let h = tape.constant_pad(h, &[(1, -1), (0, 0)], 0.5);
                let y = tape.flatten(h);
                tape.linear(y, p[1], None)
            },
            &[&[3, 2], &[2, 35]],
            &[2, 2, 2],
            Mse(Mean),
            105,
        ),
        on.taped(
            "resize: nearest, linear, cubic",
            |tape, p, x| {
                let h = hidden(tape, p, x);
                let h = tape.resize(h, &[3, 5], &ResizeOptions::default());
                let cubic = ResizeOptions::default()
                    .interpolation(Interpolation::Cubic(-0.75))
                    .coordinates(Coordinates::AlignCorners);
                let h = tape.resize(h, &[4, 3], &cubic);
                let nearest = ResizeOptions::default()
                    .interpolation(Interpolation::Nearest(Nearest::Floor))
                    .coordinates(Coordinates::Asymmetric);
                let h = tape.resize(h, &[2], &nearest);
                let y = tape.flatten(h);
                tape.linear(y, p[1], None)
            },
            &[&[3, 2], &[2, 8]],
            &[2, 2, 2],
            CrossEntropy(Mean),
            106,
        ),
        on.taped(
            "adaptive_max_pool",
            |tape, p, x| {
                let h = hidden(tape, p, x);
                let h = tape.adaptive_max_pool(h, &[3, 2]);
                let y = tape.flatten(h);
                tape.linear(y, p[1], None)
            },
            &[&[3, 2], &[2, 6]],
            &[2, 1, 4, 2],
            CrossEntropy(Mean),
            112,
        ),
        on.taped(
            "tril, triu, depth_to_space, sum_axes",
            |tape, p, x| {
                let h = hidden(tape, p, x);
                let lower = tape.tril(h, 0);
                let upper = tape.triu(h, 1);
                let upper = tape.tanh(upper);
                let both = tape.add(lower, upper);
                let planes = tape.reshape(both, &[4, 1, 2]);
                let planes = tape.depth_to_space(planes, 2, DepthOrder::BlocksLast);
                let sums = tape.sum_axes(planes, &[1, 3], false);
                let means = tape.mean_axes(h, &[1], false);
                tape.concat(&[sums, means], 1)
            },
            &[&[4, 2]],
            &[3, 2, 2],
            Mse(Mean),
            107,
        ),
        on.taped(
            "matrix products with weights",
            |tape, p, x| {
                // A weight on the right, stored either way, and on the left.
                let h = tape.matmul(x, p[0]);
                let h = tape.tanh(h);
                let h = tape.matmul_transposed(h, p[1]);
                let h = tape.sigmoid(h);
                let h = tape.matmul(p[2], h);
                let h = tape.tanh(h);
                let y = tape.matmul_transposed(p[2], h);
                tape.flatten(y)
            },
            &[&[2, 3], &[3, 3], &[2, 3]],
            &[3, 3, 2],
            Mse(Mean),
            108,
        ),
        on.taped(
            "one square matrix on either side, and turned",
            |tape, p, x| {
                let h = tape.matmul(x, p[0]);
                let h = tape.tanh(h);
                let h = tape.matmul_transposed(h, p[0]);
                let h = tape.matmul(p[0], h);
                let y = tape.linear(h, p[0], None);
                tape.flatten(y)
            },
            &[&[2, 2]],
            &[3, 2, 2],
            Mse(Mean),
            113,
        ),
        on.taped(
            "matrix products that repeat a factor",
            |tape, p, x| {
                let h = hidden(tape, p, x);
                // Per sample [1, 2, 3] · [2, 3, 2], [2, 2, 2] · [2, 2, 1] and a vector.
                let h = tape.reshape(h, &[1, 2, 3]);
                let h = tape.matmul(h, p[1]);
                let square = tape.reshape(h, &[2, 2, 2]);
                let column = tape.slice(square, 3, 0, 1);
                let column = tape.slice(column, 1, 0, 1);
                let y = tape.matmul(square, column);
                let y = tape.flatten(y);
                let bias = tape.matmul(p[2], y);
                let bias = tape.reshape(bias, &[1]);
                tape.add(y, bias)
            },
            &[&[3, 2], &[2, 3, 2], &[4]],
            &[2, 2, 2],
            Mse(Sum),
            109,
        ),
        on.taped(
            "einsum",
            |tape, p, x| {
                let h = tape.einsum("ti,io->to", &[x, p[0]]);
                let h = tape.tanh(h);
                let scores = tape.einsum("to,so,o->ts", &[h, h, p[1]]);
                let trace = tape.einsum("tt->t", &[scores]);
                let mixed = tape.einsum("ts,...s->...t", &[scores, p[2]]);
                tape.concat(&[trace, mixed], 1)
            },
            &[&[2, 3], &[3], &[2]],
            &[3, 2, 2],
            Mse(Mean),
            110,
        ),
    ]
}

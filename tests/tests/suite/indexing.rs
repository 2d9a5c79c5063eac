//! Operations that move entries of a value, against their definitions entry by entry, and their
//! derivatives.

use proptest::prelude::*;
use vivit::autodiff::check::check_derivatives;
use vivit::autodiff::ops::{DepthOrder, Gather, IndexSelect, Scatter, ScatterReduction};
use vivit::autodiff::{Batch, Error, Graph, Io, Mse, Op, Tape};
use vivit::tensor::{Device, Rng, Tensor};
use vivit_tests::zoo::host;

use crate::nets::{Opaque, config};

fn random(shape: &[usize], seed: u64) -> Tensor {
    Tensor::from_vec(&host(), shape, Rng::new(seed).normal(shape.iter().product())).unwrap()
}

/// Whole numbers below `end`.
fn whole(shape: &[usize], end: usize, seed: u64) -> Tensor {
    let mut rng = Rng::new(seed);
    let len: usize = shape.iter().product();
    let numbers = (0..len).map(|_| (rng.unit() * end as f64).floor()).collect::<Vec<_>>();
    Tensor::from_vec(&host(), shape, numbers).unwrap()
}

fn numbers(len: usize) -> Vec<f64> {
    (0..len).map(|x| x as f64).collect()
}

#[track_caller]
fn assert_right(op: &dyn Op, args: &[Tensor], batched: &[bool]) {
    for check in check_derivatives(op, args, batched, 3).unwrap() {
        assert!(check.passed(), "{op:?} of {args:?}: {check}");
    }
}

const BATCHED: [[bool; 2]; 4] = [[true, true], [true, false], [false, true], [false, false]];

/// A value's shape, with a sample axis in front where it has one.
fn full(own: &[usize], batched: bool) -> Vec<usize> {
    if batched { [&[3], own].concat() } else { own.to_vec() }
}

proptest! {
    #![proptest_config(config(24))]

    #[test]
    fn gathers(
        own in prop::collection::vec(1usize..4, 1..4),
        pick in 0usize..3,
        index in prop::collection::vec(1usize..4, 0..3),
        seed in 0u64..1000,
    ) {
        let axis = pick % own.len();
        for batched in BATCHED {
            let x = random(&full(&own, batched[0]), seed);
            let ids = whole(&full(&index, batched[1]), own[axis], seed);
            let (at, axis_lens) = (axis + usize::from(batched[0]), vec![own[axis]]);
            let op = Gather { axis: at, axis_lens, batched, per_entry: false };
            let args = [x, ids];
            assert_right(&op, &args, &batched);
            assert_right(&Opaque(op.clone()), &args, &batched);
            let mut entries = own.clone();
            entries[axis] = index.first().copied().unwrap_or(2);
            let ids = whole(&full(&entries, batched[1]), own[axis], seed);
            let [x, _] = args;
            let op = Gather { per_entry: true, ..op };
            assert_right(&op, &[x, ids], &batched);
        }
    }

    #[test]
    fn scatters(
        own in prop::collection::vec(1usize..4, 1..4),
        pick in 0usize..3,
        axis_len in 1usize..4,
        seed in 0u64..1000,
    ) {
        let axis = pick % own.len();
        for batched in BATCHED {
            let updates = random(&full(&own, batched[1]), seed);
            for (per_entry, named) in [(true, own.clone()), (false, vec![own[axis]])] {
                let ids = whole(&full(&named, batched[0]), axis_len, seed);
                let op = Scatter { axis, axis_lens: vec![axis_len], batched, per_entry };
                assert_right(&op, &[ids, updates.clone()], &batched);
            }
        }
    }

    /// `torch.gather`, and back where it came from.
    #[test]
    fn entries_go_where_their_index_says(rows in 1usize..4, cols in 1usize..5, seed in 0u64..1000) {
        let (x, ids) = (random(&[2, rows, cols], seed), whole(&[2, rows, cols], cols, seed + 1));
        let mut tape = Tape::new(&host());
        let (x_var, ids_var) = (tape.input(x.clone()), tape.input(ids.clone()));
        let y = tape.gather_elements(x_var, 2, ids_var);
        let (x, ids) = (x.to_vec().unwrap(), ids.to_vec().unwrap());
        let place = |at: usize| at / cols * cols + ids[at] as usize;
        let expected: Vec<f64> = (0..x.len()).map(|at| x[place(at)]).collect();
        prop_assert_eq!(tape.value(y).to_vec().unwrap(), expected);
        let sum = tape.scatter_elements(x_var, 2, ids_var, y, ScatterReduction::Add);
        let mut expected = x.clone();
        (0..x.len()).for_each(|at| expected[place(at)] += x[place(at)]);
        for (got, expected) in tape.value(sum).to_vec().unwrap().iter().zip(&expected) {
            prop_assert!((got - expected).abs() < 1e-12);
        }
    }
}

#[test]
fn negative_numbers_count_from_the_end() {
    let mut tape = Tape::new(&host());
    let x = tape.input(Tensor::from_vec(&host(), [2, 3], numbers(6)).unwrap());
    let index = tape.constant(Tensor::from_vec(&host(), [2], vec![-1.0, -3.0]).unwrap());
    let y = tape.gather(x, 1, index);
    assert_eq!(tape.value(y).to_vec().unwrap(), [2.0, 0.0, 5.0, 3.0]);
    let table = tape.param(Tensor::from_vec(&host(), [3, 2], numbers(6)).unwrap());
    let own = tape.input(Tensor::from_vec(&host(), [2, 1], vec![-1.0, 1.0]).unwrap());
    let y = tape.gather(table, 0, own);
    assert_eq!(tape.value(y).shape().to_vec(), [2, 1, 2]);
    assert_eq!(tape.value(y).to_vec().unwrap(), [4.0, 5.0, 2.0, 3.0]);
}

#[test]
fn what_names_no_entry_is_an_error_with_its_number() {
    for wrong in [3.0, -4.0, 0.5, f64::NAN] {
        let mut tape = Tape::new(&host());
        let x = tape.param(random(&[3, 2], 1));
        let index = Tensor::from_vec(&host(), [2, 1], vec![1.0, wrong]).unwrap();
        let index = tape.input(index);
        let rows = tape.gather(x, 0, index);
        let rows = tape.flatten(rows);
        let graph = Graph::new(tape, rows).unwrap();
        let error = graph.backward(&Mse::sum(random(&[2, 2], 2))).unwrap_err();
        match error {
            Error::NoEntry { value, index, axis_len: 3 } => {
                assert!(value == wrong && index == [1, 0], "{value} at {index:?}");
            }
            Error::NonFinite { .. } if wrong.is_nan() => {}
            other => panic!("{other}"),
        }
    }
    // An index that is computed, not given.
    let mut tape = Tape::new(&host());
    let x = tape.param(random(&[3, 2], 1));
    let index = tape.input(Tensor::from_vec(&host(), [2, 1], vec![1.0, 2.0]).unwrap());
    let index = tape.scale(index, 2.0);
    let rows = tape.gather(x, 0, index);
    let rows = tape.flatten(rows);
    let error = Graph::new(tape, rows).unwrap().backward(&Mse::sum(random(&[2, 2], 2)));
    assert!(matches!(error, Err(Error::NoEntry { value: 4.0, .. })), "{error:?}");
    assert!(error.unwrap_err().to_string().contains("number 4 at [1, 0]"));
}

/// Positions beyond the whole numbers that single precision has.
#[test]
fn positions_are_not_rounded() {
    let cpu = Device::cpu();
    let len = (1 << 24) + 4;
    let op = IndexSelect::new(1, len, &[len - 1, 0, len - 3]);
    let x = Tensor::zeros(&cpu, [1, len]);
    let out = op.forward(&[&x]);
    let io = Io { args: &[&x], out: &out, batched: &[true] };
    let mat = Tensor::from_vec(&cpu, [1, 1, 3], vec![1.0, 2.0, 3.0]).unwrap();
    let sent = op.jac_t(io, 0, &mat, Batch::Sum).to_vec_f32().unwrap();
    let found: Vec<usize> = (0..len).filter(|&at| sent[at] != 0.0).collect();
    assert_eq!(found, [0, len - 3, len - 1]);
    assert_eq!(found.iter().map(|&at| sent[at]).collect::<Vec<_>>(), [2.0, 3.0, 1.0]);
}

#[test]
fn scatters_replace_or_add() {
    // ONNX's examples of `ScatterElements`, with and without a negative index, and of duplicates.
    let run = |index: Vec<f64>, reduction| {
        let mut tape = Tape::new(&host());
        let x =
            tape.input(Tensor::from_vec(&host(), [1, 5], vec![1.0, 2.0, 3.0, 4.0, 5.0]).unwrap());
        let index = tape.input(Tensor::from_vec(&host(), [1, 2], index).unwrap());
        let updates = tape.input(Tensor::from_vec(&host(), [1, 2], vec![1.1, 2.1]).unwrap());
        let y = tape.scatter_elements(x, 1, index, updates, reduction);
        tape.value(y).to_vec().unwrap()
    };
    let replaced = [1.0, 1.1, 3.0, 2.1, 5.0];
    assert_eq!(run(vec![1.0, 3.0], ScatterReduction::Replace), replaced);
    assert_eq!(run(vec![1.0, -2.0], ScatterReduction::Replace), replaced);
    let sum = run(vec![1.0, 1.0], ScatterReduction::Add);
    for (got, expected) in sum.iter().zip([1.0, 5.2, 3.0, 4.0, 5.0]) {
        assert!((got - expected).abs() < 1e-12, "{sum:?}");
    }
}

/// ONNX's examples of `GatherND` and `ScatterND`.
#[test]
fn coordinates_name_entries_or_slices() {
    let mut tape = Tape::new(&host());
    let row = |shape: &[usize], numbers: Vec<f64>| Tensor::from_vec(&host(), shape, numbers);
    let x = tape.param(row(&[2, 2], numbers(4)).unwrap());
    let index = tape.constant(row(&[2, 2], vec![0.0, 0.0, 1.0, -1.0]).unwrap());
    let y = tape.gather_nd(x, index);
    assert_eq!(tape.value(y).to_vec().unwrap(), [0.0, 3.0]);
    let index = tape.constant(row(&[2, 1], vec![1.0, 0.0]).unwrap());
    let y = tape.gather_nd(x, index);
    assert_eq!(tape.value(y).to_vec().unwrap(), [2.0, 3.0, 0.0, 1.0]);
    let cube = tape.input(row(&[1, 2, 2, 2], numbers(8)).unwrap());
    let index = tape.constant(row(&[2, 1, 2], vec![0.0, 1.0, 1.0, 0.0]).unwrap());
    let y = tape.gather_nd(cube, index);
    assert_eq!(tape.value(y).shape().to_vec(), [1, 2, 1, 2]);
    assert_eq!(tape.value(y).to_vec().unwrap(), [2.0, 3.0, 4.0, 5.0]);
    let line = tape.input(row(&[1, 8], (1..=8).map(f64::from).collect()).unwrap());
    let index = tape.constant(row(&[4, 1], vec![4.0, 3.0, 1.0, 7.0]).unwrap());
    let updates = tape.constant(row(&[4], vec![9.0, 10.0, 11.0, 12.0]).unwrap());
    let y = tape.scatter_nd(line, index, updates, ScatterReduction::Replace);
    assert_eq!(tape.value(y).to_vec().unwrap(), [1.0, 11.0, 3.0, 10.0, 9.0, 6.0, 7.0, 12.0]);
    let index = tape.input(row(&[1, 2, 2], vec![0.0, 1.0, 0.0, 1.0]).unwrap());
    let updates = tape.input(row(&[1, 2, 2], vec![10.0, 20.0, 100.0, 200.0]).unwrap());
    let y = tape.scatter_nd(cube, index, updates, ScatterReduction::Add);
    let added = [0.0, 1.0, 112.0, 223.0, 4.0, 5.0, 6.0, 7.0];
    assert_eq!(tape.value(y).to_vec().unwrap(), added);
}

#[test]
fn pads_continue_as_pytorch_s_do() {
    let mut tape = Tape::new(&host());
    let x = tape.input(Tensor::from_vec(&host(), [1, 2, 3], numbers(6)).unwrap());
    let shown = |tape: &Tape, y| tape.value(y).to_vec().unwrap();
    // torch.nn.functional.pad(torch.arange(6.).reshape(1, 2, 3), (2, 1), mode=…)
    let y = tape.reflect_pad(x, &[(2, 1)]);
    assert_eq!(shown(&tape, y), [2.0, 1.0, 0.0, 1.0, 2.0, 1.0, 5.0, 4.0, 3.0, 4.0, 5.0, 4.0]);
    let y = tape.replicate_pad(x, &[(2, 1)]);
    assert_eq!(shown(&tape, y), [0.0, 0.0, 0.0, 1.0, 2.0, 2.0, 3.0, 3.0, 3.0, 4.0, 5.0, 5.0]);
    let y = tape.circular_pad(x, &[(2, 1)]);
    assert_eq!(shown(&tape, y), [1.0, 2.0, 0.0, 1.0, 2.0, 0.0, 4.0, 5.0, 3.0, 4.0, 5.0, 3.0]);
    let y = tape.constant_pad(x, &[(0, 1), (1, -1)], f64::NEG_INFINITY);
    let low = f64::NEG_INFINITY;
    assert_eq!(shown(&tape, y), [low, 0.0, 1.0, low, 3.0, 4.0, low, low, low]);
}

#[test]
fn channels_and_blocks_of_pixels() {
    // ONNX's `DepthToSpace` on the numbers 0, 9, …: channel after channel of 2×3 planes.
    let mut tape = Tape::new(&host());
    let x: Vec<f64> = (0..8).flat_map(|c| (0..6).map(move |p| f64::from(9 * c + p))).collect();
    let x = tape.input(Tensor::from_vec(&host(), [1, 8, 2, 3], x).unwrap());
    let blocks_first = tape.depth_to_space(x, 2, DepthOrder::BlocksFirst);
    let first = tape.value(blocks_first).to_vec().unwrap();
    assert_eq!(first[..12], [0., 18., 1., 19., 2., 20., 36., 54., 37., 55., 38., 56.]);
    let blocks_last = tape.depth_to_space(x, 2, DepthOrder::BlocksLast);
    let last = tape.value(blocks_last).to_vec().unwrap();
    assert_eq!(last[..12], [0., 9., 1., 10., 2., 11., 18., 27., 19., 28., 20., 29.]);
    let back = tape.space_to_depth(blocks_first, 2);
    assert_eq!(tape.value(back).to_vec().unwrap(), tape.value(x).to_vec().unwrap());
}

/// By their definition: the largest entry of `⌊o·in/out⌋ .. ⌈(o+1)·in/out⌉`, the first of several.
#[test]
fn adaptive_maxima_are_those_of_their_windows() {
    for [from, to] in [[6, 3], [5, 3], [3, 5], [4, 1], [7, 4]] {
        let x = random(&[2, 3, from, 2], 5);
        let mut tape = Tape::new(&host());
        let input = tape.input(x.clone());
        let y = tape.adaptive_max_pool(input, &[to, 1]);
        let x = x.to_vec().unwrap();
        let largest = |at: usize| {
            let (plane, o) = (at / to, at % to);
            let window = o * from / to..((o + 1) * from).div_ceil(to);
            let entries =
                window.flat_map(|row| [0, 1].map(|col| x[(plane * from + row) * 2 + col]));
            entries.fold(f64::NEG_INFINITY, f64::max)
        };
        let expected: Vec<f64> = (0..6 * to).map(largest).collect();
        assert_eq!(tape.value(y).to_vec().unwrap(), expected, "{from} to {to}");
    }
}

#[test]
fn triangles_and_sums_over_several_axes() {
    let mut tape = Tape::new(&host());
    let x = tape.input(Tensor::from_vec(&host(), [1, 2, 3], numbers(6)).unwrap());
    let lower = tape.tril(x, 0);
    assert_eq!(tape.value(lower).to_vec().unwrap(), [0.0, 0.0, 0.0, 3.0, 4.0, 0.0]);
    let upper = tape.triu(x, 1);
    assert_eq!(tape.value(upper).to_vec().unwrap(), [0.0, 1.0, 2.0, 0.0, 0.0, 5.0]);
    let y = tape.input(Tensor::from_vec(&host(), [1, 2, 2, 3], numbers(12)).unwrap());
    let kept = tape.sum_axes(y, &[1, 3], true);
    assert_eq!(tape.value(kept).shape().to_vec(), [1, 1, 2, 1]);
    assert_eq!(tape.value(kept).to_vec().unwrap(), [24.0, 42.0]);
    let mean = tape.mean_axes(y, &[3, 2], false);
    assert_eq!(tape.value(mean).shape().to_vec(), [1, 2]);
    assert_eq!(tape.value(mean).to_vec().unwrap(), [2.5, 8.5]);
}

//! Arrays of as many axes as there may be, against index arithmetic.

use vivit::tensor::{Binary, Device, Reduce, Shape, Tensor};

use super::tools::{assert_close, random, read};

/// Twelve axes, of lengths that differ where they matter.
const AXES: [usize; 12] = [2, 1, 3, 1, 2, 2, 1, 3, 1, 2, 2, 3];

/// The index of a position, axis by axis.
fn index(shape: &[usize], mut at: usize) -> Vec<usize> {
    let mut index = vec![0; shape.len()];
    for axis in (0..shape.len()).rev() {
        index[axis] = at % shape[axis];
        at /= shape[axis];
    }
    index
}

/// The position of an index.
fn position(shape: &[usize], index: &[usize]) -> usize {
    shape.iter().zip(index).fold(0, |at, (len, i)| at * len + i)
}

/// Random numbers in an array of a shape, and the array.
fn array(device: &Device, shape: &[usize], seed: u64) -> (Vec<f64>, Tensor) {
    let (data, buf) = random(device, shape.iter().product(), seed);
    (data, Tensor::from_buf(device, shape, buf))
}

pub(super) fn many_axes(device: &Device) {
    assert_eq!(AXES.len(), Shape::MAX_RANK);
    assert!(Shape::checked(&[1; Shape::MAX_RANK + 1]).is_err());
    permutations(device);
    reductions(device);
    broadcasting(device);
    joining_and_padding(device);
}

fn permutations(device: &Device) {
    let (x, x_array) = array(device, &AXES, 1);
    let orders: [[usize; 12]; 4] = [
        [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11],
        [11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0],
        [4, 11, 0, 7, 2, 9, 1, 10, 3, 8, 5, 6],
        [1, 0, 3, 2, 5, 4, 7, 6, 9, 8, 11, 10],
    ];
    for order in orders {
        let permuted = x_array.permute(&order);
        let shape: Vec<usize> = order.iter().map(|&axis| AXES[axis]).collect();
        assert_eq!(*permuted.shape(), shape, "{order:?}");
        let from = |at: usize| {
            let mut original = [0; 12];
            for (i, &axis) in index(&shape, at).iter().zip(&order) {
                original[axis] = *i;
            }
            x[position(&AXES, &original)]
        };
        let expected: Vec<f64> = (0..x.len()).map(from).collect();
        assert_eq!(read(device, permuted.buf()), expected, "{order:?}");
    }
}

fn reductions(device: &Device) {
    let (x, x_array) = array(device, &AXES, 2);
    for axis in 0..AXES.len() {
        let mut shape = AXES.to_vec();
        shape.remove(axis);
        let len: usize = shape.iter().product();
        let list = |at: usize, i: usize| {
            let mut original = index(&shape, at);
            original.insert(axis, i);
            x[position(&AXES, &original)]
        };
        type Fold = fn(f64, f64) -> f64;
        let folds: [(Reduce, f64, Fold); 4] = [
            (Reduce::Sum, 0.0, |sum, x| sum + x),
            (Reduce::SumSquares, 0.0, |sum, x| sum + x * x),
            (Reduce::Max, f64::NEG_INFINITY, f64::max),
            (Reduce::Min, f64::INFINITY, f64::min),
        ];
        for (f, start, fold) in folds {
            let reduced = x_array.reduce(f, axis);
            assert_eq!(*reduced.shape(), shape, "{f:?} of axis {axis}");
            let expected: Vec<f64> = (0..len)
                .map(|at| (0..AXES[axis]).fold(start, |sum, i| fold(sum, list(at, i))))
                .collect();
            let name = format!("{f:?} of axis {axis}");
            assert_close(device, &name, &read(device, reduced.buf()), &expected, AXES[axis]);
        }
        // Some entries of the axis, in another order and one of them twice.
        let pick: Vec<usize> = (0..AXES[axis]).rev().chain([0]).collect();
        let picked = x_array.index_select(axis, &pick);
        let mut longer = AXES.to_vec();
        longer[axis] = pick.len();
        assert_eq!(*picked.shape(), longer, "axis {axis}");
        let from = |at: usize| {
            let mut original = index(&longer, at);
            original[axis] = pick[original[axis]];
            x[position(&AXES, &original)]
        };
        let expected: Vec<f64> = (0..picked.len()).map(from).collect();
        assert_eq!(read(device, picked.buf()), expected, "axis {axis}");
    }
}

fn broadcasting(device: &Device) {
    let full = [2, 3, 1, 2, 2, 1, 3, 2, 1, 2, 2, 3];
    let shapes: [(&[usize], &[usize]); 4] = [
        // Alternately repeated, so that no two axes can be taken together.
        (&[2, 1, 1, 2, 1, 1, 3, 1, 1, 2, 1, 3], &[1, 3, 1, 1, 2, 1, 1, 2, 1, 1, 2, 1]),
        (&full, &full),
        (&full, &[2, 1, 3]),
        (&[3], &full),
    ];
    type Pair = fn(f64, f64) -> f64;
    let fs: [(Binary, Pair); 4] = [
        (Binary::Add, |a, b| a + b),
        (Binary::Sub, |a, b| a - b),
        (Binary::Mul, |a, b| a * b),
        (Binary::Div, |a, b| a / b),
    ];
    for (a_shape, b_shape) in shapes {
        let ((a, a_array), (b, b_array)) = (array(device, a_shape, 3), array(device, b_shape, 4));
        // The entry that stands at an index of the whole: trailing axes aligned, length 1 repeats.
        let entry = |x: &[f64], shape: &[usize], at: usize| {
            let whole = index(&full, at);
            let own: Vec<usize> = whole[full.len() - shape.len()..]
                .iter()
                .zip(shape)
                .map(|(&i, &len)| if len == 1 { 0 } else { i })
                .collect();
            x[position(shape, &own)]
        };
        let len: usize = full.iter().product();
        for (f, definition) in fs {
            let result = a_array.binary(f, &b_array);
            let name = format!("{f:?} of {a_shape:?} and {b_shape:?}");
            assert_eq!(*result.shape(), full, "{name}");
            let expected: Vec<f64> = (0..len)
                .map(|at| definition(entry(&a, a_shape, at), entry(&b, b_shape, at)))
                .collect();
            assert_close(device, &name, &read(device, result.buf()), &expected, 1);
        }
        let repeated = a_array.broadcast(full);
        let expected: Vec<f64> = (0..len).map(|at| entry(&a, a_shape, at)).collect();
        assert_eq!(read(device, repeated.buf()), expected, "{a_shape:?} to {full:?}");
    }
}

fn joining_and_padding(device: &Device) {
    let (x, x_array) = array(device, &AXES, 5);
    for axis in 0..AXES.len() {
        let mut other = AXES.to_vec();
        other[axis] += 1;
        let (y, y_array) = array(device, &other, 6);
        let joined = Tensor::concat(&[x_array.clone(), y_array.clone(), x_array.clone()], axis);
        let mut shape = AXES.to_vec();
        shape[axis] = 3 * AXES[axis] + 1;
        assert_eq!(*joined.shape(), shape, "axis {axis}");
        let from = |at: usize| {
            let mut place = index(&shape, at);
            match place[axis] {
                i if i < AXES[axis] => x[position(&AXES, &place)],
                i if i < 2 * AXES[axis] + 1 => {
                    place[axis] = i - AXES[axis];
                    y[position(&other, &place)]
                }
                i => {
                    place[axis] = i - (2 * AXES[axis] + 1);
                    x[position(&AXES, &place)]
                }
            }
        };
        let expected: Vec<f64> = (0..joined.len()).map(from).collect();
        assert_eq!(read(device, joined.buf()), expected, "axis {axis}");
    }
    let pads: [[(isize, isize); 12]; 3] = [
        [(0, 0); 12],
        [
            (1, 0),
            (0, 1),
            (-1, 0),
            (0, 0),
            (0, -1),
            (1, 1),
            (0, 0),
            (-1, 1),
            (1, 0),
            (0, 0),
            (-1, 0),
            (0, 1),
        ],
        [
            (0, 0),
            (1, 0),
            (0, 0),
            (0, 1),
            (0, 0),
            (0, 0),
            (1, 0),
            (0, 0),
            (0, 1),
            (0, 0),
            (0, 0),
            (-2, 0),
        ],
    ];
    for pads in pads {
        let padded = x_array.pad(&pads);
        let shape: Vec<usize> = AXES
            .iter()
            .zip(pads)
            .map(|(&len, (before, after))| (len as isize + before + after) as usize)
            .collect();
        assert_eq!(*padded.shape(), shape, "{pads:?}");
        let from = |at: usize| {
            let inside: Option<Vec<usize>> = index(&shape, at)
                .iter()
                .zip(&pads)
                .zip(&AXES)
                .map(|((&i, &(before, _)), &len)| {
                    i.checked_add_signed(-before).filter(|&i| i < len)
                })
                .collect();
            inside.map_or(0.0, |inside| x[position(&AXES, &inside)])
        };
        let expected: Vec<f64> = (0..padded.len()).map(from).collect();
        assert_eq!(read(device, padded.buf()), expected, "{pads:?}");
    }
}

//! Choices between two arrays, and how pairs treat NaN and infinity.

use vivit::tensor::{Binary, Device, Shape};

use super::elementwise::broadcast_position;
use super::tools::{random, read, rounded, upload};

/// Compares a choice with its definition, NaN and infinities among what is not chosen.
fn choose(device: &Device, shapes: [&[usize]; 3], seed: u64) {
    let [mask_shape, a_shape, b_shape] = shapes.map(Shape::new);
    let full = a_shape.broadcast(&b_shape).and_then(|both| mask_shape.broadcast(&both));
    let full = full.expect("shapes that broadcast");
    let mask: Vec<f64> = random(device, mask_shape.size(), seed).0;
    let mask: Vec<f64> = mask.iter().map(|x| if x.abs() < 0.7 { 0.0 } else { *x }).collect();
    let special = |shape: &Shape, seed| {
        let mut x = random(device, shape.size(), seed).0;
        x.iter_mut().skip(1).step_by(3).for_each(|x| *x = f64::NAN);
        x.iter_mut().skip(2).step_by(5).for_each(|x| *x = f64::NEG_INFINITY);
        x
    };
    let (a, b) = (special(&a_shape, seed + 1), special(&b_shape, seed + 2));
    let expected = (0..full.size()).map(|at| {
        let position = |shape: &Shape| broadcast_position(shape, &full, at);
        if mask[position(&mask_shape)] != 0.0 {
            a[position(&a_shape)]
        } else {
            b[position(&b_shape)]
        }
    });
    let [mask, x, y] = [&mask, &a, &b].map(|numbers| upload(device, numbers));
    let got = device.select((&mask, &mask_shape), (&x, &a_shape), (&y, &b_shape), &full);
    // Numbers are passed on as they are, the sign of zero and NaN included.
    let same = |(got, expected): (f64, f64)| got == expected || got.is_nan() && expected.is_nan();
    let got = read(device, &got);
    assert!(
        got.len() == full.size() && got.into_iter().zip(expected).all(same),
        "choice by {mask_shape} between {a_shape} and {b_shape}"
    );
}

pub(super) fn choices(device: &Device) {
    let shapes: [[&[usize]; 3]; 12] = [
        [&[], &[], &[]],
        [&[5], &[5], &[5]],
        [&[40_000], &[40_000], &[40_000]],
        [&[40_000], &[], &[40_000]],
        [&[2, 3, 300], &[3, 1], &[]],
        [&[3, 1], &[1, 4], &[3, 4]],
        [&[3, 1], &[3, 4], &[1]],
        [&[4], &[3, 1], &[2, 1, 1]],
        [&[2, 1, 3, 1, 2], &[1, 2, 1, 3, 1], &[2, 2, 3, 3, 2]],
        [&[2, 1, 2, 1, 2, 1, 2, 1, 2], &[1, 3, 1, 2, 1, 2, 1, 3, 1], &[2, 3, 2, 2, 1, 2, 2, 3, 2]],
        [&[0, 3], &[3], &[]],
        [&[1, 300], &[41, 1], &[41, 300]],
    ];
    for (at, [x, y, z]) in shapes.into_iter().enumerate() {
        for order in [[x, y, z], [y, z, x], [z, x, y], [y, x, z]] {
            choose(device, order, at as u64);
        }
    }
}

pub(super) fn special_pairs(device: &Device) {
    let numbers = [f64::NEG_INFINITY, -1.0, -0.0, 0.0, 2.0, f64::INFINITY, f64::NAN];
    let numbers = rounded(device, numbers.to_vec());
    let (column, row) = (Shape::from([7, 1]), Shape::from([7]));
    let x = upload(device, &numbers);
    let full = Shape::from([7, 7]);
    let one_if = |holds: bool| f64::from(u8::from(holds));
    let with_nan =
        |a: f64, b: f64, other: f64| if a.is_nan() || b.is_nan() { f64::NAN } else { other };
    for f in [Binary::Max, Binary::Min, Binary::Less, Binary::LessEqual, Binary::Equal] {
        let expected = |a: f64, b: f64| match f {
            Binary::Max => with_nan(a, b, a.max(b)),
            Binary::Min => with_nan(a, b, a.min(b)),
            Binary::Less => one_if(a < b),
            Binary::LessEqual => one_if(a <= b),
            _ => one_if(a == b),
        };
        let got = read(device, &device.binary(f, (&x, &column), (&x, &row), &full));
        let pairs = numbers.iter().flat_map(|a| numbers.iter().map(move |b| (*a, *b)));
        for (got, (a, b)) in got.into_iter().zip(pairs) {
            let expected = expected(a, b);
            let same = got == expected || got.is_nan() && expected.is_nan();
            assert!(same, "{f:?} of {a} and {b}: {got}, not {expected}");
        }
    }
    // Powers and remainders of signed numbers.
    let bases = [-2.0, -2.0, 0.0, 0.0, 3.0, f64::NAN];
    let exponents = [3.0, 0.5, 0.0, 2.0, -1.0, 0.0];
    let six = Shape::from([6]);
    let (a, b) = (upload(device, bases), upload(device, exponents));
    let powers = read(device, &device.binary(Binary::Pow, (&a, &six), (&b, &six), &six));
    assert!(powers[1].is_nan() && (powers[4] - 1.0 / 3.0).abs() < 1e-6, "{powers:?}");
    assert_eq!([powers[0], powers[2], powers[3], powers[5]], [-8.0, 1.0, 0.0, 1.0]);
    let dividends = upload(device, [5.0, -5.0, 5.0, -5.0, 6.0, -6.0]);
    let divisors = upload(device, [3.0, 3.0, -3.0, -3.0, 3.0, 3.0]);
    for (f, expected) in [
        (Binary::Fmod, [2.0, -2.0, 2.0, -2.0, 0.0, 0.0]),
        (Binary::Remainder, [2.0, 1.0, -1.0, -2.0, 0.0, 0.0]),
    ] {
        let got = device.binary(f, (&dividends, &six), (&divisors, &six), &six);
        assert_eq!(read(device, &got), expected, "{f:?}");
    }
}

//! Gathers and scatters along an axis, and running sums.

use vivit::tensor::{AxisPicks, Device, Rng};

use super::tools::{assert_close, random, read, upload};

/// The place in x of every entry of y; nothing for a position outside the axis.
fn places(p: &AxisPicks, index: &[f64]) -> Vec<Option<usize>> {
    let place = |at: usize| {
        let (i, at) = (at % p.inner, at / p.inner);
        let (pick, at) = (at % p.picks, at / p.picks);
        let (o, at) = (at % p.outer, at / p.outer);
        let (n, c) = (at % p.samples, at / p.samples);
        let own = if p.own_index { n } else { 0 };
        let named = if p.per_entry {
            index[((own * p.outer + o) * p.picks + pick) * p.inner + i]
        } else {
            index[own * p.picks + pick]
        };
        let item = if p.own_source { c * p.samples + n } else { c };
        (named >= 0.0 && named < p.axis as f64)
            .then(|| ((item * p.outer + o) * p.axis + named as usize) * p.inner + i)
    };
    (0..p.picked_len()).map(place).collect()
}

pub(super) fn picks(device: &Device) {
    let lens = [[1, 1, 1], [3, 7, 1], [2, 5, 33], [1, 300, 2], [1, 40, 150], [4, 1, 3]];
    for (at, lens) in lens.into_iter().enumerate() {
        for flags in 0..8 {
            let [own_source, own_index, per_entry] = [1, 2, 4].map(|flag| flags & flag > 0);
            let (columns, samples) = ([1, 3][at % 2], [2, 1, 4][at % 3]);
            for picks in [1, 6, 90] {
                let p = AxisPicks {
                    columns,
                    samples,
                    own_source,
                    own_index,
                    per_entry,
                    ..AxisPicks::along(lens, picks)
                };
                check(device, &p);
            }
        }
    }
    for (lens, picks) in [([0, 3, 2], 4), ([2, 3, 0], 4), ([2, 3, 2], 0), ([2, 0, 2], 0)] {
        check(device, &AxisPicks::along(lens, picks));
    }
}

#[track_caller]
fn check(device: &Device, p: &AxisPicks) {
    let mut rng = Rng::new(p.source_len() as u64);
    let mut number = || (rng.unit() * (p.axis as f64 + 0.5)).floor();
    let mut index: Vec<f64> = (0..p.index_len()).map(|_| number()).collect();
    if let Some(last) = index.last_mut() {
        *last = f64::NAN;
    }
    let positions = device.positions(&upload(device, index.clone()), &[p.axis]);
    let places = places(p, &index);
    let (x, x_buf) = random(device, p.source_len(), 1);
    let expected: Vec<Option<f64>> = places.iter().map(|place| place.map(|at| x[at])).collect();
    let got = read(device, &device.gather_axis(&x_buf, &positions, p));
    let got: Vec<Option<f64>> = got.into_iter().map(|x| (!x.is_nan()).then_some(x)).collect();
    assert_eq!(got, expected, "{p:?}");
    let (y, y_buf) = random(device, p.picked_len(), 2);
    let mut expected = vec![0.0; p.source_len()];
    for (y, place) in y.iter().zip(places) {
        if let Some(at) = place {
            expected[at] += y;
        }
    }
    let got = read(device, &device.scatter_axis(&y_buf, &positions, p));
    assert_close(device, &format!("scatter of {p:?}"), &got, &expected, p.picks * p.samples);
}

/// Read by gathering: entry p of the array is the number p.
pub(super) fn coordinates(device: &Device) {
    let axes = [2, 3, 4];
    let numbers = upload(device, (0..24).map(f64::from).collect::<Vec<_>>());
    let rows: [([f64; 3], Option<f64>); 6] = [
        ([0.0, 0.0, 0.0], Some(0.0)),
        ([1.0, 2.0, 3.0], Some(23.0)),
        ([1.0, 0.0, 2.0], Some(14.0)),
        ([2.0, 0.0, 0.0], None),
        ([0.0, 1.0, -1.0], None),
        ([0.0, f64::NAN, 1.0], None),
    ];
    let x: Vec<f64> = rows.iter().flat_map(|row| row.0).collect();
    let positions = device.positions(&upload(device, x), &axes);
    let p = AxisPicks::along([1, 24, 1], rows.len());
    let got = read(device, &device.gather_axis(&numbers, &positions, &p));
    for (got, (coordinates, expected)) in got.iter().zip(rows) {
        assert_eq!((!got.is_nan()).then_some(*got), expected, "{coordinates:?}");
    }
}

pub(super) fn first_equals(device: &Device) {
    for (rows, len) in [(1, 1), (3, 8), (40, 33), (2, 0)] {
        let mut rng = Rng::new(rows as u64);
        let index: Vec<f64> = (0..rows * len).map(|_| (rng.unit() * 9.0).floor()).collect();
        let first =
            device.first_equal(&device.positions(&upload(device, index.clone()), &[9]), len);
        // Read by gathering: position p of a row is the number p.
        let numbers: Vec<f64> = (0..rows * len).map(|at| (at % len) as f64).collect();
        let p = AxisPicks { samples: rows, own_index: true, ..AxisPicks::along([1, len, 1], len) };
        let got = read(device, &device.gather_axis(&upload(device, numbers), &first, &p));
        let expected: Vec<f64> = (0..rows * len)
            .map(|at| {
                let row = &index[at / len * len..][..len];
                row.iter().position(|&x| x == index[at]).unwrap() as f64
            })
            .collect();
        assert_eq!(got, expected, "{rows} rows of {len}");
    }
}

pub(super) fn running_sums(device: &Device) {
    for shape in [[1, 1, 1], [3, 7, 1], [2, 300, 5], [1, 40, 700], [2, 0, 3], [0, 2, 2]] {
        let [outer, axis, inner] = shape;
        let (x, buf) = random(device, outer * axis * inner, 1);
        for flags in 0..4 {
            let (exclusive, reverse) = (flags & 1 > 0, flags & 2 > 0);
            let counts = |from: usize, at: usize| {
                let (from, at) = if reverse { (at, from) } else { (from, at) };
                from < at || (from == at && !exclusive)
            };
            let sum = |place: usize| {
                let (o, at, i) = (place / (axis * inner), place / inner % axis, place % inner);
                let of = |from: usize| x[(o * axis + from) * inner + i];
                (0..axis).filter(|&from| counts(from, at)).map(of).sum()
            };
            let expected: Vec<f64> = (0..x.len()).map(sum).collect();
            let got = read(device, &device.cumsum(&buf, shape, exclusive, reverse));
            let what = format!("running sums of {shape:?}, {exclusive} {reverse}");
            assert_close(device, &what, &got, &expected, axis);
        }
    }
}

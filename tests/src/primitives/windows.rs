//! Sliding windows: unfolding, pooling, convolutions.

use vivit::tensor::{ConvDims, ConvWeights, Device, Index, Window};

use super::tools::{assert_close, random, read, upload};

/// Input, kernel, stride, padding, dilation, and whether the last window may reach over.
type Geometry = (
    &'static [usize],
    &'static [usize],
    &'static [usize],
    &'static [usize],
    &'static [usize],
    bool,
);

fn geometries() -> Vec<Window> {
    let rows: [Geometry; 14] = [
        (&[1], &[1], &[1], &[0], &[1], false),
        (&[7], &[3], &[1], &[1], &[1], false),
        (&[13], &[2], &[3], &[0], &[2], false),
        (&[5], &[1], &[2], &[0], &[1], false),
        (&[5, 6], &[3, 3], &[1, 1], &[0, 0], &[1, 1], false),
        (&[5, 7], &[3, 2], &[2, 3], &[1, 1], &[1, 1], true),
        (&[8, 5], &[2, 2], &[2, 2], &[0, 0], &[1, 1], true),
        (&[9, 11], &[3, 2], &[2, 1], &[2, 1], &[2, 3], false),
        (&[4, 4], &[1, 1], &[1, 1], &[0, 0], &[1, 1], false),
        (&[30, 31], &[5, 5], &[1, 1], &[2, 2], &[1, 1], false),
        (&[3, 70], &[2, 9], &[1, 4], &[1, 4], &[1, 2], false),
        (&[3, 4, 5], &[2, 2, 2], &[1, 2, 1], &[1, 0, 1], &[1, 1, 2], false),
        (&[4, 3, 3], &[3, 1, 2], &[2, 1, 2], &[1, 0, 0], &[1, 1, 1], true),
        (&[2, 2], &[2, 2], &[1, 1], &[0, 0], &[1, 1], false),
    ];
    rows.into_iter()
        .map(|(i, k, s, p, d, ceil)| Window::new(i, k, s, p, d, ceil).expect("a window that fits"))
        .collect()
}

/// What kernel element `k` of window `t` sees.
fn sees(w: &Window, k: usize, t: usize) -> Option<usize> {
    let at =
        |lens: [usize; 3], i: usize| [i / (lens[1] * lens[2]), i / lens[2] % lens[1], i % lens[2]];
    let (kernel, window) = (at(w.kernel, k), at(w.output, t));
    (0..3).try_fold(0, |sum, axis| {
        Some(sum * w.input[axis] + w.source(axis, window[axis], kernel[axis])?)
    })
}

/// Compares unfolding, folding and pooling with their definitions.
#[track_caller]
pub fn window(device: &Device, planes: usize, w: &Window, seed: u64) {
    let (len, k, t) = (w.input_len(), w.kernel_len(), w.output_len());
    let name = format!("{planes} planes of {w:?}");
    let (x, x_buf) = random(device, planes * len, seed);
    let (y, y_buf) = random(device, planes * k * t, seed + 1);
    let (z, z_buf) = random(device, planes * t, seed + 2);
    let mut unfolded = vec![0.0; planes * k * t];
    let [mut folded, mut spread] = [vec![0.0; planes * len], vec![0.0; planes * len]];
    let mut sums = vec![0.0; planes * t];
    for (p, ki, ti) in
        (0..planes).flat_map(|p| (0..k).flat_map(move |ki| (0..t).map(move |ti| (p, ki, ti))))
    {
        if let Some(at) = sees(w, ki, ti) {
            unfolded[(p * k + ki) * t + ti] = x[p * len + at];
            folded[p * len + at] += y[(p * k + ki) * t + ti];
            spread[p * len + at] += z[p * t + ti];
            sums[p * t + ti] += x[p * len + at];
        }
    }
    assert_eq!(read(device, &device.unfold(&x_buf, planes, w)), unfolded, "unfold: {name}");
    for (n, c) in [(planes, 1), (1, planes)] {
        let windows = device.unfold_windows(&x_buf, n, c, w);
        let of =
            |at: usize| unfolded[(at / (c * k * t) * c * k + at % (c * k)) * t + at / (c * k) % t];
        assert_eq!(
            read(device, &windows),
            (0..unfolded.len()).map(of).collect::<Vec<_>>(),
            "by window: {name}"
        );
    }
    assert_close(
        device,
        &format!("fold: {name}"),
        &read(device, &device.fold(&y_buf, planes, w)),
        &folded,
        k,
    );
    assert_close(
        device,
        &format!("window sum: {name}"),
        &read(device, &device.window_sum(&x_buf, planes, w)),
        &sums,
        k,
    );
    assert_close(
        device,
        &format!("window spread: {name}"),
        &read(device, &device.window_spread(&z_buf, planes, w)),
        &spread,
        k,
    );

    // Maxima, with ties; every window sees something when it has no more padding than kernel.
    let coarse: Vec<f64> = x.iter().map(|x| x.round()).collect();
    let seen = |t: usize| (0..k).filter_map(|ki| sees(w, ki, t)).collect::<Vec<_>>();
    if (0..t).any(|t| seen(t).is_empty()) {
        return;
    }
    let coarse_buf = upload(device, &coarse);
    let index = device.argmax(&coarse_buf, planes, w);
    let first_largest = |p: usize, t: usize| -> usize {
        let largest = |best: usize, at: usize| {
            if coarse[p * len + at] > coarse[p * len + best] { at } else { best }
        };
        seen(t).into_iter().reduce(largest).expect("not empty")
    };
    let chosen: Vec<usize> =
        (0..planes * t).map(|at| first_largest(at / t.max(1), at % t.max(1))).collect();
    let v = 3;
    let (m, m_buf) = random(device, v * planes * len, seed + 3);
    let taken: Vec<f64> =
        (0..v * planes * t).map(|at| m[at / t * len + chosen[at % (planes * t)]]).collect();
    assert_eq!(read(device, &device.gather(&m_buf, &index, planes, w)), taken, "take: {name}");
    moved_index(device, planes, w, &index, &chosen, &name);
    let (m, m_buf) = random(device, v * planes * t, seed + 4);
    let mut put = vec![0.0; v * planes * len];
    m.iter().enumerate().for_each(|(at, m)| put[at / t * len + chosen[at % (planes * t)]] += m);
    assert_close(
        device,
        &format!("put: {name}"),
        &read(device, &device.scatter_add(&m_buf, &index, planes, w)),
        &put,
        k,
    );
}

/// Compares positions in planes that begin earlier or later, and end elsewhere, with their
/// definition, on the backends that move them.
#[track_caller]
fn moved_index(
    device: &Device,
    planes: usize,
    w: &Window,
    index: &Index,
    chosen: &[usize],
    name: &str,
) {
    for first in [[0, 1, 0], [0, -1, 2], [0, 0, 0]] {
        let to: [usize; 3] =
            std::array::from_fn(|axis| (w.input[axis] as isize - first[axis]).max(1) as usize);
        let Some((moved, inside)) = device.translate_index(index, chosen.len(), w.input, first, to)
        else {
            return;
        };
        let place = |at: usize| -> Option<usize> {
            let from =
                [at / (w.input[1] * w.input[2]), at / w.input[2] % w.input[1], at % w.input[2]];
            (0..3).try_fold(0, |sum, axis| {
                let at = usize::try_from(from[axis] as isize - first[axis])
                    .ok()
                    .filter(|&at| at < to[axis])?;
                Some(sum * to[axis] + at)
            })
        };
        let places: Vec<Option<usize>> = chosen.iter().map(|&at| place(at)).collect();
        let is_inside: Vec<f64> =
            places.iter().map(|place| f64::from(u8::from(place.is_some()))).collect();
        assert_eq!(read(device, &inside), is_inside, "moved by {first:?}: {name}");
        // What lies at each position is its number.
        let len = to.iter().product::<usize>();
        let numbers =
            upload(device, (0..planes * len).map(|at| (at % len) as f64).collect::<Vec<_>>());
        let taken =
            read(device, &device.gather(&numbers, &moved, planes, &Window { input: to, ..*w }));
        for (at, place) in places.iter().enumerate().filter_map(|(at, place)| Some((at, (*place)?)))
        {
            assert_eq!(taken[at], place as f64, "moved by {first:?}: {name}");
        }
    }
}

pub(super) fn windows(device: &Device) {
    for (at, w) in geometries().iter().enumerate() {
        [1, 3].into_iter().for_each(|planes| window(device, planes, w, at as u64));
    }
    window(device, 700, &geometries()[4], 1);
    window(device, 0, &geometries()[4], 1);
    // NaN is the largest, and the first one wins.
    let w = Window::new(&[4], &[4], &[1], &[0], &[1], false).unwrap();
    let nan = f64::NAN;
    for (x, expected) in
        [([1.0, nan, 5.0, nan], 1), ([nan, 1.0, 2.0, 3.0], 0), ([1.0, 2.0, 3.0, nan], 3)]
    {
        let index = device.argmax(&upload(device, x), 1, &w);
        let numbers = upload(device, [0.0, 1.0, 2.0, 3.0]);
        assert_eq!(
            read(device, &device.gather(&numbers, &index, 1, &w)),
            [f64::from(expected)],
            "{x:?}"
        );
    }
}

/// Compares the products of columns, samples held, groups, in- and out-channels per group with
/// their definition.
#[track_caller]
fn weights(device: &Device, w: &Window, [columns, held, groups, c, o]: [usize; 5]) {
    let (t, dims) = (w.output_len(), ConvDims { groups, c, o });
    for (samples, rows, summed) in
        [(0..held, 0..o, false), (1..held, 1..o, false), (0..held, 0..o, true), (1..2, 0..1, true)]
    {
        let p = ConvWeights { columns, held, samples, rows, summed, dims, window: *w };
        let name = format!("{p:?}");
        let (x, x_buf) = random(device, held * groups * c * w.input_len(), 3);
        let (mut s, _) = random(device, columns * held * groups * o * t, 4);
        let len = held * groups * o * t;
        s.iter_mut().enumerate().filter(|(at, _)| at % len % 5 % 3 > 0).for_each(|(_, s)| *s = 0.0);
        let s_buf = upload(device, &s);
        let mut expected = vec![0.0; p.len()];
        let (i, items) = (p.features(), if summed { 1 } else { p.samples.len() });
        for (at, (v, n)) in
            (0..columns).flat_map(|v| p.samples.clone().map(move |n| (v, n))).enumerate()
        {
            let item = if summed { v } else { v * items + at % items };
            for (g, (row, from), feature) in (0..groups).flat_map(|g| {
                p.rows
                    .clone()
                    .enumerate()
                    .flat_map(move |row| (0..i).map(move |feature| (g, row, feature)))
            }) {
                let plane = ((n * groups + g) * c + feature / w.kernel_len()) * w.input_len();
                let s = &s[((v * held + n) * groups + g) * o * t + from * t..][..t];
                let sum = s.iter().enumerate().filter_map(|(ti, s)| {
                    Some(s * x[plane + sees(w, feature % w.kernel_len(), ti)?])
                });
                expected[((item * groups + g) * p.rows.len() + row) * i + feature] +=
                    sum.sum::<f64>();
            }
        }
        let terms = t * if summed { held } else { 1 };
        assert_close(
            device,
            &name,
            &read(device, &device.conv_weights(&p, &s_buf, &x_buf)),
            &expected,
            terms,
        );
    }
}

pub(super) fn convolutions(device: &Device) {
    // More than is unfolded at once.
    weights(
        device,
        &Window::new(&[28, 28], &[5, 5], &[1, 1], &[2, 2], &[1, 1], false).unwrap(),
        [2, 3, 1, 30, 2],
    );
    for (at, w) in geometries().iter().enumerate() {
        for (n, groups, c, o) in
            [(1, 1, 1, 1), (2, 1, 3, 2), (3, 2, 2, 3), (7, 1, 2, 2), (9, 2, 1, 2), (0, 1, 1, 1)]
        {
            let (len, kernel, t) = (w.input_len(), w.kernel_len(), w.output_len());
            let dims = ConvDims { groups, c, o };
            let (x, x_buf) = random(device, n * groups * c * len, at as u64);
            let (weight, weight_buf) = random(device, groups * o * c * kernel, 1);
            let (y, y_buf) = random(device, n * groups * o * t, 2);
            let (mut forward, mut back) =
                (vec![0.0; n * groups * o * t], vec![0.0; n * groups * c * len]);
            for out in 0..n * groups * o {
                let (sample, group) = (out / (groups * o), out / o % groups);
                for (ci, ki, ti) in (0..c)
                    .flat_map(|c| (0..kernel).flat_map(move |k| (0..t).map(move |t| (c, k, t))))
                {
                    let Some(seen) = sees(w, ki, ti) else { continue };
                    let from = ((sample * groups + group) * c + ci) * len + seen;
                    let factor = weight[((out % (groups * o)) * c + ci) * kernel + ki];
                    forward[out * t + ti] += factor * x[from];
                    back[from] += factor * y[out * t + ti];
                }
            }
            let name = format!("{dims:?}, {w:?}");
            assert_close(
                device,
                &name,
                &read(device, &device.conv(&x_buf, &weight_buf, n, dims, w)),
                &forward,
                c * kernel,
            );
            assert_close(
                device,
                &name,
                &read(device, &device.conv_transposed(&y_buf, &weight_buf, [1, n], dims, w)),
                &back,
                o * kernel,
            );
        }
        // Columns that are zero at the same places: as many samples, of which each has a few
        // columns.
        for (columns, n, groups, c, o) in
            [(6, 2, 1, 9, 5), (13, 1, 2, 8, 4), (9, 3, 1, 35, 6), (5, 0, 1, 8, 4)]
        {
            let (t, dims) = (w.output_len(), ConvDims { groups, c, o });
            let (_, weight) = random(device, groups * o * c * w.kernel_len(), 1);
            let (mut y, _) = random(device, columns * n * groups * o * t, 2);
            let len = n * groups * o * t;
            y.iter_mut()
                .enumerate()
                .filter(|(at, _)| at % len.max(1) % 7 % 3 > 0)
                .for_each(|(_, y)| *y = 0.0);
            let y = upload(device, y);
            let [together, apart] = [[columns, n], [1, columns * n]]
                .map(|n| read(device, &device.conv_transposed(&y, &weight, n, dims, w)));
            assert_close(
                device,
                &format!("{columns} columns, {dims:?}, {w:?}"),
                &together,
                &apart,
                o * w.kernel_len(),
            );
        }
        for case in [[1, 3, 1, 2, 3], [2, 2, 2, 1, 2], [6, 3, 1, 3, 4], [5, 4, 2, 4, 3]] {
            weights(device, w, case);
        }
        for (m, n, groups, c) in [(1, 1, 1, 1), (3, 2, 1, 6), (9, 3, 2, 5), (2, 0, 1, 1)] {
            let (t, i, plane) = (w.output_len(), c * w.kernel_len(), w.input_len());
            let (x, x_buf) = random(device, m * groups * c * plane, 5);
            let (y, y_buf) = random(device, n * groups * c * plane, 6);
            // `[samples, groups, windows, features]`
            let unfolded = |x: &[f64]| -> Vec<f64> {
                let see = |at: usize| {
                    let (item, ti, feature) = (at / (t * i), at / i % t, at % i);
                    let plane = (item * c + feature / w.kernel_len()) * plane;
                    sees(w, feature % w.kernel_len(), ti).map_or(0.0, |at| x[plane + at])
                };
                (0..x.len() / (c * plane) * t * i).map(see).collect()
            };
            let (z, other) = (unfolded(&x), unfolded(&y));
            let at = (0..groups).flat_map(|g| {
                (0..m * t).flat_map(move |row| (0..t * n).map(move |col| (g, row, col)))
            });
            let products = at.map(|(g, row, col)| {
                let z = &z[((row / t * groups + g) * t + row % t) * i..][..i];
                z.iter()
                    .zip(&other[((col % n * groups + g) * t + col / n) * i..][..i])
                    .map(|(z, o)| z * o)
                    .sum::<f64>()
            });
            let name = format!(
                "what {m} and {n} samples of {groups} times {c} channels see through {w:?}"
            );
            let met = device.window_products(&x_buf, &y_buf, [m, n], [groups, c], w);
            assert_close(device, &name, &read(device, &met), &products.collect::<Vec<_>>(), i);
        }
    }
}

//! Reductions, softmax, draws and the search for NaN.

use vivit::tensor::{Buffer, DType, Device, Reduce, Rng};

use super::tools::{assert_close, random, read, rounded, upload};

pub(super) fn reductions(device: &Device) {
    for (outer, axis, inner) in [
        (1, 1, 1),
        (2, 0, 3),
        (0, 4, 1),
        (3, 7, 5),
        (1, 300, 1),
        (5, 257, 1),
        (4, 1000, 1),
        (2, 5000, 3),
        (13, 64, 70),
        (40_000, 3, 1),
        (2, 300, 300),
    ] {
        let (x, x_buf) = random(device, outer * axis * inner, 1);
        let list = |at: usize| {
            (0..axis).map(|a| x[(at / inner * axis + a) * inner + at % inner]).collect::<Vec<_>>()
        };
        let sums: Vec<f64> = (0..outer * inner).map(|at| list(at).iter().sum()).collect();
        let most: Vec<f64> = (0..outer * inner)
            .map(|at| list(at).into_iter().fold(f64::NEG_INFINITY, f64::max))
            .collect();
        let least: Vec<f64> = (0..outer * inner)
            .map(|at| list(at).into_iter().fold(f64::INFINITY, f64::min))
            .collect();
        let name = format!("[{outer}, {axis}, {inner}]");
        assert_close(
            device,
            &name,
            &read(device, &device.reduce(Reduce::Sum, &x_buf, outer, axis, inner)),
            &sums,
            axis,
        );
        assert_eq!(
            read(device, &device.reduce(Reduce::Max, &x_buf, outer, axis, inner)),
            most,
            "{name}"
        );
        assert_eq!(
            read(device, &device.reduce(Reduce::Min, &x_buf, outer, axis, inner)),
            least,
            "{name}"
        );
        let squares: Vec<f64> =
            (0..outer * inner).map(|at| list(at).iter().map(|x| x * x).sum()).collect();
        let got = read(device, &device.reduce(Reduce::SumSquares, &x_buf, outer, axis, inner));
        assert_close(device, &name, &got, &squares, axis);
    }
    for (outer, axis, inner) in [(2, 0, 3), (3, 7, 5), (1, 300, 1), (2, 5000, 3), (20, 300, 70)] {
        // Factors near ±1, so that products neither vanish nor overflow.
        let factors: Vec<f64> = random(device, outer * axis * inner, 2)
            .0
            .iter()
            .map(|x| x.signum() + 1e-3 * x)
            .collect();
        let x = rounded(device, factors);
        let at = |result: usize, a: usize| (result / inner * axis + a) * inner + result % inner;
        let product = |result: usize| (0..axis).map(|a| x[at(result, a)]).product();
        let products: Vec<f64> = (0..outer * inner).map(product).collect();
        let got = device.reduce(Reduce::Product, &upload(device, &x), outer, axis, inner);
        assert_close(device, "products", &read(device, &got), &products, axis);
    }
    for axis in [3, 500] {
        for at in [0, 1, axis - 1] {
            let mut x = vec![1.0; axis];
            x[at] = f64::NAN;
            let x = upload(device, x);
            for f in [Reduce::Max, Reduce::Min, Reduce::Product] {
                assert!(
                    read(device, &device.reduce(f, &x, 1, axis, 1))[0].is_nan(),
                    "{f:?} over {axis} hides NaN at {at}"
                );
            }
        }
    }
}

pub(super) fn softmax(device: &Device) {
    for (outer, axis, inner) in
        [(1, 1, 1), (3, 10, 1), (2, 7, 5), (300, 3, 1), (2, 1000, 1), (0, 3, 1)]
    {
        let (x, x_buf) = random(device, outer * axis * inner, 1);
        let e = |at: usize| {
            let (o, i) = (at / (axis * inner), at % inner);
            let list: Vec<f64> = (0..axis).map(|a| x[(o * axis + a) * inner + i]).collect();
            x[at].exp() / list.iter().map(|x| x.exp()).sum::<f64>()
        };
        let expected: Vec<f64> = (0..x.len()).map(e).collect();
        let name = format!("softmax of [{outer}, {axis}, {inner}]");
        assert_close(
            device,
            &name,
            &read(device, &device.softmax(&x_buf, outer, axis, inner)),
            &expected,
            4,
        );
    }
    let large = device.softmax(&upload(device, [1e4, 1e4, -1e4]), 1, 3, 1);
    assert_eq!(read(device, &large), [0.5, 0.5, 0.0]);
}

pub(super) fn softmax_chain(device: &Device) {
    for (v, outer, axis, inner) in [
        (1, 1, 1, 1),
        (2, 3, 10, 1),
        (3, 2, 7, 5),
        (1, 2, 3, 200),
        (2, 300, 3, 1),
        (2, 2, 1000, 1),
        (2, 0, 3, 1),
    ] {
        let len = outer * axis * inner;
        let p_buf = device.softmax(&random(device, len, 1).1, outer, axis, inner);
        let (p, (m, mut product)) = (read(device, &p_buf), random(device, v * len, 2));
        let entry = |at: usize| {
            let (block, i) = (at / (axis * inner) * axis * inner, at % inner);
            let along = (0..axis).map(|a| block + a * inner + i).map(|at| p[at % len] * m[at]);
            p[at % len] * (m[at] - along.sum::<f64>())
        };
        let expected: Vec<f64> = (0..v * len).map(entry).collect();
        let shared = product.clone();
        device.softmax_chain(&p_buf, &mut product, outer, axis, inner);
        let name = format!("softmax's Jacobian, {v} columns of [{outer}, {axis}, {inner}]");
        assert_close(device, &name, &read(device, &product), &expected, axis);
        assert_eq!(read(device, &shared), m, "{name}: shared memory was written");
    }
}

pub(super) fn normalisation(device: &Device) {
    const EPSILON: f64 = 1e-2;
    for (v, rows, block) in [(1, 1, 1), (2, 3, 5), (1, 40, 64), (3, 2, 70), (2, 1, 1000), (1, 0, 3)]
    {
        for centre in [true, false] {
            let (x, x_buf) = random(device, rows * block, 1);
            let (m, m_buf) = random(device, v * rows * block, 2);
            let mean = |x: &[f64]| x.iter().sum::<f64>() / block as f64;
            let (mut normal, mut inverse) = (Vec::new(), Vec::new());
            for x in x.chunks_exact(block) {
                let shift = if centre { mean(x) } else { 0.0 };
                let squares: Vec<f64> = x.iter().map(|x| (x - shift).powi(2)).collect();
                inverse.push(1.0 / (mean(&squares) + EPSILON).sqrt());
                normal.extend(x.iter().map(|x| (x - shift) * inverse[inverse.len() - 1]));
            }
            let mut chain = Vec::new();
            for (at, m) in m.chunks_exact(block).enumerate() {
                let row = at % rows;
                let normal = &normal[row * block..][..block];
                let products: Vec<f64> = m.iter().zip(normal).map(|(m, x)| m * x).collect();
                let (shift, along) = (if centre { mean(m) } else { 0.0 }, mean(&products));
                let entries = m.iter().zip(normal);
                chain.extend(entries.map(|(m, x)| (m - shift - x * along) * inverse[row]));
            }
            let name = format!("{v} columns of [{rows}, {block}], centre {centre}");
            let close = |what: &str, got: &Buffer, expected: &[f64]| {
                assert_close(
                    device,
                    &format!("{what}, {name}"),
                    &read(device, got),
                    expected,
                    block,
                );
            };
            let own = device.normalize(&x_buf, block, centre, EPSILON);
            close("normalisation", &own, &normal);
            let own_inverse = device.inverse_deviations(&x_buf, block, centre, EPSILON);
            close("inverse deviations", &own_inverse, &inverse);
            let product = device.normalize_chain(&own, &own_inverse, &m_buf, block, centre);
            close("normalisation's Jacobian", &product, &chain);
        }
    }
}

pub(super) fn draws(device: &Device) {
    for (m, outer, axis, inner) in
        [(1, 1, 1, 1), (3, 4, 5, 2), (2, 1, 300, 1), (5, 40, 3, 7), (2, 0, 3, 1)]
    {
        let p = device.softmax(&random(device, outer * axis * inner, 1).1, outer, axis, inner);
        let u: Vec<f64> = Rng::new(2).uniform(m * outer * inner, 0.0, 1.0);
        let hot = read(device, &device.draw_one_hot(&p, &u, outer, axis, inner).unwrap());
        let p = read(device, &p);
        assert_eq!(hot.len(), u.len() * axis);
        for (at, &u) in u.iter().enumerate() {
            let (row, i) = (at / inner, at % inner);
            let entry = |a: usize| hot[(row * axis + a) * inner + i];
            let drawn: Vec<usize> = (0..axis).filter(|&a| entry(a) == 1.0).collect();
            assert!(
                drawn.len() == 1 && (0..axis).map(entry).sum::<f64>() == 1.0,
                "a draw of {axis} is no one-hot vector"
            );
            // u lies in the drawn entry's share, up to the rounding of sums of shares.
            let below: f64 = (0..drawn[0]).map(|a| p[(row % outer * axis + a) * inner + i]).sum();
            let share = p[(row % outer * axis + drawn[0]) * inner + i];
            let slack = 4.0 * device.dtype().epsilon() * axis as f64;
            assert!(
                below - slack <= u && u < below + share + slack,
                "{u} is not in {below} + {share}"
            );
        }
    }
    // Entries without probability are not drawn, whatever rounding does.
    let p = upload(device, [0.0, 0.5, 0.5, 0.0]);
    let hot =
        read(device, &device.draw_one_hot(&p, &[0.0, 0.4, 0.6, 1.0 - 1e-17], 1, 4, 1).unwrap());
    assert_eq!(hot, [0., 1., 0., 0., 0., 1., 0., 0., 0., 0., 1., 0., 0., 0., 1., 0.]);
}

pub(super) fn non_finite(device: &Device) {
    for len in [1, 2, 255, 256, 257, 50_000, 70_001] {
        for bad in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
            for at in [0, len / 2, len - 1] {
                let mut data = vec![1.0; len];
                data[at] = bad;
                let last = len - 1;
                data[last] = bad;
                assert_eq!(
                    device.first_non_finite(&upload(device, data)).unwrap(),
                    Some(at),
                    "{bad} at {at} of {len}"
                );
            }
        }
        let large =
            vec![if device.dtype() == DType::F64 { f64::MAX } else { f32::MAX.into() }; len];
        assert_eq!(device.first_non_finite(&upload(device, large)).unwrap(), None);
    }
    assert_eq!(device.first_non_finite(&upload(device, Vec::<f64>::new())).unwrap(), None);
    let [fine, bad] = [1.0, f64::INFINITY].map(|x| upload(device, vec![0.0, x]));
    let search = |arrays: &[&Buffer]| device.search_non_finite(arrays).unwrap();
    assert_eq!(search(&[&fine, &bad, &bad]).wait().unwrap(), Some((1, 1)));
    assert_eq!(search(&[&fine, &fine]).wait().unwrap(), None);
    assert_eq!(search(&[]).wait().unwrap(), None);
    // A result tells what a search has found, and is left alone where there was nothing.
    for (search, found) in
        [(search(&[&fine, &bad]), true), (search(&[&fine, &fine]), false), (search(&[]), false)]
    {
        let (numbers, mut x) = random(device, 5, 1);
        let kept = x.clone();
        search.mark(&**device, &mut x);
        let marked = read(device, &x);
        assert!(marked[0].is_nan() == found && (found || marked == numbers), "{marked:?}");
        assert_eq!(read(device, &kept), numbers);
        search.mark(&**device, &mut device.fill(0, 0.0));
    }
}

//! Reductions, softmax, draws and the search for NaN.

use vivit::prelude::*;

use super::{assert_close, random, read};

pub(super) fn reductions<B: Backend>(backend: &B) {
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
        let (x, x_buf) = random(backend, outer * axis * inner, 1);
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
        assert_close::<B>(
            &name,
            &read(backend, &backend.reduce(Reduce::Sum, &x_buf, outer, axis, inner)),
            &sums,
            axis,
        );
        assert_eq!(
            read(backend, &backend.reduce(Reduce::Max, &x_buf, outer, axis, inner)),
            most,
            "{name}"
        );
        assert_eq!(
            read(backend, &backend.reduce(Reduce::Min, &x_buf, outer, axis, inner)),
            least,
            "{name}"
        );
        let squares: Vec<f64> =
            (0..outer * inner).map(|at| list(at).iter().map(|x| x * x).sum()).collect();
        let got = read(backend, &backend.reduce(Reduce::SumSquares, &x_buf, outer, axis, inner));
        assert_close::<B>(&name, &got, &squares, axis);
    }
    for axis in [3, 500] {
        for at in [0, 1, axis - 1] {
            let mut x = vec![B::Elem::of(1.0); axis];
            x[at] = B::Elem::of(f64::NAN);
            let x = backend.upload(x);
            for f in [Reduce::Max, Reduce::Min] {
                assert!(
                    read(backend, &backend.reduce(f, &x, 1, axis, 1))[0].is_nan(),
                    "{f:?} over {axis} hides NaN at {at}"
                );
            }
        }
    }
}

pub(super) fn softmax<B: Backend>(backend: &B) {
    for (outer, axis, inner) in
        [(1, 1, 1), (3, 10, 1), (2, 7, 5), (300, 3, 1), (2, 1000, 1), (0, 3, 1)]
    {
        let (x, x_buf) = random(backend, outer * axis * inner, 1);
        let e = |at: usize| {
            let (o, i) = (at / (axis * inner), at % inner);
            let list: Vec<f64> = (0..axis).map(|a| x[(o * axis + a) * inner + i]).collect();
            x[at].exp() / list.iter().map(|x| x.exp()).sum::<f64>()
        };
        let expected: Vec<f64> = (0..x.len()).map(e).collect();
        let name = format!("softmax of [{outer}, {axis}, {inner}]");
        assert_close::<B>(
            &name,
            &read(backend, &backend.softmax(&x_buf, outer, axis, inner)),
            &expected,
            4,
        );
    }
    let large =
        backend.softmax(&backend.upload([1e4, 1e4, -1e4].map(B::Elem::of).to_vec()), 1, 3, 1);
    assert_eq!(read(backend, &large), [0.5, 0.5, 0.0]);
}

pub(super) fn draws<B: Backend>(backend: &B) {
    for (m, outer, axis, inner) in
        [(1, 1, 1, 1), (3, 4, 5, 2), (2, 1, 300, 1), (5, 40, 3, 7), (2, 0, 3, 1)]
    {
        let p = backend.softmax(&random(backend, outer * axis * inner, 1).1, outer, axis, inner);
        let u: Vec<f64> = Rng::new(2).uniform(m * outer * inner, 0.0, 1.0);
        let hot = read(backend, &backend.draw_one_hot(&p, &u, outer, axis, inner).unwrap());
        let p = read(backend, &p);
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
            let slack = 4.0 * B::Elem::EPSILON.f64() * axis as f64;
            assert!(
                below - slack <= u && u < below + share + slack,
                "{u} is not in {below} + {share}"
            );
        }
    }
    // Entries without probability are not drawn, whatever rounding does.
    let p = backend.upload([0.0, 0.5, 0.5, 0.0].map(B::Elem::of).to_vec());
    let hot =
        read(backend, &backend.draw_one_hot(&p, &[0.0, 0.4, 0.6, 1.0 - 1e-17], 1, 4, 1).unwrap());
    assert_eq!(hot, [0., 1., 0., 0., 0., 1., 0., 0., 0., 0., 1., 0., 0., 0., 1., 0.]);
}

pub(super) fn non_finite<B: Backend>(backend: &B) {
    for len in [1, 2, 255, 256, 257, 50_000, 70_001] {
        for bad in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
            for at in [0, len / 2, len - 1] {
                let mut data = vec![B::Elem::of(1.0); len];
                data[at] = B::Elem::of(bad);
                let last = len - 1;
                data[last] = B::Elem::of(bad);
                assert_eq!(
                    backend.first_non_finite(&backend.upload(data)).unwrap(),
                    Some(at),
                    "{bad} at {at} of {len}"
                );
            }
        }
        let large =
            vec![B::Elem::of(if B::Elem::NAME == "f64" { f64::MAX } else { f32::MAX.into() }); len];
        assert_eq!(backend.first_non_finite(&backend.upload(large)).unwrap(), None);
    }
    assert_eq!(backend.first_non_finite(&backend.upload(Vec::new())).unwrap(), None);
    let [fine, bad] =
        [1.0, f64::INFINITY].map(|x| backend.upload(vec![B::Elem::of(0.0), B::Elem::of(x)]));
    let search = |arrays: &[&B::Buf]| backend.search_non_finite(arrays).unwrap();
    assert_eq!(backend.answer(&search(&[&fine, &bad, &bad])).unwrap(), Some((1, 1)));
    assert_eq!(backend.answer(&search(&[&fine, &fine])).unwrap(), None);
    assert_eq!(backend.answer(&search(&[])).unwrap(), None);
    // A result tells what a search has found, and is left alone where there was nothing.
    for (search, found) in
        [(search(&[&fine, &bad]), true), (search(&[&fine, &fine]), false), (search(&[]), false)]
    {
        let (numbers, mut x) = random(backend, 5, 1);
        let kept = x.clone();
        backend.mark(&search, &mut x);
        let marked = read(backend, &x);
        assert!(marked[0].is_nan() == found && (found || marked == numbers), "{marked:?}");
        assert_eq!(read(backend, &kept), numbers);
        backend.mark(&search, &mut backend.fill(0, B::Elem::of(0.0)));
    }
}

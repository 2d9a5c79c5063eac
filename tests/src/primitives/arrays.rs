//! Copies, selections, padding, shared memory.

use vivit::tensor::{Device, Gemm, Shape, Tensor, Unary};

use super::tools::{random, read, upload};

pub(super) fn strided_copies(device: &Device) {
    let rows: [(&[usize], &[usize]); 14] = [
        (&[], &[]),
        (&[7], &[3]),
        (&[5, 4], &[1, 5]),
        (&[3, 4, 5], &[1, 3, 12]),
        (&[3, 4, 5], &[0, 5, 1]),
        (&[2, 3, 2, 3], &[18, 1, 9, 3]),
        (&[2, 2, 2, 2, 2, 2, 2, 2], &[1, 2, 4, 8, 16, 32, 64, 128]),
        (&[300, 70], &[1, 300]),
        (&[3, 20, 13], &[260, 1, 20]),
        (&[2, 3, 17, 6], &[7, 400, 1, 23]),
        (&[9, 33], &[1, 40]),
        (&[5, 4, 70, 41], &[4, 1, 2000, 21]),
        (&[3, 0, 2], &[2, 2, 1]),
        (&[1, 1], &[9, 9]),
    ];
    for (shape, strides) in rows {
        let span =
            shape.iter().zip(strides).map(|(len, step)| (len.max(&1) - 1) * step).sum::<usize>()
                + 1;
        let (x, x_buf) = random(device, span + 3, 1);
        // A view that starts inside its memory.
        let (x, x_buf) = (&x[3..], x_buf.slice(3..span + 3));
        let shape = Shape::new(shape);
        let own = shape.strides();
        let from = |at: usize| {
            (0..shape.rank())
                .map(|axis| at / own[axis] % shape[axis] * strides[axis])
                .sum::<usize>()
        };
        let expected: Vec<f64> = (0..shape.size()).map(|at| x[from(at)]).collect();
        assert_eq!(
            read(device, &device.copy_strided(&x_buf, &shape, strides)),
            expected,
            "{shape} with strides {strides:?}"
        );
    }
}

pub(super) fn selections(device: &Device) {
    let picks: [&[usize]; 8] =
        [&[], &[4], &[0, 1, 2], &[1, 3], &[4, 0, 2], &[3, 3, 3], &[2, 1, 0], &[0, 2, 3]];
    for (outer, inner) in [(1, 1), (3, 1), (1, 40), (7, 13), (0, 2), (2, 0)] {
        let (x, x_buf) = random(device, outer * 5 * inner, 1);
        for pick in picks {
            let got = read(device, &device.index_select(&x_buf, outer, 5, inner, pick));
            let rows = (0..outer).flat_map(|o| pick.iter().map(move |&a| (o * 5 + a) * inner));
            let expected: Vec<f64> = rows.flat_map(|row| x[row..row + inner].to_vec()).collect();
            assert_eq!(got, expected, "{pick:?} of [{outer}, 5, {inner}]");
        }
    }
}

pub(super) fn padding(device: &Device) {
    type Pads<'a> = &'a [(isize, isize)];
    let rows: [(&[usize], Pads<'_>); 10] = [
        (&[], &[]),
        (&[4], &[(2, 1)]),
        (&[4], &[(-1, -2)]),
        (&[3, 5], &[(1, 0), (-2, 3)]),
        (&[2, 3, 4], &[(0, 0), (1, 2), (0, 0)]),
        (&[2, 3, 4], &[(1, 1), (0, 0), (0, 0)]),
        (&[2, 3, 4, 5], &[(0, 1), (-1, 0), (2, -3), (0, -5)]),
        (
            &[2, 1, 2, 1, 2, 1, 2, 2],
            &[(1, 0), (0, 1), (-1, 0), (1, 0), (0, 1), (1, 0), (0, -1), (1, 1)],
        ),
        (&[0, 3], &[(2, 0), (1, 0)]),
        (&[40, 70], &[(3, 4), (5, 6)]),
    ];
    for (shape, pads) in rows {
        let shape = Shape::new(shape);
        let (x, x_buf) = random(device, shape.size(), 1);
        let out = Shape::new(
            &shape
                .iter()
                .zip(pads)
                .map(|(&len, pad)| (len as isize + pad.0 + pad.1) as usize)
                .collect::<Vec<_>>(),
        );
        let (own, strides) = (shape.strides(), out.strides());
        let from = |at: usize| -> Option<usize> {
            (0..shape.rank()).try_fold(0, |sum, axis| {
                let here = (at / strides[axis] % out[axis]).checked_add_signed(-pads[axis].0)?;
                (here < shape[axis]).then_some(sum + here * own[axis])
            })
        };
        let expected: Vec<f64> =
            (0..out.size()).map(|at| from(at).map_or(0.0, |from| x[from])).collect();
        assert_eq!(
            read(device, &device.pad(&x_buf, &shape, pads)),
            expected,
            "{shape} padded by {pads:?}"
        );
    }
    let part = |len: usize, seed: u64| {
        Tensor::from_buf(device, [2, len, 3], random(device, 6 * len, seed).1)
    };
    let parts = [part(1, 1), part(4, 2), part(2, 3)];
    let joined = Tensor::concat(&parts, 1);
    assert_eq!(
        joined.slice(0, 1).index_select(1, &[1, 2, 3, 4]).to_vec().unwrap(),
        parts[1].slice(0, 1).to_vec().unwrap()
    );
}

pub(super) fn sums_of_parts(device: &Device) {
    for (outer, len, row, first) in
        [(1, 1, 1, 0), (1, 5, 9, 4), (3, 2, 7, 0), (40, 700, 900, 150), (0, 2, 3, 1), (2, 0, 3, 1)]
    {
        let ((x, x_buf), (y, mut y_buf)) =
            (random(device, outer * len, 1), random(device, outer * row, 2));
        device.add_part(&x_buf, &mut y_buf, outer, first);
        let expected = |at: usize| {
            let (o, i) = (at / row, at % row);
            let inside = (first..first + len).contains(&i);
            y[at] + if inside { x[o * len + i - first] } else { 0.0 }
        };
        let got = read(device, &y_buf);
        for (at, got) in got.into_iter().enumerate() {
            // Of two numbers below 8.
            assert!((got - expected(at)).abs() <= 8.0 * device.dtype().epsilon(), "entry {at}");
        }
    }
    let x = Tensor::from_buf(device, [2, 3], random(device, 6, 1).1);
    let (before, mut sum) = (x.to_vec().unwrap(), x.clone());
    sum.add_part(1, 1, &Tensor::full(device, [2, 2], 1.0));
    assert_eq!(x.to_vec().unwrap(), before, "shared memory is left alone");
}

pub(super) fn tables(device: &Device) {
    for (rows, count) in [(1, 1), (5, 8), (7, 20), (4, 0)] {
        let ids: Vec<usize> = (0..count).map(|at| at * 3 % rows).collect();
        let ids_buf = upload(device, ids.iter().map(|&id| id as f64).collect::<Vec<_>>());
        let hot: Vec<f64> = ids
            .iter()
            .flat_map(|&id| (0..rows).map(move |row| if row == id { 1.0 } else { 0.0 }))
            .collect();
        assert_eq!(read(device, &device.one_hot(&ids_buf, rows)), hot);
    }
    // What is no row is NaN, and the rest as it was, or counted from the end.
    let ids = [0.0, 3.0, 4.0, -1.0, 1.5, f64::NAN, f64::INFINITY, 2.0, -4.0, -5.0, -0.5];
    for (from_end, last) in [(false, [None, None]), (true, [Some(3.0), Some(0.0)])] {
        let rows = device.row_or_nan(&upload(device, ids), 4, from_end).unwrap();
        let rows: Vec<Option<f64>> =
            read(device, &rows).into_iter().map(|row| (!row.is_nan()).then_some(row)).collect();
        let fine = [Some(0.0), Some(3.0), None, last[0], None, None, None, Some(2.0), last[1]];
        assert_eq!(rows, [&fine[..], &[None, None]].concat());
    }
    for n in [0, 1, 2, 7, 300] {
        let units: Vec<f64> =
            (0..n * n).map(|at| if at % (n + 1) == 0 { 1.0 } else { 0.0 }).collect();
        assert_eq!(read(device, &device.eye(n)), units);
    }
}

pub(super) fn empty_arrays(device: &Device) {
    let array = |shape: &[usize]| {
        Tensor::from_buf(device, shape, random(device, shape.iter().product(), 1).1)
    };
    let x = array(&[0, 3]);
    let zeros = vec![0.0; 3];
    assert_eq!(x.unary(Unary::Tanh).sum(0).to_vec().unwrap(), zeros);
    assert_eq!(x.add(&array(&[3])).len(), 0);
    assert_eq!(x.permute(&[1, 0]).shape().to_vec(), [3, 0]);
    assert_eq!(x.pad(&[(1, 0), (0, 0)]).to_vec().unwrap(), zeros);
    assert_eq!(array(&[4, 2]).slice(2, 2).to_vec().unwrap(), [0.0; 0]);
}

pub(super) fn copies_on_write(device: &Device) {
    let (data, buf) = random(device, 6, 1);
    let a = Tensor::from_buf(device, [3, 2], buf);
    let mut b = a.clone();
    b.axpy(1.0, &a);
    let mut row = a.slice(1, 2);
    row.axpy(-1.0, &a.slice(1, 2));
    assert_eq!(read(device, row.buf()), [0.0, 0.0]);
    assert_eq!(read(device, a.buf()), data);
    assert_eq!(a.scale(2.0).to_vec().unwrap(), b.to_vec().unwrap());
    let mut c = a.clone();
    device.gemm(&Gemm::new(1, 1, 1), a.buf(), a.buf(), c.buf_mut());
    assert_eq!(read(device, a.buf()), data);
    assert_eq!(read(device, c.buf())[1..], data[1..]);
}

//! Matrix products.

use vivit::tensor::{BatchAxis, Device, Gemm, Strides};

use super::tools::{assert_close, random, read};

/// The product by its definition.
pub fn product_by_definition(g: &Gemm, a: &[f64], b: &[f64], c: &mut [f64]) {
    let items: usize = g.batch.iter().map(|axis| axis.len).product();
    let (mut sums, mut touched) = (vec![0.0; c.len()], vec![false; c.len()]);
    // A sum over nothing is zero.
    let empty = g.batch.iter().any(|axis| axis.len == 0 && axis.c > 0);
    let visits = if items == 0 && !empty { 1 } else { items };
    for item in 0..visits {
        let (mut at, mut oa, mut ob, mut oc) = (item, g.a.offset, g.b.offset, g.c.offset);
        for axis in g.batch.iter().rev().filter(|axis| axis.len > 0) {
            let i = at % axis.len;
            at /= axis.len;
            (oa, ob, oc) = (oa + i * axis.a, ob + i * axis.b, oc + i * axis.c);
        }
        for i in 0..g.m {
            for j in 0..g.n {
                let to = oc + i * g.c.row + j * g.c.col;
                touched[to] = true;
                for k in 0..if items == 0 { 0 } else { g.k } {
                    sums[to] += g.alpha
                        * a[oa + i * g.a.row + k * g.a.col]
                        * b[ob + k * g.b.row + j * g.b.col];
                }
            }
        }
    }
    for ((c, sum), touched) in c.iter_mut().zip(sums).zip(touched) {
        if touched {
            *c = if g.accumulate { *c + sum } else { sum };
        }
    }
}

/// Compares a product with its definition, with random operands of the given lengths.
#[track_caller]
pub fn product(device: &Device, g: &Gemm, lens: [usize; 3], seed: u64) {
    let [(a, a_buf), (b, b_buf), (mut c, mut c_buf)] =
        [0, 1, 2].map(|i| random(device, lens[i], seed + i as u64));
    device.gemm(g, &a_buf, &b_buf, &mut c_buf);
    product_by_definition(g, &a, &b, &mut c);
    let summed: usize = g.batch.iter().filter(|axis| axis.c == 0).map(|axis| axis.len).product();
    assert_close(device, &format!("{g:?}"), &read(device, &c_buf), &c, g.k * summed);
}

/// A product with either operand, and the result, transposed or not.
fn laid_out([m, n, k]: [usize; 3], [a, b, c]: [bool; 3]) -> Gemm {
    Gemm {
        a: if a { Strides::transposed(m) } else { Strides::rows(k) },
        b: if b { Strides::transposed(k) } else { Strides::rows(n) },
        c: if c { Strides::transposed(m) } else { Strides::rows(n) },
        ..Gemm::new(m, n, k)
    }
}

/// Every combination of transposed operands.
fn layouts() -> impl Iterator<Item = [bool; 3]> {
    (0..8).map(|bits| [bits & 1 > 0, bits & 2 > 0, bits & 4 > 0])
}

pub(super) fn products(device: &Device) {
    let sizes = [
        [1, 1, 1],
        [1, 7, 300],
        [12, 32, 16],
        [13, 33, 17],
        [64, 64, 16],
        [65, 63, 31],
        [5, 4, 0],
        [0, 3, 2],
        [3, 0, 2],
        [127, 131, 257],
        [200, 150, 40],
        [3, 301, 5],
        [301, 3, 5],
        [5, 3, 4099],
        [30, 40, 10_000],
    ];
    for (at, dims) in sizes.into_iter().enumerate() {
        let [m, n, k] = dims;
        for layout in layouts() {
            let g = laid_out(dims, layout);
            product(device, &g, [m * k, k * n, m * n], at as u64);
            product(device, &g.accumulating().scaled(-0.5), [m * k, k * n, m * n], at as u64);
        }
    }
    // Rows apart from each other, and results inside larger arrays.
    let g = Gemm {
        a: Strides { offset: 3, row: 40, col: 2 },
        b: Strides { offset: 1, row: 3, col: 70 },
        c: Strides { offset: 5, row: 37, col: 2 },
        ..Gemm::new(11, 17, 19)
    };
    product(
        device,
        &g,
        [3 + 10 * 40 + 18 * 2 + 1, 1 + 18 * 3 + 16 * 70 + 1, 5 + 10 * 37 + 16 * 2 + 1],
        50,
    );
}

pub(super) fn batched_products(device: &Device) {
    for (at, [m, n, k]) in [[3, 5, 7], [1, 1, 9], [17, 40, 3], [70, 13, 33]].into_iter().enumerate()
    {
        // Batch axes: one that C keeps, one that it sums over, one that B does not have.
        for [kept, summed, shared] in [[1, 1, 1], [3, 1, 2], [2, 5, 3], [211, 2, 1], [1, 3, 40]] {
            for layout in layouts() {
                let (sa, sb, sc) = (m * k, k * n, m * n);
                let g = laid_out([m, n, k], layout).scaled(0.5).batch(
                    kept,
                    summed * shared * sa,
                    summed * sb,
                    shared * sc,
                );
                let g = g.batch(summed, shared * sa, sb, 0).batch(shared, sa, 0, sc);
                let lens = [kept * summed * shared * sa, kept * summed * sb, kept * shared * sc];
                product(device, &g, lens, at as u64);
            }
        }
    }
}

/// More axes than a device's kernel takes at a time.
pub(super) fn many_batch_axes(device: &Device) {
    let (sa, sb, sc) = (6, 8, 12);
    let mut g = Gemm::new(3, 4, 2).accumulating();
    let (mut a, mut b, mut c) = (sa, sb, sc);
    for (at, len) in [2, 3, 2, 2, 3, 2, 3, 2].into_iter().enumerate() {
        // Alternately kept and summed over; every third is missing in A.
        let (in_a, kept) = (at % 3 > 0, at % 2 == 0);
        g.batch.insert(
            0,
            BatchAxis { len, a: if in_a { a } else { 0 }, b, c: if kept { c } else { 0 } },
        );
        a *= if in_a { len } else { 1 };
        b *= len;
        c *= if kept { len } else { 1 };
    }
    product(device, &g, [a, b, c], 1);
    for batch in [
        vec![BatchAxis { len: 0, a: 6, b: 8, c: 12 }],
        vec![BatchAxis { len: 0, a: 6, b: 8, c: 0 }],
    ] {
        for accumulate in [false, true] {
            product(
                device,
                &Gemm { batch: batch.clone(), accumulate, ..Gemm::new(3, 4, 2) },
                [6, 8, 12],
                2,
            );
        }
    }
}

/// Compares the lower half of `C += A Aᵀ` with its definition.
#[track_caller]
pub fn symmetric_product(device: &Device, r: usize, d: usize, seed: u64) {
    let (a, a_buf) = random(device, r * d, seed);
    let (before, mut c_buf) = random(device, r * r, seed + 1);
    device.syrk(r, d, &a_buf, &mut c_buf);
    let c = read(device, &c_buf);
    for i in (0..r).step_by(if r > 100 { 7 } else { 1 }) {
        let expected: Vec<f64> = (0..=i)
            .map(|j| before[i * r + j] + (0..d).map(|k| a[i * d + k] * a[j * d + k]).sum::<f64>())
            .collect();
        assert_close(
            device,
            &format!("row {i} of the symmetric product [{r}, {d}]"),
            &c[i * r..][..=i],
            &expected,
            d,
        );
    }
}

pub(super) fn symmetric_products(device: &Device) {
    for (at, (r, d)) in [
        (0, 3),
        (1, 1),
        (2, 0),
        (5, 300),
        (31, 7),
        (64, 16),
        (129, 13),
        (401, 3),
        (520, 40),
        (70, 5003),
    ]
    .into_iter()
    .enumerate()
    {
        symmetric_product(device, r, d, at as u64);
    }
}

pub(super) fn tiled_products(device: &Device) {
    for (rows, m, cols, n) in
        [(1, 1, 1, 1), (6, 3, 8, 4), (15, 5, 7, 7), (4, 1, 9, 1), (40, 20, 600, 200), (0, 1, 4, 2)]
    {
        let ((x, x_buf), (y, y_buf)) = (random(device, rows * cols, 1), random(device, m * n, 2));
        let (mut acc, mut acc_buf) = random(device, rows * cols, 3);
        device.add_tiled_product(&mut acc_buf, &x_buf, (rows, cols), &y_buf, (m, n));
        for (at, acc) in acc.iter_mut().enumerate() {
            *acc += x[at] * y[at / cols % m * n + at % cols % n];
        }
        assert_close(
            device,
            &format!("[{rows}, {cols}] times tiles [{m}, {n}]"),
            &read(device, &acc_buf),
            &acc,
            1,
        );
    }
}

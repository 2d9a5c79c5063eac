//! Every kernel that the machine has against the definition, and that neither the parts of C nor
//! threads leave a trace in its bits.

use super::blocked::MAX_BLOCK_STEPS;
use super::sparse::{self, Rows};
use super::tile::{Dots, Kernel, MAX_TILE_ROWS};
use super::{
    MIN_DOT_STEPS, MIN_PART_STEPS, MIN_SHARED_MULTIPLY_ADDS, MIN_SHARED_SIDE, MatMul, gemm, pairs,
    syrk,
};
use crate::cpu::scalar::CpuScalar;
use crate::{Gemm, PositionPairs, Rng, Strides};

/// How a kernel may run.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Way {
    Alone,
    Shared,
}

fn run<E: CpuScalar>(kernel: &Kernel<E>, way: Way, g: &Gemm, a: &[E], b: &[E], c: &mut [E]) {
    g.check(a.len(), b.len(), c.len());
    let (a, b) = (
        (a[g.a.offset..].as_ptr(), [g.a.row, g.a.col]),
        (b[g.b.offset..].as_ptr(), [g.b.row, g.b.col]),
    );
    let c = (c[g.c.offset..].as_mut_ptr(), [g.c.row, g.c.col]);
    let dims = [g.m, g.k, g.n];
    // SAFETY: `check` has shown the bounds; the kernel is one of this machine's.
    unsafe {
        match way {
            Way::Alone => kernel.product(dims, E::of(g.alpha), a, b, g.accumulate, c, false),
            Way::Shared => kernel.shared(dims, E::of(g.alpha), a, b, g.accumulate, c, false),
        }
    }
}

/// A matrix with more than its strides need, and a length that holds it.
fn layout([rows, cols]: [usize; 2], kind: usize) -> (Strides, usize) {
    let s = match kind {
        0 => Strides::rows(cols),
        1 => Strides::transposed(rows),
        2 => Strides { offset: 3, row: 2 * cols + 5, col: 2 },
        _ => Strides { offset: 1, row: 3, col: 3 * rows + 1 },
    };
    (s, s.offset + rows.saturating_sub(1) * s.row + cols.saturating_sub(1) * s.col + 1)
}

#[track_caller]
fn check<E: CpuScalar>(
    kernel: &Kernel<E>,
    [m, n, k]: [usize; 3],
    kinds: [usize; 3],
    alpha: f64,
    accumulate: bool,
) {
    let [(a, a_len), (b, b_len), (c, c_len)] =
        [layout([m, k], kinds[0]), layout([k, n], kinds[1]), layout([m, n], kinds[2])];
    let g = Gemm { a, b, c, alpha, accumulate, ..Gemm::new(m, n, k) };
    let mut rng = Rng::new((m * 1000 + n * 100 + k) as u64);
    let [a, b, start]: [Vec<E>; 3] =
        [a_len, b_len, c_len].map(|len| rng.normal(len).into_iter().map(E::of).collect());
    let at = |i: usize, j: usize| g.c.offset + i * g.c.row + j * g.c.col;
    let mut before = start;
    if !accumulate {
        // What is overwritten must not be read.
        for (i, j) in (0..m).flat_map(|i| (0..n).map(move |j| (i, j))) {
            before[at(i, j)] = E::nan();
        }
    }
    let [alone, shared] = [Way::Alone, Way::Shared].map(|way| {
        let mut c = before.clone();
        run(kernel, way, &g, &a, &b, &mut c);
        c
    });
    let what = format!("{}, {}: {g:?}", kernel.name, E::NAME);
    let bits = |c: &[E]| c.iter().map(|x| x.f64().to_bits()).collect::<Vec<_>>();
    assert!(bits(&alone) == bits(&shared), "{what}: the parts of all threads give other bits");
    if k > 0 {
        near(&what, &g, [&a, &b], &before, &alone);
    }
}

/// What was computed, against the definition in double precision.
#[track_caller]
fn near<E: CpuScalar>(what: &str, g: &Gemm, [a, b]: [&[E]; 2], before: &[E], after: &[E]) {
    let mut expected: Vec<f64> = before.iter().map(|x| x.f64()).collect();
    let indices = |axes: &[usize]| {
        let mut all = vec![vec![]];
        for &len in axes {
            all = all
                .into_iter()
                .flat_map(|i: Vec<usize>| (0..len).map(move |j| [&i[..], &[j]].concat()))
                .collect();
        }
        all
    };
    let lens: Vec<usize> = g.batch.iter().map(|axis| axis.len).collect();
    let mut terms = g.k;
    let mut seen = vec![false; before.len()];
    for at in indices(&lens) {
        let start =
            at.iter().zip(&g.batch).fold([g.a.offset, g.b.offset, g.c.offset], |s, (i, axis)| {
                [s[0] + i * axis.a, s[1] + i * axis.b, s[2] + i * axis.c]
            });
        for (i, j) in (0..g.m).flat_map(|i| (0..g.n).map(move |j| (i, j))) {
            let dot = |t: usize| {
                let (a, b) =
                    (start[0] + i * g.a.row + t * g.a.col, start[1] + t * g.b.row + j * g.b.col);
                (a, b)
            };
            let sum: f64 = (0..g.k).map(dot).map(|(i, j)| a[i].f64() * b[j].f64()).sum();
            let c = start[2] + i * g.c.row + j * g.c.col;
            let first = !std::mem::replace(&mut seen[c], true);
            expected[c] = g.alpha * sum + if first && !g.accumulate { 0.0 } else { expected[c] };
        }
    }
    terms *= g.batch.iter().filter(|axis| axis.c == 0).map(|axis| axis.len).product::<usize>();
    for (at, (x, y)) in after.iter().zip(&expected).enumerate() {
        // A sum of products of numbers of size one, and three roundings after it.
        let bound = 16.0 * E::EPSILON.f64() * (terms as f64 + 4.0);
        let near = (x.f64() - y).abs() <= bound * y.abs().max(1.0) || x.is_nan() && y.is_nan();
        assert!(near, "{what}: entry {at} is {x}, not {y}");
    }
}

fn products<E: CpuScalar>() {
    if let Some(kernel) = E::kernel() {
        // Around the tiles' edges, in the layouts that packing knows and those that it doesn't.
        let (rows, cols) = (MAX_TILE_ROWS, 2 * Kernel::<E>::LANES);
        let near = |x: usize| [x - 1, x, x + 1];
        let ms: Vec<usize> =
            [1, 2, 3].into_iter().chain(near(4)).chain(near(rows)).chain([2 * rows + 1]).collect();
        let ns: Vec<usize> = [1, 2, 3]
            .into_iter()
            .chain(near(Kernel::<E>::LANES))
            .chain(near(cols))
            .chain([2 * cols + 3])
            .collect();
        let mut turn = 0;
        for &m in &ms {
            for &n in &ns {
                for k in [1, 2, 3, 15, 16, 17, 33] {
                    turn += 1;
                    let kinds = [turn % 4, turn / 4 % 4, turn / 16 % 4];
                    check(kernel, [m, n, k], kinds, [1.0, -0.5][turn / 3 % 2], turn % 2 == 0);
                }
            }
        }
        // All layouts, several blocks of steps, several parts.
        for kinds in 0..64 {
            let kinds = [kinds % 4, kinds / 4 % 4, kinds / 16];
            for accumulate in [false, true] {
                check(kernel, [37, 53, MAX_BLOCK_STEPS + 5], kinds, -0.5, accumulate);
                check(kernel, [rows * 9 + 5, 301, 19], kinds, 2.0, accumulate);
            }
        }
        check(kernel, [5, 3, 3 * MAX_BLOCK_STEPS + 1], [0, 0, 0], 1.0, false);
        for [m, n] in [[0, 3], [3, 0], [0, 0]] {
            check(kernel, [m, n, 2], [0, 0, 0], 1.0, true);
        }
        check(kernel, [3, 3, 0], [0, 0, 0], 1.0, true);
    }
}

#[test]
fn products_in_single_precision() {
    products::<f32>();
}

#[test]
fn products_in_double_precision() {
    products::<f64>();
}

/// What is NaN or infinite stays in its row or column, whatever the panels are filled up with.
#[test]
fn nan_and_infinity_stay_where_they_belong() {
    if let Some(kernel) = f32::kernel() {
        let (m, n, k) = (17, 41, 9);
        let (mut a, mut b) = (vec![1.0; m * k], vec![1.0; k * n]);
        a[16 * k + 3] = f32::NAN;
        b[2 * n + 40] = f32::INFINITY;
        for way in [Way::Alone, Way::Shared] {
            let mut c = vec![0.0; m * n];
            run(kernel, way, &Gemm::new(m, n, k), &a, &b, &mut c);
            for (at, c) in c.iter().enumerate() {
                match (at / n, at % n) {
                    (16, _) => assert!(c.is_nan()),
                    (_, 40) => assert!(*c == f32::INFINITY),
                    _ => assert!(*c == 9.0),
                }
            }
        }
    }
}

/// The lower half alone has the bits that it has in the whole product.
#[test]
fn the_lower_half_is_that_of_the_whole() {
    fn halves<E: CpuScalar>() {
        if let Some(kernel) = E::kernel() {
            for [r, d] in [[1, 1], [2, 5], [13, 40], [95, 33], [97, 300], [300, 17], [523, 64]] {
                let a: Vec<E> = Rng::new(r as u64).normal(r * d).into_iter().map(E::of).collect();
                let start: Vec<E> =
                    Rng::new(d as u64).normal(r * r).into_iter().map(E::of).collect();
                let (mut whole, mut lower) = (start.clone(), start);
                run(kernel, Way::Shared, &Gemm::nt(r, r, d).accumulating(), &a, &a, &mut whole);
                let (left, right) = ((a.as_ptr(), [d, 1]), (a.as_ptr(), [1, d]));
                // SAFETY: the matrices have these sizes; the kernel is one of this machine's.
                unsafe {
                    kernel.shared(
                        [r, d, r],
                        E::one(),
                        left,
                        right,
                        true,
                        (lower.as_mut_ptr(), [r, 1]),
                        true,
                    )
                };
                for i in 0..r {
                    assert!(
                        whole[i * r..][..=i] == lower[i * r..][..=i],
                        "{}: row {i} of [{r}, {d}]",
                        kernel.name
                    );
                }
            }
        }
    }
    halves::<f32>();
    halves::<f64>();
}

/// Runs `job` on pools of one, two and three threads, and shows that the bits are the same.
#[track_caller]
fn on_threads<E: CpuScalar>(what: &str, job: impl Fn() -> Vec<E> + Sync) -> Vec<E> {
    let all = [1, 2, 3].map(|threads| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().expect("threads");
        pool.install(&job)
    });
    let bits = all.each_ref().map(|c| c.iter().map(|x| x.f64().to_bits()).collect::<Vec<_>>());
    assert!(bits[0] == bits[1] && bits[0] == bits[2], "{what}: the number of threads can be seen");
    let [one, ..] = all;
    one
}

/// The whole way: shared and split products, dot products, rows and columns, batches and sums over
/// them, in random layouts.
#[test]
fn whole_products_are_those_of_the_definition() {
    fn all<E: CpuScalar>(seed: u64) {
        let mut rng = Rng::new(seed);
        let mut below = |len: usize| (rng.unit() * len as f64) as usize;
        let long = MIN_PART_STEPS * 4 + 37;
        let mut shapes = vec![
            [1, 1, long * 64],
            [1, 7, long * 8],
            [9, 1, long * 8],
            [10, 10, long],
            [16, 19, long],
            [33, 70, long],
            [260, 3, 65],
            [1, 300, 140],
            [300, 1, 140],
            [2, 70, 90],
            [8, 8, MIN_DOT_STEPS],
            [3, 5, MIN_DOT_STEPS + 3],
            [4, 1, 1],
            [5, 6, 1],
            [MIN_SHARED_SIDE + 1, 600, MIN_SHARED_MULTIPLY_ADDS / 600 / (MIN_SHARED_SIDE + 1) + 1],
            [259, 257, 258],
        ];
        shapes.extend((0..60).map(|_| [1 + below(40), 1 + below(70), 1 + below(100)]));
        for (turn, [m, n, k]) in shapes.into_iter().enumerate() {
            let kinds = [below(4), below(4), below(4)];
            // The layouts along the sum, too, which dot products need.
            let kinds = if turn % 3 == 0 { [0, 1, kinds[2]] } else { kinds };
            let [(a, a_len), (b, b_len), (c, c_len)] =
                [layout([m, k], kinds[0]), layout([k, n], kinds[1]), layout([m, n], kinds[2])];
            let mut g = Gemm {
                a,
                b,
                c,
                alpha: [1.0, -0.5][turn % 2],
                accumulate: turn % 4 < 2,
                ..Gemm::new(m, n, k)
            };
            let items = if m * n * k > 1 << 18 { 1 } else { 1 + below(3) };
            if turn % 5 != 0 {
                g = g.batch(items, a_len, [0, b_len][turn / 2 % 2], c_len).batch(
                    1 + below(3),
                    3,
                    2,
                    0,
                );
            }
            let room = |len: usize| len * items + 6;
            let [a, b, before]: [Vec<E>; 3] = [room(a_len), room(b_len), room(c_len)]
                .map(|len| Rng::new(len as u64).normal(len).into_iter().map(E::of).collect());
            let what = format!("{}: {g:?}", E::NAME);
            let after = on_threads(&what, || {
                let mut c = before.clone();
                gemm(&g, &a, &b, &mut c);
                c
            });
            near(&what, &g, [&a, &b], &before, &after);
        }
    }
    all::<f32>(1);
    all::<f64>(2);
}

/// Symmetric products that are shared, split and done in strips.
#[test]
fn symmetric_products_are_those_of_the_definition() {
    fn all<E: CpuScalar>() {
        for [r, d] in [[1, 1], [5, 3], [40, 9000], [100, 3000], [300, 300], [530, 17]] {
            let a: Vec<E> = Rng::new(r as u64).normal(r * d).into_iter().map(E::of).collect();
            let before: Vec<E> = Rng::new(d as u64).normal(r * r).into_iter().map(E::of).collect();
            let what = format!("{}: [{r}, {d}]", E::NAME);
            let mut after = on_threads(&what, || {
                let mut c = before.clone();
                syrk(r, d, &a, &mut c);
                for i in 0..r {
                    c[i * r..][i + 1..r].fill(E::zero());
                }
                c
            });
            for i in 0..r {
                for j in i + 1..r {
                    after[i * r + j] = after[j * r + i] - before[j * r + i] + before[i * r + j];
                }
            }
            near(&what, &Gemm::nt(r, r, d).accumulating(), [&a, &a], &before, &after);
        }
    }
    all::<f32>();
    all::<f64>();
}

/// The dot products of any machine, and of this one; what isn't finite stays in its entries.
#[test]
fn dot_products_are_those_of_the_definition() {
    fn all<E: CpuScalar>() {
        for dots in [&Dots::PORTABLE, E::dots()] {
            for [m, n, k] in [
                [1, 1, 1],
                [1, 1, 777],
                [2, 3, 8],
                [3, 4, 33],
                [7, 9, 31],
                [4, 5, 64],
                [5, 1, 100],
                [1, 6, 3],
            ] {
                for add in [false, true] {
                    let (c, c_len) = layout([m, n], 2);
                    let g = Gemm { c, alpha: -0.5, accumulate: add, ..Gemm::nt(m, n, k) };
                    let [mut a, b, before]: [Vec<E>; 3] = [m * k, n * k, c_len].map(|len| {
                        Rng::new(len as u64).normal(len).into_iter().map(E::of).collect()
                    });
                    a[m * k - 1] = E::nan();
                    let mut after = before.clone();
                    // SAFETY: the matrices have these sizes; the tiles are this machine's.
                    unsafe {
                        let c = (after[g.c.offset..].as_mut_ptr(), [g.c.row, g.c.col]);
                        dots.product(
                            [m, k, n],
                            E::of(g.alpha),
                            (a.as_ptr(), [k, 1]),
                            (b.as_ptr(), [1, k]),
                            add,
                            c,
                        );
                    }
                    near(&format!("{}: {g:?}", E::NAME), &g, [&a, &b], &before, &after);
                }
            }
        }
    }
    all::<f32>();
    all::<f64>();
}

/// Numbers `[items, len]` that are zero at the same places in all items, about `kept` of them not.
fn with_common_zeros<E: CpuScalar>(items: usize, len: usize, kept: f64, seed: u64) -> Vec<E> {
    let mut rng = Rng::new(seed);
    let chances: Vec<f64> = (0..len).map(|_| rng.unit()).collect();
    let mut x: Vec<E> = rng.normal(items * len).into_iter().map(E::of).collect();
    for x in x.chunks_exact_mut(len) {
        x.iter_mut()
            .zip(&chances)
            .filter(|(_, chance)| **chance >= kept)
            .for_each(|(x, _)| *x = E::zero());
    }
    x
}

#[test]
fn products_without_zeros_are_those_of_the_definition() {
    fn all<E: CpuScalar>() {
        let mut turn = 0;
        for (items, m, k, n) in
            [(5, 3, 17, 8), (9, 20, 49, 75), (13, 7, 600, 33), (30, 5, 3, 64), (11, 40, 196, 31)]
        {
            for (samples, terms) in [(1, 1), (3, 1), (1, 7), (2, 20)] {
                turn += 1;
                // A `[items, samples, terms, m, k]`, some of its rows zero, and B `[samples, terms,
                // k, n]`, with rows further apart.
                let (len, wide) = (samples * terms * m * k, n + turn % 3);
                let a: Vec<E> =
                    with_common_zeros(items, len, [0.2, 0.6, 1.0, 0.0][turn % 4], turn as u64);
                let b: Vec<E> = Rng::new(turn as u64)
                    .normal(samples * terms * k * wide)
                    .into_iter()
                    .map(E::of)
                    .collect();
                let (alpha, accumulate) = ([1.0, -0.5][turn % 2], turn % 3 == 0);
                let g = Gemm { b: Strides::rows(wide), alpha, accumulate, ..Gemm::new(m, n, k) }
                    .batch(samples, terms * m * k, terms * k * wide, m * n)
                    .batch(items, len, 0, samples * m * n)
                    .batch(terms, m * k, k * wide, 0)
                    .skipping_zeros();
                let before: Vec<E> =
                    Rng::new(1).normal(items * samples * m * n).into_iter().map(E::of).collect();
                let what = format!("{}: {g:?}", E::NAME);
                let after = on_threads(&what, || {
                    let mut c = before.clone();
                    gemm(&g, &a, &b, &mut c);
                    c
                });
                near(&what, &g, [&a, &b], &before, &after);
                assert_eq!(
                    sparse::product(&g, &a, Rows::Given(&b), &mut before.clone()),
                    E::kernel().is_some(),
                    "{what}"
                );
            }
        }
    }
    all::<f32>();
    all::<f64>();
}

#[test]
fn pairs_of_positions_are_those_of_the_definition() {
    fn all<E: CpuScalar>() {
        for (turn, (v, w, n, m, groups, t, o)) in [
            (9, 9, 5, 5, 1, 24, 7),
            (3, 14, 2, 4, 2, 40, 3),
            (16, 1, 3, 2, 1, 16, 9),
            (2, 24, 1, 1, 3, 60, 2),
        ]
        .into_iter()
        .enumerate()
        {
            for symmetric in [false, true] {
                // Of the left the samples from number 2 on, of the right those from number 1.
                let (first, seen) = ([2, 1], usize::div_ceil(m, 2));
                let (all_n, all_m) = (n + 2, m + 1);
                let place = [all_n * w * all_m, w * all_m, all_m, 1];
                let p = PositionPairs {
                    columns: [v, w],
                    samples: [n, m],
                    seen,
                    groups,
                    positions: t,
                    features: o,
                    line: if turn % 2 == 0 { [1, t] } else { [n, 1] },
                    first,
                    symmetric,
                    place,
                };
                let left: Vec<E> = with_common_zeros(v, n * groups * t * o, 0.1, turn as u64);
                let right: Vec<E> = with_common_zeros(w, m * groups * t * o, 0.1, 7);
                let k: Vec<E> =
                    Rng::new(3).normal(groups * seen * t * n * t).into_iter().map(E::of).collect();
                let before: Vec<E> =
                    Rng::new(4).normal(v * place[0]).into_iter().map(E::of).collect();
                let what = format!("{}: {p:?}", E::NAME);
                let after = on_threads(&what, || {
                    let mut c = before.clone();
                    assert_eq!(
                        pairs::add(&p, &k, &left, &right, &mut c),
                        E::kernel().is_some(),
                        "{what}"
                    );
                    c
                });
                if E::kernel().is_none() {
                    continue;
                }
                let mut expected: Vec<f64> = before.iter().map(|x| x.f64()).collect();
                let at = |s: &[E], samples: usize, [v, n, g, t1, o1]: [usize; 5]| {
                    s[(((v * samples + n) * groups + g) * t + t1) * o + o1].f64()
                };
                for (v, n1, w, m1) in (0..v).flat_map(|v| {
                    (0..n).flat_map(move |n| {
                        (0..w).flat_map(move |w| (0..seen).map(move |m| (v, n, w, m)))
                    })
                }) {
                    let (number, other) = (first[0] + n1, first[1] + m1);
                    let alpha = match symmetric {
                        true if number < other => 0.0,
                        true if number == other => 0.5,
                        _ => 1.0,
                    };
                    let mut sum = 0.0;
                    for (g, t1, t2, o1) in (0..groups).flat_map(|g| {
                        (0..t).flat_map(move |t1| {
                            (0..t).flat_map(move |t2| (0..o).map(move |o| (g, t1, t2, o)))
                        })
                    }) {
                        let k = k
                            [((g * seen + m1) * t + t2) * n * t + n1 * p.line[1] + t1 * p.line[0]]
                            .f64();
                        sum += at(&left, n, [v, n1, g, t1, o1])
                            * k
                            * at(&right, m, [w, m1, g, t2, o1]);
                    }
                    expected[v * place[0] + number * place[1] + w * place[2] + other * place[3]] +=
                        alpha * sum;
                }
                for (at, (x, y)) in after.iter().zip(&expected).enumerate() {
                    let bound = 64.0 * E::EPSILON.f64() * (t * o) as f64;
                    assert!(
                        (x.f64() - y).abs() <= bound * y.abs().max(1.0),
                        "{what}: entry {at} is {x}, not {y}"
                    );
                }
                // Without zeros there is nothing to gain, and nothing is touched.
                let (dense, mut c) = (vec![E::one(); right.len().max(left.len())], before.clone());
                assert!(!pairs::add(&p, &k, &dense, &dense, &mut c), "{what}");
                assert!(c == before, "{what}");
            }
        }
    }
    all::<f32>();
    all::<f64>();
}

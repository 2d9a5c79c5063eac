//! Sizes and distances that no slice holds are refused, in optimised code as in any other.

use super::pack::with_buffers;
use super::scatter::{self, Windows};
use super::{MatMul, gemm, syrk, transpose};
use crate::cpu::runs::Run;
use crate::{ConvDims, Gemm, Rng, Strides};

/// Runs what must panic, with a message that has these words.
#[track_caller]
fn refused(why: &str, job: impl FnOnce()) {
    let error = std::panic::catch_unwind(std::panic::AssertUnwindSafe(job)).expect_err(why);
    let message = error.downcast::<String>().map(|message| *message);
    let message = message.or_else(|error| error.downcast::<&str>().map(|text| text.to_string()));
    let message = message.expect("a message");
    assert!(message.contains(why), "{message}");
}

/// In wrapping arithmetic each of these would be small enough for its slices.
#[test]
fn sizes_that_can_not_be_counted_are_refused() {
    let (half, root) = (usize::MAX / 2 + 1, 1 << (usize::BITS / 2));
    let (x, mut c) = ([1.0f32; 64], [0.0f32; 64]);
    for g in [
        Gemm { c: Strides { offset: 0, row: half, col: 1 }, ..Gemm::new(4, 4, 4) },
        Gemm { c: Strides { offset: usize::MAX, row: 4, col: 1 }, ..Gemm::new(4, 4, 4) },
        Gemm::new(4, 4, 4).batch(0, 0, 0, 0).batch(9, 0, 0, half),
    ] {
        refused("of C, which has 64", || gemm(&g, &x, &x, &mut c));
    }
    refused("symmetric product", || syrk(root, 1, &x, &mut c));
    refused("symmetric product", || syrk(2, half, &x, &mut c));
    refused("transposition", || transpose(&x, half, [3, 1], &mut c));
    refused("transposition", || transpose(&x, 0, [half, 2], &mut c));
    refused("buffers fit", || with_buffers([half, 0], |_: *mut f32, _| {}));
    if f32::kernel().is_some() {
        let dims = ConvDims { groups: 1, c: 8, o: 4 };
        let convolve = |columns, [first, len, at]: [usize; 3], plane, step| {
            let runs = [Run { k: 0, first, len, at }];
            let windows = Windows { kernel: 1, windows: 3, plane, runs: &runs, step };
            scatter::conv_transposed(&x, &x, [columns, 1], dims, &windows)
        };
        refused("transposed convolution", || drop(convolve(half, [0, 1, 0], 4, 1)));
        for run in [[usize::MAX, 2, 0], [0, 0, 0], [0, 1, usize::MAX], [0, 3, usize::MAX - 1]] {
            refused("windows", || drop(convolve(5, run, 4, 1)));
        }
        refused("windows", || drop(convolve(5, [0, 3, 0], 4, half)));
        assert!(convolve(5, [0, 1, 0], half, 1).is_none(), "the image is too large");
    }
}

/// The distance of a single row leads nowhere: any number will do.
#[test]
fn distances_of_single_rows_do_not_matter() {
    for far in [usize::MAX, usize::MAX / 2 + 1] {
        for [m, n, k] in [[1, 70, 40], [1, 9, 1], [1, 1, 300], [1, 600, 130]] {
            let g = Gemm::new(m, n, k);
            let random = |seed, len| -> Vec<f32> {
                Rng::new(seed).normal(len).into_iter().map(|x| x as f32).collect()
            };
            let (a, b) = (random(1, m * k), random(2, k * n));
            let (mut near, mut apart) = (vec![0.0f32; n], vec![0.0f32; n]);
            gemm(&g, &a, &b, &mut near);
            let [a_far, c_far] = [Strides { row: far, ..g.a }, Strides { row: far, ..g.c }];
            gemm(&Gemm { a: a_far, c: c_far, ..g }, &a, &b, &mut apart);
            assert!(near == apart, "[{m}, {n}, {k}]");
        }
    }
}

//! Every primitive of a backend against its plain definition, at awkward shapes: empty and single
//! axes, primes, lengths beside those of tiles, long batches. One suite for all backends.
//!
//! Arguments are random numbers rounded to the element type; definitions run in doubles. A sum of n
//! products of numbers of size one may be off by c·ε·√n of its largest partial sum, which is about
//! √n: bounds are `16 ε (n + 4)`.

use vivit::prelude::*;
use vivit::tensor::{Gemm, Window};

mod arrays;
mod elementwise;
mod products;
mod reductions;
mod windows;

pub use elementwise::broadcast;
pub use products::{product, product_by_definition, symmetric_product};
pub use windows::window;

/// A named check.
pub type Check<B> = (&'static str, fn(&B));

/// All checks.
pub fn checks<B: Backend>() -> Vec<Check<B>> {
    vec![
        ("matrix products", products::products),
        ("batched matrix products", products::batched_products),
        ("many batch axes", products::many_batch_axes),
        ("symmetric products", products::symmetric_products),
        ("tiled products", products::tiled_products),
        ("element-wise maps", elementwise::maps),
        ("derivatives of maps", elementwise::chains),
        ("second derivatives of maps", elementwise::second_derivatives),
        ("broadcasting", elementwise::broadcasting),
        ("sums in place", elementwise::sums_in_place),
        ("strided copies", arrays::strided_copies),
        ("selections", arrays::selections),
        ("padding and joining", arrays::padding),
        ("reductions", reductions::reductions),
        ("softmax", reductions::softmax),
        ("draws", reductions::draws),
        ("rows of tables", arrays::tables),
        ("windows", windows::windows),
        ("convolutions", windows::convolutions),
        ("empty arrays", arrays::empty_arrays),
        ("writes leave shared memory alone", arrays::copies_on_write),
        ("NaN and infinity", reductions::non_finite),
        ("the same bits twice", same_bits),
    ]
}

/// Runs all checks.
pub fn check_all<B: Backend>(backend: &B) {
    for (name, check) in checks::<B>() {
        println!("{name}");
        check(backend);
    }
}

/// Random numbers as the device has them, and their buffer.
fn random<B: Backend>(backend: &B, len: usize, seed: u64) -> (Vec<f64>, B::Buf) {
    let data: Vec<B::Elem> = Rng::new(seed).normal(len);
    (data.iter().map(|x| x.f64()).collect(), backend.upload(data))
}

fn read<B: Backend>(backend: &B, buf: &B::Buf) -> Vec<f64> {
    backend.download(buf).expect("the device works").iter().map(|x| x.f64()).collect()
}

/// Fails unless all numbers agree up to what sums of `terms` numbers may be off by.
#[track_caller]
fn assert_close<B: Backend>(what: &str, got: &[f64], expected: &[f64], terms: usize) {
    assert_eq!(got.len(), expected.len(), "{what}: number of entries");
    let bound = 16.0 * B::Elem::EPSILON.f64() * (terms as f64 + 4.0);
    for (at, (got, expected)) in got.iter().zip(expected).enumerate() {
        let fine = got == expected
            || (got.is_nan() && expected.is_nan())
            || (got - expected).abs() <= bound * expected.abs().max(1.0);
        assert!(fine, "{what}: entry {at} is {got}, not {expected}");
    }
}

fn same_bits<B: Backend>(backend: &B) {
    let run = || {
        let (_, a) = random(backend, 300 * 301, 1);
        let mut c = backend.fill(300 * 300, B::Elem::of(0.0));
        backend.gemm(&Gemm::nt(300, 300, 301), &a, &a, &mut c);
        let w = Window::new(&[15, 20], &[3, 3], &[1, 1], &[1, 1], &[1, 1], false).unwrap();
        let folded = backend.fold(&backend.unfold(&c, 300, &w), 300, &w);
        let sums = backend.reduce(Reduce::Sum, &backend.unary(Unary::Tanh, &folded), 3, 30_000, 1);
        [read(backend, &c), read(backend, &folded), read(backend, &sums)]
    };
    let first = run();
    for _ in 0..3 {
        assert!(run() == first, "two runs differ");
    }
}

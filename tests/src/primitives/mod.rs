//! Every primitive of a backend against its plain definition, at awkward shapes: empty and single
//! axes, primes, lengths beside those of tiles, long batches. One suite for all backends.
//!
//! Arguments are random numbers rounded to the element type; definitions run in doubles. A sum of n
//! products of numbers of size one may be off by c·ε·√n of its largest partial sum, which is about
//! √n: bounds are `16 ε (n + 4)`.

use vivit::tensor::{Device, Gemm, Reduce, Unary, Window};

use tools::{random, read};

mod arrays;
mod choices;
mod elementwise;
mod long_sums;
mod many_axes;
mod picks;
mod products;
mod reductions;
mod tools;
mod windows;

pub use elementwise::broadcast;
pub use products::{product, product_by_definition, symmetric_product};
pub use windows::window;

/// A named check.
pub type Check = (&'static str, fn(&Device));

/// All checks.
pub fn checks() -> Vec<Check> {
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
        ("choices", choices::choices),
        ("pairs of NaN, infinity and signs", choices::special_pairs),
        ("sums in place", elementwise::sums_in_place),
        ("strided copies", arrays::strided_copies),
        ("selections", arrays::selections),
        ("padding and joining", arrays::padding),
        ("sums of parts", arrays::sums_of_parts),
        ("reductions", reductions::reductions),
        ("long sums", long_sums::long_sums),
        ("softmax", reductions::softmax),
        ("softmax's Jacobian", reductions::softmax_chain),
        ("normalisation", reductions::normalisation),
        ("draws", reductions::draws),
        ("rows of tables", arrays::tables),
        ("entries along an axis", picks::picks),
        ("entries by coordinates", picks::coordinates),
        ("first of equal entries", picks::first_equals),
        ("running sums", picks::running_sums),
        ("windows", windows::windows),
        ("convolutions", windows::convolutions),
        ("arrays of twelve axes", many_axes::many_axes),
        ("empty arrays", arrays::empty_arrays),
        ("writes leave shared memory alone", arrays::copies_on_write),
        ("NaN and infinity", reductions::non_finite),
        ("the same bits twice", same_bits),
    ]
}

/// Runs all checks.
pub fn check_all(device: &Device) {
    for (name, check) in checks() {
        println!("{name}");
        check(device);
    }
}

fn same_bits(device: &Device) {
    let run = || {
        let (_, a) = random(device, 300 * 301, 1);
        let mut c = device.fill(300 * 300, 0.0);
        device.gemm(&Gemm::nt(300, 300, 301), &a, &a, &mut c);
        let w = Window::new(&[15, 20], &[3, 3], &[1, 1], &[1, 1], &[1, 1], false).unwrap();
        let folded = device.fold(&device.unfold(&c, 300, &w), 300, &w);
        let sums = device.reduce(Reduce::Sum, &device.unary(Unary::Tanh, &folded), 3, 30_000, 1);
        [read(device, &c), read(device, &folded), read(device, &sums)]
    };
    let first = run();
    for _ in 0..3 {
        assert!(run() == first, "two runs differ");
    }
}

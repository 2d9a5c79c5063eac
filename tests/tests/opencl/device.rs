//! The tests.

use vivit::opencl::Products;
use vivit::prelude::*;
use vivit_tests::primitives;

/// A named test.
type Test<'t> = (String, Box<dyn FnOnce() + 't>);

/// All tests.
pub fn tests<'t>(single: &'t OpenCl<f32>, double: Option<&'t OpenCl<f64>>) -> Vec<Test<'t>> {
    let mut all: Vec<Test<'t>> = Vec::new();
    suite(single, &mut all);
    if let Some(double) = double {
        suite(double, &mut all);
    }
    all
}

/// The shared suite, with either kernel for matrix products.
fn suite<'t, E: Scalar>(cl: &'t OpenCl<E>, all: &mut Vec<Test<'t>>) {
    for (name, check) in primitives::checks::<OpenCl<E>>() {
        for products in [Products::Lanes, Products::Tiles] {
            if products == Products::Tiles && !name.contains("product") {
                continue;
            }
            let cl = cl.clone().with_products(products);
            all.push((format!("{} {products:?}: {name}", E::NAME), Box::new(move || check(&cl))));
        }
    }
}

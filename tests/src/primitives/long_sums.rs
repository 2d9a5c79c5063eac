//! Long sums of equal numbers in single precision: every rounding of a running sum would go the
//! same way.

use vivit::tensor::{DType, Device, Gemm, Reduce};

use super::tools::read;

/// Bound of the relative error, in units of f32's epsilon, whatever the length.
const BOUND: f64 = 16.0;

/// Reductions, softmax and dot products.
pub(super) fn long_sums(device: &Device) {
    if device.dtype() != DType::F32 {
        return;
    }
    let (len, term) = (1 << 20, f64::from(0.1f32));
    let x = device.fill(len, term);
    let near = |what: &str, got: Vec<f64>, exact: f64| {
        for got in got {
            let error = ((got - exact) / exact).abs() / f64::from(f32::EPSILON);
            assert!(error <= BOUND, "{what}: {got} for {exact}, {error} ε");
        }
    };
    for [outer, axis, inner] in [[1, len, 1], [4, len / 4, 1], [1, len / 8, 8], [1, 32, len / 32]] {
        let terms = axis as f64;
        let sums = device.reduce(Reduce::Sum, &x, outer, axis, inner);
        near("sum", read(device, &sums), terms * term);
        let squares = device.reduce(Reduce::SumSquares, &x, outer, axis, inner);
        near("sum of squares", read(device, &squares), terms * term * term);
        let p = device.softmax(&x, outer, axis, inner);
        near("softmax", read(device, &p), 1.0 / terms);
    }
    for (m, n) in [(1, 1), (1, 4), (4, 1)] {
        let k = len / 4;
        let mut c = device.fill(m * n, 0.0);
        device.gemm(&Gemm::nt(m, n, k), &x, &x, &mut c);
        near("dot products", read(device, &c), k as f64 * term * term);
    }
}

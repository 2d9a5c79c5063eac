//! The CPU backend: own kernels and `matrixmultiply` for products, `rayon` for threads.

mod array;
mod backend;
mod fill;
pub(crate) mod kernel;
mod machine;
mod normalize;
mod picks;
pub(crate) mod pool;
mod runs;
pub(crate) mod scalar;
mod select;
mod softmax;
mod sum;
mod window;

pub use backend::Cpu;

use crate::{DType, Gemm, Scalar};

/// The product that `g` describes, of slices in host memory; in parallel when it is large.
///
/// # Panics
/// If `g` reads or writes outside a slice, or writes an entry of C twice.
#[track_caller]
pub fn gemm<E: Scalar>(g: &Gemm, a: &[E], b: &[E], c: &mut [E]) {
    use bytemuck::{cast_slice, cast_slice_mut};
    // The same type under its name as a value: the casts change nothing.
    match E::DTYPE {
        DType::F32 => gemm_f32(g, cast_slice(a), cast_slice(b), cast_slice_mut(c)),
        DType::F64 => gemm_f64(g, cast_slice(a), cast_slice(b), cast_slice_mut(c)),
    }
}

// Compiled here, once; what is generic would be compiled in every crate that multiplies.

#[inline(never)]
#[track_caller]
fn gemm_f32(g: &Gemm, a: &[f32], b: &[f32], c: &mut [f32]) {
    kernel::gemm(g, a, b, c);
}

#[inline(never)]
#[track_caller]
fn gemm_f64(g: &Gemm, a: &[f64], b: &[f64], c: &mut [f64]) {
    kernel::gemm(g, a, b, c);
}

//! What an element type brings for products.

use super::pack::Pack;
use super::tile::{Dots, Kernel, Operand, Output};

/// The single-threaded strided products behind [`Scalar`](crate::Scalar).
pub trait MatMul: Sized + Copy + Pack + 'static {
    /// `C = alpha · A B + beta · C` with (row, column) strides, by `matrixmultiply`.
    ///
    /// # Safety
    /// `a`, `b`, `c` must be valid for every entry that the dimensions and strides address, `c`
    /// exclusively so.
    unsafe fn matmul(
        dims: [usize; 3],
        alpha: Self,
        a: Operand<Self>,
        b: Operand<Self>,
        beta: Self,
        c: Output<Self>,
    );

    /// The micro-kernels of our own, if this machine has the instructions for them.
    fn kernel() -> Option<&'static Kernel<Self>>;

    /// Dot products by the best instructions that this machine has.
    fn dots() -> &'static Dots<Self>;
}

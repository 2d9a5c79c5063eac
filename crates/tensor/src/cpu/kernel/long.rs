//! Long sums in pieces whose results are added up in doubles: rounding does not grow with the
//! length of the sum.

use super::tile::{Operand, Output};
use crate::cpu::scalar::CpuScalar;

/// Blocks of steps, or terms, that are added up in the element type before they join the rest: as
/// many roundings to it reach a sum, whatever its length, and adding up takes little beside them.
pub const MAX_BLOCKS: usize = 32;

/// A matrix as it grows by pieces of its sums.
pub struct Totals<E> {
    piece: Vec<E>,
    totals: Vec<f64>,
}

impl<E: CpuScalar> Totals<E> {
    /// Zeros, of so many entries.
    pub fn new(entries: usize) -> Self {
        Totals { piece: vec![E::zero(); entries], totals: vec![0.0; entries] }
    }

    /// Where the next piece goes, contiguous.
    pub fn piece(&mut self) -> *mut E {
        self.piece.as_mut_ptr()
    }

    /// Adds the piece.
    pub fn add(&mut self) {
        self.totals.iter_mut().zip(&self.piece).for_each(|(total, x)| *total += x.f64());
    }

    /// `C = alpha · totals`, or `C += alpha · totals`, for C with so many columns.
    ///
    /// # Safety
    /// C must be valid for writing, and for reading with `add`.
    pub unsafe fn write(self, columns: usize, alpha: E, add: bool, (c, steps): Output<E>) {
        for (at, total) in self.totals.into_iter().enumerate() {
            let x = alpha * E::of(total);
            // SAFETY: an entry of C.
            unsafe {
                let c = c.add(at / columns * steps[0] + at % columns * steps[1]);
                *c = if add { *c + x } else { x };
            }
        }
    }
}

/// `C = alpha · A B`, or `C += alpha · A B`: `piece(steps, a, b, c)` writes the product of at most
/// `longest` steps to c.
///
/// # Safety
/// As for [`MatMul::matmul`](super::MatMul::matmul).
pub unsafe fn product<E: CpuScalar>(
    [m, k, n]: [usize; 3],
    alpha: E,
    (a, sa): Operand<E>,
    (b, sb): Operand<E>,
    add: bool,
    c: Output<E>,
    longest: usize,
    piece: impl Fn(usize, Operand<E>, Operand<E>, Output<E>),
) {
    let mut totals = Totals::new(m * n);
    for first in (0..k).step_by(longest) {
        // SAFETY: the steps from `first` on are inside A and B.
        let (a, b) = unsafe { (a.add(first * sa[1]), b.add(first * sb[0])) };
        piece(longest.min(k - first), (a, sa), (b, sb), (totals.piece(), [n, 1]));
        totals.add();
    }
    // SAFETY: the caller's promise.
    unsafe { totals.write(n, alpha, add, c) };
}

//! Long sums in pieces whose results are added up in doubles: rounding does not grow with the
//! length of the sum.

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

    /// The entries, each rounded once.
    pub fn rounded(self) -> impl Iterator<Item = E> {
        self.totals.into_iter().map(E::of)
    }
}

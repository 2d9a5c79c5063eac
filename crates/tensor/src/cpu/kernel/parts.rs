//! Sums in parts that tasks compute on their own.

use crate::Scalar;
use crate::cpu::for_chunks;

/// Tasks that a sum over batch axes is cut into if it has fewer, and entries of all their parts at
/// most.
pub const PARTS: (usize, usize) = (16, 1 << 23);

/// Adds up partial results of so many entries that lie side by side, in order; the first becomes
/// the sum.
pub fn add_up<E: Scalar>(parts: &mut [E], entries: usize) -> &mut [E] {
    let (sum, parts) = parts.split_at_mut(entries);
    for_chunks(sum, 1, |first, sum| {
        for part in parts.chunks_exact(entries) {
            sum.iter_mut().zip(&part[first..]).for_each(|(sum, x)| *sum += *x);
        }
    });
    sum
}

//! Sums in parts that tasks compute on their own.

use crate::cpu::fill::for_chunks;
use crate::cpu::scalar::CpuScalar;

/// Maximum tasks that a sum over batch axes is cut into. Not measured.
pub const MAX_BATCH_PARTS: usize = 16;
/// Maximum entries of the partial results of all these tasks together. Not measured.
pub const MAX_PARTIAL_ENTRIES: usize = 1 << 23;

/// Adds up partial results of so many entries that lie side by side, in order; the first becomes
/// the sum.
pub fn add_up<E: CpuScalar>(parts: &mut [E], entries: usize) -> &mut [E] {
    let (sum, parts) = parts.split_at_mut(entries);
    for_chunks(
        sum,
        1,
        #[inline(always)]
        |first, sum| {
            for part in parts.chunks_exact(entries) {
                sum.iter_mut().zip(&part[first..]).for_each(|(sum, x)| *sum += *x);
            }
        },
    );
    sum
}

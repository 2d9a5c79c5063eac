//! Loops over new memory, in parallel when there is enough of it.

use std::any::type_name;
use std::sync::Arc;

use rayon::prelude::*;

use super::pool::Storage;
use super::scalar::CpuScalar;
use crate::Buffer;

/// Elements per task of a loop that does little per element.
pub(super) const CHUNK: usize = 1 << 14;

/// Fills a new buffer chunk by chunk: `fill(first position, chunk)`; in parallel when there is
/// enough of it. A chunk holds anything before, and `fill` overwrites all of it.
pub(super) fn filled<E: CpuScalar>(
    len: usize,
    chunk: usize,
    fill: impl Fn(usize, &mut [E]) + Sync,
) -> Storage<E> {
    let mut out = scratch(len);
    for_chunks(&mut out, chunk, fill);
    out
}

/// Memory for `len` elements, whatever it holds; nothing that makes sense in a debug build.
pub(super) fn scratch<E: CpuScalar>(len: usize) -> Storage<E> {
    let mut out = Storage::stale(len);
    if cfg!(debug_assertions) {
        out.fill(E::nan());
    }
    out
}

/// Visits `out` in chunks of whole multiples of `chunk`, in parallel when there is enough of it.
pub(super) fn for_chunks<E: CpuScalar>(
    out: &mut [E],
    chunk: usize,
    fill: impl Fn(usize, &mut [E]) + Sync,
) {
    share_chunks(out, chunk, &|first, part| {
        wide(
            #[inline(always)]
            || fill(first, part),
        );
    });
}

/// [`for_chunks`], compiled once for all loops: a chunk is long, beside a call.
#[inline(never)]
fn share_chunks<E: CpuScalar>(
    out: &mut [E],
    chunk: usize,
    fill: &(dyn Fn(usize, &mut [E]) + Sync),
) {
    let chunk = chunk.max(1) * (CHUNK / chunk.max(1)).max(1);
    if out.len() <= chunk {
        if !out.is_empty() {
            fill(0, out);
        }
    } else {
        out.par_chunks_mut(chunk).enumerate().for_each(|(at, part)| fill(at * chunk, part));
    }
}

/// Runs a loop that the compiler vectorises with the widest vectors of this machine that it knows;
/// the same bits with any. The closure must be inlined, or it is compiled for any machine.
#[inline(always)]
pub(super) fn wide<R>(work: impl FnOnce() -> R) -> R {
    struct Work<F>(F);
    impl<R, F: FnOnce() -> R> pulp::NullaryFnOnce for Work<F> {
        type Output = R;
        #[inline(always)]
        fn call(self) -> R {
            (self.0)()
        }
    }
    pulp::Arch::new().dispatch(Work(work))
}

/// The elements of a buffer.
///
/// # Panics
/// If the buffer is another backend's, or of another precision.
#[inline]
#[track_caller]
pub(super) fn read<E: CpuScalar>(buf: &Buffer) -> &[E] {
    match buf.memory::<Storage<E>>() {
        Some(memory) => &memory[buf.start()..buf.start() + buf.len()],
        None => foreign::<E>(),
    }
}

/// The elements of a buffer for writing; copies first if the memory is shared.
///
/// # Panics
/// If the buffer is another backend's, or of another precision.
#[track_caller]
pub(super) fn write<E: CpuScalar>(buf: &mut Buffer) -> &mut [E] {
    let (mut start, len) = (buf.start(), buf.len());
    if buf.memory_mut::<Storage<E>>().is_none() {
        let shared = read::<E>(buf);
        let copy = filled(
            len,
            1,
            #[inline(always)]
            |first, copy: &mut [E]| {
                copy.copy_from_slice(&shared[first..first + copy.len()]);
            },
        );
        *buf = wrap(copy);
        start = 0;
    }
    match buf.memory_mut::<Storage<E>>() {
        Some(memory) => &mut memory[start..start + len],
        None => foreign::<E>(),
    }
}

/// The buffer of all elements of some memory.
pub(super) fn wrap<E: CpuScalar>(memory: Storage<E>) -> Buffer {
    let len = memory.len();
    Buffer::new(Arc::new(memory), 0, len)
}

#[cold]
#[track_caller]
fn foreign<E>() -> ! {
    panic!(
        "a buffer of another backend or precision where the CPU's {} is needed",
        type_name::<E>()
    )
}

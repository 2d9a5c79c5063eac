//! Device memory: shared ranges, and the pool that unused memory goes back to.

use std::collections::BTreeMap;
use std::fmt;
use std::marker::PhantomData;
use std::sync::Arc;

use vivit_tensor::Error;

use crate::launch::Mem;
use crate::session::Session;

/// Memory of one session; goes back to the pool with the last range of it.
pub(crate) struct Block {
    mem: Option<Mem>,
    bytes: usize,
    session: Arc<Session>,
}

impl Block {
    pub fn new(mem: Mem, bytes: usize, session: Arc<Session>) -> Self {
        Block { mem: Some(mem), bytes, session }
    }

    pub fn is_of(&self, session: &Arc<Session>) -> bool {
        Arc::ptr_eq(&self.session, session)
    }

    pub fn mem(&self) -> &Mem {
        self.mem.as_ref().expect("taken on drop only")
    }
}

impl Drop for Block {
    fn drop(&mut self) {
        if let Some(mem) = self.mem.take() {
            self.session.take_back(mem, self.bytes);
        }
    }
}

/// A shared range of device memory, or why there is none: the failure of what should have filled
/// it.
#[derive(Clone)]
pub struct Buf<T> {
    pub(crate) block: Result<Arc<Block>, Arc<Error>>,
    pub(crate) start: usize,
    pub(crate) len: usize,
    elem: PhantomData<fn() -> T>,
}

impl<T> Buf<T> {
    pub(crate) fn new(block: Result<Arc<Block>, Arc<Error>>, len: usize) -> Self {
        Buf { block, start: 0, len, elem: PhantomData }
    }

    pub(crate) fn slice(&self, start: usize, len: usize) -> Self {
        Buf { block: self.block.clone(), start: self.start + start, len, elem: PhantomData }
    }
}

impl<T> fmt::Debug for Buf<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "OpenCL buffer ({} elements)", self.len)?;
        if let Err(error) = &self.block { write!(f, ", never filled: {error}") } else { Ok(()) }
    }
}

/// Memory that nobody uses, by size. The queue runs in order, so what was given back may be used at
/// once.
#[derive(Default)]
pub(crate) struct Pool {
    free: BTreeMap<usize, Vec<Mem>>,
    /// Bytes in `free`.
    pub idle: usize,
    /// Bytes handed out.
    pub in_use: usize,
}

impl Pool {
    /// The size that is allocated for `bytes`: eight steps from one power of two to the next, so
    /// that sizes recur.
    pub fn size_for(bytes: usize) -> usize {
        let bytes = bytes.max(256);
        let step = (1 << bytes.ilog2()) / 8;
        bytes.div_ceil(step) * step
    }

    /// Memory of at least `size` bytes, with its size.
    pub fn take(&mut self, size: usize) -> Option<(Mem, usize)> {
        // Up to a quarter more than needed: better than new memory.
        let (&size, list) =
            self.free.range_mut(size..=size + size / 4).find(|(_, list)| !list.is_empty())?;
        self.idle -= size;
        let mem = list.pop();
        if list.is_empty() {
            self.free.remove(&size);
        }
        mem.map(|mem| (mem, size))
    }

    pub fn give(&mut self, mem: Mem, size: usize, limit: usize) {
        if self.idle + size <= limit {
            self.idle += size;
            self.free.entry(size).or_default().push(mem);
        }
    }

    pub fn clear(&mut self) {
        self.free.clear();
        self.idle = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::Pool;

    #[test]
    fn sizes_recur_and_waste_little() {
        for bytes in [0, 1, 255, 256, 257, 1000, 4097, 1_000_000, 123_456_789] {
            let size = Pool::size_for(bytes);
            assert!(size >= bytes && size <= bytes.max(256) * 9 / 8, "{bytes} in {size}");
            assert_eq!(Pool::size_for(size), size);
        }
    }
}

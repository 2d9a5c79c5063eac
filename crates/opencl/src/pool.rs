//! Device memory, and the pool that unused memory goes back to.

use std::collections::BTreeMap;
use std::marker::PhantomData;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::launch::Mem;

/// The memory of one open device, for both precisions.
pub(crate) struct Pool {
    stock: Mutex<Stock>,
    /// Bytes that may lie idle.
    limit: usize,
}

impl Pool {
    /// The pool of a device with that many bytes of memory.
    pub fn new(memory: u64) -> Self {
        // An eighth of the memory may lie idle: enough for the factors of a sweep to follow each
        // other in.
        let limit = usize::try_from(memory / 8).unwrap_or(usize::MAX).max(1 << 28);
        Pool { stock: Mutex::default(), limit }
    }

    pub fn stock(&self) -> MutexGuard<'_, Stock> {
        self.stock.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes memory back that nobody uses any more.
    fn take_back(&self, mem: Mem, size: usize) {
        let mut stock = self.stock();
        stock.in_use -= size;
        if stock.idle + size <= self.limit {
            stock.idle += size;
            stock.free.entry(size).or_default().push(mem);
        }
    }
}

/// Memory that nobody uses, by size. The queue runs in order, so what was given back may be used at
/// once.
#[derive(Default)]
pub(crate) struct Stock {
    free: BTreeMap<usize, Vec<Mem>>,
    /// Bytes in `free`.
    pub idle: usize,
    /// Bytes handed out.
    pub in_use: usize,
}

impl Stock {
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

    pub fn clear(&mut self) {
        self.free.clear();
        self.idle = 0;
    }
}

/// The size that is allocated for `bytes`: eight steps from one power of two to the next, so that
/// sizes recur.
pub(crate) fn size_for(bytes: usize) -> usize {
    let bytes = bytes.max(256);
    let step = (1 << bytes.ilog2()) / 8;
    bytes.div_ceil(step) * step
}

/// Memory of one open device that holds numbers of type `T`; goes back to the pool with the last
/// range of it.
pub(crate) struct Block<T> {
    mem: Option<Mem>,
    bytes: usize,
    pool: Arc<Pool>,
    elem: PhantomData<fn() -> T>,
}

impl<T> Block<T> {
    /// Memory that the pool counts as handed out.
    pub fn new(mem: Mem, bytes: usize, pool: Arc<Pool>) -> Self {
        Block { mem: Some(mem), bytes, pool, elem: PhantomData }
    }

    pub fn is_of(&self, pool: &Arc<Pool>) -> bool {
        Arc::ptr_eq(&self.pool, pool)
    }

    pub fn mem(&self) -> &Mem {
        self.mem.as_ref().expect("taken on drop only")
    }
}

impl<T> Drop for Block<T> {
    fn drop(&mut self) {
        if let Some(mem) = self.mem.take() {
            self.pool.take_back(mem, self.bytes);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::size_for;

    #[test]
    fn sizes_recur_and_waste_little() {
        for bytes in [0, 1, 255, 256, 257, 1000, 4097, 1_000_000, 123_456_789] {
            let size = size_for(bytes);
            assert!(size >= bytes && size <= bytes.max(256) * 9 / 8, "{bytes} in {size}");
            assert_eq!(size_for(size), size);
        }
    }
}

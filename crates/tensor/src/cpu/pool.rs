//! Memory that large arrays leave behind, kept for the next ones.
//!
//! The operating system hands out fresh pages slowly: a sweep that returned every array to it would spend as long in page faults as in
//! arithmetic. What is kept never raises the peak: live and spare memory together stay within the most that was ever live at once.

use std::ops::{Deref, DerefMut};
use std::sync::{Mutex, MutexGuard, PoisonError};

use bytemuck::{AnyBitPattern, NoUninit};
use memmap2::MmapMut;

/// Bytes from which on an array's memory is kept; the allocator is fast below.
const LARGE: usize = 1 << 15;
/// Bytes from which on memory comes from the operating system directly, in pages of [`PAGE`] bytes where there are such.
const MAPPED: usize = 1 << 22;
/// A large page.
const PAGE: usize = 1 << 21;

/// Element types with a pool of their own.
pub trait Pooled: AnyBitPattern + NoUninit + Default + Send + Sync {
    /// The pool.
    fn pool() -> &'static Pool<Self>;
}

macro_rules! pooled {
    ($($elem:ty)*) => { $(impl Pooled for $elem {
        fn pool() -> &'static Pool<Self> {
            static POOL: Pool<$elem> = Pool::new();
            &POOL
        }
    })* };
}
pooled!(f32 f64 u32);

/// Initialised memory.
enum Memory<E> {
    Own(Vec<E>),
    Mapped(MmapMut),
}

impl<E: Pooled> Memory<E> {
    /// Memory for `len` elements at least.
    fn new(len: usize) -> Self {
        let bytes = len * size_of::<E>();
        if bytes >= MAPPED {
            if let Ok(map) = MmapMut::map_anon(bytes.next_multiple_of(PAGE)) {
                // Large pages are a matter of speed only: without them nothing is lost.
                #[cfg(target_os = "linux")]
                let _ = map.advise(memmap2::Advice::HugePage);
                return Memory::Mapped(map);
            }
        }
        Memory::Own(vec![E::default(); len])
    }

    fn elements(&self) -> &[E] {
        match self {
            Memory::Own(own) => own,
            Memory::Mapped(map) => bytemuck::cast_slice(map),
        }
    }

    fn elements_mut(&mut self) -> &mut [E] {
        match self {
            Memory::Own(own) => own,
            Memory::Mapped(map) => bytemuck::cast_slice_mut(map),
        }
    }

    /// Bytes that it takes.
    fn bytes(&self) -> usize {
        match self {
            Memory::Own(own) => own.capacity() * size_of::<E>(),
            Memory::Mapped(map) => map.len(),
        }
    }
}

/// The spare memory for one element type.
pub struct Pool<E>(Mutex<State<E>>);

/// All sizes in bytes.
struct State<E> {
    /// What is kept, the latest last.
    spare: Vec<Memory<E>>,
    kept: usize,
    live: usize,
    most: usize,
}

impl<E: Pooled> State<E> {
    fn remove(&mut self, at: usize) -> Memory<E> {
        let memory = self.spare.remove(at);
        self.kept -= memory.bytes();
        memory
    }
}

impl<E: Pooled> Pool<E> {
    const fn new() -> Self {
        Pool(Mutex::new(State { spare: Vec::new(), kept: 0, live: 0, most: 0 }))
    }

    fn state(&self) -> MutexGuard<'_, State<E>> {
        // Nothing panics half-way through a change.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Spare memory for `len` elements, whatever it holds, if some fits without much waste.
    fn take(&self, len: usize) -> Option<Memory<E>> {
        let mut state = self.state();
        let least = len * size_of::<E>();
        let fits = |spare: &Memory<E>| spare.elements().len() >= len && spare.bytes() <= least + least / 4;
        let best = (0..state.spare.len()).filter(|&at| fits(&state.spare[at])).min_by_key(|&at| state.spare[at].bytes())?;
        let memory = state.remove(best);
        state.live += memory.bytes();
        Some(memory)
    }

    /// Counts fresh memory as live. Spare memory has to go where both together would be more than was ever live.
    fn joined(&self, bytes: usize) {
        let mut state = self.state();
        state.live += bytes;
        state.most = state.most.max(state.live);
        let mut gone = Vec::new();
        while state.live + state.kept > state.most && !state.spare.is_empty() {
            gone.push(state.remove(0));
        }
        drop(state);
    }

    fn left(&self, memory: Memory<E>) {
        let mut state = self.state();
        state.live -= memory.bytes();
        state.kept += memory.bytes();
        state.spare.push(memory);
    }

    /// Returns all spare memory; gives the number of bytes.
    pub fn release(&self) -> usize {
        let mut state = self.state();
        let (gone, bytes) = (std::mem::take(&mut state.spare), state.kept);
        (state.kept, state.most) = (0, state.live);
        drop(state);
        drop(gone);
        bytes
    }
}

/// Elements in memory that comes from the pool and goes back to it.
pub struct Storage<E: Pooled> {
    memory: Memory<E>,
    len: usize,
}

impl<E: Pooled> Storage<E> {
    /// `len` elements of any value: to be overwritten.
    pub fn stale(len: usize) -> Self {
        let kept = if len * size_of::<E>() < LARGE { None } else { E::pool().take(len) };
        let memory = kept.unwrap_or_else(|| Self::counted(Memory::new(len)));
        Storage { memory, len }
    }

    fn counted(memory: Memory<E>) -> Memory<E> {
        if memory.bytes() >= LARGE {
            E::pool().joined(memory.bytes());
        }
        memory
    }
}

impl<E: Pooled> From<Vec<E>> for Storage<E> {
    fn from(data: Vec<E>) -> Self {
        Storage { len: data.len(), memory: Self::counted(Memory::Own(data)) }
    }
}

impl<E: Pooled> Drop for Storage<E> {
    fn drop(&mut self) {
        if self.memory.bytes() >= LARGE {
            E::pool().left(std::mem::replace(&mut self.memory, Memory::Own(Vec::new())));
        }
    }
}

impl<E: Pooled> Deref for Storage<E> {
    type Target = [E];
    #[inline]
    fn deref(&self) -> &[E] {
        &self.memory.elements()[..self.len]
    }
}

impl<E: Pooled> DerefMut for Storage<E> {
    #[inline]
    fn deref_mut(&mut self) -> &mut [E] {
        &mut self.memory.elements_mut()[..self.len]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// (kept, live, most) in bytes.
    fn counts(pool: &Pool<f32>) -> (usize, usize, usize) {
        let state = pool.state();
        assert_eq!(state.kept, state.spare.iter().map(Memory::bytes).sum::<usize>());
        (state.kept, state.live, state.most)
    }

    #[test]
    fn memory_is_kept_within_the_most_that_was_live() {
        let pool = Pool::new();
        let fresh = |len| {
            let memory = Memory::<f32>::new(len);
            pool.joined(memory.bytes());
            memory
        };
        let (small, large) = (fresh(1 << 14), fresh(1 << 20));
        assert_eq!((small.bytes(), large.bytes()), (1 << 16, 1 << 22));
        let most = small.bytes() + large.bytes();
        assert_eq!(counts(&pool), (0, most, most));
        pool.left(large);
        assert_eq!(counts(&pool), (1 << 22, 1 << 16, most));
        assert!(pool.take(1 << 19).is_none(), "twice what is needed is too much");
        assert!(pool.take((1 << 20) + 1).is_none(), "too small");
        let large = pool.take((1 << 20) - 5).expect("fits");
        assert_eq!(counts(&pool), (0, most, most));
        pool.left(small);
        pool.left(large);
        // The oldest goes first, and no more than has to.
        let other = fresh(1 << 14);
        assert_eq!(counts(&pool), (1 << 22, 1 << 16, most));
        pool.left(other);
        assert_eq!(pool.release(), most);
        assert_eq!(counts(&pool), (0, 0, 0));
    }

    #[test]
    fn memory_comes_zeroed_and_in_whole_pages() {
        for len in [1, 1 << 13, (1 << 20) + 1] {
            let memory = Memory::<f64>::new(len);
            assert!(memory.elements().len() >= len && memory.elements().iter().all(|&x| x == 0.0));
        }
        assert_eq!(Memory::<f64>::new((1 << 20) + 1).bytes(), (1 << 23) + PAGE);
    }
}

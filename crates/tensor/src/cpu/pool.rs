//! Memory of arrays: large ones share an [arena](super::kernel::arena), that of smaller ones is
//! kept for the next ones of their kind.

use std::ops::{Deref, DerefMut};
use std::sync::{Mutex, MutexGuard, PoisonError};

use bytemuck::{AnyBitPattern, NoUninit};

use super::kernel::arena::{self, Block};

/// Minimum bytes of an array for which its memory is kept; the allocator is fast below. Not
/// measured.
const MIN_KEPT_BYTES: usize = 1 << 15;
/// Minimum bytes for which memory comes from the arena. Not measured.
const MIN_ARENA_BYTES: usize = 1 << 22;
/// One byte in so many of the most that was live may be live without need: larger memory than an
/// array asks for. Not measured.
const BYTES_PER_WASTED_BYTE: usize = 8;

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

/// Bytes of so many elements.
///
/// # Panics
/// If they are more than can be counted.
fn bytes<E>(len: usize) -> usize {
    len.checked_mul(size_of::<E>()).expect("an array fits the memory")
}

/// Initialised memory.
enum Memory<E> {
    Own(Vec<E>),
    Shared(Block),
}

impl<E: Pooled> Memory<E> {
    /// Memory for `len` elements at least.
    fn new(len: usize) -> Self {
        let bytes = bytes::<E>(len);
        if let Some(block) = (bytes >= MIN_ARENA_BYTES).then(|| Block::new(bytes)).flatten() {
            return Memory::Shared(block);
        }
        Memory::Own(vec![E::default(); len])
    }

    fn elements(&self) -> &[E] {
        match self {
            Memory::Own(own) => own,
            Memory::Shared(block) => bytemuck::cast_slice(block.bytes()),
        }
    }

    fn elements_mut(&mut self) -> &mut [E] {
        match self {
            Memory::Own(own) => own,
            Memory::Shared(block) => bytemuck::cast_slice_mut(block.bytes_mut()),
        }
    }

    /// Bytes that the pool counts: the arena does for itself.
    fn bytes(&self) -> usize {
        match self {
            Memory::Own(own) => own.capacity() * size_of::<E>(),
            Memory::Shared(_) => 0,
        }
    }
}

/// The spare memory for one element type, outside the arena. Live and spare memory together stay
/// within the most that was ever live.
pub struct Pool<E>(Mutex<State<E>>);

/// All sizes in bytes.
struct State<E> {
    /// What is kept, the latest last.
    spare: Vec<Memory<E>>,
    kept: usize,
    live: usize,
    /// Bytes of what is live that its arrays do not need.
    waste: usize,
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
        Pool(Mutex::new(State { spare: Vec::new(), kept: 0, live: 0, waste: 0, most: 0 }))
    }

    fn state(&self) -> MutexGuard<'_, State<E>> {
        // Nothing panics half-way through a change.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Spare memory for `len` elements, whatever it holds: the least that fits. All that is wasted
    /// together stays small beside the peak.
    fn take(&self, len: usize) -> Option<Memory<E>> {
        let mut state = self.state();
        let least = bytes::<E>(len);
        let allowed = least + (state.most / BYTES_PER_WASTED_BYTE).saturating_sub(state.waste);
        let fits = |spare: &Memory<E>| spare.elements().len() >= len && spare.bytes() <= allowed;
        let best = (0..state.spare.len())
            .filter(|&at| fits(&state.spare[at]))
            .min_by_key(|&at| state.spare[at].bytes())?;
        let memory = state.remove(best);
        state.live += memory.bytes();
        state.waste += memory.bytes() - least;
        Some(memory)
    }

    /// Counts fresh memory as live. Spare memory has to go where both together would be more than
    /// was ever live.
    fn joined(&self, memory: &Memory<E>, len: usize) {
        let mut state = self.state();
        state.live += memory.bytes();
        state.waste += memory.bytes() - len * size_of::<E>();
        state.most = state.most.max(state.live);
        let mut gone = Vec::new();
        while state.live + state.kept > state.most && !state.spare.is_empty() {
            gone.push(state.remove(0));
        }
        drop(state);
    }

    fn left(&self, memory: Memory<E>, len: usize) {
        let mut state = self.state();
        state.live -= memory.bytes();
        state.waste -= memory.bytes() - len * size_of::<E>();
        state.kept += memory.bytes();
        state.spare.push(memory);
    }

    /// Returns all spare memory, the arena's too; gives the number of bytes.
    pub fn release(&self) -> usize {
        let mut state = self.state();
        let (gone, bytes) = (std::mem::take(&mut state.spare), state.kept);
        (state.kept, state.most) = (0, state.live);
        drop(state);
        drop(gone);
        bytes + arena::release()
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
        let kept = if bytes::<E>(len) < MIN_KEPT_BYTES { None } else { E::pool().take(len) };
        let memory = kept.unwrap_or_else(|| Self::counted(Memory::new(len), len));
        Storage { memory, len }
    }

    fn counted(memory: Memory<E>, len: usize) -> Memory<E> {
        if memory.bytes() >= MIN_KEPT_BYTES {
            E::pool().joined(&memory, len);
        }
        memory
    }
}

impl<E: Pooled> From<Vec<E>> for Storage<E> {
    fn from(data: Vec<E>) -> Self {
        let len = data.len();
        Storage { len, memory: Self::counted(Memory::Own(data), len) }
    }
}

impl<E: Pooled> Drop for Storage<E> {
    fn drop(&mut self) {
        if self.memory.bytes() >= MIN_KEPT_BYTES {
            E::pool().left(std::mem::replace(&mut self.memory, Memory::Own(Vec::new())), self.len);
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
            pool.joined(&memory, len);
            memory
        };
        let (small, large) = (fresh(1 << 14), fresh(1 << 19));
        assert_eq!((small.bytes(), large.bytes()), (1 << 16, 1 << 21));
        let most = small.bytes() + large.bytes();
        assert_eq!(counts(&pool), (0, most, most));
        pool.left(large, 1 << 19);
        assert_eq!(counts(&pool), (1 << 21, 1 << 16, most));
        assert!(pool.take(1 << 18).is_none(), "half of it would be wasted");
        assert!(pool.take((1 << 19) + 1).is_none(), "too small");
        let large = pool.take((1 << 19) - 5).expect("fits");
        assert_eq!(counts(&pool), (0, most, most));
        assert_eq!(pool.state().waste, 20);
        pool.left(small, 1 << 14);
        pool.left(large, (1 << 19) - 5);
        assert_eq!(pool.state().waste, 0);
        // The oldest goes first, and no more than has to.
        let other = fresh(1 << 14);
        assert_eq!(counts(&pool), (1 << 21, 1 << 16, most));
        pool.left(other, 1 << 14);
        assert!(pool.release() >= most, "and what the arena had");
        assert_eq!(counts(&pool), (0, 0, 0));
    }
}

//! One range of addresses that all large arrays share.
//!
//! The operating system hands out fresh pages slowly: a sweep that returned every array to it would
//! spend as long in page faults as in arithmetic. Pages of dropped arrays are kept for the next
//! ones, cut and joined as they come, but live and kept pages together stay within the most that
//! was ever live at once: what is kept never raises the peak.

use std::sync::atomic::{AtomicPtr, Ordering};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};

use memmap2::{MmapMut, MmapOptions};

use crate::cpu::machine::machine_memory;

/// Bytes of a page: blocks are whole numbers of them. Large pages, where the system has such.
const PAGE_BYTES: usize = 1 << 21;
/// A block counts as large if the most that was live is at most so many times as much. Not
/// measured.
const MAX_PEAK_PER_LARGE_BLOCK: usize = 6;
/// Addresses that are reserved for every byte of the machine's memory: room for gaps. Not measured.
const ADDRESSES_PER_BYTE: usize = 4;

/// The range, reserved at once and for good, and who has what.
struct Arena {
    map: MmapMut,
    /// Where the map begins, as a pointer that may write: taken while nothing else referred to it.
    start: AtomicPtr<u8>,
    state: Mutex<State>,
}

/// All sizes in bytes.
#[derive(Default)]
struct State {
    /// What is free below `end`, by position; neighbours differ in whether pages are kept.
    free: Vec<Gap>,
    /// Everything from here on was never used.
    end: usize,
    live: usize,
    /// Of what is free, what the system has pages for.
    kept: usize,
    most: usize,
}

/// A free part.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Gap {
    at: usize,
    len: usize,
    /// Whether the system has pages for it.
    kept: bool,
}

impl Gap {
    fn end(self) -> usize {
        self.at + self.len
    }
}

impl State {
    /// Takes a block out: from a gap with pages that fits, else from the neighbours that have the
    /// most pages between them, else from what was never used. Small blocks go to the front, large
    /// ones to the back, so that small ones do not cut up what large ones need.
    fn take(&mut self, len: usize, size: usize) -> Option<usize> {
        let large = len >= self.most / MAX_PEAK_PER_LARGE_BLOCK;
        let mut whole =
            (0..self.free.len()).filter(|&gap| self.free[gap].kept && self.free[gap].len >= len);
        let at = if let Some(number) = if large { whole.next_back() } else { whole.next() } {
            let gap = &mut self.free[number];
            gap.len -= len;
            self.kept -= len;
            let at = if large { gap.end() } else { gap.at };
            gap.at += if large { 0 } else { len };
            if gap.len == 0 {
                self.free.remove(number);
            }
            at
        } else if let Some(first) = self.neighbours(len) {
            let at = self.free[first].at;
            self.cut(first, len);
            at
        } else if len <= size - self.end {
            self.end += len;
            self.end - len
        } else {
            return None;
        };
        self.live += len;
        self.most = self.most.max(self.live);
        Some(at)
    }

    /// The first of neighbouring gaps that are `len` together, with the most pages within that
    /// length.
    fn neighbours(&self, len: usize) -> Option<usize> {
        let mut best = None;
        for first in 0..self.free.len() {
            let (mut end, mut pages) = (self.free[first].at, 0);
            for gap in
                self.free[first..].iter().take_while(|gap| gap.at <= self.free[first].at + len)
            {
                if gap.at != end || end - self.free[first].at >= len {
                    break;
                }
                end = gap.end();
                pages += if gap.kept { gap.len } else { 0 };
            }
            if end - self.free[first].at >= len && best.is_none_or(|(_, most)| pages > most) {
                best = Some((first, pages));
            }
        }
        best.map(|(first, _)| first)
    }

    /// Takes `len` out of neighbouring gaps from number `first` on.
    fn cut(&mut self, first: usize, mut len: usize) {
        while len > 0 {
            let gap = &mut self.free[first];
            let part = gap.len.min(len);
            self.kept -= if gap.kept { part } else { 0 };
            (gap.at, gap.len) = (gap.at + part, gap.len - part);
            if gap.len == 0 {
                self.free.remove(first);
            }
            len -= part;
        }
    }

    fn give(&mut self, at: usize, len: usize) {
        self.live -= len;
        self.kept += len;
        self.free_up(Gap { at, len, kept: true });
    }

    /// Adds a gap, joined with neighbours of its kind.
    fn free_up(&mut self, mut gap: Gap) {
        let mut number = self.free.partition_point(|other| other.at < gap.at);
        if self.free.get(number).is_some_and(|next| next.at == gap.end() && next.kept == gap.kept) {
            gap.len += self.free.remove(number).len;
        }
        if number > 0
            && self.free[number - 1].end() == gap.at
            && self.free[number - 1].kept == gap.kept
        {
            number -= 1;
            let before = self.free.remove(number);
            gap = Gap { at: before.at, len: before.len + gap.len, ..gap };
        }
        self.free.insert(number, gap);
    }

    /// The parts whose pages have to go so that no more than `most` are there; they are counted as
    /// gone. The ends of the largest gaps.
    fn excess(&mut self) -> Vec<Gap> {
        let mut gone = Vec::new();
        while self.live + self.kept > self.most {
            let kept = (0..self.free.len()).filter(|&gap| self.free[gap].kept);
            let Some(number) = kept.max_by_key(|&gap| self.free[gap].len) else { break };
            let gap = &mut self.free[number];
            let len = gap.len.min(self.live + self.kept - self.most);
            gap.len -= len;
            let part = Gap { at: gap.end(), len, kept: false };
            if gap.len == 0 {
                self.free.remove(number);
            }
            self.kept -= len;
            self.free_up(part);
            gone.push(part);
        }
        gone
    }
}

impl Arena {
    #[cfg(not(unix))]
    fn drop_pages(&self, _gaps: &[Gap]) {
        unreachable!("there is no arena");
    }

    /// `None` where the system does not reserve addresses for nothing.
    fn get() -> Option<&'static Arena> {
        static ARENA: OnceLock<Option<Arena>> = OnceLock::new();
        let reserve = || {
            if !cfg!(unix) {
                return None;
            }
            let len = machine_memory().checked_mul(ADDRESSES_PER_BYTE)? / PAGE_BYTES * PAGE_BYTES;
            let mut map = MmapOptions::new().len(len).no_reserve_swap().map_anon().ok()?;
            // Large pages are a matter of speed only: without them nothing is lost.
            #[cfg(target_os = "linux")]
            let _ = map.advise(memmap2::Advice::HugePage);
            let start = AtomicPtr::new(map.as_mut_ptr());
            Some(Arena { map, start, state: Mutex::default() })
        };
        ARENA.get_or_init(reserve).as_ref()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Nothing panics half-way through a change.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    #[cfg(unix)]
    fn drop_pages(&self, gaps: &[Gap]) {
        use memmap2::UncheckedAdvice;
        for gap in gaps {
            // SAFETY: the gap belongs to no block, so nothing refers to its pages; whoever gets
            // them next expects any content. The lock is held, so that nobody gets them meanwhile.
            // If the system refuses, the pages just stay.
            let _ = unsafe {
                self.map.unchecked_advise_range(UncheckedAdvice::DontNeed, gap.at, gap.len)
            };
        }
    }
}

/// Memory that no one else has, whatever it holds; it goes back when dropped.
#[derive(Debug)]
pub struct Block {
    at: usize,
    len: usize,
}

impl Block {
    /// Memory for `bytes`; `None` where there is no arena or it is full.
    pub fn new(bytes: usize) -> Option<Block> {
        let len = bytes.checked_next_multiple_of(PAGE_BYTES)?;
        let arena = Arena::get()?;
        let mut state = arena.state();
        let at = state.take(len, arena.map.len())?;
        let gone = state.excess();
        arena.drop_pages(&gone);
        Some(Block { at, len })
    }

    fn start(&self) -> *mut u8 {
        let arena = Arena::get().expect("there is a block of it");
        // SAFETY: blocks lie inside the map, which stays for good.
        unsafe { arena.start.load(Ordering::Relaxed).add(self.at) }
    }

    /// The memory.
    pub fn bytes(&self) -> &[u8] {
        // SAFETY: the block is this one's alone, inside the map, and its pages are initialised:
        // zero at first, then whatever was written.
        unsafe { std::slice::from_raw_parts(self.start(), self.len) }
    }

    /// The memory, to be written.
    pub fn bytes_mut(&mut self) -> &mut [u8] {
        // SAFETY: as above, and this reference to the block is the only one.
        unsafe { std::slice::from_raw_parts_mut(self.start(), self.len) }
    }
}

impl Drop for Block {
    fn drop(&mut self) {
        if let Some(arena) = Arena::get() {
            arena.state().give(self.at, self.len);
        }
    }
}

/// Returns the pages of all free parts to the system; gives the number of bytes.
pub fn release() -> usize {
    let Some(arena) = Arena::get() else { return 0 };
    let mut state = arena.state();
    state.most = state.live;
    let kept = state.kept;
    let gone = state.excess();
    arena.drop_pages(&gone);
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    impl State {
        fn checked(&self) {
            let free = |kept: bool| {
                self.free.iter().filter(|gap| gap.kept == kept).map(|gap| gap.len).sum::<usize>()
            };
            assert_eq!(self.kept, free(true));
            assert_eq!(self.live, self.end - free(true) - free(false));
            assert!(self.live + self.kept <= self.most);
            for pair in self.free.windows(2) {
                let apart = pair[0].end() < pair[1].at
                    || pair[0].end() == pair[1].at && pair[0].kept != pair[1].kept;
                assert!(apart && pair[0].len > 0, "{:?}", self.free);
            }
        }
    }

    #[test]
    fn blocks_are_apart_and_pages_within_the_most_that_was_live() {
        let (mut state, mut blocks, size) = (State::default(), Vec::<(usize, usize)>::new(), 1000);
        let mut random = 1u64;
        for step in 0..20_000 {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            let draw = (random >> 33) as usize;
            if draw % 2 == 0 && !blocks.is_empty() {
                let (at, len) = blocks.swap_remove(draw / 2 % blocks.len());
                state.give(at, len);
            } else if let Some(at) = state.take(draw / 2 % 100 + 1, size) {
                let len = draw / 2 % 100 + 1;
                assert!(
                    at + len <= size
                        && blocks
                            .iter()
                            .all(|&(other, long)| at + len <= other || other + long <= at)
                );
                blocks.push((at, len));
                state.excess();
            }
            state.checked();
            if step % 1000 == 999 {
                blocks.drain(..).for_each(|(at, len)| state.give(at, len));
                state.checked();
                assert_eq!(state.free.iter().map(|gap| gap.len).sum::<usize>(), state.end);
            }
        }
    }

    #[test]
    fn memory_keeps_what_is_written() {
        let mut blocks: Vec<Block> = (1..6).filter_map(|at| Block::new(at * 1_000_000)).collect();
        for (at, block) in blocks.iter_mut().enumerate() {
            block.bytes_mut().fill(at as u8);
        }
        drop(blocks.remove(2));
        release();
        blocks.extend(Block::new(2_500_000));
        for (at, block) in [0, 1, 3, 4].into_iter().zip(&blocks) {
            assert!(block.bytes().iter().all(|&byte| byte == at));
        }
    }
}

//! Reduction of a symmetric band to tridiagonal form, the second of two stages, by bulge chasing.
//!
//! Sweep `s` reflects column `s` to one entry below the diagonal. The reflection acts on `b` rows
//! and columns, and fills a block below the band; of that, only the first column is reflected away,
//! by the next step, which acts on the next `b` rows and columns, and so on to the end of the band
//! (Lang, SIAM J. Sci. Comput. 14 (1993) 1320–1338). What the later columns of the block hold is
//! left to the sweeps that follow. In all that takes `6 n² b` operations.
//!
//! Step `k` of a sweep can follow when the sweep before has done step `k + 1`. Sweeps are therefore
//! taken in groups, each of which works on a [tile](Tile) of some steps of all its sweeps at a
//! time, small enough for the cache. In every round, all groups on their way do one tile each, on
//! columns that don't overlap, as independent tasks (Haidar, Ltaief & Dongarra, SC'11). Tiles and
//! rounds depend on the size of the matrix only.
//!
//! The reflectors of sweep `s` have `n − s − 1` entries in all, and are stored in row `s` right of
//! the diagonal; the first entry of each would be one, and `τ` takes its place.

use pulp::Arch;
use rayon::prelude::*;

use crate::band::Band;
use crate::kernels::Element;
use crate::parallel::PARALLEL;
use crate::tile::Tile;
use crate::tridiagonal::Tridiagonal;

/// Sweeps of a group at most.
const MAX_SWEEPS: usize = 8;
/// Blocks of the band for every sweep of a group: some four groups are on their way then.
const BLOCKS_PER_SWEEP: usize = 16;

/// Number of sweeps that leave a tridiagonal matrix.
pub(crate) fn sweeps(n: usize) -> usize {
    n.saturating_sub(2)
}

/// Which steps are done when.
struct Schedule {
    n: usize,
    width: usize,
    /// Sweeps of a group.
    sweeps: usize,
    /// Steps of a tile.
    steps: isize,
    /// Steps by which a group lags behind the one before, at least.
    lag: isize,
}

impl Schedule {
    fn new(n: usize, width: usize) -> Self {
        let sweeps = (n / width / BLOCKS_PER_SWEEP).clamp(1, MAX_SWEEPS);
        let steps = 2 * sweeps as isize;
        Schedule { n, width, sweeps, steps, lag: steps + sweeps as isize + 1 }
    }

    /// The first step that a group's first sweep does in a round; sweeps that follow are one step
    /// behind each.
    fn position(&self, group: usize, round: usize) -> isize {
        round as isize * self.steps - group as isize * self.lag
    }

    /// Whether a group is at its end before a round.
    fn finished(&self, group: usize, round: usize) -> bool {
        let steps = (self.n - group * self.sweeps - 1).div_ceil(self.width) + self.sweeps - 1;
        self.position(group, round) >= steps as isize
    }

    /// The columns that a group's tile touches.
    fn columns(&self, group: usize, round: usize) -> std::ops::Range<usize> {
        let (first, position) = (group * self.sweeps, self.position(group, round));
        let start = match usize::try_from(position - self.sweeps as isize) {
            Ok(blocks) => first + self.sweeps + blocks * self.width,
            Err(_) => first,
        };
        let blocks = usize::try_from(position + self.steps).expect("groups on their way do steps");
        let end = self.n.min(first + 1 + blocks * self.width);
        start.min(end)..end
    }
}

/// Reduces a band and writes the reflectors right of the diagonal of `v: [n, n]`.
pub(crate) fn reduce<E: Element>(band: &mut Band<E>, v: &mut [E]) -> Tridiagonal {
    let (n, width) = (band.n, band.width);
    let schedule = Schedule::new(n, width);
    let groups = sweeps(n).div_ceil(schedule.sweeps);
    let room = schedule.sweeps * n;
    let mut first = 0;
    for round in 0.. {
        while first < groups && schedule.finished(first, round) {
            first += 1;
        }
        if first == groups {
            break;
        }
        let on_their_way = (first..groups)
            .take_while(|&group| schedule.position(group, round) + schedule.steps > 0)
            .zip(v[first * room..sweeps(n) * n].chunks_mut(room));
        let mut left = &mut band.entries[..];
        let mut tiles = Vec::new();
        for (group, rows) in on_their_way {
            let columns = schedule.columns(group, round);
            let (before, from) = left.split_at_mut(2 * width * columns.start);
            left = before;
            tiles.push(Tile {
                n,
                width,
                first: group * schedule.sweeps,
                position: schedule.position(group, round),
                steps: schedule.steps,
                start: columns.start,
                band: &mut from[..2 * width * columns.len()],
                rows,
            });
        }
        let run = |tile: Tile<E>| Arch::new().dispatch(tile);
        if n < PARALLEL {
            tiles.into_iter().for_each(run);
        } else {
            tiles.into_par_iter().with_max_len(1).for_each(run);
        }
    }
    let column = |j: usize| &band.entries[2 * width * j..];
    Tridiagonal {
        d: (0..n).map(|j| column(j)[0].f64()).collect(),
        e: (0..n.saturating_sub(1)).map(|j| column(j)[1].f64()).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Steps of a sweep.
    fn steps(n: usize, width: usize, sweep: usize) -> usize {
        (n - sweep - 1).div_ceil(width)
    }

    /// Plays a schedule: every step of every sweep is done once, after the steps that it needs, and
    /// the tiles of a round touch no column twice and nothing outside their columns.
    fn play(n: usize, width: usize) {
        let schedule = Schedule::new(n, width);
        let mut done = vec![0; sweeps(n)];
        let groups = sweeps(n).div_ceil(schedule.sweeps);
        for round in 0.. {
            let mut free = n;
            for group in 0..groups {
                let (position, first) = (schedule.position(group, round), group * schedule.sweeps);
                if schedule.finished(group, round) || position + schedule.steps <= 0 {
                    continue;
                }
                let columns = schedule.columns(group, round);
                assert!(columns.end <= free, "n = {n}, round {round}, group {group}");
                free = columns.start;
                for s in first..sweeps(n).min(first + schedule.sweeps) {
                    let from = position - (s - first) as isize;
                    let end = (steps(n, width, s) as isize).min(from + schedule.steps);
                    for k in from.max(0) as usize..end.max(0) as usize {
                        assert_eq!(done[s], k, "n = {n}, sweep {s}");
                        let before = s.checked_sub(1).map(|s| (done[s], steps(n, width, s)));
                        assert!(before.is_none_or(|(done, all)| done >= all.min(k + 2)));
                        let touched = if k == 0 { s } else { s + 1 + (k - 1) * width };
                        assert!(touched >= columns.start);
                        assert!(n.min(s + 1 + (k + 1) * width) <= columns.end);
                        done[s] = k + 1;
                    }
                }
            }
            if done.iter().enumerate().all(|(s, &done)| done == steps(n, width, s)) {
                return;
            }
            assert!(round < 10 * n, "n = {n}: steps are left out");
        }
    }

    #[test]
    fn every_step_comes_after_those_that_it_needs() {
        for n in [3, 10, 64, 65, 66, 130, 400, 1000] {
            play(n, 64);
        }
        for (n, width) in [(300, 4), (1000, 8), (777, 16)] {
            play(n, width);
        }
    }
}

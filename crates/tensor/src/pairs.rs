//! The contraction of pairs of samples through their positions.

use crate::shape::{checked_size, last_position};

/// `C[v, n, w, m] += a Σ_{g, t, t′, o} L[v, n, g, t, o] K[g, (m, t′), (n, t)] R[w, m, g, t′, o]`
///
/// with a = 1; or, where the sides are parts of the same samples (`symmetric`), a = 1 for every
/// pair of which the left sample comes later, 1/2 for a sample with itself, and 0 for the others:
/// `C + Cᵀ` is the whole then.
///
/// All arrays are contiguous: `L: [V, N, G, T, O]`, `R: [W, M, G, T, O]`, `K: [G, seen · T, N ·
/// T]`; how positions and samples follow each other in a line of K, `line` says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PositionPairs {
    /// V and W.
    pub columns: [usize; 2],
    /// N and M.
    pub samples: [usize; 2],
    /// The samples of the right that take part, the first ones.
    pub seen: usize,
    /// G.
    pub groups: usize,
    /// T.
    pub positions: usize,
    /// O.
    pub features: usize,
    /// In a line of K, the distances of positions and of samples.
    pub line: [usize; 2],
    /// The numbers of the first samples of both sides.
    pub first: [usize; 2],
    /// Whether both sides are parts of the same samples.
    pub symmetric: bool,
    /// In C, the distances of columns v, samples n, columns w and samples m; sample number 0 of
    /// both sides is at its beginning.
    pub place: [usize; 4],
}

impl PositionPairs {
    /// Checks that every access stays inside buffers of the given lengths and that no two entries
    /// of C coincide.
    ///
    /// # Panics
    /// If not.
    #[track_caller]
    pub fn check(&self, k: usize, left: usize, right: usize, c: usize) {
        let ([v, w], [n, m]) = (self.columns, self.samples);
        assert!(self.seen <= m, "{} of {m} samples take part: {self:?}", self.seen);
        // What is more than can be counted is more than there is.
        let holds = |len: usize, axes: &[usize]| checked_size(axes).is_some_and(|size| size <= len);
        let (g, t, o) = (self.groups, self.positions, self.features);
        assert!(holds(k, &[g, self.seen, t, n, t]), "K has {k} entries: {self:?}");
        let line = last_position(0, [(t.max(1), self.line[0]), (n.max(1), self.line[1])]);
        let inside = |line: usize| checked_size(&[n, t]).is_some_and(|len| line < len.max(1));
        assert!(line.is_some_and(inside), "lines of K are shorter: {self:?}");
        assert!(
            holds(left, &[v, n, g, t, o]) && holds(right, &[w, m, g, t, o]),
            "the factors have {left} and {right} entries: {self:?}"
        );
        let lens = [v, n, w, self.seen];
        let last = || {
            // A first number leads as far as the last of one sample more.
            let [n, m] = self.first;
            let first = [(n.checked_add(1)?, self.place[1]), (m.checked_add(1)?, self.place[3])];
            last_position(0, lens.map(|len| len.max(1)).into_iter().zip(self.place).chain(first))
        };
        assert!(last().is_some_and(|last| last < c), "C has {c} entries: {self:?}");
        let mut axes: Vec<(usize, usize)> =
            self.place.into_iter().zip(lens).filter(|&(_, len)| len > 1).collect();
        axes.sort_unstable();
        // No more than the last place, which is inside C.
        let mut covered = 1;
        for (distance, len) in axes {
            assert!(distance >= covered, "entries of C coincide: {self:?}");
            covered += distance * (len - 1);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pairs() -> PositionPairs {
        PositionPairs {
            columns: [2, 3],
            samples: [4, 5],
            seen: 3,
            groups: 2,
            positions: 6,
            features: 7,
            line: [1, 6],
            first: [0, 0],
            symmetric: false,
            place: [60, 15, 5, 1],
        }
    }

    fn check(p: &PositionPairs) {
        p.check(2 * 3 * 6 * 4 * 6, 2 * 4 * 2 * 6 * 7, 3 * 5 * 2 * 6 * 7, 120);
    }

    #[track_caller]
    fn refused(p: PositionPairs, why: &str) {
        let message = *std::panic::catch_unwind(|| check(&p))
            .expect_err("must be refused")
            .downcast::<String>()
            .expect("a message");
        assert!(message.contains(why), "{message}");
    }

    #[test]
    fn what_fits_passes() {
        check(&pairs());
        check(&PositionPairs { line: [4, 1], ..pairs() });
        refused(PositionPairs { seen: 6, ..pairs() }, "6 of 5 samples");
        refused(PositionPairs { first: [0, 3], ..pairs() }, "C has");
        refused(PositionPairs { place: [60, 15, 4, 3], ..pairs() }, "coincide");
    }

    #[test]
    fn huge_numbers_are_refused_not_wrapped() {
        // In wrapping arithmetic each of these is a small number.
        let (half, root) = (usize::MAX / 2 + 1, 1 << (usize::BITS / 2));
        refused(PositionPairs { groups: half, ..pairs() }, "K has");
        refused(PositionPairs { positions: root, ..pairs() }, "K has");
        refused(PositionPairs { features: half, ..pairs() }, "factors");
        refused(PositionPairs { columns: [half, 3], ..pairs() }, "factors");
        refused(PositionPairs { samples: [half, 5], ..pairs() }, "K has");
        refused(PositionPairs { line: [usize::MAX, 6], ..pairs() }, "lines");
        refused(PositionPairs { line: [1, usize::MAX / 3 + 1], ..pairs() }, "lines");
        for number in [half, usize::MAX] {
            refused(PositionPairs { first: [number, 0], ..pairs() }, "C has");
            refused(PositionPairs { first: [0, number], ..pairs() }, "C has");
            for axis in 0..4 {
                let mut place = pairs().place;
                place[axis] = number;
                refused(PositionPairs { place, ..pairs() }, "C has");
            }
        }
    }
}

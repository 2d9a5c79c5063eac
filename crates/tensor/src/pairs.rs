//! The contraction of pairs of samples through their positions.

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
        let ([v, w], [n, m], at) =
            (self.columns, self.samples, self.groups * self.positions * self.features);
        assert!(self.seen <= m, "{} of {m} samples take part: {self:?}", self.seen);
        assert!(
            k >= self.groups * self.seen * n * self.positions.pow(2),
            "K has {k} entries: {self:?}"
        );
        let line = (self.positions.max(1) - 1) * self.line[0] + (n.max(1) - 1) * self.line[1];
        assert!(line < (n * self.positions).max(1), "lines of K are shorter: {self:?}");
        assert!(
            left >= v * n * at && right >= w * m * at,
            "the factors have {left} and {right} entries: {self:?}"
        );
        let lens = [v, n, w, self.seen];
        let last: usize =
            lens.iter().zip(self.place).map(|(len, distance)| (len.max(&1) - 1) * distance).sum();
        let first = self.first[0] * self.place[1] + self.first[1] * self.place[3];
        assert!(c > first + last, "C has {c} entries: {self:?}");
        let mut axes: Vec<(usize, usize)> =
            self.place.into_iter().zip(lens).filter(|&(_, len)| len > 1).collect();
        axes.sort_unstable();
        let mut covered = 1;
        for (distance, len) in axes {
            assert!(distance >= covered, "entries of C coincide: {self:?}");
            covered += distance * (len - 1);
        }
    }
}

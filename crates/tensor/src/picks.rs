//! Entries chosen along an axis by a list of positions.

/// How the entries of `y: [C, N, outer, picks, inner]` are chosen from those of `x: [C, N, outer,
/// axis, inner]`:
///
/// ```text
/// y[c, n, o, p, i] = x[c, n, o, index[n, p], i]          (or, per entry, index[n, o, p, i])
/// ```
///
/// C are columns that share the positions, N samples.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AxisPicks {
    /// C.
    pub columns: usize,
    /// N.
    pub samples: usize,
    /// Whether x has the sample axis; without it all samples choose from `x: [C, outer, axis,
    /// inner]`, and the adjoint sums over samples.
    pub own_source: bool,
    /// Whether the positions have the sample axis; without it they are those of every sample.
    pub own_index: bool,
    /// Whether there is a position for every entry, `[N, outer, picks, inner]`, instead of `[N,
    /// picks]`.
    pub per_entry: bool,
    /// Entries around the axis.
    pub outer: usize,
    /// Length of the axis in x.
    pub axis: usize,
    /// Length of the axis in y.
    pub picks: usize,
    /// Entries inside the axis.
    pub inner: usize,
}

impl AxisPicks {
    /// The same `picks` positions along the middle axis of `[outer, axis, inner]`.
    pub fn along([outer, axis, inner]: [usize; 3], picks: usize) -> Self {
        AxisPicks {
            columns: 1,
            samples: 1,
            own_source: true,
            own_index: false,
            per_entry: false,
            outer,
            axis,
            picks,
            inner,
        }
    }

    /// Samples of x.
    pub fn source_samples(&self) -> usize {
        if self.own_source { self.samples } else { 1 }
    }

    /// Entries of x.
    pub fn source_len(&self) -> usize {
        self.columns * self.source_samples() * self.outer * self.axis * self.inner
    }

    /// Entries of y.
    pub fn picked_len(&self) -> usize {
        self.columns * self.samples * self.outer * self.picks * self.inner
    }

    /// Number of positions.
    pub fn index_len(&self) -> usize {
        let samples = if self.own_index { self.samples } else { 1 };
        samples * self.picks * if self.per_entry { self.outer * self.inner } else { 1 }
    }

    /// Checks the lengths of x or y, and of the positions.
    ///
    /// # Panics
    /// If they are not what this describes.
    #[track_caller]
    pub fn check(&self, source: Option<usize>, picked: Option<usize>, index: usize) {
        let fits = source.is_none_or(|len| len == self.source_len())
            && picked.is_none_or(|len| len == self.picked_len())
            && index == self.index_len();
        assert!(fits, "{source:?} or {picked:?} entries and {index} positions for {self:?}");
    }
}

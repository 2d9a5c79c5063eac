//! What convolutions are described by, besides their windows.

use std::ops::Range;

use crate::{Gemm, Strides, Window};

/// Channel counts of a convolution.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConvDims {
    /// Number of groups.
    pub groups: usize,
    /// In-channels per group.
    pub c: usize,
    /// Out-channels per group.
    pub o: usize,
}

/// The products of factors at a convolution's output, `s: [V, N, G·O, windows]`, with what its
/// windows see of the input, `x: [N, G·C, *input]`: `[V, samples, G, rows, C·kernel]`, or `[V, G,
/// rows, C·kernel]` summed over samples:
///
/// `Σ_t s[v, n, g, o, t] · x[n, g, c, what kernel element k sees in window t]`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConvWeights {
    /// V.
    pub columns: usize,
    /// Samples that s and x hold.
    pub held: usize,
    /// The samples that count.
    pub samples: Range<usize>,
    /// The out-channels of each group that count.
    pub rows: Range<usize>,
    /// Whether products are summed over samples.
    pub summed: bool,
    /// The channels.
    pub dims: ConvDims,
    /// The windows.
    pub window: Window,
}

impl ConvWeights {
    /// `C·kernel`: what a window sees.
    pub fn features(&self) -> usize {
        self.dims.c * self.window.kernel_len()
    }

    /// Numbers in the result.
    pub fn len(&self) -> usize {
        let samples = if self.summed { 1 } else { self.samples.len() };
        self.columns * samples * self.dims.groups * self.rows.len() * self.features()
    }

    /// Whether there is nothing to compute.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The product of s with the unfolded input of the samples that count, `[samples, G, C·kernel,
    /// windows]`.
    pub fn gemm(&self) -> Gemm {
        self.gemm_of(self.samples.clone())
    }

    /// The part of [`gemm`](ConvWeights::gemm) that belongs to some of the samples that count, with
    /// the unfolded input of these alone. If products are summed, it is added to what is there
    /// unless the samples are the first ones.
    ///
    /// # Panics
    /// If other samples are among them.
    pub fn gemm_of(&self, some: Range<usize>) -> Gemm {
        let (first, last) = (self.samples.start, self.samples.end);
        assert!(first <= some.start && some.end <= last, "samples {some:?} of {:?}", self.samples);
        let (g, m, t, i) =
            (self.dims.groups, self.rows.len(), self.window.output_len(), self.features());
        let (n, all) = (some.len(), self.samples.len());
        let (st, zt) = (self.dims.o * t, i * t);
        let a = Strides::rows(t).at(some.start * g * st + self.rows.start * t);
        let product = Gemm { a, b: Strides::transposed(t), ..Gemm::new(m, i, t) };
        let product =
            if self.summed {
                let product = Gemm { accumulate: some.start > first, ..product };
                product
                    .batch(self.columns, self.held * g * st, 0, g * m * i)
                    .batch(g, st, zt, m * i)
                    .batch(n, g * st, g * zt, 0)
            } else {
                // Columns innermost: they share what the windows see.
                let c = product.c.at((some.start - first) * g * m * i);
                Gemm { c, ..product }
                    .batch(n, g * st, g * zt, g * m * i)
                    .batch(g, st, zt, m * i)
                    .batch(self.columns, self.held * g * st, 0, all * g * m * i)
            };
        product.skipping_zeros()
    }
}

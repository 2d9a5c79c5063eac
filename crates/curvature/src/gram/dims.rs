//! What is contracted with what, and how many samples are worked on at a time.

use vivit_autodiff::OuterDims;

/// Which entries of a block are computed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum GramBlock {
    /// `VᵀV`: the lower half.
    Symmetric,
    /// `VᵀW`.
    Between,
    /// `V_cᵀ W_c`, column by column.
    ByColumn,
}

/// The dimensions of a contraction: two sides with columns and samples each, and what they share.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ContractionDims {
    /// Which entries are computed.
    pub block: GramBlock,
    /// The left side's dimensions.
    pub left: OuterDims,
    /// The right side's columns, those of the left if symmetric or by column.
    pub columns: usize,
    /// The right side's samples, those of the left if symmetric.
    pub samples: usize,
}

impl ContractionDims {
    /// `VᵀV`.
    pub fn symmetric(dims: OuterDims) -> Self {
        ContractionDims {
            block: GramBlock::Symmetric,
            left: dims,
            columns: dims.v,
            samples: dims.n,
        }
    }

    /// `VᵀW` with a right side of `columns` columns and `samples` samples.
    pub fn between(left: OuterDims, columns: usize, samples: usize) -> Self {
        ContractionDims { block: GramBlock::Between, left, columns, samples }
    }

    /// `V_cᵀ W_c` with a right side of as many columns and `samples` samples.
    pub fn by_column(left: OuterDims, samples: usize) -> Self {
        ContractionDims { block: GramBlock::ByColumn, left, columns: left.v, samples }
    }

    /// The same with the side of fewer columns on the left.
    pub(super) fn narrow_first(self) -> Self {
        if self.columns >= self.left.v {
            return self;
        }
        let left = OuterDims { v: self.columns, n: self.samples, ..self.left };
        ContractionDims { left, columns: self.left.v, samples: self.left.n, ..self }
    }

    /// Entries of the parameter.
    pub(super) fn entries(&self) -> usize {
        self.left.g * self.left.o * self.left.i
    }

    /// Rows of V that are expanded: both sides', once if they are the same.
    pub(super) fn rows(&self) -> usize {
        let left = self.left.v * self.left.n;
        if self.block == GramBlock::Symmetric { left } else { left + self.columns * self.samples }
    }

    /// Entries of the block that are computed.
    pub(super) fn products(&self) -> f64 {
        let [v, n, w, m] = [self.left.v, self.left.n, self.columns, self.samples].map(|x| x as f64);
        match self.block {
            GramBlock::Symmetric => v * n * (v * n + 1.0) / 2.0,
            GramBlock::Between => v * n * w * m,
            GramBlock::ByColumn => v * n * m,
        }
    }

    /// Out-features that are expanded at a time.
    pub(super) fn slice(&self, limit: usize) -> usize {
        (limit / (self.rows() * self.left.g * self.left.i).max(1)).clamp(1, self.left.o.max(1))
    }
}

/// Numbers of K or of expanded samples from which on more of them no longer make a faster product.
/// Not measured.
const MAX_BLOCK_NUMBERS: usize = 1 << 21;
/// Numbers of P per tile: little enough to stay in a cache until they are contracted. Not measured.
const MAX_TILE_NUMBERS: usize = 1 << 19;
/// Samples n that share the factors of the samples m of a tile, while these are in the cache.
const MAX_TILE_SAMPLES: usize = 8;

/// How many samples are worked on at a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Tiles {
    /// Samples m whose factors are held.
    pub chunk: usize,
    /// Samples n whose K or V is held.
    pub block: usize,
    /// Samples n and m of a tile.
    pub tile: [usize; 2],
    /// Numbers held at most.
    pub numbers: usize,
}

impl Tiles {
    pub fn positions(dims: &ContractionDims, limit: usize) -> Self {
        let t = dims.left.t;
        Tiles::new(dims, limit, dims.left.g * t * t, 0)
    }

    pub fn one_side(dims: &ContractionDims, limit: usize) -> Self {
        let d = dims.narrow_first().left;
        Tiles::new(dims, limit, 0, d.v * d.g * d.o * d.i)
    }

    /// Half of the limit for a chunk, a quarter for a block that holds `per_pair` and `per_sample`
    /// numbers, a quarter for P.
    fn new(dims: &ContractionDims, limit: usize, per_pair: usize, per_sample: usize) -> Self {
        let dims = dims.narrow_first();
        let (d, m) = (dims.left, dims.samples);
        let [left, right] =
            [d.v, dims.columns].map(|columns| d.g * d.t * (columns * d.o + d.input_numbers()));
        let p = d.v * d.g * d.t * d.o;
        let at_most = |numbers: usize, each: usize, most: usize| {
            (numbers / each.max(1)).clamp(1, most.max(1))
        };
        let chunk = at_most(limit / 2, right, at_most(limit / 4, per_pair, m));
        let held = per_sample + chunk * per_pair;
        let block = at_most(limit / 4, left + held, at_most(MAX_BLOCK_NUMBERS, held, d.n));
        let pairs = at_most((limit / 4).min(MAX_TILE_NUMBERS), p, usize::MAX);
        // On the diagonal of a symmetric block, tiles are computed in full: an eighth too much at
        // most.
        let most =
            if dims.block == GramBlock::Symmetric { d.n.div_ceil(8).min(block) } else { block };
        let tile_n = at_most(pairs, 1, most.min(MAX_TILE_SAMPLES));
        let tile = [tile_n, at_most(pairs, tile_n, chunk)];
        let numbers = chunk * right + block * (left + held) + tile[0] * tile[1] * p;
        Tiles { chunk, block, tile, numbers }
    }
}

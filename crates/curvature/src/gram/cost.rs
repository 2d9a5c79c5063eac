//! What each contraction order costs, from dimensions alone, and the choice of the cheapest.
//!
//! Times are compared in multiply-adds of a large matrix product. A number that is written or read
//! once in between counts as [`MULTIPLY_ADDS_PER_MOVE`] of them, a product for a single pair of
//! samples as [`MULTIPLY_ADDS_PER_START`] more.

use std::fmt;

use vivit_autodiff::OuterDims;

use super::dims::{ContractionDims, GramBlock, Tiles};

/// Multiply-adds of a large product that take as long as writing or reading one number: the ratio
/// of a core's arithmetic (some 50 G/s in f32) to what it streams from its outer caches (some 6 G
/// numbers/s), rounded. Estimated, not fitted.
const MULTIPLY_ADDS_PER_MOVE: f64 = 8.0;

/// Multiply-adds of a large product that take as long as starting a small one: some tenth of a
/// microsecond. Estimated, too.
const MULTIPLY_ADDS_PER_START: f64 = 4096.0;

/// Default of [`Contraction::memory`].
const DEFAULT_MEMORY_BYTES: usize = 1 << 26;

/// In which order the Gram block of one parameter is contracted.
///
/// With `V[v, n] = Σ_t s[v, n, t] ⊗ z[n, t]` (O × I entries, T positions; groups add up), for each
/// pair of samples n and m, with V and W columns:
///
/// | order | products | multiply-adds per pair |
/// | --- | --- | --- |
/// | `Expand` | V, some out-features at a time, and `VᵀV` | `V·W·O·I`, and `V·T·O·I` per sample |
/// | `Positions` | `K = z_n z_mᵀ`, `P = Kᵀ s_n`, `⟨P, s_m⟩` | `I·T² + V·O·T² + V·W·O·T` |
/// | `OneSide` | `V_n`, `P = z_m V_nᵀ`, `⟨P, s_m⟩` | `V·T·O·I + V·W·O·T`; `V·T·O·I` per sample |
/// | `Factors` (T = 1) | `⟨s_n, s_m⟩⟨z_n, z_m⟩` | `V·W·O + I` |
///
/// `OneSide` can be the cheapest of them only if V·O < W, for one gradient against many columns of
/// a layer of few out-features: else it takes less than `Expand` only where `Positions` takes less
/// than either. The mirror of `OneSide`, which contracts `V_n` with `s_m` first, takes `V·W·T·O·I`
/// and so never less than `Expand`.
///
/// Of a one-hot z (embeddings) the numbers of rows are kept and compared: in `Positions` and
/// `Factors` the I of the table is 1, and there is no `OneSide`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ContractionOrder {
    /// Products of the factors' products; only with one position per sample.
    Factors,
    /// V is expanded, some out-features at a time.
    Expand,
    /// Both sides are contracted over positions, pair by pair of samples.
    Positions,
    /// One side is expanded, and contracted with the other's factors.
    OneSide,
    /// The whole of the parameter's V, without regard to its structure: the only way where there is
    /// none.
    Raw,
}

impl ContractionOrder {
    /// Every order.
    pub const ALL: [ContractionOrder; 5] =
        [Self::Factors, Self::Expand, Self::Positions, Self::OneSide, Self::Raw];

    /// Whether a parameter of such a structure can be contracted in this order.
    fn fits(self, dims: OuterDims) -> bool {
        match self {
            Self::Factors => dims.t == 1,
            // Products with the rows of z are choices.
            Self::OneSide => !dims.one_hot,
            _ => true,
        }
    }
}

impl fmt::Display for ContractionOrder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Factors => "factors",
            Self::Expand => "expand",
            Self::Positions => "positions",
            Self::OneSide => "one side",
            Self::Raw => "raw",
        })
    }
}

vivit_tensor::options! {
    /// How contraction orders are chosen, and how much memory they work in. The choice costs time
    /// only: results agree up to rounding.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct Contraction {
        /// The order of every parameter that can be contracted in it; the others', and everyone's
        /// if `None`, is the cheapest. Default: `None`.
        pub order: Option<ContractionOrder> = None,
        /// Bytes of memory for one parameter's intermediate products. More are taken where not even
        /// the smallest blocks fit. Default: 64 MiB.
        pub memory: usize = DEFAULT_MEMORY_BYTES,
    }
}

impl Contraction {
    /// Every parameter in the given order, if it can be contracted in it.
    pub fn forced(order: ContractionOrder) -> Self {
        Self::default().order(Some(order))
    }

    /// The order for a block of the given dimensions, and its cost, for numbers of `size` bytes.
    ///
    /// The cheapest one of those that fit into the memory, or the one that needs least if none
    /// does.
    pub fn choose(
        &self,
        dims: &ContractionDims,
        size: usize,
    ) -> (ContractionOrder, ContractionCost) {
        let cost = |order| Some((order, dims.cost(order, size, self.memory)?));
        if let Some(forced) = self.order.and_then(cost) {
            return forced;
        }
        let all = || {
            ContractionOrder::ALL
                .into_iter()
                .filter(|&order| order != ContractionOrder::Raw)
                .filter_map(cost)
        };
        let cheapest = all()
            .filter(|(_, cost)| cost.bytes <= self.memory)
            .min_by(|(_, a), (_, b)| a.equivalents().total_cmp(&b.equivalents()));
        cheapest
            .or_else(|| all().min_by_key(|(_, cost)| cost.bytes))
            .expect("every structure can be expanded")
    }
}

impl ContractionDims {
    /// What the contraction costs in the given order with numbers of `size` bytes, if blocks are
    /// cut to fit into `memory` bytes; `None` if it can't be done in that order.
    ///
    /// Multiply-adds are those of the table at [`ContractionOrder`]; of symmetric blocks those of
    /// one half.
    pub fn cost(
        &self,
        order: ContractionOrder,
        size: usize,
        memory: usize,
    ) -> Option<ContractionCost> {
        if !order.fits(self.left) {
            return None;
        }
        let limit = memory / size;
        let dims = self.narrow_first();
        let symmetric = self.block == GramBlock::Symmetric;
        let (d, m) = (dims.left, dims.samples);
        let z = d.input_numbers();
        let [v, n, g, t, o, i] = [d.v, d.n, d.g, d.t, d.o, z].map(|x| x as f64);
        let pairs = if symmetric { n * (n + 1.0) / 2.0 } else { n * m as f64 };
        // Columns that a column meets.
        let met = if self.block == GramBlock::ByColumn { 1.0 } else { dims.columns as f64 };
        let (rows, entries) = (self.rows() as f64, self.entries() as f64);
        let ends = v * met * t * o;
        let (multiply_adds, moved, numbers, matrices) = match order {
            ContractionOrder::Raw => {
                let numbers = self.rows() * self.entries();
                (self.products() * entries, 2.0 * rows * entries, numbers, 0)
            }
            ContractionOrder::Expand => {
                let multiply_adds = rows * t * g * o * i + self.products() * entries;
                let slice = self.rows() * d.g * d.i;
                (multiply_adds, 2.0 * rows * entries, slice * self.slice(limit), 0)
            }
            ContractionOrder::Factors => {
                let products = if symmetric { (v * n).powi(2) } else { self.products() };
                let copies =
                    if d.g == 1 { 0 } else { self.rows() * d.g * d.o + (d.n + m) * d.g * z };
                (
                    g * (self.products() * o + n * m as f64 * i + products),
                    3.0 * g * products,
                    d.n * m + copies,
                    1,
                )
            }
            ContractionOrder::Positions => {
                let multiply_adds = pairs * g * (i * t * t + v * o * t * t + ends);
                let moved = pairs * g * (2.0 * t * t + (2.0 * v + met) * t * o);
                (
                    multiply_adds,
                    moved,
                    Tiles::positions(self, limit).numbers,
                    usize::from(symmetric),
                )
            }
            ContractionOrder::OneSide => {
                let multiply_adds = v * n * t * entries + pairs * g * (v * t * o * i + ends);
                let moved = 2.0 * v * n * entries + pairs * g * (2.0 * v + met) * t * o;
                (multiply_adds, moved, Tiles::one_side(self, limit).numbers, usize::from(symmetric))
            }
        };
        let by_pair = matches!(order, ContractionOrder::Positions | ContractionOrder::OneSide);
        let started = if by_pair { pairs * g } else { 0.0 };
        Some(ContractionCost {
            multiply_adds,
            moved,
            started,
            bytes: numbers.saturating_mul(size),
            matrices,
        })
    }
}

/// What a contraction costs.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct ContractionCost {
    /// Multiply-adds.
    pub multiply_adds: f64,
    /// Numbers that are written or read in between.
    pub moved: f64,
    /// Small products, for a single pair of samples and a group.
    pub started: f64,
    /// Bytes of intermediate products at a time.
    pub bytes: usize,
    /// Matrices of the Gram block's own size that are needed besides; not part of `bytes`. All
    /// parameters of a group share them.
    pub matrices: usize,
}

impl ContractionCost {
    /// The time, in multiply-adds of a large matrix product: what orders are compared by.
    pub fn equivalents(&self) -> f64 {
        self.multiply_adds
            + MULTIPLY_ADDS_PER_MOVE * self.moved
            + MULTIPLY_ADDS_PER_START * self.started
    }

    /// One contraction after another.
    pub(crate) fn and(self, other: Self) -> Self {
        ContractionCost {
            multiply_adds: self.multiply_adds + other.multiply_adds,
            moved: self.moved + other.moved,
            started: self.started + other.started,
            bytes: self.bytes.max(other.bytes),
            matrices: self.matrices.max(other.matrices),
        }
    }
}

//! What micro-kernels are told, and the tables that they stand in. Whoever runs them and whoever
//! implements them meets here.

/// A matrix that is read: its first entry and the distances of its rows and columns.
pub type Operand<E> = (*const E, [usize; 2]);
/// A matrix that is written.
pub type Output<E> = (*mut E, [usize; 2]);

/// A pointer to a matrix that several tasks write disjoint parts of, or read.
pub struct Shared<E>(*mut E);
// SAFETY: tasks write through the pointer at disjoint places only (`Gemm::check`), and the borrow
// of C outlives them.
unsafe impl<E: Send> Send for Shared<E> {}
// SAFETY: as above.
unsafe impl<E: Send> Sync for Shared<E> {}

impl<E> Shared<E> {
    /// The pointer to the whole.
    pub fn new(start: *mut E) -> Self {
        Shared(start)
    }

    /// The pointer.
    pub fn get(&self) -> *mut E {
        self.0
    }
}

/// What a micro-kernel computes: `C = alpha · A B`, or `C += alpha · A B`, for a few rows, and
/// columns that lie side by side.
///
/// All distances are in bytes; micro-kernels read the fields at their offsets.
#[repr(C)]
pub struct Tile<E> {
    /// Steps of the sum.
    pub k: usize,
    /// The first row's first entry of A.
    pub a: *const E,
    /// The distance of rows of A.
    pub a_row: usize,
    /// The distance of steps in A.
    pub a_step: usize,
    /// The first column's first entry of B.
    pub b: *const E,
    /// The distance of steps in B.
    pub b_step: usize,
    /// The tile's first entry of C.
    pub c: *mut E,
    /// The distance of rows of C.
    pub c_row: usize,
    /// 1 to add to C, which otherwise isn't read; 2 if alpha is one.
    pub add: u64,
    /// The columns of the last vector, a bit each.
    pub mask: u64,
    /// The factor of the product.
    pub alpha: E,
    /// If rows of B are picked: the distance of each step's row from `b`.
    pub rows: *const u32,
    /// The distance from a row of B to what is worth fetching meanwhile.
    pub ahead: usize,
}

/// Computes a tile.
///
/// # Safety
/// All that the tile describes must be valid, C for writing; the processor must have the kernel's
/// instructions.
pub type TileRun<E> = unsafe fn(&Tile<E>);

/// The micro-kernels of an instruction set.
pub struct Kernel<E: 'static> {
    /// The instruction set's name, for messages.
    pub name: &'static str,
    /// By rows; with one vector, with two, and with two of which the second is not full.
    pub tiles: [[TileRun<E>; 3]; MAX_TILE_ROWS],
    /// The same, of rows of B that a list picks.
    pub picking: [[TileRun<E>; 3]; MAX_TILE_ROWS],
    /// Pairs of samples, by rows.
    pub pairs: &'static [PairRun<E>; MAX_TILE_ROWS],
}

/// Maximum rows of a micro-kernel's tile: their sums fill 24 of the 32 vector registers.
pub const MAX_TILE_ROWS: usize = 12;

/// Rows of a tile: about the same for all.
pub fn tile_rows(m: usize) -> usize {
    if m <= MAX_TILE_ROWS { m.max(1) } else { m.div_ceil(m.div_ceil(MAX_TILE_ROWS)) }
}

impl<E> Kernel<E> {
    /// Columns of one vector of 64 bytes.
    pub const LANES: usize = 64 / size_of::<E>();
    /// Bytes of a row of a tile.
    pub const ROW_BYTES: usize = 2 * Self::LANES * size_of::<E>();

    /// Columns of a tile.
    pub fn cols(&self) -> usize {
        2 * Self::LANES
    }

    /// Which kernel of a tile's rows so many columns take, and the mask of the last vector.
    pub fn kind(&self, width: usize) -> (usize, u64) {
        let kind = match width {
            width if width <= Self::LANES => 0,
            width if width == self.cols() => 1,
            _ => 2,
        };
        (kind, u64::MAX >> (63 - (width - 1) % Self::LANES))
    }

    /// Entries per step of packed columns of B.
    pub fn packed_cols(&self, n: usize) -> usize {
        n.next_multiple_of(Self::LANES)
    }
}

/// One pair: `G[w, v] = Σ_features Σ_{t′, t listed} right[w, t′] K[t′, t] left[t, v]`, a vector of
/// columns v and some rows w.
///
/// Kernels read the fields at their offsets.
#[repr(C)]
pub struct Pair<E> {
    /// The pair's first entry of K.
    pub k: *const E,
    /// Per feature: how many positions are listed on the left.
    pub left_counts: *const u32,
    /// Their columns of K, in bytes, feature after feature.
    pub columns: *const u32,
    /// Their vectors.
    pub vectors: *const E,
    /// Per feature: how many positions are listed on the right.
    pub right_counts: *const u32,
    /// Their lines of K, in bytes, feature after feature.
    pub lines: *const u32,
    /// Of each of them the rows' entries.
    pub scalars: *const E,
    /// The number of features.
    pub features: usize,
    /// The result: as many vectors as there are rows.
    pub sums: *mut E,
}

/// Computes a pair.
///
/// # Safety
/// All that the pair describes must be valid, the sums for writing; the processor must have the
/// kernel's instructions.
pub type PairRun<E> = unsafe fn(&Pair<E>);

/// Maximum rows of A in one tile of dot products. Not measured.
pub const DOTS_ROWS: usize = 3;
/// Maximum columns of B in one tile of dot products. Not measured.
pub const DOTS_COLUMNS: usize = 4;

/// Dot products of a few rows and columns; entry `(i, j)` at `DOTS_COLUMNS · i + j`.
pub type DotsSums<E> = [E; DOTS_ROWS * DOTS_COLUMNS];

/// The dot products of a few rows of A and columns of B, by their length and their distances.
///
/// # Safety
/// The rows and columns must be valid; the processor must have the tile's instructions.
pub type DotsRun<E> = unsafe fn(usize, (*const E, usize), (*const E, usize)) -> DotsSums<E>;

/// Tiles by rows and columns.
pub struct Dots<E: 'static>(pub [[DotsRun<E>; DOTS_COLUMNS]; DOTS_ROWS]);

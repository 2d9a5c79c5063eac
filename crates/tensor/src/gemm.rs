//! The description of a strided, batched matrix product: one primitive for every contraction that
//! the library performs.

/// Where a matrix lies in its buffer: entry `(i, j)` is at `offset + i·row + j·col` (plus the batch
/// offsets).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Strides {
    /// Position of entry (0, 0).
    pub offset: usize,
    /// Distance between rows.
    pub row: usize,
    /// Distance between columns.
    pub col: usize,
}

impl Strides {
    /// A row-major matrix with `cols` columns that starts at the buffer's beginning.
    pub fn rows(cols: usize) -> Self {
        Strides { offset: 0, row: cols, col: 1 }
    }

    /// The transpose of a row-major matrix that is stored with `cols` columns.
    pub fn transposed(cols: usize) -> Self {
        Strides { offset: 0, row: 1, col: cols }
    }

    /// The same matrix, `offset` entries further on.
    pub fn at(self, offset: usize) -> Self {
        Strides { offset: self.offset + offset, ..self }
    }
}

/// One batch axis: its length and the distance of consecutive items in A, B and C.
///
/// Distance 0 in A or B repeats the operand; distance 0 in C *sums* the products over the axis.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BatchAxis {
    /// Number of items.
    pub len: usize,
    /// Distance of consecutive items in A.
    pub a: usize,
    /// Distance of consecutive items in B.
    pub b: usize,
    /// Distance of consecutive items in C; 0 sums over the axis.
    pub c: usize,
}

/// `C = alpha · Σ A B` or, with `accumulate`, `C += alpha · Σ A B`, for every item of the batch
/// axes that C keeps; the sum runs over the batch axes that C does not keep, in an order that
/// depends on the shape alone.
#[derive(Clone, Debug, PartialEq)]
pub struct Gemm {
    /// Rows of A and C.
    pub m: usize,
    /// Columns of B and C.
    pub n: usize,
    /// Columns of A and rows of B.
    pub k: usize,
    /// Layout of A, `[m, k]`.
    pub a: Strides,
    /// Layout of B, `[k, n]`.
    pub b: Strides,
    /// Layout of C, `[m, n]`.
    pub c: Strides,
    /// Batch axes, outermost first.
    pub batch: Vec<BatchAxis>,
    /// Factor of the product.
    pub alpha: f64,
    /// Add to C instead of overwriting it.
    pub accumulate: bool,
    /// Whether A is likely to have many zeros, at the same places in all items of a batch axis that
    /// shares B. A backend may leave their products out: where A is zero, B counts as finite.
    pub sparse: bool,
}

impl Gemm {
    /// `C[m, n] = A[m, k] · B[k, n]`, all row-major and contiguous. Change the fields for anything
    /// else.
    pub fn new(m: usize, n: usize, k: usize) -> Self {
        Gemm {
            m,
            n,
            k,
            a: Strides::rows(k),
            b: Strides::rows(n),
            c: Strides::rows(n),
            batch: Vec::new(),
            alpha: 1.0,
            accumulate: false,
            sparse: false,
        }
    }

    /// `C[m, n] = A[m, k] · B[n, k]ᵀ`, row-major.
    pub fn nt(m: usize, n: usize, k: usize) -> Self {
        Gemm { b: Strides::transposed(k), ..Gemm::new(m, n, k) }
    }

    /// `C[m, n] = A[k, m]ᵀ · B[k, n]`, row-major.
    pub fn tn(m: usize, n: usize, k: usize) -> Self {
        Gemm { a: Strides::transposed(m), ..Gemm::new(m, n, k) }
    }

    /// Adds a batch axis (inside those added before).
    #[must_use]
    pub fn batch(mut self, len: usize, a: usize, b: usize, c: usize) -> Self {
        self.batch.push(BatchAxis { len, a, b, c });
        self
    }

    /// Adds to C instead of overwriting it.
    #[must_use]
    pub fn accumulating(mut self) -> Self {
        self.accumulate = true;
        self
    }

    /// Sets the factor of the product.
    #[must_use]
    pub fn scaled(mut self, alpha: f64) -> Self {
        self.alpha = alpha;
        self
    }

    /// Says that A is likely to have many zeros, as [`sparse`](Gemm::sparse) tells.
    #[must_use]
    pub fn skipping_zeros(mut self) -> Self {
        self.sparse = true;
        self
    }

    /// Number of entries of C that the product writes.
    pub fn written(&self) -> usize {
        self.m
            * self.n
            * self
                .batch
                .iter()
                .filter(|axis| axis.c > 0 || axis.len <= 1)
                .map(|axis| axis.len)
                .product::<usize>()
    }

    /// Checks that every access stays inside buffers of the given lengths and that no two entries
    /// of C coincide.
    ///
    /// # Panics
    /// If not, naming the operand.
    #[track_caller]
    pub fn check(&self, a_len: usize, b_len: usize, c_len: usize) {
        let span = |rows: usize, cols: usize, s: Strides, pick: fn(&BatchAxis) -> usize| {
            let batch: usize = self.batch.iter().map(|axis| (axis.len - 1) * pick(axis)).sum();
            s.offset + (rows - 1) * s.row + (cols - 1) * s.col + batch + 1
        };
        if self.m == 0 || self.n == 0 || self.batch.iter().any(|axis| axis.len == 0) {
            return;
        }
        if self.k > 0 {
            let (a, b) =
                (span(self.m, self.k, self.a, |x| x.a), span(self.k, self.n, self.b, |x| x.b));
            assert!(
                a <= a_len,
                "matrix product reads {a} entries of A, which has {a_len}: {self:?}"
            );
            assert!(
                b <= b_len,
                "matrix product reads {b} entries of B, which has {b_len}: {self:?}"
            );
        }
        let c = span(self.m, self.n, self.c, |x| x.c);
        assert!(c <= c_len, "matrix product writes {c} entries of C, which has {c_len}: {self:?}");
        let mut axes: Vec<(usize, usize)> =
            self.batch.iter().filter(|x| x.c > 0).map(|x| (x.c, x.len)).collect();
        axes.push((self.c.row, self.m));
        axes.push((self.c.col, self.n));
        axes.retain(|&(_, len)| len > 1);
        axes.sort_unstable();
        let mut covered = 1;
        for (stride, len) in axes {
            assert!(stride >= covered, "matrix product writes entries of C twice: {self:?}");
            covered += stride * (len - 1);
        }
    }
}

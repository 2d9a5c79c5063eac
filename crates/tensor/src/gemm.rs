//! The description of a strided, batched matrix product: one primitive for every contraction that
//! the library performs.

use crate::shape::last_position;

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
        // An axis that C does not keep may be empty: the sum is zero then, and is written.
        let kept = |axis: &BatchAxis| axis.c > 0;
        if self.m == 0 || self.n == 0 || self.batch.iter().any(|x| kept(x) && x.len == 0) {
            return;
        }
        let span = |rows: usize, cols: usize, s: Strides, pick: fn(&BatchAxis) -> usize| {
            let batch = self.batch.iter().map(|axis| (axis.len.max(1), pick(axis)));
            let last = last_position(s.offset, batch.chain([(rows, s.row), (cols, s.col)]));
            last.and_then(|last| last.checked_add(1))
        };
        let fits = |span: Option<usize>, len: usize| span.is_some_and(|span| span <= len);
        let shown = |span: Option<usize>| {
            span.map_or_else(|| format!("more than {}", usize::MAX), |span| span.to_string())
        };
        if self.k > 0 && self.batch.iter().all(|axis| axis.len > 0) {
            let a = span(self.m, self.k, self.a, |x| x.a);
            let b = span(self.k, self.n, self.b, |x| x.b);
            assert!(
                fits(a, a_len),
                "matrix product reads {} entries of A, which has {a_len}: {self:?}",
                shown(a)
            );
            assert!(
                fits(b, b_len),
                "matrix product reads {} entries of B, which has {b_len}: {self:?}",
                shown(b)
            );
            // Where operands are repeated, no buffer bounds the number of terms.
            let items = self.batch.iter().try_fold(1usize, |items, x| items.checked_mul(x.len));
            assert!(items.is_some(), "matrix product has more than {} items: {self:?}", usize::MAX);
        }
        let c = span(self.m, self.n, self.c, |x| x.c);
        assert!(
            fits(c, c_len),
            "matrix product writes {} entries of C, which has {c_len}: {self:?}",
            shown(c)
        );
        let mut axes: Vec<(usize, usize)> =
            self.batch.iter().filter(|x| kept(x)).map(|x| (x.c, x.len)).collect();
        axes.push((self.c.row, self.m));
        axes.push((self.c.col, self.n));
        axes.retain(|&(_, len)| len > 1);
        axes.sort_unstable();
        // No more than what is written, which fits C.
        let mut covered = 1;
        for (stride, len) in axes {
            assert!(stride >= covered, "matrix product writes entries of C twice: {self:?}");
            covered += stride * (len - 1);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The product with its buffers, as large as it needs for [2, 3] times [3, 4].
    fn check(g: &Gemm) {
        g.check(6, 12, 8);
    }

    #[track_caller]
    fn refused(g: Gemm, why: &str) {
        let message = *std::panic::catch_unwind(|| check(&g))
            .expect_err("must be refused")
            .downcast::<String>()
            .expect("a message");
        assert!(message.contains(why), "{message}");
    }

    #[test]
    fn what_fits_passes() {
        check(&Gemm::new(2, 4, 3));
        check(&Gemm::new(2, 1, 3).batch(4, 0, 0, 2));
        check(&Gemm::new(2, 4, 3).batch(1000, 0, 0, 0));
        // Distances along axes of length one lead nowhere.
        let c = Strides { offset: 0, row: usize::MAX, col: 1 };
        check(&Gemm { c, ..Gemm::new(1, 4, 3) }.batch(1, usize::MAX, usize::MAX, usize::MAX));
        // Nothing is written.
        let far = Strides { offset: usize::MAX, row: usize::MAX, col: usize::MAX };
        check(&Gemm { c: far, ..Gemm::new(0, 4, 3) });
        check(&Gemm { c: far, ..Gemm::new(2, 4, 3) }.batch(0, 0, 0, 1));
    }

    #[test]
    fn huge_distances_are_refused_not_wrapped() {
        // In wrapping arithmetic each of these ends at a small position.
        let half = usize::MAX / 2 + 1;
        for (offset, row, col) in
            [(usize::MAX, 1, 1), (0, usize::MAX, 1), (0, half, 1), (0, 3, half), (half, half, 1)]
        {
            let s = Strides { offset, row, col };
            refused(Gemm { a: s, ..Gemm::new(2, 4, 3) }, "of A, which has 6");
            refused(Gemm { b: s, ..Gemm::new(2, 4, 3) }, "of B, which has 12");
            refused(Gemm { c: s, ..Gemm::new(2, 4, 3) }, "of C, which has 8");
        }
        for len in [3, usize::MAX] {
            refused(Gemm::new(2, 4, 3).batch(len, half, 0, 0), "of A");
            refused(Gemm::new(2, 4, 3).batch(len, 0, half, 0), "of B");
            refused(Gemm::new(2, 4, 3).batch(len, 0, 0, half), "of C");
        }
    }

    #[test]
    fn huge_sizes_are_refused_not_wrapped() {
        let root = 1 << (usize::BITS / 2);
        refused(Gemm { a: Strides::rows(2), ..Gemm::new(2, 4, usize::MAX) }, "of A");
        let repeated = Strides { offset: 0, row: 0, col: 0 };
        refused(Gemm { a: repeated, b: repeated, ..Gemm::new(root, root, 1) }, "of C");
        let g = Gemm { a: repeated, b: repeated, ..Gemm::new(2, 4, usize::MAX) };
        check(&g);
        refused(g.batch(root, 0, 0, 0).batch(root, 0, 0, 0), "items");
    }

    #[test]
    fn an_empty_sum_is_written_inside_c() {
        check(&Gemm::new(2, 4, 3).batch(0, usize::MAX, usize::MAX, 0));
        refused(Gemm::new(3, 4, 3).batch(0, 0, 0, 0), "writes 12 entries of C");
        refused(Gemm::new(3, 4, 0), "writes 12 entries of C");
        let c = Strides { offset: 0, row: 1, col: 1 };
        refused(Gemm { c, ..Gemm::new(2, 4, 3) }.batch(0, 0, 0, 0), "twice");
    }
}

//! A dense row-major matrix in host memory: what the eigensolver reads and what results are
//! reported in.

use std::fmt;
use std::ops::{Index, IndexMut};

use crate::Scalar;

/// A dense `[rows, cols]` matrix in host memory, row-major.
///
/// Prints a line per row, with columns aligned; `{:.2}` chooses the digits.
///
/// ```
/// use vivit_tensor::Matrix;
///
/// let a = Matrix::new(2, 2, vec![1.0, -0.25, 10.0, 4.0]);
/// assert_eq!((a[(0, 1)], a.row(1)), (-0.25, &[10.0, 4.0][..]));
/// assert_eq!(a.transposed().as_slice(), [1.0, 10.0, -0.25, 4.0]);
/// assert_eq!(format!("{a:.2}"), " 1.00  -0.25\n10.00   4.00");
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Matrix<E> {
    rows: usize,
    cols: usize,
    data: Vec<E>,
}

impl<E: Scalar> Matrix<E> {
    /// Wraps `data`, row-major.
    ///
    /// # Panics
    /// If `data.len() != rows * cols`.
    #[track_caller]
    pub fn new(rows: usize, cols: usize, data: Vec<E>) -> Self {
        assert_eq!(
            data.len(),
            rows * cols,
            "a {rows}×{cols} matrix needs {} entries, got {}",
            rows * cols,
            data.len()
        );
        Matrix { rows, cols, data }
    }

    /// The `[rows, cols]` matrix of zeros.
    pub fn zeros(rows: usize, cols: usize) -> Self {
        Matrix { rows, cols, data: vec![E::zero(); rows * cols] }
    }

    /// The matrix with entry `f(i, j)` at row `i`, column `j`.
    pub fn from_fn(rows: usize, cols: usize, mut f: impl FnMut(usize, usize) -> E) -> Self {
        let data = (0..rows * cols).map(|at| f(at / cols, at % cols)).collect();
        Matrix { rows, cols, data }
    }

    /// Number of rows.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Number of columns.
    pub fn cols(&self) -> usize {
        self.cols
    }

    /// Row `i`, contiguous.
    #[track_caller]
    pub fn row(&self, i: usize) -> &[E] {
        &self.data[i * self.cols..(i + 1) * self.cols]
    }

    /// Row `i`, contiguous and mutable.
    #[track_caller]
    pub fn row_mut(&mut self, i: usize) -> &mut [E] {
        &mut self.data[i * self.cols..(i + 1) * self.cols]
    }

    /// All entries, row-major.
    pub fn as_slice(&self) -> &[E] {
        &self.data
    }

    /// All entries, row-major and mutable.
    pub fn as_mut_slice(&mut self) -> &mut [E] {
        &mut self.data
    }

    /// The entries, row-major, without the shape.
    pub fn into_vec(self) -> Vec<E> {
        self.data
    }

    /// The transpose, `[cols, rows]`.
    pub fn transposed(&self) -> Self {
        Matrix::from_fn(self.cols, self.rows, |i, j| self[(j, i)])
    }
}

impl<E> Index<(usize, usize)> for Matrix<E> {
    type Output = E;
    #[inline]
    #[track_caller]
    fn index(&self, (i, j): (usize, usize)) -> &E {
        debug_assert!(j < self.cols);
        &self.data[i * self.cols + j]
    }
}

impl<E> IndexMut<(usize, usize)> for Matrix<E> {
    #[inline]
    #[track_caller]
    fn index_mut(&mut self, (i, j): (usize, usize)) -> &mut E {
        debug_assert!(j < self.cols);
        &mut self.data[i * self.cols + j]
    }
}

/// A line per row, columns right-aligned and two blanks apart.
impl<E: Scalar> fmt::Display for Matrix<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let written = |entry: &E| match f.precision() {
            Some(digits) => format!("{entry:.digits$}"),
            None => entry.to_string(),
        };
        let entries: Vec<String> = self.data.iter().map(written).collect();
        let width = |col: usize| {
            (0..self.rows).map(|row| entries[row * self.cols + col].len()).max().unwrap_or(0)
        };
        let widths: Vec<usize> = (0..self.cols).map(width).collect();
        for row in 0..self.rows {
            let line = &entries[row * self.cols..][..self.cols];
            for (col, (entry, &width)) in line.iter().zip(&widths).enumerate() {
                let before = if col == 0 { "" } else { "  " };
                write!(f, "{before}{entry:>width$}")?;
            }
            if row + 1 < self.rows {
                writeln!(f)?;
            }
        }
        Ok(())
    }
}

//! Eigenvalues and eigenvectors of real symmetric matrices, for [vivit](https://docs.rs/vivit).
//!
//! A symmetric matrix is reduced to a tridiagonal one, `A = Q T Qᵀ`, by Householder reflections;
//! a large one to a band first, by matrix products, and that to a tridiagonal matrix ([`Stages`]).
//! Eigenvalues are those of `T`; eigenvectors are those of `T`, multiplied by `Q`. The reduction
//! costs most and is kept: a [`Reduction`] gives all eigenvalues first and later the eigenvectors
//! of the chosen ones, at little extra cost if these are few. [`eigh`] computes everything,
//! [`eigvalsh`] the values only.
//!
//! The matrices that this is made for are Gram matrices: positive semi-definite, usually
//! rank-deficient, with a large cluster of eigenvalues at zero. Results are correct for every
//! symmetric matrix, however: with `ε` the element type's rounding, residuals `|A q − λ q|` and
//! errors of values are at most `10 n ε |A|`, and vectors are orthonormal up to `10 n ε`.
//!
//! Conventions:
//!
//! - Only the lower triangle, diagonal included, is read.
//! - Values are ascending; row `k` of the vectors belongs to value `k`.
//! - The entry of largest magnitude of each vector (the first one, if there are several) is
//!   positive.
//! - Results are the same bit for bit with any number of threads.
//! - Debug builds check what they return against the matrix, release builds if asked to
//!   ([`EighOptions`]).
//!
//! Memory: the matrix is taken over, and the reflectors, those of two stages too, are stored in it.
//! Beyond that, in entries of the matrix:
//!
//! | request | while it runs | result |
//! |---|---|---|
//! | [`eigvalsh`], [`Reduction::new`] | O(n · block) | n |
//! | [`eigh`] | n² + O(n · block) | n² |
//! | [`Reduction::vectors`] of few indices, `k ≤ n / 5` | 4 k n + O(n · block) | k n |
//! | the same of many, or within large clusters | n² + O(n · block) | k n |
//! | the check, where wanted | n² more | |
//!
//! with blocks of at most 256 rows or columns; O(n · block) is at most `2 n · block + 3 block²` for
//! every thread.
//!
//! How the crates fit together: [ARCHITECTURE.md]; formulas and symbols: [MATH.md].
//!
//! [ARCHITECTURE.md]: https://github.com/vivit-rs/vivit/blob/main/docs/ARCHITECTURE.md
//! [MATH.md]: https://github.com/vivit-rs/vivit/blob/main/docs/MATH.md
//!
//! ```
//! use vivit_eigh::{Reduction, eigh};
//! use vivit_tensor::Matrix;
//!
//! let a = Matrix::new(2, 2, vec![2.0, 0.0, 1.0, 2.0]); // only 2, 1, 2 are read
//! let reduction = Reduction::new(a)?;
//! let top = reduction.vectors(&[1])?;
//! assert!((reduction.values()[1] - 3.0f64).abs() < 1e-14);
//! assert!((top[(0, 0)] - 0.5f64.sqrt()).abs() < 1e-14);
//! # Ok::<(), vivit_eigh::Error>(())
//! ```

mod back;
mod back_chase;
mod band;
mod chase;
mod check;
mod compact_wy;
mod compiled;
mod divide;
mod error;
mod householder;
mod inverse_iteration;
mod kernels;
mod options;
mod parallel;
mod ql;
mod reflector;
mod rows;
mod scale;
mod secular;
mod team;
mod tile;
mod tridiagonal;
mod update;
mod values;

pub use compiled::Real;
pub use error::Error;
pub use options::{EighOptions, Stages};

use householder::{Householder, Wanted};
use parallel::pooled;
use values::Values;
use vivit_tensor::{Matrix, Scalar};

/// A symmetric matrix reduced to tridiagonal form, with its eigenvalues; eigenvectors follow on
/// request.
#[derive(Clone, Debug)]
pub struct Reduction<E> {
    householder: Householder<E>,
    values: Values,
    rounded: Vec<E>,
}

/// All eigenpairs of a symmetric matrix.
#[derive(Clone, Debug, PartialEq)]
pub struct Eigen<E> {
    /// The eigenvalues, ascending.
    pub values: Vec<E>,
    /// Row `k` is the unit eigenvector of `values[k]`.
    pub vectors: Matrix<E>,
}

impl<E: Real> Reduction<E> {
    /// Reduces a symmetric matrix, of which the lower triangle is read, and computes its
    /// eigenvalues.
    ///
    /// # Errors
    /// If the matrix is not square, if an entry of the lower triangle is not finite, if an
    /// eigenvalue is too large for the element type, if the iteration does not converge, which is
    /// not known to happen, or if a check that is wanted fails.
    pub fn new(a: Matrix<E>) -> Result<Self, Error> {
        Self::with_options(a, EighOptions::default())
    }

    /// [`Reduction::new`] with options, which [`Reduction::vectors`] follows, too.
    ///
    /// # Errors
    /// As for [`Reduction::new`].
    pub fn with_options(a: Matrix<E>, options: EighOptions) -> Result<Self, Error> {
        pooled(a.rows(), || Self::of(E::reduce(a, options, Wanted::Values)?))
    }

    fn of(householder: Householder<E>) -> Result<Self, Error> {
        let values = values::values(&householder.t);
        let rounded = householder.round(&values.values)?;
        Ok(Reduction { householder, values, rounded })
    }

    /// All eigenvalues, ascending.
    pub fn values(&self) -> &[E] {
        &self.rounded
    }

    /// The unit eigenvectors of `values()[indices[i]]` in rows `i`, in the order asked for.
    ///
    /// Few vectors are cheap; the vectors of many indices, or of some inside a large cluster of
    /// equal eigenvalues, cost as much as all.
    ///
    /// # Errors
    /// If an index is repeated or not below the number of eigenvalues; otherwise as for
    /// [`Reduction::new`].
    pub fn vectors(&self, indices: &[usize]) -> Result<Matrix<E>, Error> {
        let n = self.rounded.len();
        let mut place = vec![None; n];
        for (i, &index) in indices.iter().enumerate() {
            let place = place.get_mut(index).ok_or(Error::Index { index, n })?;
            if place.replace(i).is_some() {
                return Err(Error::RepeatedIndex { index });
            }
        }
        let (sorted, places): (Vec<usize>, Vec<usize>) = place
            .iter()
            .enumerate()
            .filter_map(|(index, place)| place.map(|place| (index, place)))
            .unzip();
        let few = sorted.len() * 5 <= n || n <= 8;
        let few = few.then(|| E::few(&self.householder, &self.values, &sorted)).flatten();
        let mut vectors = match few {
            Some(few) => select(few, places.into_iter().zip(0..), indices.len()),
            None => select(
                E::all(&self.householder)?.1,
                indices.iter().copied().enumerate(),
                indices.len(),
            ),
        };
        let values: Vec<f64> = indices.iter().map(|&index| self.values.values[index]).collect();
        E::finish(&self.householder, &values, &mut vectors)?;
        Ok(vectors)
    }

    /// The `k` largest eigenvalues, ascending, with their vectors; all of them if there are no more
    /// than `k`.
    ///
    /// # Errors
    /// As for [`Reduction::new`].
    pub fn top(&self, k: usize) -> Result<Eigen<E>, Error> {
        self.pairs_from(self.rounded.len().saturating_sub(k))
    }

    /// The eigenvalues above a threshold, ascending, with their vectors; none if the threshold is
    /// not a number.
    ///
    /// # Errors
    /// As for [`Reduction::new`].
    pub fn above(&self, threshold: E) -> Result<Eigen<E>, Error> {
        let count = self.rounded.iter().rev().take_while(|value| **value > threshold).count();
        self.pairs_from(self.rounded.len() - count)
    }

    /// The pairs of index `first` and later ones.
    fn pairs_from(&self, first: usize) -> Result<Eigen<E>, Error> {
        let indices: Vec<usize> = (first..self.rounded.len()).collect();
        Ok(Eigen { values: self.rounded[first..].to_vec(), vectors: self.vectors(&indices)? })
    }
}

/// Moves rows of a matrix to the front, `(place, row)`, and gives the others back.
fn select<E: Scalar>(
    rows: Matrix<E>,
    moves: impl IntoIterator<Item = (usize, usize)>,
    count: usize,
) -> Matrix<E> {
    let n = rows.cols();
    let mut entries = rows.into_vec();
    rows::rearrange(&mut entries, n, 0..n, moves);
    entries.truncate(count * n);
    entries.shrink_to_fit();
    Matrix::new(count, n, entries)
}

/// All eigenvalues and eigenvectors of a symmetric matrix, of which the lower triangle is read.
///
/// # Errors
/// As for [`Reduction::new`].
pub fn eigh<E: Real>(a: Matrix<E>) -> Result<Eigen<E>, Error> {
    eigh_with(a, EighOptions::default())
}

/// [`eigh`] with options.
///
/// # Errors
/// As for [`Reduction::new`].
///
/// # Examples
/// ```
/// use vivit_eigh::{EighOptions, eigh_with};
/// use vivit_tensor::Matrix;
///
/// let a = Matrix::new(2, 2, vec![2.0, 0.0, 1.0, 2.0]);
/// // An error if residuals are larger than they should be.
/// let eigen = eigh_with(a, EighOptions::default().check(true))?;
/// # Ok::<(), vivit_eigh::Error>(())
/// ```
pub fn eigh_with<E: Real>(a: Matrix<E>, options: EighOptions) -> Result<Eigen<E>, Error> {
    pooled(a.rows(), || {
        let householder = E::reduce(a, options, Wanted::Pairs)?;
        let (values, mut vectors) = E::all(&householder)?;
        let rounded = householder.round(&values)?;
        E::finish(&householder, &values, &mut vectors)?;
        Ok(Eigen { values: rounded, vectors })
    })
}

/// All eigenvalues of a symmetric matrix, ascending, of which the lower triangle is read.
///
/// # Errors
/// As for [`Reduction::new`].
pub fn eigvalsh<E: Real>(a: Matrix<E>) -> Result<Vec<E>, Error> {
    Ok(Reduction::new(a)?.rounded)
}

/// [`eigvalsh`] with options.
///
/// # Errors
/// As for [`Reduction::new`].
pub fn eigvalsh_with<E: Real>(a: Matrix<E>, options: EighOptions) -> Result<Vec<E>, Error> {
    Ok(Reduction::with_options(a, options)?.rounded)
}

//! A matrix reduced to tridiagonal form, and the way back.

use bytemuck::cast_slice_mut;
use vivit_tensor::{Matrix, Scalar, with_dtype};

use crate::back::Reflectors;
use crate::back_chase::Sweeps;
use crate::check::Original;
use crate::error::Error;
use crate::options::{EighOptions, Stages};
use crate::tridiagonal::{self, Tridiagonal};
use crate::values::Values;
use crate::{band, chase, divide, inverse_iteration, scale};

/// Lower bandwidth between the two stages.
const WIDTH: usize = 64;
/// Size from which on two stages are faster than one, if not all vectors are wanted at once.
const TWO_STAGES: usize = 1500;
/// Bytes of a matrix from which on they are faster if all vectors are wanted: n = 3400 in single
/// precision, 2400 in double precision.
const TWO_STAGES_BYTES: usize = 44 << 20;

/// What is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wanted {
    /// All values, and some of the vectors or none.
    Values,
    /// All pairs.
    Pairs,
}

/// The reduction without values.
#[derive(Clone, Debug)]
pub struct Householder<E> {
    /// The reflectors of the first stage, or of the only one, in the lower triangle, those of the
    /// second one in the upper triangle.
    pub(crate) reflectors: Matrix<E>,
    /// The factors of the first stage.
    pub(crate) tau: Vec<E>,
    /// Bandwidth after the first stage.
    width: usize,
    pub(crate) t: Tridiagonal,
    exponent: i32,
    original: Option<Original<E>>,
}

impl<E: Scalar> Householder<E> {
    pub(crate) fn new(
        mut a: Matrix<E>,
        options: EighOptions,
        wanted: Wanted,
    ) -> Result<Self, Error> {
        if a.rows() != a.cols() {
            return Err(Error::NotSquare { rows: a.rows(), cols: a.cols() });
        }
        let exponent = scale::exponent(&a)?;
        scale::scale(&mut a, exponent);
        let original = options.check.then(|| Original::new(&a));
        let two_stages = match (options.stages, wanted) {
            (Stages::One, _) => false,
            (Stages::Two, _) => true,
            (Stages::Auto, Wanted::Values) => a.rows() >= TWO_STAGES,
            (Stages::Auto, Wanted::Pairs) => size_of_val(a.as_slice()) >= TWO_STAGES_BYTES,
        };
        let (width, (t, tau)) = if two_stages {
            (WIDTH, reduce_in_two_stages(&mut a, WIDTH))
        } else {
            (1, tridiagonal::reduce(&mut a))
        };
        Ok(Householder { reflectors: a, tau, width, t, exponent, original })
    }

    /// Values and vectors of the tridiagonal matrix.
    pub(crate) fn all(&self) -> Result<(Vec<f64>, Matrix<E>), Error> {
        divide::eigen(&self.t).map_err(|index| Error::NoConvergence { index, n: self.t.d.len() })
    }

    /// The matrix's eigenvalues from those of the tridiagonal matrix.
    pub(crate) fn round(&self, values: &[f64]) -> Result<Vec<E>, Error> {
        let n = values.len();
        if let Some(original) = &self.original {
            original.check_values(values)?;
        }
        let rounded: Vec<E> =
            values.iter().map(|&value| scale::unscale(E::of(value), self.exponent)).collect();
        match rounded.iter().position(|value| !value.is_finite()) {
            Some(index) => Err(Error::Overflow { index, n, dtype: E::NAME }),
            None => Ok(rounded),
        }
    }

    /// Turns the tridiagonal matrix's vectors into the matrix's.
    pub(crate) fn finish(&self, values: &[f64], vectors: &mut Matrix<E>) -> Result<(), Error> {
        let (rows, width) = (&self.reflectors, self.width);
        if width > 1 {
            Sweeps { rows, width }.transform(vectors);
        }
        Reflectors { rows, tau: &self.tau, width }.transform(vectors);
        for i in 0..vectors.rows() {
            let row = vectors.row_mut(i);
            let (_, sign) = row.iter().fold((E::zero(), E::one()), |(max, sign), x| {
                if x.abs() > max { (x.abs(), x.signum()) } else { (max, sign) }
            });
            if sign < E::zero() {
                row.iter_mut().for_each(|x| *x = -*x);
            }
        }
        self.original.as_ref().map_or(Ok(()), |original| original.check_vectors(values, vectors))
    }

    /// Vectors of the tridiagonal matrix of few indices, ascending; `None` within large clusters.
    pub(crate) fn few(&self, values: &Values, sorted: &[usize]) -> Option<Matrix<E>> {
        inverse_iteration::vectors::<E>(&self.t, values, sorted)
    }
}

/// Reduces the lower triangle of `a` to a band, and that to tridiagonal form; returns the
/// tridiagonal matrix and the factors `τ` of the first stage.
fn reduce_in_two_stages<E: Scalar>(a: &mut Matrix<E>, width: usize) -> (Tridiagonal, Vec<E>) {
    let n = a.rows();
    // The same type under its name as a value: the cast changes nothing.
    let (t, tau) = with_dtype!(E::DTYPE, F => {
        let a = cast_slice_mut::<E, F>(a.as_mut_slice());
        let (mut band, tau) = band::reduce(n, width, a);
        (chase::reduce(&mut band, a), tau.into_iter().map(|tau| tau.f64()).collect::<Vec<f64>>())
    });
    (t, tau.into_iter().map(E::of).collect())
}

//! A matrix reduced to tridiagonal form, and the way back.

use vivit_tensor::{Matrix, Scalar};

use crate::check::Original;
use crate::error::Error;
use crate::options::EighOptions;
use crate::tridiagonal::{self, Tridiagonal};
use crate::values::Values;
use crate::{back, divide, inverse_iteration, scale};

/// The reduction without values.
#[derive(Clone, Debug)]
pub struct Householder<E> {
    pub(crate) reflectors: Matrix<E>,
    pub(crate) tau: Vec<E>,
    pub(crate) t: Tridiagonal,
    exponent: i32,
    original: Option<Original<E>>,
}

impl<E: Scalar> Householder<E> {
    pub(crate) fn new(mut a: Matrix<E>, options: EighOptions) -> Result<Self, Error> {
        if a.rows() != a.cols() {
            return Err(Error::NotSquare { rows: a.rows(), cols: a.cols() });
        }
        let exponent = scale::exponent(&a)?;
        scale::scale(&mut a, exponent);
        let original = options.check.then(|| Original::new(&a));
        let (t, tau) = tridiagonal::reduce(&mut a);
        Ok(Householder { reflectors: a, tau, t, exponent, original })
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
        back::transform(&self.reflectors, &self.tau, vectors);
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

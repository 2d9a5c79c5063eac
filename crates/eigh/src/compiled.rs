//! The solver for both element types, compiled in this crate: what is generic would be compiled
//! once more in every crate that asks for eigenvalues.

use vivit_tensor::{Matrix, Scalar};

use crate::error::Error;
use crate::householder::{Householder, Wanted};
use crate::options::EighOptions;
use crate::values::Values;

/// An element type of the eigensolver: `f32` and `f64`.
///
/// The trait is sealed.
pub trait Real: Scalar + Compiled {}

/// The steps of the solver that depend on the element type.
pub trait Compiled: Sized {
    /// Reduces a matrix.
    fn reduce(
        a: Matrix<Self>,
        options: EighOptions,
        wanted: Wanted,
    ) -> Result<Householder<Self>, Error>;
    /// Values and vectors of the tridiagonal matrix.
    fn all(householder: &Householder<Self>) -> Result<(Vec<f64>, Matrix<Self>), Error>;
    /// Few vectors of the tridiagonal matrix, if they are not in a large cluster.
    fn few(
        householder: &Householder<Self>,
        values: &Values,
        sorted: &[usize],
    ) -> Option<Matrix<Self>>;
    /// Turns the tridiagonal matrix's vectors into the matrix's.
    fn finish(
        householder: &Householder<Self>,
        values: &[f64],
        vectors: &mut Matrix<Self>,
    ) -> Result<(), Error>;
}

macro_rules! compiled {
    ($elem:ty) => {
        impl Real for $elem {}

        impl Compiled for $elem {
            #[inline(never)]
            fn reduce(
                a: Matrix<$elem>,
                options: EighOptions,
                wanted: Wanted,
            ) -> Result<Householder<$elem>, Error> {
                Householder::new(a, options, wanted)
            }

            #[inline(never)]
            fn all(householder: &Householder<$elem>) -> Result<(Vec<f64>, Matrix<$elem>), Error> {
                householder.all()
            }

            #[inline(never)]
            fn few(
                householder: &Householder<$elem>,
                values: &Values,
                sorted: &[usize],
            ) -> Option<Matrix<$elem>> {
                householder.few(values, sorted)
            }

            #[inline(never)]
            fn finish(
                householder: &Householder<$elem>,
                values: &[f64],
                vectors: &mut Matrix<$elem>,
            ) -> Result<(), Error> {
                householder.finish(values, vectors)
            }
        }
    };
}
compiled!(f32);
compiled!(f64);

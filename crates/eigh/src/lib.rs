//! Symmetric eigensolver (interface).
use vivit_tensor::{Matrix, Scalar};
/// Errors.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum Error { /** not square */ #[error("not square")] NotSquare }
/// Reduction.
#[derive(Debug)]
pub struct Reduction<E>(Matrix<E>);
impl<E: Scalar> Reduction<E> {
    /// new
    pub fn new(a: Matrix<E>) -> Result<Self, Error> { Ok(Reduction(a)) }
    /// values
    pub fn values(&self) -> &[E] { self.0.as_slice() }
    /// vectors
    pub fn vectors(&self, _i: &[usize]) -> Result<Matrix<E>, Error> { Err(Error::NotSquare) }
}

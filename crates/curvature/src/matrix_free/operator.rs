//! Symmetric matrices that are known by their products with vectors.

use vivit_tensor::{Device, Gemm, Tensor};

use crate::Error;

/// A symmetric `D × D` matrix A that can be multiplied with vectors: what matrix-free methods need
/// to know of it.
pub trait LinearOperator: Send + Sync {
    /// The dimension D.
    fn dim(&self) -> usize;

    /// Where the vectors live.
    fn device(&self) -> &Device;

    /// `A x` for each row x of `x: [K, D]`, to `[K, D]`: many vectors at once cost less than one by
    /// one.
    ///
    /// # Errors
    /// If the shape is another one, or the product could not be computed.
    fn apply(&self, x: &Tensor) -> Result<Tensor, Error>;
}

/// A dense symmetric matrix `[D, D]`.
impl LinearOperator for Tensor {
    fn dim(&self) -> usize {
        self.shape().first().copied().unwrap_or(0)
    }

    fn device(&self) -> &Device {
        Tensor::device(self)
    }

    fn apply(&self, x: &Tensor) -> Result<Tensor, Error> {
        let d = self.dim();
        check_vectors(x, d)?;
        if *self.shape() != [d, d] {
            return Err(Error::NotSquare { shape: self.shape().to_vec() });
        }
        let k = x.shape()[0];
        Ok(x.gemm(&Gemm::new(k, d, d), self, [k, d]))
    }
}

/// Checks that `x` is `[K, d]`.
pub(crate) fn check_vectors(x: &Tensor, d: usize) -> Result<(), Error> {
    match **x.shape() {
        [_, cols] if cols == d => Ok(()),
        _ => Err(Error::VectorsShape { got: x.shape().to_vec(), dim: d }),
    }
}

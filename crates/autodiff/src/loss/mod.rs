//! Losses: value, gradient and square roots of the Hessian, per sample.
//!
//! [`Loss`] says what a loss must tell, and in which scale.

mod bce;
mod cross_entropy;
mod hessian;
mod labels;
mod mse;
mod root_columns;

use std::fmt::Debug;

pub use bce::BceWithLogits;
pub use cross_entropy::CrossEntropy;
pub use hessian::LossHessian;
pub use labels::Labels;
pub use mse::Mse;
pub use root_columns::RootColumns;
use vivit_tensor::{Rng, Tensor};

use crate::{Error, FiniteCheck};

/// How the samples' losses become one number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Reduction {
    /// Divided by the number of entries (MSE) or positions (cross-entropy) of the batch.
    #[default]
    Mean,
    /// Summed.
    Sum,
}

/// A loss that is a sum over samples, `L = Σ_n L_n(f_n)`, with `f: [N, *]` the model's output.
///
/// `L_n` holds sample n's share *including* the reduction's factor: 1 for a sum; 1/M for a mean,
/// with PyTorch's M. Every scale of every curvature quantity comes from here.
///
/// ```
/// # use vivit_tensor::{Device, Tensor};
/// # let cpu = Device::cpu_f64();
/// use vivit_autodiff::{Loss, Mse, RootColumns};
///
/// // L_n = Σ_c (f[n, c] − y[n, c])²
/// let loss = Mse::sum(Tensor::from_vec(&cpu, [1, 2], vec![1.0, 2.0])?);
/// let f = Tensor::from_vec(&cpu, [1, 2], vec![3.0, 0.0])?;
/// assert_eq!(loss.values(&f).to_vec()?, [8.0]);
/// assert_eq!(loss.gradient(&f).to_vec()?, [4.0, -4.0]);
/// let root = loss.hessian_root(&f, RootColumns::Rank); // S Sᵀ = 2 I
/// assert_eq!(*root.shape(), [2, 1, 2]);
/// assert!((root.to_vec()?[0] - 2f64.sqrt()).abs() < 1e-15);
/// # Ok::<(), vivit_autodiff::Error>(())
/// ```
pub trait Loss: Debug + Send + Sync {
    /// The name that errors show.
    fn name(&self) -> &str;

    /// How samples are reduced. Per-sample results speak of the unreduced losses `s·L_n` with `s =
    /// N` for `Mean`, 1 for `Sum`.
    fn reduction(&self) -> Reduction;

    /// Checks that the targets fit the output, as far as the host knows them.
    ///
    /// # Errors
    /// If not, naming what and where.
    fn check(&self, output: &Tensor) -> Result<(), Error>;

    /// What must hold of numbers that lie on the device, targets for one; no result is returned
    /// before a device has looked.
    fn claims(&self) -> Vec<FiniteCheck> {
        Vec::new()
    }

    /// `L_n`: `[N]`.
    fn values(&self, output: &Tensor) -> Tensor;

    /// `∂L_n/∂f_n`: `[N, *]`.
    fn gradient(&self, output: &Tensor) -> Tensor;

    /// `S` with `∂²L_n/∂f_n² = Σ_v S[v, n] S[v, n]ᵀ`: `[V, N, *]`.
    fn hessian_root(&self, output: &Tensor, columns: RootColumns) -> Tensor;

    /// `H_n = ∂²L_n/∂f_n²`, known by its products, and `S` as [`hessian_root`](Loss::hessian_root)
    /// has it, of which columns can be had one by one. Products with curvature matrices need
    /// nothing else.
    ///
    /// Default: through the whole root. A loss that knows its Hessian in closed form returns that:
    /// a root has as many columns as the Hessian has rank, which takes memory of the square of the
    /// outputs per sample.
    fn hessian(&self, output: &Tensor, columns: RootColumns) -> LossHessian {
        LossHessian::from_root(self.hessian_root(output, columns))
    }

    /// `α: [V, N]` with `∂L_n/∂f_n = Σ_v α[v, n] S[v, n]`, S being the
    /// [`hessian_root`](Loss::hessian_root): the gradient as a combination of the root's columns.
    /// What depends linearly on the gradient is then known from the root alone, and no gradient has
    /// to travel beside it.
    ///
    /// `None` (the default) if the loss does not tell; NaN or infinite entries for samples whose
    /// gradient is no such combination, in exact or in rounded arithmetic.
    fn gradient_weights(&self, _output: &Tensor, _columns: RootColumns) -> Option<Tensor> {
        None
    }

    /// `S` with `E[Σ_v S[v, n] S[v, n]ᵀ] = ∂²L_n/∂f_n²` and M = `draws` columns: `[M, N, *]`.
    ///
    /// # Errors
    /// If the device failed.
    fn monte_carlo_root(
        &self,
        output: &Tensor,
        draws: usize,
        rng: &mut Rng,
    ) -> Result<Tensor, Error>;
}

/// Checks that targets are where the output is.
fn check_device(what: &str, target: &Tensor, output: &Tensor) -> Result<(), Error> {
    if target.device() == output.device() {
        return Ok(());
    }
    Err(Error::Tensor(vivit_tensor::Error::DeviceMismatch {
        what: what.into(),
        got: target.device().to_string(),
        expected: output.device().to_string(),
    }))
}

//! Mean (or summed) squared error.

use vivit_tensor::{Rng, Tensor, Unary};

use crate::{Error, FiniteCheck, Loss, LossHessian, Reduction, RootColumns};

/// Squared error over all entries of `[N, *]`, `L_n = a Σ_c (f[n, c] − y[n, c])²` with a = 1 for
/// the sum; a = 1/(N·C) for the mean, as PyTorch's.
///
/// ```
/// # use vivit_tensor::{Device, Tensor};
/// # let cpu = Device::cpu();
/// use vivit_autodiff::{Loss, Mse};
///
/// let target = Tensor::from_vec(&cpu, [2, 1], vec![1.0, -1.0])?;
/// let f = Tensor::from_vec(&cpu, [2, 1], vec![4.0, 0.0])?;
/// assert_eq!(Mse::sum(target.clone()).values(&f).to_vec()?, [9.0, 1.0]);
/// assert_eq!(Mse::mean(target.clone()).values(&f).to_vec()?, [4.5, 0.5]);
/// assert_eq!(Mse::mean(target).gradient(&f).to_vec()?, [3.0, 1.0]);
/// # Ok::<(), vivit_autodiff::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Mse {
    target: Tensor,
    reduction: Reduction,
}

impl Mse {
    /// The mean over all entries against `target: [N, *]`.
    pub fn mean(target: Tensor) -> Self {
        Mse { target, reduction: Reduction::Mean }
    }

    /// The sum over all entries against `target: [N, *]`.
    pub fn sum(target: Tensor) -> Self {
        Mse { target, reduction: Reduction::Sum }
    }

    /// The factor a.
    fn factor(&self, output: &Tensor) -> f64 {
        match self.reduction {
            Reduction::Sum => 1.0,
            Reduction::Mean => 1.0 / output.len() as f64,
        }
    }
}

impl Loss for Mse {
    fn name(&self) -> &str {
        "MSE"
    }

    fn reduction(&self) -> Reduction {
        self.reduction
    }

    fn check(&self, output: &Tensor) -> Result<(), Error> {
        super::check_device("the targets", &self.target, output)?;
        let (output, target) = (output.shape(), self.target.shape());
        if output != target {
            return Err(Error::TargetShape {
                loss: "MSE",
                output: output.to_vec(),
                target: target.to_vec(),
                expected: format!("{output}"),
            });
        }
        Ok(())
    }

    fn claims(&self) -> Vec<FiniteCheck> {
        vec![FiniteCheck::finite(&self.target, "the target")]
    }

    fn values(&self, output: &Tensor) -> Tensor {
        let n = output.shape()[0];
        let squares = output.sub(&self.target).unary(Unary::Square);
        squares.reshape([n, output.len() / n]).sum(1).scale(self.factor(output))
    }

    /// `2a (f − y)`
    fn gradient(&self, output: &Tensor) -> Tensor {
        output.sub(&self.target).scale(2.0 * self.factor(output))
    }

    /// `√(2a) · I`
    fn hessian_root(&self, output: &Tensor, columns: RootColumns) -> Tensor {
        self.hessian(output, columns).root()
    }

    /// `2a · I`
    fn hessian(&self, output: &Tensor, _columns: RootColumns) -> LossHessian {
        LossHessian::scaled_identity(output, 2.0 * self.factor(output))
    }

    /// `√(2a) (f − y)`
    fn gradient_weights(&self, output: &Tensor, _columns: RootColumns) -> Option<Tensor> {
        let n = output.shape()[0];
        let weights = output.sub(&self.target).scale((2.0 * self.factor(output)).sqrt());
        Some(weights.reshape([n, output.len() / n]).permute(&[1, 0]))
    }

    /// `√(2a/M) · ε`, `ε ~ N(0, I)`
    fn monte_carlo_root(
        &self,
        output: &Tensor,
        draws: usize,
        rng: &mut Rng,
    ) -> Result<Tensor, Error> {
        let shape = output.shape().prefixed(&[draws]);
        let noise = Tensor::from_vec(output.device(), shape, rng.normal(shape.size()))?;
        Ok(noise.scale((2.0 * self.factor(output) / draws as f64).sqrt()))
    }
}

//! What stands in the place of a loss where there is none.

use vivit_autodiff::{Error, Loss, Reduction, RootColumns};
use vivit_tensor::{Rng, Tensor};

/// No loss: whoever checks it is refused. (Whoever does not, finds a loss of zero.)
#[derive(Debug)]
pub(crate) struct NoLoss;

impl Loss for NoLoss {
    fn name(&self) -> &str {
        "no loss"
    }

    fn reduction(&self) -> Reduction {
        Reduction::Sum
    }

    fn check(&self, _output: &Tensor) -> Result<(), Error> {
        Err(Error::NoLoss)
    }

    fn values(&self, output: &Tensor) -> Tensor {
        Tensor::zeros(output.device(), [output.shape()[0]])
    }

    fn gradient(&self, output: &Tensor) -> Tensor {
        Tensor::zeros(output.device(), *output.shape())
    }

    fn hessian_root(&self, output: &Tensor, _columns: RootColumns) -> Tensor {
        Tensor::zeros(output.device(), output.shape().prefixed(&[1]))
    }

    fn monte_carlo_root(
        &self,
        output: &Tensor,
        draws: usize,
        _rng: &mut Rng,
    ) -> Result<Tensor, Error> {
        Ok(Tensor::zeros(output.device(), output.shape().prefixed(&[draws])))
    }
}

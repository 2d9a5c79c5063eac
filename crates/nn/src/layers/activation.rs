//! Activations.

use vivit_autodiff::{Tape, Var};
use vivit_tensor::{Backend, Unary};

use crate::{Layer, ShapeError};

/// An elementwise map.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Activation(pub Unary);

/// `max(x, 0)`.
pub fn relu<B: Backend>() -> Box<dyn Layer<B>> {
    Box::new(Activation(Unary::Relu))
}

/// `1 / (1 + e⁻ˣ)`.
pub fn sigmoid<B: Backend>() -> Box<dyn Layer<B>> {
    Box::new(Activation(Unary::Sigmoid))
}

/// The hyperbolic tangent.
pub fn tanh<B: Backend>() -> Box<dyn Layer<B>> {
    Box::new(Activation(Unary::Tanh))
}

impl<B: Backend> Layer<B> for Activation {
    fn name(&self) -> String {
        format!("{:?}", self.0).to_lowercase()
    }

    fn output_shape(&self, input: &[usize]) -> Result<Vec<usize>, ShapeError> {
        Ok(input.to_vec())
    }

    fn record(&self, tape: &mut Tape<B>, _params: &[Var], x: Var) -> Var {
        tape.map(self.0, x)
    }
}

//! Activations.

use serde_json::{Value, json};
use vivit_autodiff::Var;
use vivit_tensor::Unary;

use crate::description::{DescriptionError, DescriptionProblem};
use crate::{Layer, Own, Recorder, ShapeError};

/// An elementwise map.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Activation(pub Unary);

macro_rules! activations {
    ($($(#[$doc:meta])* $name:ident($($par:ident),*) => $unary:expr;)+) => {
        $($(#[$doc])*
        pub fn $name($($par: f64),*) -> Box<dyn Layer> {
            Box::new(Activation($unary))
        })+
    };
}

activations! {
    /// `max(x, 0)`.
    relu() => Unary::Relu;
    /// `1 / (1 + e⁻ˣ)`.
    sigmoid() => Unary::Sigmoid;
    /// The hyperbolic tangent.
    tanh() => Unary::Tanh;
    /// `x` above 0, `slope·x` elsewhere.
    leaky_relu(slope) => Unary::LeakyRelu(slope);
    /// `x` above 0, `alpha (eˣ − 1)` elsewhere.
    elu(alpha) => Unary::Elu(alpha);
    /// The self-normalising ELU.
    selu() => Unary::Selu;
    /// `log σ(x)`.
    log_sigmoid() => Unary::LogSigmoid;
    /// `log(1 + eˣ)`.
    softplus() => Unary::Softplus(1.0);
    /// `x σ(x)` (swish).
    silu() => Unary::Silu;
    /// `x Φ(x)`, exact.
    gelu() => Unary::Gelu;
    /// GELU's tanh approximation.
    gelu_tanh() => Unary::GeluTanh;
    /// `x` clamped between `low` and `high` (PyTorch's defaults: −1 and 1).
    hard_tanh(low, high) => Unary::HardTanh(low, high);
}

impl Layer for Activation {
    fn name(&self) -> String {
        format!("{:?}", self.0).to_lowercase()
    }

    fn output_shape(&self, input: &[usize]) -> Result<Vec<usize>, ShapeError> {
        Ok(input.to_vec())
    }

    fn record(&self, recorder: &mut Recorder<'_>, _own: Own<'_>, x: Var) -> Var {
        recorder.tape.map(self.0, x)
    }

    fn describe(&self) -> Result<Value, DescriptionError> {
        Ok(match self.0 {
            Unary::Relu => json!({"op": "relu"}),
            Unary::Sigmoid => json!({"op": "sigmoid"}),
            Unary::Tanh => json!({"op": "tanh"}),
            Unary::Selu => json!({"op": "selu"}),
            Unary::LogSigmoid => json!({"op": "log_sigmoid"}),
            Unary::Silu => json!({"op": "silu"}),
            Unary::Gelu => json!({"op": "gelu"}),
            Unary::GeluTanh => json!({"op": "gelu_tanh"}),
            Unary::LeakyRelu(slope) => json!({"op": "leaky_relu", "slope": slope}),
            Unary::Elu(alpha) => json!({"op": "elu", "alpha": alpha}),
            Unary::Softplus(beta) => json!({"op": "softplus", "beta": beta}),
            Unary::HardTanh(min, max) => json!({"op": "hard_tanh", "min": min, "max": max}),
            _ => {
                let layer = Layer::name(self);
                return Err(DescriptionError::new(DescriptionProblem::NotDescribed { layer }));
            }
        })
    }
}

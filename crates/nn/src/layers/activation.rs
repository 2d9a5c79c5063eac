//! Activations.

use serde_json::Value;
use vivit_autodiff::Var;
use vivit_tensor::Unary;

use crate::description::entry::Described;
use crate::description::error::DescriptionError;
use crate::description::options::Options;
use crate::description::value::OptionValue;
use crate::graph::function_node;
use crate::{Error, Layer, LayerArrays, LayerState, Node, NodeWriter, Recorder, ShapeError};

/// An elementwise map: the result has the shape of the input.
///
/// ```
/// use vivit_nn::{Activation, Layer};
/// use vivit_tensor::Unary;
///
/// assert_eq!(Activation(Unary::Exp).output_shape(&[2, 3])?, [2, 3]);
/// # Ok::<(), vivit_nn::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Activation(pub Unary);

/// One line per activation: its op in descriptions, its map, and its options with their defaults.
/// Then ops that are short for another one with certain options, and are written as that.
macro_rules! activations {
    (
        $($op:literal => $map:ident $(($($var:ident: $option:literal = $default:expr),+))?;)+
        short: $($short:literal => $full:expr;)+
    ) => {
        impl Described for Activation {
            const OPS: &'static [&'static str] = &[$($op,)+ $($short),+];

            fn op(&self) -> Option<&'static str> {
                match self.0 {
                    $(Unary::$map $(($($var),+))? => {
                        $($(let _ = $var;)+)?
                        Some($op)
                    })+
                    _ => None,
                }
            }

            fn read(o: Options<'_>) -> Result<Self, DescriptionError> {
                $(if o.op() == $op {
                    o.only(&[$($($option),+)?])?;
                    return Ok(Activation(Unary::$map $(($(o.value_or($option, $default)?),+))?));
                })+
                $(if o.op() == $short {
                    o.only(&[])?;
                    return Ok(Activation($full));
                })+
                unreachable!("all ops are listed")
            }

            fn write(&self) -> Result<Vec<(&'static str, Value)>, DescriptionError> {
                Ok(match self.0 {
                    $(Unary::$map $(($($var),+))? => {
                        vec![$($(($option, $var.to_json())),+)?]
                    })+
                    _ => Vec::new(),
                })
            }
        }
    };
}

activations! {
    "relu" => Relu;
    "sigmoid" => Sigmoid;
    "tanh" => Tanh;
    "selu" => Selu;
    "log_sigmoid" => LogSigmoid;
    "silu" => Silu;
    "gelu" => Gelu;
    "gelu_tanh" => GeluTanh;
    "leaky_relu" => LeakyRelu(slope: "slope" = 0.01);
    "elu" => Elu(alpha: "alpha" = 1.0);
    "softplus" => Softplus(beta: "beta" = 1.0);
    "hard_tanh" => HardTanh(low: "min" = -1.0, high: "max" = 1.0);
    "hard_sigmoid" => HardSigmoid(alpha: "alpha" = 1.0 / 6.0, beta: "beta" = 0.5);
    "hard_swish" => HardSwish;
    "mish" => Mish;
    "softsign" => Softsign;
    "celu" => Celu(alpha: "alpha" = 1.0);
    short:
    "relu6" => Unary::HardTanh(0.0, 6.0);
}

macro_rules! functions {
    ($($(#[$doc:meta])* $name:ident($($par:ident),*) => $unary:expr;)+) => {
        $($(#[$doc])*
        pub fn $name($($par: f64),*) -> Box<dyn Layer> {
            Activation($unary).boxed()
        })+
    };
}

functions! {
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
    /// `x` clamped between 0 and 6: a [`hard_tanh`].
    relu6() => Unary::HardTanh(0.0, 6.0);
    /// `x/6 + 1/2` clamped between 0 and 1.
    hard_sigmoid() => Unary::HardSigmoid(1.0 / 6.0, 0.5);
    /// `x` times [`hard_sigmoid`] of it.
    hard_swish() => Unary::HardSwish;
    /// `x tanh(log(1 + eˣ))`.
    mish() => Unary::Mish;
    /// `x / (1 + |x|)`.
    softsign() => Unary::Softsign;
    /// `x` above 0, `alpha (e^(x/alpha) − 1)` elsewhere.
    celu(alpha) => Unary::Celu(alpha);
}

impl Layer for Activation {
    fn name(&self) -> String {
        format!("{:?}", self.0).to_lowercase()
    }

    fn output_shape(&self, input: &[usize]) -> Result<Vec<usize>, ShapeError> {
        Ok(input.to_vec())
    }

    fn record(&self, recorder: &mut Recorder<'_>, _state: LayerState<'_>, x: Var) -> Var {
        recorder.tape.map(self.0, x)
    }

    fn nodes(&self, writer: &mut NodeWriter, _: LayerArrays<'_>, x: &str) -> Result<String, Error> {
        if let Unary::Powf(exponent) = self.0 {
            let arguments = vec![Some(x.into()), Some(exponent.into())];
            return Ok(writer.add(Node::new("pow", &[], "").taking(arguments)));
        }
        let Some((op, options)) = function_node(self.0) else {
            return Err(writer.refused(self.name(), "there is no such operation"));
        };
        let mut node = Node::new(op, &[x], "");
        for (option, value) in options {
            if !value.is_finite() {
                let reason = format!("{option} = {value} can't be written");
                return Err(writer.refused(self.name(), reason));
            }
            node = node.with(option, value);
        }
        Ok(writer.add(node))
    }
}

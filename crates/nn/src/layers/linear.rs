//! Affine maps of the last axis.

use serde_json::{Value, json};
use vivit_autodiff::Var;

use crate::description::DescriptionError;
use crate::{Init, Layer, Own, ParamSpec, Recorder, ShapeError};

/// `x Wᵀ + b` along the last axis; any number of axes between it and the sample axis.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Linear {
    /// In-features.
    pub inputs: usize,
    /// Out-features.
    pub outputs: usize,
    /// Whether there is a bias.
    pub bias: bool,
}

/// A [`Linear`] layer with a bias.
pub fn linear(inputs: usize, outputs: usize) -> Box<dyn Layer> {
    Box::new(Linear { inputs, outputs, bias: true })
}

impl Layer for Linear {
    fn name(&self) -> String {
        format!("linear {}→{}", self.inputs, self.outputs)
    }

    fn params(&self) -> Vec<ParamSpec> {
        let init = Init::fan_in(self.inputs);
        let mut params = vec![ParamSpec::new("weight", &[self.outputs, self.inputs], init)];
        params.extend(self.bias.then(|| ParamSpec::new("bias", &[self.outputs], init)));
        params
    }

    fn output_shape(&self, input: &[usize]) -> Result<Vec<usize>, ShapeError> {
        if self.inputs == 0 || self.outputs == 0 {
            return Err(ShapeError::new(
                Layer::name(self),
                "needs at least one feature on both sides",
            ));
        }
        match input.split_last() {
            Some((&last, front)) if last == self.inputs => Ok([front, &[self.outputs]].concat()),
            _ => Err(ShapeError::new(
                Layer::name(self),
                format!(
                    "needs {} features on the last axis, but a sample has shape {input:?}",
                    self.inputs
                ),
            )),
        }
    }

    fn record(&self, recorder: &mut Recorder<'_>, own: Own<'_>, x: Var) -> Var {
        recorder.tape.linear(x, own.params[0], own.params.get(1).copied())
    }

    fn describe(&self) -> Result<Value, DescriptionError> {
        Ok(json!({"op": "linear", "in": self.inputs, "out": self.outputs, "bias": self.bias}))
    }
}

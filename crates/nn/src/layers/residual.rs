//! Layers made of layers, and layers that repeat others.

use serde_json::{Value, json};
use vivit_autodiff::Var;

use crate::description::{self, DescriptionError};
use crate::layer::Row;
use crate::{Error, Layer, Own, ParamSpec, Recorder, ShapeError};

/// `x + body(x)`. Its parameters are called `body.0.weight` and so on.
#[derive(Debug)]
pub struct Residual {
    body: Row,
}

/// A [`Residual`] block around a row of layers.
pub fn residual(body: Vec<Box<dyn Layer>>) -> Box<dyn Layer> {
    Box::new(Residual { body: Row(body.into()) })
}

impl Layer for Residual {
    fn name(&self) -> String {
        "residual".into()
    }

    fn params(&self) -> Vec<ParamSpec> {
        let named = |spec: ParamSpec| ParamSpec { name: format!("body.{}", spec.name), ..spec };
        self.body.params().into_iter().map(named).collect()
    }

    fn buffers(&self) -> Vec<ParamSpec> {
        let named = |spec: ParamSpec| ParamSpec { name: format!("body.{}", spec.name), ..spec };
        self.body.buffers().into_iter().map(named).collect()
    }

    fn output_shape(&self, input: &[usize]) -> Result<Vec<usize>, ShapeError> {
        let output = self.body.output_shape(input).map_err(|error| error.inside("body"))?;
        if output == input {
            return Ok(output);
        }
        let reason = format!(
            "its body turns samples of shape {input:?} into {output:?}, which can't be added to \
             them"
        );
        Err(ShapeError::new(Layer::name(self), reason))
    }

    fn record(&self, recorder: &mut Recorder<'_>, own: Own<'_>, x: Var) -> Var {
        let y = self.body.record(recorder, own, x);
        recorder.tape.add(x, y)
    }

    fn check(&self) -> Result<(), Error> {
        self.body.check("body.")
    }

    fn describe(&self) -> Result<Value, DescriptionError> {
        let body = description::of(&self.body.0).map_err(|error| error.inside("body"))?;
        Ok(json!({"op": "residual", "body": body}))
    }
}

/// An earlier layer of the same row once more, with the same parameters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shared {
    /// Position of the earlier layer.
    pub layer: usize,
}

/// The layer at position `layer` of the same row once more, with the same parameters.
pub fn shared(layer: usize) -> Box<dyn Layer> {
    Box::new(Shared { layer })
}

impl Layer for Shared {
    fn name(&self) -> String {
        format!("layer {} again", self.layer)
    }

    fn output_shape(&self, _input: &[usize]) -> Result<Vec<usize>, ShapeError> {
        Err(ShapeError::new(Layer::name(self), "stands outside a row of layers"))
    }

    fn record(&self, _recorder: &mut Recorder<'_>, _own: Own<'_>, x: Var) -> Var {
        x // never reached: the row runs the layer that this one names
    }

    fn shares(&self) -> Option<usize> {
        Some(self.layer)
    }

    fn describe(&self) -> Result<Value, DescriptionError> {
        Ok(json!({"op": "shared", "layer": self.layer}))
    }
}

//! Layers made of layers, and layers that repeat others.

use vivit_autodiff::Var;

use crate::description::entry::described;
use crate::layer_list::LayerList;
use crate::{
    Error, Layer, LayerArrays, LayerState, Node, NodeWriter, ParamSpec, Recorder, ShapeError,
};

/// `x + body(x)`. Its parameters are called `body.0.weight` and so on.
///
/// The body must keep the shape of its samples.
///
/// ```
/// use vivit_nn::{Layer, Residual, linear, relu};
///
/// let layer = Residual::new(vec![linear(4, 8), relu(), linear(8, 4)]);
/// assert_eq!(layer.output_shape(&[4])?, [4]);
/// assert_eq!(layer.params()[2].name, "body.2.weight");
/// # Ok::<(), vivit_nn::Error>(())
/// ```
#[derive(Debug)]
pub struct Residual {
    body: LayerList,
}

impl Residual {
    /// Around a row of layers.
    pub fn new(body: Vec<Box<dyn Layer>>) -> Self {
        Residual { body: body.into() }
    }

    /// The row of layers.
    pub fn body(&self) -> &[Box<dyn Layer>] {
        self.body.layers()
    }
}

/// A [`Residual`] block around a row of layers.
pub fn residual(body: Vec<Box<dyn Layer>>) -> Box<dyn Layer> {
    Residual::new(body).boxed()
}

impl Layer for Residual {
    fn name(&self) -> String {
        "residual".into()
    }

    fn params(&self) -> Vec<ParamSpec> {
        self.body.params().into_iter().map(|spec| spec.inside("body")).collect()
    }

    fn buffers(&self) -> Vec<ParamSpec> {
        self.body.buffers().into_iter().map(|spec| spec.inside("body")).collect()
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
        Err(ShapeError::new(self.name(), reason))
    }

    fn record(&self, recorder: &mut Recorder<'_>, state: LayerState<'_>, x: Var) -> Var {
        let y = self.body.record(recorder, state, x);
        recorder.tape.add(x, y)
    }

    fn check(&self) -> Result<(), Error> {
        self.body.check("body.")
    }

    fn nodes(
        &self,
        writer: &mut NodeWriter,
        arrays: LayerArrays<'_>,
        x: &str,
    ) -> Result<String, Error> {
        let y = writer.inside("body", |writer| self.body.nodes(writer, arrays, x))?;
        Ok(writer.add(Node::new("add", &[x, &y], "")))
    }
}

/// An earlier layer of the same row once more, with the same parameters.
///
/// ```
/// use vivit_nn::{Sequential, linear, shared, tanh};
/// use vivit_tensor::Device;
///
/// let layers = vec![linear(3, 3), tanh(), shared(0)];
/// assert_eq!(Sequential::new(&Device::cpu(), layers, 0)?.params().len(), 2);
/// # Ok::<(), vivit_nn::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Shared {
    /// Position of the earlier layer.
    pub layer: usize,
}

impl Shared {
    /// The layer at position `layer` of the same row once more.
    pub fn new(layer: usize) -> Self {
        Shared { layer }
    }
}

described! {
    impl Shared as &["shared"];
    layer: "layer",
}

/// The layer at position `layer` of the same row once more, with the same parameters.
pub fn shared(layer: usize) -> Box<dyn Layer> {
    Shared::new(layer).boxed()
}

impl Layer for Shared {
    fn name(&self) -> String {
        format!("layer {} again", self.layer)
    }

    fn output_shape(&self, _input: &[usize]) -> Result<Vec<usize>, ShapeError> {
        Err(ShapeError::new(self.name(), "stands outside a row of layers"))
    }

    fn record(&self, _recorder: &mut Recorder<'_>, _state: LayerState<'_>, x: Var) -> Var {
        x // never reached: the row runs the layer that this one names
    }

    fn shares(&self) -> Option<usize> {
        Some(self.layer)
    }
}

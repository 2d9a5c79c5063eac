//! Affine maps of the last axis.

use vivit_autodiff::Var;

use crate::description::entry::described;
use crate::{
    Error, Init, Layer, LayerArrays, LayerState, NodeWriter, ParamSpec, Recorder, ShapeError,
};

/// `x Wᵀ + b` along the last axis: samples `[*, inputs]` to `[*, outputs]`. Its parameters are
/// `weight [outputs, inputs]` and `bias [outputs]`, uniform in `±1/√inputs` at first.
///
/// ```
/// use vivit_nn::{Layer, Linear};
///
/// let layer = Linear::new(4, 3).without_bias();
/// assert_eq!(layer.output_shape(&[5, 4])?, [5, 3]);
/// # Ok::<(), vivit_nn::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Linear {
    /// In-features.
    pub inputs: usize,
    /// Out-features.
    pub outputs: usize,
    /// Whether there is a bias.
    pub bias: bool,
}

impl Linear {
    /// With a bias.
    pub fn new(inputs: usize, outputs: usize) -> Self {
        Linear { inputs, outputs, bias: true }
    }

    /// The same without a bias.
    #[must_use]
    pub fn without_bias(self) -> Self {
        Linear { bias: false, ..self }
    }
}

/// A [`Linear`] layer with a bias.
pub fn linear(inputs: usize, outputs: usize) -> Box<dyn Layer> {
    Linear::new(inputs, outputs).boxed()
}

described! {
    impl Linear as &["linear"];
    inputs: "in", outputs: "out", bias: "bias" = true,
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
            return Err(ShapeError::new(self.name(), "needs at least one feature on both sides"));
        }
        match input.split_last() {
            Some((&last, front)) if last == self.inputs => Ok([front, &[self.outputs]].concat()),
            _ => Err(ShapeError::new(
                self.name(),
                format!(
                    "needs {} features on the last axis, but a sample has shape {input:?}",
                    self.inputs
                ),
            )),
        }
    }

    fn record(&self, recorder: &mut Recorder<'_>, state: LayerState<'_>, x: Var) -> Var {
        recorder.tape.linear(x, state.params[0], state.params.get(1).copied())
    }

    fn nodes(
        &self,
        writer: &mut NodeWriter,
        arrays: LayerArrays<'_>,
        x: &str,
    ) -> Result<String, Error> {
        Ok(writer.add(arrays.node("linear", x)))
    }
}

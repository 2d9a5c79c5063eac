//! Normalisation of every channel of a sample by itself.

use vivit_autodiff::Var;

use crate::description::entry::described;
use crate::layers::norm::affine;
use crate::{Error, Layer, LayerArrays, LayerState, NodeWriter, ParamSpec, Recorder, ShapeError};

/// Instance norm of `[C, *]` samples.
///
/// `y = w (x − mean)/√(variance + ε) + b` with mean and variance over the positions of a channel;
/// with [`affine`](InstanceNorm::affine) there are the parameters `weight [C]` and `bias [C]`.
/// Samples keep their shape. (PyTorch's `InstanceNorm1d` to `InstanceNorm3d` without running
/// statistics.)
///
/// ```
/// use vivit_nn::{InstanceNorm, Layer};
///
/// let layer = InstanceNorm::new(3).over_axes(2).affine();
/// assert_eq!(layer.output_shape(&[3, 4, 4])?, [3, 4, 4]);
/// assert_eq!(layer.params()[0].name, "weight");
/// # Ok::<(), vivit_nn::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub struct InstanceNorm {
    /// Channels.
    pub features: usize,
    /// Spatial axes: 1 to 3; `None` for any number, at least one.
    pub axes: Option<usize>,
    /// Added to the variance.
    pub epsilon: f64,
    /// Whether there are weight and bias.
    pub affine: bool,
}

impl InstanceNorm {
    /// PyTorch's defaults: ε = 1e-5, without weight and bias.
    pub fn new(features: usize) -> Self {
        InstanceNorm { features, axes: None, epsilon: 1e-5, affine: false }
    }

    /// The same for samples of a number of spatial axes, as PyTorch's `InstanceNorm1d` to
    /// `InstanceNorm3d`; a sample with others is an error.
    #[must_use]
    pub fn over_axes(self, axes: usize) -> Self {
        InstanceNorm { axes: Some(axes), ..self }
    }

    /// The same with another number added to the variance.
    #[must_use]
    pub fn epsilon(self, epsilon: f64) -> Self {
        InstanceNorm { epsilon, ..self }
    }

    /// The same with weight and bias.
    #[must_use]
    pub fn affine(self) -> Self {
        InstanceNorm { affine: true, ..self }
    }
}

/// An [`InstanceNorm`] layer with PyTorch's defaults.
pub fn instance_norm(features: usize) -> Box<dyn Layer> {
    InstanceNorm::new(features).boxed()
}

described! {
    impl InstanceNorm as
        &["instance_norm", "instance_norm1d", "instance_norm2d", "instance_norm3d"],
        by axes: [None, Some(1), Some(2), Some(3)];
    features: "features", epsilon: "eps" = 1e-5, affine: "affine" = false,
}

impl Layer for InstanceNorm {
    fn name(&self) -> String {
        format!("instance_norm {}", self.features)
    }

    fn params(&self) -> Vec<ParamSpec> {
        affine(&[self.features], self.affine, self.affine)
    }

    fn output_shape(&self, input: &[usize]) -> Result<Vec<usize>, ShapeError> {
        let axes_fit = self.axes.is_none_or(|axes| input.len() == axes + 1);
        if input.len() > 1 && input[0] == self.features && axes_fit && !input.contains(&0) {
            return Ok(input.to_vec());
        }
        let axes = self.axes.map_or_else(String::new, |axes| format!(" and {axes} more axes"));
        let reason = format!(
            "needs {} channels on a sample's first axis{axes}, but a sample has shape {input:?}",
            self.features
        );
        Err(ShapeError::new(self.name(), reason))
    }

    fn record(&self, recorder: &mut Recorder<'_>, state: LayerState<'_>, x: Var) -> Var {
        let (weight, bias) = (state.params.first().copied(), state.params.get(1).copied());
        recorder.tape.instance_norm(x, weight, bias, self.epsilon)
    }

    fn nodes(
        &self,
        writer: &mut NodeWriter,
        arrays: LayerArrays<'_>,
        x: &str,
    ) -> Result<String, Error> {
        Ok(writer.add(arrays.node("instance_norm", x).with("epsilon", self.epsilon)))
    }
}

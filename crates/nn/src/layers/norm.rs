//! Normalisation layers.

use serde_json::Value;
use vivit_autodiff::Var;
use vivit_autodiff::ops::BatchNormalize;
use vivit_tensor::Tensor;

use crate::description::entry::{Described, described};
use crate::description::error::DescriptionError;
use crate::description::options::Options;
use crate::description::value::OptionValue;
use crate::{
    Argument, Error, Init, Layer, LayerArrays, LayerState, Mode, Node, NodeWriter, ParamSpec,
    Recorder, ShapeError,
};

/// Weight 1 and bias 0 of the given shape.
pub(super) fn affine(shape: &[usize], weight: bool, bias: bool) -> Vec<ParamSpec> {
    let weight = weight.then(|| ParamSpec::new("weight", shape, Init::Constant(1.0)));
    let bias = bias.then(|| ParamSpec::new("bias", shape, Init::Constant(0.0)));
    weight.into_iter().chain(bias).collect()
}

/// Batch norm of `[C, *]` samples with any number of positions. In evaluation mode it uses running
/// statistics and treats samples separately; in training mode it couples them, so that there are
/// plain gradients only.
///
/// `y = w (x − mean)/√(variance + ε) + b` per channel; parameters `weight [C]` and `bias [C]`,
/// buffers `running_mean [C]` and `running_var [C]`. Samples keep their shape.
///
/// ```
/// use vivit_nn::{BatchNorm, Layer};
///
/// let layer = BatchNorm::new(3).over_axes(2).momentum(0.2);
/// assert_eq!(layer.output_shape(&[3, 4, 4])?, [3, 4, 4]);
/// assert_eq!(layer.buffers()[1].name, "running_var");
/// # Ok::<(), vivit_nn::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub struct BatchNorm {
    /// Channels.
    pub features: usize,
    /// Spatial axes: 0 or 1 for `batch_norm1d`, 2, 3; `None` for any number.
    pub axes: Option<usize>,
    /// Added to the variance.
    pub epsilon: f64,
    /// Share of the batch's statistics in the new running ones.
    pub momentum: f64,
    /// Whether there are weight and bias.
    pub affine: bool,
}

impl BatchNorm {
    /// PyTorch's defaults: ε = 1e-5, momentum 0.1, with weight and bias.
    pub fn new(features: usize) -> Self {
        BatchNorm { features, axes: None, epsilon: 1e-5, momentum: 0.1, affine: true }
    }

    /// The same for samples of a number of spatial axes, as PyTorch's `BatchNorm1d` to
    /// `BatchNorm3d`; a sample with others is an error.
    #[must_use]
    pub fn over_axes(self, axes: usize) -> Self {
        BatchNorm { axes: Some(axes), ..self }
    }

    /// The same with another number added to the variance.
    #[must_use]
    pub fn epsilon(self, epsilon: f64) -> Self {
        BatchNorm { epsilon, ..self }
    }

    /// The same with another share of the batch's statistics in the new running ones.
    #[must_use]
    pub fn momentum(self, momentum: f64) -> Self {
        BatchNorm { momentum, ..self }
    }

    /// The same without weight and bias.
    #[must_use]
    pub fn without_affine(self) -> Self {
        BatchNorm { affine: false, ..self }
    }
}

/// A [`BatchNorm`] layer.
pub fn batch_norm(features: usize) -> Box<dyn Layer> {
    BatchNorm::new(features).boxed()
}

described! {
    impl BatchNorm as &["batch_norm", "batch_norm1d", "batch_norm2d", "batch_norm3d"],
        by axes: [None, Some(1), Some(2), Some(3)];
    features: "features", epsilon: "eps" = 1e-5,
    momentum: "momentum" = 0.1, affine: "affine" = true,
}

impl Layer for BatchNorm {
    fn name(&self) -> String {
        format!("batch_norm {}", self.features)
    }

    fn params(&self) -> Vec<ParamSpec> {
        affine(&[self.features], self.affine, self.affine)
    }

    fn buffers(&self) -> Vec<ParamSpec> {
        let buffer = |name, value| ParamSpec::new(name, &[self.features], Init::Constant(value));
        vec![buffer("running_mean", 0.0), buffer("running_var", 1.0)]
    }

    fn output_shape(&self, input: &[usize]) -> Result<Vec<usize>, ShapeError> {
        let axes_fit =
            self.axes.is_none_or(|axes| input.len() == axes + 1 || (axes == 1 && input.len() == 1));
        if input.first() == Some(&self.features) && axes_fit {
            return Ok(input.to_vec());
        }
        let reason = format!(
            "needs {} channels on a sample's first axis, but a sample has shape {input:?}",
            self.features
        );
        Err(ShapeError::new(self.name(), reason))
    }

    fn record(&self, recorder: &mut Recorder<'_>, state: LayerState<'_>, x: Var) -> Var {
        let (weight, bias) = (state.params.first().copied(), state.params.get(1).copied());
        if recorder.mode == Mode::Evaluation {
            let statistics = (&state.buffers[0], &state.buffers[1]);
            return recorder.tape.batch_norm(x, statistics, weight, bias, self.epsilon);
        }
        let value = recorder.tape.value(x);
        let (mean, variance) = BatchNormalize::statistics(value);
        // Running variances are unbiased, as PyTorch's are.
        let count = (value.len() / self.features) as f64;
        let unbiased = if count > 1.0 { count / (count - 1.0) } else { 1.0 };
        let update = |running: &Tensor, new: &Tensor, factor: f64| {
            let mut updated = running.scale(1.0 - self.momentum);
            updated.axpy(self.momentum * factor, new);
            updated
        };
        state.buffers[0] = update(&state.buffers[0], &mean, 1.0);
        state.buffers[1] = update(&state.buffers[1], &variance, unbiased);
        recorder.tape.batch_norm_training(x, weight, bias, self.epsilon)
    }

    fn nodes(
        &self,
        writer: &mut NodeWriter,
        arrays: LayerArrays<'_>,
        x: &str,
    ) -> Result<String, Error> {
        let named = |names: &[String], at: usize| names.get(at).map(|name| name.as_str().into());
        let inputs = vec![
            Some(x.into()),
            named(arrays.params, 0),
            named(arrays.params, 1),
            named(arrays.buffers, 0),
            named(arrays.buffers, 1),
        ];
        let node = Node::new("batch_norm", &[], "").taking(inputs);
        Ok(writer.add(node.with("epsilon", self.epsilon)))
    }
}

/// Layer norm over the last axes of a sample.
///
/// `y = w (x − mean)/√(variance + ε) + b` with mean and variance over those axes; parameters
/// `weight` and `bias` of their lengths. Samples keep their shape.
///
/// ```
/// use vivit_nn::{Layer, LayerNorm};
///
/// let layer = LayerNorm::new(&[4]).epsilon(1e-6).without_bias();
/// assert_eq!(layer.output_shape(&[7, 4])?, [7, 4]);
/// # Ok::<(), vivit_nn::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct LayerNorm {
    /// Lengths of those axes.
    pub shape: Vec<usize>,
    /// Added to the variance.
    pub epsilon: f64,
    /// Whether there is a weight.
    pub weight: bool,
    /// Whether there is a bias.
    pub bias: bool,
}

impl LayerNorm {
    /// PyTorch's defaults over the last axes, of the given lengths: ε = 1e-5, with weight and bias.
    pub fn new(shape: &[usize]) -> Self {
        LayerNorm { shape: shape.to_vec(), epsilon: 1e-5, weight: true, bias: true }
    }

    /// The same with another number added to the variance.
    #[must_use]
    pub fn epsilon(self, epsilon: f64) -> Self {
        LayerNorm { epsilon, ..self }
    }

    /// The same without a bias.
    #[must_use]
    pub fn without_bias(self) -> Self {
        LayerNorm { bias: false, ..self }
    }

    /// The same without weight and bias.
    #[must_use]
    pub fn without_affine(self) -> Self {
        LayerNorm { weight: false, bias: false, ..self }
    }
}

/// A [`LayerNorm`] layer over the last axes, of the given lengths, with PyTorch's defaults.
pub fn layer_norm(shape: &[usize]) -> Box<dyn Layer> {
    LayerNorm::new(shape).boxed()
}

impl Described for LayerNorm {
    const OPS: &'static [&'static str] = &["layer_norm"];

    fn read(o: Options<'_>) -> Result<Self, DescriptionError> {
        o.only(&["shape", "eps", "affine", "weight", "bias"])?;
        let affine = o.value_or("affine", true)?;
        Ok(LayerNorm {
            shape: o.value("shape")?,
            epsilon: o.value_or("eps", 1e-5)?,
            weight: o.value_or("weight", true)? && affine,
            bias: o.value_or("bias", true)? && affine,
        })
    }

    fn write(&self) -> Result<Vec<(&'static str, Value)>, DescriptionError> {
        Ok(vec![
            ("shape", self.shape.to_json()),
            ("eps", self.epsilon.to_json()),
            ("weight", self.weight.to_json()),
            ("bias", self.bias.to_json()),
        ])
    }
}

impl Layer for LayerNorm {
    fn name(&self) -> String {
        format!("layer_norm {:?}", self.shape)
    }

    fn params(&self) -> Vec<ParamSpec> {
        affine(&self.shape, self.weight, self.bias)
    }

    fn output_shape(&self, input: &[usize]) -> Result<Vec<usize>, ShapeError> {
        if !self.shape.is_empty() && !self.shape.contains(&0) && input.ends_with(&self.shape) {
            return Ok(input.to_vec());
        }
        let reason =
            format!("needs samples that end in {:?}, but a sample has shape {input:?}", self.shape);
        Err(ShapeError::new(self.name(), reason))
    }

    fn record(&self, recorder: &mut Recorder<'_>, state: LayerState<'_>, x: Var) -> Var {
        let weight = self.weight.then(|| state.params[0]);
        let bias = self.bias.then(|| state.params[usize::from(self.weight)]);
        recorder.tape.layer_norm(x, self.shape.len(), weight, bias, self.epsilon)
    }

    fn nodes(
        &self,
        writer: &mut NodeWriter,
        arrays: LayerArrays<'_>,
        x: &str,
    ) -> Result<String, Error> {
        let mut params = arrays.params.iter();
        let mut named = |given: bool| -> Option<Argument> {
            given.then(|| params.next()).flatten().map(|name| name.as_str().into())
        };
        let inputs = vec![Some(x.into()), named(self.weight), named(self.bias)];
        let node = Node::new("layer_norm", &[], "").taking(inputs);
        Ok(writer.add(node.with("axis", -(self.shape.len() as i64)).with("epsilon", self.epsilon)))
    }
}

/// Group norm of `[C, *]` samples.
///
/// `y = w (x − mean)/√(variance + ε) + b` with mean and variance over a group of channels and all
/// positions; parameters `weight [C]` and `bias [C]`. Samples keep their shape.
///
/// ```
/// use vivit_nn::{GroupNorm, Layer};
///
/// assert_eq!(GroupNorm::new(2, 6).output_shape(&[6, 5])?, [6, 5]);
/// # Ok::<(), vivit_nn::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub struct GroupNorm {
    /// Groups of channels that are normalised together.
    pub groups: usize,
    /// Channels.
    pub channels: usize,
    /// Added to the variance.
    pub epsilon: f64,
    /// Whether there are weight and bias.
    pub affine: bool,
}

impl GroupNorm {
    /// PyTorch's defaults: ε = 1e-5, with weight and bias.
    pub fn new(groups: usize, channels: usize) -> Self {
        GroupNorm { groups, channels, epsilon: 1e-5, affine: true }
    }

    /// The same with another number added to the variance.
    #[must_use]
    pub fn epsilon(self, epsilon: f64) -> Self {
        GroupNorm { epsilon, ..self }
    }

    /// The same without weight and bias.
    #[must_use]
    pub fn without_affine(self) -> Self {
        GroupNorm { affine: false, ..self }
    }
}

described! {
    impl GroupNorm as &["group_norm"];
    groups: "groups", channels: "channels", epsilon: "eps" = 1e-5, affine: "affine" = true,
}

/// A [`GroupNorm`] layer with PyTorch's defaults.
pub fn group_norm(groups: usize, channels: usize) -> Box<dyn Layer> {
    GroupNorm::new(groups, channels).boxed()
}

impl Layer for GroupNorm {
    fn name(&self) -> String {
        format!("group_norm {} groups of {} channels", self.groups, self.channels)
    }

    fn params(&self) -> Vec<ParamSpec> {
        affine(&[self.channels], self.affine, self.affine)
    }

    fn output_shape(&self, input: &[usize]) -> Result<Vec<usize>, ShapeError> {
        let error = |reason| Err(ShapeError::new(self.name(), reason));
        if self.groups == 0 || self.channels % self.groups != 0 {
            return error(format!(
                "{} groups do not divide {} channels",
                self.groups, self.channels
            ));
        }
        if input.first() != Some(&self.channels) || input.contains(&0) {
            return error(format!(
                "needs {} channels on a sample's first axis, but a sample has shape {input:?}",
                self.channels
            ));
        }
        Ok(input.to_vec())
    }

    fn record(&self, recorder: &mut Recorder<'_>, state: LayerState<'_>, x: Var) -> Var {
        let (weight, bias) = (state.params.first().copied(), state.params.get(1).copied());
        recorder.tape.group_norm(x, self.groups, weight, bias, self.epsilon)
    }

    fn nodes(
        &self,
        writer: &mut NodeWriter,
        arrays: LayerArrays<'_>,
        x: &str,
    ) -> Result<String, Error> {
        let node = arrays.node("group_norm", x).with("groups", self.groups);
        Ok(writer.add(node.with("epsilon", self.epsilon)))
    }
}

/// RMS norm over the last axis: `x / √(mean(x²) + ε)` times a weight.
///
/// The parameter is `weight [features]`. Samples `[*, features]` keep their shape.
///
/// ```
/// use vivit_nn::{Layer, RmsNorm};
///
/// assert_eq!(RmsNorm::new(4).output_shape(&[7, 4])?, [7, 4]);
/// # Ok::<(), vivit_nn::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub struct RmsNorm {
    /// Length of the last axis.
    pub features: usize,
    /// Added to the mean square.
    pub epsilon: f64,
}

impl RmsNorm {
    /// Over the last axis, of length `features`, with ε = 1e-6.
    pub fn new(features: usize) -> Self {
        RmsNorm { features, epsilon: 1e-6 }
    }

    /// The same with another number added to the mean square.
    #[must_use]
    pub fn epsilon(self, epsilon: f64) -> Self {
        RmsNorm { epsilon, ..self }
    }
}

described! {
    impl RmsNorm as &["rms_norm"];
    features: "features", epsilon: "eps" = 1e-6,
}

/// An [`RmsNorm`] layer.
pub fn rms_norm(features: usize, epsilon: f64) -> Box<dyn Layer> {
    RmsNorm::new(features).epsilon(epsilon).boxed()
}

impl Layer for RmsNorm {
    fn name(&self) -> String {
        format!("rms_norm {}", self.features)
    }

    fn params(&self) -> Vec<ParamSpec> {
        affine(&[self.features], true, false)
    }

    fn output_shape(&self, input: &[usize]) -> Result<Vec<usize>, ShapeError> {
        if self.features > 0 && input.last() == Some(&self.features) {
            return Ok(input.to_vec());
        }
        let reason = format!(
            "needs {} features on the last axis, but a sample has shape {input:?}",
            self.features
        );
        Err(ShapeError::new(self.name(), reason))
    }

    fn record(&self, recorder: &mut Recorder<'_>, state: LayerState<'_>, x: Var) -> Var {
        recorder.tape.rms_norm(x, Some(state.params[0]), self.epsilon)
    }

    fn nodes(
        &self,
        writer: &mut NodeWriter,
        arrays: LayerArrays<'_>,
        x: &str,
    ) -> Result<String, Error> {
        let node = arrays.node("rms_norm", x).with("axis", -1);
        Ok(writer.add(node.with("epsilon", self.epsilon)))
    }
}

//! Normalisation layers.

use serde_json::{Value, json};
use vivit_autodiff::Var;
use vivit_autodiff::ops::BatchNormalize;
use vivit_tensor::Tensor;

use crate::description::DescriptionError;
use crate::{Init, Layer, Mode, Own, ParamSpec, Recorder, ShapeError};

/// Weight 1 and bias 0 of the given shape.
fn affine(shape: &[usize], weight: bool, bias: bool) -> Vec<ParamSpec> {
    let weight = weight.then(|| ParamSpec::new("weight", shape, Init::Constant(1.0)));
    let bias = bias.then(|| ParamSpec::new("bias", shape, Init::Constant(0.0)));
    weight.into_iter().chain(bias).collect()
}

/// Batch norm of `[C, *]` samples with any number of positions. In evaluation mode it uses running
/// statistics and treats samples separately; in training mode it couples them, so that there are
/// plain gradients only.
#[derive(Clone, Copy, Debug, PartialEq)]
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
}

/// A [`BatchNorm`] layer.
pub fn batch_norm(features: usize) -> Box<dyn Layer> {
    Box::new(BatchNorm::new(features))
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
        Err(ShapeError::new(Layer::name(self), reason))
    }

    fn record(&self, recorder: &mut Recorder<'_>, own: Own<'_>, x: Var) -> Var {
        let (weight, bias) = (own.params.first().copied(), own.params.get(1).copied());
        if recorder.mode == Mode::Evaluation {
            let statistics = (&own.buffers[0], &own.buffers[1]);
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
        own.buffers[0] = update(&own.buffers[0], &mean, 1.0);
        own.buffers[1] = update(&own.buffers[1], &variance, unbiased);
        recorder.tape.batch_norm_training(x, weight, bias, self.epsilon)
    }

    fn describe(&self) -> Result<Value, DescriptionError> {
        let op = self.axes.map_or("batch_norm".into(), |axes| format!("batch_norm{axes}d"));
        let BatchNorm { features, epsilon, momentum, affine, .. } = self;
        Ok(
            json!({"op": op, "features": features, "eps": epsilon, "momentum": momentum, "affine": affine}),
        )
    }
}

/// Layer norm over the last axes of a sample.
#[derive(Clone, Debug, PartialEq)]
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

/// A [`LayerNorm`] layer over the last axes, of the given lengths, with PyTorch's defaults.
pub fn layer_norm(shape: &[usize]) -> Box<dyn Layer> {
    Box::new(LayerNorm { shape: shape.to_vec(), epsilon: 1e-5, weight: true, bias: true })
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
        Err(ShapeError::new(Layer::name(self), reason))
    }

    fn record(&self, recorder: &mut Recorder<'_>, own: Own<'_>, x: Var) -> Var {
        let weight = self.weight.then(|| own.params[0]);
        let bias = self.bias.then(|| own.params[usize::from(self.weight)]);
        recorder.tape.layer_norm(x, self.shape.len(), weight, bias, self.epsilon)
    }

    fn describe(&self) -> Result<Value, DescriptionError> {
        let LayerNorm { shape, epsilon, weight, bias } = self;
        Ok(
            json!({"op": "layer_norm", "shape": shape, "eps": epsilon, "weight": weight, "bias": bias}),
        )
    }
}

/// Group norm of `[C, *]` samples.
#[derive(Clone, Copy, Debug, PartialEq)]
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

/// A [`GroupNorm`] layer with PyTorch's defaults.
pub fn group_norm(groups: usize, channels: usize) -> Box<dyn Layer> {
    Box::new(GroupNorm { groups, channels, epsilon: 1e-5, affine: true })
}

impl Layer for GroupNorm {
    fn name(&self) -> String {
        format!("group_norm {} groups of {} channels", self.groups, self.channels)
    }

    fn params(&self) -> Vec<ParamSpec> {
        affine(&[self.channels], self.affine, self.affine)
    }

    fn output_shape(&self, input: &[usize]) -> Result<Vec<usize>, ShapeError> {
        let error = |reason| Err(ShapeError::new(Layer::name(self), reason));
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

    fn record(&self, recorder: &mut Recorder<'_>, own: Own<'_>, x: Var) -> Var {
        let (weight, bias) = (own.params.first().copied(), own.params.get(1).copied());
        recorder.tape.group_norm(x, self.groups, weight, bias, self.epsilon)
    }

    fn describe(&self) -> Result<Value, DescriptionError> {
        let GroupNorm { groups, channels, epsilon, affine } = self;
        Ok(
            json!({"op": "group_norm", "groups": groups, "channels": channels, "eps": epsilon, "affine": affine}),
        )
    }
}

/// RMS norm over the last axis: `x / √(mean(x²) + ε)` times a weight.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RmsNorm {
    /// Length of the last axis.
    pub features: usize,
    /// Added to the mean square.
    pub epsilon: f64,
}

/// An [`RmsNorm`] layer.
pub fn rms_norm(features: usize, epsilon: f64) -> Box<dyn Layer> {
    Box::new(RmsNorm { features, epsilon })
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
        Err(ShapeError::new(Layer::name(self), reason))
    }

    fn record(&self, recorder: &mut Recorder<'_>, own: Own<'_>, x: Var) -> Var {
        recorder.tape.rms_norm(x, Some(own.params[0]), self.epsilon)
    }

    fn describe(&self) -> Result<Value, DescriptionError> {
        Ok(json!({"op": "rms_norm", "features": self.features, "eps": self.epsilon}))
    }
}

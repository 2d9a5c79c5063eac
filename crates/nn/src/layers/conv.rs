//! Convolutions and transposed convolutions over one to three spatial axes.

use serde_json::{Value, json};
use vivit_autodiff::Var;
use vivit_autodiff::ops::{ConvOptions, ConvTranspose as TransposedOp};
use vivit_tensor::Window;

use crate::description::DescriptionError;
use crate::{Init, Layer, Own, ParamSpec, Recorder, ShapeError};

/// A convolution of `[C, *in]` samples over R spatial axes. Lists have one entry per spatial axis,
/// outermost first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Conv<const R: usize> {
    /// In-channels.
    pub inputs: usize,
    /// Out-channels.
    pub outputs: usize,
    /// Kernel.
    pub kernel: [usize; R],
    /// Distance of consecutive windows.
    pub stride: [usize; R],
    /// Zeros on both sides.
    pub padding: [usize; R],
    /// Distance of consecutive kernel elements.
    pub dilation: [usize; R],
    /// Groups of channels that do not see each other.
    pub groups: usize,
    /// Whether there is a bias.
    pub bias: bool,
}

/// A convolution of `[C, L]` samples.
pub type Conv1d = Conv<1>;
/// A convolution of `[C, H, W]` samples.
pub type Conv2d = Conv<2>;
/// A convolution of `[C, D, H, W]` samples.
pub type Conv3d = Conv<3>;

impl<const R: usize> Conv<R> {
    /// A cubic kernel, stride 1, no padding, no dilation, one group, with a bias. Change the fields
    /// for anything else.
    pub fn new(inputs: usize, outputs: usize, kernel: usize) -> Self {
        Conv {
            inputs,
            outputs,
            kernel: [kernel; R],
            stride: [1; R],
            padding: [0; R],
            dilation: [1; R],
            groups: 1,
            bias: true,
        }
    }

    /// The same with `padding` zeros on all sides.
    #[must_use]
    pub fn padded(self, padding: usize) -> Self {
        Conv { padding: [padding; R], ..self }
    }

    /// As a layer of a model.
    pub fn boxed(self) -> Box<dyn Layer> {
        Box::new(self)
    }

    fn options(&self) -> ConvOptions {
        ConvOptions {
            stride: self.stride.to_vec(),
            padding: self.padding.to_vec(),
            dilation: self.dilation.to_vec(),
            groups: self.groups,
        }
    }

    /// Checks channels and returns the spatial axes of a sample.
    fn spatial<'s>(&self, name: &str, input: &'s [usize]) -> Result<&'s [usize], ShapeError> {
        let error = |reason| Err(ShapeError::new(name, reason));
        if self.inputs == 0 || self.outputs == 0 {
            return error("needs at least one channel on both sides".into());
        }
        if self.groups == 0 || self.inputs % self.groups != 0 || self.outputs % self.groups != 0 {
            return error(format!(
                "{} groups do not divide {} and {} channels",
                self.groups, self.inputs, self.outputs
            ));
        }
        match input {
            [channels, spatial @ ..] if *channels == self.inputs && spatial.len() == R => {
                Ok(spatial)
            }
            _ => error(format!(
                "needs samples of {} channels and {R} spatial axes, but a sample has shape \
                 {input:?}",
                self.inputs
            )),
        }
    }

    /// The entry of a description.
    fn entry(&self, kind: &str) -> Value {
        json!({
            "op": format!("{kind}{R}d"),
            "in": self.inputs,
            "out": self.outputs,
            "kernel": &self.kernel[..],
            "stride": &self.stride[..],
            "padding": &self.padding[..],
            "dilation": &self.dilation[..],
            "groups": self.groups,
            "bias": self.bias,
        })
    }

    fn name_of(&self, kind: &str) -> String {
        format!("{kind}{R}d {}→{} kernel {:?}", self.inputs, self.outputs, self.kernel)
    }
}

/// A [`Conv1d`] layer with stride 1, no padding, with a bias.
pub fn conv1d(inputs: usize, outputs: usize, kernel: usize) -> Box<dyn Layer> {
    Conv1d::new(inputs, outputs, kernel).boxed()
}

/// A [`Conv2d`] layer with a square kernel, stride 1, no padding, with a bias.
pub fn conv2d(inputs: usize, outputs: usize, kernel: usize) -> Box<dyn Layer> {
    Conv2d::new(inputs, outputs, kernel).boxed()
}

/// A [`Conv3d`] layer with a cubic kernel, stride 1, no padding, with a bias.
pub fn conv3d(inputs: usize, outputs: usize, kernel: usize) -> Box<dyn Layer> {
    Conv3d::new(inputs, outputs, kernel).boxed()
}

impl<const R: usize> Layer for Conv<R> {
    fn name(&self) -> String {
        self.name_of("conv")
    }

    fn params(&self) -> Vec<ParamSpec> {
        let inputs = self.inputs / self.groups.max(1);
        let init = Init::fan_in(inputs * self.kernel.iter().product::<usize>());
        let mut params = vec![ParamSpec::new(
            "weight",
            &[&[self.outputs, inputs], &self.kernel[..]].concat(),
            init,
        )];
        params.extend(self.bias.then(|| ParamSpec::new("bias", &[self.outputs], init)));
        params
    }

    fn output_shape(&self, input: &[usize]) -> Result<Vec<usize>, ShapeError> {
        let name = Layer::name(self);
        let spatial = self.spatial(&name, input)?;
        let window =
            Window::new(spatial, &self.kernel, &self.stride, &self.padding, &self.dilation, false)
                .map_err(|reason| {
                    ShapeError::new(name, format!("{reason} (a sample has shape {input:?})"))
                })?;
        Ok([&[self.outputs], &window.output[3 - R..]].concat())
    }

    fn record(&self, recorder: &mut Recorder<'_>, own: Own<'_>, x: Var) -> Var {
        recorder.tape.conv(x, own.params[0], own.params.get(1).copied(), &self.options())
    }

    fn describe(&self) -> Result<Value, DescriptionError> {
        Ok(self.entry("conv"))
    }
}

/// A transposed convolution of `[C, *in]` samples over R spatial axes:
/// `out = (in − 1)·stride − 2·padding + dilation·(kernel − 1) + 1 + output_padding`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConvTranspose<const R: usize> {
    /// Channels, kernel, stride, padding, dilation, groups, bias.
    pub conv: Conv<R>,
    /// Entries added at the end of each spatial axis, fewer than stride or dilation.
    pub output_padding: [usize; R],
}

/// A transposed convolution of `[C, L]` samples.
pub type ConvTranspose1d = ConvTranspose<1>;
/// A transposed convolution of `[C, H, W]` samples.
pub type ConvTranspose2d = ConvTranspose<2>;
/// A transposed convolution of `[C, D, H, W]` samples.
pub type ConvTranspose3d = ConvTranspose<3>;

impl<const R: usize> ConvTranspose<R> {
    /// A cubic kernel, stride 1, no padding, no dilation, one group, with a bias. Change the fields
    /// for anything else.
    pub fn new(inputs: usize, outputs: usize, kernel: usize) -> Self {
        ConvTranspose { conv: Conv::new(inputs, outputs, kernel), output_padding: [0; R] }
    }

    /// As a layer of a model.
    pub fn boxed(self) -> Box<dyn Layer> {
        Box::new(self)
    }
}

impl<const R: usize> Layer for ConvTranspose<R> {
    fn name(&self) -> String {
        self.conv.name_of("conv_transpose")
    }

    fn params(&self) -> Vec<ParamSpec> {
        let Conv { inputs, outputs, kernel, groups, bias, .. } = &self.conv;
        let outputs_of = outputs / (*groups).max(1);
        // PyTorch counts the second axis, whatever it means.
        let init = Init::fan_in(outputs_of * kernel.iter().product::<usize>());
        let mut params =
            vec![ParamSpec::new("weight", &[&[*inputs, outputs_of], &kernel[..]].concat(), init)];
        params.extend(bias.then(|| ParamSpec::new("bias", &[*outputs], init)));
        params
    }

    fn output_shape(&self, input: &[usize]) -> Result<Vec<usize>, ShapeError> {
        let name = Layer::name(self);
        let spatial = self.conv.spatial(&name, input)?;
        let error = |reason: String| Err(ShapeError::new(name.clone(), reason));
        let Conv { kernel, stride, dilation, .. } = &self.conv;
        for (what, list) in [("kernel", kernel), ("stride", stride), ("dilation", dilation)] {
            if list.contains(&0) {
                return error(format!(
                    "the {what} must be at least 1 along every axis, got {list:?}"
                ));
            }
        }
        for axis in 0..R {
            let limit = stride[axis].max(dilation[axis]);
            if self.output_padding[axis] >= limit {
                return error(format!(
                    "output padding {} along spatial axis {axis} must be below the larger of \
                     stride and dilation, {limit}",
                    self.output_padding[axis]
                ));
            }
        }
        let op = TransposedOp {
            options: self.conv.options(),
            output_padding: self.output_padding.to_vec(),
        };
        match op.output(spatial, kernel) {
            Some(output) => Ok([&[self.conv.outputs], &output[..]].concat()),
            None => error(format!(
                "padding {:?} crops all of a sample of shape {input:?}",
                self.conv.padding
            )),
        }
    }

    fn record(&self, recorder: &mut Recorder<'_>, own: Own<'_>, x: Var) -> Var {
        let (weight, bias) = (own.params[0], own.params.get(1).copied());
        recorder.tape.conv_transpose(x, weight, bias, &self.conv.options(), &self.output_padding)
    }

    fn describe(&self) -> Result<Value, DescriptionError> {
        let mut entry = self.conv.entry("conv_transpose");
        entry["output_padding"] = json!(&self.output_padding[..]);
        Ok(entry)
    }
}

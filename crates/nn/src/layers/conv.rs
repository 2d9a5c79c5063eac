//! Convolutions.

use vivit_autodiff::ops::ConvOptions;
use vivit_autodiff::{Tape, Var};
use vivit_tensor::{Backend, Window};

use crate::{Init, Layer, ParamSpec, ShapeError};

/// A two-dimensional convolution of `[C, H, W]` samples. Pairs are height, width.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Conv2d {
    /// In-channels.
    pub inputs: usize,
    /// Out-channels.
    pub outputs: usize,
    /// Kernel.
    pub kernel: [usize; 2],
    /// Distance of consecutive windows.
    pub stride: [usize; 2],
    /// Zeros on both sides.
    pub padding: [usize; 2],
    /// Distance of consecutive kernel elements.
    pub dilation: [usize; 2],
    /// Groups of channels that do not see each other.
    pub groups: usize,
    /// Whether there is a bias.
    pub bias: bool,
}

impl Conv2d {
    /// A square kernel, stride 1, no padding, no dilation, one group, with a bias. Change the fields for anything else.
    pub fn new(inputs: usize, outputs: usize, kernel: usize) -> Self {
        Conv2d {
            inputs,
            outputs,
            kernel: [kernel; 2],
            stride: [1; 2],
            padding: [0; 2],
            dilation: [1; 2],
            groups: 1,
            bias: true,
        }
    }

    /// The same with `padding` zeros on all sides.
    #[must_use]
    pub fn padded(self, padding: usize) -> Self {
        Conv2d { padding: [padding; 2], ..self }
    }

    /// As a layer of a model.
    pub fn boxed<B: Backend>(self) -> Box<dyn Layer<B>> {
        Box::new(self)
    }
}

/// A [`Conv2d`] layer with a square kernel, stride 1, no padding, with a bias.
pub fn conv2d<B: Backend>(inputs: usize, outputs: usize, kernel: usize) -> Box<dyn Layer<B>> {
    Conv2d::new(inputs, outputs, kernel).boxed()
}

impl<B: Backend> Layer<B> for Conv2d {
    fn name(&self) -> String {
        format!("conv2d {}→{} kernel {:?}", self.inputs, self.outputs, self.kernel)
    }

    fn params(&self) -> Vec<ParamSpec> {
        let inputs = self.inputs / self.groups.max(1);
        let init = Init::fan_in(inputs * self.kernel[0] * self.kernel[1]);
        let mut params = vec![ParamSpec::new("weight", &[self.outputs, inputs, self.kernel[0], self.kernel[1]], init)];
        params.extend(self.bias.then(|| ParamSpec::new("bias", &[self.outputs], init)));
        params
    }

    fn output_shape(&self, input: &[usize]) -> Result<Vec<usize>, ShapeError> {
        let error = |reason| ShapeError::new(Layer::<B>::name(self), reason);
        if self.inputs == 0 || self.outputs == 0 {
            return Err(error("needs at least one channel on both sides".into()));
        }
        if self.groups == 0 || self.inputs % self.groups != 0 || self.outputs % self.groups != 0 {
            return Err(error(format!("{} groups do not divide {} and {} channels", self.groups, self.inputs, self.outputs)));
        }
        match *input {
            [channels, height, width] if channels == self.inputs => {
                let Conv2d { kernel, stride, padding, dilation, .. } = self;
                let window = Window::new(&[height, width], kernel, stride, padding, dilation, false)
                    .map_err(|reason| error(format!("{reason} (a sample has shape {input:?})")))?;
                Ok(vec![self.outputs, window.output[1], window.output[2]])
            }
            _ => Err(error(format!("needs samples [{}, H, W], but a sample has shape {input:?}", self.inputs))),
        }
    }

    fn record(&self, tape: &mut Tape<B>, params: &[Var], x: Var) -> Var {
        let options = ConvOptions {
            stride: self.stride.to_vec(),
            padding: self.padding.to_vec(),
            dilation: self.dilation.to_vec(),
            groups: self.groups,
        };
        tape.conv(x, params[0], params.get(1).copied(), &options)
    }
}

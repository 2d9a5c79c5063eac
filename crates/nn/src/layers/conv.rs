//! Convolutions and transposed convolutions over one to three spatial axes.

use vivit_autodiff::Var;
use vivit_autodiff::ops::{ConvOptions, ConvTranspose as TransposedOp};
use vivit_tensor::Window;

use crate::description::entry::described;
use crate::{
    Error, Init, Layer, LayerArrays, LayerState, Node, NodeWriter, ParamSpec, PerAxis, Recorder,
    ShapeError,
};

/// A convolution of `[C, *in]` samples over R spatial axes, to `[outputs, *out]` with
/// `out = ⌊(in + 2·padding − dilation·(kernel − 1) − 1)/stride⌋ + 1`. Its parameters are
/// `weight [outputs, inputs/groups, *kernel]` and `bias [outputs]`.
///
/// ```
/// use vivit_nn::{Conv2d, Layer};
///
/// let layer = Conv2d::new(3, 8, 3).padded(1).strided([2, 1]).without_bias();
/// assert_eq!(layer.output_shape(&[3, 8, 8])?, [8, 4, 8]);
/// # Ok::<(), vivit_nn::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
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
    /// Stride 1, no padding, no dilation, one group, with a bias. The kernel is a number for all
    /// axes, or an array; so are stride, padding and dilation.
    pub fn new(inputs: usize, outputs: usize, kernel: impl Into<PerAxis<R>>) -> Self {
        Conv {
            inputs,
            outputs,
            kernel: kernel.into().0,
            stride: [1; R],
            padding: [0; R],
            dilation: [1; R],
            groups: 1,
            bias: true,
        }
    }

    /// The same with zeros on both sides of every axis.
    #[must_use]
    pub fn padded(self, padding: impl Into<PerAxis<R>>) -> Self {
        Conv { padding: padding.into().0, ..self }
    }

    /// The same with another distance of consecutive windows.
    #[must_use]
    pub fn strided(self, stride: impl Into<PerAxis<R>>) -> Self {
        Conv { stride: stride.into().0, ..self }
    }

    /// The same with another distance of consecutive kernel elements.
    #[must_use]
    pub fn dilated(self, dilation: impl Into<PerAxis<R>>) -> Self {
        Conv { dilation: dilation.into().0, ..self }
    }

    /// The same with groups of channels that do not see each other.
    #[must_use]
    pub fn grouped(self, groups: usize) -> Self {
        Conv { groups, ..self }
    }

    /// The same without a bias.
    #[must_use]
    pub fn without_bias(self) -> Self {
        Conv { bias: false, ..self }
    }

    fn options(&self) -> ConvOptions {
        ConvOptions {
            stride: self.stride.to_vec(),
            padding: self.padding.to_vec(),
            dilation: self.dilation.to_vec(),
            groups: self.groups,
        }
    }

    /// A node of a graph model with the options that convolutions share.
    fn with_options(&self, node: Node) -> Node {
        node.with("stride", self.stride.to_vec())
            .with("padding", self.padding.to_vec())
            .with("dilation", self.dilation.to_vec())
            .with("groups", self.groups)
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

    fn name_of(&self, kind: &str) -> String {
        format!("{kind}{R}d {}→{} kernel {:?}", self.inputs, self.outputs, self.kernel)
    }
}

/// A [`Conv1d`] layer with stride 1, no padding, with a bias.
pub fn conv1d(inputs: usize, outputs: usize, kernel: impl Into<PerAxis<1>>) -> Box<dyn Layer> {
    Conv1d::new(inputs, outputs, kernel).boxed()
}

/// A [`Conv2d`] layer with a square kernel, stride 1, no padding, with a bias.
pub fn conv2d(inputs: usize, outputs: usize, kernel: impl Into<PerAxis<2>>) -> Box<dyn Layer> {
    Conv2d::new(inputs, outputs, kernel).boxed()
}

/// A [`Conv3d`] layer with a cubic kernel, stride 1, no padding, with a bias.
pub fn conv3d(inputs: usize, outputs: usize, kernel: impl Into<PerAxis<3>>) -> Box<dyn Layer> {
    Conv3d::new(inputs, outputs, kernel).boxed()
}

described! {
    impl {const R: usize} Conv<R> as &[["conv1d", "conv2d", "conv3d"][R - 1]];
    inputs: "in",
    outputs: "out",
    kernel: "kernel",
    stride: "stride" = [1; R],
    padding: "padding" = [0; R],
    dilation: "dilation" = [1; R],
    groups: "groups" = 1,
    bias: "bias" = true,
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
        let name = self.name();
        let spatial = self.spatial(&name, input)?;
        let window =
            Window::new(spatial, &self.kernel, &self.stride, &self.padding, &self.dilation, false)
                .map_err(|reason| {
                    ShapeError::new(name, format!("{reason} (a sample has shape {input:?})"))
                })?;
        Ok([&[self.outputs], &window.output[3 - R..]].concat())
    }

    fn record(&self, recorder: &mut Recorder<'_>, state: LayerState<'_>, x: Var) -> Var {
        recorder.tape.conv(x, state.params[0], state.params.get(1).copied(), &self.options())
    }

    fn nodes(
        &self,
        writer: &mut NodeWriter,
        arrays: LayerArrays<'_>,
        x: &str,
    ) -> Result<String, Error> {
        let node = self.with_options(arrays.node("conv", x));
        Ok(writer.add(node))
    }
}

/// A transposed convolution of `[C, *in]` samples over R spatial axes, to `[outputs, *out]` with
/// `out = (in − 1)·stride − 2·padding + dilation·(kernel − 1) + 1 + output_padding`. Its parameters
/// are `weight [inputs, outputs/groups, *kernel]` and `bias [outputs]`.
///
/// ```
/// use vivit_nn::{ConvTranspose2d, Layer};
///
/// let layer = ConvTranspose2d::new(8, 4, 2).strided(2);
/// assert_eq!(layer.output_shape(&[8, 5, 5])?, [4, 10, 10]);
/// # Ok::<(), vivit_nn::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ConvTranspose<const R: usize> {
    /// In-channels.
    pub inputs: usize,
    /// Out-channels.
    pub outputs: usize,
    /// Kernel.
    pub kernel: [usize; R],
    /// Distance of consecutive windows.
    pub stride: [usize; R],
    /// Entries cropped on both sides.
    pub padding: [usize; R],
    /// Distance of consecutive kernel elements.
    pub dilation: [usize; R],
    /// Groups of channels that do not see each other.
    pub groups: usize,
    /// Whether there is a bias.
    pub bias: bool,
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
    /// Stride 1, no padding, no dilation, one group, with a bias. The kernel is a number for all
    /// axes, or an array; so are stride, padding, dilation and output padding.
    pub fn new(inputs: usize, outputs: usize, kernel: impl Into<PerAxis<R>>) -> Self {
        ConvTranspose {
            inputs,
            outputs,
            kernel: kernel.into().0,
            stride: [1; R],
            padding: [0; R],
            dilation: [1; R],
            groups: 1,
            bias: true,
            output_padding: [0; R],
        }
    }

    /// The same with entries cropped on both sides of every axis.
    #[must_use]
    pub fn padded(self, padding: impl Into<PerAxis<R>>) -> Self {
        ConvTranspose { padding: padding.into().0, ..self }
    }

    /// The same with another distance of consecutive windows.
    #[must_use]
    pub fn strided(self, stride: impl Into<PerAxis<R>>) -> Self {
        ConvTranspose { stride: stride.into().0, ..self }
    }

    /// The same with another distance of consecutive kernel elements.
    #[must_use]
    pub fn dilated(self, dilation: impl Into<PerAxis<R>>) -> Self {
        ConvTranspose { dilation: dilation.into().0, ..self }
    }

    /// The same with groups of channels that do not see each other.
    #[must_use]
    pub fn grouped(self, groups: usize) -> Self {
        ConvTranspose { groups, ..self }
    }

    /// The same without a bias.
    #[must_use]
    pub fn without_bias(self) -> Self {
        ConvTranspose { bias: false, ..self }
    }

    /// The same with entries added at the end of every spatial axis.
    #[must_use]
    pub fn output_padded(self, output_padding: impl Into<PerAxis<R>>) -> Self {
        ConvTranspose { output_padding: output_padding.into().0, ..self }
    }

    /// What it shares with a convolution of the same options.
    fn conv(&self) -> Conv<R> {
        let ConvTranspose {
            inputs, outputs, kernel, stride, padding, dilation, groups, bias, ..
        } = *self;
        Conv { inputs, outputs, kernel, stride, padding, dilation, groups, bias }
    }
}

described! {
    impl {const R: usize} ConvTranspose<R> as
        &[["conv_transpose1d", "conv_transpose2d", "conv_transpose3d"][R - 1]];
    inputs: "in",
    outputs: "out",
    kernel: "kernel",
    stride: "stride" = [1; R],
    padding: "padding" = [0; R],
    dilation: "dilation" = [1; R],
    groups: "groups" = 1,
    bias: "bias" = true,
    output_padding: "output_padding" = [0; R],
}

impl<const R: usize> Layer for ConvTranspose<R> {
    fn name(&self) -> String {
        self.conv().name_of("conv_transpose")
    }

    fn params(&self) -> Vec<ParamSpec> {
        let ConvTranspose { inputs, outputs, kernel, groups, bias, .. } = self;
        let outputs_of = outputs / (*groups).max(1);
        // PyTorch counts the second axis, whatever it means.
        let init = Init::fan_in(outputs_of * kernel.iter().product::<usize>());
        let mut params =
            vec![ParamSpec::new("weight", &[&[*inputs, outputs_of], &kernel[..]].concat(), init)];
        params.extend(bias.then(|| ParamSpec::new("bias", &[*outputs], init)));
        params
    }

    fn output_shape(&self, input: &[usize]) -> Result<Vec<usize>, ShapeError> {
        let name = self.name();
        let spatial = self.conv().spatial(&name, input)?;
        let error = |reason: String| Err(ShapeError::new(name.clone(), reason));
        let ConvTranspose { kernel, stride, dilation, .. } = self;
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
            options: self.conv().options(),
            output_padding: self.output_padding.to_vec(),
        };
        match op.output(spatial, kernel) {
            Some(output) => Ok([&[self.outputs], &output[..]].concat()),
            None => error(format!(
                "padding {:?} crops all of a sample of shape {input:?}",
                self.padding
            )),
        }
    }

    fn record(&self, recorder: &mut Recorder<'_>, state: LayerState<'_>, x: Var) -> Var {
        let (weight, bias) = (state.params[0], state.params.get(1).copied());
        recorder.tape.conv_transpose(x, weight, bias, &self.conv().options(), &self.output_padding)
    }

    fn nodes(
        &self,
        writer: &mut NodeWriter,
        arrays: LayerArrays<'_>,
        x: &str,
    ) -> Result<String, Error> {
        let node = self.conv().with_options(arrays.node("conv_transpose", x));
        Ok(writer.add(node.with("output_padding", self.output_padding.to_vec())))
    }
}

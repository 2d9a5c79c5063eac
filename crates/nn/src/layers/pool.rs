//! Pooling over one to three spatial axes.

use vivit_autodiff::Var;
use vivit_autodiff::ops::PoolOptions;

use crate::description::entry::described;
use crate::{
    Error, Layer, LayerArrays, LayerState, Node, NodeWriter, PerAxis, Recorder, ShapeError,
};

/// The largest entry of each window of `[C, *in]` samples over R spatial axes, to `[C, *out]`.
///
/// ```
/// use vivit_nn::{Layer, MaxPool2d};
///
/// let layer = MaxPool2d::new(3).strided(2).padded(1);
/// assert_eq!(layer.output_shape(&[8, 16, 16])?, [8, 8, 8]);
/// # Ok::<(), vivit_nn::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct MaxPool<const R: usize> {
    /// Lengths of a window.
    pub kernel: [usize; R],
    /// Distance of consecutive windows.
    pub stride: [usize; R],
    /// Padding on both sides, which never is the largest entry.
    pub padding: [usize; R],
    /// Distance of consecutive elements of a window.
    pub dilation: [usize; R],
    /// Whether a last window may reach beyond the input (PyTorch's `ceil_mode`).
    pub ceil: bool,
}

/// Maxima of `[C, L]` samples.
pub type MaxPool1d = MaxPool<1>;
/// Maxima of `[C, H, W]` samples.
pub type MaxPool2d = MaxPool<2>;
/// Maxima of `[C, D, H, W]` samples.
pub type MaxPool3d = MaxPool<3>;

impl<const R: usize> MaxPool<R> {
    /// Windows side by side, without padding. The kernel is a number for all axes, or an array; so
    /// are stride, padding and dilation.
    pub fn new(kernel: impl Into<PerAxis<R>>) -> Self {
        let kernel = kernel.into().0;
        MaxPool { kernel, stride: kernel, padding: [0; R], dilation: [1; R], ceil: false }
    }

    /// The same with another distance of consecutive windows.
    #[must_use]
    pub fn strided(self, stride: impl Into<PerAxis<R>>) -> Self {
        MaxPool { stride: stride.into().0, ..self }
    }

    /// The same with padding on both sides of every axis, at most half the kernel.
    #[must_use]
    pub fn padded(self, padding: impl Into<PerAxis<R>>) -> Self {
        MaxPool { padding: padding.into().0, ..self }
    }

    /// The same with another distance of consecutive elements of a window.
    #[must_use]
    pub fn dilated(self, dilation: impl Into<PerAxis<R>>) -> Self {
        MaxPool { dilation: dilation.into().0, ..self }
    }

    /// The same with a last window that may reach beyond the input.
    #[must_use]
    pub fn ceiled(self) -> Self {
        MaxPool { ceil: true, ..self }
    }

    fn options(&self) -> PoolOptions {
        PoolOptions {
            stride: self.stride.to_vec(),
            padding: self.padding.to_vec(),
            dilation: self.dilation.to_vec(),
            ceil: self.ceil,
            ..PoolOptions::new(&self.kernel)
        }
    }
}

/// The mean of each window of `[C, *in]` samples over R spatial axes, to `[C, *out]`.
///
/// ```
/// use vivit_nn::{AvgPool2d, Layer};
///
/// let layer = AvgPool2d::new([2, 4]);
/// assert_eq!(layer.output_shape(&[8, 16, 16])?, [8, 8, 4]);
/// # Ok::<(), vivit_nn::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct AvgPool<const R: usize> {
    /// Lengths of a window.
    pub kernel: [usize; R],
    /// Distance of consecutive windows.
    pub stride: [usize; R],
    /// Zeros on both sides.
    pub padding: [usize; R],
    /// Whether a last window may reach beyond the input (PyTorch's `ceil_mode`).
    pub ceil: bool,
    /// Whether the mean counts the padding.
    pub count_include_pad: bool,
}

/// Means of `[C, L]` samples.
pub type AvgPool1d = AvgPool<1>;
/// Means of `[C, H, W]` samples.
pub type AvgPool2d = AvgPool<2>;
/// Means of `[C, D, H, W]` samples.
pub type AvgPool3d = AvgPool<3>;

impl<const R: usize> AvgPool<R> {
    /// Windows side by side, without padding. The kernel is a number for all axes, or an array; so
    /// are stride and padding.
    pub fn new(kernel: impl Into<PerAxis<R>>) -> Self {
        let kernel = kernel.into().0;
        AvgPool { kernel, stride: kernel, padding: [0; R], ceil: false, count_include_pad: true }
    }

    /// The same with another distance of consecutive windows.
    #[must_use]
    pub fn strided(self, stride: impl Into<PerAxis<R>>) -> Self {
        AvgPool { stride: stride.into().0, ..self }
    }

    /// The same with zeros on both sides of every axis, at most half the kernel.
    #[must_use]
    pub fn padded(self, padding: impl Into<PerAxis<R>>) -> Self {
        AvgPool { padding: padding.into().0, ..self }
    }

    /// The same with a last window that may reach beyond the input.
    #[must_use]
    pub fn ceiled(self) -> Self {
        AvgPool { ceil: true, ..self }
    }

    /// The same with means of what is no padding.
    #[must_use]
    pub fn without_counting_padding(self) -> Self {
        AvgPool { count_include_pad: false, ..self }
    }

    fn options(&self) -> PoolOptions {
        PoolOptions {
            stride: self.stride.to_vec(),
            padding: self.padding.to_vec(),
            ceil: self.ceil,
            count_include_pad: self.count_include_pad,
            ..PoolOptions::new(&self.kernel)
        }
    }
}

/// The means of windows that cover each plane of `[C, *in]` samples, to `[C, *output]`.
///
/// ```
/// use vivit_nn::{AdaptiveAvgPool2d, Layer};
///
/// assert_eq!(AdaptiveAvgPool2d::new(1).output_shape(&[8, 7, 5])?, [8, 1, 1]);
/// # Ok::<(), vivit_nn::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct AdaptiveAvgPool<const R: usize> {
    /// Lengths of the result's spatial axes.
    pub output: [usize; R],
}

/// Means that cover `[C, L]` samples.
pub type AdaptiveAvgPool1d = AdaptiveAvgPool<1>;
/// Means that cover `[C, H, W]` samples.
pub type AdaptiveAvgPool2d = AdaptiveAvgPool<2>;
/// Means that cover `[C, D, H, W]` samples.
pub type AdaptiveAvgPool3d = AdaptiveAvgPool<3>;

impl<const R: usize> AdaptiveAvgPool<R> {
    /// To the given lengths of the spatial axes.
    pub fn new(output: impl Into<PerAxis<R>>) -> Self {
        AdaptiveAvgPool { output: output.into().0 }
    }
}

macro_rules! functions {
    ($($axes:literal $max:ident $avg:ident $adaptive:ident;)+) => { $(
        #[doc = concat!("A [`MaxPool`] layer over spatial axes: ", $axes, ".")]
        pub fn $max(
            kernel: impl Into<PerAxis<$axes>>,
            stride: impl Into<PerAxis<$axes>>,
        ) -> Box<dyn Layer> {
            MaxPool::new(kernel).strided(stride).boxed()
        }

        #[doc = concat!("An [`AvgPool`] layer over spatial axes: ", $axes, ".")]
        pub fn $avg(
            kernel: impl Into<PerAxis<$axes>>,
            stride: impl Into<PerAxis<$axes>>,
        ) -> Box<dyn Layer> {
            AvgPool::new(kernel).strided(stride).boxed()
        }

        #[doc = concat!("An [`AdaptiveAvgPool`] layer over spatial axes: ", $axes, ".")]
        pub fn $adaptive(output: impl Into<PerAxis<$axes>>) -> Box<dyn Layer> {
            AdaptiveAvgPool::new(output).boxed()
        }
    )+ };
}

functions! {
    1 max_pool1d avg_pool1d adaptive_avg_pool1d;
    2 max_pool2d avg_pool2d adaptive_avg_pool2d;
    3 max_pool3d avg_pool3d adaptive_avg_pool3d;
}

described! {
    impl {const R: usize} MaxPool<R> as &[["max_pool1d", "max_pool2d", "max_pool3d"][R - 1]];
    kernel: "kernel",
    stride: "stride" or null = kernel,
    padding: "padding" = [0; R],
    dilation: "dilation" = [1; R],
    ceil: "ceil" = false,
}

described! {
    impl {const R: usize} AvgPool<R> as &[["avg_pool1d", "avg_pool2d", "avg_pool3d"][R - 1]];
    kernel: "kernel",
    stride: "stride" or null = kernel,
    padding: "padding" = [0; R],
    ceil: "ceil" = false,
    count_include_pad: "count_include_pad" = true,
}

described! {
    impl {const R: usize} AdaptiveAvgPool<R> as
        &[["adaptive_avg_pool1d", "adaptive_avg_pool2d", "adaptive_avg_pool3d"][R - 1]];
    output: "output",
}

fn pooled(name: String, options: &PoolOptions, input: &[usize]) -> Result<Vec<usize>, ShapeError> {
    let error = |reason| ShapeError::new(name, reason);
    let axes = options.kernel.len();
    let [channels, spatial @ ..] = input else {
        return Err(error(format!("needs samples [C, *], but a sample has shape {input:?}")));
    };
    if spatial.len() != axes {
        return Err(error(format!("needs {axes} spatial axes, but a sample has shape {input:?}")));
    }
    if options.padding.iter().zip(&options.kernel).any(|(padding, kernel)| 2 * padding > *kernel) {
        return Err(error(format!(
            "padding {:?} is more than half the kernel {:?}",
            options.padding, options.kernel
        )));
    }
    match options.window(spatial) {
        Ok(window) => Ok([&[*channels], &window.output[3 - axes..]].concat()),
        Err(reason) => Err(error(format!("{reason} (a sample has shape {input:?})"))),
    }
}

impl<const R: usize> Layer for MaxPool<R> {
    fn name(&self) -> String {
        format!("max_pool{R}d kernel {:?} stride {:?}", self.kernel, self.stride)
    }

    fn output_shape(&self, input: &[usize]) -> Result<Vec<usize>, ShapeError> {
        pooled(self.name(), &self.options(), input)
    }

    fn record(&self, recorder: &mut Recorder<'_>, _state: LayerState<'_>, x: Var) -> Var {
        recorder.tape.max_pool(x, &self.options())
    }

    fn nodes(&self, writer: &mut NodeWriter, _: LayerArrays<'_>, x: &str) -> Result<String, Error> {
        let node = Node::new("max_pool", &[x], "")
            .with("kernel", self.kernel.to_vec())
            .with("stride", self.stride.to_vec())
            .with("padding", self.padding.to_vec())
            .with("dilation", self.dilation.to_vec())
            .with("ceil", self.ceil);
        Ok(writer.add(node))
    }
}

impl<const R: usize> Layer for AvgPool<R> {
    fn name(&self) -> String {
        format!("avg_pool{R}d kernel {:?} stride {:?}", self.kernel, self.stride)
    }

    fn output_shape(&self, input: &[usize]) -> Result<Vec<usize>, ShapeError> {
        pooled(self.name(), &self.options(), input)
    }

    fn record(&self, recorder: &mut Recorder<'_>, _state: LayerState<'_>, x: Var) -> Var {
        recorder.tape.avg_pool(x, &self.options())
    }

    fn nodes(&self, writer: &mut NodeWriter, _: LayerArrays<'_>, x: &str) -> Result<String, Error> {
        let node = Node::new("avg_pool", &[x], "")
            .with("kernel", self.kernel.to_vec())
            .with("stride", self.stride.to_vec())
            .with("padding", self.padding.to_vec())
            .with("ceil", self.ceil)
            .with("count_include_pad", self.count_include_pad);
        Ok(writer.add(node))
    }
}

impl<const R: usize> Layer for AdaptiveAvgPool<R> {
    fn name(&self) -> String {
        format!("adaptive_avg_pool{R}d to {:?}", self.output)
    }

    fn output_shape(&self, input: &[usize]) -> Result<Vec<usize>, ShapeError> {
        let error = |reason| ShapeError::new(self.name(), reason);
        match input {
            _ if self.output.contains(&0) => {
                Err(error("must have at least one window along every axis".into()))
            }
            [channels, spatial @ ..] if spatial.len() == R && !spatial.contains(&0) => {
                Ok([&[*channels], &self.output[..]].concat())
            }
            _ => Err(error(format!("needs {R} spatial axes, but a sample has shape {input:?}"))),
        }
    }

    fn record(&self, recorder: &mut Recorder<'_>, _state: LayerState<'_>, x: Var) -> Var {
        recorder.tape.adaptive_avg_pool(x, &self.output)
    }

    fn nodes(&self, writer: &mut NodeWriter, _: LayerArrays<'_>, x: &str) -> Result<String, Error> {
        let node = Node::new("adaptive_avg_pool", &[x], "");
        Ok(writer.add(node.with("output", self.output.to_vec())))
    }
}

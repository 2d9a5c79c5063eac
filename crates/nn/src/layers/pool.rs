//! Pooling over one to three spatial axes.

use serde_json::{Value, json};
use vivit_autodiff::Var;
use vivit_autodiff::ops::PoolOptions;

use crate::description::DescriptionError;
use crate::{Layer, Own, Recorder, ShapeError};

/// The largest entry of each window of `[C, *in]` samples.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MaxPool(pub PoolOptions);

/// The mean of each window of `[C, *in]` samples.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AvgPool(pub PoolOptions);

/// The means of windows that cover each plane of `[C, *in]` samples.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AdaptiveAvgPool {
    /// Lengths of the result's spatial axes.
    pub output: Vec<usize>,
}

fn cubic(axes: usize, kernel: usize, stride: usize) -> PoolOptions {
    PoolOptions { stride: vec![stride; axes], ..PoolOptions::new(&vec![kernel; axes]) }
}

/// A [`MaxPool`] layer over one spatial axis.
pub fn max_pool1d(kernel: usize, stride: usize) -> Box<dyn Layer> {
    Box::new(MaxPool(cubic(1, kernel, stride)))
}

/// A [`MaxPool`] layer with square windows.
pub fn max_pool2d(kernel: usize, stride: usize) -> Box<dyn Layer> {
    Box::new(MaxPool(cubic(2, kernel, stride)))
}

/// A [`MaxPool`] layer with cubic windows.
pub fn max_pool3d(kernel: usize, stride: usize) -> Box<dyn Layer> {
    Box::new(MaxPool(cubic(3, kernel, stride)))
}

/// An [`AvgPool`] layer over one spatial axis.
pub fn avg_pool1d(kernel: usize, stride: usize) -> Box<dyn Layer> {
    Box::new(AvgPool(cubic(1, kernel, stride)))
}

/// An [`AvgPool`] layer with square windows.
pub fn avg_pool2d(kernel: usize, stride: usize) -> Box<dyn Layer> {
    Box::new(AvgPool(cubic(2, kernel, stride)))
}

/// An [`AvgPool`] layer with cubic windows.
pub fn avg_pool3d(kernel: usize, stride: usize) -> Box<dyn Layer> {
    Box::new(AvgPool(cubic(3, kernel, stride)))
}

/// An [`AdaptiveAvgPool`] layer to the given lengths of the spatial axes.
pub fn adaptive_avg_pool(output: &[usize]) -> Box<dyn Layer> {
    Box::new(AdaptiveAvgPool { output: output.to_vec() })
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

impl Layer for MaxPool {
    fn name(&self) -> String {
        format!(
            "max_pool{}d kernel {:?} stride {:?}",
            self.0.kernel.len(),
            self.0.kernel,
            self.0.stride
        )
    }

    fn output_shape(&self, input: &[usize]) -> Result<Vec<usize>, ShapeError> {
        pooled(Layer::name(self), &self.0, input)
    }

    fn record(&self, recorder: &mut Recorder<'_>, _own: Own<'_>, x: Var) -> Var {
        recorder.tape.max_pool(x, &self.0)
    }

    fn describe(&self) -> Result<Value, DescriptionError> {
        let PoolOptions { kernel, stride, padding, dilation, ceil, .. } = &self.0;
        let op = format!("max_pool{}d", kernel.len());
        Ok(
            json!({"op": op, "kernel": kernel, "stride": stride, "padding": padding, "dilation": dilation, "ceil": ceil}),
        )
    }
}

impl Layer for AvgPool {
    fn name(&self) -> String {
        format!(
            "avg_pool{}d kernel {:?} stride {:?}",
            self.0.kernel.len(),
            self.0.kernel,
            self.0.stride
        )
    }

    fn output_shape(&self, input: &[usize]) -> Result<Vec<usize>, ShapeError> {
        if self.0.dilation.iter().any(|&dilation| dilation != 1) {
            return Err(ShapeError::new(Layer::name(self), "average pooling has no dilation"));
        }
        pooled(Layer::name(self), &self.0, input)
    }

    fn record(&self, recorder: &mut Recorder<'_>, _own: Own<'_>, x: Var) -> Var {
        recorder.tape.avg_pool(x, &self.0)
    }

    fn describe(&self) -> Result<Value, DescriptionError> {
        let PoolOptions { kernel, stride, padding, ceil, count_include_pad, .. } = &self.0;
        let (op, counted) = (format!("avg_pool{}d", kernel.len()), count_include_pad);
        let entry = json!({"op": op, "kernel": kernel, "stride": stride, "padding": padding, "ceil": ceil, "count_include_pad": counted});
        Ok(entry)
    }
}

impl Layer for AdaptiveAvgPool {
    fn name(&self) -> String {
        format!("adaptive_avg_pool to {:?}", self.output)
    }

    fn output_shape(&self, input: &[usize]) -> Result<Vec<usize>, ShapeError> {
        let error = |reason| ShapeError::new(Layer::name(self), reason);
        match input {
            _ if self.output.contains(&0) => {
                Err(error("must have at least one window along every axis".into()))
            }
            [channels, spatial @ ..]
                if spatial.len() == self.output.len() && !spatial.contains(&0) =>
            {
                Ok([&[*channels], &self.output[..]].concat())
            }
            _ => Err(error(format!(
                "needs {} spatial axes, but a sample has shape {input:?}",
                self.output.len()
            ))),
        }
    }

    fn record(&self, recorder: &mut Recorder<'_>, _own: Own<'_>, x: Var) -> Var {
        recorder.tape.adaptive_avg_pool(x, &self.output)
    }

    fn describe(&self) -> Result<Value, DescriptionError> {
        Ok(json!({"op": format!("adaptive_avg_pool{}d", self.output.len()), "output": self.output}))
    }
}

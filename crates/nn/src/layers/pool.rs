//! Pooling.

use vivit_autodiff::ops::PoolOptions;
use vivit_autodiff::{Tape, Var};
use vivit_tensor::Backend;

use crate::{Layer, ShapeError};

/// The largest entry of each window of `[C, H, W]` samples.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MaxPool2d(pub PoolOptions);

/// A [`MaxPool2d`] layer with square windows.
pub fn max_pool2d<B: Backend>(kernel: usize, stride: usize) -> Box<dyn Layer<B>> {
    Box::new(MaxPool2d(square(kernel, stride)))
}

/// The mean of each window of `[C, H, W]` samples.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AvgPool2d(pub PoolOptions);

/// An [`AvgPool2d`] layer with square windows.
pub fn avg_pool2d<B: Backend>(kernel: usize, stride: usize) -> Box<dyn Layer<B>> {
    Box::new(AvgPool2d(square(kernel, stride)))
}

fn square(kernel: usize, stride: usize) -> PoolOptions {
    PoolOptions { stride: vec![stride; 2], ..PoolOptions::new(&[kernel; 2]) }
}

fn pooled(name: String, options: &PoolOptions, input: &[usize]) -> Result<Vec<usize>, ShapeError> {
    let [channels, height, width] = *input else {
        return Err(ShapeError::new(name, format!("needs samples [C, H, W], but a sample has shape {input:?}")));
    };
    if options.padding.iter().zip(&options.kernel).any(|(padding, kernel)| 2 * padding > *kernel) {
        let reason = format!("padding {:?} is more than half the kernel {:?}", options.padding, options.kernel);
        return Err(ShapeError::new(name, reason));
    }
    match options.window(&[height, width]) {
        Ok(window) => Ok(vec![channels, window.output[1], window.output[2]]),
        Err(reason) => Err(ShapeError::new(name, format!("{reason} (a sample has shape {input:?})"))),
    }
}

impl<B: Backend> Layer<B> for MaxPool2d {
    fn name(&self) -> String {
        format!("max_pool2d kernel {:?} stride {:?}", self.0.kernel, self.0.stride)
    }

    fn output_shape(&self, input: &[usize]) -> Result<Vec<usize>, ShapeError> {
        pooled(Layer::<B>::name(self), &self.0, input)
    }

    fn record(&self, tape: &mut Tape<B>, _params: &[Var], x: Var) -> Var {
        tape.max_pool(x, &self.0)
    }
}

impl<B: Backend> Layer<B> for AvgPool2d {
    fn name(&self) -> String {
        format!("avg_pool2d kernel {:?} stride {:?}", self.0.kernel, self.0.stride)
    }

    fn output_shape(&self, input: &[usize]) -> Result<Vec<usize>, ShapeError> {
        if self.0.dilation.iter().any(|&dilation| dilation != 1) {
            return Err(ShapeError::new(Layer::<B>::name(self), "average pooling has no dilation"));
        }
        pooled(Layer::<B>::name(self), &self.0, input)
    }

    fn record(&self, tape: &mut Tape<B>, _params: &[Var], x: Var) -> Var {
        tape.avg_pool(x, &self.0)
    }
}

//! Layers along the axes of a sample. Axes are counted as PyTorch counts them: 0 is the sample
//! axis, 1 the first of a sample.

use serde_json::{Value, json};
use vivit_autodiff::Var;

use crate::description::DescriptionError;
use crate::{Layer, Own, Recorder, ShapeError};

/// The axes of a sample in another order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Permute {
    /// Axis `i + 1` of the result is axis `axes[i]`.
    pub axes: Vec<usize>,
}

/// A [`Permute`] layer: axis `i + 1` of the result is axis `axes[i]`.
pub fn permute(axes: &[usize]) -> Box<dyn Layer> {
    Box::new(Permute { axes: axes.to_vec() })
}

impl Layer for Permute {
    fn name(&self) -> String {
        format!("permute {:?}", self.axes)
    }

    fn output_shape(&self, input: &[usize]) -> Result<Vec<usize>, ShapeError> {
        let mut sorted = self.axes.clone();
        sorted.sort_unstable();
        if sorted.into_iter().eq(1..=input.len()) {
            return Ok(self.axes.iter().map(|axis| input[axis - 1]).collect());
        }
        let reason = format!(
            "must name each axis from 1 to {} once for samples of shape {input:?}",
            input.len()
        );
        Err(ShapeError::new(Layer::name(self), reason))
    }

    fn record(&self, recorder: &mut Recorder<'_>, _own: Own<'_>, x: Var) -> Var {
        let order: Vec<usize> = [0].into_iter().chain(self.axes.iter().copied()).collect();
        recorder.tape.permute(x, &order)
    }

    fn describe(&self) -> Result<Value, DescriptionError> {
        Ok(json!({"op": "permute", "axes": self.axes}))
    }
}

/// What happens along an axis.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Along {
    /// The mean; the axis disappears.
    Mean,
    /// The sum; the axis disappears.
    Sum,
    /// Softmax.
    Softmax,
    /// The logarithm of softmax.
    LogSoftmax,
}

/// Something along one axis.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AxisMap {
    /// What.
    pub along: Along,
    /// The axis, at least 1.
    pub axis: usize,
}

/// The mean over an axis, which disappears.
pub fn mean_over(axis: usize) -> Box<dyn Layer> {
    Box::new(AxisMap { along: Along::Mean, axis })
}

/// The sum over an axis, which disappears.
pub fn sum_over(axis: usize) -> Box<dyn Layer> {
    Box::new(AxisMap { along: Along::Sum, axis })
}

/// Softmax along an axis.
pub fn softmax(axis: usize) -> Box<dyn Layer> {
    Box::new(AxisMap { along: Along::Softmax, axis })
}

/// The logarithm of softmax along an axis.
pub fn log_softmax(axis: usize) -> Box<dyn Layer> {
    Box::new(AxisMap { along: Along::LogSoftmax, axis })
}

impl Layer for AxisMap {
    fn name(&self) -> String {
        format!("{:?} along axis {}", self.along, self.axis).to_lowercase()
    }

    fn output_shape(&self, input: &[usize]) -> Result<Vec<usize>, ShapeError> {
        if self.axis == 0 || self.axis > input.len() {
            let reason =
                format!("needs an axis from 1 to {} for samples of shape {input:?}", input.len());
            return Err(ShapeError::new(Layer::name(self), reason));
        }
        let mut shape = input.to_vec();
        if matches!(self.along, Along::Mean | Along::Sum) {
            shape.remove(self.axis - 1);
        }
        Ok(shape)
    }

    fn record(&self, recorder: &mut Recorder<'_>, _own: Own<'_>, x: Var) -> Var {
        let (tape, axis) = (&mut *recorder.tape, self.axis);
        match self.along {
            Along::Mean => tape.mean(x, axis),
            Along::Sum => tape.sum(x, axis),
            Along::Softmax => tape.softmax(x, axis),
            Along::LogSoftmax => tape.log_softmax(x, axis),
        }
    }

    fn describe(&self) -> Result<Value, DescriptionError> {
        let op = match self.along {
            Along::Mean => "mean",
            Along::Sum => "sum",
            Along::Softmax => "softmax",
            Along::LogSoftmax => "log_softmax",
        };
        Ok(json!({"op": op, "axis": self.axis}))
    }
}

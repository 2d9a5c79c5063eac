//! Layers that only move entries.

use vivit_autodiff::{Tape, Var};
use vivit_tensor::Backend;

use crate::{Layer, ShapeError};

/// All axes of a sample in one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Flatten;

/// A [`Flatten`] layer.
pub fn flatten<B: Backend>() -> Box<dyn Layer<B>> {
    Box::new(Flatten)
}

impl<B: Backend> Layer<B> for Flatten {
    fn name(&self) -> String {
        "flatten".into()
    }

    fn output_shape(&self, input: &[usize]) -> Result<Vec<usize>, ShapeError> {
        Ok(vec![input.iter().product()])
    }

    fn record(&self, tape: &mut Tape<B>, _params: &[Var], x: Var) -> Var {
        tape.flatten(x)
    }
}

/// Zeros around the last two axes; negative numbers crop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ZeroPad2d {
    /// Left, right, top, bottom: PyTorch's order.
    pub padding: [isize; 4],
}

/// A [`ZeroPad2d`] layer; `padding` is left, right, top, bottom.
pub fn zero_pad2d<B: Backend>(padding: [isize; 4]) -> Box<dyn Layer<B>> {
    Box::new(ZeroPad2d { padding })
}

impl<B: Backend> Layer<B> for ZeroPad2d {
    fn name(&self) -> String {
        format!("zero_pad2d {:?}", self.padding)
    }

    fn output_shape(&self, input: &[usize]) -> Result<Vec<usize>, ShapeError> {
        let error = |reason| ShapeError::new(Layer::<B>::name(self), reason);
        let [front @ .., height, width] = input else {
            return Err(error(format!("needs two spatial axes, but a sample has shape {input:?}")));
        };
        let [left, right, top, bottom] = self.padding;
        let padded = |len: usize, before: isize, after: isize| {
            usize::try_from(len as isize + before + after)
                .ok()
                .filter(|&len| len > 0)
                .ok_or_else(|| error(format!("crops all of a sample of shape {input:?}")))
        };
        Ok([front, &[padded(*height, top, bottom)?, padded(*width, left, right)?]].concat())
    }

    fn record(&self, tape: &mut Tape<B>, _params: &[Var], x: Var) -> Var {
        let [left, right, top, bottom] = self.padding;
        tape.zero_pad(x, &[(top, bottom), (left, right)])
    }
}

//! Layers that only move entries.

use serde_json::{Value, json};
use vivit_autodiff::Var;

use crate::description::DescriptionError;
use crate::{Layer, Own, Recorder, ShapeError};

/// The axes of a sample from one on, in one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Flatten {
    /// The first of them, at least 1 (0 is the sample axis).
    pub start: usize,
}

/// A [`Flatten`] layer that joins all axes of a sample.
pub fn flatten() -> Box<dyn Layer> {
    Box::new(Flatten { start: 1 })
}

impl Layer for Flatten {
    fn name(&self) -> String {
        "flatten".into()
    }

    fn output_shape(&self, input: &[usize]) -> Result<Vec<usize>, ShapeError> {
        if self.start == 0 || self.start > input.len() {
            let reason = format!(
                "starts at axis {}, but samples of shape {input:?} have axes 1 to {}",
                self.start,
                input.len()
            );
            return Err(ShapeError::new(Layer::name(self), reason));
        }
        let (front, rest) = input.split_at(self.start - 1);
        Ok([front, &[rest.iter().product()]].concat())
    }

    fn record(&self, recorder: &mut Recorder<'_>, _own: Own<'_>, x: Var) -> Var {
        let sample = recorder.tape.value(x).shape().tail();
        let (front, rest) = sample.split_at(self.start - 1);
        let shape = [front, &[rest.iter().product()]].concat();
        recorder.tape.reshape(x, &shape)
    }

    fn describe(&self) -> Result<Value, DescriptionError> {
        Ok(json!({"op": "flatten", "start": self.start}))
    }
}

/// Zeros around the last axes, one to three; negative numbers crop.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ZeroPad {
    /// `(before, after)` for each of the last axes, outermost first.
    pub padding: Vec<(isize, isize)>,
}

/// A [`ZeroPad`] layer over the last two axes; `padding` is left, right, top, bottom: PyTorch's
/// order.
pub fn zero_pad2d(padding: [isize; 4]) -> Box<dyn Layer> {
    let [left, right, top, bottom] = padding;
    zero_pad(&[(top, bottom), (left, right)])
}

/// A [`ZeroPad`] layer: `(before, after)` for each of the last axes, outermost first.
pub fn zero_pad(padding: &[(isize, isize)]) -> Box<dyn Layer> {
    Box::new(ZeroPad { padding: padding.to_vec() })
}

impl Layer for ZeroPad {
    fn name(&self) -> String {
        format!("zero_pad {:?}", self.padding)
    }

    fn output_shape(&self, input: &[usize]) -> Result<Vec<usize>, ShapeError> {
        let error = |reason| ShapeError::new(Layer::name(self), reason);
        let Some(front) = input.len().checked_sub(self.padding.len()) else {
            return Err(error(format!(
                "needs {} axes, but a sample has shape {input:?}",
                self.padding.len()
            )));
        };
        let mut shape = input.to_vec();
        for (len, (before, after)) in shape[front..].iter_mut().zip(&self.padding) {
            *len = usize::try_from(*len as isize + before + after)
                .ok()
                .filter(|&len| len > 0)
                .ok_or_else(|| error(format!("crops all of a sample of shape {input:?}")))?;
        }
        Ok(shape)
    }

    fn record(&self, recorder: &mut Recorder<'_>, _own: Own<'_>, x: Var) -> Var {
        recorder.tape.zero_pad(x, &self.padding)
    }

    fn describe(&self) -> Result<Value, DescriptionError> {
        // PyTorch's order: the last axis first.
        let list: Vec<isize> =
            self.padding.iter().rev().flat_map(|&(before, after)| [before, after]).collect();
        Ok(json!({"op": format!("zero_pad{}d", self.padding.len()), "padding": list}))
    }
}

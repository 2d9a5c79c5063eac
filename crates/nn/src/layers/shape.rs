//! Layers that only move entries.

use serde_json::Value;
use vivit_autodiff::Var;

use crate::description::entry::{Described, described};
use crate::description::error::DescriptionError;
use crate::description::options::Options;
use crate::description::value::OptionValue;
use crate::{Error, Layer, LayerArrays, LayerState, Node, NodeWriter, Recorder, ShapeError};

/// The axes of a sample from one on, in one.
///
/// ```
/// use vivit_nn::{Flatten, Layer};
///
/// assert_eq!(Flatten::new().output_shape(&[2, 3, 4])?, [24]);
/// assert_eq!(Flatten::new().from_axis(2).output_shape(&[2, 3, 4])?, [2, 12]);
/// # Ok::<(), vivit_nn::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Flatten {
    /// The first of them, at least 1 (0 is the sample axis).
    pub start: usize,
}

impl Flatten {
    /// All axes of a sample in one.
    pub fn new() -> Self {
        Flatten { start: 1 }
    }

    /// The axes from `start` on, at least 1, in one: PyTorch's `start_dim`.
    #[must_use]
    pub fn from_axis(self, start: usize) -> Self {
        Flatten { start }
    }
}

impl Default for Flatten {
    fn default() -> Self {
        Self::new()
    }
}

described! {
    impl Flatten as &["flatten"];
    start: "start" = 1,
}

/// A [`Flatten`] layer that joins all axes of a sample.
pub fn flatten() -> Box<dyn Layer> {
    Flatten::new().boxed()
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
            return Err(ShapeError::new(self.name(), reason));
        }
        let (front, rest) = input.split_at(self.start - 1);
        Ok([front, &[rest.iter().product()]].concat())
    }

    fn record(&self, recorder: &mut Recorder<'_>, _state: LayerState<'_>, x: Var) -> Var {
        let sample = recorder.tape.value(x).shape().tail();
        let (front, rest) = sample.split_at(self.start - 1);
        let shape = [front, &[rest.iter().product()]].concat();
        recorder.tape.reshape(x, &shape)
    }

    fn nodes(&self, writer: &mut NodeWriter, _: LayerArrays<'_>, x: &str) -> Result<String, Error> {
        // The axes in front keep their lengths; the last one is all that is left.
        let mut lengths = vec![0; self.start];
        lengths.push(-1);
        Ok(writer.add_with("reshape", x, &lengths))
    }
}

/// Zeros around the last axes, one to three; negative numbers crop.
///
/// ```
/// use vivit_nn::{Layer, ZeroPad};
///
/// assert_eq!(ZeroPad::new(&[(1, 1), (0, -2)]).output_shape(&[3, 4, 4])?, [3, 6, 2]);
/// # Ok::<(), vivit_nn::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ZeroPad {
    /// `(before, after)` for each of the last axes, outermost first.
    pub padding: Vec<(isize, isize)>,
}

impl ZeroPad {
    /// `(before, after)` for each of the last axes, outermost first.
    pub fn new(padding: &[(isize, isize)]) -> Self {
        ZeroPad { padding: padding.to_vec() }
    }
}

impl Described for ZeroPad {
    const OPS: &'static [&'static str] = &["zero_pad1d", "zero_pad2d", "zero_pad3d"];

    fn op(&self) -> Option<&'static str> {
        Self::OPS.get(self.padding.len().checked_sub(1)?).copied()
    }

    fn read(o: Options<'_>) -> Result<Self, DescriptionError> {
        o.only(&["padding"])?;
        let axes = Self::OPS.iter().take_while(|op| **op != o.op()).count() + 1;
        let value = o.required("padding")?;
        let list: Option<Vec<isize>> = value
            .as_array()
            .filter(|list| list.len() == 2 * axes)
            .and_then(|list| list.iter().map(isize::from_json).collect());
        let expected = format!("a list of {} whole numbers", 2 * axes);
        let list = list.ok_or_else(|| o.invalid("padding", &expected, value))?;
        // PyTorch's order: the last axis first.
        Ok(ZeroPad { padding: list.chunks(2).rev().map(|pair| (pair[0], pair[1])).collect() })
    }

    fn write(&self) -> Result<Vec<(&'static str, Value)>, DescriptionError> {
        let list: Vec<isize> =
            self.padding.iter().rev().flat_map(|&(before, after)| [before, after]).collect();
        Ok(vec![("padding", list.into())])
    }
}

/// A [`ZeroPad`] layer over the last two axes; `padding` is left, right, top, bottom: PyTorch's
/// order.
pub fn zero_pad2d(padding: [isize; 4]) -> Box<dyn Layer> {
    let [left, right, top, bottom] = padding;
    zero_pad(&[(top, bottom), (left, right)])
}

/// A [`ZeroPad`] layer: `(before, after)` for each of the last axes, outermost first.
pub fn zero_pad(padding: &[(isize, isize)]) -> Box<dyn Layer> {
    ZeroPad::new(padding).boxed()
}

impl Layer for ZeroPad {
    fn name(&self) -> String {
        format!("zero_pad {:?}", self.padding)
    }

    fn output_shape(&self, input: &[usize]) -> Result<Vec<usize>, ShapeError> {
        let error = |reason| ShapeError::new(self.name(), reason);
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

    fn record(&self, recorder: &mut Recorder<'_>, _state: LayerState<'_>, x: Var) -> Var {
        recorder.tape.zero_pad(x, &self.padding)
    }

    fn nodes(&self, writer: &mut NodeWriter, _: LayerArrays<'_>, x: &str) -> Result<String, Error> {
        let before = self.padding.iter().map(|&(before, _)| before as i64);
        let behind = self.padding.iter().map(|&(_, behind)| behind as i64);
        let pads: Vec<i64> = before.chain(behind).collect();
        let axes: Vec<i64> = (1..=self.padding.len() as i64).rev().map(|axis| -axis).collect();
        let inputs = vec![Some(x.into()), Some(pads.into()), None, Some(axes.into())];
        Ok(writer.add(Node::new("pad", &[], "").taking(inputs)))
    }
}

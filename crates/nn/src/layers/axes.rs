//! Layers along the axes of a sample. Axes are counted as PyTorch counts them: 0 is the sample
//! axis, 1 the first of a sample.

use vivit_autodiff::Var;

use crate::description::entry::described;
use crate::{Error, Layer, LayerArrays, LayerState, Node, NodeWriter, Recorder, ShapeError};

/// The axes of a sample in another order.
///
/// Axes are counted as PyTorch counts them: 0 is the sample axis, which stays in front.
///
/// ```
/// use vivit_nn::{Layer, Permute};
///
/// assert_eq!(Permute::new(&[2, 1]).output_shape(&[5, 3])?, [3, 5]);
/// # Ok::<(), vivit_nn::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Permute {
    /// Axis `i + 1` of the result is axis `axes[i]`.
    pub axes: Vec<usize>,
}

impl Permute {
    /// Axis `i + 1` of the result is axis `axes[i]`.
    pub fn new(axes: &[usize]) -> Self {
        Permute { axes: axes.to_vec() }
    }
}

described! {
    impl Permute as &["permute"];
    axes: "axes",
}

/// A [`Permute`] layer: axis `i + 1` of the result is axis `axes[i]`.
pub fn permute(axes: &[usize]) -> Box<dyn Layer> {
    Permute::new(axes).boxed()
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
        Err(ShapeError::new(self.name(), reason))
    }

    fn record(&self, recorder: &mut Recorder<'_>, _state: LayerState<'_>, x: Var) -> Var {
        let order: Vec<usize> = [0].into_iter().chain(self.axes.iter().copied()).collect();
        recorder.tape.permute(x, &order)
    }

    fn nodes(&self, writer: &mut NodeWriter, _: LayerArrays<'_>, x: &str) -> Result<String, Error> {
        let order: Vec<usize> = [0].into_iter().chain(self.axes.iter().copied()).collect();
        Ok(writer.add(Node::new("transpose", &[x], "").with("order", order)))
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
    /// The first half of the axis times the sigmoid of the second (a gated linear unit); the axis
    /// becomes half as long.
    Glu,
}

/// Something along one axis.
///
/// Axes are counted as PyTorch counts them: 0 is the sample axis, 1 the first of a sample.
///
/// ```
/// use vivit_nn::{Along, AxisMap, Layer};
///
/// assert_eq!(AxisMap::new(Along::Mean, 1).output_shape(&[5, 3])?, [3]);
/// assert_eq!(AxisMap::new(Along::Softmax, 1).output_shape(&[5, 3])?, [5, 3]);
/// # Ok::<(), vivit_nn::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct AxisMap {
    /// What.
    pub along: Along,
    /// The axis, at least 1.
    pub axis: usize,
}

impl AxisMap {
    /// Something along an axis, at least 1.
    pub fn new(along: Along, axis: usize) -> Self {
        AxisMap { along, axis }
    }
}

described! {
    impl AxisMap as &["mean", "sum", "softmax", "log_softmax", "glu"],
        by along: [Along::Mean, Along::Sum, Along::Softmax, Along::LogSoftmax, Along::Glu];
    axis: "axis",
}

/// The mean over an axis, which disappears.
pub fn mean_over(axis: usize) -> Box<dyn Layer> {
    AxisMap::new(Along::Mean, axis).boxed()
}

/// The sum over an axis, which disappears.
pub fn sum_over(axis: usize) -> Box<dyn Layer> {
    AxisMap::new(Along::Sum, axis).boxed()
}

/// Softmax along an axis.
pub fn softmax(axis: usize) -> Box<dyn Layer> {
    AxisMap::new(Along::Softmax, axis).boxed()
}

/// The logarithm of softmax along an axis.
pub fn log_softmax(axis: usize) -> Box<dyn Layer> {
    AxisMap::new(Along::LogSoftmax, axis).boxed()
}

/// The first half of an axis times the sigmoid of the second: a gated linear unit.
pub fn glu(axis: usize) -> Box<dyn Layer> {
    AxisMap::new(Along::Glu, axis).boxed()
}

impl Layer for AxisMap {
    fn name(&self) -> String {
        format!("{:?} along axis {}", self.along, self.axis).to_lowercase()
    }

    fn output_shape(&self, input: &[usize]) -> Result<Vec<usize>, ShapeError> {
        let len = axis_of(self, self.axis, input)?;
        let mut shape = input.to_vec();
        match self.along {
            Along::Mean | Along::Sum => {
                shape.remove(self.axis - 1);
            }
            Along::Softmax | Along::LogSoftmax => {}
            Along::Glu if len > 0 && len % 2 == 0 => shape[self.axis - 1] = len / 2,
            Along::Glu => {
                let reason =
                    format!("halves an axis of even length, got samples of shape {input:?}");
                return Err(ShapeError::new(self.name(), reason));
            }
        }
        Ok(shape)
    }

    fn record(&self, recorder: &mut Recorder<'_>, _state: LayerState<'_>, x: Var) -> Var {
        let (tape, axis) = (&mut *recorder.tape, self.axis);
        match self.along {
            Along::Mean => tape.mean(x, axis),
            Along::Sum => tape.sum(x, axis),
            Along::Softmax => tape.softmax(x, axis),
            Along::LogSoftmax => tape.log_softmax(x, axis),
            Along::Glu => tape.glu(x, axis),
        }
    }

    fn nodes(&self, writer: &mut NodeWriter, _: LayerArrays<'_>, x: &str) -> Result<String, Error> {
        let reduced =
            |op: &str| Node::new(op, &[x], "").with("axes", vec![self.axis]).with("keep", false);
        let along = |op: &str| Node::new(op, &[x], "").with("axis", self.axis);
        Ok(match self.along {
            Along::Mean => writer.add(reduced("mean")),
            Along::Sum => writer.add(reduced("sum")),
            Along::Softmax => writer.add(along("softmax")),
            Along::LogSoftmax => writer.add(along("log_softmax")),
            Along::Glu => {
                let [value, gate] = writer.add_many(along("split"));
                let gate = writer.add(Node::new("sigmoid", &[&gate], ""));
                writer.add(Node::new("mul", &[&value, &gate], ""))
            }
        })
    }
}

/// One entry of an axis, which disappears: `x[:, -1]` is `select(1, -1)`.
///
/// ```
/// use vivit_nn::{Layer, Select};
///
/// // The last position's features.
/// assert_eq!(Select::new(1, -1).output_shape(&[7, 4])?, [4]);
/// # Ok::<(), vivit_nn::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Select {
    /// The axis, at least 1.
    pub axis: usize,
    /// The entry, counted from 0 or, where negative, from the end: −1 is the last.
    pub index: isize,
}

impl Select {
    /// Entry `index` of axis `axis`, at least 1.
    pub fn new(axis: usize, index: isize) -> Self {
        Select { axis, index }
    }

    /// The entry of an axis of length `len`, counted from 0.
    fn position(&self, len: usize) -> Option<usize> {
        let from_start = if self.index < 0 { len.checked_add_signed(self.index) } else { None };
        from_start.or(usize::try_from(self.index).ok()).filter(|&at| at < len)
    }
}

/// A [`Select`] layer: entry `index` of axis `axis`, from the end where negative.
pub fn select(axis: usize, index: isize) -> Box<dyn Layer> {
    Select::new(axis, index).boxed()
}

described! {
    impl Select as &["select"];
    axis: "axis", index: "index",
}

/// The length of an axis of a sample, or why there is none.
fn axis_of(layer: &dyn Layer, axis: usize, input: &[usize]) -> Result<usize, ShapeError> {
    let len = axis.checked_sub(1).and_then(|at| input.get(at)).copied();
    len.ok_or_else(|| {
        let reason =
            format!("needs an axis from 1 to {} for samples of shape {input:?}", input.len());
        ShapeError::new(layer.name(), reason)
    })
}

impl Layer for Select {
    fn name(&self) -> String {
        format!("select {} of axis {}", self.index, self.axis)
    }

    fn output_shape(&self, input: &[usize]) -> Result<Vec<usize>, ShapeError> {
        let len = axis_of(self, self.axis, input)?;
        if self.position(len).is_none() {
            let reason = format!(
                "is out of range: the axis has {len} entries in samples of shape {input:?}"
            );
            return Err(ShapeError::new(self.name(), reason));
        }
        let mut shape = input.to_vec();
        shape.remove(self.axis - 1);
        Ok(shape)
    }

    fn record(&self, recorder: &mut Recorder<'_>, _state: LayerState<'_>, x: Var) -> Var {
        let mut shape = recorder.tape.value(x).shape().tail().to_vec();
        let len = shape.remove(self.axis - 1);
        let at = self.position(len).expect("checked with the shapes");
        let entry = recorder.tape.slice(x, self.axis, at, at + 1);
        recorder.tape.reshape(entry, &shape)
    }

    fn nodes(&self, writer: &mut NodeWriter, _: LayerArrays<'_>, x: &str) -> Result<String, Error> {
        let (first, axis) = (self.index as i64, self.axis as i64);
        // Counted from the end, the last entry ends with the axis.
        let end = if first == -1 { i64::MAX } else { first.saturating_add(1) };
        let numbers = [first, end, axis].map(|number| Some(vec![number].into()));
        let inputs = [Some(x.into())].into_iter().chain(numbers).collect();
        let entry = writer.add(Node::new("slice", &[], "").taking(inputs));
        Ok(writer.add_with("squeeze", &entry, &[axis]))
    }
}

/// The entries of an axis in reverse order.
///
/// ```
/// use vivit_nn::{Sequential, flip};
/// use vivit_tensor::{Device, Tensor};
///
/// let cpu = Device::cpu();
/// let model = Sequential::new(&cpu, vec![flip(1)], 0)?;
/// let x = Tensor::from_vec(&cpu, [1, 3], vec![1.0, 2.0, 3.0])?;
/// assert_eq!(model.forward(&x)?.value().to_vec()?, [3.0, 2.0, 1.0]);
/// # Ok::<(), vivit_nn::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Flip {
    /// The axis, at least 1.
    pub axis: usize,
}

impl Flip {
    /// Along an axis, at least 1.
    pub fn new(axis: usize) -> Self {
        Flip { axis }
    }
}

/// A [`Flip`] layer.
pub fn flip(axis: usize) -> Box<dyn Layer> {
    Flip::new(axis).boxed()
}

described! {
    impl Flip as &["flip"];
    axis: "axis",
}

impl Layer for Flip {
    fn name(&self) -> String {
        format!("flip of axis {}", self.axis)
    }

    fn output_shape(&self, input: &[usize]) -> Result<Vec<usize>, ShapeError> {
        axis_of(self, self.axis, input)?;
        Ok(input.to_vec())
    }

    fn record(&self, recorder: &mut Recorder<'_>, _state: LayerState<'_>, x: Var) -> Var {
        recorder.tape.flip(x, self.axis)
    }

    fn nodes(&self, writer: &mut NodeWriter, _: LayerArrays<'_>, x: &str) -> Result<String, Error> {
        Ok(writer.add_with("flip", x, &[self.axis as i64]))
    }
}

//! Bilinear forms of two values.

use vivit_autodiff::Var;

use crate::description::entry::described;
use crate::{Init, Layer, LayerState, ParamSpec, Recorder, ShapeError};

/// `xᵀ W_o z + b_o` along the last axes of two values: samples `[*, left]` and `[*, right]` to `[*,
/// outputs]`. A [`Wiring`](crate::Wiring) hands it both; in a row it reads one value as both.
///
/// Its parameters are those of PyTorch's `nn.Bilinear`: `weight [outputs, left, right]` and `bias
/// [outputs]`, uniform in `±1/√left` at first.
///
/// ```
/// use vivit_nn::{Bilinear, Layer};
///
/// let layer = Bilinear::new(4, 2, 3);
/// assert_eq!(layer.output_shape_of(&[&[5, 4], &[5, 2]])?, [5, 3]);
/// assert_eq!(layer.params()[0].shape, [3, 4, 2]);
/// # Ok::<(), vivit_nn::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Bilinear {
    /// Features of the first value.
    pub left: usize,
    /// Features of the second value.
    pub right: usize,
    /// Out-features.
    pub outputs: usize,
    /// Whether there is a bias.
    pub bias: bool,
}

impl Bilinear {
    /// With a bias.
    pub fn new(left: usize, right: usize, outputs: usize) -> Self {
        Bilinear { left, right, outputs, bias: true }
    }

    /// The same without a bias.
    #[must_use]
    pub fn without_bias(self) -> Self {
        Bilinear { bias: false, ..self }
    }
}

/// A [`Bilinear`] layer with a bias.
///
/// ```
/// use vivit_nn::bilinear;
///
/// assert_eq!(bilinear(4, 4, 3).output_shape(&[4])?, [3]);
/// # Ok::<(), vivit_nn::Error>(())
/// ```
pub fn bilinear(left: usize, right: usize, outputs: usize) -> Box<dyn Layer> {
    Bilinear::new(left, right, outputs).boxed()
}

described! {
    impl Bilinear as &["bilinear"];
    left: "in1", right: "in2", outputs: "out", bias: "bias" = true,
}

impl Layer for Bilinear {
    fn name(&self) -> String {
        format!("bilinear {}·{}→{}", self.left, self.right, self.outputs)
    }

    fn params(&self) -> Vec<ParamSpec> {
        let init = Init::fan_in(self.left);
        let shape = [self.outputs, self.left, self.right];
        let mut params = vec![ParamSpec::new("weight", &shape, init)];
        params.extend(self.bias.then(|| ParamSpec::new("bias", &[self.outputs], init)));
        params
    }

    fn output_shape(&self, input: &[usize]) -> Result<Vec<usize>, ShapeError> {
        self.output_shape_of(&[input, input])
    }

    fn output_shape_of(&self, inputs: &[&[usize]]) -> Result<Vec<usize>, ShapeError> {
        let [x, z] = match *inputs {
            [x] => [x, x],
            [x, z] => [x, z],
            _ => {
                let reason = format!("reads one or two values, but is given {}", inputs.len());
                return Err(ShapeError::new(self.name(), reason));
            }
        };
        let lengths = [self.left, self.right, self.outputs];
        match (x.split_last(), z.split_last()) {
            (Some((&left, front)), Some((&right, other)))
                if (left, right, front) == (self.left, self.right, other)
                    && !lengths.contains(&0) =>
            {
                Ok([front, &[self.outputs]].concat())
            }
            _ => {
                let reason = format!(
                    "needs samples [*, {}] and [*, {}] of equal further axes, but their shapes are \
                     {x:?} and {z:?}",
                    self.left, self.right
                );
                Err(ShapeError::new(self.name(), reason))
            }
        }
    }

    fn record(&self, recorder: &mut Recorder<'_>, state: LayerState<'_>, x: Var) -> Var {
        self.record_of(recorder, state, &[x, x])
    }

    fn record_of(&self, recorder: &mut Recorder<'_>, state: LayerState<'_>, inputs: &[Var]) -> Var {
        let (x, z) = (inputs[0], inputs[inputs.len() - 1]);
        recorder.tape.bilinear(x, z, state.params[0], state.params.get(1).copied())
    }
}

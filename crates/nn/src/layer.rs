//! What a layer is to a model.

use std::fmt::Debug;

use vivit_autodiff::{Tape, Var};
use vivit_tensor::{AsAny, Rng, Tensor};

use crate::{Error, Init, ShapeError};

/// A parameter that a layer needs.
#[derive(Clone, Debug, PartialEq)]
pub struct ParamSpec {
    /// Its name within the layer (PyTorch's: `weight`, `bias`). An empty name makes it bear the
    /// layer's own name.
    pub name: String,
    /// Its shape.
    pub shape: Vec<usize>,
    /// How it is initialised.
    pub init: Init,
}

impl ParamSpec {
    /// A parameter of the given name, shape and initialisation.
    pub fn new(name: &str, shape: &[usize], init: Init) -> Self {
        ParamSpec { name: name.into(), shape: shape.to_vec(), init }
    }

    /// The same parameter, seen from the container that calls the layer `layer`.
    ///
    /// ```
    /// use vivit_nn::{Init, ParamSpec};
    ///
    /// let weight = ParamSpec::new("weight", &[2, 3], Init::fan_in(3));
    /// assert_eq!(weight.inside("conv1").inside("0").name, "0.conv1.weight");
    /// ```
    #[must_use]
    pub fn inside(self, layer: &str) -> Self {
        let name =
            if self.name.is_empty() { layer.into() } else { format!("{layer}.{}", self.name) };
        ParamSpec { name, ..self }
    }
}

/// Whether a model is being trained or used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Mode {
    /// Dropout passes everything, batch norm uses running statistics: samples do not see each
    /// other.
    #[default]
    Evaluation,
    /// Dropout drops, batch norm uses the batch's statistics and updates the running ones.
    Training,
}

/// What a layer is recorded with: the tape, the mode, random numbers.
#[derive(Debug)]
pub struct Recorder<'r> {
    /// The tape.
    pub tape: &'r mut Tape,
    /// The mode.
    pub mode: Mode,
    /// Random numbers of this pass.
    pub rng: &'r mut Rng,
}

/// A layer's parameters and buffers in a model.
#[derive(Debug)]
pub struct LayerState<'r> {
    /// Its parameters on the tape, in the order of [`Layer::params`].
    pub params: &'r [Var],
    /// Its buffers, in the order of [`Layer::buffers`]. What a layer writes here in training mode
    /// is kept.
    pub buffers: &'r mut [Tensor],
}

/// A part of a model: what it needs, what shapes it takes, and how it is recorded. It owns no
/// numbers; the model does.
///
/// # Examples
/// A layer of one's own, with a learned factor, in a model:
///
/// ```
/// use vivit_autodiff::Var;
/// use vivit_nn::{Init, Layer, LayerState, ParamSpec, Recorder, Sequential, ShapeError, linear};
/// use vivit_tensor::Device;
///
/// #[derive(Debug)]
/// struct Scale;
///
/// impl Layer for Scale {
///     fn name(&self) -> String {
///         "scale".into()
///     }
///     fn params(&self) -> Vec<ParamSpec> {
///         vec![ParamSpec::new("factor", &[1], Init::Constant(1.0))]
///     }
///     fn output_shape(&self, input: &[usize]) -> Result<Vec<usize>, ShapeError> {
///         Ok(input.to_vec())
///     }
///     fn record(&self, recorder: &mut Recorder<'_>, state: LayerState<'_>, x: Var) -> Var {
///         recorder.tape.mul(x, state.params[0])
///     }
/// }
///
/// let model = Sequential::new(&Device::cpu(), vec![linear(4, 3), Scale.boxed()], 0)?;
/// assert_eq!(model.params()[2].name, "1.factor");
/// # Ok::<(), vivit_nn::Error>(())
/// ```
pub trait Layer: AsAny + Debug + Send + Sync {
    /// The layer in words, for errors: `linear 7→5`.
    fn name(&self) -> String;

    /// The parameters it needs, in the order in which [`record`](Layer::record) takes them.
    fn params(&self) -> Vec<ParamSpec> {
        Vec::new()
    }

    /// Arrays that belong to it without being parameters: running statistics.
    fn buffers(&self) -> Vec<ParamSpec> {
        Vec::new()
    }

    /// The shape of one sample's result for the shape of one sample's input.
    ///
    /// # Errors
    /// If the layer can't take such an input.
    fn output_shape(&self, input: &[usize]) -> Result<Vec<usize>, ShapeError>;

    /// Records the layer. Shapes have been checked. `x` is `[N, *]`: the tape counts the sample
    /// axis as axis 0.
    fn record(&self, recorder: &mut Recorder<'_>, state: LayerState<'_>, x: Var) -> Var;

    /// As [`output_shape`](Layer::output_shape), for the samples of all values that the layer
    /// reads: one, unless it overrides this and [`record_of`](Layer::record_of). A
    /// [`Wiring`](crate::Wiring) hands a layer several values.
    ///
    /// # Errors
    /// If the layer can't take such inputs, or not that many.
    fn output_shape_of(&self, inputs: &[&[usize]]) -> Result<Vec<usize>, ShapeError> {
        match inputs {
            [input] => self.output_shape(input),
            _ => {
                let reason = format!("reads one value, but is given {}", inputs.len());
                Err(ShapeError::new(self.name(), reason))
            }
        }
    }

    /// As [`record`](Layer::record), for all values that the layer reads. Shapes have been checked.
    fn record_of(&self, recorder: &mut Recorder<'_>, state: LayerState<'_>, inputs: &[Var]) -> Var {
        self.record(recorder, state, inputs[0])
    }

    /// Checks the numbers of a model's input, where this layer is the first: the vocabulary of an
    /// embedding.
    ///
    /// # Errors
    /// If the layer can't take them.
    fn check_input(&self, x: &Tensor) -> Result<(), Error> {
        let _ = x;
        Ok(())
    }

    /// The earlier layer of the same row whose parameters it uses instead of its own, and whose
    /// operation it repeats.
    fn shares(&self) -> Option<usize> {
        None
    }

    /// The layer as a part of a model.
    fn boxed(self) -> Box<dyn Layer>
    where
        Self: Sized,
    {
        Box::new(self)
    }

    /// Checks what can be checked without an input.
    ///
    /// # Errors
    /// If the layer can't be part of any model.
    fn check(&self) -> Result<(), Error> {
        Ok(())
    }
}

impl dyn Layer {
    /// The layer as one of type `L`, if it is one.
    ///
    /// ```
    /// use vivit_nn::{Linear, linear};
    ///
    /// assert_eq!(linear(4, 3).downcast_ref::<Linear>().map(|linear| linear.outputs), Some(3));
    /// ```
    pub fn downcast_ref<L: Layer>(&self) -> Option<&L> {
        self.as_any().downcast_ref()
    }
}

//! What a layer is to a model, and rows of layers.

use std::fmt::Debug;
use std::sync::Arc;

use serde_json::Value;
use vivit_autodiff::{Tape, Var};
use vivit_tensor::{Rng, Tensor};

use crate::description::{DescriptionError, DescriptionProblem};
use crate::{Error, Init, ShapeError};

/// A parameter that a layer needs.
#[derive(Clone, Debug, PartialEq)]
pub struct ParamSpec {
    /// Its name within the layer (PyTorch's: `weight`, `bias`).
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

/// What belongs to a layer in a model.
#[derive(Debug)]
pub struct Own<'r> {
    /// Its parameters on the tape, in the order of [`Layer::params`].
    pub params: &'r [Var],
    /// Its buffers, in the order of [`Layer::buffers`]. What a layer writes here in training mode
    /// is kept.
    pub buffers: &'r mut [Tensor],
}

/// A part of a model: what it needs, what shapes it takes, and how it is recorded. It owns no
/// numbers; the model does.
pub trait Layer: Debug + Send + Sync {
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

    /// Records the layer. Shapes have been checked.
    fn record(&self, recorder: &mut Recorder<'_>, own: Own<'_>, x: Var) -> Var;

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

    /// Checks what can be checked without an input.
    ///
    /// # Errors
    /// If the layer can't be part of any model.
    fn check(&self) -> Result<(), Error> {
        Ok(())
    }

    /// The layer as an entry of a [description](crate::description): its `op` and all options.
    ///
    /// # Errors
    /// If it, or a layer in it, can't be described; as a layer of one's own, unless it says
    /// otherwise.
    fn describe(&self) -> Result<Value, DescriptionError> {
        Err(DescriptionError::new(DescriptionProblem::NotDescribed { layer: self.name() }))
    }
}

/// A row of layers: what sequential models and residual bodies have in common. A layer's name is
/// its position.
#[derive(Clone, Debug)]
pub(crate) struct Row(pub Arc<[Box<dyn Layer>]>);

impl Row {
    /// The layer that position `at` runs, and whether its parameters are its own.
    fn layer(&self, at: usize) -> &dyn Layer {
        let layer = self.0[at].as_ref();
        layer.shares().map_or(layer, |shared| self.0[shared].as_ref())
    }

    pub fn check(&self, path: &str) -> Result<(), Error> {
        for (at, layer) in self.0.iter().enumerate() {
            layer.check()?;
            if let Some(shared) = layer.shares() {
                if shared >= at || self.0[shared].shares().is_some() {
                    return Err(Error::Shared { path: format!("{path}{at}"), layer: shared });
                }
            }
        }
        Ok(())
    }

    pub fn params(&self) -> Vec<ParamSpec> {
        self.named(|layer| layer.params())
    }

    pub fn buffers(&self) -> Vec<ParamSpec> {
        self.named(|layer| layer.buffers())
    }

    fn named(&self, specs: impl Fn(&dyn Layer) -> Vec<ParamSpec>) -> Vec<ParamSpec> {
        let mut all = Vec::new();
        for (at, layer) in self.0.iter().enumerate() {
            let named = |spec: ParamSpec| ParamSpec { name: format!("{at}.{}", spec.name), ..spec };
            all.extend(specs(layer.as_ref()).into_iter().map(named));
        }
        all
    }

    pub fn check_input(&self, x: &Tensor) -> Result<(), Error> {
        self.0.first().map_or(Ok(()), |layer| layer.check_input(x))
    }

    pub fn output_shape(&self, input: &[usize]) -> Result<Vec<usize>, ShapeError> {
        (0..self.0.len()).try_fold(input.to_vec(), |shape, at| {
            self.layer(at).output_shape(&shape).map_err(|error| error.inside(&at.to_string()))
        })
    }

    pub fn record(&self, recorder: &mut Recorder<'_>, own: Own<'_>, x: Var) -> Var {
        // Where each layer's parameters and buffers begin.
        let mut firsts = vec![[0, 0]];
        for layer in self.0.iter() {
            let [params, buffers] = firsts[firsts.len() - 1];
            firsts.push([params + layer.params().len(), buffers + layer.buffers().len()]);
        }
        (0..self.0.len()).fold(x, |x, at| {
            let owner = self.0[at].shares().unwrap_or(at);
            let ([param, buffer], [last_param, last_buffer]) = (firsts[owner], firsts[owner + 1]);
            let own = Own {
                params: &own.params[param..last_param],
                buffers: &mut own.buffers[buffer..last_buffer],
            };
            self.layer(at).record(recorder, own, x)
        })
    }
}

//! What a layer is to a model, and rows of layers.

use std::fmt::Debug;
use std::rc::Rc;

use vivit_autodiff::{Tape, Var};
use vivit_tensor::Backend;

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

/// A part of a model: what it needs, what shapes it takes, and how it is recorded. It owns no numbers; the model does.
pub trait Layer<B: Backend>: Debug {
    /// The layer in words, for errors: `linear 7→5`.
    fn name(&self) -> String;

    /// The parameters it needs, in the order in which [`record`](Layer::record) takes them.
    fn params(&self) -> Vec<ParamSpec> {
        Vec::new()
    }

    /// The shape of one sample's result for the shape of one sample's input.
    ///
    /// # Errors
    /// If the layer can't take such an input.
    fn output_shape(&self, input: &[usize]) -> Result<Vec<usize>, ShapeError>;

    /// Records the layer. Shapes have been checked.
    fn record(&self, tape: &mut Tape<B>, params: &[Var], x: Var) -> Var;

    /// The earlier layer of the same row whose parameters it uses instead of its own, and whose operation it repeats.
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
}

/// A row of layers: what sequential models and residual bodies have in common. A layer's name is its position.
#[derive(Debug)]
pub(crate) struct Row<B: Backend>(pub Rc<[Box<dyn Layer<B>>]>);

// By hand: a derive would ask for `B: Clone` layers.
impl<B: Backend> Clone for Row<B> {
    fn clone(&self) -> Self {
        Row(Rc::clone(&self.0))
    }
}

impl<B: Backend> Row<B> {
    /// The layer that position `at` runs, and whether its parameters are its own.
    fn layer(&self, at: usize) -> &dyn Layer<B> {
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
        let mut params = Vec::new();
        for (at, layer) in self.0.iter().enumerate() {
            let named = |spec: ParamSpec| ParamSpec { name: format!("{at}.{}", spec.name), ..spec };
            params.extend(layer.params().into_iter().map(named));
        }
        params
    }

    pub fn output_shape(&self, input: &[usize]) -> Result<Vec<usize>, ShapeError> {
        (0..self.0.len()).try_fold(input.to_vec(), |shape, at| {
            self.layer(at).output_shape(&shape).map_err(|error| error.inside(&at.to_string()))
        })
    }

    pub fn record(&self, tape: &mut Tape<B>, params: &[Var], x: Var) -> Var {
        let mut firsts = Vec::with_capacity(self.0.len());
        let mut first = 0;
        for layer in self.0.iter() {
            firsts.push(first);
            first += layer.params().len();
        }
        (0..self.0.len()).fold(x, |x, at| {
            let first = firsts[self.0[at].shares().unwrap_or(at)];
            let layer = self.layer(at);
            layer.record(tape, &params[first..first + layer.params().len()], x)
        })
    }
}

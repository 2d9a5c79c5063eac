//! Embeddings of tokens and positions.

use vivit_autodiff::Var;
use vivit_tensor::{NonFiniteSearch, Tensor};

use crate::description::entry::described;
use crate::{
    Argument, Error, Init, Layer, LayerArrays, LayerState, Node, NodeWriter, ParamSpec, Recorder,
    ShapeError,
};

/// Rows of a table: samples `[*]` of whole numbers below `vocabulary`, to `[*, features]`.
///
/// The parameter is `weight [vocabulary, features]`, standard normal at first.
///
/// ```
/// use vivit_nn::{Embedding, Layer};
///
/// assert_eq!(Embedding::new(96, 8).output_shape(&[5])?, [5, 8]);
/// # Ok::<(), vivit_nn::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Embedding {
    /// Rows of the table.
    pub vocabulary: usize,
    /// Length of a row.
    pub features: usize,
}

impl Embedding {
    /// A table of `vocabulary` rows of `features` numbers.
    pub fn new(vocabulary: usize, features: usize) -> Self {
        Embedding { vocabulary, features }
    }
}

described! {
    impl Embedding as &["embedding"];
    vocabulary: "vocabulary", features: "features",
}

/// An [`Embedding`] layer.
pub fn embedding(vocabulary: usize, features: usize) -> Box<dyn Layer> {
    Embedding::new(vocabulary, features).boxed()
}

impl Layer for Embedding {
    fn name(&self) -> String {
        format!("embedding {}×{}", self.vocabulary, self.features)
    }

    fn params(&self) -> Vec<ParamSpec> {
        vec![ParamSpec::new(
            "weight",
            &[self.vocabulary, self.features],
            Init::Normal { deviation: 1.0 },
        )]
    }

    fn output_shape(&self, input: &[usize]) -> Result<Vec<usize>, ShapeError> {
        if self.vocabulary == 0 || self.features == 0 {
            return Err(ShapeError::new(self.name(), "needs at least one row and one feature"));
        }
        Ok([input, &[self.features]].concat())
    }

    fn record(&self, recorder: &mut Recorder<'_>, state: LayerState<'_>, x: Var) -> Var {
        recorder.tape.embedding(x, state.params[0])
    }

    fn check_input(&self, x: &Tensor) -> Result<(), Error> {
        // A device that does not know at once is asked with everything else, before any result is
        // returned.
        let rows = x.device().row_or_nan(x.buf(), self.vocabulary, false)?;
        let NonFiniteSearch::Done(Some((_, at))) = x.device().search_non_finite(&[&rows])? else {
            return Ok(());
        };
        let (shape, strides) = (x.shape(), x.shape().strides());
        let index = (0..shape.rank()).map(|axis| at / strides[axis] % shape[axis]).collect();
        Err(Error::Vocabulary { value: x.to_host()?.at(at), index, vocabulary: self.vocabulary })
    }

    fn nodes(
        &self,
        writer: &mut NodeWriter,
        arrays: LayerArrays<'_>,
        x: &str,
    ) -> Result<String, Error> {
        Ok(writer.add(arrays.node("embedding", x)))
    }
}

/// Adds a learned vector to each position of `[T, F]` samples.
///
/// In PyTorch this is a bare parameter of a module, `self.positions = nn.Parameter(…)`. Its only
/// parameter, `[positions, features]`, therefore bears the layer's own name: in a wiring where the
/// layer is called `positions`, `positions`; in a row, its place, `1`.
///
/// ```
/// use vivit_nn::{Sequential, Wiring, positional_embedding};
/// use vivit_tensor::Device;
///
/// let mut net = Wiring::new();
/// let x = net.input();
/// let y = net.layer("positions", positional_embedding(16, 8), x);
/// let model = Sequential::wired(&Device::cpu(), net.output(y), 0)?;
/// assert_eq!(model.params()[0].name, "positions");
/// # Ok::<(), vivit_nn::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct PositionalEmbedding {
    /// Positions T.
    pub positions: usize,
    /// Features F.
    pub features: usize,
}

impl PositionalEmbedding {
    /// Of at most `positions` positions.
    pub fn new(positions: usize, features: usize) -> Self {
        PositionalEmbedding { positions, features }
    }
}

described! {
    impl PositionalEmbedding as &["positional_embedding"];
    positions: "positions", features: "features",
}

/// A [`PositionalEmbedding`] layer.
pub fn positional_embedding(positions: usize, features: usize) -> Box<dyn Layer> {
    PositionalEmbedding::new(positions, features).boxed()
}

impl Layer for PositionalEmbedding {
    fn name(&self) -> String {
        format!("positional_embedding {}×{}", self.positions, self.features)
    }

    fn params(&self) -> Vec<ParamSpec> {
        vec![ParamSpec::new("", &[self.positions, self.features], Init::Normal { deviation: 1.0 })]
    }

    fn output_shape(&self, input: &[usize]) -> Result<Vec<usize>, ShapeError> {
        match *input {
            [t, f] if t > 0 && t <= self.positions && f == self.features && f > 0 => {
                Ok(input.to_vec())
            }
            _ => {
                let reason = format!(
                    "needs samples [T, {}] with T from 1 to {}, but a sample has shape {input:?}",
                    self.features, self.positions
                );
                Err(ShapeError::new(self.name(), reason))
            }
        }
    }

    fn record(&self, recorder: &mut Recorder<'_>, state: LayerState<'_>, x: Var) -> Var {
        let t = recorder.tape.value(x).shape()[1];
        let table = recorder.tape.slice(state.params[0], 0, 0, t);
        recorder.tape.add(x, table)
    }

    fn nodes(
        &self,
        writer: &mut NodeWriter,
        arrays: LayerArrays<'_>,
        x: &str,
    ) -> Result<String, Error> {
        let length = writer.add(Node::new("shape", &[x], "").with("start", 1).with("end", 2));
        let first = Argument::Integers(vec![0]);
        let rows = vec![Some(arrays.params[0].as_str().into()), Some(first), Some(length.into())];
        let rows = writer.add(Node::new("slice", &[], "").taking(rows));
        Ok(writer.add(Node::new("add", &[x, &rows], "")))
    }
}

//! Layers over sequences: embeddings, attention, recurrent layers.

use vivit_autodiff::Var;
use vivit_autodiff::ops::AttentionParams;
use vivit_tensor::{NonFiniteSearch, Tensor};

use crate::description::entry::described;
use crate::{Error, Init, Layer, LayerState, ParamSpec, Recorder, ShapeError};

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
}

/// Multi-head self-attention of `[T, F]` samples: `softmax(q kᵀ/√d) v` per head.
///
/// Its parameters are those of PyTorch's `nn.MultiheadAttention`: `in_proj_weight [3F, F]` and
/// `in_proj_bias [3F]`, which pack queries, keys and values; `out_proj.weight [F, F]` and
/// `out_proj.bias [F]`.
///
/// ```
/// use vivit_nn::{Layer, SelfAttention};
///
/// let layer = SelfAttention::new(8, 2).causal().without_bias();
/// assert_eq!(layer.output_shape(&[5, 8])?, [5, 8]);
/// assert_eq!(layer.params()[0].name, "in_proj_weight");
/// # Ok::<(), vivit_nn::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct SelfAttention {
    /// Features F.
    pub features: usize,
    /// Heads, which split the features.
    pub heads: usize,
    /// Whether a position sees only itself and those before it.
    pub causal: bool,
    /// Whether the projections have biases.
    pub bias: bool,
}

impl SelfAttention {
    /// With biases; every position sees all of them.
    pub fn new(features: usize, heads: usize) -> Self {
        SelfAttention { features, heads, causal: false, bias: true }
    }

    /// The same, where a position sees only itself and those before it.
    #[must_use]
    pub fn causal(self) -> Self {
        SelfAttention { causal: true, ..self }
    }

    /// The same without biases.
    #[must_use]
    pub fn without_bias(self) -> Self {
        SelfAttention { bias: false, ..self }
    }
}

described! {
    impl SelfAttention as &["self_attention"];
    features: "features", heads: "heads", causal: "causal" = false, bias: "bias" = true,
}

/// A [`SelfAttention`] layer with biases.
pub fn self_attention(features: usize, heads: usize, causal: bool) -> Box<dyn Layer> {
    SelfAttention { causal, ..SelfAttention::new(features, heads) }.boxed()
}

impl Layer for SelfAttention {
    fn name(&self) -> String {
        format!("self_attention {} features, {} heads", self.features, self.heads)
    }

    fn params(&self) -> Vec<ParamSpec> {
        let f = self.features;
        // PyTorch: Xavier for the packed projection, biases zero.
        let xavier = Init::Uniform { bound: (6.0 / (4 * f.max(1)) as f64).sqrt() };
        let mut params = vec![ParamSpec::new("in_proj_weight", &[3 * f, f], xavier)];
        params.extend(
            self.bias.then(|| ParamSpec::new("in_proj_bias", &[3 * f], Init::Constant(0.0))),
        );
        params.push(ParamSpec::new("out_proj.weight", &[f, f], Init::fan_in(f)));
        params
            .extend(self.bias.then(|| ParamSpec::new("out_proj.bias", &[f], Init::Constant(0.0))));
        params
    }

    fn output_shape(&self, input: &[usize]) -> Result<Vec<usize>, ShapeError> {
        let error = |reason| Err(ShapeError::new(self.name(), reason));
        if self.heads == 0 || self.features % self.heads != 0 {
            return error(format!("{} heads do not divide {} features", self.heads, self.features));
        }
        match *input {
            [t, f] if t > 0 && f == self.features && f > 0 => Ok(input.to_vec()),
            _ => error(format!(
                "needs samples [T, {}], but a sample has shape {input:?}",
                self.features
            )),
        }
    }

    fn record(&self, recorder: &mut Recorder<'_>, state: LayerState<'_>, x: Var) -> Var {
        let params = match *state.params {
            [in_weight, in_bias, out_weight, out_bias] => AttentionParams {
                in_weight,
                in_bias: Some(in_bias),
                out_weight,
                out_bias: Some(out_bias),
            },
            _ => AttentionParams {
                in_weight: state.params[0],
                in_bias: None,
                out_weight: state.params[1],
                out_bias: None,
            },
        };
        recorder.tape.self_attention(x, params, self.heads, self.causal)
    }
}

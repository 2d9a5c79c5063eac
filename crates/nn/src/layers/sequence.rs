//! Layers over sequences: embeddings, attention, recurrent layers.

use serde_json::{Value, json};
use vivit_autodiff::Var;
use vivit_autodiff::ops::{AttentionParams, RecurrentParams};
use vivit_tensor::{NonFiniteSearch, Tensor};

use crate::description::DescriptionError;
use crate::{Error, Init, Layer, Own, ParamSpec, Recorder, ShapeError};

/// Rows of a table: samples `[*]` of whole numbers below `vocabulary`, to `[*, features]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Embedding {
    /// Rows of the table.
    pub vocabulary: usize,
    /// Length of a row.
    pub features: usize,
}

/// An [`Embedding`] layer.
pub fn embedding(vocabulary: usize, features: usize) -> Box<dyn Layer> {
    Box::new(Embedding { vocabulary, features })
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
            return Err(ShapeError::new(
                Layer::name(self),
                "needs at least one row and one feature",
            ));
        }
        Ok([input, &[self.features]].concat())
    }

    fn record(&self, recorder: &mut Recorder<'_>, own: Own<'_>, x: Var) -> Var {
        recorder.tape.embedding(x, own.params[0])
    }

    fn check_input(&self, x: &Tensor) -> Result<(), Error> {
        // A device that does not know at once is asked with everything else, before any result is
        // returned.
        let rows = x.device().row_or_nan(x.buf(), self.vocabulary)?;
        let NonFiniteSearch::Done(Some((_, at))) = x.device().search_non_finite(&[&rows])? else {
            return Ok(());
        };
        let (shape, strides) = (x.shape(), x.shape().strides());
        let index = (0..shape.rank()).map(|axis| at / strides[axis] % shape[axis]).collect();
        Err(Error::Vocabulary { value: x.to_host()?.at(at), index, vocabulary: self.vocabulary })
    }

    fn describe(&self) -> Result<Value, DescriptionError> {
        Ok(json!({"op": "embedding", "vocabulary": self.vocabulary, "features": self.features}))
    }
}

/// Adds a learned vector to each position of `[T, F]` samples.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PositionalEmbedding {
    /// Positions T.
    pub positions: usize,
    /// Features F.
    pub features: usize,
}

/// A [`PositionalEmbedding`] layer.
pub fn positional_embedding(positions: usize, features: usize) -> Box<dyn Layer> {
    Box::new(PositionalEmbedding { positions, features })
}

impl Layer for PositionalEmbedding {
    fn name(&self) -> String {
        format!("positional_embedding {}×{}", self.positions, self.features)
    }

    fn params(&self) -> Vec<ParamSpec> {
        vec![ParamSpec::new(
            "weight",
            &[self.positions, self.features],
            Init::Normal { deviation: 1.0 },
        )]
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
                Err(ShapeError::new(Layer::name(self), reason))
            }
        }
    }

    fn record(&self, recorder: &mut Recorder<'_>, own: Own<'_>, x: Var) -> Var {
        let t = recorder.tape.value(x).shape()[1];
        let table = recorder.tape.slice(own.params[0], 0, 0, t);
        recorder.tape.add(x, table)
    }

    fn describe(&self) -> Result<Value, DescriptionError> {
        Ok(
            json!({"op": "positional_embedding", "positions": self.positions, "features": self.features}),
        )
    }
}

/// Multi-head self-attention of `[T, F]` samples with a packed projection (queries, keys, values).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
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

/// A [`SelfAttention`] layer with biases.
pub fn self_attention(features: usize, heads: usize, causal: bool) -> Box<dyn Layer> {
    Box::new(SelfAttention { features, heads, causal, bias: true })
}

impl Layer for SelfAttention {
    fn name(&self) -> String {
        format!("self_attention {} features, {} heads", self.features, self.heads)
    }

    fn params(&self) -> Vec<ParamSpec> {
        let f = self.features;
        // PyTorch: Xavier for the packed projection, biases zero.
        let xavier = Init::Uniform { bound: (6.0 / (4 * f.max(1)) as f64).sqrt() };
        let mut params = vec![ParamSpec::new("in_proj.weight", &[3 * f, f], xavier)];
        params.extend(
            self.bias.then(|| ParamSpec::new("in_proj.bias", &[3 * f], Init::Constant(0.0))),
        );
        params.push(ParamSpec::new("out_proj.weight", &[f, f], Init::fan_in(f)));
        params
            .extend(self.bias.then(|| ParamSpec::new("out_proj.bias", &[f], Init::Constant(0.0))));
        params
    }

    fn output_shape(&self, input: &[usize]) -> Result<Vec<usize>, ShapeError> {
        let error = |reason| Err(ShapeError::new(Layer::name(self), reason));
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

    fn record(&self, recorder: &mut Recorder<'_>, own: Own<'_>, x: Var) -> Var {
        let params = match *own.params {
            [in_weight, in_bias, out_weight, out_bias] => AttentionParams {
                in_weight,
                in_bias: Some(in_bias),
                out_weight,
                out_bias: Some(out_bias),
            },
            _ => AttentionParams {
                in_weight: own.params[0],
                in_bias: None,
                out_weight: own.params[1],
                out_bias: None,
            },
        };
        recorder.tape.self_attention(x, params, self.heads, self.causal)
    }

    fn describe(&self) -> Result<Value, DescriptionError> {
        let SelfAttention { features, heads, causal, bias } = self;
        Ok(
            json!({"op": "self_attention", "features": features, "heads": heads, "causal": causal, "bias": bias}),
        )
    }
}

/// A recurrence.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cell {
    /// `h = tanh(W x + b + U h + c)`
    Rnn,
    /// Long short-term memory.
    Lstm,
}

/// One recurrent layer over `[T, inputs]` samples, to all hidden states `[T, hidden]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Recurrent {
    /// The recurrence.
    pub cell: Cell,
    /// In-features.
    pub inputs: usize,
    /// Hidden features.
    pub hidden: usize,
    /// Whether there are biases.
    pub bias: bool,
}

/// A [`Recurrent`] layer with the tanh recurrence.
pub fn rnn(inputs: usize, hidden: usize) -> Box<dyn Layer> {
    Box::new(Recurrent { cell: Cell::Rnn, inputs, hidden, bias: true })
}

/// A [`Recurrent`] layer of long short-term memory.
pub fn lstm(inputs: usize, hidden: usize) -> Box<dyn Layer> {
    Box::new(Recurrent { cell: Cell::Lstm, inputs, hidden, bias: true })
}

impl Layer for Recurrent {
    fn name(&self) -> String {
        let kind = if self.cell == Cell::Rnn { "rnn" } else { "lstm" };
        format!("{kind} {}→{}", self.inputs, self.hidden)
    }

    fn params(&self) -> Vec<ParamSpec> {
        let rows = if self.cell == Cell::Rnn { self.hidden } else { 4 * self.hidden };
        let init = Init::fan_in(self.hidden);
        let mut params = vec![
            ParamSpec::new("m.weight_ih_l0", &[rows, self.inputs], init),
            ParamSpec::new("m.weight_hh_l0", &[rows, self.hidden], init),
        ];
        if self.bias {
            params.extend(
                ["m.bias_ih_l0", "m.bias_hh_l0"].map(|name| ParamSpec::new(name, &[rows], init)),
            );
        }
        params
    }

    fn output_shape(&self, input: &[usize]) -> Result<Vec<usize>, ShapeError> {
        match *input {
            [t, i] if t > 0 && i == self.inputs && i > 0 && self.hidden > 0 => {
                Ok(vec![t, self.hidden])
            }
            _ => {
                let reason =
                    format!("needs samples [T, {}], but a sample has shape {input:?}", self.inputs);
                Err(ShapeError::new(Layer::name(self), reason))
            }
        }
    }

    fn record(&self, recorder: &mut Recorder<'_>, own: Own<'_>, x: Var) -> Var {
        let params = RecurrentParams {
            input_weight: own.params[0],
            hidden_weight: own.params[1],
            input_bias: own.params.get(2).copied(),
            hidden_bias: own.params.get(3).copied(),
        };
        match self.cell {
            Cell::Rnn => recorder.tape.rnn(x, params),
            Cell::Lstm => recorder.tape.lstm(x, params),
        }
    }

    fn describe(&self) -> Result<Value, DescriptionError> {
        let op = if self.cell == Cell::Rnn { "rnn" } else { "lstm" };
        Ok(json!({"op": op, "in": self.inputs, "hidden": self.hidden, "bias": self.bias}))
    }
}

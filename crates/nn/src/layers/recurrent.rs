//! Recurrent layers.

pub use vivit_autodiff::ops::Cell;
use vivit_autodiff::ops::{RecurrentOptions, RecurrentParams};
use vivit_autodiff::{Tape, Var};

use crate::description::entry::described;
use crate::{
    Error, Init, Layer, LayerArrays, LayerState, Node, NodeWriter, ParamSpec, Recorder, ShapeError,
};

/// Recurrent layers over `[T, inputs]` samples, from zero states to all hidden states of the last
/// one, `[T, hidden]` (`[T, 2 hidden]` in both directions: forwards, then backwards in time).
///
/// Names and shapes of the parameters are those of PyTorch's `nn.RNN`, `nn.LSTM` and `nn.GRU`: for
/// each layer l `weight_ih_l{l}`, `weight_hh_l{l}`, `bias_ih_l{l}`, `bias_hh_l{l}`, and the same
/// with `_reverse` for the second direction; they have `hidden` rows for each gate. Whether such a
/// module was made with `batch_first` does not matter to them; here, the sample axis comes first.
///
/// ```
/// use vivit_nn::{Layer, Recurrent};
///
/// let layer = Recurrent::lstm(5, 3).layers(2).bidirectional();
/// assert_eq!(layer.output_shape(&[7, 5])?, [7, 6]);
/// assert_eq!(layer.params()[4].name, "weight_ih_l0_reverse");
/// # Ok::<(), vivit_nn::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Recurrent {
    /// The recurrence.
    pub cell: Cell,
    /// In-features.
    pub inputs: usize,
    /// Hidden features, of each direction.
    pub hidden: usize,
    /// Number of layers, each of which reads all hidden states of the one before.
    pub num_layers: usize,
    /// Whether each layer also runs backwards in time.
    pub bidirectional: bool,
    /// Whether there are biases.
    pub bias: bool,
}

impl Recurrent {
    fn new(cell: Cell, inputs: usize, hidden: usize) -> Self {
        Recurrent { cell, inputs, hidden, num_layers: 1, bidirectional: false, bias: true }
    }

    /// One layer of the tanh recurrence, forwards in time, with biases.
    pub fn rnn(inputs: usize, hidden: usize) -> Self {
        Self::new(Cell::Rnn, inputs, hidden)
    }

    /// One layer of long short-term memory, forwards in time, with biases.
    pub fn lstm(inputs: usize, hidden: usize) -> Self {
        Self::new(Cell::Lstm, inputs, hidden)
    }

    /// The same with several layers, at least one.
    #[must_use]
    pub fn layers(self, num_layers: usize) -> Self {
        Recurrent { num_layers, ..self }
    }

    /// The same in both directions.
    #[must_use]
    pub fn bidirectional(self) -> Self {
        Recurrent { bidirectional: true, ..self }
    }

    /// The same without biases.
    #[must_use]
    pub fn without_bias(self) -> Self {
        Recurrent { bias: false, ..self }
    }

    /// One layer of gated recurrent units, forwards in time, with biases.
    pub fn gru(inputs: usize, hidden: usize) -> Self {
        Self::new(Cell::Gru, inputs, hidden)
    }

    /// The same with another recurrence.
    #[must_use]
    pub fn cell(self, cell: Cell) -> Self {
        Recurrent { cell, ..self }
    }

    /// The recurrence's op in descriptions, and its name in graph models.
    fn kind(&self) -> &'static str {
        CELLS.iter().position(|cell| *cell == self.cell).map_or("recurrent", |at| OPS[at])
    }

    fn directions(&self) -> usize {
        1 + usize::from(self.bidirectional)
    }

    /// All hidden states of one layer in one direction.
    fn run(&self, tape: &mut Tape, x: Var, params: &[Var], reverse: bool) -> Var {
        let params = RecurrentParams {
            input_weight: params[0],
            hidden_weight: params[1],
            input_bias: params.get(2).copied(),
            hidden_bias: params.get(3).copied(),
        };
        tape.recurrent(x, self.cell, params, RecurrentOptions::default().reverse(reverse)).all
    }
}

/// A [`Recurrent`] layer with the tanh recurrence.
pub fn rnn(inputs: usize, hidden: usize) -> Box<dyn Layer> {
    Recurrent::rnn(inputs, hidden).boxed()
}

/// A [`Recurrent`] layer of long short-term memory.
///
/// ```
/// use vivit_nn::{Sequential, linear, lstm, select};
/// use vivit_tensor::{Device, Tensor};
///
/// // Classifies sequences of any length by the last hidden state.
/// let cpu = Device::cpu();
/// let model = Sequential::new(&cpu, vec![lstm(5, 8), select(1, -1), linear(8, 3)], 0)?;
/// assert_eq!(model.params()[0].name, "0.weight_ih_l0");
/// assert_eq!(model.forward(&Tensor::zeros(&cpu, [2, 7, 5]))?.value().shape(), &[2, 3]);
/// # Ok::<(), vivit_nn::Error>(())
/// ```
pub fn lstm(inputs: usize, hidden: usize) -> Box<dyn Layer> {
    Recurrent::lstm(inputs, hidden).boxed()
}

/// A [`Recurrent`] layer of gated recurrent units.
///
/// ```
/// use vivit_nn::gru;
///
/// assert_eq!(gru(5, 8).params()[0].shape, [24, 5]);
/// ```
pub fn gru(inputs: usize, hidden: usize) -> Box<dyn Layer> {
    Recurrent::gru(inputs, hidden).boxed()
}

/// The cells, and the ops that they have in descriptions.
const CELLS: [Cell; 5] = [Cell::Rnn, Cell::Lstm, Cell::Gru, Cell::RnnRelu, Cell::GruResetBefore];
const OPS: [&str; 5] = ["rnn", "lstm", "gru", "rnn_relu", "gru_reset_before"];

described! {
    impl Recurrent as &OPS, by cell: CELLS;
    inputs: "in",
    hidden: "hidden",
    num_layers: "num_layers" = 1,
    bidirectional: "bidirectional" = false,
    bias: "bias" = true,
}

impl Layer for Recurrent {
    fn name(&self) -> String {
        let kind = self.kind();
        let layers =
            if self.num_layers == 1 { "" } else { &format!(" of {} layers", self.num_layers) };
        let ways = if self.bidirectional { " in both directions" } else { "" };
        format!("{kind} {}→{}{layers}{ways}", self.inputs, self.hidden)
    }

    fn params(&self) -> Vec<ParamSpec> {
        let rows = self.cell.gates() * self.hidden;
        let init = Init::fan_in(self.hidden);
        let mut params = Vec::new();
        for layer in 0..self.num_layers {
            let inputs = if layer == 0 { self.inputs } else { self.directions() * self.hidden };
            for suffix in &["", "_reverse"][..self.directions()] {
                let mut push = |kind: &str, shape: &[usize]| {
                    params.push(ParamSpec::new(&format!("{kind}_l{layer}{suffix}"), shape, init));
                };
                push("weight_ih", &[rows, inputs]);
                push("weight_hh", &[rows, self.hidden]);
                if self.bias {
                    push("bias_ih", &[rows]);
                    push("bias_hh", &[rows]);
                }
            }
        }
        params
    }

    fn output_shape(&self, input: &[usize]) -> Result<Vec<usize>, ShapeError> {
        if self.num_layers == 0 || self.hidden == 0 || self.inputs == 0 {
            let reason = "needs at least one layer, one in-feature and one hidden feature";
            return Err(ShapeError::new(self.name(), reason));
        }
        match *input {
            [t, i] if t > 0 && i == self.inputs => Ok(vec![t, self.directions() * self.hidden]),
            _ => {
                let reason =
                    format!("needs samples [T, {}], but a sample has shape {input:?}", self.inputs);
                Err(ShapeError::new(self.name(), reason))
            }
        }
    }

    fn record(&self, recorder: &mut Recorder<'_>, state: LayerState<'_>, x: Var) -> Var {
        let tape = &mut *recorder.tape;
        let each = state.params.chunks(if self.bias { 4 } else { 2 }).collect::<Vec<_>>();
        each.chunks(self.directions()).fold(x, |x, params| match params {
            [forwards, backwards] => {
                let ahead = self.run(tape, x, forwards, false);
                let back = self.run(tape, x, backwards, true);
                tape.concat(&[ahead, back], 2)
            }
            _ => self.run(tape, x, params[0], false),
        })
    }

    fn nodes(
        &self,
        writer: &mut NodeWriter,
        arrays: LayerArrays<'_>,
        x: &str,
    ) -> Result<String, Error> {
        let each: Vec<&[String]> = arrays.params.chunks(if self.bias { 4 } else { 2 }).collect();
        each.chunks(self.directions()).try_fold(x.to_string(), |x, params| {
            let ways: Vec<String> = params
                .iter()
                .zip([false, true])
                .map(|(params, reverse)| {
                    let own = LayerArrays { params, buffers: &[] };
                    let node = own.node("recurrent_layer", &x).with("cell", self.kind());
                    writer.add(node.with("reverse", reverse))
                })
                .collect();
            Ok(match &ways[..] {
                [ahead, back] => {
                    writer.add(Node::new("concat", &[ahead, back], "").with("axis", 2))
                }
                _ => ways.concat(),
            })
        })
    }
}

//! Recurrent layers.

use vivit_autodiff::ops::RecurrentParams;
use vivit_autodiff::{Tape, Var};

use crate::description::entry::described;
use crate::{Init, Layer, LayerState, ParamSpec, Recorder, ShapeError};

/// A recurrence.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cell {
    /// `h_t = tanh(W x_t + b + U h_{t−1} + c)`
    Rnn,
    /// Long short-term memory: `c_t = σ(f) c_{t−1} + σ(i) tanh(g)`, `h_t = σ(o) tanh(c_t)` with
    /// `(i, f, g, o) = W x_t + b + U h_{t−1} + c`.
    Lstm,
}

/// Recurrent layers over `[T, inputs]` samples, from zero states to all hidden states of the last
/// one, `[T, hidden]` (`[T, 2 hidden]` in both directions: forwards, then backwards in time).
///
/// Names and shapes of the parameters are those of PyTorch's `nn.RNN` and `nn.LSTM`: for each layer
/// l `weight_ih_l{l}`, `weight_hh_l{l}`, `bias_ih_l{l}`, `bias_hh_l{l}`, and the same with
/// `_reverse` for the second direction; the LSTM's have `4 hidden` rows.
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

    fn directions(&self) -> usize {
        1 + usize::from(self.bidirectional)
    }

    /// All hidden states of one layer in one direction.
    fn run(&self, tape: &mut Tape, x: Var, params: &[Var]) -> Var {
        let params = RecurrentParams {
            input_weight: params[0],
            hidden_weight: params[1],
            input_bias: params.get(2).copied(),
            hidden_bias: params.get(3).copied(),
        };
        match self.cell {
            Cell::Rnn => tape.rnn(x, params),
            Cell::Lstm => tape.lstm(x, params),
        }
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

described! {
    impl Recurrent as &["rnn", "lstm"], by cell: [Cell::Rnn, Cell::Lstm];
    inputs: "in",
    hidden: "hidden",
    num_layers: "num_layers" = 1,
    bidirectional: "bidirectional" = false,
    bias: "bias" = true,
}

impl Layer for Recurrent {
    fn name(&self) -> String {
        let kind = if self.cell == Cell::Rnn { "rnn" } else { "lstm" };
        let layers =
            if self.num_layers == 1 { "" } else { &format!(" of {} layers", self.num_layers) };
        let ways = if self.bidirectional { " in both directions" } else { "" };
        format!("{kind} {}→{}{layers}{ways}", self.inputs, self.hidden)
    }

    fn params(&self) -> Vec<ParamSpec> {
        let rows = if self.cell == Cell::Rnn { self.hidden } else { 4 * self.hidden };
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
                let ahead = self.run(tape, x, forwards);
                let reversed = tape.flip(x, 1);
                let reversed = self.run(tape, reversed, backwards);
                let back = tape.flip(reversed, 1);
                tape.concat(&[ahead, back], 2)
            }
            _ => self.run(tape, x, params[0]),
        })
    }
}

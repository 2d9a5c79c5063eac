//! Recurrent layers, unrolled into ordinary operations: every step uses the same weights.

use crate::{Tape, Var};

/// The parameters of a recurrent layer from I features to H (LSTM: 4H rows, the gates i, f, g, o in
/// this order).
#[derive(Clone, Copy, Debug)]
pub struct RecurrentParams {
    /// `[H, I]` (LSTM: `[4H, I]`)
    pub input_weight: Var,
    /// `[H, H]` (LSTM: `[4H, H]`)
    pub hidden_weight: Var,
    /// `[H]` (LSTM: `[4H]`)
    pub input_bias: Option<Var>,
    /// `[H]` (LSTM: `[4H]`)
    pub hidden_bias: Option<Var>,
}

impl Tape {
    /// `h_t = tanh(W x_t + b + U h_{t−1} + c)` from `h = 0`: x `[N, T, I]` to all `[N, T, H]`.
    ///
    /// # Panics
    /// If the shapes do not fit.
    #[track_caller]
    pub fn rnn(&mut self, x: Var, params: RecurrentParams) -> Var {
        self.recurrent(x, params, |tape, preactivation, _| (tape.tanh(preactivation), None))
    }

    /// `c_t = σ(f) c_{t−1} + σ(i) tanh(g)`, `h_t = σ(o) tanh(c_t)` from `h = c = 0`: x `[N, T, I]`
    /// to all h, `[N, T, H]`.
    ///
    /// # Panics
    /// If the shapes do not fit.
    #[track_caller]
    pub fn lstm(&mut self, x: Var, params: RecurrentParams) -> Var {
        let width = self.value(params.hidden_weight).shape()[1];
        self.recurrent(x, params, |tape, preactivation, cell| {
            let mut gate = |at: usize| tape.slice(preactivation, 1, at * width, (at + 1) * width);
            let [i, f, g, o] = [gate(0), gate(1), gate(2), gate(3)];
            let (i, g, o) = (tape.sigmoid(i), tape.tanh(g), tape.sigmoid(o));
            let mut next = tape.mul(i, g);
            if let Some(cell) = cell {
                let f = tape.sigmoid(f);
                let kept = tape.mul(f, cell);
                next = tape.add(next, kept);
            }
            let seen = tape.tanh(next);
            (tape.mul(o, seen), Some(next))
        })
    }

    /// Unrolls `step(tape, W x_t + b + U h + c, cell) → (h, cell)`.
    #[track_caller]
    fn recurrent(
        &mut self,
        x: Var,
        params: RecurrentParams,
        mut step: impl FnMut(&mut Self, Var, Option<Var>) -> (Var, Option<Var>),
    ) -> Var {
        let [_, steps, _] = **self.value(x).shape() else {
            panic!("recurrent layers need [N, T, I], got {}", self.value(x).shape())
        };
        // The inputs' part of all steps at once.
        let inputs = self.linear(x, params.input_weight, params.input_bias);
        let rows = self.value(inputs).shape()[2];
        let (mut hidden, mut cell, mut outputs) = (None, None, Vec::with_capacity(steps));
        for t in 0..steps {
            let input = self.slice(inputs, 1, t, t + 1);
            let mut preactivation = self.reshape(input, &[rows]);
            if let Some(hidden) = hidden {
                let recurrent = self.linear(hidden, params.hidden_weight, params.hidden_bias);
                preactivation = self.add(preactivation, recurrent);
            } else if let Some(bias) = params.hidden_bias {
                preactivation = self.add(preactivation, bias);
            }
            let (next, next_cell) = step(self, preactivation, cell);
            let width = self.value(next).shape()[1];
            outputs.push(self.reshape(next, &[1, width]));
            (hidden, cell) = (Some(next), next_cell);
        }
        self.concat(&outputs, 1)
    }
}

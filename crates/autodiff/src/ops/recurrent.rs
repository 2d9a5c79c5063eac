//! Recurrent layers, unrolled into ordinary operations: every step uses the same weights.

use crate::{Tape, Var};

/// A recurrence. With `a = W x_t + b` and `u = U h_{t−1} + c`, which hold the gates one after the
/// other:
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Cell {
    /// `h_t = tanh(a + u)`
    Rnn,
    /// `h_t = max(a + u, 0)`
    RnnRelu,
    /// Long short-term memory, gates i, f, g, o of `a + u`: `c_t = σ(f) c_{t−1} + σ(i) tanh(g)`,
    /// `h_t = σ(o) tanh(c_t)`.
    Lstm,
    /// Gated recurrent unit, gates r, z, n: `r = σ(a_r + u_r)`, `z = σ(a_z + u_z)`, `n = tanh(a_n +
    /// r ∘ u_n)`, `h_t = (1 − z) ∘ n + z ∘ h_{t−1}`. The reset follows the product, as in PyTorch
    /// and in ONNX with `linear_before_reset = 1`.
    Gru,
    /// As [`Gru`](Cell::Gru) with the reset before the product, `n = tanh(a_n + U_n (r ∘ h_{t−1}) +
    /// c_n)`: ONNX's default.
    GruResetBefore,
}

impl Cell {
    /// Number of gates: the weights have as many times H rows.
    pub fn gates(self) -> usize {
        match self {
            Cell::Rnn | Cell::RnnRelu => 1,
            Cell::Lstm => 4,
            Cell::Gru | Cell::GruResetBefore => 3,
        }
    }
}

/// The parameters of a recurrent layer from I features to H with G gates
/// ([`Cell::gates`]).
#[derive(Clone, Copy, Debug)]
pub struct RecurrentParams {
    /// W, `[G·H, I]`
    pub input_weight: Var,
    /// U, `[G·H, H]`
    pub hidden_weight: Var,
    /// b, `[G·H]`
    pub input_bias: Option<Var>,
    /// c, `[G·H]`
    pub hidden_bias: Option<Var>,
}

vivit_tensor::options! {
    /// Options of [`Tape::recurrent`].
    #[derive(Clone, Copy, Debug)]
    pub struct RecurrentOptions {
        /// Whether the steps run from the last position to the first.
        pub reverse: bool = false,
        /// The hidden state before the first step, `[N, H]` or, the same for all samples, `[H]`;
        /// zero if `None`.
        pub hidden: Option<Var> = None,
        /// The LSTM's cell state before the first step, as [`hidden`](Self::hidden).
        pub cell: Option<Var> = None,
    }
}

/// The results of a recurrent layer.
#[derive(Clone, Copy, Debug)]
pub struct RecurrentStates {
    /// The hidden states at all positions, `[N, T, H]`.
    pub all: Var,
    /// The hidden state after the last step, `[N, H]`.
    pub hidden: Var,
    /// The LSTM's cell state after the last step, `[N, H]`.
    pub cell: Option<Var>,
}

/// What one step hands to the next; zero where there is none.
#[derive(Clone, Copy)]
struct State {
    hidden: Option<Var>,
    cell: Option<Var>,
}

/// `U h + c`.
#[derive(Clone, Copy)]
struct Product {
    weight: Var,
    bias: Option<Var>,
}

impl Product {
    /// The product with a state, where either is there.
    fn of(self, tape: &mut Tape, state: Option<Var>) -> Option<Var> {
        match state {
            Some(state) => Some(tape.linear(state, self.weight, self.bias)),
            None => self.bias,
        }
    }

    /// The rows `first..end`.
    fn rows(self, tape: &mut Tape, first: usize, end: usize) -> Self {
        Product {
            weight: tape.slice(self.weight, 0, first, end),
            bias: self.bias.map(|bias| tape.slice(bias, 0, first, end)),
        }
    }
}

/// One step of a recurrence: its cell, H, and `U h + c` of all gates or, where the reset comes
/// first, of r and z and of n.
struct Step {
    cell: Cell,
    width: usize,
    products: Vec<Product>,
}

impl Step {
    fn new(tape: &mut Tape, cell: Cell, params: RecurrentParams) -> Self {
        let width = tape.value(params.hidden_weight).shape()[1];
        let whole = Product { weight: params.hidden_weight, bias: params.hidden_bias };
        let products = match cell {
            Cell::GruResetBefore => {
                vec![whole.rows(tape, 0, 2 * width), whole.rows(tape, 2 * width, 3 * width)]
            }
            _ => vec![whole],
        };
        Step { cell, width, products }
    }

    /// The gates `first..end` of `[(N,) G·H]`.
    fn gates(&self, tape: &mut Tape, x: Var, first: usize, end: usize) -> Var {
        let axis = tape.value(x).shape().rank() - 1;
        tape.slice(x, axis, first * self.width, end * self.width)
    }

    /// The next state from `a = W x + b`, `[N, G·H]`.
    fn next(&self, tape: &mut Tape, a: Var, state: State) -> State {
        if matches!(self.cell, Cell::Gru | Cell::GruResetBefore) {
            let hidden = self.gru(tape, a, state.hidden);
            return State { hidden: Some(hidden), cell: None };
        }
        let u = self.products[0].of(tape, state.hidden);
        let sum = plus(tape, a, u);
        let hidden = match self.cell {
            Cell::Rnn => tape.tanh(sum),
            Cell::RnnRelu => tape.relu(sum),
            _ => return self.lstm(tape, sum, state.cell),
        };
        State { hidden: Some(hidden), cell: None }
    }

    fn lstm(&self, tape: &mut Tape, sum: Var, cell: Option<Var>) -> State {
        let [i, f, g, o] = [0, 1, 2, 3].map(|gate| self.gates(tape, sum, gate, gate + 1));
        let (i, g, o) = (tape.sigmoid(i), tape.tanh(g), tape.sigmoid(o));
        let mut next = tape.mul(i, g);
        if let Some(cell) = cell {
            let f = tape.sigmoid(f);
            let kept = tape.mul(f, cell);
            next = tape.add(next, kept);
        }
        let seen = tape.tanh(next);
        State { hidden: Some(tape.mul(o, seen)), cell: Some(next) }
    }

    /// The next hidden state, as `n + z ∘ (h − n)`.
    fn gru(&self, tape: &mut Tape, a: Var, hidden: Option<Var>) -> Var {
        let (a_rz, a_n) = (self.gates(tape, a, 0, 2), self.gates(tape, a, 2, 3));
        let u = self.products[0].of(tape, hidden);
        let u_rz = u.map(|u| self.gates(tape, u, 0, 2));
        let rz = plus(tape, a_rz, u_rz);
        let rz = tape.sigmoid(rz);
        let (r, z) = (self.gates(tape, rz, 0, 1), self.gates(tape, rz, 1, 2));
        let recurrent = if let Some(candidate) = self.products.get(1) {
            let kept = hidden.map(|hidden| tape.mul(r, hidden));
            candidate.of(tape, kept)
        } else {
            u.map(|u| {
                let u_n = self.gates(tape, u, 2, 3);
                tape.mul(r, u_n)
            })
        };
        let n = plus(tape, a_n, recurrent);
        let n = tape.tanh(n);
        let Some(hidden) = hidden else {
            let gone = tape.mul(z, n);
            return tape.sub(n, gone);
        };
        let change = tape.sub(hidden, n);
        let change = tape.mul(z, change);
        tape.add(n, change)
    }
}

/// `a + b` for what there is.
fn plus(tape: &mut Tape, a: Var, b: Option<Var>) -> Var {
    b.map_or(a, |b| tape.add(a, b))
}

impl Tape {
    /// A recurrent layer over the positions of x, `[N, T, I]`: all its hidden states and the last
    /// states. Time and memory are linear in T, forwards and backwards.
    ///
    /// ```
    /// use vivit_autodiff::Tape;
    /// use vivit_autodiff::ops::{Cell, RecurrentOptions, RecurrentParams};
    /// use vivit_tensor::{Device, Tensor};
    ///
    /// let cpu = Device::cpu();
    /// let mut tape = Tape::new(&cpu);
    /// let x = tape.input(Tensor::from_vec(&cpu, [1, 3, 1], vec![1.0, 2.0, 4.0])?);
    /// let one = tape.param(Tensor::full(&cpu, [1, 1], 1.0));
    /// let start = tape.param(Tensor::full(&cpu, [1], 8.0));
    /// let params = RecurrentParams {
    ///     input_weight: one,
    ///     hidden_weight: one,
    ///     input_bias: None,
    ///     hidden_bias: None,
    /// };
    /// // h_t = max(x_t + h_{t+1}, 0), backwards in time from 8.
    /// let options = RecurrentOptions::default().reverse(true).hidden(Some(start));
    /// let states = tape.recurrent(x, Cell::RnnRelu, params, options);
    /// assert_eq!(tape.value(states.all).to_vec()?, [15.0, 14.0, 12.0]);
    /// assert_eq!(tape.value(states.hidden).to_vec()?, [15.0]);
    /// # Ok::<(), vivit_tensor::Error>(())
    /// ```
    ///
    /// # Panics
    /// If the shapes do not fit, there is no position, or a cell state is given to another cell
    /// than the LSTM.
    #[track_caller]
    pub fn recurrent(
        &mut self,
        x: Var,
        cell: Cell,
        params: RecurrentParams,
        options: RecurrentOptions,
    ) -> RecurrentStates {
        let shape = *self.value(x).shape();
        assert!(
            shape.rank() == 3 && shape[1] > 0 && self.is_batched(x),
            "recurrent layers need [N, T, I] with T > 0, got {shape}"
        );
        let positions = shape[1];
        assert!(
            options.cell.is_none() || cell == Cell::Lstm,
            "{cell:?} has no cell state, but one is given to begin with"
        );
        // The inputs' part of all steps at once.
        let inputs = self.linear(x, params.input_weight, params.input_bias);
        let rows = self.value(inputs).shape()[2];
        let step = Step::new(self, cell, params);
        assert!(
            rows == cell.gates() * step.width,
            "{cell:?}: {rows} rows of the input's weight for {} gates of {} hidden features",
            cell.gates(),
            step.width
        );
        let mut state = State { hidden: options.hidden, cell: options.cell };
        let mut all = Vec::with_capacity(positions);
        for at in 0..positions {
            let at = if options.reverse { positions - 1 - at } else { at };
            let a = self.slice(inputs, 1, at, at + 1);
            let a = self.reshape(a, &[rows]);
            state = step.next(self, a, state);
            let hidden = state.hidden.expect("a step has a result");
            all.push(self.reshape(hidden, &[1, step.width]));
        }
        if options.reverse {
            all.reverse();
        }
        let hidden = state.hidden.expect("there is a step");
        RecurrentStates { all: self.concat(&all, 1), hidden, cell: state.cell }
    }

    /// The hidden states `h_t = tanh(W x_t + b + U h_{t−1} + c)` from `h = 0`: x `[N, T, I]` to
    /// `[N, T, H]`.
    ///
    /// # Panics
    /// If the shapes do not fit.
    #[track_caller]
    pub fn rnn(&mut self, x: Var, params: RecurrentParams) -> Var {
        self.recurrent(x, Cell::Rnn, params, RecurrentOptions::default()).all
    }

    /// The hidden states of [long short-term memory](Cell::Lstm) from zero states: x `[N, T, I]` to
    /// `[N, T, H]`.
    ///
    /// # Panics
    /// If the shapes do not fit.
    #[track_caller]
    pub fn lstm(&mut self, x: Var, params: RecurrentParams) -> Var {
        self.recurrent(x, Cell::Lstm, params, RecurrentOptions::default()).all
    }

    /// The hidden states of [gated recurrent units](Cell::Gru) from zero states: x `[N, T, I]` to
    /// `[N, T, H]`.
    ///
    /// # Panics
    /// If the shapes do not fit.
    #[track_caller]
    pub fn gru(&mut self, x: Var, params: RecurrentParams) -> Var {
        self.recurrent(x, Cell::Gru, params, RecurrentOptions::default()).all
    }
}

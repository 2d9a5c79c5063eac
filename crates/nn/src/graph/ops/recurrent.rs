//! Recurrent layers.

use vivit_autodiff::ops::{Cell, RecurrentOptions, RecurrentParams};
use vivit_autodiff::{InputKind, Var};

use crate::graph::call::{Call, Outcome, Outcome1};
use crate::graph::fault::{Fault, ensure, fault};
use crate::graph::value::{Array, Value};

/// x `[N, T, I]` (with `time_major`, `[T, N, I]`); per direction D weights `[D, G·H, I]` and
/// `[D, G·H, H]`, biases `[D, 2, G·H]`, states `[D, N, H]`: hidden, and the LSTM's cell. Results:
/// `[N, T, D, H]`, the last hidden states `[D, N, H]`, the LSTM's last cell states `[D, N, H]`.
///
/// With `gates`, entry g names the block of rows that holds gate g of [`Cell`].
///
/// Arguments: x, weights, recurrent weights, biases, hidden states, cell states.
pub(super) fn recurrent(call: &mut Call<'_>) -> Outcome {
    let cell = call.cell()?;
    let reverse = match call.text("direction", "forward")? {
        "forward" => vec![false],
        "reverse" => vec![true],
        "bidirectional" => vec![false, true],
        other => fault!(
            "option \"direction\" must be \"forward\", \"reverse\" or \"bidirectional\", got \
             {other:?}"
        ),
    };
    let mut x = call.array(0)?;
    if call.flag("time_major", false)? {
        let shape = call.shape(x);
        ensure!(shape.len() == 3, "[T, N, I] is needed, got {shape:?}");
        x = call.recording.permute(x, &[1, 0, 2]);
    }
    let [items, steps, inputs] = call.sequence(x)?;
    let width = call.width()?;
    let rows = cell.gates() * width;
    let directions = reverse.len();
    let expected = [
        (1, vec![directions, rows, inputs]),
        (2, vec![directions, rows, width]),
        (3, vec![directions, 2, rows]),
        (4, vec![directions, items, width]),
        (5, vec![directions, items, width]),
    ];
    for (at, expected) in expected {
        call.check_recurrent(at, &expected, at <= 3)?;
    }
    ensure!(cell == Cell::Lstm || call.optional(5)?.is_none(), "only an LSTM has a cell state");
    let gates = match call.ints("gates")? {
        None => None,
        Some(_) => Some(call.sizes("gates", cell.gates(), 0)?),
    };
    if let Some(gates) = &gates {
        let mut sorted = gates.clone();
        sorted.sort_unstable();
        ensure!(
            sorted.iter().copied().eq(0..cell.gates()),
            "option \"gates\" must name each of {} gates once, got {gates:?}",
            cell.gates()
        );
    }
    let layer = Layer { cell, width, rows, steps, inputs, gates };
    // Items that the graph itself holds side by side are run one after the other.
    let mut results = [Vec::new(), Vec::new(), Vec::new()];
    for item in 0..items {
        let mut parts = [Vec::new(), Vec::new(), Vec::new()];
        for (direction, &reverse) in reverse.iter().enumerate() {
            let found = layer.run(call, x, item, direction, reverse)?;
            for (part, found) in parts.iter_mut().zip(found) {
                part.extend(found);
            }
        }
        let [all, hidden, cells] = parts;
        results[0].push(call.joined(all, 2)?);
        results[1].push(call.joined(hidden, 0)?);
        if !cells.is_empty() {
            results[2].push(call.joined(cells, 0)?);
        }
    }
    let [all, hidden, cells] = results;
    let mut values: Vec<Value> = vec![call.joined(all, 0)?.into(), call.joined(hidden, 1)?.into()];
    if !cells.is_empty() {
        values.push(call.joined(cells, 1)?.into());
    }
    Ok(values)
}

/// All hidden states `[N, T, H]` of one direction over x `[N, T, I]`, with the parameters of
/// PyTorch's recurrent layers: weights `[G·H, I]` and `[G·H, H]`, biases `[G·H]` of input and
/// state.
pub(super) fn recurrent_layer(call: &mut Call<'_>) -> Outcome {
    let (cell, reverse) = (call.cell()?, call.flag("reverse", false)?);
    let x = call.array(0)?;
    let [items, steps, inputs] = call.sequence(x)?;
    let width = call.width()?;
    let rows = cell.gates() * width;
    let expected =
        [(1, vec![rows, inputs]), (2, vec![rows, width]), (3, vec![rows]), (4, vec![rows])];
    for (at, expected) in expected {
        call.check_recurrent(at, &expected, true)?;
    }
    let uploaded = |call: &mut Call<'_>, at: usize| -> Result<Option<Var>, Fault> {
        let Some(array) = call.optional(at)? else { return Ok(None) };
        Ok(Some(call.recording.upload(array)?.var))
    };
    let (Some(input_weight), Some(hidden_weight)) = (uploaded(call, 1)?, uploaded(call, 2)?) else {
        fault!("the weights are missing")
    };
    let (input_bias, hidden_bias) = (uploaded(call, 3)?, uploaded(call, 4)?);
    let params = RecurrentParams { input_weight, hidden_weight, input_bias, hidden_bias };
    let options = RecurrentOptions::default().reverse(reverse);
    let mut results = Vec::with_capacity(items);
    for item in 0..items {
        let x = call.item(x, item, [steps, inputs])?;
        let var = call.tape(x).recurrent(x.var, cell, params, options).all;
        let result = call.float_of(var, x);
        results.push(call.recording.reshape(result, &[1, steps, width]));
    }
    Ok(vec![call.joined(results, 0)?.into()])
}

impl Call<'_> {
    fn cell(&self) -> Result<Cell, Fault> {
        Ok(match self.text("cell", "lstm")? {
            "lstm" => Cell::Lstm,
            "gru" => Cell::Gru,
            "gru_reset_before" => Cell::GruResetBefore,
            "rnn" => Cell::Rnn,
            "rnn_relu" => Cell::RnnRelu,
            other => fault!(
                "option \"cell\" must be \"lstm\", \"gru\", \"gru_reset_before\", \"rnn\" or \
                 \"rnn_relu\", got {other:?}"
            ),
        })
    }

    /// The shape `[N, T, I]` of x.
    fn sequence(&self, x: Array) -> Result<[usize; 3], Fault> {
        let shape = self.shape(x);
        let [items, steps, inputs] = shape[..] else {
            fault!("[N, T, I] is needed, got {shape:?}")
        };
        ensure!(items > 0 && steps > 0 && inputs > 0, "there is nothing in a sequence {shape:?}");
        Ok([items, steps, inputs])
    }

    /// Hidden features: the last axis of the recurrent weights, argument 2.
    fn width(&mut self) -> Result<usize, Fault> {
        let array = self.array(2)?;
        match self.shape(array).last() {
            Some(&width) if width > 0 => Ok(width),
            _ => fault!("argument 2, the recurrent weights, has no hidden features"),
        }
    }

    /// Checks an argument, if it is there: a weight or a bias, or a state.
    fn check_recurrent(
        &mut self,
        at: usize,
        expected: &[usize],
        weight: bool,
    ) -> Result<(), Fault> {
        let Some(array) = self.optional(at)? else { return Ok(()) };
        let got = self.shape(array);
        ensure!(got == expected, "argument {at} must have shape {expected:?}, got {got:?}");
        ensure!(
            !weight || !self.recording.is_batched(array),
            "argument {at}, a weight or a bias, must not depend on the input"
        );
        Ok(())
    }

    /// One of the sequences that the graph itself holds side by side, `[T, I]`.
    fn item(&mut self, x: Array, item: usize, shape: [usize; 2]) -> Outcome1 {
        let x = self.part(x, 0, item, item + 1)?;
        let x = self.recording.reshape(x, &shape);
        self.recording.per_sample(x)
    }
}

struct Layer {
    cell: Cell,
    width: usize,
    rows: usize,
    steps: usize,
    inputs: usize,
    /// Where the weights have each gate, if not in the order of [`Cell`].
    gates: Option<Vec<usize>>,
}

impl Layer {
    /// Rows of all gates, in the order of [`Cell`].
    fn in_order(&self, call: &mut Call<'_>, rows: Array) -> Outcome1 {
        let Some(gates) = &self.gates else { return Ok(rows) };
        let h = self.width;
        let parts = gates
            .iter()
            .map(|&gate| call.part(rows, 0, gate * h, (gate + 1) * h))
            .collect::<Result<Vec<_>, Fault>>()?;
        call.joined(parts, 0)
    }

    /// One direction of one item: `[1, T, 1, H]`, `[1, 1, H]`, `[1, 1, H]`.
    fn run(
        &self,
        call: &mut Call<'_>,
        x: Array,
        item: usize,
        direction: usize,
        reverse: bool,
    ) -> Result<[Option<Array>; 3], Fault> {
        let x = call.item(x, item, [self.steps, self.inputs])?;
        let weight = |call: &mut Call<'_>, at: usize, columns: usize| -> Result<Array, Fault> {
            let whole = call.array(at)?;
            let part = call.part(whole, 0, direction, direction + 1)?;
            let part = call.recording.reshape(part, &[self.rows, columns]);
            let part = self.in_order(call, part)?;
            call.recording.upload(part)
        };
        let input_weight = weight(call, 1, self.inputs)?.var;
        let hidden_weight = weight(call, 2, self.width)?.var;
        let mut biases = [None, None];
        if let Some(bias) = call.optional(3)? {
            let part = call.part(bias, 0, direction, direction + 1)?;
            for (at, bias) in biases.iter_mut().enumerate() {
                let half = call.part(part, 1, at, at + 1)?;
                let half = call.recording.reshape(half, &[self.rows]);
                let half = self.in_order(call, half)?;
                *bias = Some(call.recording.upload(half)?.var);
            }
        }
        let state = |call: &mut Call<'_>, at: usize| -> Result<Option<_>, Fault> {
            let Some(state) = call.optional(at)? else { return Ok(None) };
            // Zeros are the default.
            if call.recording.numbers(state).is_some_and(|n| n.iter().all(|&x| x == 0.0)) {
                return Ok(None);
            }
            let part = call.part(state, 0, direction, direction + 1)?;
            let part = call.part(part, 1, item, item + 1)?;
            let part = call.recording.reshape(part, &[self.width]);
            Ok(Some(call.recording.upload(part)?.var))
        };
        let (hidden, cell) = (state(call, 4)?, state(call, 5)?);
        let params = RecurrentParams {
            input_weight,
            hidden_weight,
            input_bias: biases[0],
            hidden_bias: biases[1],
        };
        let options = RecurrentOptions::default().reverse(reverse).hidden(hidden).cell(cell);
        let states = call.tape(x).recurrent(x.var, self.cell, params, options);
        let mut found = [Some(states.all), Some(states.hidden), states.cell].into_iter();
        let shapes =
            [vec![1, self.steps, 1, self.width], vec![1, 1, self.width], vec![1, 1, self.width]];
        Ok(shapes.map(|shape| {
            let var = found.next().flatten()?;
            let array = Array { var, kind: InputKind::Float, ..x };
            Some(call.recording.reshape(array, &shape))
        }))
    }
}

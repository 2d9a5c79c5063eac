//! The level below models: a graph recorded by hand, with two branches, a value that is used again
//! and a shared parameter.
//!
//! ```text
//! x ── linear(w0, b0) ── tanh = h ─┬─ linear(w1, b1) ── sigmoid ─┐
//!                                  ├─ linear(w1, –) ── relu ─────┼─ sum ── linear(w2, –) ── y
//!                                  └─────────────────────────────┘
//! ```
//!
//! Plain reverse mode comes first, then several quantities in one sweep. Run it with `cargo run
//! --release --example graph`. It fails if a gradient entry disagrees with finite differences.

use std::process::ExitCode;

use vivit::extend::Gradient;
use vivit::prelude::*;

const N: usize = 5;

/// Parameter values by name; which of them is moved, and by how much, is the caller's business.
type Values = [(&'static str, Tensor); 5];

/// Records the picture above.
fn record(x: &Tensor, values: &Values) -> Result<Graph, vivit::Error> {
    let mut tape = Tape::new(x.device());
    let x = tape.input(x.clone());
    let [w0, b0, w1, b1, w2] =
        values.each_ref().map(|(name, value)| tape.named_param(name, value.clone()));

    let h = tape.linear(x, w0, Some(b0));
    let h = tape.tanh(h);
    // Two branches read h, and both use w1: whatever flows back is added up.
    let left = tape.linear(h, w1, Some(b1));
    let left = tape.sigmoid(left);
    let right = tape.linear(h, w1, None);
    let right = tape.relu(right);
    let sum = tape.add(left, right);
    let sum = tape.add(sum, h);
    let y = tape.linear(sum, w2, None);
    Ok(Graph::new(tape, y)?)
}

fn main() -> Result<ExitCode, vivit::Error> {
    let cpu = Device::cpu_f64();
    let mut rng = Rng::new(0);
    let mut normal =
        |shape: &[usize]| Tensor::from_vec(&cpu, shape, rng.normal(shape.iter().product()));
    let mut values: Values = [
        ("w0", normal(&[4, 3])?),
        ("b0", normal(&[4])?),
        ("w1", normal(&[4, 4])?),
        ("b1", normal(&[4])?),
        ("w2", normal(&[2, 4])?),
    ];
    let x = normal(&[N, 3])?;
    let loss = Mse::mean(normal(&[N, 2])?);

    let graph = record(&x, &values)?;
    println!("{:?}", graph.tape());
    println!("L = {:.6}, per sample {:.4?}\n", graph.loss(&loss)?, graph.losses(&loss)?);

    // Plain reverse mode: the gradient and nothing else.
    let gradient = graph.backward(&loss)?;

    // An entry of the shared weight's gradient by central differences: both uses move.
    let (entry, step) = ([1, 2], 1e-5);
    let at = entry[0] * 4 + entry[1];
    let w1 = values[2].1.clone();
    let mut moved_loss = |by: f64| {
        let mut entries = w1.to_vec()?;
        entries[at] += by;
        values[2].1 = Tensor::from_vec(&cpu, w1.shape(), entries)?;
        Ok::<_, vivit::Error>(record(&x, &values)?.loss(&loss)?)
    };
    let expected = (moved_loss(step)? - moved_loss(-step)?) / (2.0 * step);
    let w1 = graph.params_matching("w1")?[0];
    let got = gradient[w1].to_vec()?[at];
    // Central differences are off by O(step²) and by rounding, ε/step.
    let agree = (got - expected).abs() <= 1e-8 * expected.abs().max(1.0);
    println!(
        "∂L/∂w1{entry:?}: reverse mode {got:.12}, finite differences {expected:.12}: {}",
        if agree { "ok" } else { "WRONG" }
    );

    // Several quantities, still one sweep.
    let (sum, batch_grad, diagonal) =
        extend::run(&graph, &loss, (Gradient, BatchGrad::new(), DiagGgn::exact()))?;
    println!(
        "In one sweep: gradient {}, per sample {}, GGN diagonal {}",
        sum[w1].shape(),
        batch_grad[w1].shape(),
        diagonal[w1].shape()
    );
    Ok(if agree { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

//! A Gram space that outlives the model: computed once, kept in a struct, asked later.
//!
//! A [`GramSpace`] owns what it needs, so it can be returned, stored and sent to another thread.
//! The expensive part, a sweep and an eigendecomposition, is done when it is made; every question
//! after that is cheap.
//!
//! Run it with `cargo run --release --example keep_gram_space`. It fails if an answer is not that
//! of a computation from scratch.

use std::process::ExitCode;

use vivit::nn::{linear, sigmoid};
use vivit::prelude::*;

const SAMPLES: usize = 24;

/// A network and a batch that it is looked at with.
fn problem() -> Result<(Sequential, Tensor, CrossEntropy), vivit::Error> {
    let cpu = Device::cpu_f64();
    let model = Sequential::new(&cpu, vec![linear(6, 10), sigmoid(), linear(10, 4)], 0)?;
    let x = Tensor::from_vec(&cpu, [SAMPLES, 6], Rng::new(1).normal(SAMPLES * 6))?;
    Ok((model, x, CrossEntropy::mean((0..SAMPLES).map(|n| n % 4).collect::<Vec<_>>())))
}

/// What a notebook, a window or a server keeps of a batch.
struct Analysis {
    space: GramSpace,
    /// The parameters' names, in the order of their numbers.
    names: Vec<String>,
}

impl Analysis {
    /// Computes; the graph is shared by the Gram space, model and batch may go.
    fn of_batch() -> Result<Self, vivit::Error> {
        let (model, x, loss) = problem()?;
        let graph = model.forward(&x)?;
        let names = model.params().iter().map(|param| param.name.clone()).collect();
        Ok(Analysis { space: Ggn::new(&graph, &loss).gram_space()?, names })
    }

    /// How many of the largest eigenvalues make up this share of the trace.
    fn directions_for(&self, share: f64) -> usize {
        let spectrum = self.space.spectrum(); // ascending
        let trace: f64 = spectrum.iter().sum();
        let mut sum = 0.0;
        let needed = |value: &&f64| {
            let before = sum;
            sum += **value;
            before < share * trace
        };
        spectrum.iter().rev().take_while(needed).count()
    }

    /// The sample whose loss bends most along the leading eigenvector, and how much.
    fn most_curved_sample(&self) -> Result<(usize, f64), vivit::Error> {
        let along = self.space.directional_derivatives(top_k(1))?;
        let curvatures = along.lambdas.as_slice().iter().copied().enumerate();
        let largest = curvatures.max_by(|(_, a), (_, b)| a.total_cmp(b));
        Ok(largest.expect("a batch has samples"))
    }

    /// How much of the leading eigenvector lies in each parameter: squared norms, which sum to 1.
    fn shares(&self) -> Result<Vec<(&str, f64)>, vivit::Error> {
        let pairs = self.space.eigenpairs(top_k(1))?;
        let share = |(param, e): (ParamId, &Tensor)| {
            let norm = e.to_vec()?.iter().map(|entry| entry * entry).sum();
            Ok((self.names[param.index()].as_str(), norm))
        };
        pairs.eigenvectors.iter().map(share).collect()
    }
}

fn main() -> Result<ExitCode, vivit::Error> {
    let analysis = Analysis::of_batch()?;

    let directions = analysis.directions_for(0.9);
    println!(
        "{directions} of {} directions hold 90 % of the trace",
        analysis.space.spectrum().len()
    );
    let (sample, curvature) = analysis.most_curved_sample()?;
    println!("the loss of sample {sample} bends most along the first: {curvature:.4}");
    let shares = analysis.shares()?;
    for (name, share) in &shares {
        println!("  {:>5.1} % of it lies in {name}", 100.0 * share);
    }
    // One more question, from another thread.
    let step = std::thread::scope(|scope| {
        let step = scope.spawn(|| analysis.space.newton_step(top_k(directions), constant(0.01)));
        step.join().expect("it does not panic")
    })?;

    // The same from scratch.
    let (mut model, x, loss) = problem()?;
    let graph = model.forward(&x)?;
    let again = Ggn::new(&graph, &loss).newton_step(top_k(directions), constant(0.01))?;
    let mut passed = again.step.iter().all(|(param, value)| {
        matches!((value.to_vec(), step.step[param].to_vec()), (Ok(a), Ok(b)) if a == b)
    });
    passed &= (shares.iter().map(|(_, share)| share).sum::<f64>() - 1.0).abs() < 1e-10;
    model.add_scaled(1.0, &step.step)?;
    let (before, after) = (graph.loss(&loss)?, model.forward(&x)?.loss(&loss)?);
    println!("a Newton step in these directions: loss {before:.4} → {after:.4}");
    passed &= after < before;
    Ok(if passed { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

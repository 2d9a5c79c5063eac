//! Models and graphs in several threads: a model that answers the requests of a server's threads, a
//! graph recorded in one thread and read in another, and training on the threads of the `rayon`
//! pool.
//!
//! A [`Sequential`], a [`Graph`] and a loss are `Send + Sync`. Results do not depend on the number
//! of threads, which this example checks.
//!
//! Run it with `cargo run --release --example sharing`. It fails if a thread gets another result.

use std::process::ExitCode;
use std::sync::{Mutex, mpsc};
use std::thread;

use vivit::nn::{linear, relu};
use vivit::prelude::*;

const SAMPLES: usize = 32;
const THREADS: usize = 4;

/// A thread of a server: takes requests until there is none left, and answers each with a class.
fn serve(
    model: &Sequential,
    requests: &Mutex<Vec<(usize, Tensor)>>,
) -> Result<Vec<(usize, usize)>, vivit::Error> {
    let mut answers = Vec::new();
    loop {
        let next = requests.lock().expect("no thread panicked").pop();
        let Some((number, x)) = next else { return Ok(answers) };
        answers.push((number, model.predict(&x)?[0]));
    }
}

fn train(model: &mut Sequential, x: &Tensor, loss: &dyn Loss) -> Result<f64, vivit::Error> {
    let mut optimizer = Adam::new(0.01)?;
    for _ in 0..100 {
        let gradient = model.forward(x)?.backward(loss)?;
        optimizer.step(model, &gradient)?;
    }
    Ok(model.forward(x)?.loss(loss)?)
}

fn main() -> Result<ExitCode, vivit::Error> {
    let cpu = Device::cpu();
    let mut model = Sequential::new(&cpu, vec![linear(8, 16), relu(), linear(16, 4)], 0)?;
    let x = Tensor::from_vec(&cpu, [SAMPLES, 8], Rng::new(1).normal(SAMPLES * 8))?;
    let loss = CrossEntropy::mean((0..SAMPLES).map(|n| n % 4).collect::<Vec<_>>());

    // 1. Training: a loop over a small network is faster as one of the pool's threads.
    let mut copy = model.clone();
    let before = model.forward(&x)?.loss(&loss)?;
    let after = rayon::scope(|_| train(&mut model, &x, &loss))?;
    println!("training on the pool: loss {before:.4} → {after:.4}");
    let mut passed = after < before && train(&mut copy, &x, &loss)? == after;

    // 2. Serving: all threads read one model.
    let requests = (0..SAMPLES).map(|n| (n, x.slice(n, n + 1))).collect();
    let requests = Mutex::new(requests);
    let answers = thread::scope(|scope| {
        let servers: Vec<_> =
            (0..THREADS).map(|_| scope.spawn(|| serve(&model, &requests))).collect();
        let answers = servers.into_iter().map(|server| server.join().expect("it does not panic"));
        answers.collect::<Result<Vec<_>, _>>()
    })?;
    let classes = model.predict(&x)?;
    let answers = answers.concat();
    println!("serving: {THREADS} threads answered {} requests", answers.len());
    passed &=
        answers.len() == SAMPLES && answers.iter().all(|&(number, class)| class == classes[number]);

    // 3. A graph goes from the thread that records it to one that computes its curvature.
    let (sender, receiver) = mpsc::channel();
    let (model, loss, halves) = (&model, &loss, [x.slice(0, 16), x.slice(16, 32)]);
    let traces = thread::scope(|scope| {
        let curvature = scope.spawn(move || {
            let trace = |graph: Graph| {
                let loss = CrossEntropy::mean((0..16).map(|n| n % 4).collect::<Vec<_>>());
                Ok(Ggn::new(&graph, &loss).spectrum()?.iter().sum())
            };
            receiver.into_iter().map(trace).collect::<Result<Vec<f64>, vivit::Error>>()
        });
        for half in &halves {
            sender.send(model.forward(half)?).expect("the other thread receives");
        }
        drop(sender);
        curvature.join().expect("it does not panic")
    })?;
    // The GGN of a mean over all samples is the mean of the halves'.
    let whole: f64 = Ggn::new(&model.forward(&x)?, loss).spectrum()?.iter().sum();
    println!("traces of the GGN: {traces:.5?} of the halves, {whole:.5} of all");
    passed &= (traces.iter().sum::<f64>() / 2.0 - whole).abs() <= 1e-4 * whole;
    Ok(if passed { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

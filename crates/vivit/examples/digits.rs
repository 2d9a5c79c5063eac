//! Training on handwritten digits, with the curvature before and after.
//!
//! An MLP and a small convolutional network learn to read 8 × 8 images of digits. On a batch of
//! training samples, the example shows the leading eigenvalues of the GGN; how the slopes γ and
//! curvatures λ of the samples' losses along its eigenvectors scatter; and what one damped Newton
//! step in these directions does to the batch's loss.
//!
//! Run it with `cargo run --release --example digits`; `-- --help` lists the options. It fails if a
//! network does not reach 95 % on the test images.

use std::fmt::Display;
use std::process::ExitCode;
use std::str::FromStr;

use indicatif::{ProgressBar, ProgressStyle};
use vivit::DeviceChoice;
use vivit::autodiff::Labels;
use vivit::nn::{Arrays, Conv2d, MiniBatches, flatten, linear, max_pool2d, relu};
use vivit::prelude::*;

const HELP: &str = "\
Trains two networks on handwritten digits and shows the curvature of their losses.

Usage: digits [--epochs E] [--seed S] [--device NAME]

  --epochs E     passes over the training images, at least 1 (default 30)
  --seed S       seed of split, initialisation and order of the batches (default 0)
  --device NAME  cpu (default), or opencl[:DEVICE] in a build with --features opencl
  --help         this text";

const LEGEND: &str = "\
How to read the tables. A row is an eigenvector of the loss's GGN, the largest eigenvalue first.
Along it, γ is the slope and λ the curvature of the loss of one sample; shown are mean and standard
deviation over the 128 samples of a batch. The mean of λ is the eigenvalue: gradient descent with a
learning rate above 2/eigenvalue overshoots there. SNR is mean²/variance: above 1 the samples agree;
below 1/128, that is 8e-3, the mean can't be told from zero by this batch.
";

const TRAINING_SAMPLES: usize = 1437;
const BATCH: usize = 32;
const CURVATURE_BATCH: usize = 128;
const DIRECTIONS: usize = 10;
const DAMPING: f64 = 0.1;
const WANTED_ACCURACY: f64 = 0.95;

fn main() -> Result<ExitCode, vivit::Error> {
    let options = match Options::parse(std::env::args().skip(1)) {
        Ok(Some(options)) => options,
        Ok(None) => {
            println!("{HELP}");
            return Ok(ExitCode::SUCCESS);
        }
        Err(reason) => {
            eprintln!("{reason}\n\n{HELP}");
            return Ok(ExitCode::from(2));
        }
    };
    let device = options.device.open(DType::F32)?;
    let (images, labels) = digits(&device)?;
    let order = Rng::new(options.seed).permutation(images.shape()[0]);
    let part = |pick: &[usize]| (images.index_select(0, pick), labels.select(pick, 1));
    let (train, test) = (part(&order[..TRAINING_SAMPLES]), part(&order[TRAINING_SAMPLES..]));
    let batch = part(&order[..CURVATURE_BATCH]);
    let batches = MiniBatches::new(train.0, train.1, BATCH)?.shuffled(options.seed);

    let networks = [
        ("MLP 64-32-10", vec![flatten(), linear(64, 32), relu(), linear(32, 10)]),
        (
            "convolutional network",
            vec![
                Conv2d::new(1, 8, 3).padded(1).boxed(),
                relu(),
                max_pool2d(2, 2),
                Conv2d::new(8, 16, 3).padded(1).boxed(),
                relu(),
                max_pool2d(2, 2),
                flatten(),
                linear(64, 10),
            ],
        ),
    ];
    println!("{LEGEND}");
    let mut reached = true;
    for (name, layers) in networks {
        let mut model = Sequential::new(&device, layers, options.seed)?;
        println!("== {name}, {} parameters ==\n\nBefore training", model.num_params());
        show_curvature(&model, &batch)?;
        let (loss, accuracy) = training(&mut model, &batches, options.epochs)?;
        println!(
            "Training: {} epochs; in the last, loss {loss:.5} and accuracy {:.1} %\n",
            options.epochs,
            100.0 * accuracy
        );
        println!("After training");
        show_curvature(&model, &batch)?;

        let loss = CrossEntropy::mean(test.1.clone());
        let accuracy = loss.accuracy(model.forward(&test.0)?.value())?;
        let enough = accuracy >= WANTED_ACCURACY;
        let verdict = if enough { "" } else { ": NOT ENOUGH, 95 % are wanted; try more epochs" };
        println!(
            "Accuracy on {} test images: {:.1} %{verdict}\n",
            order.len() - TRAINING_SAMPLES,
            100.0 * accuracy
        );
        reached &= enough;
    }
    Ok(if reached { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Images `[N, 1, 8, 8]`, entries 0 to 1, and their labels: the data that comes with the crate.
fn digits(device: &Device) -> Result<(Tensor, Labels), vivit::Error> {
    let arrays = Arrays::from_bytes(include_bytes!("../data/digits.safetensors").to_vec())?;
    let (images, labels) = (arrays.tensor("images", device)?, arrays.labels("labels")?);
    let shape = [images.shape()[0], 1, 8, 8];
    Ok((images.scale(1.0 / 16.0).reshape(shape), labels))
}

/// Trains with momentum SGD, under a progress bar. Returns loss and accuracy over the last epoch.
fn training(
    model: &mut Sequential,
    batches: &MiniBatches,
    epochs: u64,
) -> Result<(f64, f64), vivit::Error> {
    let mut optimizer = Sgd::new(0.05, 0.9)?;
    let bar = ProgressBar::new(epochs * batches.num_batches() as u64);
    let style = ProgressStyle::with_template("Training [{bar:20}] {pos}/{len}, {msg}");
    bar.set_style(style.expect("a valid template").progress_chars("=> "));
    let mut last = (0.0, 0.0);
    for epoch in 0..epochs {
        let (mut loss_sum, mut right, mut seen) = (0.0, 0.0, 0.0);
        for (images, labels) in batches.epoch(epoch) {
            let (graph, loss) = (model.forward(&images)?, CrossEntropy::mean(labels));
            let n = graph.samples() as f64;
            loss_sum += n * graph.loss(&loss)?;
            right += n * loss.accuracy(graph.value())?;
            seen += n;
            optimizer.step(model, &graph.backward(&loss)?)?;

            last = (loss_sum / seen, right / seen);
            bar.set_message(format!("loss {:.4}, accuracy {:.1} %", last.0, 100.0 * last.1));
            bar.inc(1);
        }
    }
    bar.finish_and_clear();
    Ok(last)
}

/// Shows the loss's curvature on a batch, and tries a Newton step on a copy.
fn show_curvature(
    model: &Sequential,
    (images, labels): &(Tensor, Labels),
) -> Result<(), vivit::Error> {
    let (graph, loss) = (model.forward(images)?, CrossEntropy::mean(labels.clone()));
    let newton = Ggn::new(&graph, &loss).newton_step(top_k(DIRECTIONS), constant(DAMPING))?;
    let along = &newton.directions[0];

    println!(
        "{:>12} |{:>10}{:>10}{:>10} |{:>10}{:>10}{:>10}",
        "eigenvalue", "mean γ", "std γ", "SNR γ", "mean λ", "std λ", "SNR λ"
    );
    let columns = [
        (along.mean_gammas(), along.variance_gammas()),
        (along.mean_lambdas(), along.variance_lambdas()),
    ];
    // The library's eigenvalues ascend.
    for k in (0..along.len()).rev() {
        print!("{:>12.4}", along.eigenvalues[k]);
        for (mean, variance) in columns.iter().map(|(mean, variance)| (mean[k], variance[k])) {
            print!(" |{mean:>10.4}{:>10.4}{:>10.1e}", variance.sqrt(), mean * mean / variance);
        }
        println!();
    }

    let mut moved = model.clone();
    moved.add_scaled(1.0, &newton.step)?;
    let (before, after) = (graph.loss(&loss)?, moved.forward(images)?.loss(&loss)?);
    println!(
        "A Newton step in these directions, damping {DAMPING}: loss {before:.5} → {after:.5}\n"
    );
    Ok(())
}

const WHOLE: &str = "a whole number";
const NAME: &str = "a device's name";

/// What the command line chooses.
struct Options {
    epochs: u64,
    seed: u64,
    device: DeviceChoice,
}

impl Options {
    /// `None` if help is asked for.
    fn parse(mut args: impl Iterator<Item = String>) -> Result<Option<Self>, String> {
        let mut options = Options { epochs: 30, seed: 0, device: DeviceChoice::Cpu };
        while let Some(option) = args.next() {
            match option.as_str() {
                "--epochs" => options.epochs = value(&option, WHOLE, args.next())?,
                "--seed" => options.seed = value(&option, WHOLE, args.next())?,
                "--device" | "--backend" => options.device = value(&option, NAME, args.next())?,
                "--help" | "-h" => return Ok(None),
                _ => return Err(format!("unknown option {option:?}")),
            }
        }
        if options.epochs == 0 {
            return Err("--epochs must be at least 1".into());
        }
        Ok(Some(options))
    }
}

/// The value after an option, of the kind that is `expected`.
fn value<T: FromStr<Err: Display>>(
    option: &str,
    expected: &str,
    text: Option<String>,
) -> Result<T, String> {
    let text = text.ok_or(format!("{option} needs {expected} after it"))?;
    text.parse().map_err(|error| format!("{option} needs {expected}, got {text:?}: {error}"))
}

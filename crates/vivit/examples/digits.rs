//! Training on handwritten digits, with the curvature before and after.
//!
//! An MLP and a small convolutional network learn to read 8 × 8 images of digits. On a batch of
//! training samples, the example shows the leading eigenvalues of the GGN; how the slopes γ and
//! curvatures λ of the samples' losses along its eigenvectors scatter; and what one damped Newton
//! step in these directions does to the batch's loss.
//!
//! Run it with `cargo run --release --example digits`; `-- --help` lists the options. It fails if a
//! network does not reach 95 % on the test images.

use std::error::Error;
use std::num::ParseIntError;
use std::process::ExitCode;
use std::str::FromStr;

use indicatif::{ProgressBar, ProgressStyle};
use safetensors::SafeTensors;
use vivit::prelude::*;
use vivit::{BackendChoice, OnBackend};

const HELP: &str = "\
Trains two networks on handwritten digits and shows the curvature of their losses.

Usage: digits [--epochs E] [--seed S] [--device NAME]

  --epochs E  passes over the training images, at least 1 (default 30)
  --seed S    seed of split, initialisation and order of the batches (default 0)
  --device NAME  cpu (default), or opencl[:DEVICE] in a build with --features opencl
  --help      this text";

const TRAINING_SAMPLES: usize = 1437;
const BATCH: usize = 32;
const CURVATURE_BATCH: usize = 128;
const DIRECTIONS: usize = 10;
const DAMPING: f64 = 0.1;
const WANTED_ACCURACY: f64 = 0.95;

fn main() -> Result<ExitCode, Box<dyn Error>> {
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
    options.device.clone().run::<f32, _>(Experiment(options))?
}

/// Both networks, trained and looked at.
struct Experiment(Options);

impl OnBackend for Experiment {
    type Out = Result<ExitCode, Box<dyn Error>>;
    fn run(self, device: &Device) -> Self::Out {
        experiment(device, &self.0)
    }
}

fn experiment(device: &Device, options: &Options) -> Result<ExitCode, Box<dyn Error>> {
    let mut rng = Rng::new(options.seed);
    let (train, test) = Digits::embedded(device)?.split(&rng.permutation(1797), TRAINING_SAMPLES);

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
    let mut reached = true;
    for (name, layers) in networks {
        let mut model = Sequential::new(device, layers, options.seed)?;
        println!("== {name}, {} parameters ==\n", model.num_params());
        let batch = train.index_select(&(0..CURVATURE_BATCH).collect::<Vec<_>>());

        println!("Before training");
        show_curvature(&model, &batch)?;
        let (loss, accuracy) = training(&mut model, &train, options, &mut rng)?;
        println!(
            "Training: {} epochs; in the last, loss {loss:.5} and accuracy {:.1} %\n",
            options.epochs,
            100.0 * accuracy
        );
        println!("After training");
        show_curvature(&model, &batch)?;

        let accuracy = accuracy_of(&model.forward(&test.images)?, &test.labels)?;
        let enough = accuracy >= WANTED_ACCURACY;
        let verdict = if enough { "" } else { ": NOT ENOUGH, 95 % are wanted; try more epochs" };
        println!(
            "Accuracy on {} test images: {:.1} %{verdict}\n",
            test.labels.len(),
            100.0 * accuracy
        );
        reached &= enough;
    }
    Ok(if reached { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Trains with momentum SGD, under a progress bar. Returns loss and accuracy over the last epoch.
fn training(
    model: &mut Sequential,
    data: &Digits,
    options: &Options,
    rng: &mut Rng,
) -> Result<(f64, f64), Box<dyn Error>> {
    let mut optimizer = Sgd::new(0.05, 0.9)?;
    let samples = data.labels.len();
    let bar = ProgressBar::new(u64::from(options.epochs) * samples.div_ceil(BATCH) as u64);
    bar.set_style(
        ProgressStyle::with_template("Training [{bar:20}] {pos}/{len}, {msg}")?
            .progress_chars("=> "),
    );
    let mut last = (0.0, 0.0);
    for _ in 0..options.epochs {
        let (mut loss_sum, mut right, mut seen) = (0.0, 0.0, 0.0);
        for chosen in rng.permutation(samples).chunks(BATCH) {
            let batch = data.index_select(chosen);
            let graph = model.forward(&batch.images)?;
            let loss = batch.loss();
            let n = chosen.len() as f64;
            loss_sum += n * graph.loss(&loss)?;
            right += n * accuracy_of(&graph, &batch.labels)?;
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
fn show_curvature(model: &Sequential, batch: &Digits) -> Result<(), vivit::Error> {
    let graph = model.forward(&batch.images)?;
    let loss = batch.loss();
    let groups = [Group::new(graph.params(), top_k(DIRECTIONS))];
    let newton = Ggn::new(&graph, &loss).newton_step(&groups, constant(DAMPING))?;
    let along = &newton.directions[0];

    // SNR: the squared mean over the variance. Along a direction with a small one, the samples
    // disagree.
    println!(
        "{:>12} |{:>10}{:>10}{:>10} |{:>10}{:>10}{:>10}",
        "eigenvalue", "mean γ", "std γ", "SNR γ", "mean λ", "std λ", "SNR λ"
    );
    let (means, variances) = (
        [along.mean_gammas(), along.mean_lambdas()],
        [along.variance_gammas(), along.variance_lambdas()],
    );
    for k in (0..along.len()).rev() {
        print!("{:>12.4}", along.eigenvalues[k].f64());
        for (mean, variance) in
            means.iter().zip(&variances).map(|(mean, variance)| (mean[k], variance[k]))
        {
            print!(" |{mean:>10.4}{:>10.4}{:>10.1e}", variance.sqrt(), mean * mean / variance);
        }
        println!();
    }

    let mut moved = model.clone();
    moved.add_scaled(1.0, &newton.step)?;
    let after = moved.forward(&batch.images)?.loss(&loss)?;
    println!(
        "A Newton step in these directions, damping {DAMPING}: loss {:.5} → {after:.5}\n",
        graph.loss(&loss)?
    );
    Ok(())
}

/// The share of samples whose largest output is the label's.
fn accuracy_of(graph: &Graph, labels: &[usize]) -> Result<f64, vivit::Error> {
    let outputs = graph.value().to_matrix()?;
    let right = labels.iter().enumerate().filter(|&(n, &label)| {
        let row = outputs.row(n);
        row.iter().all(|&output| output <= row[label])
    });
    Ok(right.count() as f64 / labels.len() as f64)
}

/// Images `[N, 1, 8, 8]`, entries 0 to 1, and their labels.
struct Digits {
    images: Tensor,
    labels: Vec<usize>,
}

impl Digits {
    /// The data that comes with the crate.
    fn embedded(device: &Device) -> Result<Self, Box<dyn Error>> {
        let data = SafeTensors::deserialize(include_bytes!("../data/digits.safetensors"))?;
        let (images, labels) = (data.tensor("images")?, data.tensor("labels")?);
        let pixels: Vec<f64> = images.data().iter().map(|&pixel| f64::from(pixel) / 16.0).collect();
        let labels: Vec<usize> = labels.data().iter().map(|&label| label.into()).collect();
        Ok(Digits { images: Tensor::from_vec(device, &[labels.len(), 1, 8, 8], &pixels)?, labels })
    }

    /// The chosen samples.
    fn select(&self, samples: &[usize]) -> Self {
        Digits {
            images: self.images.index_select(0, samples),
            labels: samples.iter().map(|&n| self.labels[n]).collect(),
        }
    }

    /// The first `train` of the samples in the given order, and the rest.
    fn split(&self, order: &[usize], train: usize) -> (Self, Self) {
        (self.index_select(&order[..train]), self.index_select(&order[train..]))
    }

    fn loss(&self) -> CrossEntropy {
        CrossEntropy::mean(self.labels.clone())
    }
}

/// What the command line chooses.
struct Options {
    epochs: u32,
    seed: u64,
    device: BackendChoice,
}

impl Options {
    /// `None` if help is asked for.
    fn parse(mut args: impl Iterator<Item = String>) -> Result<Option<Self>, String> {
        let mut options = Options { epochs: 30, seed: 0, device: BackendChoice::Cpu };
        while let Some(option) = args.next() {
            match option.as_str() {
                "--epochs" => options.epochs = number(&option, args.next())?,
                "--seed" => options.seed = number(&option, args.next())?,
                "--backend" => {
                    let name =
                        args.next().ok_or("--backend needs cpu or opencl[:DEVICE] after it")?;
                    options.device = name.parse().map_err(|error| format!("--backend: {error}"))?;
                }
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

fn number<T: FromStr<Err = ParseIntError>>(
    option: &str,
    value: Option<String>,
) -> Result<T, String> {
    let value = value.ok_or(format!("{option} needs a whole number after it"))?;
    value.parse().map_err(|error| {
        format!("{option} needs a whole number; {value:?} is not one that fits: {error}")
    })
}

//! What is in an ONNX file, what its curvature costs, and, given data, the loss and its leading
//! eigenvalues.
//!
//! Run it with `cargo run --release --example onnx -- FILE.onnx [DATA.safetensors]`; `-- --help`
//! lists the options. It fails if the data's own output is another than the network's.

use std::collections::BTreeMap;
use std::error::Error;
use std::fmt::Display;
use std::path::PathBuf;
use std::process::ExitCode;
use std::str::FromStr;

use vivit::autodiff::{Dim, Graph, InputKind, InputSpec, Inputs, Loss};
use vivit::curvature::{Ggn, top_k_nonzero};
use vivit::nn::{Arrays, GraphModel};
use vivit::prelude::{BceWithLogits, CrossEntropy, DType, Device, Mse, Rng, Tensor};
use vivit_onnx::Onnx;

const HELP: &str = "\
Shows what is in an ONNX file and what the curvature of its loss costs; given data, the loss and
its leading eigenvalues.

Usage: onnx FILE.onnx [DATA.safetensors] [options]

DATA holds one array per input under its name (or input/NAME), and `target`: class numbers for
cross-entropy, else an array of the output's shape. If there is an array `output` (or
expected/output), the network's output is compared with it.

  --loss LOSS        cross-entropy (default), mse or bce, the mean of each
  -k K               number of eigenvalues (default 10)
  --monte-carlo M    estimate the curvature from M draws per sample, at the price of M gradients
  --samples N        samples of the batch that is planned for without data (default 8)
  --length NAME=L    length of an axis that the file leaves open, without data (default 16)
  --f64              compute in double precision
  --help             this text

In PyTorch:
  torch.onnx.export(model.eval(), (x[:1],), \"model.onnx\", dynamo=True, optimize=False)
  safetensors.torch.save_file({\"x\": x, \"target\": y}, \"data.safetensors\")";

/// How far an output may be from the data's, over the largest entry.
const TOLERANCE: f64 = 1e-3;

fn main() -> ExitCode {
    let options = match Options::parse(std::env::args().skip(1)) {
        Ok(Some(options)) => options,
        Ok(None) => {
            println!("{HELP}");
            return ExitCode::SUCCESS;
        }
        Err(reason) => {
            eprintln!("{reason}\n\n{HELP}");
            return ExitCode::from(2);
        }
    };
    match show(&options) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

/// Returns whether the output is the data's.
fn show(options: &Options) -> Result<bool, Box<dyn Error>> {
    let file = Onnx::read(&options.file)?;
    println!("{}, opset {}\n", options.file.display(), file.opset());
    show_inputs(&file);
    show_params(&file);
    show_operations(&file);
    for warning in file.warnings() {
        println!("Warning: {warning}\n");
    }

    let precision = if options.double { DType::F64 } else { DType::F32 };
    let device = Device::cpu().with_dtype(precision)?;
    let model = file.model(&device)?;
    let data = options.data.as_ref().map(Arrays::read).transpose()?;
    let inputs = match &data {
        Some(data) => given_inputs(&model, data)?,
        None => made_up_inputs(&model, options)?,
    };
    let graph = model.forward(&inputs)?;
    println!("Output {} of {} samples", graph.value().shape(), graph.samples());
    let right = data.as_ref().map_or(Ok(true), |data| check_output(&graph, data))?;
    let target = data.as_ref().filter(|data| data.names().any(|name| name == "target"));
    let loss = options.loss.of(&graph, target)?;
    let draws = options.draws;
    let ggn = Ggn::new(&graph, loss.as_ref());
    let ggn = if draws > 0 { ggn.monte_carlo(draws, 0) } else { ggn };
    show_plan(&ggn, options.loss)?;
    if target.is_some() {
        println!("Loss {:.6} ({}, mean)\n", graph.loss(loss.as_ref())?, options.loss.name());
        show_curvature(&ggn, options.k, precision)?;
    }
    Ok(right)
}

fn kind(kind: InputKind) -> &'static str {
    match kind {
        InputKind::Integer => "integer",
        InputKind::Bool => "bool",
        _ => "float",
    }
}

fn show_inputs(file: &Onnx) {
    println!("Inputs");
    for input in file.inputs() {
        let samples = match input.sample_axis {
            Some(axis) => format!("samples along axis {axis}"),
            None => "shared by all samples".into(),
        };
        println!("  {input}: {}, {samples}", kind(input.kind));
    }
    println!("Outputs");
    for output in file.outputs() {
        let role = if output.prediction { ", the prediction" } else { "" };
        println!("  {}{role}", output.name);
    }
    println!();
}

/// The parameters, those of a layer together: of `layer.weight`, `layer`.
fn show_params(file: &Onnx) {
    let mut layers: Vec<(&str, Vec<String>, usize)> = Vec::new();
    for (name, shape) in file.params() {
        let (layer, own) = name.rsplit_once('.').unwrap_or(("(no layer)", name));
        let entries: usize = shape.iter().product();
        let shown = format!("{own} {shape:?}");
        match layers.iter_mut().find(|(known, ..)| *known == layer) {
            Some((_, params, total)) => {
                params.push(shown);
                *total += entries;
            }
            None => layers.push((layer, vec![shown], entries)),
        }
    }
    let total: usize = layers.iter().map(|(.., entries)| entries).sum();
    let marked = if file.marks_params() { "marked in the file" } else { "found by use" };
    println!("Parameters: {total} in {} layers, {marked}", layers.len());
    for (layer, params, entries) in layers {
        println!("  {entries:>10}  {layer}: {}", params.join(", "));
    }
    println!("Other arrays: {}\n", file.constants().count());
}

fn show_operations(file: &Onnx) {
    let counted = file.operations().map(|(op, count)| format!("{count} {op}"));
    println!("Operations: {}\n", counted.collect::<Vec<_>>().join(", "));
}

/// The array of a name, or of the same name in a folder of names.
fn array(data: &Arrays<'_>, folder: &str, name: &str) -> Option<String> {
    let names = [name.to_string(), format!("{folder}/{name}")];
    names.into_iter().find(|name| data.names().any(|known| known == name))
}

fn given_inputs(model: &GraphModel, data: &Arrays<'_>) -> Result<Inputs, Box<dyn Error>> {
    model.inputs().iter().try_fold(Inputs::new(), |inputs, spec| {
        let name = array(data, "input", &spec.name).unwrap_or_else(|| spec.name.clone());
        Ok(inputs.with(&spec.name, data.tensor(&name, model.device())?))
    })
}

fn made_up_inputs(model: &GraphModel, options: &Options) -> Result<Inputs, Box<dyn Error>> {
    let mut rng = Rng::new(0);
    model.inputs().iter().try_fold(Inputs::new(), |inputs, spec| {
        let shape = made_up_shape(spec, options)?;
        let len: usize = shape.iter().product();
        let numbers = match spec.kind {
            InputKind::Integer => vec![0.0; len],
            InputKind::Bool => vec![1.0; len],
            _ => rng.normal(len),
        };
        Ok(inputs.with(&spec.name, Tensor::from_vec(model.device(), &shape, numbers)?))
    })
}

fn made_up_shape(spec: &InputSpec, options: &Options) -> Result<Vec<usize>, String> {
    let Some(shape) = &spec.shape else {
        return Err(format!("the file does not state the shape of input {spec}; give data"));
    };
    let length = |(axis, dim): (usize, &Dim)| match dim {
        _ if spec.sample_axis == Some(axis) => options.samples,
        Dim::Fixed(length) => *length,
        Dim::Free(name) => *options.lengths.get(name).unwrap_or(&16),
    };
    Ok(shape.iter().enumerate().map(length).collect())
}

/// Returns whether the output is the data's, if it has one.
fn check_output(graph: &Graph, data: &Arrays<'_>) -> Result<bool, Box<dyn Error>> {
    let Some(name) = array(data, "expected", "output") else { return Ok(true) };
    let expected = data.tensor(&name, graph.value().device())?;
    if expected.len() != graph.value().len() {
        let (expected, got) = (expected.shape(), graph.value().shape());
        println!("NOT the data's {name}: its shape is {expected}, not {got}");
        return Ok(false);
    }
    let (got, expected) = (graph.value().to_vec()?, expected.to_vec()?);
    let largest = expected.iter().fold(f64::MIN_POSITIVE, |most, x| most.max(x.abs()));
    let differences = got.iter().zip(&expected).map(|(got, expected)| (got - expected).abs());
    let worst = differences.fold(0.0, f64::max) / largest;
    let right = worst < TOLERANCE && got.iter().all(|x| x.is_finite());
    let verdict = if right { "as" } else { "NOT" };
    println!("  {verdict} the data's {name}: largest difference {worst:.1e} of the largest entry");
    Ok(right)
}

fn show_plan(ggn: &Ggn<'_>, loss: LossChoice) -> Result<(), Box<dyn Error>> {
    let plan = ggn.plan()?;
    println!(
        "Cost of the GGN's spectrum ({}): {} at most, {:.2e} multiply-adds{}\n",
        loss.name(),
        bytes(plan.peak),
        plan.multiply_adds(),
        match plan.slices.count() {
            1 => String::new(),
            slices => format!(", cut into {slices} slices to fit into memory"),
        }
    );
    Ok(())
}

fn bytes(bytes: usize) -> String {
    match bytes {
        0..10_000_000 => format!("{:.1} kB", bytes as f64 / 1e3),
        _ => format!("{:.1} MB", bytes as f64 / 1e6),
    }
}

fn show_curvature(ggn: &Ggn<'_>, k: usize, dtype: DType) -> Result<(), Box<dyn Error>> {
    let space = ggn.gram_space()?;
    // What rounding can't tell from zero has no direction.
    let zero = 2.0 * space.spectrum().len() as f64 * dtype.epsilon();
    let along = space.directional_derivatives(top_k_nonzero(k, zero))?;
    println!(
        "The GGN's leading eigenvalues; slopes γ and curvatures λ of the samples' losses there"
    );
    println!(
        "{:>12} |{:>11}{:>11} |{:>11}{:>11}",
        "eigenvalue", "mean γ", "std γ", "mean λ", "std λ"
    );
    let (gammas, lambdas) = (along.mean_gammas(), along.mean_lambdas());
    let (of_gammas, of_lambdas) = (along.variance_gammas(), along.variance_lambdas());
    // The library's eigenvalues ascend.
    for k in (0..along.len()).rev() {
        println!(
            "{:>12.4e} |{:>11.2e}{:>11.2e} |{:>11.2e}{:>11.2e}",
            along.eigenvalues[k],
            gammas[k],
            of_gammas[k].sqrt(),
            lambdas[k],
            of_lambdas[k].sqrt()
        );
    }
    Ok(())
}

#[derive(Clone, Copy)]
enum LossChoice {
    CrossEntropy,
    Mse,
    Bce,
}

impl LossChoice {
    fn name(self) -> &'static str {
        match self {
            LossChoice::CrossEntropy => "cross-entropy",
            LossChoice::Mse => "mean squared error",
            LossChoice::Bce => "binary cross-entropy with logits",
        }
    }

    /// The loss of the data's target, or of zeros.
    fn of(self, graph: &Graph, data: Option<&Arrays<'_>>) -> Result<Box<dyn Loss>, Box<dyn Error>> {
        let (shape, device) = (graph.value().shape(), graph.value().device());
        if let LossChoice::CrossEntropy = self {
            let labels = match data {
                Some(data) => data.labels("target").map_err(|error| {
                    format!("{error}; real numbers are targets of --loss mse or --loss bce")
                })?,
                None => {
                    let classes = *shape.get(1).ok_or("the output has no axis of classes")?;
                    vec![0usize; graph.value().len() / classes.max(1)].into()
                }
            };
            return Ok(Box::new(CrossEntropy::mean(labels)));
        }
        let target = match data {
            Some(data) => data.tensor("target", device)?,
            None => Tensor::zeros(device, *shape),
        };
        Ok(match self {
            LossChoice::Mse => Box::new(Mse::mean(target)),
            _ => Box::new(BceWithLogits::mean(target)),
        })
    }
}

impl FromStr for LossChoice {
    type Err = &'static str;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Ok(match text {
            "cross-entropy" => LossChoice::CrossEntropy,
            "mse" => LossChoice::Mse,
            "bce" => LossChoice::Bce,
            _ => return Err("there is no such loss"),
        })
    }
}

/// What the command line chooses.
struct Options {
    file: PathBuf,
    data: Option<PathBuf>,
    loss: LossChoice,
    k: usize,
    draws: usize,
    samples: usize,
    lengths: BTreeMap<String, usize>,
    double: bool,
}

impl Options {
    /// `None` if help is asked for.
    fn parse(mut args: impl Iterator<Item = String>) -> Result<Option<Self>, String> {
        const NUMBER: &str = "a whole number";
        let mut options = Options {
            file: PathBuf::new(),
            data: None,
            loss: LossChoice::CrossEntropy,
            k: 10,
            draws: 0,
            samples: 8,
            lengths: BTreeMap::new(),
            double: false,
        };
        let mut files = Vec::new();
        while let Some(option) = args.next() {
            match option.as_str() {
                "--loss" => {
                    options.loss = value(&option, "cross-entropy, mse or bce", args.next())?;
                }
                "-k" => options.k = value(&option, NUMBER, args.next())?,
                "--monte-carlo" => options.draws = value(&option, NUMBER, args.next())?,
                "--samples" => options.samples = value(&option, NUMBER, args.next())?,
                "--length" => {
                    let text: String = value(&option, "NAME=LENGTH", args.next())?;
                    let (name, length) =
                        text.rsplit_once('=').ok_or("--length needs NAME=LENGTH after it")?;
                    let length = value(&option, "NAME=LENGTH", Some(length.into()))?;
                    options.lengths.insert(name.into(), length);
                }
                "--f64" => options.double = true,
                "--help" | "-h" => return Ok(None),
                _ if option.starts_with('-') => return Err(format!("unknown option {option:?}")),
                _ => files.push(PathBuf::from(option)),
            }
        }
        if options.k == 0 || options.samples == 0 {
            return Err("-k and --samples must be at least 1".into());
        }
        let mut files = files.into_iter();
        options.file = files.next().ok_or("name an ONNX file")?;
        options.data = files.next();
        match files.next() {
            Some(surplus) => Err(format!("surplus file {}", surplus.display())),
            None => Ok(Some(options)),
        }
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

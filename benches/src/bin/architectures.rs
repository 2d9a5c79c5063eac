//! Exported networks of full size: whether each imports, agrees with onnxruntime, and what a
//! gradient and a direction of curvature take. The files are those of
//! `tests/python/export_architectures.py`.

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::time::Instant;

use vivit::autodiff::{CrossEntropy, Inputs};
use vivit::curvature::{Ggn, top_k};
use vivit::nn::Arrays;
use vivit::onnx::Onnx;
use vivit::tensor::Device;

const USAGE: &str = "\
usage: cargo run --release -p vivit-benches --features onnx --bin architectures -- FOLDER

Prints a line of a markdown table for every NAME.onnx with NAME.data.safetensors in FOLDER: \
parameters, the largest difference of the outputs over the largest output, seconds and megabytes.";

type Failure = Box<dyn std::error::Error>;

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let done = match &args[..] {
        [flag, file] if flag == "--one" => one(Path::new(file)),
        [folder] if !folder.starts_with('-') => all(Path::new(folder)),
        _ => {
            eprintln!("{USAGE}");
            return ExitCode::from(2);
        }
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            eprintln!("{why}");
            ExitCode::FAILURE
        }
    }
}

/// A process for each network, so that each has a peak of its own.
fn all(folder: &Path) -> Result<(), Failure> {
    let mut files: Vec<PathBuf> = Vec::new();
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        if path.with_extension("data.safetensors").is_file()
            && path.extension().is_some_and(|extension| extension == "onnx")
        {
            files.push(path);
        }
    }
    files.sort();
    println!(
        "| network | parameters | difference | import s | forward s | gradient s | direction s | \
         peak MB |"
    );
    println!("| --- | --- | --- | --- | --- | --- | --- | --- |");
    let program = std::env::current_exe()?;
    for file in files {
        let status = Command::new(&program).arg("--one").arg(&file).status()?;
        if !status.success() {
            println!("| {} | failed |", file.display());
        }
    }
    Ok(())
}

fn seconds<T>(f: impl FnOnce() -> Result<T, Failure>) -> Result<(T, f64), Failure> {
    let start = Instant::now();
    Ok((f()?, start.elapsed().as_secs_f64()))
}

fn one(file: &Path) -> Result<(), Failure> {
    let cpu = Device::cpu();
    let data = Arrays::read(file.with_extension("data.safetensors"))?;
    let (model, import) = seconds(|| Ok(Onnx::read(file)?.model(&cpu)?))?;
    let mut inputs = Inputs::new();
    for spec in model.inputs() {
        inputs = inputs.with(&spec.name, data.tensor(&format!("input/{}", spec.name), &cpu)?);
    }
    let (graph, forward) = seconds(|| Ok(model.forward(&inputs)?))?;
    let (got, expected) = (graph.value().to_vec()?, data.tensor("output", &cpu)?.to_vec()?);
    let largest = expected.iter().fold(0.0f64, |most, x| most.max(x.abs()));
    let difference = got.iter().zip(&expected).fold(0.0f64, |most, (a, b)| most.max((a - b).abs()));
    let loss = CrossEntropy::mean(data.labels("target")?);
    let (_, gradient) = seconds(|| Ok(graph.backward(&loss)?))?;
    let (_, direction) = seconds(|| {
        let ggn = Ggn::new(&graph, &loss).monte_carlo(1, 0);
        Ok(ggn.directional_derivatives(top_k(1))?)
    })?;
    println!(
        "| {} | {:.1} M | {:.0e} | {import:.2} | {forward:.2} | {gradient:.2} | {direction:.2} | \
         {:.0} |",
        file.file_stem().unwrap_or_default().to_string_lossy(),
        model.num_params() as f64 / 1e6,
        difference / largest,
        peak()?
    );
    Ok(())
}

/// The largest resident memory of this process so far, in megabytes.
fn peak() -> Result<f64, Failure> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kilobytes: f64 = line.ok_or("no peak is known")?.trim().trim_end_matches(" kB").parse()?;
    Ok(kilobytes * 1024.0 / 1e6)
}

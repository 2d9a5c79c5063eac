//! Checks the library against finite differences, identities and reference cases; one row per case
//! and quantity.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use vivit::DeviceChoice;
use vivit::tensor::{DType, Device};
use vivit_tests::case::{self, Case};
use vivit_tests::report::Report;
use vivit_tests::{Failure, dense, exported, nodes, reference, zoo};

const USAGE: &str = "\
usage: cargo xtask verify [--cases DIR | --onnx DIR | --onnx-nodes FILE] [--strict]
                          [--dtype f32|f64] [--device cpu|opencl[:DEVICE]]

Checks a zoo of small networks against finite differences and dense definitions (f64), then \
reference cases and exported networks.

  --cases DIR      check every .safetensors case of DIR instead of the project's own copy
  --onnx DIR       check every exported network of DIR (pairs of .onnx and .safetensors) instead, \
and nothing else
  --onnx-nodes FILE  check ONNX's own node tests, packed into one file, instead
  --strict         count a case that uses something unsupported as a failure
  --dtype TYPE     check reference cases in this element type only (default: f64 and f32)
  --device NAME    check what this device computes, the zoo too in each of the types \
(default: cpu); --backend means the same";

struct Options {
    cases: PathBuf,
    /// A folder of exported networks, to check instead.
    onnx: Option<PathBuf>,
    /// A file of node tests, to check instead.
    nodes: Option<PathBuf>,
    strict: bool,
    dtypes: Vec<DType>,
    device: DeviceChoice,
}

fn options(args: impl IntoIterator<Item = String>) -> Result<Option<Options>, String> {
    let mut options = Options {
        cases: case::own_cases(),
        onnx: None,
        nodes: None,
        strict: false,
        dtypes: vec![DType::F64, DType::F32],
        device: DeviceChoice::Cpu,
    };
    let mut args = args.into_iter();
    while let Some(arg) = args.next() {
        match arg.as_str() {
            "--help" | "-h" => return Ok(None),
            "--strict" => options.strict = true,
            "--cases" => options.cases = args.next().ok_or("--cases needs a folder")?.into(),
            "--onnx" => options.onnx = Some(args.next().ok_or("--onnx needs a folder")?.into()),
            "--onnx-nodes" => {
                options.nodes = Some(args.next().ok_or("--onnx-nodes needs a file")?.into());
            }
            "--device" | "--backend" => {
                let name = args.next().ok_or(format!("{arg} needs cpu or opencl[:DEVICE]"))?;
                options.device = name.parse().map_err(|error| format!("{arg}: {error}"))?;
            }
            "--dtype" => {
                let name = args.next().ok_or("--dtype needs f32 or f64")?;
                options.dtypes = vec![name.parse().map_err(|error| format!("--dtype: {error}"))?];
            }
            other => return Err(format!("unknown argument {other}")),
        }
    }
    Ok(Some(options))
}

fn run(options: &Options) -> Result<Report, Failure> {
    let mut report = Report::default();
    if let Some(folder) = &options.onnx {
        run_exported(options, folder, &mut report)?;
        return Ok(report);
    }
    if let Some(file) = &options.nodes {
        return run_nodes(options, file);
    }
    let paths = case::list(&options.cases)?;
    let mut cases = Vec::new();
    for path in paths {
        match Case::read(&path) {
            Ok(case) => cases.push(case),
            Err(why) => report.failed(&path.display().to_string(), "file", why),
        }
    }
    // One device in both precisions.
    let device = options.device.open(options.dtypes[0])?;
    for &dtype in &options.dtypes {
        let on_host = options.device == DeviceChoice::Cpu;
        check(&device.with_dtype(dtype)?, on_host, &cases, &mut report);
    }
    run_exported(options, &exported::own_networks(), &mut report)?;
    Ok(report)
}

/// Checks node tests.
fn run_nodes(options: &Options, file: &Path) -> Result<Report, Failure> {
    let mut report = Report::default();
    let device = options.device.open(options.dtypes[0])?;
    for &dtype in &options.dtypes {
        nodes::check(file, &device.with_dtype(dtype)?, &mut report)?;
    }
    nodes::check_derivatives(file, &mut report)?;
    Ok(report)
}

/// Checks exported networks.
fn run_exported(options: &Options, folder: &Path, report: &mut Report) -> Result<(), Failure> {
    let paths = exported::list(folder)?;
    let device = options.device.open(options.dtypes[0])?;
    for &dtype in &options.dtypes {
        let device = device.with_dtype(dtype)?;
        paths.iter().for_each(|path| exported::check(&device, path, report));
    }
    Ok(())
}

/// Checks the zoo and the cases on one device.
fn check(device: &Device, on_host: bool, cases: &[Case], report: &mut Report) {
    // On the host doubles suffice for the zoo: rounding is all that would be tested in f32.
    if !on_host || device.dtype() == DType::F64 {
        let (definitions, own) = (zoo::problems(), zoo::problems_on(device));
        let pairs = definitions.into_iter().zip(own);
        for (problem, own) in
            pairs.chain(zoo::layers::each().into_iter().zip(zoo::layers::each_on(device)))
        {
            dense::check_on(&problem, &own, report);
        }
    }
    cases.iter().for_each(|case| reference::check(device, case, report));
}

fn main() -> ExitCode {
    let options = match options(std::env::args().skip(1)) {
        Ok(Some(options)) => options,
        Ok(None) => {
            println!("{USAGE}");
            return ExitCode::SUCCESS;
        }
        Err(why) => {
            eprintln!("{why}\n\n{USAGE}");
            return ExitCode::from(2);
        }
    };
    let report = match run(&options) {
        Ok(report) => report,
        Err(why) => {
            eprintln!("{why}");
            return ExitCode::from(2);
        }
    };
    report.rows.iter().for_each(|row| println!("{row}"));
    let failed = report.rows.iter().filter(|row| row.is_failure()).count();
    let unsupported = report.rows.iter().filter(|row| row.is_unsupported()).count();
    println!("\n{} checks: {failed} failed, {unsupported} unsupported", report.rows.len());
    if failed > 0 || (options.strict && unsupported > 0) {
        ExitCode::FAILURE
    } else {
        ExitCode::SUCCESS
    }
}

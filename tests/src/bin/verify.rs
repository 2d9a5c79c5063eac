//! Checks the library against finite differences, identities and reference cases; one row per case
//! and quantity.

use std::path::PathBuf;
use std::process::ExitCode;

use vivit::prelude::*;
use vivit::{BackendChoice, OnBackend};
use vivit_tests::case::{self, Case};
use vivit_tests::report::Report;
use vivit_tests::{Failure, dense, reference, zoo};

const USAGE: &str = "\
usage: cargo xtask verify [--cases DIR] [--strict] [--dtype f32|f64] [--backend cpu|opencl[:DEVICE]]

Checks a zoo of small networks against finite differences and dense definitions (f64), then \
reference cases.

  --cases DIR      check every .safetensors case of DIR instead of the project's own copy
  --strict         count a case that uses something unsupported as a failure
  --dtype TYPE     check reference cases in this element type only (default: f64 and f32)
  --backend NAME   check what this backend computes, the zoo too in each of the types \
(default: cpu)";

struct Options {
    cases: PathBuf,
    strict: bool,
    dtypes: Vec<String>,
    backend: BackendChoice,
}

fn options(args: impl IntoIterator<Item = String>) -> Result<Option<Options>, String> {
    let mut options = Options {
        cases: case::own_cases(),
        strict: false,
        dtypes: vec!["f64".into(), "f32".into()],
        backend: BackendChoice::Cpu,
    };
    let mut args = args.into_iter();
    while let Some(arg) = args.next() {
        match arg.as_str() {
            "--help" | "-h" => return Ok(None),
            "--strict" => options.strict = true,
            "--cases" => options.cases = args.next().ok_or("--cases needs a folder")?.into(),
            "--backend" => {
                let name = args.next().ok_or("--backend needs cpu or opencl[:DEVICE]")?;
                options.backend = name.parse().map_err(|error| format!("--backend: {error}"))?;
            }
            "--dtype" => match args.next().as_deref() {
                Some(dtype @ ("f32" | "f64")) => options.dtypes = vec![dtype.into()],
                Some(other) => return Err(format!("--dtype {other}: choose f32 or f64")),
                None => return Err("--dtype needs f32 or f64".into()),
            },
            other => return Err(format!("unknown argument {other}")),
        }
    }
    Ok(Some(options))
}

fn run(options: &Options) -> Result<Report, Failure> {
    let paths = case::list(&options.cases)?;
    let mut report = Report::default();
    let mut cases = Vec::new();
    for path in paths {
        match Case::read(&path) {
            Ok(case) => cases.push(case),
            Err(why) => report.failed(&path.display().to_string(), "file", why),
        }
    }
    for dtype in &options.dtypes {
        let checks = Checks {
            cases: &cases,
            report: &mut report,
            on_host: options.backend == BackendChoice::Cpu,
        };
        match dtype.as_str() {
            "f32" => options.backend.run::<f32, _>(checks)?,
            _ => options.backend.run::<f64, _>(checks)?,
        }
    }
    Ok(report)
}

/// The zoo and the cases on one backend.
struct Checks<'a> {
    cases: &'a [Case],
    report: &'a mut Report,
    on_host: bool,
}

impl OnBackend for Checks<'_> {
    type Out = ();
    fn run<B: Backend>(self, backend: &B) {
        // On the host doubles suffice for the zoo: rounding is all that would be tested in f32.
        if !self.on_host || B::Elem::NAME == "f64" {
            let (definitions, own) = (zoo::problems(), zoo::problems_on(backend));
            let pairs = definitions.into_iter().zip(own);
            for (problem, own) in
                pairs.chain(zoo::layers::each().into_iter().zip(zoo::layers::each_on(backend)))
            {
                dense::check_on(&problem, &own, self.report);
            }
        }
        self.cases.iter().for_each(|case| reference::check(backend, case, self.report));
    }
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

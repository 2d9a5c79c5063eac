//! Measures one task on one network and prints one line of JSON.

use std::process::ExitCode;

use vivit::OnBackend;
use vivit::prelude::Backend;
use vivit_benches::{
    Approximation, Arguments, Element, Problem, Report, USAGE, measure, peak_megabytes,
};

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let arguments = match Arguments::parse(args.clone()) {
        Ok(arguments) => arguments,
        Err(message) => {
            if args.is_empty() {
                eprint!("{USAGE}");
            } else {
                eprint!("{message}\n\n{USAGE}");
            }
            return ExitCode::from(2);
        }
    };
    let backend = arguments.backend.clone();
    let threads = arguments.threads.unwrap_or(0);
    let report = rayon::ThreadPoolBuilder::new().num_threads(threads).build();
    let report = report.map_err(|error| format!("the threads can't be started: {error}"));
    let report = report.and_then(|pool| {
        // As one of the threads: from outside, every call would wake them and sleep meanwhile.
        let report = pool.install(|| match arguments.element {
            Element::F32 => backend.run::<f32, _>(Measurement(arguments)),
            Element::F64 => backend.run::<f64, _>(Measurement(arguments)),
        });
        report.map_err(|error| error.to_string()).and_then(|report| report)
    });
    match report {
        Ok(report) => {
            println!("{report}");
            ExitCode::SUCCESS
        }
        Err(message) => {
            eprintln!("{message}");
            ExitCode::FAILURE
        }
    }
}

struct Measurement(Arguments);

impl OnBackend for Measurement {
    type Out = Result<Report, String>;
    fn run<B: Backend>(self, backend: &B) -> Result<Report, String> {
        let arguments = self.0;
        let Arguments { net, task, samples, classes, k, draws, sub, memory, reps, .. } =
            arguments.clone();
        let problem = Problem::with_classes(backend, net, samples, classes)
            .map_err(|error| error.to_string())?;
        let approximation = Approximation {
            k,
            draws,
            sub,
            memory: memory.map(|megabytes| megabytes.saturating_mul(1_000_000)),
        };
        let runs = measure(reps, || problem.solve(task, approximation))
            .map_err(|error| error.to_string())?;
        let (seconds, eigen): (Vec<f64>, Vec<Option<f64>>) = runs.into_iter().unzip();
        let eigen_seconds = eigen.into_iter().flatten().collect();
        let (params, threads) = (problem.num_params(), rayon::current_num_threads());
        Ok(Report {
            arguments,
            params,
            threads,
            device: backend.device(),
            seconds,
            eigen_seconds,
            peak_megabytes: peak_megabytes(),
        })
    }
}

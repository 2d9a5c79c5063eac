//! Measures one task on one network and prints one line of JSON.

use std::process::ExitCode;

use vivit_benches::{Approximation, Arguments, Problem, Report, USAGE, measure, peak_megabytes};

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
    let threads = arguments.threads.unwrap_or(0);
    let report = rayon::ThreadPoolBuilder::new().num_threads(threads).build();
    let report = report.map_err(|error| format!("the threads can't be started: {error}"));
    // As one of the threads: from outside, every call would wake them and sleep meanwhile.
    let report =
        report.and_then(|pool| pool.install(|| run(arguments).map_err(|error| error.to_string())));
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

fn run(arguments: Arguments) -> Result<Report, vivit::Error> {
    let Arguments { net, task, samples, classes, k, draws, sub, memory, reps, dtype, .. } =
        arguments.clone();
    let device = arguments.device.open(dtype)?;
    let problem = Problem::with_classes(&device, net, samples, classes)?;
    let approximation = Approximation {
        k,
        draws,
        sub,
        memory: memory.map(|megabytes| megabytes.saturating_mul(1_000_000)),
    };
    let runs = measure(reps, || problem.solve(task, approximation))?;
    let (seconds, eigen): (Vec<f64>, Vec<Option<f64>>) = runs.into_iter().unzip();
    Ok(Report {
        arguments,
        params: problem.num_params(),
        threads: rayon::current_num_threads(),
        device: device.to_string(),
        seconds,
        eigen_seconds: eigen.into_iter().flatten().collect(),
        peak_megabytes: peak_megabytes(),
    })
}

//! Everything that must hold before a change is merged, in one command.

use std::path::Path;
use std::process::{Command, ExitCode};

use crate::checks;

/// A check and its name on the command line.
struct Step {
    name: &'static str,
    kind: Kind,
}

enum Kind {
    /// A cargo command, with a variable of its environment.
    Cargo(&'static [&'static str], Option<(&'static str, &'static str)>),
    /// One of this program's own.
    Own(fn(&Path) -> Result<(), String>),
}

const STEPS: [Step; 10] = [
    Step { name: "fmt", kind: Kind::Cargo(&["fmt", "--all", "--check"], None) },
    Step {
        name: "clippy",
        kind: Kind::Cargo(
            &["clippy", "--workspace", "--all-targets", "--", "-D", "warnings"],
            None,
        ),
    },
    Step { name: "test", kind: Kind::Cargo(&["test", "--workspace"], None) },
    Step { name: "opencl-clippy", kind: Kind::Cargo(OPENCL_CLIPPY, None) },
    Step { name: "opencl", kind: Kind::Cargo(OPENCL, None) },
    Step {
        name: "doc",
        kind: Kind::Cargo(
            &["doc", "--workspace", "--no-deps"],
            Some(("RUSTDOCFLAGS", "-D warnings")),
        ),
    },
    Step { name: "tidy", kind: Kind::Own(checks::tidy) },
    Step { name: "layers", kind: Kind::Own(checks::layers) },
    Step { name: "verify", kind: Kind::Cargo(VERIFY, None) },
    Step {
        name: "digits",
        kind: Kind::Cargo(&["run", "--release", "--quiet", "--example", "digits"], None),
    },
];

/// The form of what only the feature `opencl` compiles.
#[rustfmt::skip]
const OPENCL_CLIPPY: &[&str] = &[
    "clippy", "--workspace", "--all-targets",
    "--features", "vivit/opencl,vivit-tests/opencl,vivit-benches/opencl", "--", "-D", "warnings",
];

/// Everything on an OpenCL device; where there is none, it says so and passes.
const OPENCL: &[&str] = &[
    "test",
    "-p",
    "vivit-tests",
    "-p",
    "vivit-opencl",
    "--features",
    "vivit-tests/opencl",
    "--test",
    "opencl",
    "--test",
    "primitives",
    "--lib",
];

/// The numerical verification.
pub const VERIFY: &[&str] =
    &["run", "--release", "--quiet", "-p", "vivit-tests", "--bin", "verify", "--"];

/// One measurement.
pub const BENCH: &[&str] =
    &["run", "--release", "--quiet", "-p", "vivit-benches", "--bin", "bench", "--"];

/// The steps that are left after `--skip NAME`, any number of times.
///
/// # Errors
/// If an argument is another, or the name is none of a step.
fn chosen(args: &[String]) -> Result<Vec<&'static Step>, String> {
    let names = || STEPS.iter().map(|step| step.name).collect::<Vec<_>>().join(", ");
    let mut skipped = Vec::new();
    let mut args = args.iter();
    while let Some(arg) = args.next() {
        if arg != "--skip" {
            return Err(format!(
                "`ci` does not know the argument {arg:?}; it takes `--skip STEP`, any number of \
                 times"
            ));
        }
        let name =
            args.next().ok_or_else(|| format!("`--skip` needs a step: one of {}", names()))?;
        if !STEPS.iter().any(|step| step.name == name) {
            return Err(format!(
                "`--skip` does not know the step {name:?}; it is one of {}",
                names()
            ));
        }
        skipped.push(name.as_str());
    }
    Ok(STEPS.iter().filter(|step| !skipped.contains(&step.name)).collect())
}

/// Runs the steps in order, up to the first that fails.
pub fn run(root: &Path, args: &[String]) -> ExitCode {
    let steps = match chosen(args) {
        Ok(steps) => steps,
        Err(message) => {
            eprintln!("{message}");
            return ExitCode::from(2);
        }
    };
    for step in &steps {
        println!("\n== {} ==", step.name);
        let passed = match &step.kind {
            Kind::Cargo(args, variable) => cargo(root, args, &[], *variable).map(|code| code == 0),
            Kind::Own(check) => check(root).map(|()| true),
        };
        if let Err(message) = &passed {
            eprintln!("{message}");
        }
        if passed != Ok(true) {
            eprintln!("\nstep `{}` failed", step.name);
            return ExitCode::FAILURE;
        }
    }
    println!(
        "\nall steps passed: {}",
        steps.iter().map(|step| step.name).collect::<Vec<_>>().join(", ")
    );
    ExitCode::SUCCESS
}

/// Runs one of the project's programs; with the feature `opencl` if its arguments ask for that
/// backend.
///
/// # Errors
/// If cargo can't be started.
pub fn program(root: &Path, args: &[&str], more: &[String]) -> Result<u8, String> {
    let mut args = args.to_vec();
    if more.iter().any(|arg| arg == "opencl" || arg.starts_with("opencl:")) {
        args.splice(args.len() - 1..args.len() - 1, ["--features", "opencl"]);
    }
    cargo(root, &args, more, None)
}

/// Runs cargo in the project's root and returns its exit code.
///
/// # Errors
/// If it can't be started.
pub fn cargo(
    root: &Path,
    args: &[&str],
    more: &[String],
    variable: Option<(&str, &str)>,
) -> Result<u8, String> {
    // The cargo that runs this program, so that both use one toolchain.
    let program = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(&program);
    command.args(args).args(more).current_dir(root).envs(variable);
    let status = command
        .status()
        .map_err(|error| format!("{} can't be started: {error}", program.to_string_lossy()))?;
    // No code: a signal ended it.
    Ok(status.code().map_or(1, |code| u8::try_from(code).unwrap_or(1)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(args: &[&str]) -> Result<Vec<&'static str>, String> {
        let args: Vec<String> = args.iter().map(|arg| arg.to_string()).collect();
        chosen(&args).map(|steps| steps.iter().map(|step| step.name).collect())
    }

    #[test]
    fn steps_can_be_skipped_by_name() {
        assert_eq!(names(&[]).unwrap().len(), STEPS.len());
        assert_eq!(
            names(&["--skip", "test", "--skip", "verify"]).unwrap(),
            ["fmt", "clippy", "opencl-clippy", "opencl", "doc", "tidy", "layers", "digits"]
        );
    }

    #[test]
    fn wrong_arguments_are_named() {
        assert!(names(&["--skip", "tests"]).unwrap_err().contains("\"tests\""));
        assert!(names(&["--quick"]).unwrap_err().contains("\"--quick\""));
        assert!(names(&["--skip"]).unwrap_err().contains("fmt, clippy"));
    }
}

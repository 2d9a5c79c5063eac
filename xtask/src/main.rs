//! The project's own commands: `cargo xtask VERB`.

mod checks;
mod ci;
mod cycles;
mod files;
mod imports;
mod layers;
mod measurement;
mod peer;
mod scale;
mod setting;
mod source;
mod tidy;

use std::process::ExitCode;

const USAGE: &str = "\
usage: cargo xtask VERB [ARGUMENTS]

  tidy                  check the project's invariants
  layers                check which crate depends on which, and which file of a crate on which
  verify [ARGUMENTS]    compare the library's numbers with references and definitions
  bench NET TASK N [OPTIONS]
                        measure one task and print one line of JSON; without arguments, explain them
                        (both take `--device opencl[:DEVICE]`)
  bench --peer [--python PATH] [--jobs FILTER...] [--rounds R] [--threads T] [--out FILE]
                        measure this library and the Python peer in turn (benches/peer/README.md); \
write benches/record/peer.md
  bench --scale [--threads T] [--out FILE]
                        measure how time grows with samples and classes; write \
benches/record/scale.md (ten minutes, 6 GB)
  ci [--skip STEP]...   everything that must hold before a change is merged; stop at the first \
that fails
";

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let root = match files::root() {
        Ok(root) => root,
        Err(message) => {
            eprintln!("{message}");
            return ExitCode::FAILURE;
        }
    };
    let Some((verb, rest)) = args.split_first() else {
        eprint!("{USAGE}");
        return ExitCode::from(2);
    };
    match (verb.as_str(), rest) {
        ("tidy", []) => exit(checks::tidy(&root).map(|()| 0)),
        ("layers", []) => exit(checks::layers(&root).map(|()| 0)),
        ("verify", args) => exit(ci::program(&root, ci::VERIFY, args)),
        ("bench", args) if args.iter().any(|arg| arg == "--peer") => peer::run(&root, args),
        ("bench", args) if args.iter().any(|arg| arg == "--scale") => exit(scale::run(&root, args)),
        ("bench", args) => exit(ci::program(&root, ci::BENCH, args)),
        ("ci", args) => ci::run(&root, args),
        ("help" | "--help" | "-h", []) => {
            print!("{USAGE}");
            ExitCode::SUCCESS
        }
        ("tidy" | "layers", [argument, ..]) => {
            eprint!("`{verb}` takes no arguments, got {argument:?}\n\n{USAGE}");
            ExitCode::from(2)
        }
        _ => {
            eprint!("there is no verb {verb:?}\n\n{USAGE}");
            ExitCode::from(2)
        }
    }
}

/// An exit code passed on, or a message and failure.
fn exit(code: Result<u8, String>) -> ExitCode {
    match code {
        Ok(code) => ExitCode::from(code),
        Err(message) => {
            eprintln!("{message}");
            ExitCode::FAILURE
        }
    }
}

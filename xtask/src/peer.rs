//! This library and the Python peer in turn, job by job: `bench --peer`.

mod job;
mod record;

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::time::Instant;

use job::{JOBS, Job};
use record::{HEAD, Outcome, Row, Setting, record};

use crate::measurement::{Fields, Measurement, three_digits};
use crate::setting::{self, output};

/// The peer's script, from the project's root.
const SCRIPT: &str = "benches/peer/peer.py";

/// Where the peer's packages are looked for without `--python`, from the project's root; after
/// that, `python3`.
const VENV: &str = "target/peer/bin/python";

/// The record that is written without `--out`, from the project's root.
const RECORD: &str = "benches/record/peer.md";

/// What the command line asks for.
#[derive(Clone, Debug, PartialEq)]
struct Arguments {
    python: Option<String>,
    jobs: Vec<Job>,
    rounds: usize,
    threads: Option<usize>,
    out: Option<String>,
}

impl Arguments {
    fn parse(args: &[String]) -> Result<Self, String> {
        let mut parsed =
            Arguments { python: None, jobs: JOBS.to_vec(), rounds: 2, threads: None, out: None };
        let mut filters: Vec<&str> = Vec::new();
        let mut args = args.iter().peekable();
        while let Some(arg) = args.next() {
            let mut value = || {
                args.next_if(|next| !next.starts_with("--"))
                    .ok_or_else(|| format!("`{arg}` needs a value"))
            };
            match arg.as_str() {
                "--peer" => {}
                "--python" => parsed.python = Some(value()?.clone()),
                "--out" => parsed.out = Some(value()?.clone()),
                "--rounds" => parsed.rounds = setting::positive(arg, value()?)?,
                "--threads" => parsed.threads = Some(setting::positive(arg, value()?)?),
                "--jobs" => {
                    filters.push(value()?);
                    filters.extend(
                        std::iter::from_fn(|| args.next_if(|next| !next.starts_with("--")))
                            .map(String::as_str),
                    );
                }
                _ => {
                    let known = "--python, --jobs, --rounds, --threads, --out";
                    return Err(format!(
                        "`bench --peer` does not know the argument {arg:?}; it takes {known}"
                    ));
                }
            }
        }
        let names = || JOBS.map(|job| job.name()).join(", ");
        if let Some(filter) =
            filters.iter().find(|filter| !JOBS.iter().any(|job| job.name().contains(**filter)))
        {
            return Err(format!(
                "`--jobs` {filter:?} is part of no job's name; jobs are {}",
                names()
            ));
        }
        parsed.jobs.retain(|job| {
            filters.is_empty() || filters.iter().any(|filter| job.name().contains(filter))
        });
        Ok(parsed)
    }
}

/// Measures both sides and writes the record. Fails if one of our own measurements does, not for
/// want of the peer.
pub fn run(root: &Path, args: &[String]) -> ExitCode {
    let arguments = match Arguments::parse(args) {
        Ok(arguments) => arguments,
        Err(message) => {
            eprintln!("{message}");
            return ExitCode::from(2);
        }
    };
    match compare(root, &arguments, args) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(message) => {
            eprintln!("{message}");
            ExitCode::FAILURE
        }
    }
}

/// Whether all of our own measurements came about.
fn compare(root: &Path, arguments: &Arguments, args: &[String]) -> Result<bool, String> {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let threads = arguments.threads.unwrap_or(cores);
    let python = python(root, arguments.python.as_deref());
    let versions = versions(root, &python);
    if let Err(reason) = &versions {
        eprintln!("{reason}\n\n{}\n\nWithout it, this library is measured alone.\n", install());
    }
    setting::build(root)?;
    let start = Instant::now();
    let mut rows = Vec::new();
    for (at, &job) in arguments.jobs.iter().enumerate() {
        let note = |text: &str| {
            let (seconds, jobs) = (start.elapsed().as_secs(), arguments.jobs.len());
            eprintln!(
                "[{}:{:02}] job {} of {jobs}, {}, {text}",
                seconds / 60,
                seconds % 60,
                at + 1,
                job.name()
            );
        };
        let python = versions.is_ok().then_some(python.as_path());
        rows.push(measure(root, job, python, threads, arguments.rounds, &note));
    }
    let unavailable = "none, its packages were not at hand".to_string();
    let setting = Setting {
        date: setting::today(),
        machine: setting::machine(cores),
        commit: setting::commit(root, RECORD),
        rustc: setting::rustc(root),
        peer: versions.unwrap_or(unavailable),
        command: shown(args),
        threads,
        rounds: arguments.rounds,
    };
    let lines: Vec<String> = rows.iter().map(Row::line).collect();
    println!("{HEAD}{}", lines.join("\n"));
    let path = arguments.out.as_ref().map_or_else(|| root.join(RECORD), PathBuf::from);
    std::fs::write(&path, record(&setting, &rows))
        .map_err(|error| format!("{} can't be written: {error}", path.display()))?;
    eprintln!("written to {}", path.display());
    Ok(rows.iter().all(|row| row.ours.is_ok()))
}

/// Both sides in turn; a side that fails is not tried again.
fn measure(
    root: &Path,
    job: Job,
    python: Option<&Path>,
    threads: usize,
    rounds: usize,
    note: &dyn Fn(&str),
) -> Row {
    let (mut ours, mut peers) =
        (Ok(Vec::new()), if python.is_some() { Ok(Vec::new()) } else { Err(String::new()) });
    for round in 1..=rounds {
        let side = |name: &str,
                    results: &mut Result<Vec<Measurement>, String>,
                    run: &dyn Fn(&[&str]) -> Outcome,
                    reps: usize| {
            let Ok(done) = results else { return };
            let [samples, reps, threads] =
                [job.samples, reps, threads].map(|number| number.to_string());
            let measured =
                run(&[job.net, job.task, &samples, "--reps", &reps, "--threads", &threads]);
            note(&format!("round {round} of {rounds}, {name}: {}", described(&measured)));
            match measured {
                Ok(measured) => done.push(measured),
                Err(reason) => *results = Err(reason),
            }
        };
        side("ours", &mut ours, &|args| setting::bench(root, args), job.reps[0]);
        if let Some(python) = python {
            let run = |args: &[&str]| {
                let text = output(Command::new(python).arg(SCRIPT).args(args).current_dir(root))?;
                Measurement::read(&text)
            };
            side("peer", &mut peers, &run, job.reps[1]);
        }
    }
    let ours = outcome(ours);
    let peer = outcome(peers).and_then(|peer| match &ours {
        Ok(ours) if (ours.params, ours.threads) != (peer.params, peer.threads) => Err(format!(
            "not the same: {} parameters and {} threads, ours {} and {}",
            peer.params, peer.threads, ours.params, ours.threads
        )),
        _ => Ok(peer),
    });
    Row { job, ours, peer }
}

fn outcome(rounds: Result<Vec<Measurement>, String>) -> Outcome {
    rounds.and_then(|rounds| Measurement::median(&rounds).ok_or_else(|| "no round".into()))
}

fn described(measured: &Outcome) -> String {
    match measured {
        Ok(measured) => {
            let memory = measured
                .megabytes
                .map_or(String::new(), |peak| format!(", {} MB", three_digits(peak)));
            format!("{} s{memory}", three_digits(measured.seconds))
        }
        Err(reason) => format!("failed: {reason}"),
    }
}

fn python(root: &Path, given: Option<&str>) -> PathBuf {
    match given {
        // A path is one from here, not from the root.
        Some(given) if given.contains(std::path::MAIN_SEPARATOR) => {
            std::path::absolute(given).unwrap_or_else(|_| given.into())
        }
        Some(given) => given.into(),
        None => {
            Some(root.join(VENV)).filter(|venv| venv.exists()).unwrap_or_else(|| "python3".into())
        }
    }
}

/// Of Python and the peer's packages, in words.
fn versions(root: &Path, python: &Path) -> Result<String, String> {
    let text = output(Command::new(python).args([SCRIPT, "--versions"]).current_dir(root));
    let text = text.map_err(|reason| {
        format!("the Python peer can't run with {}: {reason}", python.display())
    })?;
    let fields = Fields::last_line(&text)?;
    let of = |name: &str| fields.text(name).map(String::from);
    Ok(format!(
        "ViViT {}, BackPACK {}, PyTorch {}, Python {}",
        of("vivit")?,
        of("backpack")?,
        of("torch")?,
        of("python")?
    ))
}

fn install() -> String {
    let venv = VENV.trim_end_matches("/bin/python");
    format!(
        "To install the peer, from the project's root:\n\n  python3 -m venv {venv} && \
         {venv}/bin/pip install -r benches/peer/requirements.txt"
    )
}

/// The command after `cargo xtask`, without where Python and the record are on this machine.
fn shown(args: &[String]) -> String {
    let mut words = vec!["bench".to_string()];
    let mut args = args.iter();
    while let Some(arg) = args.next() {
        if arg == "--python" || arg == "--out" {
            args.next();
        } else {
            words.push(if arg.contains(' ') { format!("\"{arg}\"") } else { arg.clone() });
        }
    }
    words.join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn strings(line: &str) -> Vec<String> {
        line.split_whitespace().map(String::from).collect()
    }

    fn parse(line: &str) -> Result<Arguments, String> {
        Arguments::parse(&strings(line))
    }

    #[test]
    fn jobs_are_chosen_by_parts_of_their_names() {
        assert_eq!(parse("--peer").unwrap().jobs, JOBS);
        let names =
            |line: &str| parse(line).unwrap().jobs.iter().map(Job::name).collect::<Vec<_>>();
        assert_eq!(
            names("--peer --jobs allcnnc grad --rounds 3"),
            ["mlp grad 128", "net3c3d grad 128", "allcnnc eigvalsh 2"]
        );
        let quoted = ["--peer", "--jobs", "net3c3d dd"].map(String::from);
        assert_eq!(Arguments::parse(&quoted).unwrap().jobs, [JOBS[11]]);
        let parsed = parse("--peer --python p --rounds 3 --threads 1 --out o").unwrap();
        assert_eq!(
            (parsed.python.as_deref(), parsed.rounds, parsed.threads, parsed.out.as_deref()),
            (Some("p"), 3, Some(1), Some("o"))
        );
    }

    #[test]
    fn wrong_arguments_are_named() {
        for (line, part) in [
            ("--peer --jobs vgg", "\"vgg\""),
            ("--peer --jobs", "`--jobs` needs"),
            ("--peer --rounds 0", "\"0\""),
            ("--peer --python --jobs mlp", "`--python` needs"),
            ("--peer mlp", "\"mlp\""),
        ] {
            let message = parse(line).unwrap_err();
            assert!(message.contains(part), "{message:?} does not say {part:?}");
        }
    }

    #[test]
    fn the_command_shows_no_place_on_the_machine() {
        let mut args = strings("--peer --python a/b --jobs mlp");
        args.extend(["net3c3d dd".into(), "--out".into(), "c".into()]);
        assert_eq!(shown(&args), "bench --peer --jobs mlp \"net3c3d dd\"");
    }

    #[test]
    fn without_the_peer_it_says_what_to_install() {
        let root = crate::files::root().unwrap();
        let reason = versions(&root, Path::new("no-such-python")).unwrap_err();
        assert!(reason.contains("no-such-python"), "{reason}");
        assert!(install().contains(
            "python3 -m venv target/peer && target/peer/bin/pip install -r \
                                benches/peer/requirements.txt"
        ));
        assert!(
            root.join(SCRIPT).is_file() && root.join("benches/peer/requirements.txt").is_file()
        );
    }
}

//! This library and the Python peer in turn, job by job: `bench --peer`.

mod measurement;
mod record;

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Output};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use measurement::{Fields, Measurement};
use record::{HEAD, Outcome, Row, Setting, record, three_digits};

use crate::ci::BENCH;

/// What is compared, and what the comparison is to reach.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Job {
    /// The network's name on the command line.
    pub net: &'static str,
    /// The task's.
    pub task: &'static str,
    /// Number of samples.
    pub samples: usize,
    /// The peer's repetitions in a process: one where it takes long.
    pub peer_reps: usize,
    /// The least ratios peer ÷ ours, of time and of peak memory.
    pub marks: [f64; 2],
}

/// Our repetitions in a process.
const REPS: usize = 5;

#[rustfmt::skip]
const JOBS: [Job; 16] = [
    job("mlp",      "grad",     128, 5, [  1.0,  5.0]),
    job("mlp",      "eigvalsh", 128, 5, [  1.5,  4.0]),
    job("mlp",      "dd",       128, 1, [ 80.0, 10.0]),
    job("mlp",      "newton",   128, 1, [100.0, 10.0]),
    job("net2c2d",  "eigvalsh", 128, 1, [  4.0,  4.0]),
    job("net2c2d",  "eigh",     128, 1, [  4.0,  4.0]),
    job("net2c2d",  "dd",       128, 1, [ 60.0, 15.0]),
    job("net2c2d",  "newton",   128, 1, [ 60.0, 15.0]),
    job("net3c3d",  "grad",     128, 5, [  1.0,  2.0]),
    job("net3c3d",  "eigvalsh", 128, 1, [  7.0,  5.0]),
    job("net3c3d",  "eigh",     128, 1, [  8.0,  6.0]),
    job("net3c3d",  "dd",       128, 1, [ 20.0,  5.0]),
    job("net3c3d",  "newton",   128, 1, [ 25.0,  8.0]),
    job("resnet32", "eigvalsh",  32, 1, [  6.0,  2.0]),
    job("resnet32", "dd",        32, 1, [  6.0,  2.0]),
    job("allcnnc",  "eigvalsh",   2, 1, [ 15.0,  8.0]),
];

const fn job(net: &'static str, task: &'static str, samples: usize, peer_reps: usize, marks: [f64; 2]) -> Job {
    Job { net, task, samples, peer_reps, marks }
}

impl Job {
    /// The job's arguments on either side, and its name.
    pub fn name(&self) -> String {
        format!("{} {} {}", self.net, self.task, self.samples)
    }
}

/// The peer's script, from the project's root.
const SCRIPT: &str = "benches/peer/peer.py";

/// Where the peer's packages are looked for without `--python`, from the project's root; after that, `python3`.
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
        let mut parsed = Arguments { python: None, jobs: JOBS.to_vec(), rounds: 2, threads: None, out: None };
        let mut filters: Vec<&str> = Vec::new();
        let mut args = args.iter().peekable();
        while let Some(arg) = args.next() {
            let mut value = || args.next_if(|next| !next.starts_with("--")).ok_or_else(|| format!("`{arg}` needs a value"));
            match arg.as_str() {
                "--peer" => {}
                "--python" => parsed.python = Some(value()?.clone()),
                "--out" => parsed.out = Some(value()?.clone()),
                "--rounds" => parsed.rounds = positive(arg, value()?)?,
                "--threads" => parsed.threads = Some(positive(arg, value()?)?),
                "--jobs" => {
                    filters.push(value()?);
                    filters.extend(std::iter::from_fn(|| args.next_if(|next| !next.starts_with("--"))).map(String::as_str));
                }
                _ => {
                    let known = "--python, --jobs, --rounds, --threads, --out";
                    return Err(format!("`bench --peer` does not know the argument {arg:?}; it takes {known}"));
                }
            }
        }
        let names = || JOBS.map(|job| job.name()).join(", ");
        if let Some(filter) = filters.iter().find(|filter| !JOBS.iter().any(|job| job.name().contains(**filter))) {
            return Err(format!("`--jobs` {filter:?} is part of no job's name; jobs are {}", names()));
        }
        parsed.jobs.retain(|job| filters.is_empty() || filters.iter().any(|filter| job.name().contains(filter)));
        Ok(parsed)
    }
}

fn positive(argument: &str, value: &str) -> Result<usize, String> {
    let number = value.parse().ok().filter(|&number| number > 0);
    number.ok_or_else(|| format!("{argument} is {value:?}; it must be a whole number, at least 1"))
}

/// Measures both sides and writes the record. Fails if one of our own measurements does, not for want of the peer.
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
    // Built first, so that no job waits for it.
    let build: Vec<&str> =
        BENCH.iter().map(|arg| if *arg == "run" { "build" } else { arg }).filter(|arg| *arg != "--").collect();
    if crate::ci::cargo(root, &build, &[], None)? != 0 {
        return Err("the benchmarks can't be built".into());
    }
    let start = Instant::now();
    let mut rows = Vec::new();
    for (at, &job) in arguments.jobs.iter().enumerate() {
        let note = |text: &str| {
            let (seconds, jobs) = (start.elapsed().as_secs(), arguments.jobs.len());
            eprintln!("[{}:{:02}] job {} of {jobs}, {}, {text}", seconds / 60, seconds % 60, at + 1, job.name());
        };
        let python = versions.is_ok().then_some(python.as_path());
        rows.push(measure(root, job, python, threads, arguments.rounds, &note));
    }
    let unavailable = "none, its packages were not at hand".to_string();
    let setting = Setting {
        date: date(SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs() / 86_400)),
        machine: machine(cores),
        commit: commit(root),
        rustc: said(root, "rustc", &["--version"]).unwrap_or_else(|| "rustc unknown".into()),
        peer: versions.unwrap_or(unavailable),
        command: shown(args),
        threads,
        rounds: arguments.rounds,
    };
    let lines: Vec<String> = rows.iter().map(Row::line).collect();
    println!("{HEAD}{}", lines.join("\n"));
    let path = arguments.out.as_ref().map_or_else(|| root.join(RECORD), PathBuf::from);
    std::fs::write(&path, record(&setting, &rows)).map_err(|error| format!("{} can't be written: {error}", path.display()))?;
    eprintln!("written to {}", path.display());
    Ok(rows.iter().all(|row| row.ours.is_ok()))
}

/// Both sides in turn; a side that fails is not tried again.
fn measure(root: &Path, job: Job, python: Option<&Path>, threads: usize, rounds: usize, note: &dyn Fn(&str)) -> Row {
    let (mut ours, mut peers) = (Ok(Vec::new()), if python.is_some() { Ok(Vec::new()) } else { Err(String::new()) });
    for round in 1..=rounds {
        let side = |name: &str, results: &mut Result<Vec<Measurement>, String>, mut command: Command, reps: usize| {
            let Ok(done) = results else { return };
            command.args([job.net, job.task, &job.samples.to_string()]).current_dir(root);
            command.args(["--reps", &reps.to_string(), "--threads", &threads.to_string()]);
            let measured = output(&mut command).and_then(|text| Measurement::read(&text));
            note(&format!("round {round} of {rounds}, {name}: {}", described(&measured)));
            match measured {
                Ok(measured) => done.push(measured),
                Err(reason) => *results = Err(reason),
            }
        };
        let mut bench = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
        bench.args(BENCH);
        side("ours", &mut ours, bench, REPS);
        if let Some(python) = python {
            let mut script = Command::new(python);
            script.arg(SCRIPT);
            side("peer", &mut peers, script, job.peer_reps);
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
            let memory = measured.megabytes.map_or(String::new(), |peak| format!(", {} MB", three_digits(peak)));
            format!("{} s{memory}", three_digits(measured.seconds))
        }
        Err(reason) => format!("failed: {reason}"),
    }
}

/// A program's standard output; why there is none is the last line that it said.
fn output(command: &mut Command) -> Result<String, String> {
    let program = command.get_program().to_string_lossy().into_owned();
    let output = command.output().map_err(|error| format!("{program} can't be started: {error}"))?;
    if output.status.success() { Ok(String::from_utf8_lossy(&output.stdout).into_owned()) } else { Err(reason(&output)) }
}

fn reason(output: &Output) -> String {
    // No code: a signal ended it, as the system does to whom asks for more memory than there is.
    if output.status.code().is_none() {
        return format!("ended by the system ({}), probably out of memory", output.status);
    }
    let said = String::from_utf8_lossy(&output.stderr);
    let last = said.lines().map(str::trim).rfind(|line| !line.is_empty());
    last.map_or_else(|| output.status.to_string(), String::from)
}

/// A program's first line, if it runs.
fn said(root: &Path, program: &str, args: &[&str]) -> Option<String> {
    let text = output(Command::new(program).args(args).current_dir(root)).ok()?;
    text.lines().next().map(|line| line.trim().to_string())
}

fn python(root: &Path, given: Option<&str>) -> PathBuf {
    match given {
        // A path is one from here, not from the root.
        Some(given) if given.contains(std::path::MAIN_SEPARATOR) => std::path::absolute(given).unwrap_or_else(|_| given.into()),
        Some(given) => given.into(),
        None => Some(root.join(VENV)).filter(|venv| venv.exists()).unwrap_or_else(|| "python3".into()),
    }
}

/// Of Python and the peer's packages, in words.
fn versions(root: &Path, python: &Path) -> Result<String, String> {
    let text = output(Command::new(python).args([SCRIPT, "--versions"]).current_dir(root));
    let text = text.map_err(|reason| format!("the Python peer can't run with {}: {reason}", python.display()))?;
    let fields = Fields::last_line(&text)?;
    let of = |name: &str| fields.text(name).map(String::from);
    Ok(format!("ViViT {}, BackPACK {}, PyTorch {}, Python {}", of("vivit")?, of("backpack")?, of("torch")?, of("python")?))
}

fn install() -> String {
    let venv = VENV.trim_end_matches("/bin/python");
    format!(
        "To install the peer, from the project's root:\n\n  python3 -m venv {venv} && {venv}/bin/pip install -r benches/peer/requirements.txt"
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

/// The commit, and whether what git tracks, the record apart, differs from it.
fn commit(root: &Path) -> String {
    let Some(commit) = said(root, "git", &["rev-parse", "--short", "HEAD"]) else { return "unknown".into() };
    let changes = said(root, "git", &["status", "--porcelain", "--untracked-files=no", "--", ".", &format!(":!{RECORD}")]);
    if changes.is_some() { format!("{commit} with changes") } else { commit }
}

/// Processor, cores and memory, as far as the system tells (Linux).
fn machine(cores: usize) -> String {
    let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
    let model = field(&read("/proc/cpuinfo"), "model name").unwrap_or_else(|| std::env::consts::ARCH.into());
    let kibibytes =
        field(&read("/proc/meminfo"), "MemTotal").and_then(|total| total.trim_end_matches("kB").trim().parse().ok());
    let memory =
        kibibytes.map_or("memory unknown".into(), |kibibytes: f64| format!("{:.0} GiB", kibibytes / f64::from(1 << 20)));
    format!("{model}, {cores} cores, {memory}")
}

/// The value of the first line `name: value`.
fn field(text: &str, name: &str) -> Option<String> {
    let named = |line: &str| line.split_once(':').filter(|(key, _)| key.trim() == name).map(|(_, value)| value.trim().into());
    text.lines().find_map(named)
}

/// The day that is so many days after 1970-01-01.
fn date(mut days: u64) -> String {
    let is_leap = |year: u64| (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
    let mut year = 1970;
    while days >= 365 + u64::from(is_leap(year)) {
        days -= 365 + u64::from(is_leap(year));
        year += 1;
    }
    let mut month = 1;
    for len in [31, 28 + u64::from(is_leap(year)), 31, 30, 31, 30, 31, 31, 30, 31, 30, 31] {
        if days < len {
            break;
        }
        days -= len;
        month += 1;
    }
    format!("{year}-{month:02}-{:02}", days + 1)
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
        let names = |line: &str| parse(line).unwrap().jobs.iter().map(Job::name).collect::<Vec<_>>();
        assert_eq!(names("--peer --jobs allcnnc grad --rounds 3"), ["mlp grad 128", "net3c3d grad 128", "allcnnc eigvalsh 2"]);
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
        assert!(
            install().contains("python3 -m venv target/peer && target/peer/bin/pip install -r benches/peer/requirements.txt")
        );
        assert!(root.join(SCRIPT).is_file() && root.join("benches/peer/requirements.txt").is_file());
    }

    #[test]
    fn the_machine_is_read() {
        assert_eq!(field("processor\t: 0\nmodel name\t: A CPU @ 2 GHz\n", "model name").unwrap(), "A CPU @ 2 GHz");
        assert_eq!(field("MemTotal:       24 kB\n", "MemTotal").unwrap(), "24 kB");
        assert_eq!(field("", "MemTotal"), None);
    }

    #[test]
    fn days_have_dates() {
        let dates = [0, 58, 59, 364, 365, 789, 11_016, 20_454].map(date);
        let expected = ["01-01", "02-28", "03-01", "12-31"].map(|day| format!("1970-{day}"));
        assert_eq!(dates[..4], expected);
        assert_eq!(dates[4..], ["1971-01-01", "1972-02-29", "2000-02-29", "2026-01-01"]);
    }
}

//! Where and how something was measured: the machine, the commit, the programs.

use std::path::Path;
use std::process::{Command, Output};
use std::time::{SystemTime, UNIX_EPOCH};

use crate::ci::{BENCH, cargo};
use crate::measurement::Measurement;

/// A program's standard output; why there is none is the last line that it said.
pub fn output(command: &mut Command) -> Result<String, String> {
    let program = command.get_program().to_string_lossy().into_owned();
    let output =
        command.output().map_err(|error| format!("{program} can't be started: {error}"))?;
    if output.status.success() {
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    } else {
        Err(reason(&output))
    }
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

/// A whole number of the command line, at least 1.
///
/// # Errors
/// If it is none.
pub fn positive(argument: &str, value: &str) -> Result<usize, String> {
    let number = value.parse().ok().filter(|&number| number > 0);
    number.ok_or_else(|| format!("{argument} is {value:?}; it must be a whole number, at least 1"))
}

/// The compiler, in words.
pub fn rustc(root: &Path) -> String {
    said(root, "rustc", &["--version"]).unwrap_or_else(|| "rustc unknown".into())
}

/// One measurement by this library, in a process of its own.
pub fn bench(root: &Path, args: &[&str]) -> Result<Measurement, String> {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.args(BENCH).args(args).current_dir(root);
    output(&mut command).and_then(|text| Measurement::read(&text))
}

/// Builds what [`bench()`] runs, so that no measurement waits for it.
///
/// # Errors
/// If it can't be built.
pub fn build(root: &Path) -> Result<(), String> {
    let build: Vec<&str> = BENCH
        .iter()
        .map(|arg| if *arg == "run" { "build" } else { arg })
        .filter(|arg| *arg != "--")
        .collect();
    match cargo(root, &build, &[], None)? {
        0 => Ok(()),
        _ => Err("the benchmarks can't be built".into()),
    }
}

/// A program's first line, if it runs.
pub fn said(root: &Path, program: &str, args: &[&str]) -> Option<String> {
    let text = output(Command::new(program).args(args).current_dir(root)).ok()?;
    text.lines().next().map(|line| line.trim().to_string())
}

/// The commit, and whether what git tracks, a record apart, differs from it.
pub fn commit(root: &Path, record: &str) -> String {
    let Some(commit) = said(root, "git", &["rev-parse", "--short", "HEAD"]) else {
        return "unknown".into();
    };
    let changes = said(
        root,
        "git",
        &["status", "--porcelain", "--untracked-files=no", "--", ".", &format!(":!{record}")],
    );
    if changes.is_some() { format!("{commit} with changes") } else { commit }
}

/// Processor, cores and memory, as far as the system tells (Linux).
pub fn machine(cores: usize) -> String {
    let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
    let model = field(&read("/proc/cpuinfo"), "model name")
        .unwrap_or_else(|| std::env::consts::ARCH.into());
    let kibibytes = field(&read("/proc/meminfo"), "MemTotal")
        .and_then(|total| total.trim_end_matches("kB").trim().parse().ok());
    let memory = kibibytes.map_or("memory unknown".into(), |kibibytes: f64| {
        format!("{:.0} GiB", kibibytes / f64::from(1 << 20))
    });
    format!("{model}, {cores} cores, {memory}")
}

/// The value of the first line `name: value`.
fn field(text: &str, name: &str) -> Option<String> {
    let named = |line: &str| {
        line.split_once(':')
            .filter(|(key, _)| key.trim() == name)
            .map(|(_, value)| value.trim().into())
    };
    text.lines().find_map(named)
}

/// Today, `YYYY-MM-DD`.
pub fn today() -> String {
    date(SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs() / 86_400))
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

    #[test]
    fn the_machine_is_read() {
        assert_eq!(
            field("processor\t: 0\nmodel name\t: A CPU @ 2 GHz\n", "model name").unwrap(),
            "A CPU @ 2 GHz"
        );
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

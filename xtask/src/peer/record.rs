//! The record of a comparison, in Markdown.

use std::fmt::Write;

use super::job::Job;
use crate::measurement::{Measurement, three_digits};

/// A side's result: medians, or why there are none.
pub type Outcome = Result<Measurement, String>;

/// A job and what came of it.
#[derive(Debug)]
pub struct Row {
    /// The job.
    pub job: Job,
    /// Our result.
    pub ours: Outcome,
    /// The peer's.
    pub peer: Outcome,
}

/// Where and how it was measured.
#[derive(Debug)]
pub struct Setting {
    /// The date, `YYYY-MM-DD`.
    pub date: String,
    /// Processor, cores, memory.
    pub machine: String,
    /// The commit.
    pub commit: String,
    /// Of the compiler.
    pub rustc: String,
    /// Of Python and its packages, or why the peer did not run.
    pub peer: String,
    /// The command after `cargo xtask`.
    pub command: String,
    /// Threads of either side.
    pub threads: usize,
    /// Processes per job and side.
    pub rounds: usize,
}

pub const HEAD: &str = "\
| job | ours, s | peer, s | ratio | mark | ours, MB | peer, MB | ratio | mark |
|---|--:|--:|--:|--:|--:|--:|--:|--:|
";

impl Row {
    /// The ratios peer ÷ ours of time and memory, where both sides have them.
    fn ratios(&self) -> [Option<f64>; 2] {
        let (Ok(ours), Ok(peer)) = (&self.ours, &self.peer) else { return [None; 2] };
        let memory = ours.megabytes.zip(peer.megabytes).map(|(ours, peer)| peer / ours);
        [Some(peer.seconds / ours.seconds), memory]
    }

    /// The row of the table; a mark that is missed is in bold.
    pub fn line(&self) -> String {
        let [time, memory] = self.ratios();
        let seconds = |side: &Outcome| match side {
            Ok(side) => three_digits(side.seconds),
            Err(reason) => plain(reason),
        };
        let megabytes = |side: &Outcome| {
            side.as_ref().ok().and_then(|side| side.megabytes).map_or(String::new(), three_digits)
        };
        let mark = |ratio: Option<f64>, mark: f64| {
            if ratio.is_some_and(|ratio| ratio < mark) {
                format!("**{mark}**")
            } else {
                mark.to_string()
            }
        };
        let ratio = |ratio: Option<f64>| ratio.map_or(String::new(), three_digits);
        let cells = [
            self.job.name(),
            seconds(&self.ours),
            seconds(&self.peer),
            ratio(time),
            mark(time, self.job.marks[0]),
            megabytes(&self.ours),
            megabytes(&self.peer),
            ratio(memory),
            mark(memory, self.job.marks[1]),
        ];
        format!("| {} |", cells.join(" | "))
    }
}

/// Rounds that differ by more than this factor were disturbed.
const SPREAD: f64 = 1.5;

/// The sides whose rounds differ too much to be trusted.
fn disturbed(rows: &[Row]) -> Vec<String> {
    let sides = rows.iter().flat_map(|row| [(row, "ours", &row.ours), (row, "peer", &row.peer)]);
    let measured =
        sides.filter_map(|(row, side, outcome)| Some((row, side, outcome.as_ref().ok()?.spread)));
    let far = measured.filter(|(_, _, spread)| *spread > SPREAD);
    far.map(|(row, side, spread)| {
        format!("{} ({side}, by {})", row.job.name(), three_digits(spread))
    })
    .collect()
}

/// The whole record.
pub fn record(setting: &Setting, rows: &[Row]) -> String {
    let Setting { date, machine, commit, rustc, peer, command, threads, rounds } = setting;
    let mut text = String::from("# Next to the Python peer\n\n");
    let about = "This library and what [`benches/peer`](../peer) runs, job by job in turn, each \
                 time in a process of its own: f32, cross-entropy, \
                 ten directions,\nall parameters as one group, all samples, from the forward pass \
                 on.";
    let _ = writeln!(text, "{about}\n");
    let _ = writeln!(text, "- Machine: {machine}; {threads} threads for either side.");
    let _ = writeln!(text, "- Commit {commit}, {rustc}, release profile; {date}.");
    let _ = writeln!(text, "- Peer: {peer}.");
    let _ = writeln!(
        text,
        "- Command: `cargo xtask {command}`; medians of {rounds} rounds, of the repetitions' \
         medians.\n"
    );
    let _ = writeln!(
        text,
        "Ratio: peer ÷ ours, so more is better. Mark: the least ratio to reach, in bold where it \
         is missed. MB: 10⁶ bytes, the process's peak of resident\n\
         memory.\n"
    );
    text.push_str(HEAD);
    for row in rows {
        let _ = writeln!(text, "{}", row.line());
    }
    let compared: Vec<(f64, f64)> = rows
        .iter()
        .flat_map(|row| row.ratios().into_iter().zip(row.job.marks))
        .filter_map(|(r, m)| Some((r?, m)))
        .collect();
    if !compared.is_empty() {
        let met = compared.iter().filter(|(ratio, mark)| ratio >= mark).count();
        let _ =
            writeln!(text, "\nMarks met: {met} of the {} that could be compared.", compared.len());
    }
    let disturbed = disturbed(rows);
    if !disturbed.is_empty() {
        let _ = writeln!(
            text,
            "\n**Not to be trusted**: rounds differ by more than a factor of {SPREAD} for {}. \
             Measure again with nothing else running.",
            disturbed.join(", ")
        );
    }
    text
}

/// A text in one cell of a table.
fn plain(text: &str) -> String {
    const LEN: usize = 100;
    let text: Vec<&str> = text.split_whitespace().collect();
    let text = text.join(" ").replace('|', "/");
    if text.chars().count() <= LEN {
        text
    } else {
        text.chars().take(LEN).chain("…".chars()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const JOB: Job =
        Job { net: "mlp", task: "dd", samples: 128, reps: [5, 1], marks: [80.0, 10.0] };

    fn outcome(seconds: f64, megabytes: Option<f64>) -> Outcome {
        Ok(Measurement { params: 1.0, threads: 2.0, seconds, megabytes, eigen: None, spread: 1.0 })
    }

    #[test]
    fn a_row_compares_and_marks() {
        let row = |ours, peer| Row { job: JOB, ours, peer }.line();
        assert_eq!(
            row(outcome(0.1, Some(250.0)), outcome(14.0, Some(2800.0))),
            "| mlp dd 128 | 0.100 | 14.0 | 140 | 80 | 250 | 2800 | 11.2 | 10 |"
        );
        assert_eq!(
            row(outcome(0.2, Some(300.0)), outcome(14.0, None)),
            "| mlp dd 128 | 0.200 | 14.0 | 70.0 | **80** | 300 |  |  | 10 |"
        );
        assert_eq!(
            row(outcome(0.2, Some(300.0)), Err("out of\nmemory | killed".into())),
            "| mlp dd 128 | 0.200 | out of memory / killed |  | 80 | 300 |  |  | 10 |"
        );
        assert_eq!(
            row(Err("no".into()), Err(String::new())),
            "| mlp dd 128 | no |  |  | 80 |  |  |  | 10 |"
        );
    }

    #[test]
    fn a_record_says_where_and_how() {
        let setting = Setting {
            date: "2026-01-02".into(),
            machine: "a CPU, 2 cores, 24 GB".into(),
            commit: "abc".into(),
            rustc: "rustc 1".into(),
            peer: "torch 2".into(),
            command: "bench --peer".into(),
            threads: 2,
            rounds: 3,
        };
        let text = record(
            &setting,
            &[Row { job: JOB, ours: outcome(0.1, Some(9.0)), peer: outcome(1.0, Some(900.0)) }],
        );
        for part in [
            "a CPU, 2 cores, 24 GB; 2 threads",
            "Commit abc, rustc 1",
            "2026-01-02",
            "torch 2",
            "`cargo xtask bench --peer`",
        ] {
            assert!(text.contains(part), "{part:?} is missing in {text}");
        }
        let columns = |line: &str| line.matches('|').count();
        let table: Vec<&str> = text.lines().filter(|line| line.starts_with('|')).collect();
        assert!(table.len() == 3 && table.iter().all(|line| columns(line) == 10), "{text}");
        assert!(text.ends_with("Marks met: 1 of the 2 that could be compared.\n"), "{text}");
        assert!(
            !record(
                &setting,
                &[Row { job: JOB, ours: outcome(0.1, None), peer: Err(String::new()) }]
            )
            .contains("Marks met")
        );
    }

    #[test]
    fn long_reasons_are_cut() {
        assert_eq!(plain(&"é".repeat(101)).chars().count(), 101);
        assert!(plain(&"é".repeat(101)).ends_with("é…"));
    }
}

//! Times, memory, and the line that reports them.

use std::fmt;
use std::time::Instant;

use crate::Arguments;

/// Seconds of `reps` runs of `work` with what it returned, after one that is not counted.
///
/// # Errors
/// The first of `work`.
pub fn measure<T, Failure>(
    reps: usize,
    mut work: impl FnMut() -> Result<T, Failure>,
) -> Result<Vec<(f64, T)>, Failure> {
    work()?;
    let timed = |_| {
        let start = Instant::now();
        let result = work()?;
        Ok((start.elapsed().as_secs_f64(), result))
    };
    (0..reps).map(timed).collect()
}

/// The largest resident memory that this process has had so far, in 10⁶ bytes, where the system
/// tells (Linux).
pub fn peak_megabytes() -> Option<f64> {
    peak_of(&std::fs::read_to_string("/proc/self/status").ok()?)
}

/// The peak in the text of `/proc/self/status`, whose kB are 1024 bytes.
fn peak_of(status: &str) -> Option<f64> {
    let value = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    let kibibytes: f64 = value.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kibibytes * 1024.0 / 1e6)
}

/// The result of one measurement; shows itself as one line of JSON.
#[derive(Clone, Debug)]
pub struct Report {
    /// What was measured.
    pub arguments: Arguments,
    /// Number of the model's parameters.
    pub params: usize,
    /// Threads that ran.
    pub threads: usize,
    /// The device, in words.
    pub device: String,
    /// Seconds of every repetition.
    pub seconds: Vec<f64>,
    /// Of that, seconds of the Gram matrix's eigenvalues, where there are such.
    pub eigen_seconds: Vec<f64>,
    /// Peak memory of the process, in 10⁶ bytes.
    pub peak_megabytes: Option<f64>,
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let or_null = |value: Option<String>| value.unwrap_or_else(|| "null".into());
        let count = |value: Option<usize>| or_null(value.map(|value| value.to_string()));
        let Arguments { net, task, samples, classes, k, draws, sub, dtype, .. } =
            self.arguments.clone();
        write!(
            f,
            r#"{{"net":"{}","task":"{}","N":{samples},"C":{},"k":{k},"#,
            net.name(),
            task.name(),
            count(classes)
        )?;
        write!(f, r#""mc":{},"sub":{},"params":{},"#, count(draws), count(sub), self.params)?;
        write!(
            f,
            r#""dtype":"{}","device":"{}","threads":{},"#,
            dtype.name(),
            plain(&self.device),
            self.threads
        )?;
        let least = self.seconds.iter().copied().fold(f64::INFINITY, f64::min);
        write!(f, r#""median_s":{:.9},"min_s":{least:.9},"#, median(&self.seconds))?;
        let eigen = Some(&self.eigen_seconds)
            .filter(|seconds| !seconds.is_empty())
            .map(|seconds| median(seconds));
        write!(f, r#""eigen_s":{},"#, or_null(eigen.map(|eigen| format!("{eigen:.9}"))))?;
        write!(
            f,
            r#""peak_mb":{}}}"#,
            or_null(self.peak_megabytes.map(|peak| format!("{peak:.1}")))
        )
    }
}

/// A text without the characters that JSON would want escaped.
fn plain(text: &str) -> String {
    text.chars().filter(|c| !c.is_control() && !matches!(c, '"' | '\\')).collect()
}

fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let middle = sorted.len() / 2;
    if sorted.len() % 2 == 1 { sorted[middle] } else { (sorted[middle - 1] + sorted[middle]) / 2.0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_run_is_not_counted() {
        let mut runs = 0;
        let seconds = measure(3, || {
            runs += 1;
            Ok::<_, ()>(runs)
        });
        let runs_of: Vec<i32> = seconds.unwrap().into_iter().map(|(_, run)| run).collect();
        assert_eq!((runs_of, runs), (vec![2, 3, 4], 4));
        assert_eq!(measure(3, || Err::<(), _>("no")), Err("no"));
    }

    #[test]
    fn the_median_is_in_the_middle() {
        assert_eq!(median(&[3.0, 1.0, 2.0]), 2.0);
        assert_eq!(median(&[4.0, 1.0, 2.0, 3.0]), 2.5);
    }

    #[test]
    fn the_peak_is_read_from_the_status() {
        assert_eq!(peak_of("VmPeak:\t 9 kB\nVmHWM:\t    2000 kB\nVmRSS:\t 7 kB\n"), Some(2.048));
        assert_eq!(peak_of("VmPeak:\t 9 kB\n"), None);
    }

    #[test]
    fn a_report_is_one_line_of_json() {
        let arguments = Arguments::parse("mlp dd 32 --mc 1".split(' ').map(String::from)).unwrap();
        let report = Report {
            arguments,
            params: 535_818,
            threads: 2,
            device: "a \"b\"".into(),
            seconds: vec![0.5, 0.25, 1.0],
            eigen_seconds: vec![0.125],
            peak_megabytes: Some(61.25),
        };
        let expected = concat!(
            r#"{"net":"mlp","task":"dd","N":32,"C":null,"k":10,"mc":1,"sub":null,"#,
            r#""params":535818,"dtype":"f32","device":"a b","threads":2,"#,
            r#""median_s":0.500000000,"min_s":0.250000000,"eigen_s":0.125000000,"peak_mb":61.2}"#
        );
        assert_eq!(report.to_string(), expected);
        let without = Report { peak_megabytes: None, eigen_seconds: Vec::new(), ..report };
        assert!(without.to_string().ends_with(r#""eigen_s":null,"peak_mb":null}"#));
    }
}

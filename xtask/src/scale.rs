//! How time and memory grow with the number of samples and of classes: `bench --scale`.

use std::fmt::Write;
use std::path::{Path, PathBuf};

use crate::measurement::{Measurement, three_digits};
use crate::setting;

/// The record that is written without `--out`, from the project's root.
const RECORD: &str = "benches/record/scale.md";

/// Measurements of one job that differ in a number.
struct Series {
    /// What is varied.
    name: &'static str,
    title: &'static str,
    about: &'static str,
    net: &'static str,
    /// Samples and classes of each measurement.
    sizes: &'static [[usize; 2]],
    /// Which of the two is varied.
    varied: usize,
    /// Whether there are enough to be compared with the model.
    model: bool,
}

#[rustfmt::skip]
const SERIES: [Series; 3] = [
    Series {
        name: "N", title: "Against the number of samples N", about: "net3c3d, C = 10",
        net: "net3c3d", sizes: &[[128, 10], [256, 10], [512, 10], [1024, 10]],
        varied: 0, model: true,
    },
    Series {
        name: "C − 1", title: "Against the number of classes C", about: "net3c3d, N = 128",
        net: "net3c3d", sizes: &[[128, 10], [128, 19], [128, 37], [128, 73]],
        varied: 1, model: true,
    },
    Series {
        name: "N", title: "Many classes", about: "All-CNN-C, C = 100",
        net: "allcnnc", sizes: &[[8, 100], [64, 100]],
        varied: 0, model: false,
    },
];

impl Series {
    /// Rows of a measurement's Gram matrix: one column per sample and class but one.
    fn order(&self, at: usize) -> usize {
        self.sizes[at][0] * (self.sizes[at][1] - 1)
    }

    /// The varied number.
    fn number(&self, at: usize) -> usize {
        self.sizes[at][self.varied] - self.varied
    }

    fn measure(&self, root: &Path, at: usize, threads: usize) -> Result<Measurement, String> {
        let [samples, classes, threads] =
            [self.sizes[at][0], self.sizes[at][1], threads].map(|number| number.to_string());
        let mut args = vec![self.net, "dd", &samples, "--reps", "1", "--threads", &threads];
        if self.varied == 1 {
            args.extend(["--classes", &classes]);
        }
        eprintln!("{} …", args.join(" "));
        setting::bench(root, &args)
    }

    /// The section of the record.
    fn section(&self, results: &[Measurement]) -> String {
        let eigen = |result: &Measurement| result.eigen.unwrap_or(0.0);
        let rest = |result: &Measurement| result.seconds - eigen(result);
        let mut text = format!("## {}\n\n{}.\n\n", self.title, self.about);
        let Series { name, .. } = self;
        let base = if name.contains(' ') { format!("({name})") } else { (*name).to_owned() };
        let models = if self.model { format!(" ÷ first | {base}² |") } else { String::new() };
        let cubes = if self.model { format!(" ÷ first | {base}³ |") } else { String::new() };
        let columns = if self.model { "--:|--:|" } else { "" };
        let _ = writeln!(
            text,
            "| {name} | Gram matrix | seconds | sweeps and Gram matrix |{models} eigenvalues \
             |{cubes} peak MB |"
        );
        let _ = writeln!(text, "|--:|--:|--:|--:|{columns}--:|{columns}--:|");
        for (at, result) in results.iter().enumerate() {
            let ratio = (self.number(at) as f64) / (self.number(0) as f64);
            let against = |part: f64, first: f64, power: i32| match self.model {
                true => format!(
                    " {} | {} |",
                    three_digits(part / first),
                    three_digits(ratio.powi(power))
                ),
                false => String::new(),
            };
            let squares = against(rest(result), rest(&results[0]), 2);
            let cubes = against(eigen(result), eigen(&results[0]), 3);
            let _ = writeln!(
                text,
                "| {} | {}² | {} | {} |{squares} {} |{cubes} {} |",
                self.number(at),
                self.order(at),
                three_digits(result.seconds),
                three_digits(rest(result)),
                three_digits(eigen(result)),
                result.megabytes.map_or(String::new(), |peak| format!("{peak:.0}")),
            );
        }
        if self.model {
            let line = |value: &dyn Fn(usize) -> f64| {
                let values: Vec<String> =
                    (0..results.len()).map(|at| format!("{:.2}", value(at).log10())).collect();
                format!("  line [{}]\n", values.join(", "))
            };
            let model = |first: f64, power: i32| {
                move |at: usize| {
                    first * (self.number(at) as f64 / self.number(0) as f64).powi(power)
                }
            };
            let numbers: Vec<String> =
                (0..results.len()).map(|at| self.number(at).to_string()).collect();
            let _ = write!(
                text,
                "\nPlotted, from above: sweeps and Gram matrix, and {base}² through their first \
                 point; eigenvalues, and {base}³ through theirs.\n\n\
                 ```mermaid\nxychart-beta\n  x-axis \"{name}\" [{}]\n  y-axis \"log10 of \
                 seconds\"\n{}{}{}{}```\n",
                numbers.join(", "),
                line(&|at| rest(&results[at])),
                line(&model(rest(&results[0]), 2)),
                line(&|at| eigen(&results[at])),
                line(&model(eigen(&results[0]), 3)),
            );
        }
        text
    }
}

/// Measures all series and writes the record.
///
/// # Errors
/// If an argument is wrong, a measurement fails or the record can't be written.
pub fn run(root: &Path, args: &[String]) -> Result<u8, String> {
    let (mut threads, mut out) =
        (std::thread::available_parallelism().map_or(1, usize::from), root.join(RECORD));
    let mut args = args.iter();
    while let Some(arg) = args.next() {
        let mut value = || args.next().ok_or_else(|| format!("`{arg}` needs a value"));
        match arg.as_str() {
            "--scale" => {}
            "--threads" => threads = setting::positive(arg, value()?)?,
            "--out" => out = PathBuf::from(value()?),
            _ => {
                return Err(format!(
                    "`bench --scale` does not know the argument {arg:?}; it takes --threads, --out"
                ));
            }
        }
    }
    setting::build(root)?;
    let mut text = format!(
        "# Time and memory against the number of samples and classes\n\nDirectional derivatives, \
         ten directions, all parameters as one group, f32, \
         from the forward pass on: one timed run after one that is\nnot, a process each. A sample \
         has C − 1 columns.\n\n\
         - Machine: {}; {threads} threads.\n- Commit {}, {}, release profile; {}.\n- Command: \
         `cargo xtask bench --scale`.\n\n\
         The sweeps grow with a sample's columns and the samples, the Gram matrix with their \
         squares, its eigenvalues with the cubes. Nothing was cut into\n\
         slices: the default budget allows it.\n",
        setting::machine(std::thread::available_parallelism().map_or(1, usize::from)),
        setting::commit(root, RECORD),
        setting::rustc(root),
        setting::today(),
    );
    for series in &SERIES {
        let results: Result<Vec<Measurement>, String> =
            (0..series.sizes.len()).map(|at| series.measure(root, at, threads)).collect();
        let _ = write!(text, "\n{}", series.section(&results?));
    }
    std::fs::write(&out, text)
        .map_err(|error| format!("{} can't be written: {error}", out.display()))?;
    eprintln!("written to {}", out.display());
    Ok(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn result(seconds: f64, eigen: f64) -> Measurement {
        Measurement {
            params: 1.0,
            threads: 2.0,
            seconds,
            eigen: Some(eigen),
            megabytes: Some(500.0),
            spread: 1.0,
        }
    }

    #[test]
    fn a_section_compares_with_the_model() {
        let text = SERIES[0].section(&[result(1.5, 0.5), result(9.0, 4.0)]);
        assert!(
            text.contains(
                "| 128 | 1152² | 1.50 | 1.00 | 1.00 | 1.00 | 0.500 | 1.00 | 1.00 | 500 |"
            ),
            "{text}"
        );
        assert!(
            text.contains("| 256 | 2304² | 9.00 | 5.00 | 5.00 | 4.00 | 4.00 | 8.00 | 8.00 | 500 |"),
            "{text}"
        );
        assert!(
            text.contains(
                "  line [0.00, 0.70]\n  line [0.00, 0.60]\n  line [-0.30, 0.60]\n  line \
                           [-0.30, 0.60]\n"
            ),
            "{text}"
        );
        let table: Vec<&str> = text.lines().filter(|line| line.starts_with('|')).collect();
        assert!(table.iter().all(|line| line.matches('|').count() == 11), "{text}");
    }

    #[test]
    fn a_section_without_model_is_a_table() {
        let text = SERIES[2].section(&[result(1.5, 0.5)]);
        assert!(
            text.contains("| 8 | 792² | 1.50 | 1.00 | 0.500 | 500 |") && !text.contains("mermaid"),
            "{text}"
        );
    }

    #[test]
    fn wrong_arguments_are_named() {
        let message = |args: &[&str]| {
            run(Path::new("."), &args.iter().map(|arg| arg.to_string()).collect::<Vec<_>>())
                .unwrap_err()
        };
        assert!(message(&["--scale", "--reps"]).contains("\"--reps\""));
        assert!(message(&["--scale", "--threads", "none"]).contains("\"none\""));
        assert!(message(&["--scale", "--out"]).contains("`--out` needs a value"));
    }
}

//! What a measurement prints: one line of JSON, a flat object.

/// A value in the line.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// `null`.
    Null,
    /// A number.
    Number(f64),
    /// A text.
    Text(String),
}

/// The fields of a flat JSON object, in order: texts without escapes, numbers and `null`.
#[derive(Clone, Debug, PartialEq)]
pub struct Fields(Vec<(String, Value)>);

impl Fields {
    /// Reads the last line of `output` that is not empty.
    ///
    /// # Errors
    /// If it is no such object.
    pub fn last_line(output: &str) -> Result<Self, String> {
        let line = output.lines().map(str::trim).rfind(|line| !line.is_empty()).unwrap_or_default();
        Self::parse(line).ok_or_else(|| {
            format!("expected one line of JSON, a flat object, but there is {line:?}")
        })
    }

    fn parse(line: &str) -> Option<Self> {
        let mut rest = line.trim().strip_prefix('{')?.strip_suffix('}')?.trim();
        let mut fields = Vec::new();
        while !rest.is_empty() {
            let (name, after) = text(rest)?;
            let (value, after) = value(after.trim_start().strip_prefix(':')?.trim_start())?;
            fields.push((name, value));
            let after = after.trim_start();
            rest = match after.strip_prefix(',') {
                Some(next) if !next.trim().is_empty() => next.trim_start(),
                None if after.is_empty() => after,
                _ => return None,
            };
        }
        Some(Fields(fields))
    }

    fn get(&self, name: &str) -> Result<&Value, String> {
        let found = self.0.iter().find(|(other, _)| other == name);
        found.map(|(_, value)| value).ok_or_else(|| format!("the line of JSON lacks {name:?}"))
    }

    /// A text.
    ///
    /// # Errors
    /// If it is missing, or another kind.
    pub fn text(&self, name: &str) -> Result<&str, String> {
        match self.get(name)? {
            Value::Text(text) => Ok(text),
            other => Err(format!("{name:?} must be a text in the line of JSON; it is {other:?}")),
        }
    }

    fn number(&self, name: &str) -> Result<f64, String> {
        self.number_or_null(name)?
            .ok_or_else(|| format!("{name:?} must be a number in the line of JSON; it is null"))
    }

    fn number_or_null(&self, name: &str) -> Result<Option<f64>, String> {
        match self.get(name)? {
            Value::Number(number) => Ok(Some(*number)),
            Value::Null => Ok(None),
            other => Err(format!("{name:?} must be a number in the line of JSON; it is {other:?}")),
        }
    }
}

/// A text in quotation marks, and what follows.
fn text(rest: &str) -> Option<(String, &str)> {
    let (text, after) = rest.strip_prefix('"')?.split_once('"')?;
    (!text.contains('\\')).then(|| (text.into(), after))
}

fn value(rest: &str) -> Option<(Value, &str)> {
    if rest.starts_with('"') {
        return text(rest).map(|(text, after)| (Value::Text(text), after));
    }
    let (word, after) = rest.split_at(rest.find([',', '}']).unwrap_or(rest.len()));
    let word = word.trim();
    if word == "null" {
        return Some((Value::Null, after));
    }
    let number = word.parse().ok().filter(|number: &f64| number.is_finite())?;
    Some((Value::Number(number), after))
}

/// One process's measurement.
#[derive(Clone, Debug, PartialEq)]
pub struct Measurement {
    /// Number of the model's parameters.
    pub params: f64,
    /// Threads that ran.
    pub threads: f64,
    /// Median time of the repetitions, in seconds.
    pub seconds: f64,
    /// Of that, seconds of the Gram matrix's eigenvalues, where the program tells.
    pub eigen: Option<f64>,
    /// Peak memory of the process in 10⁶ bytes, where the system tells.
    pub megabytes: Option<f64>,
    /// The slowest round's time ÷ the fastest's.
    pub spread: f64,
}

impl Measurement {
    /// Reads a program's output.
    ///
    /// # Errors
    /// If its last line isn't the JSON of a measurement.
    pub fn read(output: &str) -> Result<Self, String> {
        let fields = Fields::last_line(output)?;
        Ok(Measurement {
            params: fields.number("params")?,
            threads: fields.number("threads")?,
            seconds: fields.number("median_s")?,
            eigen: fields.number_or_null("eigen_s").unwrap_or_default(),
            megabytes: fields.number_or_null("peak_mb")?,
            spread: 1.0,
        })
    }

    /// The medians of several rounds' times and peaks; `None` without rounds.
    pub fn median(rounds: &[Self]) -> Option<Self> {
        let seconds = median(rounds.iter().map(|round| round.seconds).collect())?;
        let megabytes = median(rounds.iter().filter_map(|round| round.megabytes).collect());
        let extreme =
            |choose: fn(f64, f64) -> f64| rounds.iter().map(|round| round.seconds).reduce(choose);
        let spread = extreme(f64::max)? / extreme(f64::min)?;
        Some(Measurement { seconds, megabytes, spread, ..rounds[0].clone() })
    }
}

/// A number with three digits that count.
pub fn three_digits(number: f64) -> String {
    let magnitude = number.abs().log10().floor().clamp(-4.0, 2.0);
    let decimals = (2.0 - magnitude) as usize;
    format!("{number:.decimals$}")
}

/// The value in the middle, or half-way between the two; `None` without values.
fn median(mut values: Vec<f64>) -> Option<f64> {
    values.sort_by(f64::total_cmp);
    let (below, above) = (values.len().checked_sub(1)? / 2, values.len() / 2);
    Some((values[below] + values[above]) / 2.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    const LINE: &str = concat!(
        r#"{"net":"mlp","task":"dd","N":32,"k":10,"mc":null,"sub":null,"params":535818,"#,
        r#""dtype":"f32","device":"CPU (f32, 2 threads)","#,
        r#""threads":2,"median_s":2.5e-1,"min_s":0.25,"peak_mb":61.2}"#
    );

    #[test]
    fn the_last_line_is_read() {
        let expected = Measurement {
            params: 535_818.0,
            threads: 2.0,
            seconds: 0.25,
            eigen: None,
            megabytes: Some(61.2),
            spread: 1.0,
        };
        assert_eq!(Measurement::read(&format!("a note\n{LINE}\n\n")).unwrap(), expected);
        let with_eigen = LINE.replace("\"peak_mb\"", "\"eigen_s\":0.125,\"peak_mb\"");
        assert_eq!(Measurement::read(&with_eigen).unwrap().eigen, Some(0.125));
        let without_peak = LINE.replace("61.2", "null");
        assert_eq!(Measurement::read(&without_peak).unwrap().megabytes, None);
        assert_eq!(
            Fields::last_line(LINE).unwrap().text("device").unwrap(),
            "CPU (f32, 2 threads)"
        );
        assert_eq!(
            Fields::last_line(r#" { "a" : 1 , "b" : "c" } "#).unwrap().text("b").unwrap(),
            "c"
        );
    }

    #[test]
    fn other_lines_are_refused() {
        for line in [
            "",
            "Traceback",
            "{",
            r#"{"a"}"#,
            r#"{"a":}"#,
            r#"{"a":1,}"#,
            r#"{"a":1 2}"#,
            r#"{"a":NaN}"#,
            r#"{"a":[1]}"#,
        ] {
            assert!(Fields::last_line(line).is_err(), "{line}");
        }
        assert!(Measurement::read("{}").unwrap_err().contains("\"params\""));
        assert!(
            Measurement::read(&LINE.replace("2.5e-1", "null"))
                .unwrap_err()
                .contains("\"median_s\"")
        );
        assert!(
            Measurement::read(&LINE.replace("535818", "\"many\""))
                .unwrap_err()
                .contains("\"params\"")
        );
    }

    #[test]
    fn numbers_keep_three_digits() {
        let numbers = [0.00153, 0.153, 1.534, 15.34, 153.4, 18_000.0];
        assert_eq!(numbers.map(three_digits), ["0.00153", "0.153", "1.53", "15.3", "153", "18000"]);
    }

    #[test]
    fn the_median_is_in_the_middle() {
        assert_eq!(median(vec![3.0, 1.0, 2.0]), Some(2.0));
        assert_eq!(median(vec![4.0, 1.0, 2.0, 3.0]), Some(2.5));
        assert_eq!(median(vec![]), None);
        let round = |seconds, megabytes| Measurement {
            params: 1.0,
            threads: 2.0,
            seconds,
            megabytes,
            eigen: None,
            spread: 1.0,
        };
        let rounds = [round(3.0, Some(10.0)), round(1.0, None), round(2.0, Some(20.0))];
        assert_eq!(
            Measurement::median(&rounds),
            Some(Measurement { spread: 3.0, ..round(2.0, Some(15.0)) })
        );
        assert_eq!(Measurement::median(&[]), None);
    }
}

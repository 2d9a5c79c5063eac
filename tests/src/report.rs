//! Comparisons and their verdicts, one row each.

use std::fmt;

use vivit::tensor::Scalar;

/// The verdict on one quantity of one case.
#[derive(Clone, Debug, PartialEq)]
pub struct Row {
    /// The case or problem.
    pub case: String,
    /// The quantity.
    pub quantity: String,
    /// What came out.
    pub outcome: Outcome,
}

/// What came out of a check.
#[derive(Clone, Debug, PartialEq)]
pub enum Outcome {
    /// Both sides were compared: worst error and the bound on it (relative to the quantity's
    /// largest magnitude).
    Compared {
        /// The worst error.
        error: f64,
        /// The bound.
        tolerance: f64,
        /// How the bound was found, where it is not the plain one.
        note: String,
    },
    /// The case needs something that does not exist.
    Unsupported(String),
    /// The check could not run.
    Failed(String),
}

impl Row {
    /// Whether the check ran and failed, or could not run.
    pub fn is_failure(&self) -> bool {
        match self.outcome {
            // A NaN is a failure too.
            Outcome::Compared { error, tolerance, .. } => error.is_nan() || error > tolerance,
            Outcome::Unsupported(_) => false,
            Outcome::Failed(_) => true,
        }
    }

    /// Whether the case needs something that does not exist.
    pub fn is_unsupported(&self) -> bool {
        matches!(self.outcome, Outcome::Unsupported(_))
    }
}

impl fmt::Display for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:<26} {:<34} ", self.case, self.quantity)?;
        match &self.outcome {
            Outcome::Compared { error, tolerance, note } => {
                let verdict = if self.is_failure() { "FAILED" } else { "ok" };
                write!(f, "error {error:8.1e}  tolerance {tolerance:8.1e}  {verdict}")?;
                if note.is_empty() { Ok(()) } else { write!(f, "  ({note})") }
            }
            Outcome::Unsupported(what) => write!(f, "unsupported: {what}"),
            Outcome::Failed(why) => write!(f, "FAILED: {why}"),
        }
    }
}

/// Collects rows.
#[derive(Debug, Default)]
pub struct Report {
    /// The rows so far.
    pub rows: Vec<Row>,
}

impl Report {
    /// Compares two lists of numbers on the scale of `expected`'s largest magnitude (or `scale`, if
    /// that is larger).
    pub fn compare<E: Scalar>(
        &mut self,
        case: &str,
        quantity: &str,
        got: &[E],
        expected: &[f64],
        scale: f64,
        tolerance: f64,
    ) {
        self.push(case, quantity, scaled_error(got, expected, scale), tolerance, String::new());
    }

    /// Adds a comparison that was made elsewhere.
    pub fn push(&mut self, case: &str, quantity: &str, error: f64, tolerance: f64, note: String) {
        let outcome = Outcome::Compared { error, tolerance, note };
        self.rows.push(Row { case: case.into(), quantity: quantity.into(), outcome });
    }

    /// Adds a row for something that is not supported.
    pub fn unsupported(&mut self, case: &str, what: &str) {
        let outcome = Outcome::Unsupported(what.into());
        self.rows.push(Row { case: case.into(), quantity: "-".into(), outcome });
    }

    /// Adds a row for a check that could not run.
    pub fn failed(&mut self, case: &str, quantity: &str, why: impl fmt::Display) {
        let outcome = Outcome::Failed(why.to_string());
        self.rows.push(Row { case: case.into(), quantity: quantity.into(), outcome });
    }
}

/// The larger one of two errors; NaN, which `f64::max` would hide, if either is.
pub fn worse(a: f64, b: f64) -> f64 {
    if a.is_nan() || b.is_nan() { f64::NAN } else { a.max(b) }
}

/// Largest difference over the largest magnitude of `expected` (at least `scale`); infinite if the
/// lengths differ.
pub fn scaled_error<E: Scalar>(got: &[E], expected: &[f64], scale: f64) -> f64 {
    if got.len() != expected.len() {
        return f64::INFINITY;
    }
    let scale = expected.iter().fold(scale, |scale, x| scale.max(x.abs()));
    let error = got.iter().zip(expected).map(|(g, e)| (g.f64() - e).abs());
    let worst = error.fold(0.0, worse);
    if worst == 0.0 { 0.0 } else { worst / scale }
}

/// The factor by which an error of a matrix grows in its eigenvectors: λ_max over the gap to the
/// neighbouring eigenvalue, for each of the `chosen` ones of an ascending spectrum.
pub fn direction_factors(spectrum: &[f64], chosen: &[usize]) -> Vec<f64> {
    let largest = spectrum.last().copied().unwrap_or(0.0);
    let gap = |k: usize| {
        let below = if k > 0 { spectrum[k] - spectrum[k - 1] } else { spectrum[k] };
        let above = spectrum.get(k + 1).map_or(f64::INFINITY, |next| next - spectrum[k]);
        below.min(above)
    };
    chosen.iter().map(|&k| largest / gap(k)).collect()
}

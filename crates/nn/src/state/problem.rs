//! What keeps a state dictionary and a model apart, and what may help.

use std::cmp::Ordering;
use std::fmt;

/// One thing that keeps a state dictionary and a model apart.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum StateProblem {
    /// The dictionary lacks an array of the model.
    Missing {
        /// Its name.
        name: String,
        /// The shape that it should have.
        shape: Vec<usize>,
    },
    /// The dictionary has an array that the model does not know.
    Unexpected {
        /// Its name, after renaming.
        name: String,
        /// Its shape.
        shape: Vec<usize>,
    },
    /// Several arrays of the dictionary are renamed to one of the model.
    Repeated {
        /// Its name.
        name: String,
        /// Their names in the dictionary.
        sources: Vec<String>,
    },
    /// An array has another shape than the model's.
    Shape {
        /// Its name.
        name: String,
        /// The model's shape.
        expected: Vec<usize>,
        /// The dictionary's.
        got: Vec<usize>,
    },
    /// An array holds something else than floats of 16, 32 or 64 bits.
    ElementType {
        /// Its name.
        name: String,
        /// The element type, as safetensors calls it.
        got: String,
    },
    /// An array holds a number that is NaN or infinite, or would be in the model's element type.
    NonFinite {
        /// Its name.
        name: String,
        /// Where in it.
        index: Vec<usize>,
        /// The number.
        value: f64,
    },
}

impl StateProblem {
    /// What is wrong, in words, of the array that is named before.
    fn verdict(&self) -> String {
        match self {
            StateProblem::Missing { shape, .. } => format!("of shape {shape:?} is missing"),
            StateProblem::Unexpected { shape, .. } => format!("of shape {shape:?} is unexpected"),
            StateProblem::Repeated { sources, .. } => {
                format!("is what several arrays are renamed to: {}", sources.join(", "))
            }
            StateProblem::Shape { expected, got, .. } => {
                format!("has shape {got:?} instead of {expected:?}")
            }
            StateProblem::ElementType { got, .. } => {
                format!("has element type {got} instead of F16, BF16, F32 or F64")
            }
            StateProblem::NonFinite { index, value, .. } => format!(
                "holds {value} at index {index:?}, which is no finite number of the model's \
                 precision"
            ),
        }
    }

    /// The name of the array.
    pub fn name(&self) -> &str {
        match self {
            StateProblem::Missing { name, .. }
            | StateProblem::Unexpected { name, .. }
            | StateProblem::Repeated { name, .. }
            | StateProblem::Shape { name, .. }
            | StateProblem::ElementType { name, .. }
            | StateProblem::NonFinite { name, .. } => name,
        }
    }

    /// The place of its group, and the group's heading.
    fn group(&self) -> (u8, &'static str) {
        match self {
            StateProblem::Missing { .. } => (0, "the model's arrays that the dictionary lacks"),
            StateProblem::Unexpected { .. } => (1, "the dictionary's arrays that the model lacks"),
            StateProblem::Repeated { .. } => (2, "several arrays under one name"),
            StateProblem::Shape { .. } => (3, "arrays of another shape"),
            StateProblem::ElementType { .. } => (4, "arrays of another element type"),
            StateProblem::NonFinite { .. } => (5, "arrays with numbers that are not finite"),
        }
    }
}

impl fmt::Display for StateProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.name(), self.verdict())
    }
}

/// One problem per line, in groups, and the hint below.
pub(crate) fn listed(problems: &[StateProblem], hint: Option<&str>) -> String {
    let mut sorted: Vec<&StateProblem> = problems.iter().collect();
    sorted.sort_by_key(|problem| problem.group().0);
    let (mut text, mut group) = (String::new(), None);
    for problem in sorted {
        let (place, heading) = problem.group();
        if group.replace(place) != Some(place) {
            text += &format!("\n  {heading}:");
        }
        text += &format!("\n    {problem}");
    }
    if let Some(hint) = hint {
        text += &format!("\nhint: {hint}");
    }
    text
}

type Named<'p> = (&'p str, &'p [usize]);

/// What all missing and unexpected arrays have in common, if it is one pattern.
pub(crate) fn hint(problems: &[StateProblem]) -> Option<String> {
    let (mut missing, mut unexpected): (Vec<Named<'_>>, Vec<Named<'_>>) = (Vec::new(), Vec::new());
    for problem in problems {
        match problem {
            StateProblem::Missing { name, shape } => missing.push((name, shape)),
            StateProblem::Unexpected { name, shape } => unexpected.push((name, shape)),
            _ => {}
        }
    }
    let &(first, _) = missing.first()?;
    if let Some(prefix) = unexpected.iter().find_map(|(name, _)| before(name, first)) {
        let fits = |&(name, shape): &Named<'_>| {
            unexpected
                .iter()
                .any(|(other, found)| other.strip_prefix(prefix) == Some(name) && *found == shape)
        };
        if missing.iter().all(fits) {
            return Some(format!(
                "all names of the dictionary begin with `{prefix}`, which the model's do not; load \
                 with `load_with(path, |name| name.strip_prefix({prefix:?}).map(String::from))`"
            ));
        }
    }
    if let Some(prefix) = unexpected.iter().find_map(|(name, _)| before(first, name)) {
        let fits = |&(name, shape): &Named<'_>| {
            unexpected
                .iter()
                .any(|(other, found)| name.strip_prefix(prefix) == Some(other) && *found == shape)
        };
        if missing.iter().all(fits) {
            return Some(format!(
                "all names of the model begin with `{prefix}`, which the dictionary's do not; load \
                 with `load_with(path, |name| Some(format!(\"{prefix}{{name}}\")))`, or make a \
                 model of one layer by `Sequential::wired`"
            ));
        }
    }
    let pairs = matched(missing, unexpected)?;
    let lines: Vec<String> =
        pairs.iter().map(|(from, to)| format!("\n    {from} → {to}")).collect();
    Some(format!(
        "the shapes fit one to one; if the order of the layers is the same, load with \
         `load_with`, renaming{}",
        lines.concat()
    ))
}

/// What stands before `end` in a name, with the dot.
fn before<'n>(name: &'n str, end: &str) -> Option<&'n str> {
    name.strip_suffix(end).filter(|prefix| prefix.ends_with('.'))
}

/// Pairs of names, the dictionary's and the model's: of the same shape and kind (the last part of
/// the name), in order; if there is exactly one partner for each.
fn matched<'p>(
    missing: Vec<Named<'p>>,
    unexpected: Vec<Named<'p>>,
) -> Option<Vec<(&'p str, &'p str)>> {
    if missing.len() != unexpected.len() {
        return None;
    }
    let mut left = unexpected;
    left.sort_by(|(a, _), (b, _)| natural(a, b));
    let kind = |name: &str| name.rsplit('.').next().map(String::from);
    let mut pairs = Vec::new();
    for (name, shape) in missing {
        let fits = |(other, found): &Named<'p>| *found == shape && kind(other) == kind(name);
        let at = left.iter().position(fits)?;
        pairs.push((left.remove(at).0, name));
    }
    Some(pairs)
}

/// Orders names so that `10` comes after `9`.
fn natural(a: &str, b: &str) -> Ordering {
    let parts = |name: &str| -> Vec<(Option<u64>, String)> {
        name.split('.').map(|part| (part.parse().ok(), part.into())).collect()
    };
    parts(a).cmp(&parts(b))
}

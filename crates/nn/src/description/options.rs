//! The options of one entry, read by name and type.

use serde_json::{Map, Value};

use super::error::{DescriptionError, DescriptionProblem};
use super::value::OptionValue;

/// An entry of a description: an op and its options.
///
/// PyTorch's `None`, `null`, means something of its own for some options (`momentum=None` of batch
/// norm), so it is refused where a number, a flag or a size is read, unless it means there what
/// leaving the option out means (the stride of a pooling layer).
///
/// # Examples
/// ```
/// use vivit_nn::description::{Options, parse};
///
/// let entry = parse(r#"{"op": "dropout", "p": 0.1}"#)?;
/// let options = Options::of(&entry)?;
/// options.only(&["p"])?;
/// assert_eq!((options.op(), options.number("p", 0.5)?), ("dropout", 0.1));
/// # Ok::<(), vivit_nn::description::DescriptionError>(())
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Options<'d> {
    op: &'d str,
    entries: &'d Map<String, Value>,
}

impl<'d> Options<'d> {
    /// The options of an object with an `op`.
    ///
    /// # Errors
    /// If it is none.
    pub fn of(description: &'d Value) -> Result<Self, DescriptionError> {
        let (op, entries) = object(description)?;
        Ok(Options { op, entries })
    }

    /// The op.
    pub fn op(&self) -> &'d str {
        self.op
    }

    /// Refuses options that are not among `known`.
    ///
    /// # Errors
    /// Naming the first of them.
    pub fn only(&self, known: &[&str]) -> Result<(), DescriptionError> {
        match self.entries.keys().find(|key| *key != "op" && !known.contains(&key.as_str())) {
            None => Ok(()),
            Some(option) => Err(DescriptionError::new(DescriptionProblem::UnknownOption {
                op: self.op.into(),
                option: option.clone(),
                known: known.iter().map(|&name| name.into()).collect(),
            })),
        }
    }

    /// An option as it stands, if it is given and not `null`.
    pub fn get(&self, option: &str) -> Option<&'d Value> {
        self.entries.get(option).filter(|value| !value.is_null())
    }

    /// An option as it stands.
    ///
    /// # Errors
    /// If it is not given, or `null`.
    pub fn required(&self, option: &str) -> Result<&'d Value, DescriptionError> {
        let missing =
            || DescriptionProblem::MissingOption { op: self.op.into(), option: option.into() };
        self.get(option).ok_or_else(|| DescriptionError::new(missing()))
    }

    /// An option's value.
    ///
    /// # Errors
    /// If it is not given, or no value of this type.
    pub(crate) fn value<T: OptionValue>(&self, option: &str) -> Result<T, DescriptionError> {
        let value = self.entries.get(option).map_or_else(|| self.required(option), Ok)?;
        T::from_json(value).ok_or_else(|| self.invalid(option, &T::expected(), value))
    }

    /// An option's value, or its default where it is left out.
    ///
    /// # Errors
    /// If it is no value of this type.
    pub(crate) fn value_or<T: OptionValue>(
        &self,
        option: &str,
        default: T,
    ) -> Result<T, DescriptionError> {
        if self.entries.contains_key(option) { self.value(option) } else { Ok(default) }
    }

    /// An option's value, or its default where it is left out or `null`.
    ///
    /// # Errors
    /// If it is no value of this type.
    pub(crate) fn value_or_null<T: OptionValue>(
        &self,
        option: &str,
        default: T,
    ) -> Result<T, DescriptionError> {
        if self.get(option).is_some() { self.value(option) } else { Ok(default) }
    }

    /// A number, or its default.
    ///
    /// # Errors
    /// If it is no number.
    pub fn number(&self, option: &str, default: f64) -> Result<f64, DescriptionError> {
        self.value_or(option, default)
    }

    /// A yes or no, or its default.
    ///
    /// # Errors
    /// If it is neither.
    pub fn flag(&self, option: &str, default: bool) -> Result<bool, DescriptionError> {
        self.value_or(option, default)
    }

    /// A whole number from 0 on.
    ///
    /// # Errors
    /// If it is not given or no such number.
    pub fn size(&self, option: &str) -> Result<usize, DescriptionError> {
        self.value(option)
    }

    /// The error of an option that is not what it must be.
    pub fn invalid(&self, option: &str, expected: &str, got: &Value) -> DescriptionError {
        DescriptionError::new(DescriptionProblem::InvalidOption {
            op: self.op.into(),
            option: option.into(),
            expected: expected.into(),
            got: shown(got),
        })
    }
}

/// A JSON value in an error message, cut where it is long.
pub(crate) fn shown(value: &Value) -> String {
    let text = value.to_string();
    match text.char_indices().nth(60) {
        Some((at, _)) => format!("{}…", &text[..at]),
        None => text,
    }
}

fn object(description: &Value) -> Result<(&str, &Map<String, Value>), DescriptionError> {
    let options = description.as_object();
    let op = options.and_then(|options| options.get("op")?.as_str());
    op.zip(options)
        .ok_or_else(|| DescriptionError::new(DescriptionProblem::NoOp { got: shown(description) }))
}

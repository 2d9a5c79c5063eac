//! The options of one entry, read by name and type.

use serde_json::{Map, Value};

use super::{DescriptionError, DescriptionProblem, object, shown};

/// An entry of a description: an op and its options. An option that is `null` counts as left out.
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

    /// An option as it stands, if it is given.
    pub fn get(&self, option: &str) -> Option<&'d Value> {
        self.entries.get(option).filter(|value| !value.is_null())
    }

    /// An option as it stands.
    ///
    /// # Errors
    /// If it is not given.
    pub fn required(&self, option: &str) -> Result<&'d Value, DescriptionError> {
        let missing =
            || DescriptionProblem::MissingOption { op: self.op.into(), option: option.into() };
        self.get(option).ok_or_else(|| DescriptionError::new(missing()))
    }

    /// A whole number from 0 on.
    ///
    /// # Errors
    /// If it is not given or no such number.
    pub fn size(&self, option: &str) -> Result<usize, DescriptionError> {
        let value = self.required(option)?;
        whole(value).ok_or_else(|| self.invalid(option, "a whole number from 0 on", value))
    }

    /// A whole number from 0 on, or its default.
    ///
    /// # Errors
    /// If it is no such number.
    pub fn size_or(&self, option: &str, default: usize) -> Result<usize, DescriptionError> {
        if self.get(option).is_some() { self.size(option) } else { Ok(default) }
    }

    /// Whole numbers from 0 on: a list of any length, or one number for a list of one.
    ///
    /// # Errors
    /// If it is not given or no such list.
    pub fn sizes(&self, option: &str) -> Result<Vec<usize>, DescriptionError> {
        let value = self.required(option)?;
        let list = value.as_array().map_or(std::slice::from_ref(value), Vec::as_slice);
        list.iter()
            .map(whole)
            .collect::<Option<_>>()
            .ok_or_else(|| self.invalid(option, "a list of whole numbers", value))
    }

    /// A whole number per spatial axis: a list, or one number for all `axes`.
    ///
    /// # Errors
    /// If it is not given or no such list.
    pub fn per_axis(&self, option: &str, axes: usize) -> Result<Vec<usize>, DescriptionError> {
        let value = self.required(option)?;
        let list = match value {
            Value::Array(list) if list.len() == axes => list.iter().map(whole).collect(),
            one => whole(one).map(|one| vec![one; axes]),
        };
        list.ok_or_else(|| {
            self.invalid(option, &format!("a whole number or a list of {axes} of them"), value)
        })
    }

    /// As [`per_axis`](Options::per_axis), or the default for all `axes`.
    ///
    /// # Errors
    /// If it is no such list.
    pub fn per_axis_or(
        &self,
        option: &str,
        axes: usize,
        default: usize,
    ) -> Result<Vec<usize>, DescriptionError> {
        if self.get(option).is_some() {
            self.per_axis(option, axes)
        } else {
            Ok(vec![default; axes])
        }
    }

    /// A list of `len` whole numbers, negative or not.
    ///
    /// # Errors
    /// If it is not given or no such list.
    pub fn offsets(&self, option: &str, len: usize) -> Result<Vec<isize>, DescriptionError> {
        let value = self.required(option)?;
        let offset = |entry: &Value| isize::try_from(entry.as_i64()?).ok();
        let list = value.as_array().filter(|list| list.len() == len);
        let offsets = list.and_then(|list| list.iter().map(offset).collect());
        offsets
            .ok_or_else(|| self.invalid(option, &format!("a list of {len} whole numbers"), value))
    }

    /// A number, or its default.
    ///
    /// # Errors
    /// If it is no number.
    pub fn number(&self, option: &str, default: f64) -> Result<f64, DescriptionError> {
        let Some(value) = self.get(option) else { return Ok(default) };
        value.as_f64().ok_or_else(|| self.invalid(option, "a number", value))
    }

    /// A yes or no, or its default.
    ///
    /// # Errors
    /// If it is neither.
    pub fn flag(&self, option: &str, default: bool) -> Result<bool, DescriptionError> {
        let Some(value) = self.get(option) else { return Ok(default) };
        value.as_bool().ok_or_else(|| self.invalid(option, "true or false", value))
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

fn whole(value: &Value) -> Option<usize> {
    usize::try_from(value.as_u64()?).ok()
}

//! What values options can have, in JSON.

use serde_json::Value;

/// A value that an option can have.
pub(crate) trait OptionValue: Sized {
    /// What such a value is, in words.
    fn expected() -> String;
    /// The value in JSON, if it is one.
    fn from_json(value: &Value) -> Option<Self>;
    /// The value in JSON; null for numbers that JSON does not have.
    fn to_json(&self) -> Value;
}

impl OptionValue for usize {
    fn expected() -> String {
        "a whole number from 0 on".into()
    }
    fn from_json(value: &Value) -> Option<Self> {
        usize::try_from(value.as_u64()?).ok()
    }
    fn to_json(&self) -> Value {
        (*self).into()
    }
}

impl OptionValue for isize {
    fn expected() -> String {
        "a whole number".into()
    }
    fn from_json(value: &Value) -> Option<Self> {
        isize::try_from(value.as_i64()?).ok()
    }
    fn to_json(&self) -> Value {
        (*self).into()
    }
}

impl OptionValue for f64 {
    fn expected() -> String {
        "a number".into()
    }
    fn from_json(value: &Value) -> Option<Self> {
        value.as_f64()
    }
    fn to_json(&self) -> Value {
        (*self).into()
    }
}

impl OptionValue for bool {
    fn expected() -> String {
        "true or false".into()
    }
    fn from_json(value: &Value) -> Option<Self> {
        value.as_bool()
    }
    fn to_json(&self) -> Value {
        (*self).into()
    }
}

impl OptionValue for String {
    fn expected() -> String {
        "a text".into()
    }
    fn from_json(value: &Value) -> Option<Self> {
        value.as_str().map(String::from)
    }
    fn to_json(&self) -> Value {
        self.as_str().into()
    }
}

/// A list of any length, or one value for a list of one.
impl OptionValue for Vec<usize> {
    fn expected() -> String {
        "a list of whole numbers".into()
    }
    fn from_json(value: &Value) -> Option<Self> {
        let list = value.as_array().map_or(std::slice::from_ref(value), Vec::as_slice);
        list.iter().map(usize::from_json).collect()
    }
    fn to_json(&self) -> Value {
        self.as_slice().into()
    }
}

/// A value per spatial axis, or one for all of them.
impl<const R: usize> OptionValue for [usize; R] {
    fn expected() -> String {
        format!("a whole number or a list of {R} of them")
    }
    fn from_json(value: &Value) -> Option<Self> {
        match value {
            Value::Array(list) => {
                list.iter().map(usize::from_json).collect::<Option<Vec<_>>>()?.try_into().ok()
            }
            one => usize::from_json(one).map(|one| [one; R]),
        }
    }
    fn to_json(&self) -> Value {
        self.as_slice().into()
    }
}

//! What a layer's options are in a description: written once, read and written from that.

use serde_json::{Map, Value};

use super::error::{DescriptionError, DescriptionProblem};
use super::options::Options;
use crate::Layer;

/// A layer that a description can hold.
pub(crate) trait Described: Layer + Sized {
    /// The ops of this kind of layer.
    const OPS: &'static [&'static str];

    /// This layer's op; `None` if it has none.
    fn op(&self) -> Option<&'static str> {
        Some(Self::OPS[0])
    }

    /// The layer of an entry whose op is one of [`OPS`](Described::OPS).
    fn read(options: Options<'_>) -> Result<Self, DescriptionError>;

    /// The options, under their names.
    fn write(&self) -> Result<Vec<(&'static str, Value)>, DescriptionError>;

    /// The layer's entry.
    fn entry(&self) -> Result<Value, DescriptionError> {
        let refused = || DescriptionProblem::NotDescribed { layer: self.name() };
        let op = self.op().ok_or_else(|| DescriptionError::new(refused()))?;
        let mut entry = Map::new();
        entry.insert("op".into(), op.into());
        for (option, value) in self.write()? {
            // The nothing that a NaN or an infinity becomes in JSON would be read as the default.
            if value.is_null() {
                return Err(DescriptionError::new(refused()));
            }
            entry.insert(option.into(), value);
        }
        Ok(entry.into())
    }
}

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

/// Implements [`Described`] for a layer whose options are its fields: the field, the option's name
/// and, unless it must be given, its default, which may name earlier fields. Where a field tells
/// the ops apart, `by` gives its values in their order.
macro_rules! described {
    (
        impl $({$($generics:tt)*})? $layer:ty as $ops:expr $(, by $kind:ident: $kinds:expr)?;
        $($field:ident: $option:literal $(= $default:expr)?),* $(,)?
    ) => {
        impl $(<$($generics)*>)? $crate::description::entry::Described for $layer {
            const OPS: &'static [&'static str] = $ops;

            $(fn op(&self) -> Option<&'static str> {
                let at = $kinds.iter().position(|kind| *kind == self.$kind)?;
                Self::OPS.get(at).copied()
            })?

            fn read(
                options: $crate::description::options::Options<'_>,
            ) -> Result<Self, $crate::description::error::DescriptionError> {
                use $crate::description::entry::described;
                options.only(&[$($option),*])?;
                $(let at = Self::OPS.iter().position(|op| *op == options.op());
                let $kind = $kinds[at.unwrap_or_default()];)?
                $(let $field = described!(@read options $option $($default)?);)*
                Ok(Self { $($kind,)? $($field),* })
            }

            fn write(
                &self,
            ) -> Result<
                Vec<(&'static str, serde_json::Value)>,
                $crate::description::error::DescriptionError,
            > {
                use $crate::description::entry::OptionValue;
                Ok(vec![$(($option, OptionValue::to_json(&self.$field))),*])
            }
        }
    };
    (@read $options:ident $option:literal) => { $options.value($option)? };
    (@read $options:ident $option:literal $default:expr) => {
        $options.value_or($option, $default)?
    };
}

pub(crate) use described;

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
            // A NaN or an infinity becomes `null` in JSON, which is no number.
            if value.is_null() {
                return Err(DescriptionError::new(refused()));
            }
            entry.insert(option.into(), value);
        }
        Ok(entry.into())
    }
}

/// Implements [`Described`] for a layer whose options are its fields: the field, the option's name
/// and, unless it must be given, its default, which may name earlier fields; `or null` where `null`
/// means the default, too. Where a field tells the ops apart, `by` gives its values in their order.
macro_rules! described {
    (
        impl $({$($generics:tt)*})? $layer:ty as $ops:expr $(, by $kind:ident: $kinds:expr)?;
        $($field:ident: $option:literal $(or $null:ident)? $(= $default:expr)?),* $(,)?
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
                $(let $field = described!(@read options $option $(or $null)? $(= $default)?);)*
                Ok(Self { $($kind,)? $($field),* })
            }

            fn write(
                &self,
            ) -> Result<
                Vec<(&'static str, serde_json::Value)>,
                $crate::description::error::DescriptionError,
            > {
                use $crate::description::value::OptionValue;
                Ok(vec![$(($option, OptionValue::to_json(&self.$field))),*])
            }
        }
    };
    (@read $options:ident $option:literal) => { $options.value($option)? };
    (@read $options:ident $option:literal = $default:expr) => {
        $options.value_or($option, $default)?
    };
    (@read $options:ident $option:literal or null = $default:expr) => {
        $options.value_or_null($option, $default)?
    };
}

pub(crate) use described;

//! Which device is meant.

use std::str::FromStr;

use crate::error::Error;
use crate::info::{DeviceInfo, Kind};

/// The variable that names the device of [`Selector::Default`]: an index, a type, or a part of a
/// name.
pub const VARIABLE: &str = "VIVIT_OPENCL_DEVICE";

/// Names a device.
///
/// Reads from text: a number is an index, `cpu`, `gpu` or `accelerator` a type, anything else a
/// part of a name (of the device or of its platform, in any case); nothing at all is the default.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Selector {
    /// What the environment variable `VIVIT_OPENCL_DEVICE` says; without it the first GPU, else the
    /// first device.
    #[default]
    Default,
    /// A place in the list of [`devices`](crate::devices()).
    Index(usize),
    /// The first device whose name, or whose platform's name, contains this.
    Name(String),
    /// The first device of this type.
    Kind(Kind),
}

impl FromStr for Selector {
    type Err = std::convert::Infallible;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let text = text.trim();
        Ok(match (text.parse(), text.to_lowercase().as_str()) {
            (Ok(index), _) => Selector::Index(index),
            (_, "") => Selector::Default,
            (_, "cpu") => Selector::Kind(Kind::Cpu),
            (_, "gpu") => Selector::Kind(Kind::Gpu),
            (_, "accelerator") => Selector::Kind(Kind::Accelerator),
            _ => Selector::Name(text.into()),
        })
    }
}

impl From<&str> for Selector {
    fn from(text: &str) -> Self {
        let Ok(selector) = text.parse::<Selector>();
        selector
    }
}

impl From<usize> for Selector {
    fn from(index: usize) -> Self {
        Selector::Index(index)
    }
}

impl From<Kind> for Selector {
    fn from(kind: Kind) -> Self {
        Selector::Kind(kind)
    }
}

impl Selector {
    /// The index of the device that is meant, where `variable` is the environment variable's value.
    #[cfg_attr(not(feature = "device"), allow(dead_code))]
    pub(crate) fn choose(
        &self,
        devices: &[DeviceInfo],
        variable: Option<&str>,
    ) -> Result<usize, Error> {
        let no_match =
            |wanted: &str| Error::NoMatch { wanted: wanted.into(), devices: devices.to_vec() };
        if devices.is_empty() {
            return Err(Error::NoDevice);
        }
        match self {
            Selector::Default => match variable.filter(|value| !value.trim().is_empty()) {
                Some(value) => Selector::from(value).choose(devices, None),
                None => Ok(devices.iter().position(|device| device.kind == Kind::Gpu).unwrap_or(0)),
            },
            &Selector::Index(index) if index < devices.len() => Ok(index),
            &Selector::Index(index) => {
                Err(Error::IndexOutOfRange { index, devices: devices.to_vec() })
            }
            Selector::Kind(kind) => devices
                .iter()
                .position(|device| device.kind == *kind)
                .ok_or_else(|| no_match(&kind.to_string())),
            Selector::Name(name) => {
                let part = name.to_lowercase();
                let has = |device: &DeviceInfo| {
                    [&device.name, &device.platform]
                        .iter()
                        .any(|name| name.to_lowercase().contains(&part))
                };
                devices.iter().position(has).ok_or_else(|| no_match(name))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn device(index: usize, name: &str, kind: Kind) -> DeviceInfo {
        DeviceInfo {
            index,
            name: name.into(),
            platform: format!("Platform of {name}"),
            kind,
            version: "OpenCL 1.2".into(),
            driver: "1".into(),
            compute_units: 2,
            memory: 1 << 30,
            largest_array: 1 << 28,
            local_memory: 1 << 15,
            doubles: false,
        }
    }

    fn three() -> Vec<DeviceInfo> {
        vec![
            device(0, "Slow cores", Kind::Cpu),
            device(1, "Fast X", Kind::Gpu),
            device(2, "Fast Y", Kind::Gpu),
        ]
    }

    #[test]
    fn devices_are_chosen_by_index_name_and_type() {
        let chosen = |text: &str| Selector::from(text).choose(&three(), None);
        assert_eq!(chosen("2"), Ok(2));
        assert_eq!(chosen("fast"), Ok(1));
        assert_eq!(chosen("of fast y"), Ok(2));
        assert_eq!(chosen("cpu"), Ok(0));
        assert_eq!(chosen("GPU"), Ok(1));
        assert_eq!(chosen(""), Ok(1));
        assert_eq!(Selector::Default.choose(&three()[..1], None), Ok(0));
    }

    #[test]
    fn the_variable_is_the_default() {
        assert_eq!(Selector::Default.choose(&three(), Some("0")), Ok(0));
        assert_eq!(Selector::Default.choose(&three(), Some(" ")), Ok(1));
        assert_eq!(Selector::from("2").choose(&three(), Some("0")), Ok(2));
    }

    #[test]
    fn what_is_not_there_is_named_with_what_is() {
        let refused =
            |text: &str| Selector::from(text).choose(&three(), None).unwrap_err().to_string();
        for (text, named) in
            [("3", "device 3"), ("slowest", "\"slowest\""), ("accelerator", "\"accelerator\"")]
        {
            let message = refused(text);
            assert!(
                message.contains(named) && message.contains("0 (Slow cores, cpu)"),
                "{message}"
            );
        }
        assert_eq!(Selector::Default.choose(&[], None), Err(Error::NoDevice));
    }
}

//! Which device is meant, and plain data about devices.

use std::fmt;
use std::str::FromStr;

use crate::Error;

/// The variable that names the device of [`Selector::Default`]: an index, a type, or a part of a
/// name.
pub const VARIABLE: &str = "VIVIT_OPENCL_DEVICE";

/// A type of device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Kind {
    /// The host's cores.
    Cpu,
    /// A graphics processor.
    Gpu,
    /// Any other accelerator.
    Accelerator,
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Kind::Cpu => "cpu",
            Kind::Gpu => "gpu",
            Kind::Accelerator => "accelerator",
        })
    }
}

/// A device of this machine.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct DeviceInfo {
    /// Its place in the list, over all platforms.
    pub index: usize,
    /// The device's name.
    pub name: String,
    /// Its platform's name.
    pub platform: String,
    /// Its type.
    pub kind: Kind,
    /// The OpenCL version that it tells, `"OpenCL 3.0 …"`.
    pub version: String,
    /// Its driver's version.
    pub driver: String,
    /// Number of compute units.
    pub compute_units: u64,
    /// Memory in bytes.
    pub memory: u64,
    /// Bytes that one array may have.
    pub largest_array: u64,
    /// Bytes of memory that a work-group shares.
    pub local_memory: u64,
    /// Whether it computes with f64 (`cl_khr_fp64`).
    pub doubles: bool,
}

impl fmt::Display for DeviceInfo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let gibibytes = self.memory as f64 / f64::from(1 << 30);
        let types = if self.doubles { "f32, f64" } else { "f32" };
        write!(
            f,
            "{}: {} ({}, {}, {}, driver {}), {} compute units, {gibibytes:.1} GiB, {types}",
            self.index,
            self.name,
            self.platform,
            self.kind,
            self.version,
            self.driver,
            self.compute_units
        )
    }
}

/// Which kernels are used where cores and graphics processors want different ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kernels {
    /// For the cores of a CPU: long pieces of work per work-item. Matrix products with vectors in
    /// registers and packed panels in cache.
    Cores,
    /// For GPUs: work-items that read and write side by side. Matrix products with tiles in local
    /// memory and a block of registers per work-item.
    Groups,
}

/// How much has moved between host and device.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Transfers {
    /// Arrays sent to the device.
    pub uploads: u64,
    /// Bytes of these.
    pub uploaded_bytes: u64,
    /// Arrays and single numbers read from the device. Each waits for all that was asked of it
    /// before.
    pub downloads: u64,
    /// Bytes of these.
    pub downloaded_bytes: u64,
}

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
    /// A place in the list of [`devices`](crate::devices).
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

//! Plain data about devices.

use std::fmt;

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

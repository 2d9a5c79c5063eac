//! What the numbers are checked against: reference cases, finite differences, and dense
//! definitions.

pub mod case;
mod definition;
pub mod dense;
pub mod exported;
mod extensions;
pub mod loss;
pub mod nodes;
pub mod onnx_bytes;
pub mod primitives;
pub mod reference;
pub mod report;
pub mod zoo;

/// Any failure to run a check (as opposed to a check that ran and failed).
pub type Failure = Box<dyn std::error::Error + Send + Sync>;

/// The README's code compiles and runs.
#[cfg(doctest)]
#[doc = include_str!("../../README.md")]
struct Readme;

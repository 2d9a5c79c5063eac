//! Measurements of [vivit](https://docs.rs/vivit): problems of the field's reference networks, and
//! the tasks that users run on them.
//!
//! `cargo xtask bench` measures one task in a process of its own and prints one line of JSON;
//! `cargo bench -p vivit-benches` runs the criterion benchmarks, which are smaller.

mod arguments;
mod problem;
mod report;

pub use arguments::{Arguments, Net, Task, USAGE};
pub use problem::{Approximation, Problem};
pub use report::{Report, measure, peak_megabytes};

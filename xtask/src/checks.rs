//! The project's own checks: what they find, printed.

use std::path::Path;

use crate::files::{self, Finding};
use crate::{cycles, layers, tidy};

/// Checks the project's invariants.
///
/// # Errors
/// If one is broken or a file can't be read; the message lists what was found.
pub fn tidy(root: &Path) -> Result<(), String> {
    report("tidy", &tidy::check(&files::all(root)?))
}

/// Checks which crate depends on which, and which file of a crate on which.
///
/// # Errors
/// If a dependency goes up or round, or a file can't be read; the message lists what was found.
pub fn layers(root: &Path) -> Result<(), String> {
    let files = files::all(root)?;
    report("layers", &[layers::check(&files), cycles::check(&files)].concat())
}

fn report(name: &str, findings: &[Finding]) -> Result<(), String> {
    if findings.is_empty() {
        println!("{name}: nothing found");
        return Ok(());
    }
    let list: Vec<String> = findings.iter().map(Finding::to_string).collect();
    Err(format!("{}\n{name}: {} found", list.join("\n"), findings.len()))
}

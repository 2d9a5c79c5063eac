//! A process of its own, and a list of tests.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::{Command, ExitCode};
use std::time::Instant;

use vivit::opencl::{Error, OpenClDevice, Selector};
use vivit::tensor::{DType, Device};

use crate::device::{fill_memory, tests};

/// Tells the second run of the program from the first.
const SECOND: &str = "VIVIT_TESTS_SECOND_RUN";
/// Tells a run that is to do one thing only, and to print what comes of it.
const ONLY: &str = "VIVIT_TESTS_ONLY";

/// What a process of its own does.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Only {
    /// Asks for a device.
    Open,
    /// Fills a device's memory.
    Fill,
}

/// What another process, with this variable, prints, and after how many seconds.
pub fn elsewhere(only: Only, variable: &str, value: impl AsRef<std::ffi::OsStr>) -> (String, f64) {
    let program = std::env::current_exe().expect("the program's own path");
    let start = Instant::now();
    let output = Command::new(program)
        .env(ONLY, format!("{only:?}"))
        .env(variable, value)
        .output()
        .expect("the program starts");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    (String::from_utf8_lossy(&output.stdout).into(), start.elapsed().as_secs_f64())
}

/// Starts this program again with a kernel cache that no other process uses.
fn again() -> ExitCode {
    let cache = std::env::temp_dir().join(format!("vivit-pocl-{}", std::process::id()));
    let _ = std::fs::create_dir_all(&cache);
    let program = std::env::current_exe().expect("the program's own path");
    let status = Command::new(program)
        .args(std::env::args_os().skip(1))
        .env("POCL_CACHE_DIR", &cache)
        .env(SECOND, "1")
        .status();
    let _ = std::fs::remove_dir_all(&cache);
    if status.is_ok_and(|status| status.success()) { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Runs the tests.
pub fn run() -> ExitCode {
    if let Some(only) = std::env::var_os(ONLY) {
        match Device::opencl(Selector::default()) {
            Err(error @ Error::NoLibrary { .. }) => println!("NoLibrary: {error}"),
            Err(error @ Error::NoPlatform) => println!("NoPlatform: {error}"),
            Err(error) => println!("another error: {error}"),
            Ok(cl) if only == "Fill" => fill_memory(&cl),
            Ok(cl) => println!("found {}", cl.opencl_info().expect("an OpenCL device")),
        }
        return ExitCode::SUCCESS;
    }
    if std::env::var_os(SECOND).is_none() {
        return again();
    }
    let single = match Device::opencl(Selector::default()) {
        Ok(single) => single,
        Err(why) => {
            println!("\n*** SKIPPED: all tests on OpenCL devices: {why} ***\n");
            return ExitCode::SUCCESS;
        }
    };
    println!("device {}", single.opencl_info().expect("an OpenCL device"));
    let double = match single.with_dtype(DType::F64) {
        Ok(double) => Some(double),
        Err(why) => {
            println!("*** SKIPPED: all tests in f64: {why} ***");
            None
        }
    };
    let wanted: Vec<String> =
        std::env::args().skip(1).filter(|arg| !arg.starts_with('-')).collect();
    let (mut passed, mut failed) = (0, Vec::new());
    for (name, test) in tests(&single, double.as_ref()) {
        if !wanted.is_empty() && !wanted.iter().any(|part| name.contains(part.as_str())) {
            continue;
        }
        let start = Instant::now();
        let fine = catch_unwind(AssertUnwindSafe(test)).is_ok();
        println!(
            "test {name} ... {} ({:.1} s)",
            if fine { "ok" } else { "FAILED" },
            start.elapsed().as_secs_f64()
        );
        if fine { passed += 1 } else { failed.push(name) }
    }
    let verdict = if failed.is_empty() { "ok" } else { "FAILED" };
    failed.iter().for_each(|name| println!("failed: {name}"));
    println!(
        "test result: {verdict}. {passed} passed; {} failed; 0 ignored; 0 measured; 0 filtered out",
        failed.len()
    );
    if failed.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

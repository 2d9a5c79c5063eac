//! Everything on an OpenCL device: the shared suite of primitives, reference cases, the zoo, bad
//! input.
//!
//! The program runs itself again with a kernel cache of its own, because PoCL's does not bear
//! several processes; so it has no test harness but its own: a list of tests, run one after the
//! other. Arguments are parts of names. Without a device, or without the feature `opencl`, it says
//! so and passes.

fn main() -> std::process::ExitCode {
    run()
}

#[cfg(not(feature = "opencl"))]
fn run() -> std::process::ExitCode {
    println!("SKIPPED: all tests on OpenCL devices; they need `--features opencl`");
    std::process::ExitCode::SUCCESS
}

#[cfg(feature = "opencl")]
mod device;
#[cfg(feature = "opencl")]
mod runner;

#[cfg(feature = "opencl")]
use runner::run;

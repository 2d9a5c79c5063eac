//! Lists the OpenCL devices of this machine.
//!
//! Run it with `cargo run --release --features opencl --example devices`. What it prints in front
//! of a device chooses it: `--device opencl:0` on the other examples' command line, or
//! `VIVIT_OPENCL_DEVICE=0` in the environment.

use std::process::ExitCode;

fn main() -> ExitCode {
    match vivit::opencl::devices() {
        Ok(devices) => {
            devices.iter().for_each(|device| println!("{device}"));
            ExitCode::SUCCESS
        }
        Err(why) => {
            eprintln!("{why}");
            ExitCode::FAILURE
        }
    }
}

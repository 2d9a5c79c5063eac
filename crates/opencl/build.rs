//! Looks for an OpenCL library to link, so that the feature `device` builds on machines that have none.
//!
//! `ocl` is linked only where the crate's code names it. With the library, `cfg(opencl_library)` compiles the backend; without, its
//! stand-in.

use std::path::Path;
use std::process::Command;

fn main() {
    println!("cargo::rustc-check-cfg=cfg(opencl_library)");
    println!("cargo::rerun-if-changed=build.rs");
    if std::env::var_os("CARGO_FEATURE_DEVICE").is_none() {
        return;
    }
    if found() {
        println!("cargo::rustc-cfg=opencl_library");
    } else {
        println!(
            "cargo::warning=no OpenCL library to link was found; this build opens no device (Debian: apt-get install ocl-icd-opencl-dev)"
        );
        // A file that never exists: looked for again at the next build, when the library may be there.
        println!("cargo::rerun-if-changed=no-opencl-library-yet");
    }
}

/// Whether the linker would find the library.
fn found() -> bool {
    let target = |key: &str| std::env::var(format!("CARGO_CFG_TARGET_{key}")).unwrap_or_default();
    // macOS has it as a framework; on Windows its place is the user's to tell.
    if target("OS") != "linux" {
        return true;
    }
    let linker = std::env::var("RUSTC_LINKER").unwrap_or_else(|_| "cc".into());
    let asked = Command::new(linker).arg("-print-file-name=libOpenCL.so").output();
    let by_linker = asked.is_ok_and(|output| Path::new(String::from_utf8_lossy(&output.stdout).trim()).is_absolute());
    let mut folders =
        vec!["/usr/lib".into(), "/usr/lib64".into(), "/usr/local/lib".into(), format!("/usr/lib/{}-linux-gnu", target("ARCH"))];
    let paths = std::env::var("LIBRARY_PATH").unwrap_or_default();
    folders.extend(paths.split(':').filter(|path| !path.is_empty()).map(String::from));
    by_linker || folders.iter().any(|folder| Path::new(folder).join("libOpenCL.so").exists())
}

//! Lets the feature `device` build on machines without an OpenCL library.
//!
//! `ocl`'s bindings ask the linker for `-lOpenCL`, though this crate calls none of their functions:
//! it loads them when the program runs. Where the linker would not find that library, it is given
//! an empty one.

use std::path::{Path, PathBuf};
use std::process::Command;

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-env-changed=LIBRARY_PATH");
    if std::env::var_os("CARGO_FEATURE_DEVICE").is_none() || found() {
        return;
    }
    let folder = PathBuf::from(std::env::var_os("OUT_DIR").expect("cargo sets it"));
    // The magic number of an archive, and nothing in it.
    std::fs::write(folder.join("libOpenCL.a"), "!<arch>\n").expect("cargo's folder can be written");
    println!("cargo::rustc-link-search=native={}", folder.display());
}

/// Whether the linker would find the library.
fn found() -> bool {
    let target = |key: &str| std::env::var(format!("CARGO_CFG_TARGET_{key}")).unwrap_or_default();
    // macOS has it as a framework; on Windows its place is the user's to tell.
    if matches!(target("OS").as_str(), "macos" | "windows") {
        return true;
    }
    let linker = std::env::var("RUSTC_LINKER").unwrap_or_else(|_| "cc".into());
    let asked = Command::new(linker).arg("-print-file-name=libOpenCL.so").output();
    let by_linker = asked.is_ok_and(|output| {
        Path::new(String::from_utf8_lossy(&output.stdout).trim()).is_absolute()
    });
    let mut folders = vec![
        "/usr/lib".into(),
        "/usr/lib64".into(),
        "/usr/local/lib".into(),
        format!("/usr/lib/{}-linux-gnu", target("ARCH")),
    ];
    let paths = std::env::var("LIBRARY_PATH").unwrap_or_default();
    folders.extend(paths.split(':').filter(|path| !path.is_empty()).map(String::from));
    by_linker || folders.iter().any(|folder| Path::new(folder).join("libOpenCL.so").exists())
}

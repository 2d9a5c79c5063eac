//! The examples run and find nothing wrong. (`digits`, which trains networks, is a step of `cargo
//! xtask ci`: it wants an optimised build.)

use std::path::PathBuf;
use std::process::Command;

/// Where `cargo test --workspace` has put an example.
fn built(example: &str) -> Option<PathBuf> {
    let profile = std::env::current_exe().ok()?.parent()?.parent()?.to_path_buf();
    let path = profile.join("examples").join(format!("{example}{}", std::env::consts::EXE_SUFFIX));
    path.exists().then_some(path)
}

#[track_caller]
fn assert_runs(example: &str) {
    assert_runs_with("vivit", example, &[]);
}

#[track_caller]
fn assert_runs_with(package: &str, example: &str, args: &[&str]) {
    let mut command = match built(example) {
        Some(path) => Command::new(path),
        None => {
            let mut cargo = Command::new(env!("CARGO"));
            cargo.args(["run", "--quiet", "--package", package, "--example", example, "--"]);
            cargo
        }
    };
    let output = command.args(args).output().expect("the example starts");
    assert!(
        output.status.success(),
        "{example}: {}\n{}{}",
        output.status,
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
}

#[test]
fn an_operation_of_ones_own() {
    assert_runs("custom_op");
}

#[test]
fn an_extension_of_ones_own() {
    assert_runs("custom_extension");
}

#[test]
fn a_graph_by_hand() {
    assert_runs("graph");
}

#[test]
fn the_demo() {
    assert_runs("directional_derivatives");
}

#[test]
fn a_few_lines() {
    assert_runs("spectrum");
}

#[test]
fn a_loss_of_ones_own() {
    assert_runs("custom_loss");
}

#[test]
fn without_a_matrix() {
    assert_runs("matrix_free");
}

#[test]
fn a_layer_of_ones_own() {
    assert_runs("custom_layer");
}

#[test]
fn models_and_graphs_in_several_threads() {
    assert_runs("sharing");
}

#[test]
fn an_onnx_file() {
    let data = concat!(env!("CARGO_MANIFEST_DIR"), "/../crates/onnx/data");
    let (file, arrays) = (format!("{data}/mlp.onnx"), format!("{data}/mlp.safetensors"));
    assert_runs_with("vivit-onnx", "onnx", &[&file]);
    // It compares the output with PyTorch's.
    assert_runs_with("vivit-onnx", "onnx", &[&file, &arrays, "--f64", "-k", "5"]);
}

#[test]
fn a_gram_space_that_is_kept() {
    assert_runs("keep_gram_space");
}

//! The checks behind `cargo xtask verify`: they pass, and they can fail.

use vivit::onnx::{Onnx, Warning};
use vivit::tensor::Device;
use vivit_tests::case::{Case, list, own_cases};
use vivit_tests::exported::LITERALLY;
use vivit_tests::report::{Outcome, Report, direction_factors};
use vivit_tests::{dense, exported, reference, zoo};

fn failures(report: &Report) -> Vec<String> {
    report.rows.iter().filter(|row| row.is_failure()).map(ToString::to_string).collect()
}

#[test]
fn the_zoo_agrees_with_finite_differences() {
    let mut report = Report::default();
    zoo::problems().iter().for_each(|problem| dense::check(problem, &mut report));
    assert!(failures(&report).is_empty(), "{}", failures(&report).join("\n"));
    assert!(report.rows.len() > 200);
}

#[test]
fn reference_cases_agree() {
    let mut report = Report::default();
    for path in list(&own_cases()).unwrap() {
        let case = Case::read(&path).unwrap();
        reference::check(&Device::cpu_f64(), &case, &mut report);
        reference::check(&Device::cpu(), &case, &mut report);
    }
    assert!(failures(&report).is_empty(), "{}", failures(&report).join("\n"));
    for supported in [
        "mlp_relu_ce f64",
        "conv_pool_ce f32",
        "conv2d_dilation_groups f64",
        "weight_sharing f64",
        "hard_gram_matrix f32",
    ] {
        assert!(
            report.rows.iter().any(|row| row.case == supported && !row.is_unsupported()),
            "{supported}"
        );
    }
}

#[test]
fn exported_networks_agree() {
    let mut report = Report::default();
    for path in exported::list(&exported::own_networks()).unwrap() {
        let before = report.rows.len();
        exported::check(&Device::cpu_f64(), &path, &mut report);
        // Whatever is not for a fixed number of samples runs on several at once.
        let warnings = Onnx::read(path.with_extension("onnx")).unwrap().warnings().to_vec();
        let fixed = warnings.iter().any(|warning| matches!(warning, Warning::FixedBatch { .. }));
        let literally = report.rows[before..].iter().any(|row| row.quantity == LITERALLY);
        assert!(literally || fixed, "{}", path.display());
    }
    assert!(failures(&report).is_empty(), "{}", failures(&report).join("\n"));
    assert!(report.rows.iter().all(|row| !row.is_unsupported()));
    assert!(report.rows.len() > 200);
}

#[test]
fn a_wrong_model_fails() {
    // The case's numbers belong to ReLU: with tanh in its place everything must be off.
    let mut case = Case::read(&own_cases().join("mlp_relu_ce.safetensors")).unwrap();
    let text = case.description.take().unwrap().to_string().replace("relu", "tanh");
    case.description = Some(serde_json::from_str(&text).unwrap());
    let mut report = Report::default();
    reference::check(&Device::cpu_f64(), &case, &mut report);
    assert_eq!(failures(&report).len(), report.rows.len(), "{report:?}");
}

#[test]
fn what_is_missing_is_named() {
    let mut case = Case::read(&own_cases().join("mlp_relu_ce.safetensors")).unwrap();
    let text = case.description.take().unwrap().to_string().replace("relu", "spline");
    case.description = Some(serde_json::from_str(&text).unwrap());
    let mut report = Report::default();
    reference::check(&Device::cpu_f64(), &case, &mut report);
    assert_eq!(report.rows.len(), 1);
    assert_eq!(report.rows[0].outcome, Outcome::Unsupported("spline".into()));
}

#[test]
fn factors_of_directions() {
    let factors = direction_factors(&[0.0, 1.0, 3.0, 8.0], &[1, 2, 3]);
    assert_eq!(factors, [8.0, 4.0, 1.6]);
}

#[test]
fn nan_is_a_failure() {
    let mut report = Report::default();
    report.compare("case", "quantity", &[f64::NAN], &[1.0], 0.0, 1.0);
    assert_eq!(failures(&report).len(), 1);
}

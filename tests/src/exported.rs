//! Checking exported networks: an ONNX file, data, and the numbers that must come out.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use serde_json::Value;
use vivit::autodiff::{Graph, Inputs, Loss, ParamMap, RootColumns};
use vivit::curvature::{
    CurvatureProduct, Ggn, directional_derivatives_along, positional_derivatives_along, top_k,
};
use vivit::extend::{BatchL2Grad, DiagGgn, Gradient, run};
use vivit::nn::{GraphModel, Literal};
use vivit::onnx::{Onnx, Warning};
use vivit::tensor::{DType, Device, Tensor};

use crate::Failure;
use crate::case::Case;
use crate::loss::{self, Unbuilt};
use crate::reference::{directional_error, per_parameter};
use crate::report::{Report, direction_factors};

/// The quantity that compares with the graph as it stands, run on several samples at once.
pub const LITERALLY: &str = "literally, on 3 samples";

/// The bound on scaled errors: the files carry constants in single precision.
pub fn tolerance(dtype: DType) -> f64 {
    if dtype == DType::F64 { 2e-6 } else { 1e-3 }
}

/// The folder of networks that the project carries.
pub fn own_networks() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("onnx")
}

/// The networks of a folder: pairs of `NAME.onnx` and `NAME.safetensors`, by name.
///
/// # Errors
/// If the folder can't be read or holds none.
pub fn list(folder: &Path) -> Result<Vec<PathBuf>, Failure> {
    let mut paths = crate::case::list(folder)?;
    paths.retain(|path| path.with_extension("onnx").is_file());
    if paths.is_empty() {
        return Err(format!("folder {} holds no exported network", folder.display()).into());
    }
    Ok(paths)
}

/// Checks a network on a device and adds its rows.
pub fn check(device: &Device, path: &Path, report: &mut Report) {
    let stem = path.file_stem().map_or_else(String::new, |stem| stem.to_string_lossy().into());
    let name = format!("{stem} {}", device.dtype());
    match check_network(device, path, &name, report) {
        Ok(()) => {}
        Err(Unbuilt::Unsupported(what)) => report.unsupported(&name, &what),
        Err(Unbuilt::Malformed(why)) => report.failed(&name, "file", why),
    }
}

fn check_network(
    device: &Device,
    path: &Path,
    name: &str,
    report: &mut Report,
) -> Result<(), Unbuilt> {
    let case = Case::read(path)?;
    let description = case.description.clone().ok_or("the case lacks a description")?;
    let expected: BTreeSet<&str> = description["parameters"]
        .as_object()
        .ok_or("the description lacks parameters")?
        .keys()
        .map(String::as_str)
        .collect();
    let file = named(Onnx::read(path.with_extension("onnx"))?, path)?;
    let known: BTreeSet<&str> = file.params().chain(file.constants()).map(|(n, _)| n).collect();
    let missing: Vec<&str> = expected.difference(&known).copied().collect();
    if !missing.is_empty() {
        return check_folded(device, &file, &case, &description, &missing, name, report);
    }
    if file.marks_params() {
        // The exporter does not say which parameters are frozen.
        let frozen = description["frozen"].as_array();
        let frozen: Vec<&str> = frozen.into_iter().flatten().filter_map(Value::as_str).collect();
        let found = file.params().map(|(name, _)| name).filter(|name| !frozen.contains(name));
        let found: BTreeSet<&str> = found.collect();
        let differ: Vec<&str> = found.symmetric_difference(&expected).copied().collect();
        let note = format!("{} parameters {}", expected.len(), differ.join(", "));
        report.push(name, "parameters, as marked", differ.len() as f64, 0.0, note);
    }
    let model = file.with_params(|name| expected.contains(name))?.model(device)?;
    let inputs = arrays(device, &case, &model, None)?;
    let few = arrays(device, &case, &model, Some(3))?;
    check_literally(&model, &few, name, report)?;
    let graph = model.forward(inputs)?;
    let loss = loss::loss(device, &description["loss"], case.array("target")?)?;
    check_values(&case, name, &graph, loss.as_ref(), report)?;
    check_extensions(&case, name, &graph, loss.as_ref(), report)?;
    check_directions(device, &case, name, &graph, loss.as_ref(), report)?;
    check_spectrum(&case, name, &graph, loss.as_ref(), report)
}

/// The file with the names of the state dictionary beside it, `NAME.state.safetensors`, if there
/// is one.
fn named(file: Onnx, path: &Path) -> Result<Onnx, Unbuilt> {
    let state = path.with_extension("state.safetensors");
    if !state.is_file() {
        return Ok(file);
    }
    Ok(file.names_from(state)?.0)
}

/// A file that lacks parameters of the network, because its exporter computed others from them: it
/// computes the same, and the change is warned of.
fn check_folded(
    device: &Device,
    file: &Onnx,
    case: &Case,
    description: &Value,
    missing: &[&str],
    name: &str,
    report: &mut Report,
) -> Result<(), Unbuilt> {
    let warned =
        file.warnings().iter().any(|warning| !matches!(warning, Warning::FixedBatch { .. }));
    let note = format!("without {}", missing.join(", "));
    report.push(name, "parameters, folded", f64::from(u8::from(!warned)), 0.0, note);
    let model = file.model(device)?;
    check_literally(&model, &arrays(device, case, &model, Some(3))?, name, report)?;
    let graph = model.forward(arrays(device, case, &model, None)?)?;
    let loss = loss::loss(device, &description["loss"], case.array("target")?)?;
    check_values(case, name, &graph, loss.as_ref(), report)
}

/// Output and loss.
fn check_values(
    case: &Case,
    name: &str,
    graph: &Graph,
    loss: &dyn Loss,
    report: &mut Report,
) -> Result<(), Unbuilt> {
    let tolerance = tolerance(graph.value().dtype());
    let output = &case.array("expected/output")?.data;
    report.compare(name, "output", &graph.value().to_vec()?, output, 0.0, tolerance);
    let value = &case.array("expected/loss")?.data;
    report.compare(name, "loss", &[graph.loss(loss)?], value, 0.0, tolerance);
    Ok(())
}

/// The inputs, or the first samples of them.
fn arrays(
    device: &Device,
    case: &Case,
    model: &GraphModel,
    samples: Option<usize>,
) -> Result<Inputs, Failure> {
    let mut inputs = Inputs::new();
    for spec in model.inputs() {
        let array = case.array(&format!("input/{}", spec.name))?;
        let mut value = Tensor::from_vec(device, &array.shape, &array.data)?;
        if let (Some(axis), Some(samples)) = (spec.sample_axis, samples) {
            let order = |shape: &[usize]| (1..=axis).chain([0]).chain(axis + 1..shape.len());
            let first = [axis].into_iter().chain((0..array.shape.len()).filter(|&at| at != axis));
            let moved = value.permute(&first.collect::<Vec<_>>());
            let few = moved.slice(0, samples.min(array.shape[axis]));
            value = few.permute(&order(&array.shape).collect::<Vec<_>>());
        }
        inputs = inputs.with(&spec.name, value);
    }
    Ok(inputs)
}

/// The graph as it stands, on several samples at once.
fn check_literally(
    model: &GraphModel,
    inputs: &Inputs,
    name: &str,
    report: &mut Report,
) -> Result<(), Unbuilt> {
    let tolerance = tolerance(model.device().dtype());
    // A file for a fixed number of samples does not run on others: then nothing is compared, and
    // there is no row.
    if let Literal::Difference(difference) = model.compare_literally(inputs)? {
        report.push(name, LITERALLY, difference, tolerance, String::new());
    }
    Ok(())
}

fn check_extensions(
    case: &Case,
    name: &str,
    graph: &Graph,
    loss: &dyn Loss,
    report: &mut Report,
) -> Result<(), Unbuilt> {
    let tolerance = tolerance(graph.value().dtype());
    let (gradient, norms, diagonal) =
        run(graph, loss, (Gradient, BatchL2Grad::new(), DiagGgn::exact()))?;
    for (quantity, key, got) in [
        ("gradient", "grad", &gradient),
        ("BatchL2Grad", "batch_l2", &norms),
        ("DiagGgn", "diag_ggn", &diagonal),
    ] {
        per_parameter(case, name, (quantity, key), graph, got, tolerance, report)?;
    }
    Ok(())
}

/// Derivatives along given directions, and the Hessian's product with the first.
fn check_directions(
    device: &Device,
    case: &Case,
    name: &str,
    graph: &Graph,
    loss: &dyn Loss,
    report: &mut Report,
) -> Result<(), Unbuilt> {
    let tolerance = tolerance(device.dtype());
    let mut directions = ParamMap::new();
    for param in graph.params() {
        let array = case.array(&format!("directions/{}", graph.param_name(param)?))?;
        directions.insert(param, Tensor::from_vec(device, &array.shape, &array.data)?);
    }
    let along = directional_derivatives_along(graph, loss, &directions)?;
    for (quantity, key, got) in [
        ("γ along given directions", "direction_gammas", &along.gammas),
        ("λ along given directions", "direction_lambdas", &along.lambdas),
    ] {
        let expected = case.array(&format!("expected/{key}"))?;
        report.compare(name, quantity, got.as_slice(), &expected.data, 0.0, tolerance);
    }
    if let Some(gammas) = case.get("expected/position_gammas") {
        let along = positional_derivatives_along(graph, loss, &directions)?;
        let lambdas = case.array("expected/position_lambdas")?;
        for (quantity, got, expected) in
            [("γ per position", &along.gammas, gammas), ("λ per position", &along.lambdas, lambdas)]
        {
            report.compare(name, quantity, got.as_slice(), &expected.data, 0.0, tolerance);
        }
    }
    if case.under("expected/hvp/").next().is_some() {
        let first = directions.map(|direction| direction.slice(0, 1));
        let product = CurvatureProduct::hessian(graph, loss).build()?.multiply(&first)?;
        let product = product.map(|value| value.reshape(value.shape().tail()));
        per_parameter(case, name, ("Hessian product", "hvp"), graph, &product, tolerance, report)?;
    }
    Ok(())
}

fn check_spectrum(
    case: &Case,
    name: &str,
    graph: &Graph,
    loss: &dyn Loss,
    report: &mut Report,
) -> Result<(), Unbuilt> {
    let tolerance = tolerance(graph.value().dtype());
    let expected = &case.array("expected/spectrum")?.data;
    let values = &case.array("expected/eigenvalues")?.data;
    let k = values.len();
    let ggn = Ggn::new(graph, loss).columns(RootColumns::Outputs);
    let space = ggn.gram_space()?;
    report.compare(name, "spectrum", space.spectrum(), expected, 0.0, tolerance);
    let derivatives = space.directional_derivatives(top_k(k))?;
    report.compare(name, "eigenvalues", &derivatives.eigenvalues, values, 0.0, tolerance);
    let chosen: Vec<usize> = (expected.len() - k..expected.len()).collect();
    let factors = direction_factors(expected, &chosen);
    let worst = factors.iter().fold(1.0f64, |worst, factor| worst.max(*factor));
    let note = format!("×λ_max/gap, at most {worst:.1e}");
    for (quantity, key, got, signless) in [
        ("|γ|", "gammas", &derivatives.gammas, true),
        ("λ", "lambdas", &derivatives.lambdas, false),
    ] {
        let expected = case.array(&format!("expected/{key}"))?;
        let error = directional_error(got, expected, &factors, signless);
        report.push(name, quantity, error * worst, tolerance * worst, note.clone());
    }
    Ok(())
}

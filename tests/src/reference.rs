//! Checking a reference case: every quantity in it for which the library has one.

use serde_json::Value;
use vivit::autodiff::{Graph, Loss, ParamMap, Root, RootColumns};
use vivit::curvature::{
    CurvatureProduct, DirectionalDerivatives, Eigenpairs, Ggn, constant, top_k,
};
use vivit::eigh::{Real, Reduction as Tridiagonal};
use vivit::extend::{
    BatchDiagGgn, BatchDiagHessian, BatchGrad, BatchL2Grad, DiagGgn, DiagHessian, Gradient, Kfac,
    SumGradSquared, Variance, run,
};
use vivit::nn::{Sequential, description};
use vivit::tensor::{DType, Device, Matrix, Tensor, with_dtype};

use crate::case::{Array, Case, library_name};
use crate::loss::{self, Unbuilt};
use crate::report::{Report, direction_factors, scaled_error, worse};

/// The bound on scaled errors in a precision.
pub fn tolerance(dtype: DType) -> f64 {
    if dtype == DType::F64 { 1e-8 } else { 1e-4 }
}

/// Checks a case on a backend and adds its rows.
pub fn check(device: &Device, case: &Case, report: &mut Report) {
    let name = format!("{} {}", case.name, device.dtype());
    let outcome = match &case.description {
        Some(description) => check_model(device, case, &name, description, report),
        None => with_dtype!(device.dtype(), E => check_matrix::<E>(case, &name, report)),
    };
    match outcome {
        Ok(()) => {}
        Err(Unbuilt::Unsupported(what)) => report.unsupported(&name, &what),
        Err(Unbuilt::Malformed(why)) => report.failed(&name, "case", why),
    }
}

/// A bare symmetric matrix and its eigenvalues.
fn check_matrix<E: Real>(case: &Case, name: &str, report: &mut Report) -> Result<(), Unbuilt> {
    let (matrix, values) = (case.array("matrix")?, case.array("eigenvalues_f64")?);
    let n = values.data.len();
    let a = Matrix::new(n, n, matrix.data.iter().map(|&x| E::of(x)).collect());
    // 10 n ε ‖A‖: the backward error that a stable solver stays well inside.
    let tolerance = 10.0 * n as f64 * E::EPSILON.f64();
    let eigen = Tridiagonal::new(a.clone())?;
    report.compare(name, "eigenvalues", eigen.values(), &values.data, 0.0, tolerance);
    let q = eigen.vectors(&(0..n).collect::<Vec<_>>())?;
    let (mut residual, mut overlap) = (0.0f64, 0.0f64);
    let scale = values.data.iter().fold(0.0f64, |scale, value| scale.max(value.abs()));
    let dot = |x: &[E], y: &[E]| x.iter().zip(y).map(|(x, y)| x.f64() * y.f64()).sum::<f64>();
    for k in 0..n {
        for i in 0..n {
            let (lambda, identity) = (eigen.values()[k].f64(), if i == k { 1.0 } else { 0.0 });
            residual =
                residual.max((dot(a.row(i), q.row(k)) - lambda * q[(k, i)].f64()).abs() / scale);
            overlap = overlap.max((dot(q.row(i), q.row(k)) - identity).abs());
        }
    }
    report.push(name, "residual", residual, tolerance, String::new());
    report.push(name, "orthogonality", overlap, tolerance, String::new());
    Ok(())
}

/// A case made ready to run.
struct Ready {
    graph: Graph,
    loss: Box<dyn Loss>,
}

fn ready(device: &Device, case: &Case, case_description: &Value) -> Result<Ready, Unbuilt> {
    // Through the library's own description: what it writes must build the same model as what it
    // read.
    let described = description::of(&description::layers(&case_description["model"])?)?;
    let mut model = Sequential::from_description(device, &described, 0)?;
    let loss = loss::loss(device, &case_description["loss"], case.array("target")?)?;
    let names: Vec<String> = model.params().iter().map(|param| param.name.clone()).collect();
    for name in names {
        let array = case.array(&format!("param/{name}"))?;
        model.set_param(&name, Tensor::from_vec(device, &array.shape, &array.data)?)?;
    }
    let buffers: Vec<String> = model.buffers().iter().map(|buffer| buffer.name.clone()).collect();
    for name in buffers {
        let array = case.array(&format!("buffer/{name}"))?;
        model.set_param(&name, Tensor::from_vec(device, &array.shape, &array.data)?)?;
    }
    let input = case.array("input")?;
    let graph = model.forward(&Tensor::from_vec(device, &input.shape, &input.data)?)?;
    Ok(Ready { graph, loss })
}

fn check_model(
    device: &Device,
    case: &Case,
    name: &str,
    description: &Value,
    report: &mut Report,
) -> Result<(), Unbuilt> {
    let Ready { graph, loss } = ready(device, case, description)?;
    let tolerance = tolerance(graph.value().dtype());
    if let Some(output) = case.get("expected/output") {
        report.compare(name, "output", &graph.value().to_vec()?, &output.data, 0.0, tolerance);
    }
    if let Some(expected) = case.get("expected/loss") {
        report.compare(name, "loss", &[graph.loss(loss.as_ref())?], &expected.data, 0.0, tolerance);
    }
    check_extensions(case, name, &graph, loss.as_ref(), report)?;
    check_products(device, case, name, &graph, loss.as_ref(), report)?;
    check_groups(case, name, description, &graph, loss.as_ref(), report)
}

/// Every extension that the case knows the answer of.
fn check_extensions(
    case: &Case,
    name: &str,
    graph: &Graph,
    loss: &dyn Loss,
    report: &mut Report,
) -> Result<(), Unbuilt> {
    let outputs = Root::Exact(RootColumns::Outputs);
    let (gradient, batch_grad, batch_l2, squared, variance) = run(
        graph,
        loss,
        (Gradient, BatchGrad::new(), BatchL2Grad::new(), SumGradSquared::new(), Variance::new()),
    )?;
    let (diag_ggn, diag_of_outputs, batch_diag_ggn) =
        run(graph, loss, (DiagGgn::exact(), DiagGgn::new(outputs), BatchDiagGgn::exact()))?;
    let mut each = |quantity: &str, key: &str, got: &ParamMap<Tensor>| {
        let tolerance = tolerance(graph.value().dtype());
        per_parameter(case, name, (quantity, key), graph, got, tolerance, report)
    };
    each("gradient", "grad", &gradient)?;
    each("BatchGrad", "batch_grad", &batch_grad)?;
    each("BatchL2Grad", "batch_l2", &batch_l2)?;
    each("SumGradSquared", "sum_grad_squared", &squared)?;
    each("Variance", "variance", &variance)?;
    each("DiagGgn", "diag_ggn", &diag_ggn)?;
    each("DiagGgn, C columns", "diag_ggn", &diag_of_outputs)?;
    each("BatchDiagGgn", "batch_diag_ggn", &batch_diag_ggn)?;
    if case.under("expected/diag_hessian/").next().is_some() {
        let (diagonal, per_sample) =
            run(graph, loss, (DiagHessian::new(), BatchDiagHessian::new()))?;
        each("DiagHessian", "diag_hessian", &diagonal)?;
        let summed = per_sample.iter().map(|(var, value)| (var, value.sum(0))).collect();
        each("BatchDiagHessian, summed", "diag_hessian", &summed)?;
    }
    if case.under("expected/kflr/").next().is_some() {
        let (factors,) = run(graph, loss, (Kfac::kflr(),))?;
        let mut worst: f64 = 0.0;
        for (place, expected) in case.under("expected/kflr/") {
            let (parameter, factor) = place.rsplit_once('/').ok_or("a factor without a number")?;
            let [var] = graph.params_where(|known| known == parameter)[..] else {
                return Err("an unknown parameter".into());
            };
            let factors = &factors[var];
            let got = if factor == "0" { Some(factors.b()) } else { factors.a() };
            let fits = got.filter(|got| got.shape().tail()[..] == expected.shape[..]);
            let error = match fits {
                Some(got) => scaled_error(&got.to_vec()?, &expected.data, 0.0),
                None => f64::INFINITY,
            };
            worst = worse(worst, error);
        }
        report.push(name, "Kflr factors", worst, tolerance(graph.value().dtype()), String::new());
    }
    Ok(())
}

/// Products with the case's direction.
fn check_products(
    device: &Device,
    case: &Case,
    name: &str,
    graph: &Graph,
    loss: &dyn Loss,
    report: &mut Report,
) -> Result<(), Unbuilt> {
    if case.under("direction/").next().is_none() {
        return Ok(());
    }
    let mut direction = ParamMap::new();
    for var in graph.params() {
        let array = case.array(&format!("direction/{}", graph.tape().param_name(var)?))?;
        let shape = graph.tape().param_value(var)?.shape().prefixed(&[1]);
        direction.insert(var, Tensor::from_vec(device, shape, &array.data)?);
    }
    for (quantity, key, product) in [
        ("GGN product", "ggnvp", CurvatureProduct::ggn(graph, loss)),
        ("Hessian product", "hvp", CurvatureProduct::hessian(graph, loss)),
    ] {
        let product = product.build()?.multiply(&direction)?;
        let product =
            product.iter().map(|(var, value)| (var, value.reshape(value.shape().tail()))).collect();
        let tolerance = tolerance(graph.value().dtype());
        per_parameter(case, name, (quantity, key), graph, &product, tolerance, report)?;
    }
    Ok(())
}

/// Compares one array per parameter, on the scale of the largest entry of all of them.
pub(crate) fn per_parameter(
    case: &Case,
    name: &str,
    (quantity, key): (&str, &str),
    graph: &Graph,
    got: &ParamMap<Tensor>,
    tolerance: f64,
    report: &mut Report,
) -> Result<(), Unbuilt> {
    let prefix = format!("expected/{key}/");
    let scale = case
        .under(&prefix)
        .flat_map(|(_, array)| &array.data)
        .fold(0.0f64, |scale, x| scale.max(x.abs()));
    let mut worst: Option<f64> = None;
    for (parameter, expected) in case.under(&prefix) {
        let error = match graph.params_where(|known| known == parameter)[..] {
            [var] if **got[var].shape() == expected.shape[..] => {
                scaled_error(&got[var].to_vec()?, &expected.data, scale)
            }
            // What the output does not depend on is none of the graph's parameters.
            [] => scaled_error(&vec![0.0; expected.data.len()], &expected.data, scale),
            _ => f64::INFINITY,
        };
        worst = Some(worse(worst.unwrap_or(0.0), error));
    }
    if let Some(error) = worst {
        report.push(name, quantity, error, tolerance, String::new());
    }
    Ok(())
}

fn indices(value: &Value) -> Option<Vec<usize>> {
    Some(value.as_array()?.iter().filter_map(|index| Some(index.as_u64()? as usize)).collect())
}

/// Spectrum, eigenpairs, directional derivatives and Newton step of every group.
fn check_groups(
    case: &Case,
    name: &str,
    description: &Value,
    graph: &Graph,
    loss: &dyn Loss,
    report: &mut Report,
) -> Result<(), Unbuilt> {
    let groups_of = description["groups"].as_array().ok_or("the description lacks groups")?;
    let (mut groups, mut criteria) = (Vec::new(), Vec::new());
    for group in groups_of {
        let params = match &group["params"] {
            Value::Array(names) => {
                let is_named = |known: &str, name: &Value| {
                    name.as_str().is_some_and(|name| library_name(name) == known)
                };
                graph.params_where(|known| names.iter().any(|name| is_named(known, name)))
            }
            _ => graph.params(),
        };
        groups.push(params);
        criteria.push(top_k(group["top"].as_u64().ok_or("a group lacks top")? as usize));
    }
    for (columns, label) in [(RootColumns::Rank, ""), (RootColumns::Outputs, ", C columns")] {
        let mut ggn = Ggn::new(graph, loss).columns(columns);
        if let Some(samples) = indices(&description["subsampling_grad"]) {
            ggn = ggn.grad_samples(samples);
        }
        if let Some(samples) = indices(&description["subsampling_ggn"]) {
            ggn = ggn.ggn_samples(samples);
        }
        let spaces = ggn.blocks(groups.clone()).gram_spaces()?;
        for (at, group) in groups_of.iter().enumerate() {
            let damping = group["damping"].as_f64().unwrap_or(1.0);
            let (space, criterion) = (&spaces[at], &criteria[at]);
            let results = Results {
                spectrum: space.spectrum(),
                derivatives: space.directional_derivatives(criterion)?,
                pairs: space.eigenpairs(criterion)?,
                newton: space.newton_step(criterion, constant(damping))?.step,
            };
            let label =
                if groups.len() > 1 { format!(" of group {at}{label}") } else { label.to_string() };
            check_group(case, name, at, &label, graph, &results, report)?;
        }
    }
    Ok(())
}

struct Results<'r> {
    spectrum: &'r [f64],
    derivatives: DirectionalDerivatives,
    pairs: Eigenpairs,
    newton: ParamMap<Tensor>,
}

fn check_group(
    case: &Case,
    name: &str,
    group: usize,
    label: &str,
    graph: &Graph,
    results: &Results<'_>,
    report: &mut Report,
) -> Result<(), Unbuilt> {
    let prefix = format!("expected/group{group}/");
    let array = |key: &str| case.get(&format!("{prefix}{key}"));
    let tolerance = tolerance(graph.value().dtype());
    let values = &case.array(&format!("{prefix}eigenvalues"))?.data;
    let largest = values.last().copied().unwrap_or(0.0);
    report.compare(
        name,
        &format!("eigenvalues{label}"),
        &results.derivatives.eigenvalues,
        values,
        0.0,
        tolerance,
    );
    if let Some(Array { data: spectrum, .. }) = array("spectrum") {
        // Both lists end with the largest; what only one of them has must be zero.
        let common = spectrum.len().min(results.spectrum.len());
        let (ours, own) = results.spectrum.split_at(results.spectrum.len() - common);
        let (theirs, expected) = spectrum.split_at(spectrum.len() - common);
        let zeros = ours.iter().copied().chain(theirs.iter().copied());
        let stray = zeros.fold(0.0, |stray, x| worse(stray, x.abs() / largest));
        let error = worse(scaled_error(own, expected, largest), stray);
        report.push(name, &format!("spectrum{label}"), error, tolerance, String::new());
    }

    // Eigenvalues next to the chosen ones, for the gaps: the case's spectrum, or the chosen ones
    // themselves over zero.
    let spectrum = array("spectrum")
        .map_or_else(|| [vec![0.0], values.clone()].concat(), |array| array.data.clone());
    let k = values.len();
    let factors =
        direction_factors(&spectrum, &(spectrum.len() - k..spectrum.len()).collect::<Vec<_>>());
    let worst_factor = factors.iter().fold(1.0f64, |worst, factor| worst.max(*factor));
    let note = format!("×λ_max/gap, at most {worst_factor:.1e}");
    if let Some(expected) = array("gammas") {
        let got = &results.derivatives.gammas;
        let error = directional_error(got, expected, &factors, true);
        report.push(
            name,
            &format!("|γ|{label}"),
            error * worst_factor,
            tolerance * worst_factor,
            note.clone(),
        );
    }
    if let Some(expected) = array("lambdas") {
        let error = directional_error(&results.derivatives.lambdas, expected, &factors, false);
        report.push(
            name,
            &format!("λ{label}"),
            error * worst_factor,
            tolerance * worst_factor,
            note.clone(),
        );
    }
    if array(&format!("eigenvectors/{}", graph.tape().param_name(graph.params()[0])?)).is_some()
        || group > 0
    {
        let error = eigenvector_error(
            case,
            &format!("{prefix}eigenvectors/"),
            graph,
            &results.pairs.eigenvectors,
            &factors,
        )?;
        report.push(
            name,
            &format!("eigenvectors{label}"),
            error * worst_factor,
            tolerance * worst_factor,
            note.clone(),
        );
    }
    let newton = format!("{prefix}newton/");
    let scale = case
        .under(&newton)
        .flat_map(|(_, array)| &array.data)
        .fold(0.0f64, |scale, x| scale.max(x.abs()));
    let mut worst: f64 = 0.0;
    for (parameter, expected) in case.under(&newton) {
        let var = graph.params_where(|known| known == parameter)[0];
        worst = worse(worst, scaled_error(&results.newton[var].to_vec()?, &expected.data, scale));
    }
    if scale > 0.0 {
        report.push(name, &format!("Newton step{label}"), worst, tolerance * worst_factor, note);
    }
    Ok(())
}

/// Worst over directions of the error, scaled by the quantity's largest magnitude and divided by
/// the direction's factor. With `signless` a direction may be flipped as a whole.
pub(crate) fn directional_error(
    got: &Matrix<f64>,
    expected: &Array,
    factors: &[f64],
    signless: bool,
) -> f64 {
    let k = factors.len();
    if [got.rows(), got.cols()] != expected.shape[..] {
        return f64::INFINITY;
    }
    let scale = expected.data.iter().fold(0.0f64, |scale, x| scale.max(x.abs()));
    let column =
        |at: usize| -> Vec<f64> { expected.data.iter().skip(at).step_by(k).copied().collect() };
    let error_of = |at: usize| {
        let ours: Vec<f64> = (0..got.rows()).map(|n| got[(n, at)]).collect();
        aligned_error(&ours, &column(at), scale, signless) / factors[at]
    };
    (0..k).map(error_of).fold(0.0, worse)
}

fn aligned_error(ours: &[f64], expected: &[f64], scale: f64, signless: bool) -> f64 {
    let dot: f64 = ours.iter().zip(expected).map(|(a, b)| a * b).sum();
    let sign = if signless && dot < 0.0 { -1.0 } else { 1.0 };
    let ours: Vec<f64> = ours.iter().map(|x| sign * x).collect();
    scaled_error(&ours, expected, scale)
}

/// As [`directional_error`], for unit vectors spread over parameters.
fn eigenvector_error(
    case: &Case,
    prefix: &str,
    graph: &Graph,
    got: &ParamMap<Tensor>,
    factors: &[f64],
) -> Result<f64, Unbuilt> {
    let k = factors.len();
    let (mut ours, mut theirs) = (vec![Vec::new(); k], vec![Vec::new(); k]);
    for (parameter, expected) in case.under(prefix) {
        let [var] = graph.params_where(|known| known == parameter)[..] else {
            return Ok(f64::INFINITY);
        };
        let Some(got) = got.get(var).filter(|got| **got.shape() == expected.shape[..]) else {
            return Ok(f64::INFINITY);
        };
        let (got, len) = (got.to_vec()?, expected.data.len() / k);
        for at in 0..k {
            ours[at].extend(&got[at * len..(at + 1) * len]);
            theirs[at].extend(&expected.data[at * len..(at + 1) * len]);
        }
    }
    // Entries of a unit vector: its length is their scale.
    Ok((0..k)
        .map(|at| aligned_error(&ours[at], &theirs[at], 1.0, true) / factors[at])
        .fold(0.0, worse))
}

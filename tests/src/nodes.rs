//! ONNX's own node tests: one operation each, with the outputs that must come out.

use std::collections::{BTreeMap, BTreeSet};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

use safetensors::{Dtype, SafeTensors};
use vivit::autodiff::{InputSpec, Inputs, Mse, OutputSpec, ParamMap};
use vivit::curvature::CurvatureProduct;
use vivit::nn::{Argument, GraphModel, NamedArray, Node};
use vivit::onnx::{Error, Onnx, Problem};
use vivit::tensor::{DType, Device, Rng, Tensor};

use crate::Failure;
use crate::report::{Report, worse};

/// A node test: the bytes of its file, and its arrays with their element types.
#[derive(Debug, Default)]
struct NodeTest {
    model: Vec<u8>,
    inputs: BTreeMap<usize, NodeArray>,
    outputs: BTreeMap<usize, NodeArray>,
}

#[derive(Debug)]
struct NodeArray {
    shape: Vec<usize>,
    numbers: Vec<f64>,
    is_float: bool,
}

/// The node tests that the project carries.
pub fn own_nodes() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("onnx").join("nodes.safetensors")
}

fn numbers(dtype: Dtype, data: &[u8]) -> Option<Vec<f64>> {
    fn words<const W: usize>(data: &[u8], number: impl Fn([u8; W]) -> f64) -> Vec<f64> {
        let chunks = data.chunks_exact(W);
        chunks.map(|word| number(word.try_into().expect("a chunk of its length"))).collect()
    }
    Some(match dtype {
        Dtype::F64 => words(data, f64::from_le_bytes),
        Dtype::F32 => words(data, |word| f32::from_le_bytes(word).into()),
        Dtype::I64 => words(data, |word| i64::from_le_bytes(word) as f64),
        Dtype::I32 => words(data, |word| i32::from_le_bytes(word).into()),
        Dtype::I8 => words(data, |word| i8::from_le_bytes(word).into()),
        Dtype::U8 | Dtype::BOOL => words(data, |[byte]| byte.into()),
        _ => return None,
    })
}

fn read(path: &Path) -> Result<BTreeMap<String, NodeTest>, Failure> {
    let bytes = std::fs::read(path).map_err(|error| format!("{}: {error}", path.display()))?;
    let mut tests: BTreeMap<String, NodeTest> = BTreeMap::new();
    for (name, view) in SafeTensors::deserialize(&bytes)?.tensors() {
        let (test, part) = name.split_once('/').ok_or("an array of no test")?;
        let test = tests.entry(test.into()).or_default();
        if part == "model" {
            test.model = view.data().to_vec();
            continue;
        }
        let (kind, at) = part.split_once('/').ok_or("an array of no number")?;
        let array = NodeArray {
            shape: view.shape().to_vec(),
            numbers: numbers(view.dtype(), view.data()).ok_or("an array of another type")?,
            is_float: matches!(view.dtype(), Dtype::F32 | Dtype::F64),
        };
        let arrays = if kind == "input" { &mut test.inputs } else { &mut test.outputs };
        arrays.insert(at.parse()?, array);
    }
    Ok(tests)
}

/// Checks the node tests of a file on a device and adds their rows.
///
/// # Errors
/// If the file can't be read.
pub fn check(path: &Path, device: &Device, report: &mut Report) -> Result<(), Failure> {
    for (name, test) in read(path)? {
        let label = format!("{name} {}", device.dtype());
        match Onnx::from_bytes(test.model.clone()) {
            Ok(file) => {
                // A panic is a failure of this test, not of those after it.
                let run = AssertUnwindSafe(|| check_test(device, &file, &test, &label, report));
                match catch_unwind(run) {
                    Ok(Ok(())) => {}
                    Ok(Err(why)) => report.failed(&label, "run", why),
                    Err(_) => report.failed(&label, "run", "it panicked"),
                }
            }
            Err(error) => match unsupported(&error) {
                Some(what) => report.unsupported(&label, &what),
                None => report.failed(&label, "import", error),
            },
        }
    }
    Ok(())
}

/// Checks derivatives of every node test that has some, in double precision: of the loss `Σ (y −
/// t)²/2` at the test's result y along a random direction in its floats, and of the gradient, both
/// against central differences.
///
/// # Errors
/// If the file can't be read.
pub fn check_derivatives(path: &Path, report: &mut Report) -> Result<(), Failure> {
    for (at, (name, test)) in read(path)?.into_iter().enumerate() {
        let Ok(file) = Onnx::from_bytes(test.model.clone()) else { continue };
        let mut outcome = Ok(false);
        for floats in [usize::MAX, 1] {
            let run = AssertUnwindSafe(|| derivatives(&file, &test, floats, at as u64));
            outcome = match catch_unwind(run) {
                Ok(Ok(Some(errors))) => {
                    for (quantity, error) in errors {
                        report.push(&name, quantity, error, 1e-5, String::new());
                    }
                    Ok(true)
                }
                Ok(Ok(None)) => Ok(true),
                Ok(Err(why)) => Err(why),
                Err(_) => Err("it panicked".into()),
            };
            if matches!(outcome, Ok(true)) {
                break;
            }
        }
        if let Err(why) = outcome {
            report.failed(&name, "derivatives", why);
        }
    }
    Ok(())
}

/// Errors of the two derivatives, or nothing if the result does not depend on a float. The first
/// `floats` inputs, those that are floats with axes, are parameters; the first of these has a copy
/// for each of two samples.
fn derivatives(
    file: &Onnx,
    test: &NodeTest,
    floats: usize,
    seed: u64,
) -> Result<Option<[(&'static str, f64); 2]>, Failure> {
    let device = Device::cpu_f64();
    let mut parts = file.model(&device)?.parts()?;
    let mut rng = Rng::new(seed);
    let specs = std::mem::replace(&mut parts.inputs, vec![InputSpec::new("#zeros")]);
    let mut first = None;
    for (at, (spec, array)) in specs.into_iter().zip(test.inputs.values()).enumerate() {
        if at < floats && array.is_float && !array.shape.is_empty() {
            // Off the kinks, on which integers and ties are.
            let moved = array.numbers.iter().zip(rng.normal(array.numbers.len()));
            let numbers: Vec<f64> = moved.map(|(x, noise)| x + 1e-3 * noise).collect();
            parts.params.push(NamedArray::new(&spec.name, &array.shape, numbers));
            first = first.or(Some((spec.name, array.shape.len())));
        } else {
            let constant = NamedArray::new(&spec.name, &array.shape, array.numbers.clone());
            parts.constants.push(constant.of_kind(spec.kind));
        }
    }
    let Some((first, rank)) = first else { return Ok(None) };
    let output = parts.outputs[0].name.clone();
    parts.outputs = vec![OutputSpec::new("#output")];
    // x + 0 per sample, read in x's place.
    let batched = format!("{first}#");
    for node in &mut parts.nodes {
        for input in node.inputs.iter_mut().flatten() {
            if *input == Argument::from(first.as_str()) {
                *input = batched.as_str().into();
            }
        }
    }
    let ones = Argument::Integers(vec![1; rank]);
    let row = Argument::Integers(vec![1, -1]);
    parts.nodes.extend([
        Node::new("reshape", &[], "#thin").taking(vec![Some("#zeros".into()), Some(ones)]),
        Node::new("add", &[&first, "#thin"], &batched),
        Node::new("reshape", &[], "#row").taking(vec![Some(output.as_str().into()), Some(row)]),
        Node::new("add", &["#row", "#zeros"], "#output"),
    ]);
    let mut model = GraphModel::new(&device, parts)?;
    let zeros = Tensor::zeros(&device, [2, 1]);
    let graph = model.forward(&zeros)?;
    let params = graph.params();
    let value = graph.value().to_vec()?;
    if params.is_empty() || value.iter().any(|x| !x.is_finite()) {
        return Ok(None);
    }
    let target = Tensor::from_vec(&device, graph.value().shape(), rng.normal(value.len()))?;
    let loss = Mse::sum(target);
    let mut direction = ParamMap::new();
    for &param in &params {
        let shape = *graph.tape().param_value(param)?.shape();
        direction.insert(param, Tensor::from_vec(&device, shape, rng.normal(shape.size()))?);
    }
    let gradient = graph.backward(&loss)?;
    let slope = inner(&gradient, &direction)?;
    let columns = direction.map(|e| e.reshape(e.shape().prefixed(&[1])));
    let product = CurvatureProduct::hessian(&graph, &loss).build()?.multiply(&columns)?;
    let step = 1e-6;
    let mut ends = Vec::new();
    for sign in [1.0, -2.0] {
        model.add_scaled(sign * step, &direction)?;
        let graph = model.forward(&zeros)?;
        ends.push((graph.loss(&loss)?, graph.backward(&loss)?));
    }
    let [(above, after), (below, before)] = &ends[..] else { unreachable!("two ends") };
    let difference = (above - below) / (2.0 * step);
    // A quotient of differences loses 10⁻¹⁶/step of the loss, and step² of third derivatives: on
    // these scales 10⁻⁵ leaves room for both.
    let scale = difference.abs().max(1.0).max(above.abs() * 1e-4);
    let (mut bend, mut largest) = (0.0f64, 1.0f64);
    for &param in &params {
        let ends = [&after[param], &before[param]].map(Tensor::to_vec);
        let [after, before] = ends;
        for ((after, before), got) in after?.iter().zip(before?).zip(product[param].to_vec()?) {
            let expected = (after - before) / (2.0 * step);
            bend = worse(bend, (got - expected).abs());
            largest = largest.max(expected.abs()).max(after.abs() * 1e-3);
        }
    }
    Ok(Some([
        ("slope along a direction", (slope - difference).abs() / scale),
        ("change of the gradient", bend / largest),
    ]))
}

fn inner(a: &ParamMap<Tensor>, b: &ParamMap<Tensor>) -> Result<f64, Failure> {
    let mut sum = 0.0;
    for (param, a) in a.iter() {
        sum += a.to_vec()?.iter().zip(b[param].to_vec()?).map(|(a, b)| a * b).sum::<f64>();
    }
    Ok(sum)
}

/// What a file needs that the importer says it does not have.
fn unsupported(error: &Error) -> Option<String> {
    match error {
        Error::Unsupported { problems } => {
            let words = problems.iter().map(Problem::to_string);
            Some(words.collect::<Vec<_>>().join("; "))
        }
        _ => None,
    }
}

/// The arrays of a test for the inputs of its model that are there.
fn inputs(device: &Device, model: &GraphModel, test: &NodeTest) -> Result<Inputs, Failure> {
    let mut inputs = Inputs::new();
    for (spec, array) in model.inputs().iter().zip(test.inputs.values()) {
        let value = Tensor::from_vec(device, &array.shape, array.numbers.clone())?;
        inputs = inputs.with(&spec.name, value);
    }
    Ok(inputs)
}

fn check_test(
    device: &Device,
    file: &Onnx,
    test: &NodeTest,
    label: &str,
    report: &mut Report,
) -> Result<(), Failure> {
    let model = file.model(device)?;
    // Floats per sample, as a network has them; where weights, bounds or scales must not be, the
    // first alone; what shapes follow from is known to the host.
    let per_sample = |first: usize| {
        let spec = |(at, (spec, array)): (usize, (&InputSpec, &NodeArray))| {
            let apart = at < first && array.is_float && !array.shape.is_empty();
            spec.clone().samples_along(apart.then_some(0))
        };
        let pairs = model.inputs().iter().zip(test.inputs.values());
        pairs.enumerate().map(spec).collect::<Vec<_>>()
    };
    let mut found = None;
    let mut first = None;
    for floats in [usize::MAX, 1, 0] {
        let run = || -> Result<Vec<Tensor>, Failure> {
            let outputs = model.outputs().to_vec();
            let own = model.with_interface(per_sample(floats), outputs)?;
            Ok(own.run_literally(inputs(device, &own, test)?)?)
        };
        match run() {
            Ok(outputs) => {
                found = Some(outputs);
                break;
            }
            Err(error) => first = first.or(Some(error)),
        }
    }
    let Some(outputs) = found else { return Err(first.unwrap_or_else(|| "no run".into())) };
    let tolerance = if device.dtype() == DType::F64 { 2e-6 } else { 2e-5 };
    for (at, expected) in &test.outputs {
        let Some(got) = outputs.get(*at) else { return Err(format!("no output {at}").into()) };
        if got.shape()[..] != expected.shape[..] {
            let (got, expected) = (got.shape(), &expected.shape);
            return Err(format!("output {at} has shape {got}, expected {expected:?}").into());
        }
        let error = difference(&got.to_vec()?, &expected.numbers);
        report.push(label, &format!("output {at}"), error, tolerance, String::new());
    }
    Ok(())
}

/// The largest difference over the larger of 1 and the largest finite magnitude; infinities and
/// NaN must be the same.
fn difference(got: &[f64], expected: &[f64]) -> f64 {
    let finite = expected.iter().filter(|x| x.is_finite());
    let scale = finite.fold(1.0f64, |scale, x| scale.max(x.abs()));
    let error = |(got, expected): (&f64, &f64)| {
        let same = got == expected || (got.is_nan() && expected.is_nan());
        if same { 0.0 } else { (got - expected).abs() / scale }
    };
    got.iter().zip(expected).map(error).fold(0.0, worse)
}

/// The names of the node tests of a file, by the operations that their models are made of.
///
/// # Errors
/// If the file can't be read.
pub fn tests_by_operation(path: &Path) -> Result<BTreeMap<String, BTreeSet<String>>, Failure> {
    let mut tests: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for (name, test) in read(path)? {
        let Ok(file) = Onnx::from_bytes(test.model.clone()) else { continue };
        for (op, _) in file.operations() {
            tests.entry(op.into()).or_default().insert(name.clone());
        }
    }
    Ok(tests)
}

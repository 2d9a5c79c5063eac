//! ONNX's own node tests: one operation each, with the outputs that must come out.

use std::collections::{BTreeMap, BTreeSet};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

use safetensors::{Dtype, SafeTensors};
use vivit::autodiff::{InputSpec, Inputs};
use vivit::nn::GraphModel;
use vivit::onnx::{Error, Onnx, Problem};
use vivit::tensor::{DType, Device, Tensor};

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
    // Floats per sample, as a network has them; what shapes follow from is known to the host. Where
    // bounds and scales are floats, these are known to the host as well.
    let per_sample = |floats: bool| {
        let spec = |(spec, array): (&InputSpec, &NodeArray)| {
            let apart = floats && array.is_float && !array.shape.is_empty();
            spec.clone().samples_along(apart.then_some(0))
        };
        model.inputs().iter().zip(test.inputs.values()).map(spec).collect::<Vec<_>>()
    };
    let mut found = None;
    let mut first = None;
    for floats in [true, false] {
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

/// The operations that the models of a file are made of.
///
/// # Errors
/// If the file can't be read.
pub fn covered(path: &Path) -> Result<BTreeSet<String>, Failure> {
    let files = read(path)?;
    let known = files.values().filter_map(|test| Onnx::from_bytes(test.model.clone()).ok());
    let mut ops = BTreeSet::new();
    for file in known {
        ops.extend(file.operations().map(|(op, _)| op.to_string()));
    }
    Ok(ops)
}

//! Models and losses from a case's description.

use serde_json::Value;
use vivit::prelude::*;

use crate::Failure;
use crate::case::Array;

/// Why a description gives no model.
#[derive(Debug)]
pub enum Unbuilt {
    /// It names something that the library does not have.
    Unsupported(String),
    /// It is malformed.
    Malformed(Failure),
}

fn malformed(what: &str, value: &Value) -> Unbuilt {
    Unbuilt::Malformed(format!("the description lacks {what}: {value}").into())
}

fn size(layer: &Value, key: &str) -> Result<usize, Unbuilt> {
    layer[key].as_u64().map(|x| x as usize).ok_or_else(|| malformed(key, layer))
}

/// A number or a pair of them.
fn pair(layer: &Value, key: &str, default: usize) -> Result<[usize; 2], Unbuilt> {
    match &layer[key] {
        Value::Null => Ok([default; 2]),
        Value::Array(list) if list.len() == 2 => {
            let entry = |at: usize| list[at].as_u64().map(|x| x as usize).ok_or_else(|| malformed(key, layer));
            Ok([entry(0)?, entry(1)?])
        }
        _ => size(layer, key).map(|x| [x; 2]),
    }
}

/// Rejects options that are not among those that the builder reads.
fn only(layer: &Value, op: &str, known: &[&str]) -> Result<(), Unbuilt> {
    let options = layer.as_object().ok_or_else(|| malformed("an object", layer))?;
    match options.keys().find(|key| *key != "op" && !known.contains(&key.as_str())) {
        Some(option) => Err(Unbuilt::Unsupported(format!("{op} with {option}"))),
        None => Ok(()),
    }
}

/// The layers of a description.
///
/// # Errors
/// If it names something unsupported or is malformed.
pub fn layers<B: Backend>(description: &Value) -> Result<Vec<Box<dyn Layer<B>>>, Unbuilt> {
    let list = description.as_array().ok_or_else(|| malformed("a list of layers", description))?;
    list.iter().map(layer).collect()
}

fn layer<B: Backend>(layer: &Value) -> Result<Box<dyn Layer<B>>, Unbuilt> {
    let op = layer["op"].as_str().ok_or_else(|| malformed("op", layer))?;
    Ok(match op {
        "linear" => {
            only(layer, op, &["in", "out", "bias"])?;
            let bias = layer["bias"].as_bool().unwrap_or(true);
            Box::new(vivit::nn::Linear { inputs: size(layer, "in")?, outputs: size(layer, "out")?, bias })
        }
        "conv2d" => {
            only(layer, op, &["in", "out", "kernel", "stride", "padding", "dilation", "groups", "bias"])?;
            Box::new(Conv2d {
                inputs: size(layer, "in")?,
                outputs: size(layer, "out")?,
                kernel: pair(layer, "kernel", 1)?,
                stride: pair(layer, "stride", 1)?,
                padding: pair(layer, "padding", 0)?,
                dilation: pair(layer, "dilation", 1)?,
                groups: if layer["groups"].is_null() { 1 } else { size(layer, "groups")? },
                bias: layer["bias"].as_bool().unwrap_or(true),
            })
        }
        "max_pool2d" => {
            only(layer, op, &["kernel", "stride", "padding", "dilation", "ceil"])?;
            Box::new(MaxPool2d(pool(layer)?))
        }
        "avg_pool2d" => {
            only(layer, op, &["kernel", "stride", "padding", "ceil", "count_include_pad"])?;
            Box::new(AvgPool2d(pool(layer)?))
        }
        "zero_pad2d" => {
            only(layer, op, &["padding"])?;
            let list = layer["padding"].as_array().filter(|list| list.len() == 4).ok_or_else(|| malformed("padding", layer))?;
            let mut padding = [0; 4];
            for (to, from) in padding.iter_mut().zip(list) {
                *to = from.as_i64().ok_or_else(|| malformed("padding", layer))? as isize;
            }
            zero_pad2d(padding)
        }
        "relu" => relu(),
        "sigmoid" => sigmoid(),
        "tanh" => tanh(),
        "flatten" => flatten(),
        "residual" => residual(layers(&layer["body"])?),
        "shared" => shared(size(layer, "layer")?),
        other => return Err(Unbuilt::Unsupported(other.into())),
    })
}

fn pool(layer: &Value) -> Result<PoolOptions, Unbuilt> {
    let kernel = pair(layer, "kernel", 1)?;
    let stride = if layer["stride"].is_null() { kernel } else { pair(layer, "stride", 1)? };
    Ok(PoolOptions {
        kernel: kernel.to_vec(),
        stride: stride.to_vec(),
        padding: pair(layer, "padding", 0)?.to_vec(),
        dilation: pair(layer, "dilation", 1)?.to_vec(),
        ceil: layer["ceil"].as_bool().unwrap_or(false),
        count_include_pad: layer["count_include_pad"].as_bool().unwrap_or(true),
    })
}

/// The loss of a description against the given targets.
///
/// # Errors
/// If it names something unsupported or is malformed.
pub fn loss<B: Backend>(backend: &B, description: &Value, target: &Array) -> Result<Box<dyn Loss<B>>, Unbuilt> {
    let op = description["op"].as_str().ok_or_else(|| malformed("op", description))?;
    only(description, op, &["reduction"])?;
    let sum = match description["reduction"].as_str() {
        None | Some("mean") => false,
        Some("sum") => true,
        Some(other) => return Err(Unbuilt::Unsupported(format!("reduction {other}"))),
    };
    match op {
        "mse" => {
            let target = Tensor::from_f64(backend, &target.shape, &target.data).map_err(|e| Unbuilt::Malformed(e.into()))?;
            Ok(Box::new(if sum { Mse::sum(target) } else { Mse::mean(target) }))
        }
        "cross_entropy" => {
            let labels: Vec<usize> = target.data.iter().map(|&label| label as usize).collect();
            Ok(Box::new(if sum { CrossEntropy::sum(labels) } else { CrossEntropy::mean(labels) }))
        }
        other => Err(Unbuilt::Unsupported(other.into())),
    }
}

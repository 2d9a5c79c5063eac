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

/// A whole number per axis: a list, or one number for all of them.
fn list(layer: &Value, key: &str, axes: usize, default: usize) -> Result<Vec<usize>, Unbuilt> {
    match &layer[key] {
        Value::Null => Ok(vec![default; axes]),
        Value::Array(list) if list.len() == axes => {
            list.iter().map(|entry| entry.as_u64().map(|x| x as usize).ok_or_else(|| malformed(key, layer))).collect()
        }
        _ => size(layer, key).map(|x| vec![x; axes]),
    }
}

fn per_axis<const R: usize>(layer: &Value, key: &str, default: usize) -> Result<[usize; R], Unbuilt> {
    Ok(list(layer, key, R, default)?.try_into().expect("one entry per axis"))
}

fn sizes(layer: &Value, key: &str) -> Result<Vec<usize>, Unbuilt> {
    match &layer[key] {
        Value::Array(entries) => list(layer, key, entries.len(), 0),
        _ => size(layer, key).map(|x| vec![x]),
    }
}

fn number(layer: &Value, key: &str, default: f64) -> Result<f64, Unbuilt> {
    match &layer[key] {
        Value::Null => Ok(default),
        value => value.as_f64().ok_or_else(|| malformed(key, layer)),
    }
}

fn flag(layer: &Value, key: &str, default: bool) -> Result<bool, Unbuilt> {
    match &layer[key] {
        Value::Null => Ok(default),
        value => value.as_bool().ok_or_else(|| malformed(key, layer)),
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
    let known = |options: &[&str]| only(layer, op, options);
    Ok(match op {
        "linear" => {
            known(&["in", "out", "bias"])?;
            Box::new(Linear { inputs: size(layer, "in")?, outputs: size(layer, "out")?, bias: flag(layer, "bias", true)? })
        }
        "conv1d" => Box::new(conv::<1>(layer, op, &[])?),
        "conv2d" => Box::new(conv::<2>(layer, op, &[])?),
        "conv3d" => Box::new(conv::<3>(layer, op, &[])?),
        "conv_transpose1d" => conv_transpose::<B, 1>(layer, op)?,
        "conv_transpose2d" => conv_transpose::<B, 2>(layer, op)?,
        "conv_transpose3d" => conv_transpose::<B, 3>(layer, op)?,
        "max_pool1d" => Box::new(MaxPool(pool(layer, op, 1)?)),
        "max_pool2d" => Box::new(MaxPool(pool(layer, op, 2)?)),
        "max_pool3d" => Box::new(MaxPool(pool(layer, op, 3)?)),
        "avg_pool1d" => Box::new(AvgPool(pool(layer, op, 1)?)),
        "avg_pool2d" => Box::new(AvgPool(pool(layer, op, 2)?)),
        "avg_pool3d" => Box::new(AvgPool(pool(layer, op, 3)?)),
        "adaptive_avg_pool1d" | "adaptive_avg_pool2d" | "adaptive_avg_pool3d" => {
            known(&["output"])?;
            let axes = usize::from(op.as_bytes()[op.len() - 2] - b'0');
            adaptive_avg_pool(&list(layer, "output", axes, 1)?)
        }
        "zero_pad1d" | "zero_pad2d" | "zero_pad3d" => {
            known(&["padding"])?;
            let axes = usize::from(op.as_bytes()[op.len() - 2] - b'0');
            // PyTorch's order: the last axis first.
            let list =
                layer["padding"].as_array().filter(|list| list.len() == 2 * axes).ok_or_else(|| malformed("padding", layer))?;
            let entry = |at: usize| list[at].as_i64().map(|x| x as isize).ok_or_else(|| malformed("padding", layer));
            let mut pads = Vec::new();
            for axis in (0..axes).rev() {
                pads.push((entry(2 * axis)?, entry(2 * axis + 1)?));
            }
            zero_pad(&pads)
        }
        "relu" => relu(),
        "sigmoid" => sigmoid(),
        "tanh" => tanh(),
        "leaky_relu" => leaky_relu(number(layer, "slope", 0.01)?),
        "elu" => elu(number(layer, "alpha", 1.0)?),
        "selu" => selu(),
        "log_sigmoid" => log_sigmoid(),
        "softplus" => softplus(),
        "silu" => silu(),
        "gelu" => gelu(),
        "gelu_tanh" => gelu_tanh(),
        "hard_tanh" => hard_tanh(number(layer, "min", -1.0)?, number(layer, "max", 1.0)?),
        "dropout" => dropout(number(layer, "p", 0.5)?),
        "softmax" => softmax(size(layer, "axis")?),
        "log_softmax" => log_softmax(size(layer, "axis")?),
        "mean" => mean_over(size(layer, "axis")?),
        "sum" => sum_over(size(layer, "axis")?),
        "permute" => permute(&sizes(layer, "axes")?),
        "flatten" => flatten(),
        "batch_norm1d" | "batch_norm2d" | "batch_norm3d" => {
            known(&["features", "eps", "momentum", "affine"])?;
            let norm = BatchNorm::new(size(layer, "features")?);
            Box::new(BatchNorm {
                axes: Some(usize::from(op.as_bytes()[op.len() - 2] - b'0')),
                epsilon: number(layer, "eps", norm.epsilon)?,
                momentum: number(layer, "momentum", norm.momentum)?,
                affine: flag(layer, "affine", true)?,
                ..norm
            })
        }
        "layer_norm" => {
            known(&["shape", "eps", "affine", "bias"])?;
            let affine = flag(layer, "affine", true)?;
            Box::new(LayerNorm {
                shape: sizes(layer, "shape")?,
                epsilon: number(layer, "eps", 1e-5)?,
                weight: affine,
                bias: affine && flag(layer, "bias", true)?,
            })
        }
        "group_norm" => {
            known(&["groups", "channels", "eps", "affine"])?;
            Box::new(GroupNorm {
                groups: size(layer, "groups")?,
                channels: size(layer, "channels")?,
                epsilon: number(layer, "eps", 1e-5)?,
                affine: flag(layer, "affine", true)?,
            })
        }
        "rms_norm" => {
            known(&["features", "eps"])?;
            rms_norm(size(layer, "features")?, number(layer, "eps", 1e-6)?)
        }
        "embedding" => {
            known(&["vocabulary", "features"])?;
            embedding(size(layer, "vocabulary")?, size(layer, "features")?)
        }
        "positional_embedding" => {
            known(&["positions", "features"])?;
            positional_embedding(size(layer, "positions")?, size(layer, "features")?)
        }
        "self_attention" => {
            known(&["features", "heads", "causal", "bias"])?;
            Box::new(SelfAttention {
                features: size(layer, "features")?,
                heads: size(layer, "heads")?,
                causal: flag(layer, "causal", false)?,
                bias: flag(layer, "bias", true)?,
            })
        }
        "rnn" | "lstm" => {
            known(&["in", "hidden", "bias"])?;
            Box::new(Recurrent {
                cell: if op == "rnn" { vivit::nn::Cell::Rnn } else { vivit::nn::Cell::Lstm },
                inputs: size(layer, "in")?,
                hidden: size(layer, "hidden")?,
                bias: flag(layer, "bias", true)?,
            })
        }
        "residual" => residual(layers(&layer["body"])?),
        "shared" => shared(size(layer, "layer")?),
        other => return Err(Unbuilt::Unsupported(other.into())),
    })
}

fn conv<const R: usize>(layer: &Value, op: &str, more: &[&str]) -> Result<vivit::nn::Conv<R>, Unbuilt> {
    only(layer, op, &[&["in", "out", "kernel", "stride", "padding", "dilation", "groups", "bias"], more].concat())?;
    Ok(vivit::nn::Conv {
        inputs: size(layer, "in")?,
        outputs: size(layer, "out")?,
        kernel: per_axis(layer, "kernel", 1)?,
        stride: per_axis(layer, "stride", 1)?,
        padding: per_axis(layer, "padding", 0)?,
        dilation: per_axis(layer, "dilation", 1)?,
        groups: if layer["groups"].is_null() { 1 } else { size(layer, "groups")? },
        bias: flag(layer, "bias", true)?,
    })
}

fn conv_transpose<B: Backend, const R: usize>(layer: &Value, op: &str) -> Result<Box<dyn Layer<B>>, Unbuilt> {
    let conv = conv::<R>(layer, op, &["output_padding"])?;
    Ok(Box::new(vivit::nn::ConvTranspose { conv, output_padding: per_axis(layer, "output_padding", 0)? }))
}

fn pool(layer: &Value, op: &str, axes: usize) -> Result<PoolOptions, Unbuilt> {
    only(layer, op, &["kernel", "stride", "padding", "dilation", "ceil", "count_include_pad"])?;
    let kernel = list(layer, "kernel", axes, 1)?;
    Ok(PoolOptions {
        stride: if layer["stride"].is_null() { kernel.clone() } else { list(layer, "stride", axes, 1)? },
        padding: list(layer, "padding", axes, 0)?,
        dilation: list(layer, "dilation", axes, 1)?,
        ceil: flag(layer, "ceil", false)?,
        count_include_pad: flag(layer, "count_include_pad", true)?,
        kernel,
    })
}

/// The loss of a description against the given targets.
///
/// # Errors
/// If it names something unsupported or is malformed.
pub fn loss<B: Backend>(backend: &B, description: &Value, target: &Array) -> Result<Box<dyn Loss<B>>, Unbuilt> {
    let op = description["op"].as_str().ok_or_else(|| malformed("op", description))?;
    let sum = match description["reduction"].as_str() {
        None | Some("mean") => false,
        Some("sum") => true,
        Some(other) => return Err(Unbuilt::Unsupported(format!("reduction {other}"))),
    };
    let tensor = |array: &Array| Tensor::from_f64(backend, &array.shape, &array.data);
    let numbers = |key: &str| -> Result<Option<Vec<f64>>, Unbuilt> {
        let Some(list) = description[key].as_array() else { return Ok(None) };
        let list: Option<Vec<f64>> = list.iter().map(Value::as_f64).collect();
        Ok(Some(list.ok_or_else(|| malformed(key, description))?))
    };
    match op {
        "mse" => {
            only(description, op, &["reduction"])?;
            let target = tensor(target)?;
            Ok(Box::new(if sum { Mse::sum(target) } else { Mse::mean(target) }))
        }
        "bce_with_logits" => {
            only(description, op, &["reduction", "pos_weight"])?;
            let target = tensor(target)?;
            let mut loss = if sum { BceWithLogits::sum(target) } else { BceWithLogits::mean(target) };
            if let Some(weight) = numbers("pos_weight")? {
                loss = loss.pos_weight(Tensor::from_f64(backend, &[weight.len()], &weight)?);
            }
            Ok(Box::new(loss))
        }
        "cross_entropy" => {
            only(description, op, &["reduction", "weight", "ignore_index", "label_smoothing", "soft"])?;
            // An ignored label may be negative: it stands beyond all classes here.
            let ignored = description["ignore_index"].as_f64();
            let label = |label: &f64| if Some(*label) == ignored { usize::MAX } else { *label as usize };
            let labels = || target.data.iter().map(label).collect::<Vec<usize>>();
            let soft = flag(description, "soft", false)?;
            let mut loss = match (soft, sum) {
                (false, false) => CrossEntropy::mean(labels()),
                (false, true) => CrossEntropy::sum(labels()),
                (true, false) => CrossEntropy::soft_mean(target.data.clone()),
                (true, true) => CrossEntropy::soft_sum(target.data.clone()),
            };
            if let Some(weights) = numbers("weight")? {
                loss = loss.class_weights(weights);
            }
            if ignored.is_some() {
                loss = loss.ignore_index(usize::MAX);
            }
            Ok(Box::new(loss.label_smoothing(number(description, "label_smoothing", 0.0)?)))
        }
        other => Err(Unbuilt::Unsupported(other.into())),
    }
}

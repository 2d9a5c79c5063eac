//! Losses from a case's description.

use serde_json::Value;
use vivit::autodiff::{BceWithLogits, CrossEntropy, Loss, Mse};
use vivit::nn::description::{DescriptionError, DescriptionProblem, Options};
use vivit::tensor::{Device, Tensor};

use crate::Failure;
use crate::case::Array;

/// Why a description gives no model or no loss.
#[derive(Debug)]
pub enum Unbuilt {
    /// It names something that the library does not have.
    Unsupported(String),
    /// It is malformed.
    Malformed(Failure),
}

impl<E: Into<Failure>> From<E> for Unbuilt {
    fn from(error: E) -> Self {
        let failure = error.into();
        match failure.downcast_ref::<DescriptionError>().map(|error| &error.problem) {
            Some(DescriptionProblem::UnknownOp { op, .. }) => Unbuilt::Unsupported(op.clone()),
            Some(DescriptionProblem::UnknownOption { op, option, .. }) => {
                Unbuilt::Unsupported(format!("{op} with {option}"))
            }
            _ => Unbuilt::Malformed(failure),
        }
    }
}

/// The loss of a description against the given targets.
///
/// # Errors
/// If it names something unsupported or is malformed.
pub fn loss(
    device: &Device,
    description: &Value,
    target: &Array,
) -> Result<Box<dyn Loss>, Unbuilt> {
    let options = Options::of(description)?;
    let sum = match options.get("reduction").map(|reduction| reduction.as_str().ok_or(reduction)) {
        None | Some(Ok("mean")) => false,
        Some(Ok("sum")) => true,
        Some(Ok(other)) => return Err(Unbuilt::Unsupported(format!("reduction {other}"))),
        Some(Err(other)) => return Err(options.invalid("reduction", "mean or sum", other).into()),
    };
    let tensor = |array: &Array| Tensor::from_vec(device, &array.shape, &array.data);
    let numbers = |key: &str| -> Result<Option<Vec<f64>>, Unbuilt> {
        let Some(value) = options.get(key) else { return Ok(None) };
        let list: Option<Vec<f64>> =
            value.as_array().and_then(|list| list.iter().map(Value::as_f64).collect());
        Ok(Some(list.ok_or_else(|| options.invalid(key, "a list of numbers", value))?))
    };
    match options.op() {
        "mse" => {
            options.only(&["reduction"])?;
            let target = tensor(target)?;
            Ok(Box::new(if sum { Mse::sum(target) } else { Mse::mean(target) }))
        }
        "bce_with_logits" => {
            options.only(&["reduction", "pos_weight"])?;
            let target = tensor(target)?;
            let mut loss =
                if sum { BceWithLogits::sum(target) } else { BceWithLogits::mean(target) };
            if let Some(weight) = numbers("pos_weight")? {
                loss = loss.pos_weight(Tensor::from_vec(device, [weight.len()], &weight)?);
            }
            Ok(Box::new(loss))
        }
        "cross_entropy" => {
            options.only(&["reduction", "weight", "ignore_index", "label_smoothing", "soft"])?;
            let labels = || target.data.iter().map(|&label| label as i64).collect::<Vec<_>>();
            let soft = options.flag("soft", false)?;
            let mut loss = match (soft, sum) {
                (false, false) => CrossEntropy::mean(labels()),
                (false, true) => CrossEntropy::sum(labels()),
                (true, false) => CrossEntropy::soft_mean(target.data.clone()),
                (true, true) => CrossEntropy::soft_sum(target.data.clone()),
            };
            if let Some(weights) = numbers("weight")? {
                loss = loss.class_weights(weights);
            }
            if let Some(ignored) = description["ignore_index"].as_i64() {
                loss = loss.ignore_index(ignored);
            }
            Ok(Box::new(loss.label_smoothing(options.number("label_smoothing", 0.0)?)))
        }
        other => Err(Unbuilt::Unsupported(other.into())),
    }
}

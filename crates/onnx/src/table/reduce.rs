//! Reductions over axes.

use crate::convert::{Convert, Outcome, named};

pub(super) fn reduce(c: &mut Convert<'_>) -> Outcome {
    let op = match c.node.op_type.as_str() {
        "ReduceL1" => "norm1",
        "ReduceL2" => "norm2",
        "ReduceLogSum" => "log_sum",
        "ReduceLogSumExp" => "logsumexp",
        "ReduceMax" => "max",
        "ReduceMean" => "mean",
        "ReduceMin" => "min",
        "ReduceProd" => "prod",
        "ReduceSum" => "sum",
        _ => "sum_squares",
    };
    let mut options = vec![
        ("keep", c.flag("keepdims", true)?.into()),
        ("none_if_empty", c.flag("noop_with_empty_axes", false)?.into()),
    ];
    if let Some(axes) = c.ints("axes")? {
        options.push(("axes", axes.into()));
    }
    c.same(op, &options)
}

pub(super) fn arg(c: &mut Convert<'_>) -> Outcome {
    let op = if c.node.op_type == "ArgMax" { "argmax" } else { "argmin" };
    let options = [
        ("axis", c.int("axis", 0)?.into()),
        ("keep", c.flag("keepdims", true)?.into()),
        ("last", c.flag("select_last_index", false)?.into()),
    ];
    c.same(op, &options)
}

pub(super) fn softmax(c: &mut Convert<'_>) -> Outcome {
    let op = if c.node.op_type == "Softmax" { "softmax" } else { "log_softmax" };
    let axis = c.int("axis", -1)?;
    c.same(op, &[("axis", axis.into())])
}

/// 1 at the first of the largest entries, else 0.
pub(super) fn hardmax(c: &mut Convert<'_>) -> Outcome {
    c.only_outputs(1)?;
    let axis = c.int("axis", -1)?;
    let place = c.step("argmax", c.arguments(1), &[("axis", axis.into()), ("keep", false.into())]);
    let shape = c.step("shape", c.arguments(1), &[]);
    let mut index = named(&[&shape]);
    index.push(Some(vec![axis].into()));
    let len = c.step("gather", index, &[("axis", 0.into())]);
    let node = c.last("one_hot", named(&[&place, &len])).with("axis", axis);
    c.emit(node);
    Ok(())
}

pub(super) fn cumsum(c: &mut Convert<'_>) -> Outcome {
    let options = [
        ("exclusive", c.flag("exclusive", false)?.into()),
        ("reverse", c.flag("reverse", false)?.into()),
    ];
    c.same("cumsum", &options)
}

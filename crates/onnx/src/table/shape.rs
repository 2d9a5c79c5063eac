//! Shapes, and entries that numbers name.

use serde_json::Value;
use vivit_autodiff::InputKind;

use super::elementwise::constant as constant_array;
use crate::convert::{Convert, Outcome};
use crate::tensor::{Folder, read};

/// An axis, by default 0.
fn with_axis(c: &mut Convert<'_>, op: &str) -> Outcome {
    let axis = c.int("axis", 0)?;
    c.same(op, &[("axis", axis.into())])
}

pub(super) fn constant(c: &mut Convert<'_>) -> Outcome {
    if let Some(tensor) = c.tensor("value")? {
        let array = read(tensor, Folder::None)?;
        c.constants.push(vivit_nn::NamedArray { name: c.output(0), ..array });
    } else if let Some(number) = c.optional_float("value_float")? {
        constant_array(c, &[], vec![number], InputKind::Float);
    } else if let Some(number) = c.optional_int("value_int")? {
        constant_array(c, &[], vec![number as f64], InputKind::Integer);
    } else if let Some(numbers) = c.floats("value_floats")? {
        constant_array(c, &[numbers.len()], numbers, InputKind::Float);
    } else if let Some(numbers) = c.ints("value_ints")? {
        let numbers: Vec<f64> = numbers.into_iter().map(|number| number as f64).collect();
        constant_array(c, &[numbers.len()], numbers, InputKind::Integer);
    } else {
        return Err("constants of texts or sparse arrays are not supported".into());
    }
    Ok(())
}

pub(super) fn constant_of_shape(c: &mut Convert<'_>) -> Outcome {
    let value: Value = match c.tensor("value")? {
        None => 0.0.into(),
        Some(tensor) => {
            let array = read(tensor, Folder::None)?;
            if array.values.len() != 1 {
                return Err(format!("the value has {} numbers, not one", array.values.len()));
            }
            let number = array.values.at(0);
            if !number.is_finite() {
                // No JSON number: repeated by another node.
                let name = c.temporary();
                c.constants.push(vivit_nn::NamedArray {
                    name: name.clone(),
                    shape: vec![],
                    ..array
                });
                let node = c.last("expand", vec![Some(name.into()), c.argument(0)]);
                c.emit(node);
                return Ok(());
            }
            match array.kind {
                InputKind::Integer => (number as i64).into(),
                InputKind::Bool => (number != 0.0).into(),
                _ => number.into(),
            }
        }
    };
    c.same("fill", &[("value", value)])
}

pub(super) fn shape(c: &mut Convert<'_>) -> Outcome {
    let mut options = vec![("start", c.int("start", 0)?.into())];
    if let Some(end) = c.optional_int("end")? {
        options.push(("end", end.into()));
    }
    c.same("shape", &options)
}

pub(super) fn size(c: &mut Convert<'_>) -> Outcome {
    c.same("size", &[])
}

pub(super) fn reshape(c: &mut Convert<'_>) -> Outcome {
    let zero = c.flag("allowzero", false)?;
    c.same("reshape", &[("zero", zero.into())])
}

pub(super) fn flatten(c: &mut Convert<'_>) -> Outcome {
    let axis = c.int("axis", 1)?;
    c.same("flatten", &[("axis", axis.into())])
}

pub(super) fn squeeze(c: &mut Convert<'_>) -> Outcome {
    c.same("squeeze", &[])
}

pub(super) fn unsqueeze(c: &mut Convert<'_>) -> Outcome {
    c.same("unsqueeze", &[])
}

pub(super) fn expand(c: &mut Convert<'_>) -> Outcome {
    c.same("expand", &[])
}

pub(super) fn range(c: &mut Convert<'_>) -> Outcome {
    c.pass_over("stash_type");
    c.same("range", &[])
}

pub(super) fn transpose(c: &mut Convert<'_>) -> Outcome {
    match c.ints("perm")? {
        Some(order) => c.same("transpose", &[("order", order.into())]),
        None => c.same("transpose", &[]),
    }
}

pub(super) fn concat(c: &mut Convert<'_>) -> Outcome {
    with_axis(c, "concat")
}

pub(super) fn gather(c: &mut Convert<'_>) -> Outcome {
    with_axis(c, "gather")
}

pub(super) fn gather_elements(c: &mut Convert<'_>) -> Outcome {
    with_axis(c, "gather_elements")
}

pub(super) fn gather_nd(c: &mut Convert<'_>) -> Outcome {
    c.only_int("batch_dims", 0)?;
    c.same("gather_nd", &[])
}

pub(super) fn top_k(c: &mut Convert<'_>) -> Outcome {
    // Sorted entries are among those that an unsorted choice allows.
    c.pass_over("sorted");
    let (axis, largest) = (c.int("axis", -1)?, c.flag("largest", true)?);
    let node = c.last("top_k", c.all_arguments()).giving(c.node.output.clone());
    c.emit(node.with("axis", axis).with("largest", largest));
    Ok(())
}

fn reduction(c: &Convert<'_>) -> Result<Value, String> {
    match c.text("reduction", "none")?.as_str() {
        known @ ("none" | "add") => Ok(known.into()),
        other => Err(format!("attribute reduction = {other:?} is not supported")),
    }
}

pub(super) fn scatter_elements(c: &mut Convert<'_>) -> Outcome {
    let options = [("axis", c.int("axis", 0)?.into()), ("reduction", reduction(c)?)];
    c.same("scatter_elements", &options)
}

pub(super) fn scatter_nd(c: &mut Convert<'_>) -> Outcome {
    let reduction = reduction(c)?;
    c.same("scatter_nd", &[("reduction", reduction)])
}

pub(super) fn one_hot(c: &mut Convert<'_>) -> Outcome {
    let axis = c.int("axis", -1)?;
    c.same("one_hot", &[("axis", axis.into())])
}

pub(super) fn nonzero(c: &mut Convert<'_>) -> Outcome {
    c.same("nonzero", &[])
}

pub(super) fn split(c: &mut Convert<'_>) -> Outcome {
    let mut options = vec![("axis", c.int("axis", 0)?.into())];
    if let Some(parts) = c.optional_int("num_outputs")? {
        options.push(("parts", parts.into()));
    }
    let node = c.last("split", c.all_arguments()).giving(c.node.output.clone());
    let node =
        options.into_iter().fold(node, |node, (name, value): (&str, Value)| node.with(name, value));
    c.emit(node);
    Ok(())
}

pub(super) fn slice(c: &mut Convert<'_>) -> Outcome {
    c.same("slice", &[])
}

pub(super) fn pad(c: &mut Convert<'_>) -> Outcome {
    let mode = c.text("mode", "constant")?;
    c.same("pad", &[("mode", mode.into())])
}

pub(super) fn triangle(c: &mut Convert<'_>) -> Outcome {
    let upper = c.flag("upper", true)?;
    c.same("triangle", &[("upper", upper.into())])
}

pub(super) fn eye(c: &mut Convert<'_>) -> Outcome {
    c.pass_over("dtype");
    let diagonal = c.int("k", 0)?;
    c.same("eye", &[("diagonal", diagonal.into())])
}

pub(super) fn depth_to_space(c: &mut Convert<'_>) -> Outcome {
    let block = c.int("blocksize", 1)?;
    let mode = match c.text("mode", "DCR")?.as_str() {
        "DCR" => "depth_column_row",
        "CRD" => "column_row_depth",
        other => return Err(format!("attribute mode = {other:?} is not supported")),
    };
    c.same("depth_to_space", &[("block", block.into()), ("mode", mode.into())])
}

pub(super) fn space_to_depth(c: &mut Convert<'_>) -> Outcome {
    let block = c.int("blocksize", 1)?;
    c.same("space_to_depth", &[("block", block.into())])
}

pub(super) fn resize(c: &mut Convert<'_>) -> Outcome {
    c.only_int("antialias", 0)?;
    c.only_int("exclude_outside", 0)?;
    c.pass_over("extrapolation_value");
    let policy = c.text("keep_aspect_ratio_policy", "stretch")?;
    if policy != "stretch" {
        return Err(format!("attribute keep_aspect_ratio_policy = {policy:?} is not supported"));
    }
    let coordinates = c.text("coordinate_transformation_mode", "half_pixel")?;
    let known = ["half_pixel", "pytorch_half_pixel", "align_corners", "asymmetric"];
    if !known.contains(&coordinates.as_str()) {
        return Err(format!(
            "attribute coordinate_transformation_mode = {coordinates:?} is not supported"
        ));
    }
    let mut options: Vec<(&str, Value)> = vec![
        ("mode", c.text("mode", "nearest")?.into()),
        ("coordinates", coordinates.into()),
        ("nearest", c.text("nearest_mode", "round_prefer_floor")?.into()),
        ("cubic", c.float("cubic_coeff_a", -0.75)?.into()),
    ];
    if let Some(axes) = c.ints("axes")? {
        options.push(("axes", axes.into()));
    }
    c.only_outputs(1)?;
    // The region of interest, argument 1, belongs to cropping.
    let mut inputs = vec![c.argument(0), c.argument(2)];
    if c.has_input(3) {
        inputs.push(c.argument(3));
    }
    let node = c.last("resize", inputs);
    let node = options.into_iter().fold(node, |node, (name, value)| node.with(name, value));
    c.emit(node);
    Ok(())
}

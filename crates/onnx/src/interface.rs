//! Inputs and outputs of a file: where samples and classes are.

use vivit_autodiff::{Dim, InputSpec, OutputSpec};

use crate::proto;
use crate::tensor::{kind_of, type_name};

/// The lengths that a file states, names for those that it leaves open.
fn shape_of(info: &proto::ValueInfo) -> Option<Vec<Dim>> {
    let shape = info.r#type.as_ref()?.tensor_type.as_ref()?.shape.as_ref()?;
    let dim = |(axis, dim): (usize, &proto::Dimension)| match dim.dim_value {
        Some(len) if len >= 0 => Dim::Fixed(usize::try_from(len).unwrap_or(usize::MAX)),
        _ if dim.dim_param.is_empty() => Dim::Free(format!("{}:{axis}", info.name)),
        _ => Dim::Free(dim.dim_param.clone()),
    };
    Some(shape.dim.iter().enumerate().map(dim).collect())
}

fn free(dim: &Dim) -> Option<&str> {
    match dim {
        Dim::Free(name) => Some(name),
        Dim::Fixed(_) => None,
    }
}

/// Inputs and outputs, and the fixed length of the sample axis, if it has one.
pub(crate) struct Interface {
    pub inputs: Vec<InputSpec>,
    pub outputs: Vec<OutputSpec>,
    pub fixed: Option<usize>,
}

/// The only axis of a length.
fn only_axis(shape: &[Dim], len: &Dim) -> Option<usize> {
    let axis = shape.iter().position(|dim| dim == len)?;
    (!shape[axis + 1..].contains(len)).then_some(axis)
}

/// What of the file's inputs and outputs is the sample axis: the open axis that is called after a
/// batch, else the first axis of the first input and what has its name or, if its length is fixed,
/// its length. Where another axis of the first input alone has the length with which the first
/// output begins, it is that one: time comes first in the input.
pub(crate) fn interface(
    inputs: &[&proto::ValueInfo],
    outputs: &[proto::ValueInfo],
) -> Result<Interface, String> {
    let shapes: Vec<Option<Vec<Dim>>> = inputs.iter().map(|info| shape_of(info)).collect();
    let dims = || shapes.iter().flatten().flatten();
    let is_batch = |name: &&str| {
        let name = name.to_lowercase();
        name.starts_with("batch") || ["n", "b"].contains(&name.as_str())
    };
    let called = dims().filter_map(free).find(is_batch);
    let first = || shapes.iter().flatten().find_map(|shape| shape.first());
    let mut samples: Option<Dim> =
        called.map(|name| Dim::Free(name.into())).or_else(|| first().cloned());
    let stated = outputs.first().and_then(shape_of).and_then(|shape| shape.first().cloned());
    let mut behind_time = false;
    if let (Some(Dim::Fixed(len)), Some(stated @ Dim::Fixed(of_output))) = (&samples, &stated) {
        let other = shapes.iter().flatten().next().and_then(|shape| only_axis(shape, stated));
        if len != of_output && other.is_some() {
            (samples, behind_time) = (Some(stated.clone()), true);
        }
    }
    let mut specs = Vec::with_capacity(inputs.len());
    for (info, shape) in inputs.iter().zip(&shapes) {
        let tensor = info.r#type.as_ref().and_then(|ty| ty.tensor_type.as_ref());
        let Some(tensor) = tensor else {
            return Err(format!("input {} is no array", info.name));
        };
        let Some(kind) = kind_of(tensor.elem_type) else {
            return Err(format!(
                "input {}: elements of {} are not supported",
                info.name,
                type_name(tensor.elem_type)
            ));
        };
        let spec = InputSpec::new(&info.name).of_kind(kind);
        let Some(shape) = shape else {
            specs.push(spec);
            continue;
        };
        let same = |dim: &Dim| Some(dim) == samples.as_ref();
        let axis = match &samples {
            Some(Dim::Free(_)) => shape.iter().position(same).or_else(|| {
                // Another name for the same axis, unless it names a further one, too.
                let name = free(shape.first()?)?;
                (dims().filter_map(free).filter(|other| *other == name).count() == 1).then_some(0)
            }),
            Some(len) if behind_time => only_axis(shape, len),
            _ => shape.first().filter(|dim| same(dim)).map(|_| 0),
        };
        specs.push(spec.shaped(shape.clone()).samples_along(axis));
    }
    let mut results = Vec::with_capacity(outputs.len());
    for (at, info) in outputs.iter().enumerate() {
        let shape = shape_of(info).unwrap_or_default();
        let axis = match &samples {
            Some(dim @ Dim::Free(_)) => shape.iter().position(|own| own == dim).unwrap_or(0),
            _ => 0,
        };
        let classes = if axis == 0 { 1 } else { shape.len().saturating_sub(1) };
        let classes = if classes == axis { 0 } else { classes };
        let spec = OutputSpec::new(&info.name).samples_along(axis).classes_along(classes);
        results.push(spec.predicting(at == 0));
    }
    let fixed = match samples {
        Some(Dim::Fixed(len)) => Some(len),
        _ => None,
    };
    Ok(Interface { inputs: specs, outputs: results, fixed })
}

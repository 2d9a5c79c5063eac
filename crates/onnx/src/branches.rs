//! Branches on constants.

use std::collections::HashMap;

use vivit_nn::NamedArray;

use crate::convert::Convert;
use crate::proto;
use crate::tensor::{Folder, read};

/// The truth of a condition that is a constant of the file, or follows from one.
fn known(
    name: &str,
    constants: &HashMap<String, NamedArray>,
    makers: &HashMap<&str, &proto::Node>,
) -> Option<bool> {
    if let Some(array) = constants.get(name) {
        return (array.values.len() == 1).then(|| array.values.at(0) != 0.0);
    }
    let node = makers.get(name)?;
    match node.op_type.as_str() {
        "Identity" | "Cast" => known(node.input.first()?, constants, makers),
        "Not" => Some(!known(node.input.first()?, constants, makers)?),
        "Constant" => {
            let tensor = node.attribute.iter().find_map(|attribute| attribute.t.as_ref())?;
            let array = read(tensor, Folder::None).ok()?;
            (array.values.len() == 1).then(|| array.values.at(0) != 0.0)
        }
        _ => None,
    }
}

/// Writes out the branch that is taken of every `If` whose condition is known.
pub(crate) fn written_out(
    nodes: Vec<proto::Node>,
    constants: &HashMap<String, NamedArray>,
) -> Result<(Vec<proto::Node>, Vec<proto::Tensor>), String> {
    if !nodes.iter().any(|node| node.op_type == "If") {
        return Ok((nodes, Vec::new()));
    }
    let makers: HashMap<&str, &proto::Node> = nodes
        .iter()
        .flat_map(|node| node.output.iter().map(move |name| (name.as_str(), node)))
        .collect();
    let (mut rest, mut arrays) = (Vec::new(), Vec::new());
    for node in &nodes {
        let condition = node.input.first().map_or("", String::as_str);
        let taken = (node.op_type == "If").then(|| known(condition, constants, &makers)).flatten();
        let Some(taken) = taken else {
            rest.push(node.clone());
            continue;
        };
        let convert = Convert::new(node, 0);
        let branch = convert.graph(if taken { "then_branch" } else { "else_branch" })?;
        let Some(branch) = branch else {
            return Err(format!("node {} lacks the branch that is taken", node.name));
        };
        arrays.extend(branch.initializer.iter().cloned());
        rest.extend(branch.node.iter().cloned());
        for (inner, outer) in branch.output.iter().zip(&node.output) {
            rest.push(proto::Node {
                op_type: "Identity".into(),
                input: vec![inner.name.clone()],
                output: vec![outer.clone()],
                name: node.name.clone(),
                ..proto::Node::default()
            });
        }
    }
    Ok((rest, arrays))
}

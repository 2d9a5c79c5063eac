//! Whether parts make a graph: names, operations, options, order.

use std::collections::{HashMap, HashSet};

use vivit_autodiff::{InputSpec, OutputSpec};

use super::node::{GraphParts, NamedArray, Node};
use super::ops;
use super::problem::{GraphError, GraphProblem};

/// Checks everything that needs no input, and puts the nodes into an order in which each comes
/// after those that it reads.
pub(super) fn checked(parts: &mut GraphParts) -> Result<(), GraphError> {
    let mut problems = Vec::new();
    for array in parts.arrays() {
        problems.extend(check_array(array));
    }
    parts.nodes.iter().for_each(|node| problems.extend(check_node(node)));
    problems.extend(check_interface(&parts.inputs, &parts.outputs));
    problems.extend(check_names(parts));
    if !problems.is_empty() {
        return Err(GraphError { problems });
    }
    parts.nodes = in_order(std::mem::take(&mut parts.nodes)).map_err(GraphError::one)?;
    Ok(())
}

fn check_array(array: &NamedArray) -> Option<GraphProblem> {
    let size = array.shape.iter().try_fold(1usize, |size, &len| size.checked_mul(len));
    if size == Some(array.values.len()) {
        return None;
    }
    let reason = format!("{} numbers for shape {:?}", array.values.len(), array.shape);
    Some(GraphProblem::Array { name: array.name.clone(), reason })
}

fn check_node(node: &Node) -> Vec<GraphProblem> {
    let (label, op) = (node.label().to_string(), node.op.clone());
    let Some(row) = ops::find(&node.op) else {
        return vec![GraphProblem::Operation { op, node: label }];
    };
    let mut problems = Vec::new();
    let (least, most) = row.arguments;
    if !(least..=most).contains(&node.inputs.len()) {
        problems.push(GraphProblem::Arguments {
            node: label.clone(),
            op: op.clone(),
            got: node.inputs.len(),
            expected: row.arguments,
        });
    }
    for option in node.attributes.keys().filter(|option| !row.options.contains(&option.as_str())) {
        problems.push(GraphProblem::Option {
            option: option.clone(),
            op: op.clone(),
            node: label.clone(),
            known: row.options.iter().map(|option| option.to_string()).collect(),
        });
    }
    problems
}

/// Checks inputs and outputs alone.
pub(super) fn checked_interface(
    inputs: &[InputSpec],
    outputs: &[OutputSpec],
) -> Result<(), GraphError> {
    let problems = check_interface(inputs, outputs);
    if problems.is_empty() { Ok(()) } else { Err(GraphError { problems }) }
}

fn check_interface(inputs: &[InputSpec], outputs: &[OutputSpec]) -> Vec<GraphProblem> {
    let mut reasons = Vec::new();
    for input in inputs {
        if let (Some(shape), Some(axis)) = (&input.shape, input.sample_axis) {
            if axis >= shape.len() {
                reasons.push(format!("input {input} has no axis {axis} for its samples"));
            }
        }
    }
    let predictions = outputs.iter().filter(|output| output.prediction).count();
    if predictions != 1 {
        let names: Vec<&str> = outputs.iter().map(|output| output.name.as_str()).collect();
        reasons.push(format!(
            "one output must be the prediction, not {predictions} of {}",
            names.join(", ")
        ));
    }
    for output in outputs.iter().filter(|output| output.sample_axis == output.class_axis) {
        let (name, axis) = (&output.name, output.sample_axis);
        reasons
            .push(format!("output {name} has both its samples and its classes along axis {axis}"));
    }
    reasons.into_iter().map(|reason| GraphProblem::Interface { reason }).collect()
}

/// Every name once, and every name that is read.
fn check_names(parts: &GraphParts) -> Vec<GraphProblem> {
    let inputs = parts.inputs.iter().map(|input| input.name.as_str());
    let arrays = parts.arrays().map(|array| array.name.as_str());
    let results = parts.nodes.iter().flat_map(|node| &node.outputs).map(String::as_str);
    let (mut known, mut problems) = (HashSet::new(), Vec::new());
    for name in inputs.chain(arrays).chain(results.filter(|name| !name.is_empty())) {
        if !known.insert(name) {
            problems.push(GraphProblem::Repeated { name: name.into() });
        }
    }
    let unknown = |name: &str, reader: String| {
        (!known.contains(name)).then(|| GraphProblem::Unknown { name: name.into(), reader })
    };
    for node in &parts.nodes {
        let reader = || format!("node {}", node.label());
        problems.extend(node.reads().filter_map(|name| unknown(name, reader())));
    }
    let outputs = parts.outputs.iter();
    problems.extend(outputs.filter_map(|output| unknown(&output.name, "the model".into())));
    problems
}

/// The nodes, each after those that it reads.
fn in_order(nodes: Vec<Node>) -> Result<Vec<Node>, GraphProblem> {
    let mut makers = HashMap::new();
    for (at, node) in nodes.iter().enumerate() {
        for name in node.outputs.iter().filter(|name| !name.is_empty()) {
            makers.insert(name.clone(), at);
        }
    }
    let mut waiting = vec![0usize; nodes.len()];
    let mut readers = vec![Vec::new(); nodes.len()];
    for (at, node) in nodes.iter().enumerate() {
        for maker in node.reads().filter_map(|name| makers.get(name)) {
            waiting[at] += 1;
            readers[*maker].push(at);
        }
    }
    // Those that are ready, in the order in which they were given.
    let mut ready: std::collections::BTreeSet<usize> =
        (0..nodes.len()).filter(|&at| waiting[at] == 0).collect();
    let mut order = Vec::with_capacity(nodes.len());
    while let Some(at) = ready.pop_first() {
        order.push(at);
        for &reader in &readers[at] {
            waiting[reader] -= 1;
            if waiting[reader] == 0 {
                ready.insert(reader);
            }
        }
    }
    if order.len() < nodes.len() {
        let stuck = (0..nodes.len()).filter(|&at| waiting[at] > 0);
        let nodes = stuck.map(|at| nodes[at].label().to_string()).collect();
        return Err(GraphProblem::Cycle { nodes });
    }
    let mut nodes: Vec<Option<Node>> = nodes.into_iter().map(Some).collect();
    Ok(order.into_iter().filter_map(|at| nodes[at].take()).collect())
}

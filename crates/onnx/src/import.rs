//! From the messages of a file to the parts of a graph model.

use std::collections::{BTreeMap, HashMap, HashSet};

use vivit_nn::{NamedArray, Node};

use crate::arrays::{Initializer, Uses, is_made_up, marks, uses};
use crate::branches;
use crate::convert::Convert;
use crate::inline::{Inliner, own_domain};
use crate::interface::{Interface, interface};
use crate::structure::recovered;
use crate::tensor::{Folder, read};
use crate::warning::Warning;
use crate::{Error, OPSETS, Problem, proto, table};

/// What a file holds.
#[derive(Clone, Debug)]
pub(crate) struct Imported {
    pub interface_inputs: Vec<vivit_autodiff::InputSpec>,
    pub interface_outputs: Vec<vivit_autodiff::OutputSpec>,
    pub initializers: Vec<Initializer>,
    /// Names of the initialisers that are parameters.
    pub params: HashSet<String>,
    pub constants: Vec<NamedArray>,
    pub nodes: Vec<Node>,
    pub operations: BTreeMap<String, usize>,
    pub warnings: Vec<Warning>,
    pub opset: i64,
}

fn file(reason: impl Into<String>) -> Problem {
    Problem::File { reason: reason.into() }
}

/// How a node is called in errors.
fn label(node: &proto::Node) -> String {
    let first = node.output.iter().find(|name| !name.is_empty());
    if node.name.is_empty() { first.cloned().unwrap_or_default() } else { node.name.clone() }
}

pub(crate) fn import(model: proto::Model, folder: Folder<'_>) -> Result<Imported, Error> {
    let Some(graph) = &model.graph else {
        return Err(Error::NotOnnx { reason: "it holds no graph".into() });
    };
    let mut problems = Vec::new();
    let opset = opset_of(&model, &mut problems);
    if !graph.sparse_initializer.is_empty() {
        problems.push(file("sparse arrays are not supported"));
    }
    // Arrays.
    let marks = marks(graph);
    let mut initializers = Vec::with_capacity(graph.initializer.len());
    for tensor in &graph.initializer {
        match read(tensor, folder) {
            Ok(array) => {
                let mark = marks.get(tensor.name.as_str()).copied();
                initializers.push(Initializer { array, mark });
            }
            Err(reason) => problems.push(Problem::Tensor { name: tensor.name.clone(), reason }),
        }
    }
    // Nodes, functions and known branches written out, and only those that the outputs need.
    let mut inliner = Inliner::new(&model.functions);
    if let Err(reason) = inliner.add(&graph.node, 0) {
        problems.push(file(reason));
    }
    let known: HashMap<String, NamedArray> = initializers
        .iter()
        .map(|initializer| (initializer.array.name.clone(), initializer.array.clone()))
        .filter(|(_, array)| array.values.len() == 1)
        .collect();
    let nodes = match branches::written_out(inliner.nodes, &known) {
        Ok((nodes, arrays)) => {
            for tensor in &arrays {
                match read(tensor, folder) {
                    Ok(array) => initializers.push(Initializer { array, mark: None }),
                    Err(reason) => {
                        problems.push(Problem::Tensor { name: tensor.name.clone(), reason });
                    }
                }
            }
            nodes
        }
        Err(reason) => {
            problems.push(file(reason));
            Vec::new()
        }
    };
    let outputs: Vec<String> = graph.output.iter().map(|output| output.name.clone()).collect();
    let nodes = needed(nodes, &outputs);
    // Inputs and outputs.
    let stored: HashSet<&str> = graph.initializer.iter().map(|t| t.name.as_str()).collect();
    let inputs: Vec<&proto::ValueInfo> =
        graph.input.iter().filter(|input| !stored.contains(input.name.as_str())).collect();
    let Interface { inputs, outputs: specs, fixed } = match interface(&inputs, &graph.output) {
        Ok(interface) => interface,
        Err(reason) => {
            problems.push(file(reason));
            Interface { inputs: Vec::new(), outputs: Vec::new(), fixed: None }
        }
    };
    let mut constants = Vec::new();
    let mut converted = Vec::new();
    convert(&nodes, opset, (&mut converted, &mut constants), &mut problems);
    if let Some(samples) = fixed.filter(|&samples| samples != 1) {
        let arrays = initializers.iter().map(|initializer| &initializer.array);
        problems.extend(fixed_shapes(&nodes, arrays.chain(&constants), samples));
    }
    if !problems.is_empty() {
        return Err(Error::Unsupported { problems });
    }
    let arrays = initializers.iter().map(|initializer| &initializer.array).chain(&constants);
    let converted = recovered(converted, arrays, &outputs);
    let uses = uses(&nodes, &outputs);
    let params: HashSet<String> = initializers
        .iter()
        .filter(|initializer| uses.is_parameter(initializer))
        .map(|initializer| initializer.array.name.clone())
        .collect();
    let mut operations = BTreeMap::new();
    for node in &nodes {
        *operations.entry(node.op_type.clone()).or_insert(0) += 1;
    }
    let warnings = warnings(&nodes, &uses, &params, fixed);
    Ok(Imported {
        interface_inputs: inputs,
        interface_outputs: specs,
        initializers,
        params,
        constants,
        nodes: converted,
        operations,
        warnings,
        opset,
    })
}

/// The version of ONNX's own operations.
fn opset_of(model: &proto::Model, problems: &mut Vec<Problem>) -> i64 {
    let own = model.opset_import.iter().find(|opset| own_domain(&opset.domain));
    let (least, most) = OPSETS;
    match own.map(|opset| opset.version) {
        None => problems.push(file("the file names no version of ONNX's operations")),
        Some(version) if version < least => problems.push(file(format!(
            "the file uses version {version} of ONNX's operations; versions {least} to {most} are \
             read: export it again with `opset_version={least}` or a later one"
        ))),
        Some(version) if version > most => problems.push(file(format!(
            "the file uses version {version} of ONNX's operations; versions {least} to {most} are \
             read: export it with `opset_version={most}` or an earlier one"
        ))),
        Some(version) => return version,
    }
    most
}

/// Those nodes that the outputs depend on.
fn needed(nodes: Vec<proto::Node>, outputs: &[String]) -> Vec<proto::Node> {
    let mut makers = HashMap::new();
    for (at, node) in nodes.iter().enumerate() {
        for name in node.output.iter().filter(|name| !name.is_empty()) {
            makers.entry(name.clone()).or_insert_with(Vec::new).push(at);
        }
    }
    let mut keep = vec![false; nodes.len()];
    let mut open: Vec<usize> =
        outputs.iter().filter_map(|name| makers.get(name)).flatten().copied().collect();
    while let Some(at) = open.pop() {
        if !std::mem::replace(&mut keep[at], true) {
            open.extend(nodes[at].input.iter().filter_map(|name| makers.get(name)).flatten());
        }
    }
    let mut keep = keep.into_iter();
    nodes.into_iter().filter(|_| keep.next() == Some(true)).collect()
}

/// Translates nodes; what can't be translated is gathered by operation.
fn convert(
    nodes: &[proto::Node],
    opset: i64,
    (converted, constants): (&mut Vec<Node>, &mut Vec<NamedArray>),
    problems: &mut Vec<Problem>,
) {
    let mut unknown: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for node in nodes {
        let row = if own_domain(&node.domain) { table::find(&node.op_type) } else { None };
        let Some(row) = row else {
            let op = if own_domain(&node.domain) {
                node.op_type.clone()
            } else {
                format!("{}::{}", node.domain, node.op_type)
            };
            unknown.entry(op).or_default().push(label(node));
            continue;
        };
        let mut convert = Convert::new(node, opset);
        let done = (row.convert)(&mut convert).and_then(|()| convert.finish());
        match done {
            Ok((nodes, arrays)) => {
                converted.extend(nodes);
                constants.extend(arrays);
            }
            Err(reason) => {
                let (node, op) = (label(node), node.op_type.clone());
                problems.push(Problem::Node { node, op, reason });
            }
        }
    }
    problems.extend(unknown.into_iter().map(|(op, nodes)| Problem::Operation { op, nodes }));
}

/// Arguments that are shapes.
const SHAPES: &[(&str, usize)] =
    &[("Reshape", 1), ("Expand", 1), ("ConstantOfShape", 0), ("Resize", 3), ("Tile", 1)];

/// The nodes whose shapes contain the fixed number of samples.
fn fixed_shapes<'a>(
    nodes: &[proto::Node],
    arrays: impl Iterator<Item = &'a NamedArray>,
    samples: usize,
) -> Vec<Problem> {
    let holds = |array: &&NamedArray| {
        let numbers = &array.values;
        array.kind == vivit_autodiff::InputKind::Integer
            && array.shape.len() <= 1
            && (0..numbers.len()).any(|at| numbers.at(at) == samples as f64)
    };
    let mut tainted: HashSet<&str> =
        arrays.filter(holds).map(|array| array.name.as_str()).collect();
    // Shapes are put together from pieces; nodes are in order.
    for node in nodes {
        let piece = ["Concat", "Unsqueeze", "Squeeze", "Cast", "Identity", "Reshape"];
        if piece.contains(&node.op_type.as_str())
            && node.input.iter().any(|n| tainted.contains(n.as_str()))
        {
            tainted.extend(node.output.iter().map(String::as_str));
        }
    }
    let fixed = |node: &&proto::Node| {
        let shape = SHAPES.iter().find(|(op, _)| *op == node.op_type);
        let name = shape.and_then(|(_, at)| node.input.get(*at));
        name.is_some_and(|name| tainted.contains(name.as_str()))
    };
    let found: Vec<String> = nodes.iter().filter(fixed).map(label).collect();
    if found.is_empty() {
        return Vec::new();
    }
    vec![file(format!(
        "the file is for exactly {samples} samples, and shapes in it contain that number (nodes \
         {}); export it for one sample, or with a free batch axis",
        found.join(", ")
    ))]
}

/// What the file shows of having been changed by its exporter.
fn warnings(
    nodes: &[proto::Node],
    uses: &Uses,
    params: &HashSet<String>,
    fixed: Option<usize>,
) -> Vec<Warning> {
    let mut warnings = Vec::new();
    let mut renamed: Vec<String> = params
        .iter()
        .filter(|name| is_made_up(name) && uses.weights.contains(*name))
        .cloned()
        .collect();
    renamed.sort();
    if !renamed.is_empty() {
        warnings.push(Warning::Renamed { names: renamed });
    }
    let norms = nodes.iter().any(|node| node.op_type == "BatchNormalization");
    let convolution =
        |node: &&proto::Node| ["Conv", "ConvTranspose"].contains(&node.op_type.as_str());
    // A bias whose name is not the weight's brother came from somewhere else.
    let folded = |node: &proto::Node| {
        let (weight, bias) = (node.input.get(1)?, node.input.get(2)?);
        let own =
            weight.strip_suffix(".weight").is_some_and(|layer| *bias == format!("{layer}.bias"));
        (params.contains(bias) && !own && (is_made_up(bias) || bias.ends_with("_bias")))
            .then(|| weight.clone())
    };
    let weights: Vec<String> = nodes.iter().filter(convolution).filter_map(folded).collect();
    if !norms && !weights.is_empty() {
        warnings.push(Warning::Folded { weights });
    }
    if let Some(samples) = fixed {
        warnings.push(Warning::FixedBatch { samples });
    }
    warnings
}

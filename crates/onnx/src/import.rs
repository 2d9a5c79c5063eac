//! From the messages of a file to the parts of a graph model.

use std::collections::{BTreeMap, HashMap, HashSet};

use vivit_nn::{NamedArray, Node};

use crate::arrays::{Initializer, Mark, Uses, is_made_up, marks, sources, uses};
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
    // Of what arrays were computed from, that which the file does not compute.
    let results: HashSet<&String> = nodes.iter().flat_map(|node| &node.output).collect();
    let mut sources = sources(graph);
    sources.values_mut().for_each(|from| from.retain(|name| !results.contains(name)));
    let marked = initializers.iter().any(|i| i.mark == Some(Mark::Parameter));
    let params: HashSet<String> = initializers
        .iter()
        .filter(|i| {
            let from = sources.get(i.array.name.as_str()).map(Vec::as_slice);
            uses.is_parameter(i, marked, from)
        })
        .map(|initializer| initializer.array.name.clone())
        .collect();
    let mut operations = BTreeMap::new();
    for node in &nodes {
        *operations.entry(node.op_type.clone()).or_insert(0) += 1;
    }
    let changes =
        Changes { nodes: &nodes, initializers: &initializers, uses: &uses, params: &params };
    let warnings = changes.warnings(&sources, fixed);
    let mut imported = Imported {
        interface_inputs: inputs,
        interface_outputs: specs,
        initializers,
        params,
        constants,
        nodes: converted,
        operations,
        warnings,
        opset,
    };
    // A copy that was computed from an array which is there, too, is that array.
    imported.tie(|copy, array| {
        sources.get(copy).is_some_and(|from| from.iter().any(|name| name == array))
    });
    imported.keep_warnings();
    Ok(imported)
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
struct Changes<'c> {
    nodes: &'c [proto::Node],
    initializers: &'c [Initializer],
    uses: &'c Uses,
    params: &'c HashSet<String>,
}

impl Changes<'_> {
    fn warnings(&self, sources: &HashMap<&str, Vec<String>>, fixed: Option<usize>) -> Vec<Warning> {
        let (renamed, folded) = (self.renamed(), self.folded());
        let (computed, unnamed) = (self.computed(sources), self.unnamed());
        let mut warnings = Vec::new();
        warnings.extend((!renamed.is_empty()).then_some(Warning::Renamed { names: renamed }));
        warnings.extend((!folded.is_empty()).then_some(Warning::Folded { weights: folded }));
        warnings.extend((!computed.is_empty()).then_some(Warning::Computed { arrays: computed }));
        warnings.extend((!unnamed.is_empty()).then_some(Warning::Unnamed { names: unnamed }));
        warnings.extend(fixed.map(|samples| Warning::FixedBatch { samples }));
        warnings
    }

    /// Parameters without a name of their own.
    fn renamed(&self) -> Vec<String> {
        let names = self.params.iter();
        let made_up = |name: &&String| is_made_up(name) && self.uses.weights.contains(*name);
        let mut names: Vec<String> = names.filter(made_up).cloned().collect();
        names.sort();
        names
    }

    /// Weights that batch norm was folded into.
    fn folded(&self) -> Vec<String> {
        let marks: HashMap<&str, Option<Mark>> =
            self.initializers.iter().map(|i| (i.array.name.as_str(), i.mark)).collect();
        let marked = marks.values().any(|mark| *mark == Some(Mark::Parameter));
        // An exporter that marks parameters does not mark what it has put in their place.
        let replaced =
            |name: &String| marked && !is_made_up(name) && marks.get(name.as_str()) == Some(&None);
        let folded = |node: &proto::Node| {
            let weight = node.input.get(1).filter(|name| self.params.contains(*name))?;
            let bias = node.input.get(2).filter(|name| self.params.contains(*name))?;
            let convolution = ["Conv", "ConvTranspose"].contains(&node.op_type.as_str());
            // A bias whose name is not the weight's brother came from somewhere else.
            let brother = weight.strip_suffix(".weight").map(|layer| format!("{layer}.bias"));
            let foreign = brother.as_ref() != Some(bias)
                && (is_made_up(bias) || (bias.ends_with("_bias") && !is_made_up(weight)));
            let shown = replaced(weight) && (convolution || node.op_type == "Gemm");
            (shown || (convolution && foreign)).then(|| weight.clone())
        };
        self.nodes.iter().filter_map(folded).collect()
    }

    /// Constants that the output has a derivative in.
    fn constants(&self) -> impl Iterator<Item = &Initializer> {
        self.initializers.iter().filter(|Initializer { array, .. }| {
            array.kind == vivit_autodiff::InputKind::Float
                && !self.params.contains(&array.name)
                && self.uses.differentiable.contains(&array.name)
        })
    }

    /// Constants that the exporter computed from what the file no longer has.
    fn computed(&self, sources: &HashMap<&str, Vec<String>>) -> Vec<(String, Vec<String>)> {
        let results = self.nodes.iter().flat_map(|node| node.output.iter().chain(&node.input));
        let there: HashSet<&String> = results.collect();
        let computed = |Initializer { array, .. }: &Initializer| {
            let from = sources.get(array.name.as_str())?.iter();
            let gone = from.filter(|name| !is_made_up(name) && !there.contains(name));
            let gone: Vec<String> = gone.cloned().collect();
            (!gone.is_empty()).then(|| (array.name.clone(), gone))
        };
        self.constants().filter_map(computed).collect()
    }

    /// Constants of several numbers without a name, in a file that does not say what they are.
    fn unnamed(&self) -> Vec<String> {
        if self.initializers.iter().any(|initializer| initializer.mark.is_some()) {
            return Vec::new();
        }
        let unnamed = self.constants().map(|initializer| &initializer.array);
        unnamed
            .filter(|array| array.values.len() > 1 && is_made_up(&array.name))
            .map(|array| array.name.clone())
            .collect()
    }
}

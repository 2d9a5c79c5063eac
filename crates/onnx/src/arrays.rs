//! Arrays of a file, and which of them are parameters.

use std::collections::{HashMap, HashSet};

use vivit_autodiff::InputKind;
use vivit_nn::NamedArray;

use crate::proto;
use crate::table;

/// What the exporter says that an array is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mark {
    Parameter,
    Buffer,
    Other,
}

/// The key under which PyTorch's exporter says what a value is.
const KIND: &str = "pkg.torch.export.graph_signature.InputSpec.kind";

/// The key under which PyTorch's exporter says what it computed an array from.
const FOLDED_FROM: &str = "folded_from";

/// What the exporter computed arrays from, by the arrays' names: names in quotation marks.
pub(crate) fn sources(graph: &proto::Graph) -> HashMap<&str, Vec<String>> {
    let infos = graph.value_info.iter().map(|info| (info.name.as_str(), &info.metadata_props));
    let tensors = graph.initializer.iter().map(|t| (t.name.as_str(), &t.metadata_props));
    let from = |entries: &[proto::Entry]| {
        let entry = entries.iter().find(|entry| entry.key.ends_with(FOLDED_FROM))?;
        Some(entry.value.split('\'').skip(1).step_by(2).map(String::from).collect())
    };
    infos.chain(tensors).filter_map(|(name, entries)| Some((name, from(entries)?))).collect()
}

/// An initialiser of a file.
#[derive(Clone, Debug)]
pub(crate) struct Initializer {
    pub array: NamedArray,
    pub mark: Option<Mark>,
}

fn mark_of(entries: &[proto::Entry]) -> Option<Mark> {
    let entry = entries.iter().find(|entry| entry.key == KIND)?;
    Some(match entry.value.as_str() {
        "PARAMETER" => Mark::Parameter,
        "BUFFER" => Mark::Buffer,
        _ => Mark::Other,
    })
}

/// What the exporter says of each value.
pub(crate) fn marks(graph: &proto::Graph) -> HashMap<&str, Mark> {
    let infos = graph.value_info.iter().map(|info| (info.name.as_str(), &info.metadata_props));
    let tensors = graph.initializer.iter().map(|t| (t.name.as_str(), &t.metadata_props));
    infos.chain(tensors).filter_map(|(name, entries)| Some((name, mark_of(entries)?))).collect()
}

/// Whether a name is one that an exporter made up.
pub(crate) fn is_made_up(name: &str) -> bool {
    let numbered = |prefix: &str| {
        name.strip_prefix(prefix).is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_digit()))
    };
    name.starts_with("onnx::")
        || name.starts_with("/")
        || name.starts_with("_")
        || numbered("val_")
        || numbered("")
        || name.contains('~')
        || name.to_lowercase().starts_with("constant")
}

/// Whether a name is that of running statistics.
pub(crate) fn is_statistics(name: &str) -> bool {
    let last = name.rsplit('.').next().unwrap_or(name);
    ["running_mean", "running_var"].contains(&last)
}

/// Where arrays are used.
#[derive(Debug, Default)]
pub(crate) struct Uses {
    /// Those that are a layer's weight or bias, possibly in another shape or order.
    pub weights: HashSet<String>,
    /// Those that the outputs have a derivative in.
    pub differentiable: HashSet<String>,
    /// Running statistics.
    pub statistics: HashSet<String>,
}

/// Operations that only move the numbers of argument 0.
const MOVING: &[&str] = &[
    "Identity",
    "Cast",
    "CastLike",
    "Transpose",
    "Reshape",
    "Unsqueeze",
    "Squeeze",
    "Slice",
    "Concat",
    "Flatten",
    "Expand",
    "Split",
];

/// Follows the arrays of a list of nodes, which are in order, from the outputs back.
pub(crate) fn uses(nodes: &[proto::Node], outputs: &[String]) -> Uses {
    let mut uses = Uses::default();
    uses.differentiable.extend(outputs.iter().cloned());
    let mut weights: HashSet<&str> = HashSet::new();
    let mut statistics: HashSet<&str> = HashSet::new();
    for node in nodes.iter().rev() {
        let Some(row) = table::find(&node.op_type) else { continue };
        let is_weight = node.output.iter().any(|name| weights.contains(name.as_str()));
        let is_statistics = node.output.iter().any(|name| statistics.contains(name.as_str()));
        let differentiable = node.output.iter().any(|name| uses.differentiable.contains(name));
        let embedding = node.op_type == "Gather";
        for (at, name) in node.input.iter().enumerate().filter(|(_, name)| !name.is_empty()) {
            let constant = row.constant_inputs.contains(&at);
            let moved = MOVING.contains(&node.op_type.as_str()) && !constant;
            if row.weights.contains(&at) || (embedding && at == 0) || (moved && is_weight) {
                weights.insert(name);
            }
            if (node.op_type == "BatchNormalization" && constant) || (moved && is_statistics) {
                statistics.insert(name);
            }
            if differentiable && !constant {
                uses.differentiable.insert(name.clone());
            }
        }
    }
    uses.weights = weights.into_iter().map(String::from).collect();
    uses.statistics = statistics.into_iter().map(String::from).collect();
    uses
}

impl Uses {
    /// Whether an array is taken for a parameter, in a file that marks some or none. What it was
    /// computed from, if the exporter says that, are its `sources`.
    pub fn is_parameter(
        &self,
        initializer: &Initializer,
        marked: bool,
        sources: Option<&[String]>,
    ) -> bool {
        let NamedArray { name, kind, .. } = &initializer.array;
        if *kind != InputKind::Float || is_statistics(name) || self.statistics.contains(name) {
            return false;
        }
        match initializer.mark {
            Some(mark) => mark == Mark::Parameter,
            None if !self.differentiable.contains(name) => false,
            // Beside marked parameters, what an exporter made of one.
            None if marked => {
                let alone = !is_made_up(name) || initializer.array.values.len() > 1;
                self.weights.contains(name) && sources.map_or(alone, is_of_parameter)
            }
            None => self.weights.contains(name) || !is_made_up(name),
        }
    }
}

/// Whether a parameter is among the names that an array was computed from, as far as names tell:
/// that of a module's array has a dot, and what else is computed has several sources.
fn is_of_parameter(sources: &[String]) -> bool {
    let named: Vec<&String> = sources.iter().filter(|name| !is_made_up(name)).collect();
    named.len() == 1 || named.iter().any(|name| name.contains('.'))
}

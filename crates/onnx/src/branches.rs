//! Branches, written out beside the nodes around them.

use std::collections::{HashMap, HashSet};

use vivit_nn::NamedArray;

use crate::convert::Convert;
use crate::inline::renamed_node;
use crate::proto;
use crate::tensor::{Folder, read};

/// Nodes without branches, and the arrays that branches brought along.
#[derive(Default)]
struct Flat<'c> {
    nodes: Vec<proto::Node>,
    arrays: Vec<proto::Tensor>,
    /// Arrays of one number.
    constants: HashMap<&'c str, &'c NamedArray>,
    /// Nodes from which a known condition may follow, by their results.
    makers: HashMap<String, proto::Node>,
    branches: usize,
}

/// Writes branches out: of an `If` whose condition is a constant the one that is taken, of others
/// both, and an `If` that has their results as arguments 1 and 2.
pub(crate) fn written_out(
    nodes: Vec<proto::Node>,
    constants: &HashMap<String, NamedArray>,
) -> Result<(Vec<proto::Node>, Vec<proto::Tensor>), String> {
    if !nodes.iter().any(|node| node.op_type == "If") {
        return Ok((nodes, Vec::new()));
    }
    let constants = constants.iter().map(|(name, array)| (name.as_str(), array)).collect();
    let mut flat = Flat { constants, ..Flat::default() };
    flat.add(nodes)?;
    Ok((flat.nodes, flat.arrays))
}

impl Flat<'_> {
    fn add(&mut self, nodes: Vec<proto::Node>) -> Result<(), String> {
        for node in nodes {
            if node.op_type == "If" {
                self.add_branches(&node)?;
                continue;
            }
            if ["Identity", "Cast", "Not", "Constant"].contains(&node.op_type.as_str()) {
                let results = node.output.iter().cloned();
                self.makers.extend(results.map(|name| (name, node.clone())));
            }
            self.nodes.push(node);
        }
        Ok(())
    }

    fn add_branches(&mut self, node: &proto::Node) -> Result<(), String> {
        let condition = node.input.first().cloned().unwrap_or_default();
        let taken = self.known(&condition);
        let mut results = Vec::new();
        for (truth, name) in [(true, "then_branch"), (false, "else_branch")] {
            if taken.is_some_and(|taken| taken != truth) {
                continue;
            }
            let Some(branch) = Convert::new(node, 0).graph(name)? else {
                return Err(format!("node {} (If) lacks its {name}", node.name));
            };
            let found = self.add_branch(branch)?;
            if found.len() != node.output.len() {
                return Err(format!(
                    "node {} (If) has {} results, its {name} {}",
                    node.name,
                    node.output.len(),
                    found.len()
                ));
            }
            results.push(found);
        }
        for (at, name) in node.output.iter().enumerate() {
            let mut input: Vec<String> = results.iter().map(|found| found[at].clone()).collect();
            let op_type = if taken.is_some() { "Identity" } else { "If" };
            if taken.is_none() {
                input.insert(0, condition.clone());
            }
            self.nodes.push(proto::Node {
                op_type: op_type.into(),
                input,
                output: vec![name.clone()],
                name: node.name.clone(),
                ..proto::Node::default()
            });
        }
        Ok(())
    }

    /// Adds a branch's nodes and arrays under names of their own; the names of its results.
    fn add_branch(&mut self, branch: &proto::Graph) -> Result<Vec<String>, String> {
        self.branches += 1;
        let prefix = format!("If#{}/", self.branches);
        let results = branch.node.iter().flat_map(|node| &node.output);
        let own: HashSet<&String> =
            results.chain(branch.initializer.iter().map(|tensor| &tensor.name)).collect();
        let renamed = |name: &String| {
            let is_own = own.contains(name) && !name.is_empty();
            if is_own { format!("{prefix}{name}") } else { name.clone() }
        };
        for tensor in &branch.initializer {
            let name = renamed(&tensor.name);
            self.arrays.push(proto::Tensor { name, ..tensor.clone() });
        }
        let nodes = branch.node.iter();
        self.add(nodes.map(|n| renamed_node(n, n.attribute.clone(), &renamed)).collect())?;
        Ok(branch.output.iter().map(|output| renamed(&output.name)).collect())
    }

    /// The truth of a condition that is a constant of the file, or follows from one.
    fn known(&self, name: &str) -> Option<bool> {
        let truth =
            |array: &NamedArray| (array.values.len() == 1).then(|| array.values.at(0) != 0.0);
        let (mut name, mut negated) = (name, false);
        // A chain is no longer than there are nodes.
        for _ in 0..=self.makers.len() {
            if let Some(array) = self.constants.get(name) {
                return Some(truth(array)? != negated);
            }
            let node = self.makers.get(name)?;
            if node.op_type == "Constant" {
                let tensor = node.attribute.iter().find_map(|attribute| attribute.t.as_ref())?;
                return Some(truth(&read(tensor, Folder::None).ok()?)? != negated);
            }
            negated ^= node.op_type == "Not";
            name = node.input.first()?;
        }
        None
    }
}

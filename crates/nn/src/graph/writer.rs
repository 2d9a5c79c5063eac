//! What layers write their nodes with.

use std::collections::HashSet;

use super::node::{Argument, Node};
use crate::Error;

/// The nodes of a graph model while layers write them: see [`Layer::nodes`](crate::Layer::nodes).
///
/// It names values after the layer's path and the operation, `2.body.0.linear`, and numbers them
/// where a name is taken.
#[derive(Debug)]
pub struct NodeWriter {
    nodes: Vec<Node>,
    path: String,
    taken: HashSet<String>,
}

/// The names of a layer's parameters and buffers in a graph model.
#[derive(Clone, Copy, Debug)]
pub struct LayerArrays<'w> {
    /// Those of its parameters, in the order of [`Layer::params`](crate::Layer::params).
    pub params: &'w [String],
    /// Those of its buffers, in the order of [`Layer::buffers`](crate::Layer::buffers).
    pub buffers: &'w [String],
}

impl LayerArrays<'_> {
    /// An operation on `x` and all parameters, in their order. The [`NodeWriter`] names its result.
    pub fn node(&self, op: &str, x: &str) -> Node {
        let params = self.params.iter().map(String::as_str);
        let inputs: Vec<&str> = [x].into_iter().chain(params).collect();
        Node::new(op, &inputs, "")
    }
}

impl NodeWriter {
    /// No nodes yet; values get other names than those of `taken`.
    pub(crate) fn new(taken: impl IntoIterator<Item = String>) -> Self {
        let taken = taken.into_iter().collect();
        NodeWriter { nodes: Vec::new(), path: String::new(), taken }
    }

    pub(crate) fn into_nodes(self) -> Vec<Node> {
        self.nodes
    }

    /// A name like this that nothing has.
    pub(crate) fn fresh(&mut self, name: &str) -> String {
        let numbered = (2..).map(|number| format!("{name}_{number}"));
        let mut names = [name.to_string()].into_iter().chain(numbered);
        let free = names.find(|name| !self.taken.contains(name)).expect("names do not end");
        self.taken.insert(free.clone());
        free
    }

    /// Appends a node and returns the name of its result, whatever the node calls it.
    pub fn add(&mut self, node: Node) -> String {
        let [result] = self.add_many(node);
        result
    }

    /// Appends a node with R results and returns their names.
    pub fn add_many<const R: usize>(&mut self, node: Node) -> [String; R] {
        let at = |path: &str| if path.is_empty() { String::new() } else { format!("{path}.") };
        let base = format!("{}{}", at(&self.path), node.op);
        let results = [(); R].map(|()| self.fresh(&base));
        self.nodes.push(node.giving(results.to_vec()));
        results
    }

    /// Appends an operation on a value and a list of whole numbers: lengths, axes.
    pub fn add_with(&mut self, op: &str, x: &str, numbers: &[i64]) -> String {
        let numbers = Argument::Integers(numbers.to_vec());
        self.add(Node::new(op, &[], "").taking(vec![Some(x.into()), Some(numbers)]))
    }

    /// Appends what `write` does for a layer that its container calls `layer`.
    pub fn inside<T>(&mut self, layer: &str, write: impl FnOnce(&mut Self) -> T) -> T {
        let outer = self.path.clone();
        self.path = if outer.is_empty() { layer.into() } else { format!("{outer}.{layer}") };
        let written = write(self);
        self.path = outer;
        written
    }

    /// The error of a layer that has no nodes, with its path.
    pub fn refused(&self, layer: impl Into<String>, reason: impl Into<String>) -> Error {
        Error::NoNodes { path: self.path.clone(), layer: layer.into(), reason: reason.into() }
    }
}

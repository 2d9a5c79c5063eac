//! Functions of a file, and branches on constants, written out: what is left are nodes of ONNX's
//! own operations, in one list.

use std::collections::HashMap;

use crate::proto;

/// Nodes that a file may have after everything is written out.
const MOST_NODES: usize = 1 << 20;
/// How deep functions may call each other.
const DEEPEST: usize = 64;

/// Key of a function: domain, name, overload.
type Key<'f> = (&'f str, &'f str, &'f str);

pub(crate) struct Inliner<'f> {
    functions: HashMap<Key<'f>, &'f proto::Function>,
    pub nodes: Vec<proto::Node>,
    calls: usize,
}

/// ONNX's own domain has two names.
pub(crate) fn own_domain(domain: &str) -> bool {
    domain.is_empty() || domain == "ai.onnx"
}

impl<'f> Inliner<'f> {
    pub fn new(functions: &'f [proto::Function]) -> Self {
        let keyed = functions.iter().map(|function| {
            let key =
                (function.domain.as_str(), function.name.as_str(), function.overload.as_str());
            (key, function)
        });
        Inliner { functions: keyed.collect(), nodes: Vec::new(), calls: 0 }
    }

    /// Adds nodes, functions among them written out.
    pub fn add(&mut self, nodes: &[proto::Node], depth: usize) -> Result<(), String> {
        for node in nodes {
            let key = (node.domain.as_str(), node.op_type.as_str(), node.overload.as_str());
            match self.functions.get(&key).copied() {
                Some(function) => self.call(function, node, depth)?,
                None => {
                    if self.nodes.len() >= MOST_NODES {
                        return Err(format!("there are more than {MOST_NODES} nodes"));
                    }
                    self.nodes.push(node.clone());
                }
            }
        }
        Ok(())
    }

    /// Adds a function's nodes for one call.
    fn call(
        &mut self,
        function: &'f proto::Function,
        call: &proto::Node,
        depth: usize,
    ) -> Result<(), String> {
        if depth >= DEEPEST {
            return Err(format!(
                "function {} is called {DEEPEST} calls deep; functions must not call themselves",
                function.name
            ));
        }
        self.calls += 1;
        let prefix = format!("{}#{}/", function.name, self.calls);
        let mut names: HashMap<&str, String> = HashMap::new();
        for (at, name) in function.input.iter().enumerate() {
            names.insert(name, call.input.get(at).cloned().unwrap_or_default());
        }
        for (at, name) in function.output.iter().enumerate() {
            let outer = call.output.get(at).filter(|outer| !outer.is_empty());
            names.insert(name, outer.cloned().unwrap_or_else(|| format!("{prefix}{name}")));
        }
        let renamed = |name: &String| {
            if name.is_empty() {
                String::new()
            } else {
                names.get(name.as_str()).cloned().unwrap_or_else(|| format!("{prefix}{name}"))
            }
        };
        let value = |name: &str| {
            let given = call.attribute.iter().find(|attribute| attribute.name == name);
            given.or_else(|| function.attribute_proto.iter().find(|a| a.name == name))
        };
        let mut nodes = Vec::with_capacity(function.node.len());
        for node in &function.node {
            let mut attributes = Vec::with_capacity(node.attribute.len());
            for attribute in &node.attribute {
                if attribute.ref_attr_name.is_empty() {
                    attributes.push(attribute.clone());
                } else if let Some(value) = value(&attribute.ref_attr_name) {
                    // Without a value the attribute is left out.
                    attributes
                        .push(proto::Attribute { name: attribute.name.clone(), ..value.clone() });
                }
            }
            let label = if call.name.is_empty() { &prefix } else { &call.name };
            nodes.push(proto::Node {
                name: format!("{label}/{}", node.name),
                ..renamed_node(node, attributes, &renamed)
            });
        }
        self.add(&nodes, depth + 1)
    }
}

/// A node under other names, in the graphs that it holds as well.
pub(crate) fn renamed_node(
    node: &proto::Node,
    attributes: Vec<proto::Attribute>,
    renamed: &dyn Fn(&String) -> String,
) -> proto::Node {
    let within = |attribute: proto::Attribute| match attribute.g {
        Some(graph) => proto::Attribute { g: Some(renamed_graph(&graph, renamed)), ..attribute },
        None => attribute,
    };
    proto::Node {
        input: node.input.iter().map(renamed).collect(),
        output: node.output.iter().map(renamed).collect(),
        attribute: attributes.into_iter().map(within).collect(),
        ..node.clone()
    }
}

fn renamed_graph(graph: &proto::Graph, renamed: &dyn Fn(&String) -> String) -> proto::Graph {
    let mut graph = graph.clone();
    for node in &mut graph.node {
        *node = renamed_node(node, node.attribute.clone(), renamed);
    }
    graph.initializer.iter_mut().for_each(|tensor| tensor.name = renamed(&tensor.name));
    graph.output.iter_mut().for_each(|output| output.name = renamed(&output.name));
    graph
}

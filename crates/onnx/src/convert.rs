//! One ONNX node on its way to nodes of a graph model.

use std::cell::RefCell;
use std::collections::HashSet;

use serde_json::Value;
use vivit_nn::{Argument, NamedArray, Node};

use crate::proto::{self, attribute_type};

/// What a row of the table gets: a node, and where its translation goes.
pub(crate) struct Convert<'c> {
    pub node: &'c proto::Node,
    /// The version of ONNX's operations.
    pub opset: i64,
    /// Names of attributes that the row has looked at.
    seen: RefCell<HashSet<&'static str>>,
    nodes: Vec<Node>,
    pub constants: Vec<NamedArray>,
    temporaries: usize,
}

/// Why a node can't be imported.
pub(crate) type Outcome = Result<(), String>;

impl<'c> Convert<'c> {
    pub fn new(node: &'c proto::Node, opset: i64) -> Self {
        Convert {
            node,
            opset,
            seen: RefCell::new(HashSet::new()),
            nodes: Vec::new(),
            constants: Vec::new(),
            temporaries: 0,
        }
    }

    /// What the row made; an error if it passed over an attribute.
    pub fn finish(self) -> Result<(Vec<Node>, Vec<NamedArray>), String> {
        let seen = self.seen.borrow();
        let passed_over = |attribute: &&proto::Attribute| !seen.contains(attribute.name.as_str());
        if let Some(attribute) = self.node.attribute.iter().find(passed_over) {
            return Err(format!("attribute {} is not supported", attribute.name));
        }
        drop(seen);
        Ok((self.nodes, self.constants))
    }

    // Attributes.

    fn attribute(
        &self,
        name: &'static str,
        types: &[i32],
    ) -> Result<Option<&'c proto::Attribute>, String> {
        self.seen.borrow_mut().insert(name);
        let Some(found) = self.node.attribute.iter().find(|attribute| attribute.name == name)
        else {
            return Ok(None);
        };
        if types.contains(&found.r#type) {
            Ok(Some(found))
        } else {
            Err(format!("attribute {name} has type {}, which it can't have", found.r#type))
        }
    }

    pub fn optional_int(&self, name: &'static str) -> Result<Option<i64>, String> {
        Ok(self.attribute(name, &[attribute_type::INT])?.map(|attribute| attribute.i))
    }

    pub fn int(&self, name: &'static str, default: i64) -> Result<i64, String> {
        Ok(self.optional_int(name)?.unwrap_or(default))
    }

    pub fn flag(&self, name: &'static str, default: bool) -> Result<bool, String> {
        Ok(self.int(name, i64::from(default))? != 0)
    }

    pub fn optional_float(&self, name: &'static str) -> Result<Option<f64>, String> {
        Ok(self.attribute(name, &[attribute_type::FLOAT])?.map(|attribute| f64::from(attribute.f)))
    }

    pub fn float(&self, name: &'static str, default: f64) -> Result<f64, String> {
        Ok(self.optional_float(name)?.unwrap_or(default))
    }

    pub fn text(&self, name: &'static str, default: &str) -> Result<String, String> {
        let Some(found) = self.attribute(name, &[attribute_type::STRING])? else {
            return Ok(default.into());
        };
        let text = std::str::from_utf8(&found.s).map(String::from);
        text.map_err(|_| format!("attribute {name} is no text"))
    }

    pub fn ints(&self, name: &'static str) -> Result<Option<Vec<i64>>, String> {
        Ok(self.attribute(name, &[attribute_type::INTS])?.map(|attribute| attribute.ints.clone()))
    }

    pub fn floats(&self, name: &'static str) -> Result<Option<Vec<f64>>, String> {
        let found = self.attribute(name, &[attribute_type::FLOATS])?;
        Ok(found.map(|found| found.floats.iter().map(|&x| f64::from(x)).collect()))
    }

    pub fn texts(&self, name: &'static str) -> Result<Option<Vec<String>>, String> {
        let Some(found) = self.attribute(name, &[attribute_type::STRINGS])? else {
            return Ok(None);
        };
        let text = |bytes: &prost::bytes::Bytes| std::str::from_utf8(bytes).map(String::from);
        let texts: Result<Vec<String>, _> = found.strings.iter().map(text).collect();
        texts.map(Some).map_err(|_| format!("attribute {name} holds what is no text"))
    }

    pub fn tensor(&self, name: &'static str) -> Result<Option<&'c proto::Tensor>, String> {
        let found = self.attribute(name, &[attribute_type::TENSOR])?;
        Ok(found.and_then(|attribute| attribute.t.as_ref()))
    }

    pub fn graph(&self, name: &'static str) -> Result<Option<&'c proto::Graph>, String> {
        let found = self.attribute(name, &[attribute_type::GRAPH])?;
        Ok(found.and_then(|attribute| attribute.g.as_ref()))
    }

    /// Looks at an attribute that has no meaning here.
    pub fn pass_over(&self, name: &'static str) {
        self.seen.borrow_mut().insert(name);
    }

    /// Refuses an attribute that is not what alone is supported.
    pub fn only_int(&self, name: &'static str, supported: i64) -> Outcome {
        match self.int(name, supported)? {
            value if value == supported => Ok(()),
            value => Err(format!("attribute {name} = {value} is not supported, only {supported}")),
        }
    }

    // Arguments and results.

    /// The name of an argument; empty if it is left out.
    pub fn input(&self, at: usize) -> &'c str {
        self.node.input.get(at).map_or("", String::as_str)
    }

    pub fn has_input(&self, at: usize) -> bool {
        !self.input(at).is_empty()
    }

    pub fn argument(&self, at: usize) -> Option<Argument> {
        Some(self.input(at)).filter(|name| !name.is_empty()).map(Argument::from)
    }

    /// The first `count` arguments.
    pub fn arguments(&self, count: usize) -> Vec<Option<Argument>> {
        let mut arguments: Vec<_> = (0..count).map(|at| self.argument(at)).collect();
        while arguments.len() > 1 && arguments.last() == Some(&None) {
            arguments.pop();
        }
        arguments
    }

    pub fn all_arguments(&self) -> Vec<Option<Argument>> {
        self.arguments(self.node.input.len())
    }

    /// Refuses more arguments than there are.
    pub fn only_inputs(&self, count: usize) -> Outcome {
        match (count..self.node.input.len()).find(|&at| self.has_input(at)) {
            Some(at) => Err(format!("argument {at} is not supported")),
            None => Ok(()),
        }
    }

    pub fn output(&self, at: usize) -> String {
        self.node.output.get(at).cloned().unwrap_or_default()
    }

    /// Refuses more results than there are.
    pub fn only_outputs(&self, count: usize) -> Outcome {
        match (count..self.node.output.len()).find(|&at| !self.node.output[at].is_empty()) {
            Some(at) => Err(format!("result {at} is not computed")),
            None => Ok(()),
        }
    }

    /// A name of its own for a value in between.
    pub fn temporary(&mut self) -> String {
        self.temporaries += 1;
        let first = self.node.output.iter().find(|name| !name.is_empty());
        format!("{}~{}", first.map_or(self.node.name.as_str(), String::as_str), self.temporaries)
    }

    // Translation.

    /// A node under this one's name, with its first result.
    pub fn last(&self, op: &str, inputs: Vec<Option<Argument>>) -> Node {
        Node::new(op, &[], "").named(&self.node.name).taking(inputs).giving(vec![self.output(0)])
    }

    pub fn emit(&mut self, node: Node) {
        self.nodes.push(node);
    }

    /// Emits a node whose result stays inside; its name.
    pub fn step(
        &mut self,
        op: &str,
        inputs: Vec<Option<Argument>>,
        options: &[(&str, Value)],
    ) -> String {
        let result = self.temporary();
        let node = self.last(op, inputs).giving(vec![result.clone()]);
        let node = options.iter().fold(node, |node, (name, value)| node.with(name, value.clone()));
        self.emit(node);
        result
    }

    /// The operation of the graph model with the same arguments and one result.
    pub fn same(&mut self, op: &str, options: &[(&str, Value)]) -> Outcome {
        self.only_outputs(1)?;
        let node = self.last(op, self.all_arguments());
        let node = options.iter().fold(node, |node, (name, value)| node.with(name, value.clone()));
        self.emit(node);
        Ok(())
    }
}

/// Names as arguments.
pub(crate) fn named(names: &[&str]) -> Vec<Option<Argument>> {
    names
        .iter()
        .map(|&name| Some(name).filter(|name| !name.is_empty()).map(Argument::from))
        .collect()
}

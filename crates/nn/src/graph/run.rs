//! One run of a graph model: its values as they become known.

use std::collections::HashMap;

use vivit_autodiff::InputKind;

use super::call::{Call, Outcome};
use super::fault::Fault;
use super::node::{Argument, Node};
use super::ops;
use super::problem::{GraphError, GraphProblem};
use super::recording::Recording;
use super::value::Value;
use crate::Error;

pub(super) struct Run<'m> {
    pub recording: Recording,
    /// What is known, by name.
    pub values: HashMap<&'m str, Value>,
}

impl<'m> Run<'m> {
    /// The names that a node waits for, in the order in which it reads them. Of two branches it
    /// waits for the one that is taken, once the condition is known.
    pub fn waits_for(&self, node: &'m Node) -> Result<Vec<&'m str>, Error> {
        let unknown = |name: &&str| !self.values.contains_key(name);
        if node.op == ops::BRANCH {
            let condition = node.reads().take(1).filter(unknown).collect::<Vec<_>>();
            if !condition.is_empty() {
                return Ok(condition);
            }
            let taken = self.taken(node).map_err(|fault| self.failed(node, fault))?;
            let name = node.inputs.get(taken).and_then(Option::as_ref).and_then(Argument::name);
            return Ok(name.into_iter().filter(unknown).collect());
        }
        Ok(node.reads().filter(unknown).collect())
    }

    /// Which argument of two branches a known condition names.
    fn taken(&self, node: &Node) -> Result<usize, Fault> {
        let condition = node.inputs.first().and_then(Option::as_ref).and_then(Argument::name);
        match condition.and_then(|name| self.values.get(name)) {
            Some(Value::Array(array)) => self.recording.branch(*array),
            _ => Err("the condition must be an array".into()),
        }
    }

    /// Computes a node all of whose arguments are known.
    pub fn compute(&mut self, node: &'m Node) -> Result<(), Error> {
        let results = self.results(node).map_err(|fault| self.failed(node, fault))?;
        for (at, name) in node.outputs.iter().enumerate().filter(|(_, name)| !name.is_empty()) {
            let Some(value) = results.get(at) else {
                let reason = format!("there are {} results, not {}", results.len(), at + 1);
                return Err(self.failed(node, Fault(reason)));
            };
            self.values.insert(name, value.clone());
        }
        Ok(())
    }

    fn results(&mut self, node: &Node) -> Outcome {
        let mut args = Vec::with_capacity(node.inputs.len());
        for argument in &node.inputs {
            args.push(match argument {
                None => None,
                // A branch that is not taken is not known.
                Some(Argument::Value(name)) => self.values.get(name.as_str()).cloned(),
                Some(Argument::Integers(numbers)) => {
                    let shape = [numbers.len()];
                    let numbers = numbers.iter().map(|&number| number as f64).collect();
                    Some(self.recording.host_array(&shape, numbers, InputKind::Integer)?.into())
                }
                Some(Argument::Number(number)) => {
                    Some(self.recording.host_array(&[], vec![*number], InputKind::Float)?.into())
                }
            });
        }
        let row = ops::find(&node.op).expect("checked when the model was built");
        (row.run)(&mut Call { node, args, recording: &mut self.recording })
    }

    fn failed(&self, node: &Node, fault: Fault) -> Error {
        let problem = GraphProblem::Node {
            node: node.label().into(),
            op: node.op.clone(),
            shapes: self.shapes(node),
            reason: fault.0,
        };
        GraphError::one(problem).into()
    }

    /// The shapes of a node's arguments, for errors.
    fn shapes(&self, node: &Node) -> String {
        let shape = |argument: &Option<Argument>| match argument {
            None => "nothing".to_string(),
            Some(Argument::Integers(numbers)) => format!("{numbers:?}"),
            Some(Argument::Number(number)) => number.to_string(),
            Some(Argument::Value(name)) => match self.values.get(name.as_str()) {
                Some(Value::Array(array)) => format!("{:?}", self.recording.shape(*array)),
                Some(Value::List(list)) => format!("a list of {}", list.len()),
                None => name.clone(),
            },
        };
        node.inputs.iter().map(shape).collect::<Vec<_>>().join(", ")
    }
}

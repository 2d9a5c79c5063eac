//! The tape: an arena of values in the order in which they were computed, and the graph that ends
//! in a model's output.

use std::fmt;
use std::sync::OnceLock;

use vivit_tensor::{Device, Tensor};

use crate::{Error, FiniteCheck, Op, PendingChecks};

/// A value on a tape: a copyable position.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Var(u32);

impl Var {
    pub(crate) fn at(index: usize) -> Self {
        Var(u32::try_from(index).expect("a tape holds fewer than 2³² values"))
    }

    /// The position on the tape.
    pub fn index(self) -> usize {
        self.0 as usize
    }
}

#[derive(Debug)]
pub(crate) enum Origin {
    Input,
    Param { name: String },
    Constant,
    Op(Box<dyn Op>),
}

#[derive(Debug)]
pub(crate) struct Node {
    pub origin: Origin,
    pub args: Vec<Var>,
    pub value: Tensor,
    /// Whether axis 0 is the sample axis.
    pub batched: bool,
}

/// Records operations as they run. Positions are in topological order by construction.
pub struct Tape {
    device: Device,
    pub(crate) nodes: Vec<Node>,
    pub(crate) claims: Vec<FiniteCheck>,
}

impl fmt::Debug for Tape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "Tape on {}:", self.device)?;
        for (at, node) in self.nodes.iter().enumerate() {
            let args: Vec<usize> = node.args.iter().map(|arg| arg.index()).collect();
            match &node.origin {
                Origin::Input => writeln!(f, "  {at}: input {}", node.value.shape())?,
                Origin::Constant => writeln!(f, "  {at}: constant {}", node.value.shape())?,
                Origin::Param { name } => {
                    writeln!(f, "  {at}: parameter {name} {}", node.value.shape())?
                }
                Origin::Op(op) => writeln!(f, "  {at}: {op:?} of {args:?} {}", node.value.shape())?,
            }
        }
        Ok(())
    }
}

impl Tape {
    /// An empty tape.
    pub fn new(device: &Device) -> Self {
        Tape { device: device.clone(), nodes: Vec::new(), claims: Vec::new() }
    }

    /// The backend.
    pub fn device(&self) -> &Device {
        &self.device
    }

    fn push(&mut self, node: Node) -> Var {
        self.nodes.push(node);
        Var::at(self.nodes.len() - 1)
    }

    /// A batch of inputs, `[N, *]`. Nothing is differentiated in it.
    pub fn input(&mut self, value: Tensor) -> Var {
        self.push(Node { origin: Origin::Input, args: Vec::new(), value, batched: true })
    }

    /// A parameter, `[*p]`, without a sample axis; errors call it by its position.
    pub fn param(&mut self, value: Tensor) -> Var {
        let name = format!("#{}", self.nodes.len());
        self.named_param(&name, value)
    }

    /// A parameter that errors call by `name`.
    pub fn named_param(&mut self, name: &str, value: Tensor) -> Var {
        self.push(Node {
            origin: Origin::Param { name: name.into() },
            args: Vec::new(),
            value,
            batched: false,
        })
    }

    /// A value without a sample axis that nothing is differentiated in: masks, running statistics.
    pub fn constant(&mut self, value: Tensor) -> Var {
        self.push(Node { origin: Origin::Constant, args: Vec::new(), value, batched: false })
    }

    /// Runs an operation and records it: how one's own operations enter a graph.
    ///
    /// # Panics
    /// If the operation can't take arguments of these shapes.
    #[track_caller]
    pub fn record(&mut self, op: impl Op, args: &[Var]) -> Var {
        let values: Vec<&Tensor> = args.iter().map(|&arg| self.value(arg)).collect();
        let value = op.forward(&values);
        let batched = args.iter().any(|&arg| self.is_batched(arg));
        self.push(Node { origin: Origin::Op(Box::new(op)), args: args.to_vec(), value, batched })
    }

    /// What an operation takes for granted of its arguments' numbers; looked at with the inputs
    /// before any result is returned.
    pub fn add_check(&mut self, claim: FiniteCheck) {
        self.claims.push(claim);
    }

    /// The value of a variable.
    ///
    /// # Panics
    /// If the variable is not of this tape (as far as its position tells).
    #[track_caller]
    pub fn value(&self, var: Var) -> &Tensor {
        &self.node(var).value
    }

    /// Whether axis 0 of a variable is the sample axis.
    #[track_caller]
    pub fn is_batched(&self, var: Var) -> bool {
        self.node(var).batched
    }

    /// The parameters, in the order in which they were recorded.
    pub fn params(&self) -> Vec<Var> {
        let is_param = |(_, node): &(usize, &Node)| matches!(node.origin, Origin::Param { .. });
        self.nodes.iter().enumerate().filter(is_param).map(|(at, _)| Var::at(at)).collect()
    }

    pub(crate) fn is_param(&self, var: Var) -> bool {
        matches!(self.node(var).origin, Origin::Param { .. })
    }

    /// The name of a parameter.
    ///
    /// # Errors
    /// If the variable is no parameter of this tape.
    pub fn param_name(&self, var: Var) -> Result<&str, Error> {
        match self.nodes.get(var.index()).map(|node| &node.origin) {
            Some(Origin::Param { name }) => Ok(name),
            _ => Err(Error::NotAParameter { index: var.index() }),
        }
    }

    #[track_caller]
    pub(crate) fn node(&self, var: Var) -> &Node {
        assert!(var.index() < self.nodes.len(), "variable {} is not of this tape", var.index());
        &self.nodes[var.index()]
    }
}

/// A recorded computation: a tape and the output `[N, *]` on it. What a sweep starts from.
#[derive(Debug)]
pub struct Graph {
    tape: Tape,
    output: Var,
    /// Positions that the output depends on.
    reached: Vec<bool>,
    /// Those of them that depend on a parameter.
    active: Vec<bool>,
    finite: OnceLock<()>,
}

impl Graph {
    /// Closes a tape: checks that inputs and output agree on the number of samples.
    ///
    /// # Errors
    /// If a batch is empty, inputs or output differ in the number of samples, or the output depends
    /// on no input.
    pub fn new(tape: Tape, output: Var) -> Result<Self, Error> {
        let mut samples = None;
        let inputs = tape.nodes.iter().filter(|node| matches!(node.origin, Origin::Input));
        for (at, node) in inputs.enumerate() {
            let shape = *node.value.shape();
            let n = shape.first().copied().unwrap_or(0);
            if shape.size() == 0 || n == 0 {
                return Err(Error::EmptyBatch { input: at, shape: shape.to_vec() });
            }
            let expected = *samples.get_or_insert(n);
            if n != expected {
                return Err(Error::BatchMismatch { what: format!("input {at}"), got: n, expected });
            }
        }
        let (true, Some(expected)) = (tape.node(output).batched, samples) else {
            return Err(Error::OutputNotBatched);
        };
        let got = tape.value(output).shape().first().copied().unwrap_or(0);
        if got != expected {
            return Err(Error::BatchMismatch { what: "the output".into(), got, expected });
        }
        let mut reached = vec![false; tape.nodes.len()];
        reached[output.index()] = true;
        for at in (0..=output.index()).rev() {
            if reached[at] {
                tape.nodes[at].args.iter().for_each(|arg| reached[arg.index()] = true);
            }
        }
        let mut active =
            depends_on(&tape, |at| matches!(tape.nodes[at].origin, Origin::Param { .. }));
        active.iter_mut().zip(&reached).for_each(|(active, reached)| *active &= reached);
        Ok(Graph { tape, output, reached, active, finite: OnceLock::new() })
    }

    /// The tape.
    pub fn tape(&self) -> &Tape {
        &self.tape
    }

    /// The output variable.
    pub fn output(&self) -> Var {
        self.output
    }

    /// The output's value, `[N, *]`.
    pub fn value(&self) -> &Tensor {
        self.tape.value(self.output)
    }

    /// Number of samples N.
    pub fn samples(&self) -> usize {
        self.value().shape()[0]
    }

    /// The parameters that the output depends on, in the order in which they were recorded.
    pub fn params(&self) -> Vec<Var> {
        self.tape.params().into_iter().filter(|var| self.active[var.index()]).collect()
    }

    /// Those of [`params`](Graph::params) whose name `choose` likes.
    pub fn params_where(&self, mut choose: impl FnMut(&str) -> bool) -> Vec<Var> {
        self.params()
            .into_iter()
            .filter(|&var| self.tape.param_name(var).is_ok_and(&mut choose))
            .collect()
    }

    /// Checks that a variable is a parameter that the output depends on.
    ///
    /// # Errors
    /// If not.
    pub fn check_param(&self, var: Var) -> Result<(), Error> {
        let name = self.tape.param_name(var)?;
        if self.active[var.index()] { Ok(()) } else { Err(Error::Unreached { name: name.into() }) }
    }

    /// Checks inputs, parameters and output for NaN and infinities; once.
    ///
    /// # Errors
    /// Naming the first array at fault, in the order of the tape.
    pub fn check_finite(&self) -> Result<(), Error> {
        PendingChecks::whole(self, Vec::new())?.wait()
    }

    /// That inputs, parameters, output and what the tape's operations claim are finite; nothing
    /// once that is known.
    pub(crate) fn claims(&self) -> Vec<FiniteCheck> {
        if self.finite.get().is_some() {
            return Vec::new();
        }
        let (mut claims, mut inputs) = (Vec::new(), 0);
        for node in &self.tape.nodes {
            match &node.origin {
                Origin::Param { name } => {
                    claims.push(FiniteCheck::finite(&node.value, format!("parameter {name}")))
                }
                Origin::Input => {
                    claims.push(FiniteCheck::finite(&node.value, format!("input {inputs}")));
                    inputs += 1;
                }
                Origin::Constant | Origin::Op(_) => {}
            }
        }
        claims.extend(self.tape.claims.iter().cloned());
        claims.push(FiniteCheck::finite(self.value(), "the model's output"));
        claims
    }

    /// Remembers that all claims hold.
    pub(crate) fn is_finite(&self) {
        let _ = self.finite.set(());
    }

    /// The operations that the output depends on.
    pub(crate) fn ops(&self) -> impl Iterator<Item = &dyn Op> {
        self.tape.nodes.iter().zip(&self.reached).filter_map(|(node, &reached)| {
            match &node.origin {
                Origin::Op(op) if reached => Some(op.as_ref()),
                _ => None,
            }
        })
    }

    /// Positions that lie between one of the `wanted` parameters and the output.
    pub(crate) fn path_to(&self, wanted: &[Var]) -> Vec<bool> {
        let mut path = depends_on(&self.tape, |at| wanted.iter().any(|var| var.index() == at));
        path.iter_mut().zip(&self.active).for_each(|(path, active)| *path &= active);
        path
    }
}

/// Positions that depend on one of the given leaves.
fn depends_on(tape: &Tape, leaf: impl Fn(usize) -> bool) -> Vec<bool> {
    let mut depends = Vec::with_capacity(tape.nodes.len());
    for (at, node) in tape.nodes.iter().enumerate() {
        depends.push(leaf(at) || node.args.iter().any(|arg| depends[arg.index()]));
    }
    depends
}

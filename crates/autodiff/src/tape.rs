//! The tape: an arena of values in the order in which they were computed, and the graph that ends
//! in a model's output.

use std::fmt;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, OnceLock};

use vivit_tensor::{Device, Tensor};

use crate::{Error, FiniteCheck, Op, PendingChecks};

/// A value on a tape: a copyable position that knows which tape it is of. Another tape refuses it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Var {
    tape: u32,
    index: u32,
}

impl Var {
    /// The position on the tape.
    pub fn index(self) -> usize {
        self.index as usize
    }
}

/// The number of a parameter: its place among the parameters that were recorded on a tape, or
/// that a model registers.
///
/// Unlike a [`Var`] it means the same in every graph of a model: results, directions and steps are
/// keyed by it and move between batches, checkpoints and processes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ParamId(u32);

impl ParamId {
    /// The parameter at a place, counted from 0.
    ///
    /// # Panics
    /// From 2³² on.
    pub fn new(index: usize) -> Self {
        ParamId(u32::try_from(index).expect("a model has fewer than 2³² parameters"))
    }

    /// The place, counted from 0.
    pub fn index(self) -> usize {
        self.0 as usize
    }
}

/// Numbers of tapes, so that a variable of one is not taken for another's.
static TAPES: AtomicU32 = AtomicU32::new(0);

#[derive(Debug)]
pub(crate) enum Origin {
    Input,
    Param { id: ParamId, name: String },
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
    id: u32,
    device: Device,
    /// By their numbers.
    params: Vec<Var>,
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
                Origin::Param { name, .. } => {
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
        Tape {
            id: TAPES.fetch_add(1, Ordering::Relaxed),
            device: device.clone(),
            params: Vec::new(),
            nodes: Vec::new(),
            claims: Vec::new(),
        }
    }

    /// The backend.
    pub fn device(&self) -> &Device {
        &self.device
    }

    fn push(&mut self, node: Node) -> Var {
        self.nodes.push(node);
        self.var(self.nodes.len() - 1)
    }

    /// The variable at a position.
    pub(crate) fn var(&self, index: usize) -> Var {
        let index = u32::try_from(index).expect("a tape holds fewer than 2³² values");
        Var { tape: self.id, index }
    }

    /// The error of an array on another device than the tape.
    pub(crate) fn other_device(&self, what: impl Into<String>, got: &Tensor) -> Error {
        Error::Tensor(vivit_tensor::Error::DeviceMismatch {
            what: what.into(),
            got: got.device().to_string(),
            expected: self.device.to_string(),
        })
    }

    /// Panics if an array is of another device or precision than the tape.
    #[track_caller]
    fn expect_device(&self, what: &str, value: &Tensor) {
        assert!(
            value.device() == &self.device,
            "{what} is on {}, the tape on {}; convert it with `Tensor::to`",
            value.device(),
            self.device
        );
    }

    /// A batch of inputs, `[N, *]`. Nothing is differentiated in it.
    ///
    /// # Panics
    /// If the array is of another device or precision than the tape; so for parameters and
    /// constants.
    #[track_caller]
    pub fn input(&mut self, value: Tensor) -> Var {
        self.expect_device("the input", &value);
        self.push(Node { origin: Origin::Input, args: Vec::new(), value, batched: true })
    }

    /// A parameter, `[*p]`, without a sample axis; errors call it by its position.
    #[track_caller]
    pub fn param(&mut self, value: Tensor) -> Var {
        let name = format!("#{}", self.params.len());
        self.named_param(&name, value)
    }

    /// A parameter that errors call by `name`.
    #[track_caller]
    pub fn named_param(&mut self, name: &str, value: Tensor) -> Var {
        self.expect_device("the parameter", &value);
        let id = ParamId::new(self.params.len());
        let origin = Origin::Param { id, name: name.into() };
        let var = self.push(Node { origin, args: Vec::new(), value, batched: false });
        self.params.push(var);
        var
    }

    /// A value without a sample axis that nothing is differentiated in: masks, running statistics.
    #[track_caller]
    pub fn constant(&mut self, value: Tensor) -> Var {
        self.expect_device("the constant", &value);
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

    /// Checks that `axis` of a variable is there and not the sample axis, over which operations do
    /// not reach.
    #[track_caller]
    pub(crate) fn expect_axis(&self, what: &str, x: Var, axis: usize) {
        let (shape, first) = (self.value(x).shape(), usize::from(self.is_batched(x)));
        assert!(
            (first..shape.rank()).contains(&axis),
            "{what} along axis {axis} of {shape}: the axes are {first} to {}{}",
            shape.rank().max(1) - 1,
            if first == 1 { ", axis 0 is the sample axis" } else { "" }
        );
    }

    /// Whether axis 0 of a variable is the sample axis.
    #[track_caller]
    pub fn is_batched(&self, var: Var) -> bool {
        self.node(var).batched
    }

    /// The numbers of all parameters, in the order in which they were recorded.
    pub fn params(&self) -> Vec<ParamId> {
        (0..self.params.len()).map(ParamId::new).collect()
    }

    pub(crate) fn is_param(&self, var: Var) -> bool {
        matches!(self.node(var).origin, Origin::Param { .. })
    }

    /// The number of a parameter.
    ///
    /// # Errors
    /// If the variable is of another tape, or no parameter.
    pub fn param_id(&self, var: Var) -> Result<ParamId, Error> {
        if var.tape != self.id {
            return Err(Error::ForeignVariable { index: var.index() });
        }
        match &self.node(var).origin {
            Origin::Param { id, .. } => Ok(*id),
            _ => Err(Error::NotAParameter { index: var.index() }),
        }
    }

    /// The variable of a parameter.
    ///
    /// # Errors
    /// If the tape has fewer parameters.
    pub fn param_var(&self, param: ParamId) -> Result<Var, Error> {
        let known = self.params.len();
        self.params.get(param.index()).copied().ok_or(Error::NoParameter { param, known })
    }

    /// The name of a parameter.
    ///
    /// # Errors
    /// If the tape has fewer parameters.
    pub fn param_name(&self, param: ParamId) -> Result<&str, Error> {
        match &self.node(self.param_var(param)?).origin {
            Origin::Param { name, .. } => Ok(name),
            _ => unreachable!("parameters are recorded as such"),
        }
    }

    /// The value of a parameter, `[*p]`.
    ///
    /// # Errors
    /// If the tape has fewer parameters.
    pub fn param_value(&self, param: ParamId) -> Result<&Tensor, Error> {
        Ok(self.value(self.param_var(param)?))
    }

    #[track_caller]
    pub(crate) fn node(&self, var: Var) -> &Node {
        assert!(var.tape == self.id, "variable {} is of another tape", var.index());
        &self.nodes[var.index()]
    }
}

/// A recorded computation: a tape and the output `[N, *]` on it. What a sweep starts from.
/// Cloning shares it.
///
/// ```
/// use vivit_autodiff::{CrossEntropy, Graph, Probe, Seed, Tape};
/// use vivit_tensor::{Device, Tensor};
///
/// let cpu = Device::cpu();
/// let mut tape = Tape::new(&cpu);
/// let x = tape.input(Tensor::from_vec(&cpu, [2, 3], vec![1.0, 0.0, 2.0, 0.0, 1.0, 1.0])?);
/// let w = tape.named_param("weight", Tensor::zeros(&cpu, [4, 3]));
/// let y = tape.linear(x, w, None);
/// let graph = Graph::new(tape, y)?;
/// let gradient = graph.backward(&CrossEntropy::mean([0, 3]))?;
/// assert_eq!(*gradient[graph.param_id(w)?].shape(), [4, 3]);
/// # Ok::<(), vivit_autodiff::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Graph(Arc<Closed>);

#[derive(Debug)]
struct Closed {
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
        Ok(Graph(Arc::new(Closed { tape, output, reached, active, finite: OnceLock::new() })))
    }

    /// The tape.
    pub fn tape(&self) -> &Tape {
        &self.0.tape
    }

    /// The output variable.
    pub fn output(&self) -> Var {
        self.0.output
    }

    /// The output's value, `[N, *]`.
    pub fn value(&self) -> &Tensor {
        self.0.tape.value(self.0.output)
    }

    /// Number of samples N.
    pub fn samples(&self) -> usize {
        self.value().shape()[0]
    }

    /// The parameters that the output depends on, in the order in which they were recorded.
    pub fn params(&self) -> Vec<ParamId> {
        let is_active = |param: &ParamId| self.0.active[self.0.tape.params[param.index()].index()];
        self.0.tape.params().into_iter().filter(is_active).collect()
    }

    /// The number of a parameter that the output depends on.
    ///
    /// # Errors
    /// If the variable is of another tape, no parameter, or the output does not depend on it.
    pub fn param_id(&self, var: Var) -> Result<ParamId, Error> {
        let param = self.0.tape.param_id(var)?;
        self.check_param(param)?;
        Ok(param)
    }

    /// Those of [`params`](Graph::params) for whose name `choose` returns `true`.
    pub fn params_where(&self, mut choose: impl FnMut(&str) -> bool) -> Vec<ParamId> {
        self.params()
            .into_iter()
            .filter(|&param| self.0.tape.param_name(param).is_ok_and(&mut choose))
            .collect()
    }

    /// Checks that a parameter is one that the output depends on.
    ///
    /// # Errors
    /// If not.
    pub fn check_param(&self, param: ParamId) -> Result<(), Error> {
        let var = self.0.tape.param_var(param)?;
        if self.0.active[var.index()] {
            Ok(())
        } else {
            Err(Error::Unreached { name: self.0.tape.param_name(param)?.into() })
        }
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
        if self.0.finite.get().is_some() {
            return Vec::new();
        }
        let (mut claims, mut inputs) = (Vec::new(), 0);
        for node in &self.0.tape.nodes {
            match &node.origin {
                Origin::Param { name, .. } => {
                    claims.push(FiniteCheck::finite(&node.value, format!("parameter {name}")))
                }
                Origin::Input => {
                    claims.push(FiniteCheck::finite(&node.value, format!("input {inputs}")));
                    inputs += 1;
                }
                Origin::Constant | Origin::Op(_) => {}
            }
        }
        claims.extend(self.0.tape.claims.iter().cloned());
        claims.push(FiniteCheck::finite(self.value(), "the model's output"));
        claims
    }

    /// Remembers that all claims hold.
    pub(crate) fn is_finite(&self) {
        let _ = self.0.finite.set(());
    }

    /// The operations that the output depends on.
    pub(crate) fn ops(&self) -> impl Iterator<Item = &dyn Op> {
        self.0.tape.nodes.iter().zip(&self.0.reached).filter_map(|(node, &reached)| {
            match &node.origin {
                Origin::Op(op) if reached => Some(op.as_ref()),
                _ => None,
            }
        })
    }

    /// Positions that lie between one of the `wanted` parameters and the output.
    pub(crate) fn path_to(&self, wanted: &[ParamId]) -> Vec<bool> {
        let mut leaf = vec![false; self.0.tape.nodes.len()];
        for var in wanted.iter().filter_map(|param| self.0.tape.params.get(param.index())) {
            leaf[var.index()] = true;
        }
        let mut path = depends_on(&self.0.tape, |at| leaf[at]);
        path.iter_mut().zip(&self.0.active).for_each(|(path, active)| *path &= active);
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

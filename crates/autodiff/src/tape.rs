//! The tape: an arena of values in the order in which they were computed.

use std::fmt;
use std::sync::atomic::{AtomicU32, Ordering};

use vivit_tensor::{Device, Tensor};

use crate::{Error, FiniteCheck, Op, ParamId, Var};

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

impl Node {
    /// The arguments that the value changes with, other than in steps, and their numbers.
    pub fn differentiable(&self) -> impl Iterator<Item = (usize, Var)> {
        let constant = |wrt| match &self.origin {
            Origin::Op(op) => op.is_piecewise_constant(wrt),
            _ => false,
        };
        self.args.iter().copied().enumerate().filter(move |&(wrt, _)| !constant(wrt))
    }
}

/// Records operations as they run. Positions are in topological order by construction.
///
/// ```
/// use vivit_autodiff::Tape;
/// use vivit_tensor::{Device, Tensor};
///
/// let cpu = Device::cpu();
/// let mut tape = Tape::new(&cpu);
/// let x = tape.input(Tensor::full(&cpu, [2, 3], 1.0)); // two samples
/// let w = tape.named_param("weight", Tensor::full(&cpu, [1, 3], 0.5));
/// let y = tape.linear(x, w, None);
/// assert_eq!(tape.value(y).to_vec()?, [1.5, 1.5]);
/// assert!(tape.is_batched(y) && !tape.is_batched(w));
/// # Ok::<(), vivit_autodiff::Error>(())
/// ```
pub struct Tape {
    id: u32,
    device: Device,
    /// By their numbers.
    pub(crate) params: Vec<Var>,
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

    /// The device of all values.
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

    /// As [`expect_axis`](Tape::expect_axis), of an axis that has entries.
    #[track_caller]
    pub(crate) fn expect_entries(&self, what: &str, x: Var, axis: usize) {
        self.expect_axis(what, x, axis);
        let shape = self.value(x).shape();
        assert!(shape[axis] > 0, "{what} along axis {axis} of {shape}: it has no entries");
    }

    /// Checks that none of the parameters of an operation carries a sample axis.
    #[track_caller]
    pub(crate) fn expect_unbatched(&self, op: &str, params: &[Var]) {
        for &param in params {
            assert!(
                !self.is_batched(param),
                "{op}: the parameter {} must not carry a sample axis",
                self.value(param).shape()
            );
        }
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

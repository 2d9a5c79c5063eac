//! The graph: a tape that ends in a model's output.

use std::sync::{Arc, OnceLock};

use vivit_tensor::Tensor;

use crate::tape::Origin;
use crate::{Error, FiniteCheck, Op, ParamId, Tape, Var};

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
    /// Positions that the output changes with, other than in steps, and that change so with a
    /// parameter.
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
        let (mut reached, mut moving) =
            (vec![false; tape.nodes.len()], vec![false; tape.nodes.len()]);
        (reached[output.index()], moving[output.index()]) = (true, true);
        for (at, node) in tape.nodes[..=output.index()].iter().enumerate().rev() {
            if reached[at] {
                node.args.iter().for_each(|arg| reached[arg.index()] = true);
            }
            if moving[at] {
                node.differentiable().for_each(|(_, arg)| moving[arg.index()] = true);
            }
        }
        let mut active =
            depends_on(&tape, |at| matches!(tape.nodes[at].origin, Origin::Param { .. }));
        active.iter_mut().zip(&moving).for_each(|(active, moving)| *active &= moving);
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

    /// The name of a parameter.
    ///
    /// # Errors
    /// If the graph has fewer parameters.
    pub fn param_name(&self, param: ParamId) -> Result<&str, Error> {
        self.tape().param_name(param)
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

/// Positions that change with one of the given leaves, other than in steps.
fn depends_on(tape: &Tape, leaf: impl Fn(usize) -> bool) -> Vec<bool> {
    let mut depends = Vec::with_capacity(tape.nodes.len());
    for (at, node) in tape.nodes.iter().enumerate() {
        depends.push(leaf(at) || node.differentiable().any(|(_, arg)| depends[arg.index()]));
    }
    depends
}

//! Products with a graph's derivatives: tangents `[K, *]` travel forwards (J), columns backwards
//! (Jᵀ), and both together give products with the Hessian (forward over reverse).
//!
//! With `m` the loss's gradient at every value, `ẋ` the tangents and `u` what travels back, one
//! sweep adds up at every argument a
//!
//! ```text
//! u_a += J_aᵀ u_out + Σ_b R_ab ẋ_b        R_ab = Σ_o m_o ∂²y_o/∂x_a∂x_b
//! ```
//!
//! Without the second term, and with `u = ∂²L/∂f² ẋ` at the output, that is a product with the GGN;
//! with it, with the Hessian (Pearlmutter, Neural Computation 6 (1994) 147–160).

use vivit_tensor::{Tensor, Unary};

use crate::chain::{add, add_pull_back, add_push, residual};
use crate::tape::Origin;
use crate::{Error, Graph, Io, Loss, ParamId, ParamMap, PendingChecks, Probe, Second, Seed, Var};

/// What of the residuals of an operation counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Residuals {
    /// All: the product is the Hessian's.
    Exact,
    /// `diag |r|` in the place of `diag r` of entry-by-entry operations, nothing of others: a
    /// positive semi-definite matrix.
    Absolute,
    /// `diag max(r, 0)` in the place of `diag r` of entry-by-entry operations, nothing of others: a
    /// positive semi-definite matrix.
    Clipped,
}

/// A graph linearised in some of its parameters, for some of its samples.
#[derive(Debug)]
pub struct Linearization<'g> {
    graph: &'g Graph,
    params: Vec<ParamId>,
    samples: Option<Vec<usize>>,
    path: Vec<bool>,
    /// The values' rows of the chosen samples, where they are chosen.
    rows: Vec<Option<Tensor>>,
}

/// The loss's gradient at every value between the parameters and the output: what second-order
/// products need, computed once.
#[derive(Debug)]
pub struct Gradients(PerValue);

/// Something for some of the values on the tape.
type PerValue = Vec<Option<Tensor>>;
/// Tangents of all values, the loss's gradients at them, and what of the residuals counts.
type Bend<'a> = (&'a PerValue, &'a Gradients, Residuals);

impl<'g> Linearization<'g> {
    /// Linearises `graph` in `params`, for `samples` only or for all.
    ///
    /// # Errors
    /// If one of `params` is no parameter that the output depends on, samples do not fit, an input,
    /// parameter or output is NaN or infinite, or some of the samples are chosen where an operation
    /// couples them.
    pub fn new(
        graph: &'g Graph,
        params: &[ParamId],
        samples: Option<Vec<usize>>,
    ) -> Result<Self, Error> {
        params.iter().try_for_each(|&var| graph.check_param(var))?;
        Probe::new(Seed::Gradient).of(samples.clone()).check_samples(graph.samples())?;
        if samples.is_some() {
            graph.check_apart(Some("a choice of samples"))?;
        }
        graph.check_finite()?;
        let path = graph.path_to(params);
        let nodes = &graph.tape().nodes;
        let mut rows = vec![None; nodes.len()];
        if let Some(samples) = &samples {
            let mut needed = path.clone();
            for (node, _) in nodes.iter().zip(&path).filter(|(_, on_path)| **on_path) {
                node.args.iter().for_each(|arg| needed[arg.index()] = true);
            }
            for at in (0..nodes.len()).filter(|&at| needed[at] && nodes[at].batched) {
                rows[at] = Some(nodes[at].value.index_select(0, samples));
            }
        }
        Ok(Linearization { graph, params: params.to_vec(), samples, path, rows })
    }

    /// The graph.
    pub fn graph(&self) -> &'g Graph {
        self.graph
    }

    /// The parameters.
    pub fn params(&self) -> &[ParamId] {
        &self.params
    }

    /// The chosen samples, if not all.
    pub fn samples(&self) -> Option<&[usize]> {
        self.samples.as_deref()
    }

    fn value(&self, var: Var) -> &Tensor {
        self.rows[var.index()].as_ref().unwrap_or(&self.graph.tape().node(var).value)
    }

    /// `J·t`: tangents `[K, *p]` of some parameters (the others do not move) to `[K, N_S, *out]`.
    ///
    /// # Errors
    /// If a tangent does not fit its parameter, or they differ in number.
    pub fn jvp(&self, tangents: &ParamMap<Tensor>) -> Result<Tensor, Error> {
        let (mut moved, k) = self.moved(tangents, false)?;
        let output = self.graph.output();
        Ok(match moved[output.index()].take() {
            Some(tangent) => tangent,
            None => {
                Tensor::zeros(self.graph.tape().device(), self.value(output).shape().prefixed(&[k]))
            }
        })
    }

    /// Checks that tangents are `[K, *p]` of parameters that the graph was linearised in, with one
    /// K, which it returns: 0 if there is none.
    ///
    /// # Errors
    /// If not.
    pub fn check_tangents(&self, tangents: &ParamMap<Tensor>) -> Result<usize, Error> {
        let tape = self.graph.tape();
        let mut k = None;
        for (param, tangent) in tangents {
            self.graph.check_param(param)?;
            let expected = *tape.param_value(param)?.shape();
            let got = *tangent.shape();
            let known = self.params.contains(&param);
            let fits = got.rank() == expected.rank() + 1
                && got.tail() == expected
                && got[0] == *k.get_or_insert(got[0]);
            if !fits || !known {
                let name = tape.param_name(param)?.to_string();
                return Err(if known {
                    Error::TangentShape { name, got: got.to_vec(), expected: expected.to_vec() }
                } else {
                    Error::NotLinearised { name }
                });
            }
        }
        for (param, tangent) in tangents {
            if tangent.device() != tape.device() {
                let what = format!("the tangent of parameter {}", tape.param_name(param)?);
                return Err(tape.other_device(what, tangent));
            }
        }
        Ok(k.unwrap_or(0))
    }

    /// The tangents of all values, or (without `keep`) at least the output's, and their number K.
    fn moved(&self, tangents: &ParamMap<Tensor>, keep: bool) -> Result<(PerValue, usize), Error> {
        let (k, tape) = (self.check_tangents(tangents)?, self.graph.tape());
        let mut moved: Vec<Option<Tensor>> = vec![None; tape.nodes.len()];
        for (param, tangent) in tangents {
            moved[tape.param_var(param)?.index()] = Some(tangent.clone());
        }
        let mut last_use = vec![0; tape.nodes.len()];
        for at in (0..tape.nodes.len()).filter(|&at| self.path[at]) {
            tape.nodes[at].args.iter().for_each(|arg| last_use[arg.index()] = at);
        }
        for at in (0..tape.nodes.len()).filter(|&at| self.path[at]) {
            self.at(at, |op, io, args| {
                let mut sum = None;
                for (wrt, arg) in tape.nodes[at].differentiable() {
                    if let Some(tangent) = &moved[arg.index()] {
                        add_push(&mut sum, op, io, wrt, tangent);
                    }
                }
                moved[at] = sum;
                for arg in args.iter().filter(|arg| !keep && last_use[arg.index()] == at) {
                    moved[arg.index()] = None;
                }
            });
        }
        Ok((moved, k))
    }

    /// `Jᵀ·M`: columns `[K, N_S, *out]` at the output to `[K, *p]` per parameter, summed over
    /// samples.
    ///
    /// # Errors
    /// If the columns do not fit the output.
    pub fn vjp(&self, columns: &Tensor) -> Result<ParamMap<Tensor>, Error> {
        self.pull(columns, None)
    }

    /// The gradient of a loss at every value, scaled so that the products of chosen samples
    /// estimate those of all.
    ///
    /// # Errors
    /// If the targets do not fit, or (with [`Residuals::Exact`]) an operation lacks second
    /// derivatives, or (with the others) an operation that is not piecewise linear has second
    /// derivatives that are not entry by entry.
    pub fn gradients(&self, loss: &dyn Loss, residuals: Residuals) -> Result<Gradients, Error> {
        match residuals {
            Residuals::Exact => {
                self.graph.check_second(&self.params, "a product with the Hessian")?
            }
            _ => self.check_positive()?,
        }
        let nodes = &self.graph.tape().nodes;
        let seed = Probe::new(Seed::Gradient).of(self.samples.clone()).columns(self.graph, loss)?;
        let chosen = seed.shape()[1];
        let mut gradients = vec![None; nodes.len()];
        gradients[self.graph.output().index()] =
            Some(seed.scale(self.graph.samples() as f64 / chosen as f64));
        for at in (0..nodes.len()).rev().filter(|&at| self.path[at]) {
            let Some(gradient) = gradients[at].clone() else { continue };
            self.at(at, |op, io, _| {
                for (wrt, arg) in nodes[at]
                    .differentiable()
                    .filter(|(_, arg)| self.path[arg.index()] && !self.is_param(*arg))
                {
                    add_pull_back(&mut gradients[arg.index()], op, io, wrt, &gradient, false);
                }
            });
        }
        Ok(Gradients(gradients))
    }

    /// The product of a matrix of second derivatives with tangents `[K, *p]`: `[K, *p]` per
    /// parameter.
    ///
    /// `at_output` multiplies tangents `[K, N_S, *out]` of the output by the loss's Hessian (or
    /// what stands for it).
    ///
    /// # Errors
    /// As [`jvp`](Linearization::jvp).
    pub fn second_order(
        &self,
        tangents: &ParamMap<Tensor>,
        at_output: impl FnOnce(Tensor) -> Tensor,
        (gradients, residuals): (&Gradients, Residuals),
    ) -> Result<ParamMap<Tensor>, Error> {
        let (mut moved, k) = self.moved(tangents, true)?;
        let output = self.graph.output();
        // Nothing on the way reads the output.
        let seed = match moved[output.index()].take() {
            Some(tangent) => at_output(tangent),
            None => {
                Tensor::zeros(self.graph.tape().device(), self.value(output).shape().prefixed(&[k]))
            }
        };
        self.pull(&seed, Some((&moved, gradients, residuals)))
    }

    /// Columns from the output to the parameters, with the residuals of what moved on the way.
    fn pull(&self, columns: &Tensor, bend: Option<Bend<'_>>) -> Result<ParamMap<Tensor>, Error> {
        let (tape, output) = (self.graph.tape(), self.graph.output());
        let (got, expected) = (columns.shape(), self.value(output).shape());
        if got.rank() != expected.rank() + 1 || got.tail() != *expected {
            return Err(Error::ColumnsShape { got: got.to_vec(), expected: expected.to_vec() });
        }
        let k = got[0];
        let mut factors: Vec<Option<Tensor>> = vec![None; tape.nodes.len()];
        factors[output.index()] = Some(columns.clone());
        for at in (0..tape.nodes.len())
            .rev()
            .filter(|&at| self.path[at] && !self.is_param(self.graph.tape().var(at)))
        {
            let factor = factors[at].take();
            self.at(at, |op, io, args| {
                for (wrt, arg) in
                    tape.nodes[at].differentiable().filter(|(_, arg)| self.path[arg.index()])
                {
                    if let Some(factor) = &factor {
                        add_pull_back(&mut factors[arg.index()], op, io, wrt, factor, false);
                    }
                    let Some((moved, Gradients(gradients), residuals)) = bend else { continue };
                    let Some(gradient) = &gradients[at] else { continue };
                    for (along, other) in args.iter().enumerate() {
                        let Some(tangent) = &moved[other.index()] else { continue };
                        if let Some(term) = bent(op, io, (wrt, along), tangent, gradient, residuals)
                        {
                            add(&mut factors[arg.index()], term);
                        }
                    }
                }
            });
        }
        tape.device().check()?;
        let finish = |&param: &ParamId| {
            let var = tape.param_var(param)?;
            let shape = tape.value(var).shape().prefixed(&[k]);
            let product = factors[var.index()]
                .take()
                .map_or_else(|| Tensor::zeros(tape.device(), shape), |sum| sum.reshape(shape));
            Ok((param, product))
        };
        self.params.iter().map(finish).collect()
    }

    fn is_param(&self, var: Var) -> bool {
        self.graph.tape().is_param(var)
    }

    /// Calls `f` with the operation at a position, what it read and wrote, and its arguments.
    fn at(&self, at: usize, f: impl FnOnce(&dyn crate::Op, Io<'_>, &[Var])) {
        let tape = self.graph.tape();
        let node = &tape.nodes[at];
        let Origin::Op(op) = &node.origin else { return };
        let args: Vec<&Tensor> = node.args.iter().map(|&arg| self.value(arg)).collect();
        let batched: Vec<bool> = node.args.iter().map(|&arg| tape.is_batched(arg)).collect();
        f(
            op.as_ref(),
            Io { args: &args, out: self.value(self.graph.tape().var(at)), batched: &batched },
            &node.args,
        );
    }

    /// Fails if an operation on the path has second derivatives in one argument that are not entry
    /// by entry.
    fn check_positive(&self) -> Result<(), Error> {
        for (node, _) in
            self.graph.tape().nodes.iter().zip(&self.path).filter(|(_, on_path)| **on_path)
        {
            let Origin::Op(op) = &node.origin else { continue };
            for (wrt, _) in node.differentiable().filter(|(_, arg)| self.path[arg.index()]) {
                match op.second(wrt, wrt) {
                    Second::Zero | Second::Entrywise(_) | Second::Bilinear => {}
                    Second::Missing => {
                        let wanted_by = "the positive-curvature Hessian".into();
                        return Err(Error::NoSecondDerivative {
                            op: op.name().into(),
                            wrt,
                            along: wrt,
                            wanted_by,
                        });
                    }
                    Second::Product(_) => return Err(Error::NotEntrywise { op: op.name().into() }),
                }
            }
        }
        Ok(())
    }
}

/// The residual's product with a tangent, as far as it counts.
fn bent(
    op: &dyn crate::Op,
    io: Io<'_>,
    (wrt, along): (usize, usize),
    tangent: &Tensor,
    gradient: &Tensor,
    residuals: Residuals,
) -> Option<Tensor> {
    if residuals == Residuals::Exact {
        return residual(op, io, (wrt, along), tangent, gradient, false);
    }
    let Second::Entrywise(f) = op.second(wrt, along) else { return None };
    let bend = gradient.mul(&f(io));
    let bend = bend.unary(if residuals == Residuals::Absolute { Unary::Abs } else { Unary::Relu });
    let k = tangent.shape()[0];
    let tangent = if io.batched[along] {
        tangent.clone()
    } else {
        tangent.reshape(io.args[along].shape().prefixed(&[k, 1]))
    };
    Some(tangent.mul(&bend))
}

impl Graph {
    /// `J·t`: tangents `[K, *p]` of some parameters (the others do not move) to `[K, N, *out]`.
    ///
    /// # Errors
    /// If a tangent does not fit its parameter, or they differ in number.
    pub fn jvp(&self, tangents: &ParamMap<Tensor>) -> Result<Tensor, Error> {
        let wanted: Vec<ParamId> = tangents.keys().collect();
        Linearization::new(self, &wanted, None)?.jvp(tangents)
    }

    /// `Jᵀ·M`: columns `[K, N, *out]` at the output to `[K, *p]` per parameter, summed over
    /// samples.
    ///
    /// # Errors
    /// If the columns do not fit the output, or a number is NaN or infinite.
    pub fn vjp(&self, columns: &Tensor) -> Result<ParamMap<Tensor>, Error> {
        let probe = Probe::new(Seed::Columns(columns.clone()));
        let columns = probe.given_columns(self, columns)?;
        let pending = PendingChecks::of(self, probe.own_claims())?;
        let products = Linearization::new(self, &self.params(), None)?.vjp(&columns)?;
        pending.wait()?;
        Ok(products)
    }
}

//! The reverse sweep: factors `[V, N, *]` travel from the output to the parameters, once for all
//! probes.
//!
//! Probes of the same samples are stacked along V and travel as one *stream*. A factor lives until
//! its operation is done.

use std::sync::Arc;

use vivit_tensor::Tensor;

use crate::chain::{add, pull_back};
use crate::residual::{Signed, pairs, signed};
use crate::site::{Arrived, Columns, Residual, Use};
use crate::tape::Origin;
use crate::{
    Batch, Error, Graph, Io, Loss, ParamId, ParamMap, PendingChecks, Probe, ScatterJacobian,
    Second, Seed, Site, Var,
};

/// Columns at the output, `[V, N_S, *out]`, of the chosen samples (`None`: all).
#[derive(Clone, Debug)]
pub struct Factor {
    /// The columns.
    pub columns: Tensor,
    /// The samples they belong to.
    pub samples: Option<Vec<usize>>,
}

/// The chosen samples; `None` for all.
type Samples = Option<Vec<usize>>;

/// Numbers that the columns of one operation's second derivatives may have.
const LIMIT: usize = 1 << 32;

/// Factors under way that share their samples.
struct Stream {
    samples: Samples,
    /// Per position on the tape: what has arrived.
    factors: Vec<Option<Tensor>>,
    /// Per position: the value's rows of the chosen samples.
    rows: Vec<Option<Tensor>>,
}

impl Stream {
    fn value(&mut self, graph: &Graph, var: Var) -> Tensor {
        let node = graph.tape().node(var);
        match &self.samples {
            Some(samples) if node.batched => self.rows[var.index()]
                .get_or_insert_with(|| node.value.index_select(0, samples))
                .clone(),
            _ => node.value.clone(),
        }
    }

    /// An empty stream of the same samples.
    fn beside(&self) -> Self {
        Stream {
            samples: self.samples.clone(),
            factors: vec![None; self.factors.len()],
            rows: self.rows.clone(),
        }
    }
}

/// A Hessian's probe and its gradient, by their numbers among the factors.
struct Bend {
    probe: usize,
    gradient: usize,
}

/// Per position on the tape, the wanted parameters that it depends on, as a set of bits.
#[derive(Default)]
struct Links(Vec<Vec<u64>>);

impl Links {
    /// Whether both positions depend on one of the parameters.
    fn linked(&self, a: Var, b: Var) -> bool {
        self.0[a.index()].iter().zip(&self.0[b.index()]).any(|(a, b)| a & b != 0)
    }
}

impl Graph {
    /// Sends `probes` backwards and shows `visit` every parameter of `wanted`, once, with all that
    /// reached it.
    ///
    /// Only what lies between the wanted parameters and the output is computed.
    ///
    /// # Errors
    /// If a probe or a parameter does not fit, an operation on the way couples samples (`wanted_by`
    /// names what needs them apart, `None` says that nothing does), or `visit` fails.
    pub fn sweep<E: From<Error>>(
        &self,
        loss: &dyn Loss,
        probes: &[Probe],
        wanted: &[ParamId],
        wanted_by: Option<&str>,
        visit: impl FnMut(&Site<'_>) -> Result<(), E>,
    ) -> Result<(), E> {
        Ok(self.sweep_pending(loss, probes, wanted, wanted_by, visit)?.wait()?)
    }

    /// As [`sweep`](Graph::sweep), but whether all numbers are finite may still be unknown on
    /// return: the results count once that is [settled](PendingChecks), by itself or by reading one
    /// of them. Nothing is read from the device.
    ///
    /// # Errors
    /// As there; of NaN and infinities those that are known at once.
    pub fn sweep_pending<E: From<Error>>(
        &self,
        loss: &dyn Loss,
        probes: &[Probe],
        wanted: &[ParamId],
        wanted_by: Option<&str>,
        visit: impl FnMut(&Site<'_>) -> Result<(), E>,
    ) -> Result<PendingChecks<'_>, E> {
        let (mut failed, mut visit) = (None, visit);
        let done = self.sweep_erased(loss, probes, wanted, wanted_by, &mut |site| {
            visit(site).map_err(|error| failed = Some(error)).is_ok()
        });
        match (done, failed) {
            (Ok((pending, true)), _) => Ok(pending),
            // A visitor may have stumbled over the NaN that the device has just found.
            (Ok((pending, false)), Some(error)) => Err(pending.error_or(error)),
            (Ok((_, false)), None) => unreachable!("a visitor that stops has failed"),
            (Err(error), _) => Err(error.into()),
        }
    }

    /// [`sweep_pending`](Graph::sweep_pending), compiled once for all visitors: these return
    /// whether to go on, and so does the sweep.
    fn sweep_erased(
        &self,
        loss: &dyn Loss,
        probes: &[Probe],
        wanted: &[ParamId],
        wanted_by: Option<&str>,
        visit: &mut dyn FnMut(&Site<'_>) -> bool,
    ) -> Result<(PendingChecks<'_>, bool), Error> {
        wanted.iter().try_for_each(|&var| self.check_param(var))?;
        self.check_apart(wanted_by)?;
        let is_hessian = |probe: &Probe| matches!(probe.seed, Seed::Hessian(_));
        for probe in probes.iter().filter(|probe| is_hessian(probe)) {
            let wanted_by = wanted_by.unwrap_or("the Hessian");
            self.check_apart(Some(wanted_by))?;
            self.check_second(wanted, wanted_by)?;
            self.check_residuals(
                wanted,
                probe.samples.as_ref().map_or(self.samples(), Vec::len),
                wanted_by,
            )?;
        }
        let (mut factors, pending) = self.seeds(loss, probes)?;
        let mut bends = Vec::new();
        for (number, probe) in probes.iter().enumerate().filter(|(_, probe)| is_hessian(probe)) {
            let chosen = probe.samples.as_ref().map_or(self.samples(), Vec::len);
            let gradient =
                Probe::new(Seed::Gradient).of(probe.samples.clone()).pending_columns(self, loss)?;
            // The residuals are linear in the gradient: this makes them estimate the whole batch's,
            // as the root does.
            let columns = gradient.scale(self.samples() as f64 / chosen as f64);
            bends.push(Bend { probe: number, gradient: factors.len() });
            factors.push(Factor { columns, samples: probe.samples.clone() });
        }
        let apart = wanted_by.is_some() || !bends.is_empty();
        match self.travel(factors, &bends, probes.len(), wanted, apart, visit) {
            Ok(all) => Ok((pending, all)),
            Err(error) => Err(pending.error_or(error)),
        }
    }

    /// The columns of every probe at the output, and the claim that all numbers that went into
    /// them, and the tape's, are finite.
    ///
    /// For sweeps that the caller cuts into several: [`check_apart`](Graph::check_apart) first,
    /// [`propagate`](Graph::propagate) then. Of a Hessian's probe only the root is there.
    ///
    /// # Errors
    /// As [`sweep_pending`](Graph::sweep_pending).
    pub fn seeds(
        &self,
        loss: &dyn Loss,
        probes: &[Probe],
    ) -> Result<(Vec<Factor>, PendingChecks<'_>), Error> {
        let pending = Probe::start_claims(probes, self, loss)?;
        let mut factors = Vec::with_capacity(probes.len());
        for probe in probes {
            factors.push(Factor {
                columns: probe.pending_columns(self, loss)?,
                samples: probe.samples.clone(),
            });
        }
        Ok((factors, pending))
    }

    /// As [`sweep`](Graph::sweep), for columns that are known to fit the output.
    ///
    /// With `apart`, products per sample may be asked of every site.
    ///
    /// # Errors
    /// If `visit` fails or the device did.
    pub fn propagate<E: From<Error>>(
        &self,
        factors: Vec<Factor>,
        wanted: &[ParamId],
        apart: bool,
        visit: impl FnMut(&Site<'_>) -> Result<(), E>,
    ) -> Result<(), E> {
        let (count, mut failed, mut visit) = (factors.len(), None, visit);
        self.travel(factors, &[], count, wanted, apart, &mut |site| {
            visit(site).map_err(|error| failed = Some(error)).is_ok()
        })?;
        failed.map_or(Ok(()), Err)
    }

    /// The sweep itself: the first `shown` factors are shown to `visit`, which returns whether to go
    /// on; gradients among the others bend. Returns whether it went all the way.
    fn travel(
        &self,
        factors: Vec<Factor>,
        bends: &[Bend],
        shown: usize,
        wanted: &[ParamId],
        apart: bool,
        visit: &mut dyn FnMut(&Site<'_>) -> bool,
    ) -> Result<bool, Error> {
        let path = self.path_to(wanted);
        let nodes = &self.tape().nodes;
        let all: Vec<usize> = (0..shown).collect();
        let (mut streams, probes) = self.streams(factors);
        let probes: Arc<[Columns]> = probes.into();
        let links = if bends.is_empty() { Links::default() } else { self.links(wanted) };
        let mut residuals: Vec<Residual> = Vec::new();
        let mut uses_left = vec![0usize; nodes.len()];
        for (node, _) in nodes.iter().zip(&path).filter(|(_, on_path)| **on_path) {
            node.args.iter().for_each(|arg| uses_left[arg.index()] += 1);
        }
        // Second derivatives are wanted wherever there are any.
        let (uses, routes) = (uses_left.clone(), bends.is_empty());
        let mut arrivals: Vec<Option<Arrived<'_>>> = nodes.iter().map(|_| None).collect();

        for at in (0..nodes.len()).rev().filter(|&at| path[at]) {
            let Origin::Op(op) = &nodes[at].origin else { continue };
            let args = &nodes[at].args;
            let batched: Vec<bool> = args.iter().map(|&arg| self.tape().is_batched(arg)).collect();
            let here = self.tape().var(at);
            for arg in args.iter().filter(|arg| path[arg.index()] && self.tape().is_param(**arg)) {
                arrivals[arg.index()]
                    .get_or_insert_with(|| Arrived { uses: Vec::new(), probes: probes.clone() });
            }
            let mut born: Vec<(usize, Stream, Signed)> = Vec::new();
            for (number, stream) in streams.iter_mut().enumerate() {
                let Some(factor) = stream.factors[at].take() else { continue };
                let values: Vec<Tensor> = args.iter().map(|&arg| stream.value(self, arg)).collect();
                let out = stream.value(self, here);
                stream.rows[at] = None;
                let refs: Vec<&Tensor> = values.iter().collect();
                let io = Io { args: &refs, out: &out, batched: &batched };
                for (wrt, arg) in args.iter().enumerate().filter(|(_, arg)| path[arg.index()]) {
                    if let Some(arrived) = &mut arrivals[arg.index()] {
                        arrived.of(number).push(Use {
                            op: op.as_ref(),
                            wrt,
                            args: values.clone(),
                            out: out.clone(),
                            batched: batched.clone(),
                            factor: factor.clone(),
                        });
                    } else if let Some((arg, route)) =
                        routes.then(|| self.route(stream, &uses, here, io)).flatten()
                    {
                        add(&mut stream.factors[arg.index()], route.apply(&factor));
                    } else {
                        let product = pull_back(op.as_ref(), io, wrt, &factor, apart);
                        add(&mut stream.factors[arg.index()], product);
                    }
                }
                for bend in bends.iter().filter(|bend| probes[bend.gradient].0 == number) {
                    let columns = &probes[bend.gradient].1;
                    let gradient = factor.slice(columns.start, columns.end);
                    for pair in self.pairs(args, &path, &links) {
                        if let Some(signed) = signed(op.as_ref(), io, pair, &gradient) {
                            born.push((bend.probe, stream.beside(), signed));
                        }
                    }
                }
            }
            for (probe, mut stream, Signed { signs, at }) in born {
                for (wrt, columns) in at {
                    let arg = args[wrt].index();
                    if let Some(arrived) = &mut arrivals[arg] {
                        arrived.of(streams.len()).push(Use::here(columns));
                    } else {
                        add(&mut stream.factors[arg], columns);
                    }
                }
                residuals.push(Residual { probe, stream: streams.len(), signs });
                streams.push(stream);
            }
            for arg in args.iter().filter(|arg| path[arg.index()]) {
                uses_left[arg.index()] -= 1;
                let Origin::Param { id, name } = &nodes[arg.index()].origin else { continue };
                if uses_left[arg.index()] == 0 {
                    if let Some(arrived) = arrivals[arg.index()].take() {
                        let value = &nodes[arg.index()].value;
                        let go_on = visit(&Site {
                            param: *id,
                            name,
                            value,
                            arrived: &arrived,
                            residuals: &residuals,
                            probes: &all,
                        });
                        if !go_on {
                            return Ok(false);
                        }
                    }
                }
            }
        }
        self.tape().device().check()?;
        Ok(true)
    }

    /// The way back through an operation and those before it, as far as it is a [`ScatterJacobian`]
    /// and nothing else meets it; and where it ends.
    fn route(
        &self,
        stream: &mut Stream,
        uses: &[usize],
        from: Var,
        io: Io<'_>,
    ) -> Option<(Var, ScatterJacobian)> {
        let nodes = &self.tape().nodes;
        let inner = |var: Var| {
            let node = &nodes[var.index()];
            let Origin::Op(op) = &node.origin else { return None };
            let [arg] = node.args[..] else { return None };
            (node.batched && nodes[arg.index()].batched).then_some((op, arg))
        };
        let (op, mut at) = inner(from)?;
        let mut route = op.as_scatter(io)?;
        while let Some((op, arg)) = inner(at).filter(|_| uses[at.index()] == 1) {
            let (x, y) = (stream.value(self, arg), stream.value(self, at));
            let Some(next) =
                op.compose_scatter(Io { args: &[&x], out: &y, batched: &[true] }, &route)
            else {
                break;
            };
            stream.rows[at.index()] = None;
            (route, at) = (next, arg);
        }
        Some((at, route))
    }

    /// Stacks factors of equal samples.
    fn streams(&self, factors: Vec<Factor>) -> (Vec<Stream>, Vec<Columns>) {
        let len = self.tape().nodes.len();
        let mut stacks: Vec<(Samples, Vec<Tensor>)> = Vec::new();
        let mut probes = Vec::with_capacity(factors.len());
        for Factor { columns, samples } in factors {
            let stream = stacks.iter().position(|(of, _)| *of == samples).unwrap_or_else(|| {
                stacks.push((samples, Vec::new()));
                stacks.len() - 1
            });
            let first: usize = stacks[stream].1.iter().map(|columns| columns.shape()[0]).sum();
            probes.push((stream, first..first + columns.shape()[0]));
            stacks[stream].1.push(columns);
        }
        let streams = stacks.into_iter().map(|(samples, columns)| {
            let mut factors = vec![None; len];
            factors[self.output().index()] = Some(Tensor::concat(&columns, 0));
            Stream { samples, factors, rows: vec![None; len] }
        });
        (streams.collect(), probes)
    }

    fn links(&self, wanted: &[ParamId]) -> Links {
        let words = wanted.len().div_ceil(64);
        let mut links: Vec<Vec<u64>> = Vec::with_capacity(self.tape().nodes.len());
        for node in &self.tape().nodes {
            let mut bits = vec![0u64; words];
            if let Origin::Param { id, .. } = &node.origin {
                if let Some(number) = wanted.iter().position(|param| param == id) {
                    bits[number / 64] |= 1 << (number % 64);
                }
            }
            for arg in &node.args {
                bits.iter_mut().zip(&links[arg.index()]).for_each(|(bits, arg)| *bits |= arg);
            }
            links.push(bits);
        }
        Links(links)
    }

    /// The pairs of an operation's arguments whose second derivatives matter.
    fn pairs(&self, args: &[Var], path: &[bool], links: &Links) -> Vec<(usize, usize)> {
        let on_path: Vec<usize> = (0..args.len()).filter(|&wrt| path[args[wrt].index()]).collect();
        pairs(&on_path, |a, b| links.linked(args[a], args[b]))
    }

    /// Fails if an operation lacks second derivatives that the Hessian of the wanted parameters
    /// needs.
    pub(crate) fn check_second(&self, wanted: &[ParamId], wanted_by: &str) -> Result<(), Error> {
        let (path, links) = (self.path_to(wanted), self.links(wanted));
        for (node, _) in self.tape().nodes.iter().zip(&path).filter(|(_, on_path)| **on_path) {
            let Origin::Op(op) = &node.origin else { continue };
            for (wrt, along) in self.pairs(&node.args, &path, &links) {
                if matches!(op.second(wrt, along), Second::Missing) {
                    return Err(Error::NoSecondDerivative {
                        op: op.name().into(),
                        wrt,
                        along,
                        wanted_by: wanted_by.into(),
                    });
                }
            }
        }
        Ok(())
    }

    /// Fails if the columns of an operation's second derivatives, for n samples, are too many for
    /// any memory.
    fn check_residuals(&self, wanted: &[ParamId], n: usize, wanted_by: &str) -> Result<(), Error> {
        let path = self.path_to(wanted);
        for (position, node) in self.tape().nodes.iter().enumerate().filter(|(at, _)| path[*at]) {
            let Origin::Op(op) = &node.origin else { continue };
            for (wrt, arg) in node.args.iter().enumerate().filter(|(_, arg)| path[arg.index()]) {
                let value = self.tape().value(*arg);
                let entries =
                    value.len() / if self.tape().is_batched(*arg) { self.samples() } else { 1 };
                let numbers = entries.saturating_mul(entries).saturating_mul(n);
                if !op.second(wrt, wrt).is_zero() && numbers > LIMIT {
                    let (op, wanted_by) = (op.name().into(), wanted_by.into());
                    return Err(Error::ResidualTooLarge {
                        op,
                        position,
                        entries,
                        numbers,
                        limit: LIMIT,
                        wanted_by,
                    });
                }
            }
        }
        Ok(())
    }

    /// Checks that no operation that the output depends on couples samples; `wanted_by` names what
    /// needs them apart, `None` says that nothing does. (Where no parameter lies before such an
    /// operation, derivatives per sample could be defined, with the batch held fixed; they are not
    /// what anybody means.)
    ///
    /// # Errors
    /// If one does.
    pub fn check_apart(&self, wanted_by: Option<&str>) -> Result<(), Error> {
        let Some(wanted_by) = wanted_by else { return Ok(()) };
        match self.ops().find(|op| op.couples_samples()) {
            Some(op) => {
                Err(Error::CouplesSamples { op: op.name().into(), wanted_by: wanted_by.into() })
            }
            None => Ok(()),
        }
    }

    /// The loss `L` (reduced over the batch) at the output.
    ///
    /// # Errors
    /// If the targets do not fit or the loss is not one number per sample.
    pub fn loss(&self, loss: &dyn Loss) -> Result<f64, Error> {
        Ok(self.losses(loss)?.iter().sum())
    }

    /// Every sample's share `L_n` of the loss, the reduction's factor included: `[N]`.
    ///
    /// # Errors
    /// As [`loss`](Graph::loss).
    pub fn losses(&self, loss: &dyn Loss) -> Result<Vec<f64>, Error> {
        loss.check(self.value())?;
        let claims = self.tape().claims.iter().cloned().chain(loss.claims()).collect();
        let mut pending = PendingChecks::of(self, claims)?;
        let values = loss.values(self.value());
        if **values.shape() != [self.samples()] {
            return Err(Error::LossNotScalar {
                loss: loss.name().into(),
                got: values.shape().to_vec(),
                samples: self.samples(),
            });
        }
        Ok(pending.read(values)?.into_vec())
    }

    /// Plain reverse mode: the gradient `∂L/∂θ` of every parameter, `[*p]`.
    ///
    /// # Errors
    /// If the targets do not fit, or a number is NaN or infinite.
    pub fn backward(&self, loss: &dyn Loss) -> Result<ParamMap<Tensor>, Error> {
        let mut gradient = ParamMap::new();
        self.sweep(loss, &[Probe::new(Seed::Gradient)], &self.params(), None, |site| {
            gradient.insert(site.param(), site.jac_t(0, Batch::Sum).reshape(*site.shape()));
            Ok::<(), Error>(())
        })?;
        Ok(gradient)
    }
}

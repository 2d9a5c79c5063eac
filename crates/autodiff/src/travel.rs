//! The way of factors from the output to the parameters, operation by operation.

use std::sync::Arc;

use vivit_tensor::Tensor;

use crate::chain::{add, add_pull_back};
use crate::residual::{Signed, pairs, signed};
use crate::site::{Arrived, Columns, Residual, Use};
use crate::tape::{Node, Origin};
use crate::{Error, Graph, Io, Op, ParamId, ScatterJacobian, Site, Var};

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
pub(crate) struct Bend {
    pub probe: usize,
    pub gradient: usize,
}

/// Per position on the tape, the wanted parameters that it depends on, as a set of bits.
#[derive(Default)]
pub(crate) struct Links(Vec<Vec<u64>>);

impl Links {
    /// Whether both positions depend on one of the parameters.
    fn linked(&self, a: Var, b: Var) -> bool {
        self.0[a.index()].iter().zip(&self.0[b.index()]).any(|(a, b)| a & b != 0)
    }
}

/// A sweep under way.
struct Travel<'a> {
    graph: &'a Graph,
    bends: &'a [Bend],
    apart: bool,
    /// Positions between the wanted parameters and the output.
    path: Vec<bool>,
    links: Links,
    streams: Vec<Stream>,
    /// Where each factor's columns lie.
    probes: Arc<[Columns]>,
    residuals: Vec<Residual>,
    /// Per position, how many operations on the path use the value, and how many are to come.
    uses: Vec<usize>,
    uses_left: Vec<usize>,
    /// Per position of a parameter: the uses that factors have reached.
    arrivals: Vec<Option<Arrived<'a>>>,
}

/// The operation at a position: what it is and what it read.
struct Step<'a> {
    at: usize,
    op: &'a dyn Op,
    args: &'a [Var],
    batched: Vec<bool>,
}

/// Signed columns that a stream has caused: the Hessian's probe and a stream for them.
type Born = (usize, Stream, Signed);

/// Sends factors to the wanted parameters: the first `shown` of them are shown to `visit`, which
/// returns whether to go on; gradients among the others bend. Returns whether it went all the way.
pub(crate) fn travel(
    graph: &Graph,
    (factors, shown): (Vec<Factor>, usize),
    bends: &[Bend],
    wanted: &[ParamId],
    apart: bool,
    visit: &mut dyn FnMut(&Site<'_>) -> bool,
) -> Result<bool, Error> {
    let nodes = &graph.tape().nodes;
    let all: Vec<usize> = (0..shown).collect();
    let mut travel = Travel::new(graph, factors, bends, wanted, apart);
    for at in (0..nodes.len()).rev() {
        let Origin::Op(op) = &nodes[at].origin else { continue };
        if !travel.path[at] {
            continue;
        }
        let args = &nodes[at].args;
        let batched = args.iter().map(|&arg| graph.tape().is_batched(arg)).collect();
        travel.pass(&Step { at, op: op.as_ref(), args, batched });
        for &arg in args {
            if let Some((param, arrived)) = travel.complete(arg) {
                let go_on = visit(&Site {
                    param,
                    name: graph.tape().param_name(param)?,
                    value: graph.tape().value(arg),
                    arrived: &arrived,
                    residuals: &travel.residuals,
                    probes: &all,
                });
                if !go_on {
                    return Ok(false);
                }
            }
        }
    }
    graph.tape().device().check()?;
    Ok(true)
}

impl<'a> Travel<'a> {
    fn new(
        graph: &'a Graph,
        factors: Vec<Factor>,
        bends: &'a [Bend],
        wanted: &[ParamId],
        apart: bool,
    ) -> Self {
        let (path, nodes) = (graph.path_to(wanted), &graph.tape().nodes);
        let (streams, probes) = graph.streams(factors);
        let links = if bends.is_empty() { Links::default() } else { graph.links(wanted) };
        let uses = graph.uses(&path);
        Travel {
            graph,
            bends,
            apart,
            path,
            links,
            streams,
            probes: probes.into(),
            residuals: Vec::new(),
            uses_left: uses.clone(),
            uses,
            arrivals: nodes.iter().map(|_| None).collect(),
        }
    }

    fn on_path(&self, arg: Var) -> bool {
        self.path[arg.index()]
    }

    /// Takes all that has arrived at an operation on to its arguments.
    fn pass(&mut self, step: &Step<'a>) {
        for &arg in step.args {
            if self.on_path(arg) && self.graph.tape().is_param(arg) {
                let probes = &self.probes;
                self.arrivals[arg.index()]
                    .get_or_insert_with(|| Arrived { uses: Vec::new(), probes: probes.clone() });
            }
        }
        let mut born = Vec::new();
        for number in 0..self.streams.len() {
            if let Some(factor) = self.streams[number].factors[step.at].take() {
                self.pass_stream(number, step, &factor, &mut born);
            }
        }
        for born in born {
            self.start(step.args, born);
        }
    }

    /// Takes what has arrived in one stream on to the arguments.
    fn pass_stream(
        &mut self,
        number: usize,
        step: &Step<'a>,
        factor: &Tensor,
        born: &mut Vec<Born>,
    ) {
        let Step { at, op, args, ref batched } = *step;
        let (graph, here) = (self.graph, self.graph.tape().var(at));
        let stream = &mut self.streams[number];
        let values: Vec<Tensor> = args.iter().map(|&arg| stream.value(graph, arg)).collect();
        let out = stream.value(graph, here);
        stream.rows[at] = None;
        let refs: Vec<&Tensor> = values.iter().collect();
        let io = Io { args: &refs, out: &out, batched };
        // Second derivatives are wanted wherever there are any: a route passes them by.
        let routes = self.bends.is_empty();
        let node = graph.tape().node(here);
        for (wrt, arg) in node.differentiable().filter(|(_, arg)| self.path[arg.index()]) {
            if let Some(arrived) = &mut self.arrivals[arg.index()] {
                arrived.of(number).push(Use {
                    op,
                    wrt,
                    args: values.clone(),
                    out: out.clone(),
                    batched: batched.clone(),
                    factor: factor.clone(),
                });
            } else if let Some((arg, route)) =
                routes.then(|| graph.route(stream, &self.uses, here, io)).flatten()
            {
                add(&mut stream.factors[arg.index()], route.apply(factor));
            } else {
                let sum = &mut stream.factors[arg.index()];
                add_pull_back(sum, op, io, wrt, factor, self.apart);
            }
        }
        for bend in self.bends.iter().filter(|bend| self.probes[bend.gradient].0 == number) {
            let columns = &self.probes[bend.gradient].1;
            let gradient = factor.slice(columns.start, columns.end);
            for pair in graph.pairs(node, &self.path, &self.links) {
                if let Some(signed) = signed(op, io, pair, &gradient) {
                    born.push((bend.probe, stream.beside(), signed));
                }
            }
        }
    }

    /// Starts signed columns at an operation's arguments, in a stream of their own.
    fn start(&mut self, args: &[Var], (probe, mut stream, signed): Born) {
        let (number, Signed { signs, at }) = (self.streams.len(), signed);
        for (wrt, columns) in at {
            let arg = args[wrt].index();
            match &mut self.arrivals[arg] {
                Some(arrived) => arrived.of(number).push(Use::here(columns)),
                None => add(&mut stream.factors[arg], columns),
            }
        }
        self.residuals.push(Residual { probe, stream: number, signs });
        self.streams.push(stream);
    }

    /// Counts a use of a value; gives a parameter and all that has arrived at it if there is no
    /// other use to come.
    fn complete(&mut self, arg: Var) -> Option<(ParamId, Arrived<'a>)> {
        if !self.on_path(arg) {
            return None;
        }
        let left = &mut self.uses_left[arg.index()];
        *left -= 1;
        let Origin::Param { id, .. } = &self.graph.tape().node(arg).origin else { return None };
        if *left > 0 {
            return None;
        }
        Some((*id, self.arrivals[arg.index()].take()?))
    }
}

impl Graph {
    /// How many operations on the path use each value.
    pub(crate) fn uses(&self, path: &[bool]) -> Vec<usize> {
        let nodes = &self.tape().nodes;
        let mut uses = vec![0; nodes.len()];
        for (node, _) in nodes.iter().zip(path).filter(|(_, on_path)| **on_path) {
            node.args.iter().for_each(|arg| uses[arg.index()] += 1);
        }
        uses
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

    /// What of the wanted parameters every value depends on.
    pub(crate) fn links(&self, wanted: &[ParamId]) -> Links {
        let words = wanted.len().div_ceil(64);
        let mut links: Vec<Vec<u64>> = Vec::with_capacity(self.tape().nodes.len());
        for node in &self.tape().nodes {
            let mut bits = vec![0u64; words];
            if let Origin::Param { id, .. } = &node.origin {
                if let Some(number) = wanted.iter().position(|param| param == id) {
                    bits[number / 64] |= 1 << (number % 64);
                }
            }
            for (_, arg) in node.differentiable() {
                bits.iter_mut().zip(&links[arg.index()]).for_each(|(bits, arg)| *bits |= arg);
            }
            links.push(bits);
        }
        Links(links)
    }

    /// The pairs of a node's arguments whose second derivatives matter.
    pub(crate) fn pairs(&self, node: &Node, path: &[bool], links: &Links) -> Vec<(usize, usize)> {
        let on_path: Vec<usize> = node
            .differentiable()
            .filter(|(_, arg)| path[arg.index()])
            .map(|(wrt, _)| wrt)
            .collect();
        pairs(&on_path, |a, b| links.linked(node.args[a], node.args[b]))
    }
}

//! What a sweep will take, from shapes alone.

use vivit_tensor::Tensor;

use crate::tape::Origin;
use crate::{Effort, Graph, Io, Op, OuterDims, ParamId};

/// Columns that travel together: those of all factors of the same samples.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StreamShape {
    /// Columns, of all factors together.
    pub columns: usize,
    /// Samples.
    pub samples: usize,
    /// Whether samples were chosen, so that their rows of the tape's values are copied.
    pub chosen: bool,
}

/// A parameter at its [`Site`](crate::Site), from shapes alone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SitePlan {
    /// The parameter.
    pub param: ParamId,
    /// Its name.
    pub name: String,
    /// Its entries.
    pub entries: usize,
    /// The lengths of its outer products' axes, with one column and one sample; `None` if it has no
    /// such structure.
    pub structure: Option<OuterDims>,
    /// What forming its outer products, or its products per sample where it has none, takes.
    pub effort: Effort,
}

/// What one operation's part of a sweep takes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StepPlan {
    /// The operation's position on the tape.
    pub position: usize,
    /// Its name.
    pub op: &'static str,
    /// Multiply-adds of its products with `Jᵀ`, without those of parameters per sample.
    pub multiply_adds: usize,
    /// Most bytes that the sweep holds meanwhile, beyond the tape.
    pub bytes: usize,
}

/// What a sweep will take.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SweepPlan {
    /// Operation by operation, the last one first.
    pub steps: Vec<StepPlan>,
    /// Most bytes at a time, beyond the tape.
    pub peak: usize,
}

impl SweepPlan {
    /// Multiply-adds of all steps.
    pub fn multiply_adds(&self) -> usize {
        self.steps.iter().map(|step| step.multiply_adds).sum()
    }
}

/// Bytes under way.
#[derive(Default)]
struct Live {
    bytes: usize,
    peak: usize,
}

impl Live {
    fn add(&mut self, bytes: usize) {
        self.bytes += bytes;
        self.peak = self.peak.max(self.bytes);
    }

    /// What is needed for a moment.
    fn touch(&mut self, bytes: usize) {
        self.peak = self.peak.max(self.bytes + bytes);
    }
}

/// A sweep that is followed step by step.
struct Planner<'a> {
    graph: &'a Graph,
    path: Vec<bool>,
    /// Bytes of a number.
    size: usize,
    /// Columns times samples, and samples, of all streams; and the samples that were chosen.
    rows: usize,
    samples: usize,
    chosen: usize,
    uses_left: Vec<usize>,
    /// Per position: whether a factor has arrived, and whether the chosen rows are copied.
    arrived: Vec<bool>,
    copied: Vec<bool>,
    /// Per operation: the parameters that still hold its factor.
    holders: Vec<usize>,
    /// Per parameter: the operations whose factors it holds, and its site.
    held: Vec<Vec<usize>>,
    sites: Vec<Option<SitePlan>>,
    live: Live,
}

impl<'a> Planner<'a> {
    fn new(graph: &'a Graph, streams: &[StreamShape], wanted: &[ParamId]) -> Self {
        let (path, len) = (graph.path_to(wanted), graph.tape().nodes.len());
        let chosen = streams.iter().filter(|stream| stream.chosen);
        let mut planner = Planner {
            graph,
            size: graph.tape().device().dtype().size(),
            rows: streams.iter().map(|stream| stream.columns * stream.samples).sum(),
            samples: streams.iter().map(|stream| stream.samples).sum(),
            chosen: chosen.map(|stream| stream.samples).sum(),
            uses_left: graph.uses(&path),
            path,
            arrived: vec![false; len],
            copied: vec![false; len],
            holders: vec![0; len],
            held: vec![Vec::new(); len],
            sites: vec![None; len],
            live: Live::default(),
        };
        let output = graph.output().index();
        planner.arrived[output] = planner.path[output];
        planner.live.bytes = planner.factor(output);
        planner
    }

    /// Entries of a value, per sample if it has samples.
    fn share(&self, var: usize) -> usize {
        let node = &self.graph.tape().nodes[var];
        node.value.len() / if node.batched { self.graph.samples() } else { 1 }
    }

    /// Bytes of all factors at a value.
    fn factor(&self, var: usize) -> usize {
        self.rows * self.share(var) * self.size
    }

    /// Bytes of the copied rows of a value.
    fn values(&self, var: usize) -> usize {
        let batched = self.graph.tape().nodes[var].batched;
        if batched { self.chosen * self.share(var) * self.size } else { 0 }
    }

    /// One operation; nothing if no factor arrives there.
    fn step(
        &mut self,
        at: usize,
        op: &dyn Op,
        visit: &mut impl FnMut(&SitePlan) -> usize,
    ) -> Option<StepPlan> {
        if !self.arrived[at] {
            return None;
        }
        self.live.peak = self.live.bytes;
        let nodes = &self.graph.tape().nodes;
        let args: Vec<usize> = nodes[at].args.iter().map(|arg| arg.index()).collect();
        for &var in args.iter().chain([&at]) {
            if !std::mem::replace(&mut self.copied[var], true) {
                self.live.add(self.values(var));
            }
        }
        let multiply_adds = self.products(at, op, &args);
        self.live.bytes -= self.values(at);
        if self.holders[at] == 0 {
            self.live.bytes -= self.factor(at);
        }
        for arg in args {
            if !self.path[arg] {
                continue;
            }
            self.uses_left[arg] -= 1;
            if self.uses_left[arg] == 0 {
                self.leave(arg, visit);
            }
        }
        Some(StepPlan { position: at, op: op.name(), multiply_adds, bytes: self.live.peak })
    }

    /// The products with the transposed Jacobian of an operation: their multiply-adds. Parameters
    /// keep the factor instead.
    fn products(&mut self, at: usize, op: &dyn Op, args: &[usize]) -> usize {
        let nodes = &self.graph.tape().nodes;
        let refs: Vec<&Tensor> = args.iter().map(|&arg| &nodes[arg].value).collect();
        let batched: Vec<bool> = args.iter().map(|&arg| nodes[arg].batched).collect();
        let io = Io { args: &refs, out: &nodes[at].value, batched: &batched };
        let mut multiply_adds = 0;
        for (wrt, arg) in nodes[at].differentiable() {
            let arg = arg.index();
            if !self.path[arg] {
                continue;
            }
            let effort = op.effort(io, wrt);
            if let Origin::Param { id, name } = &nodes[arg].origin {
                let use_of = SitePlan {
                    param: *id,
                    name: name.clone(),
                    entries: nodes[arg].value.len(),
                    structure: op.outer_dims(io, wrt),
                    effort,
                };
                join(&mut self.sites[arg], use_of);
                self.held[arg].push(at);
                self.holders[at] += 1;
                continue;
            }
            multiply_adds += self.rows * effort.multiply_adds;
            let product = self.factor(arg);
            self.live.touch(product + effort.numbers(self.rows, self.samples) * self.size);
            if !std::mem::replace(&mut self.arrived[arg], true) {
                self.live.add(product);
            }
        }
        multiply_adds
    }

    /// A value whose last use has been reached: a parameter's site is visited, and the factors that
    /// it holds go.
    fn leave(&mut self, arg: usize, visit: &mut impl FnMut(&SitePlan) -> usize) {
        let Some(site) = self.sites[arg].take() else { return };
        let formed = site.effort.numbers(self.rows, self.samples) * self.size;
        let formed = if site.structure.is_some() { formed } else { 0 };
        self.live.touch(formed + visit(&site));
        for at in std::mem::take(&mut self.held[arg]) {
            self.holders[at] -= 1;
            if self.holders[at] == 0 {
                self.live.bytes -= self.factor(at);
            }
        }
    }
}

impl Graph {
    /// Bytes of the tape's values: what is held before a sweep begins, and all through it.
    pub fn held_bytes(&self) -> usize {
        self.tape().nodes.iter().map(|node| node.value.len()).sum::<usize>()
            * self.tape().device().dtype().size()
    }

    /// What [`propagate`](Graph::propagate) (with `apart`) will take. `visit` says how many bytes
    /// the visitor needs for a site.
    ///
    /// Follows the sweep step by step, as it would run on the CPU.
    pub fn plan_sweep(
        &self,
        streams: &[StreamShape],
        wanted: &[ParamId],
        mut visit: impl FnMut(&SitePlan) -> usize,
    ) -> SweepPlan {
        let nodes = &self.tape().nodes;
        let mut planner = Planner::new(self, streams, wanted);
        let mut plan = SweepPlan::default();
        for at in (0..nodes.len()).rev() {
            let Origin::Op(op) = &nodes[at].origin else { continue };
            if let Some(step) = planner.step(at, op.as_ref(), &mut visit) {
                plan.peak = plan.peak.max(step.bytes);
                plan.steps.push(step);
            }
        }
        plan
    }
}

/// Several uses of a parameter: their positions side by side, as far as each has structure.
fn join(site: &mut Option<SitePlan>, more: SitePlan) {
    let Some(site) = site else {
        *site = Some(more);
        return;
    };
    site.structure = match (site.structure, more.structure) {
        (Some(a), Some(b)) if (a.g, a.o, a.i, a.order) == (b.g, b.o, b.i, b.order) => {
            Some(OuterDims { t: a.t + b.t, one_hot: a.one_hot && b.one_hot, ..a })
        }
        _ => None,
    };
    // Side by side, factors are copied: what each use brings, and all together.
    let copies =
        site.structure.map_or((0, 0), |d| (2 * d.g * d.t * d.o, 2 * d.g * d.t * d.input_numbers()));
    site.effort = Effort {
        multiply_adds: site.effort.multiply_adds + more.effort.multiply_adds,
        per_column: (site.effort.per_column + more.effort.per_column).max(copies.0),
        per_sample: (site.effort.per_sample + more.effort.per_sample).max(copies.1),
    };
}

//! What a sweep will take, from shapes alone.

use vivit_tensor::Tensor;

use crate::Io;
use crate::tape::Origin;
use crate::{Effort, Graph, OuterDims, ParamId};

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
        let (path, nodes, size) =
            (self.path_to(wanted), &self.tape().nodes, self.tape().device().dtype().size());
        let share = |var: usize| {
            nodes[var].value.len() / if nodes[var].batched { self.samples() } else { 1 }
        };
        let rows: usize = streams.iter().map(|stream| stream.columns * stream.samples).sum();
        let samples: usize = streams.iter().map(|stream| stream.samples).sum();
        let chosen: usize =
            streams.iter().filter(|stream| stream.chosen).map(|stream| stream.samples).sum();
        let factor = |var: usize| rows * share(var) * size;
        let values = |var: usize| if nodes[var].batched { chosen * share(var) * size } else { 0 };

        let mut uses_left = vec![0usize; nodes.len()];
        for (node, _) in nodes.iter().zip(&path).filter(|(_, on_path)| **on_path) {
            node.args.iter().for_each(|arg| uses_left[arg.index()] += 1);
        }
        let (mut arrived, mut copied) = (vec![false; nodes.len()], vec![false; nodes.len()]);
        // Per operation: the parameters that still hold its factor. Per parameter: the operations
        // whose factors it holds, and its site.
        let (mut holders, mut held) = (vec![0usize; nodes.len()], vec![Vec::new(); nodes.len()]);
        let mut sites: Vec<Option<SitePlan>> = vec![None; nodes.len()];
        let mut plan = SweepPlan::default();
        let mut live = Live::default();
        let output = self.output().index();
        (arrived[output], live.bytes) = (path[output], factor(output));
        for at in (0..nodes.len()).rev().filter(|&at| path[at]) {
            let Origin::Op(op) = &nodes[at].origin else { continue };
            if !arrived[at] {
                continue;
            }
            live.peak = live.bytes;
            let args = &nodes[at].args;
            let refs: Vec<&Tensor> = args.iter().map(|arg| &nodes[arg.index()].value).collect();
            let batched: Vec<bool> = args.iter().map(|arg| nodes[arg.index()].batched).collect();
            let io = Io { args: &refs, out: &nodes[at].value, batched: &batched };
            for var in args.iter().map(|arg| arg.index()).chain([at]) {
                if !std::mem::replace(&mut copied[var], true) {
                    live.add(values(var));
                }
            }
            let mut multiply_adds = 0;
            for (wrt, arg) in args.iter().enumerate().filter(|(_, arg)| path[arg.index()]) {
                let effort = op.effort(io, wrt);
                let arg = arg.index();
                if let Origin::Param { id, name } = &nodes[arg].origin {
                    let use_of = SitePlan {
                        param: *id,
                        name: name.clone(),
                        entries: nodes[arg].value.len(),
                        structure: op.outer_dims(io, wrt),
                        effort,
                    };
                    join(&mut sites[arg], use_of);
                    held[arg].push(at);
                    holders[at] += 1;
                    continue;
                }
                multiply_adds += rows * effort.multiply_adds;
                live.touch(factor(arg) + effort.numbers(rows, samples) * size);
                if !std::mem::replace(&mut arrived[arg], true) {
                    live.add(factor(arg));
                }
            }
            live.bytes -= values(at);
            if holders[at] == 0 {
                live.bytes -= factor(at);
            }
            for arg in args.iter().map(|arg| arg.index()).filter(|&arg| path[arg]) {
                uses_left[arg] -= 1;
                if uses_left[arg] > 0 {
                    continue;
                }
                let Some(site) = sites[arg].take() else { continue };
                let formed = if site.structure.is_some() {
                    site.effort.numbers(rows, samples) * size
                } else {
                    0
                };
                live.touch(formed + visit(&site));
                for at in held[arg].drain(..) {
                    holders[at] -= 1;
                    if holders[at] == 0 {
                        live.bytes -= factor(at);
                    }
                }
            }
            plan.peak = plan.peak.max(live.peak);
            plan.steps.push(StepPlan {
                position: at,
                op: op.name(),
                multiply_adds,
                bytes: live.peak,
            });
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
        (Some(a), Some(b)) if (a.g, a.o, a.i) == (b.g, b.o, b.i) => {
            Some(OuterDims { t: a.t + b.t, ..a })
        }
        _ => None,
    };
    // Side by side, factors are copied: what each use brings, and all together.
    let copies = site.structure.map_or((0, 0), |d| (2 * d.g * d.t * d.o, 2 * d.g * d.t * d.i));
    site.effort = Effort {
        multiply_adds: site.effort.multiply_adds + more.effort.multiply_adds,
        per_column: (site.effort.per_column + more.effort.per_column).max(copies.0),
        per_sample: (site.effort.per_sample + more.effort.per_sample).max(copies.1),
    };
}

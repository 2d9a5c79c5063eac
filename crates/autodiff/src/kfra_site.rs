//! Curvature averaged over samples at every step back (Botev, Ritter & Barber, *Practical
//! Gauss-Newton Optimisation for Deep Learning*, ICML 2017, § 3.3): with `Q_y` in the place of
//! every sample's `∂²L/∂y²`,
//!
//! ```text
//! Q_out = Σ_n ∂²L_n/∂f_n²        Q_ab += (1/N) Σ_n J_aᵀ Q_y J_b
//! ```
//!
//! for the arguments a, b of the operation that gave y. Where values are used more than once, mixed
//! blocks `Q_yz` of the values that are not yet replaced by their arguments travel along: the
//! quadratic form stays one of everything that the output is computed from.
//!
//! One matrix per value stands for all samples, `(entries per sample)²` numbers, whatever their
//! number.

use std::collections::BTreeMap;

use vivit_tensor::{Gemm, Tensor};

use crate::tape::Origin;
use crate::{
    Batch, Error, Graph, Io, Loss, LossHessian, Op, Outer, ParamId, Probe, Root, RootColumns, Seed,
};

/// Numbers of one matrix at most.
const LIMIT: usize = 1 << 28;
/// Numbers of a factor at a time; samples are taken in turns.
const BLOCK: usize = 1 << 24;

/// A parameter's use by an operation, with the averaged curvature at the operation's result.
#[derive(Debug)]
pub struct KfraSite<'a> {
    /// The parameter.
    pub param: ParamId,
    op: &'a dyn Op,
    io: Io<'a>,
    wrt: usize,
    /// `[L, L]` for L entries of the result per sample.
    q: &'a Tensor,
}

impl KfraSite<'_> {
    /// The operation.
    pub fn operation(&self) -> &dyn Op {
        self.op
    }

    /// The outer-product structure of the parameter's Jacobian, of a factor of one column (its
    /// values do not matter).
    pub fn outer(&self) -> Option<Outer> {
        let mat = self.io.out.reshape(self.io.out.shape().prefixed(&[1]));
        self.op.outer(self.io, self.wrt, &mat)
    }

    /// `Σ_{t, t′} Q` between out-features: what `(Σ_t s)(Σ_t s)ᵀ` is on average, `[G, O, O]`, for a
    /// parameter with outer-product structure.
    pub fn output_factor(&self) -> Option<Tensor> {
        let first = Rows::new(self.io, 0..1);
        // The factor at the output of every column `[K, L]`, summed over positions: `[K, G·O]`.
        let at_output = |columns: &Tensor| {
            let mat =
                columns.reshape(self.io.out.shape().tail().prefixed(&[columns.shape()[0], 1]));
            let outer = first.with(|io| self.op.outer(io, self.wrt, &mat))?;
            let d = outer.dims();
            Some((outer.s_summed().reshape([d.v, d.g * d.o]), d.g, d.o))
        };
        let (half, g, o) = at_output(self.q)?;
        let (whole, ..) = at_output(&half.permute(&[1, 0]))?;
        let blocks = (0..g).map(|g| {
            let (first, after) = ((g * o) as isize, (whole.shape()[0] - (g + 1) * o) as isize);
            whole.pad(&[(-first, -after), (-first, -after)]).reshape([1, o, o])
        });
        Some(Tensor::concat(&blocks.collect::<Vec<_>>(), 0))
    }

    /// `(1/N) Σ_n J_nᵀ Q J_n` in the parameter, `[D, D]`.
    pub fn block(&self) -> Tensor {
        average(self.op, self.io, (self.wrt, self.wrt), self.q)
    }
}

impl Graph {
    /// Shows every use of the `wanted` parameters with the averaged curvature at its operation's
    /// result, last operation first.
    ///
    /// # Errors
    /// If the loss or a parameter does not fit, an operation couples samples, a parameter passes
    /// through operations on parameters alone, a value is too large for its matrix, or `visit`
    /// fails.
    pub fn averaged_sweep<E: From<Error>>(
        &self,
        loss: &dyn Loss,
        wanted: &[ParamId],
        wanted_by: &str,
        visit: impl FnMut(&KfraSite<'_>) -> Result<(), E>,
    ) -> Result<(), E> {
        let (mut failed, mut visit) = (None, visit);
        self.averaged_erased(loss, wanted, wanted_by, &mut |site| {
            visit(site).map_err(|error| failed = Some(error)).is_ok()
        })?;
        failed.map_or(Ok(()), Err)
    }

    /// [`averaged_sweep`](Graph::averaged_sweep), compiled once for all visitors, which return
    /// whether to go on.
    fn averaged_erased(
        &self,
        loss: &dyn Loss,
        wanted: &[ParamId],
        wanted_by: &str,
        visit: &mut dyn FnMut(&KfraSite<'_>) -> bool,
    ) -> Result<(), Error> {
        wanted.iter().try_for_each(|&var| self.check_param(var))?;
        self.check_apart(Some(wanted_by))?;
        let (path, nodes) = (self.path_to(wanted), &self.tape().nodes);
        for (at, node) in nodes
            .iter()
            .enumerate()
            .filter(|(at, _)| path[*at] && !self.tape().is_param(self.tape().var(*at)))
        {
            let entries = node.value.len() / if node.batched { self.samples() } else { 1 };
            let Origin::Op(op) = &node.origin else { continue };
            let op = op.name().to_string();
            if !node.batched {
                return Err(Error::NotAveraged { op, wanted_by: wanted_by.into() });
            }
            if entries.saturating_mul(entries) > LIMIT {
                return Err(Error::AveragedTooLarge { op, position: at, entries, limit: LIMIT });
            }
        }
        // The matrices of pairs of values, the later one first.
        let mut q: BTreeMap<(usize, usize), Tensor> = BTreeMap::new();
        let output = self.output().index();
        let root = Root::Exact(RootColumns::Rank);
        let hessian = Probe::new(Seed::Root(root)).hessian(self, loss)?;
        q.insert((output, output), summed(&hessian));
        for at in (0..nodes.len()).rev().filter(|&at| path[at]) {
            let Origin::Op(op) = &nodes[at].origin else { continue };
            let Some(own) = q.remove(&(at, at)) else { continue };
            let others: Vec<usize> =
                q.keys().filter(|(later, _)| *later == at).map(|&(_, other)| other).collect();
            let mixed: Vec<_> = others
                .into_iter()
                .filter_map(|other| Some((other, q.remove(&(at, other))?)))
                .collect();
            let args: Vec<&Tensor> =
                nodes[at].args.iter().map(|&arg| self.tape().value(arg)).collect();
            let batched: Vec<bool> =
                nodes[at].args.iter().map(|&arg| self.tape().is_batched(arg)).collect();
            let io = Io { args: &args, out: &nodes[at].value, batched: &batched };
            let op = op.as_ref();
            let on_path: Vec<(usize, usize)> = nodes[at]
                .differentiable()
                .map(|(wrt, arg)| (wrt, arg.index()))
                .filter(|(_, arg)| path[*arg])
                .collect();
            for &(wrt, arg) in &on_path {
                if let Origin::Param { id, .. } = &self.tape().nodes[arg].origin {
                    if !visit(&KfraSite { param: *id, op, io, wrt, q: &own }) {
                        return Ok(());
                    }
                }
            }
            let values: Vec<(usize, usize)> = on_path
                .into_iter()
                .filter(|(_, arg)| !self.tape().is_param(self.tape().var(*arg)))
                .collect();
            for (i, &(wrt, arg)) in values.iter().enumerate() {
                for &(other_wrt, other) in &values[i..] {
                    let block = average(op, io, (wrt, other_wrt), &own);
                    // A value that is both arguments has both mixed blocks on its own.
                    if wrt != other_wrt && arg == other {
                        add(&mut q, (arg, other), block.permute(&[1, 0]));
                    }
                    add(&mut q, (arg, other), block);
                }
                for (other, matrix) in &mixed {
                    let block = average_one(op, io, wrt, matrix);
                    if arg == *other {
                        add(&mut q, (arg, arg), block.permute(&[1, 0]));
                    }
                    add(&mut q, (arg, *other), block);
                }
            }
        }
        Ok(())
    }
}

/// Adds the block of rows `a` and columns `b` to the matrices, each pair once.
fn add(q: &mut BTreeMap<(usize, usize), Tensor>, (a, b): (usize, usize), block: Tensor) {
    let (key, block) = if a >= b { ((a, b), block) } else { ((b, a), block.permute(&[1, 0])) };
    match q.get_mut(&key) {
        Some(sum) => sum.axpy(1.0, &block),
        None => drop(q.insert(key, block)),
    }
}

/// What an operation read and wrote, of some samples.
struct Rows<'a> {
    args: Vec<Tensor>,
    out: Tensor,
    batched: &'a [bool],
}

impl<'a> Rows<'a> {
    fn new(io: Io<'a>, samples: std::ops::Range<usize>) -> Self {
        let rows = |x: &Tensor, batched: bool| {
            if batched { x.slice(samples.start, samples.end) } else { x.clone() }
        };
        let args =
            io.args.iter().zip(io.batched).map(|(arg, &batched)| rows(arg, batched)).collect();
        Rows { args, out: rows(io.out, true), batched: io.batched }
    }

    fn with<T>(&self, f: impl FnOnce(Io<'_>) -> T) -> T {
        let args: Vec<&Tensor> = self.args.iter().collect();
        f(Io { args: &args, out: &self.out, batched: self.batched })
    }
}

/// `Jᵀ` of every column and sample: `columns: [K, n, L]` to `[K, n, P]`.
fn pull(op: &dyn Op, io: Io<'_>, wrt: usize, columns: &Tensor) -> Tensor {
    let (k, n) = (columns.shape()[0], columns.shape()[1]);
    let product = op.jac_t(io, wrt, &columns.reshape(io.out.shape().prefixed(&[k])), Batch::Keep);
    product.reshape([k, n, product.len() / (k * n)])
}

/// `(1/N) Σ_n J_aᵀ Q J_b`.
fn average(op: &dyn Op, io: Io<'_>, (a, b): (usize, usize), q: &Tensor) -> Tensor {
    over_samples(io, q.shape()[0], |io, n| {
        let l = q.shape()[0];
        let half = pull(op, io, a, &q.reshape([l, 1, l]).broadcast([l, n, l]));
        pull(op, io, b, &half.permute(&[2, 1, 0])).sum(1)
    })
}

/// `(1/N) Σ_n J_aᵀ Q` of a mixed block `Q: [L, other]`.
fn average_one(op: &dyn Op, io: Io<'_>, a: usize, q: &Tensor) -> Tensor {
    let (l, other) = (q.shape()[0], q.shape()[1]);
    over_samples(io, l.max(other), |io, n| {
        let columns = q.permute(&[1, 0]).reshape([other, 1, l]).broadcast([other, n, l]);
        pull(op, io, a, &columns).sum(1).permute(&[1, 0])
    })
}

/// The mean over all samples of what `f` returns summed over some.
fn over_samples(io: Io<'_>, entries: usize, f: impl Fn(Io<'_>, usize) -> Tensor) -> Tensor {
    let total = io.samples();
    let widest = io
        .args
        .iter()
        .zip(io.batched)
        .map(|(arg, &batched)| if batched { arg.len() / total } else { arg.len() });
    let widest = widest.fold(entries, usize::max);
    let step = (BLOCK / (widest * entries).max(1)).clamp(1, total);
    let mut sum: Option<Tensor> = None;
    for first in (0..total).step_by(step) {
        let last = (first + step).min(total);
        let part = Rows::new(io, first..last).with(|io| f(io, last - first));
        crate::chain::add(&mut sum, part);
    }
    sum.expect("a batch holds a sample").scale(1.0 / total as f64)
}

/// `Σ_n H_n`, `[C, C]`; in slices of columns that take no more memory.
fn summed(hessian: &LossHessian) -> Tensor {
    let (v, n, c) = (hessian.columns(), hessian.shape()[0], hessian.shape().tail().size());
    let some = (c / n.max(1)).max(1);
    let mut sum: Option<Tensor> = None;
    for first in (0..v).step_by(some) {
        let root = hessian.root_columns(first..(first + some).min(v));
        let part = root.gemm(&Gemm::tn(c, c, root.len() / c), &root, [c, c]);
        match &mut sum {
            Some(sum) => sum.axpy(1.0, &part),
            None => sum = Some(part),
        }
    }
    sum.unwrap_or_else(|| Tensor::zeros(hessian.device(), [c, c]))
}

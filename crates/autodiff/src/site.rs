//! What a visitor of the sweep sees: one parameter with everything that reached it.

use std::ops::Range;

use vivit_tensor::{Backend, Shape, Tensor};

use crate::{Batch, Io, Op, Outer, Var};

/// One use of a parameter by an operation, with the stacked factor `[V, N, *out]` that reached the operation's result.
#[derive(Debug)]
pub struct Use<'a, B: Backend> {
    pub(crate) op: &'a dyn Op<B>,
    pub(crate) wrt: usize,
    pub(crate) args: Vec<Tensor<B>>,
    pub(crate) out: Tensor<B>,
    pub(crate) batched: Vec<bool>,
    pub(crate) factor: Tensor<B>,
}

impl<B: Backend> Use<'_, B> {
    /// The operation; downcast it (`op as &dyn Any`) to treat a kind of operation specially.
    pub fn op(&self) -> &dyn Op<B> {
        self.op
    }

    /// Which of the operation's arguments the parameter is.
    pub fn wrt(&self) -> usize {
        self.wrt
    }

    /// The operation's argument values (of the probe's samples).
    pub fn args(&self) -> &[Tensor<B>] {
        &self.args
    }

    /// Calls `f` with what the operation read and wrote and the factor of some columns.
    ///
    /// The factor is `[V, *out]`; where the result carries no sample axis, columns and samples are one axis `V·N`.
    fn with<T>(&self, columns: &Range<usize>, f: impl FnOnce(&dyn Op<B>, Io<'_, B>, &Tensor<B>) -> T) -> T {
        let factor = self.factor.slice(columns.start, columns.end);
        let args: Vec<&Tensor<B>> = self.args.iter().collect();
        let io = Io { args: &args, out: &self.out, batched: &self.batched };
        if io.out_batched() {
            f(self.op, io, &factor)
        } else {
            let (v, n) = (factor.shape()[0], factor.shape()[1]);
            f(self.op, io, &factor.reshape(self.out.shape().prefixed(&[v * n])))
        }
    }

    fn jac_t(&self, columns: &Range<usize>, batch: Batch) -> Tensor<B> {
        self.with(columns, |op, io, mat| {
            let product = op.jac_t(io, self.wrt, mat, batch);
            if io.out_batched() {
                return product;
            }
            let shape = *io.args[self.wrt].shape();
            let product = product.reshape(shape.prefixed(&[columns.len(), self.factor.shape()[1]]));
            if batch == Batch::Sum { product.sum(1) } else { product }
        })
    }

    fn outer(&self, columns: &Range<usize>) -> Option<Outer<B>> {
        self.with(columns, |op, io, mat| io.out_batched().then(|| op.outer(io, self.wrt, mat)).flatten())
    }
}

/// Where a probe's columns lie: the stream and the columns of it.
pub(crate) type Columns = (usize, Range<usize>);

/// All uses of the parameter, by stream, and where each probe's columns lie in it.
#[derive(Debug)]
pub(crate) struct Arrived<'a, B: Backend> {
    pub uses: Vec<Vec<Use<'a, B>>>,
    pub probes: Vec<Columns>,
}

/// One parameter of the graph with the factors of all probes, shown once, when the last of its uses has been reached.
///
/// A parameter that is used several times has contributions from every use; whatever this returns is their sum, so that
/// squares and products of it are right.
#[derive(Debug)]
pub struct Site<'a, B: Backend> {
    pub(crate) param: Var,
    pub(crate) name: &'a str,
    pub(crate) value: &'a Tensor<B>,
    pub(crate) arrived: &'a Arrived<'a, B>,
    /// The probes that the visitor declared, as positions among all.
    pub(crate) probes: &'a [usize],
}

impl<'a, B: Backend> Site<'a, B> {
    /// The parameter.
    pub fn param(&self) -> Var {
        self.param
    }

    /// The parameter's name.
    pub fn name(&self) -> &str {
        self.name
    }

    /// The parameter's value.
    pub fn value(&self) -> &Tensor<B> {
        self.value
    }

    /// The parameter's shape.
    pub fn shape(&self) -> &Shape {
        self.value.shape()
    }

    /// The uses of the parameter, last first, as the given probe sees them. The factors in them hold all probes that
    /// travel together; the other methods pick the probe's own columns.
    #[track_caller]
    pub fn uses(&self, probe: usize) -> &[Use<'a, B>] {
        &self.arrived.uses[self.stream(probe).0]
    }

    /// Columns times samples of the probe, `V·N_S`.
    #[track_caller]
    pub fn rows(&self, probe: usize) -> usize {
        let (stream, columns) = self.stream(probe);
        columns.len() * self.arrived.uses[*stream][0].factor.shape()[1]
    }

    /// The parameter's share of the probe: `[V, *p]` summed over samples, or `[V, N_S, *p]`.
    #[track_caller]
    #[must_use]
    pub fn jac_t(&self, probe: usize, batch: Batch) -> Tensor<B> {
        let (stream, columns) = self.stream(probe);
        let mut uses = self.arrived.uses[*stream].iter();
        let mut sum = uses.next().expect("a site has a use").jac_t(columns, batch);
        uses.for_each(|other| sum.axpy(1.0, &other.jac_t(columns, batch)));
        sum
    }

    /// The probe's share as a sum of outer products, if every use has that structure.
    #[track_caller]
    #[must_use]
    pub fn outer(&self, probe: usize) -> Option<Outer<B>> {
        let (stream, columns) = self.stream(probe);
        let mut uses = self.arrived.uses[*stream].iter();
        let first = uses.next()?.outer(columns)?;
        uses.try_fold(first, |sum, other| sum.joined(&other.outer(columns)?))
    }

    /// The same site for a visitor that declared the given ones of these probes.
    pub fn scoped<'s>(&self, probes: &'s [usize]) -> Site<'s, B>
    where
        'a: 's,
    {
        Site { param: self.param, name: self.name, value: self.value, arrived: self.arrived, probes }
    }

    #[track_caller]
    fn stream(&self, probe: usize) -> &Columns {
        &self.arrived.probes[self.probes[probe]]
    }
}

//! What a visitor of the sweep sees: one parameter with everything that reached it.

use std::ops::Range;
use std::sync::Arc;

use vivit_tensor::{Shape, Tensor};

use crate::{Batch, Io, Op, Outer, ParamId};

/// One use of a parameter by an operation, with the stacked factor `[V, N, *out]` that reached the
/// operation's result.
#[derive(Debug)]
pub struct Use<'a> {
    pub(crate) op: &'a dyn Op,
    pub(crate) wrt: usize,
    pub(crate) args: Vec<Tensor>,
    pub(crate) out: Tensor,
    pub(crate) batched: Vec<bool>,
    pub(crate) factor: Tensor,
}

impl<'a> Use<'a> {
    /// The operation; `op.downcast_ref::<Linear>()` tells whether it is of a kind.
    pub fn op(&self) -> &'a dyn Op {
        self.op
    }

    /// Which of the operation's arguments the parameter is.
    pub fn wrt(&self) -> usize {
        self.wrt
    }

    /// The operation's argument values (of the probe's samples).
    pub fn args(&self) -> &[Tensor] {
        &self.args
    }

    /// Calls `f` with what the operation read and wrote and the factor of some columns.
    ///
    /// The factor is `[V, *out]`; where the result carries no sample axis, columns and samples are
    /// one axis `V·N`.
    fn with<T>(&self, columns: &Range<usize>, f: impl FnOnce(&dyn Op, Io<'_>, &Tensor) -> T) -> T {
        let factor = self.factor.slice(columns.start, columns.end);
        let args: Vec<&Tensor> = self.args.iter().collect();
        let io = Io { args: &args, out: &self.out, batched: &self.batched };
        if io.out_batched() {
            f(self.op, io, &factor)
        } else {
            let (v, n) = (factor.shape()[0], factor.shape()[1]);
            f(self.op, io, &factor.reshape(self.out.shape().prefixed(&[v * n])))
        }
    }

    fn jac_t(&self, columns: &Range<usize>, batch: Batch) -> Tensor {
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

    fn outer(&self, columns: &Range<usize>) -> Option<Outer> {
        self.with(columns, |op, io, mat| {
            io.out_batched().then(|| op.outer(io, self.wrt, mat)).flatten()
        })
    }
}

/// Where a probe's columns lie: the stream and the columns of it.
pub(crate) type Columns = (usize, Range<usize>);

/// All uses of the parameter, by stream, and where each probe's columns lie in it.
#[derive(Debug)]
pub(crate) struct Arrived<'a> {
    pub uses: Vec<Vec<Use<'a>>>,
    pub probes: Arc<[Columns]>,
}

impl<'a> Arrived<'a> {
    /// The uses that a stream has shown.
    pub fn of(&mut self, stream: usize) -> &mut Vec<Use<'a>> {
        while self.uses.len() <= stream {
            self.uses.push(Vec::new());
        }
        &mut self.uses[stream]
    }
}

/// Signed columns that belong to a probe of the Hessian and travel in a stream of their own.
#[derive(Debug)]
pub(crate) struct Residual {
    pub probe: usize,
    pub stream: usize,
    /// `[V, N_S]`
    pub signs: Tensor,
}

/// Columns that start at a parameter itself: the identity, with the sample axis of a factor.
#[derive(Debug)]
pub(crate) struct Here;

impl Op for Here {
    fn name(&self) -> &'static str {
        "identity"
    }

    fn forward(&self, args: &[&Tensor]) -> Tensor {
        args[0].clone()
    }

    fn jac_t(&self, _io: Io<'_>, _wrt: usize, mat: &Tensor, batch: Batch) -> Tensor {
        if batch == Batch::Keep { mat.clone() } else { mat.sum(1) }
    }
}

impl<'a> Use<'a> {
    /// Columns `[V, N, *p]` at the parameter itself.
    pub(crate) fn here(factor: Tensor) -> Self {
        let out = factor.slice(0, 1).reshape(factor.shape().tail());
        Use { op: &Here, wrt: 0, args: Vec::new(), out, batched: vec![true], factor }
    }
}

/// Some columns of one probe, as the parameter of a [`Site`] sees them.
#[derive(Debug)]
pub struct Share<'s, 'a> {
    uses: &'s [Use<'a>],
    columns: Range<usize>,
    signs: Option<&'s Tensor>,
}

impl Share<'_, '_> {
    /// Columns times samples, `V·N_S`.
    pub fn rows(&self) -> usize {
        self.columns.len() * self.uses[0].factor.shape()[1]
    }

    /// ±1 per column and sample, `[V, N_S]`, with which squares of these columns count for the
    /// Hessian; `None` stands for 1 everywhere.
    pub fn signs(&self) -> Option<&Tensor> {
        self.signs
    }

    /// `[V, *p]` summed over samples, or `[V, N_S, *p]`.
    #[must_use]
    pub fn jac_t(&self, batch: Batch) -> Tensor {
        let mut uses = self.uses.iter();
        let mut sum = uses.next().expect("a share has a use").jac_t(&self.columns, batch);
        uses.for_each(|other| sum.axpy(1.0, &other.jac_t(&self.columns, batch)));
        sum
    }

    /// The columns as a sum of outer products, if every use has that structure.
    #[must_use]
    pub fn outer(&self) -> Option<Outer> {
        let parts = self.uses.iter().map(|used| used.outer(&self.columns));
        Outer::join_positions(&parts.collect::<Option<Vec<_>>>()?)
    }
}

/// One parameter of the graph with the factors of all probes, shown once, when the last of its uses
/// has been reached.
///
/// A parameter that is used several times has contributions from every use; whatever this returns
/// is their sum, so that squares and products of it are right.
///
/// ```
/// # use vivit_autodiff::{Graph, Mse, Tape};
/// # use vivit_tensor::{Device, Tensor};
/// # let cpu = Device::cpu_f64();
/// # let mut tape = Tape::new(&cpu);
/// # let x = tape.input(Tensor::from_vec(&cpu, [2, 2], vec![1.0, 2.0, 3.0, 4.0])?);
/// # let w = tape.named_param("w", Tensor::zeros(&cpu, [1, 2]));
/// # let y = tape.linear(x, w, None);
/// # let graph = Graph::new(tape, y)?;
/// # let w = graph.param_id(w)?;
/// # let loss = Mse::sum(Tensor::from_vec(&cpu, [2, 1], vec![1.0, -1.0])?);
/// // y = x·w at w = 0, with x = (1, 2) and (3, 4); squared errors against 1 and −1.
/// use vivit_autodiff::{Batch, Error, Probe, Seed};
///
/// graph.sweep(&loss, &[Probe::new(Seed::Gradient)], &[w], Some("an example"), |site| {
///     assert_eq!((site.name(), site.samples(0)), ("w", 2));
///     assert_eq!(site.jac_t(0, Batch::Sum).to_vec()?, [4.0, 4.0]);
///     assert_eq!(site.jac_t(0, Batch::Keep).to_vec()?, [-2.0, -4.0, 6.0, 8.0]); // [1, N, *p]
///     assert!(site.outer(0).is_some());
///     Ok::<(), Error>(())
/// })?;
/// # Ok::<(), vivit_autodiff::Error>(())
/// ```
#[derive(Debug)]
pub struct Site<'a> {
    pub(crate) param: ParamId,
    pub(crate) name: &'a str,
    pub(crate) value: &'a Tensor,
    pub(crate) arrived: &'a Arrived<'a>,
    pub(crate) residuals: &'a [Residual],
    /// The probes that the visitor declared, as positions among all.
    pub(crate) probes: &'a [usize],
}

impl<'a> Site<'a> {
    /// The parameter.
    pub fn param(&self) -> ParamId {
        self.param
    }

    /// The parameter's name.
    pub fn name(&self) -> &str {
        self.name
    }

    /// The parameter's value.
    pub fn value(&self) -> &Tensor {
        self.value
    }

    /// The parameter's shape.
    pub fn shape(&self) -> &Shape {
        self.value.shape()
    }

    /// The uses of the parameter, last first, as the given probe sees them. The factors in them
    /// hold all probes that travel together; the other methods pick the probe's own columns.
    #[track_caller]
    pub fn uses(&self, probe: usize) -> &[Use<'a>] {
        &self.arrived.uses[self.stream(probe).0]
    }

    /// The operations that use the parameter, last first.
    pub fn operations(&self) -> impl Iterator<Item = &'a dyn Op> {
        let uses = self.arrived.uses.iter().find(|uses| !uses.is_empty());
        uses.into_iter().flatten().map(|used| used.op())
    }

    /// The probe's columns.
    #[track_caller]
    pub fn share(&self, probe: usize) -> Share<'_, 'a> {
        Share { uses: self.uses(probe), columns: self.stream(probe).1.clone(), signs: None }
    }

    /// The probe's columns and, for a probe of the Hessian
    /// ([`Seed::Hessian`](crate::Seed::Hessian)), the signed ones of every operation between this
    /// parameter and the output: `Σ_shares Σ_{v, n} sign[v, n] V[v, n] V[v, n]ᵀ` is the Hessian's
    /// block.
    #[track_caller]
    pub fn shares(&self, probe: usize) -> Vec<Share<'_, 'a>> {
        let number = self.probes[probe];
        let signed = self.residuals.iter().filter(|residual| residual.probe == number).filter_map(
            |residual| {
                let uses =
                    self.arrived.uses.get(residual.stream).filter(|uses| !uses.is_empty())?;
                Some(Share {
                    uses,
                    columns: 0..residual.signs.shape()[0],
                    signs: Some(&residual.signs),
                })
            },
        );
        std::iter::once(self.share(probe)).chain(signed).collect()
    }

    /// All the visitor's probes as the columns of one share, one probe after the other, if they
    /// have the same samples and so travel together.
    pub fn stacked(&self) -> Option<Share<'_, 'a>> {
        let (&first, rest) = self.probes.split_first()?;
        let (stream, mut columns) = self.arrived.probes[first].clone();
        for &probe in rest {
            let (other, next) = &self.arrived.probes[probe];
            if (*other, next.start) != (stream, columns.end) {
                return None;
            }
            columns.end = next.end;
        }
        Some(Share { uses: &self.arrived.uses[stream], columns, signs: None })
    }

    /// Columns times samples of the probe, `V·N_S`.
    #[track_caller]
    pub fn rows(&self, probe: usize) -> usize {
        self.share(probe).rows()
    }

    /// Samples of the probe, `N_S`.
    #[track_caller]
    pub fn samples(&self, probe: usize) -> usize {
        self.uses(probe)[0].factor.shape()[1]
    }

    /// The parameter's share of the probe: `[V, *p]` summed over samples, or `[V, N_S, *p]`.
    #[track_caller]
    #[must_use]
    pub fn jac_t(&self, probe: usize, batch: Batch) -> Tensor {
        self.share(probe).jac_t(batch)
    }

    /// The probe's share as a sum of outer products, if every use has that structure.
    #[track_caller]
    #[must_use]
    pub fn outer(&self, probe: usize) -> Option<Outer> {
        self.share(probe).outer()
    }

    /// The same site for a visitor that declared the given ones of these probes.
    pub fn scoped<'s>(&self, probes: &'s [usize]) -> Site<'s>
    where
        'a: 's,
    {
        Site { probes, ..*self }
    }

    #[track_caller]
    fn stream(&self, probe: usize) -> &Columns {
        &self.arrived.probes[self.probes[probe]]
    }
}

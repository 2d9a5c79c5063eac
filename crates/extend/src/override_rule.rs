//! Another rule for one kind of operation in an extension, from outside of both.

use std::fmt;
use std::marker::PhantomData;

use vivit_autodiff::{Graph, Loss, Op, ParamId, ParamMap, Probe, Site};

use crate::{Error, Extension};

/// An extension in which parameters of operations of type `O` go by a rule of the user's own.
///
/// Extensions ask a [`Site`] for structure, not for the kind of operation; where a faster or an
/// approximate way exists for one pair of operation and extension, this puts it in:
/// `Override::new(DiagGgn::exact(), |site, op: &Conv| …)`.
///
/// ```
/// # use vivit_autodiff::{Batch, Graph, Io, Mse, Op, Tape};
/// # use vivit_extend::{BatchGrad, Override, run};
/// # use vivit_tensor::{Device, Tensor, Unary};
/// # #[derive(Debug)]
/// # struct Times;
/// # impl Op for Times {
/// #     fn name(&self) -> &'static str {
/// #         "times"
/// #     }
/// #     fn forward(&self, args: &[&Tensor]) -> Tensor {
/// #         args[0].mul(args[1])
/// #     }
/// #     fn jac_t(&self, io: Io<'_>, wrt: usize, mat: &Tensor, batch: Batch) -> Tensor {
/// #         let product = mat.mul(io.args[1 - wrt]);
/// #         if wrt == 1 && batch == Batch::Sum { product.sum(1) } else { product }
/// #     }
/// # }
/// # let cpu = Device::cpu();
/// # let mut tape = Tape::new(&cpu);
/// # let x = tape.input(Tensor::from_vec(&cpu, [2, 1], vec![4.0, 0.5])?);
/// # let w = tape.param(Tensor::zeros(&cpu, [1]));
/// # let y = tape.record(Times, &[x, w]);
/// # let graph = Graph::new(tape, y)?;
/// # let w = graph.param_id(w)?;
/// # let loss = Mse::sum(Tensor::from_vec(&cpu, [2, 1], vec![1.0, -0.5])?);
/// // y = x ∘ w by an operation `Times` of the user's own, whose gradients are to be clipped at 1.
/// let clipped = Override::new(BatchGrad::new(), |site, _: &Times| {
///     let gradients = site.jac_t(0, Batch::Keep);
///     let shape = gradients.shape().tail();
///     Ok(gradients.reshape(shape).unary(Unary::HardTanh(-1.0, 1.0)))
/// });
/// let (gradients,) = run(&graph, &loss, (clipped,))?;
/// assert_eq!(gradients[w].to_vec()?, [-1.0, 0.5]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Override<X, O, F> {
    inner: X,
    rule: F,
    op: PhantomData<fn(&O)>,
}

impl<X, O, F> Override<X, O, F> {
    /// `inner`, but with `rule(site, operation)` for a parameter all of whose uses are operations
    /// of type `O` (the rule gets the last one).
    pub fn new(inner: X, rule: F) -> Self
    where
        X: Extension,
        O: Op,
        F: FnMut(&Site<'_>, &O) -> Result<X::Value, Error>,
    {
        Override { inner, rule, op: PhantomData }
    }
}

impl<X: fmt::Debug, O, F> fmt::Debug for Override<X, O, F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Override").field("inner", &self.inner).finish_non_exhaustive()
    }
}

impl<X: Extension, O: Op, F: FnMut(&Site<'_>, &O) -> Result<X::Value, Error>> Extension
    for Override<X, O, F>
{
    type Value = X::Value;
    type Out = X::Out;

    fn name(&self) -> &'static str {
        self.inner.name()
    }

    fn probes(&self) -> Vec<Probe> {
        self.inner.probes()
    }

    fn per_sample(&self) -> bool {
        self.inner.per_sample()
    }

    fn needs_loss(&self) -> bool {
        self.inner.needs_loss()
    }

    fn prepare(&mut self, graph: &Graph, loss: &dyn Loss, params: &[ParamId]) -> Result<(), Error> {
        self.inner.prepare(graph, loss, params)
    }

    fn visit(&mut self, site: &Site<'_>) -> Result<X::Value, Error> {
        let operations: Option<Vec<&O>> =
            site.operations().map(|op| op.downcast_ref::<O>()).collect();
        match operations.as_deref() {
            Some([last, ..]) => (self.rule)(site, last),
            _ => self.inner.visit(site),
        }
    }

    fn finish(self, values: ParamMap<X::Value>) -> Result<X::Out, Error> {
        self.inner.finish(values)
    }
}

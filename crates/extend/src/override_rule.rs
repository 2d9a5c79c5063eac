//! Another rule for one kind of operation in an extension, from outside of both.

use std::fmt;
use std::marker::PhantomData;

use vivit_autodiff::{Graph, Loss, Op, ParamMap, Probe, Site, Var};
use vivit_tensor::Backend;

use crate::{Error, Extension};

/// An extension in which parameters of operations of type `O` go by a rule of the user's own.
///
/// Extensions ask a [`Site`] for structure, not for the kind of operation; where a faster or an approximate way exists for one pair of
/// operation and extension, this puts it in:
///
/// ```
/// use vivit_autodiff::{Batch, Graph, Mse, Tape, ops::Linear};
/// use vivit_extend::{DiagGgn, Override, run};
/// use vivit_tensor::{Cpu, Tensor};
///
/// let cpu = Cpu::<f64>::new();
/// let mut tape = Tape::new(&cpu);
/// let x = tape.input(Tensor::full(&cpu, [2, 3], 1.0));
/// let w = tape.param(Tensor::full(&cpu, [1, 3], 0.5));
/// let y = tape.linear(x, w, None);
/// let graph = Graph::new(tape, y)?;
///
/// let ones = Override::new(DiagGgn::exact(), |site: &vivit_autodiff::Site<'_, _>, _op: &Linear| Ok(site.value().scale(0.0)));
/// let (diagonal,) = run(&graph, &Mse::mean(Tensor::zeros(&cpu, [2, 1])), (ones,))?;
/// assert_eq!(diagonal[w].to_vec()?, [0.0; 3]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Override<X, O, F> {
    inner: X,
    rule: F,
    op: PhantomData<fn(&O)>,
}

impl<X, O, F> Override<X, O, F> {
    /// `inner`, but with `rule(site, operation)` for a parameter all of whose uses are operations of type `O` (the rule gets the last one).
    pub fn new<B: Backend>(inner: X, rule: F) -> Self
    where
        X: Extension<B>,
        O: Op<B>,
        F: FnMut(&Site<'_, B>, &O) -> Result<X::Value, Error>,
    {
        Override { inner, rule, op: PhantomData }
    }
}

impl<X: fmt::Debug, O, F> fmt::Debug for Override<X, O, F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Override").field("inner", &self.inner).finish_non_exhaustive()
    }
}

impl<B: Backend, X: Extension<B>, O: Op<B>, F: FnMut(&Site<'_, B>, &O) -> Result<X::Value, Error>> Extension<B>
    for Override<X, O, F>
{
    type Value = X::Value;
    type Out = X::Out;

    fn name(&self) -> &'static str {
        self.inner.name()
    }

    fn probes(&self) -> Vec<Probe<B>> {
        self.inner.probes()
    }

    fn per_sample(&self) -> bool {
        self.inner.per_sample()
    }

    fn prepare(&mut self, graph: &Graph<B>, loss: &dyn Loss<B>, params: &[Var]) -> Result<(), Error> {
        self.inner.prepare(graph, loss, params)
    }

    fn visit(&mut self, site: &Site<'_, B>) -> Result<X::Value, Error> {
        let ops: Option<Vec<&O>> = site.ops().map(|op| op.downcast_ref::<O>()).collect();
        match ops.as_deref() {
            Some([last, ..]) => (self.rule)(site, last),
            _ => self.inner.visit(site),
        }
    }

    fn finish(self, values: ParamMap<X::Value>) -> Result<X::Out, Error> {
        self.inner.finish(values)
    }
}

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

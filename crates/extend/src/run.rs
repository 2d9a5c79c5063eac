//! Running any set of extensions in one sweep.

use vivit_autodiff::{Graph, Loss, Probe, Site, Var};
use vivit_tensor::Backend;

use crate::{Error, Extension};

/// Runs extensions over all parameters of a graph, in one sweep, and returns their results: `run(&graph, &loss, (BatchGrad::new(),))`.
///
/// # Errors
/// If the loss does not fit the graph, an operation lacks what an extension needs (before any work), or an extension fails.
pub fn run<B: Backend, X: ExtensionSet<B>>(graph: &Graph<B>, loss: &dyn Loss<B>, extensions: X) -> Result<X::Out, Error> {
    run_for(graph, loss, &graph.params(), extensions)
}

/// As [`run`], for some parameters only: the sweep ends where none of them is left.
///
/// # Errors
/// As [`run`], and if one of `params` is no parameter that the output depends on.
pub fn run_for<B: Backend, X: ExtensionSet<B>>(
    graph: &Graph<B>,
    loss: &dyn Loss<B>,
    params: &[Var],
    mut extensions: X,
) -> Result<X::Out, Error> {
    let mut plan = Plan { probes: Vec::new(), own: Vec::new(), per_sample: None };
    extensions.declare(&mut plan);
    let Plan { probes, own, per_sample } = plan;
    graph.sweep(loss, &probes, params, per_sample, |site| extensions.visit(site, &own))?;
    extensions.finish()
}

/// The probes of all extensions, equal ones once, and each extension's own among them.
#[derive(Debug)]
pub struct Plan<B: Backend> {
    probes: Vec<Probe<B>>,
    own: Vec<Vec<usize>>,
    per_sample: Option<&'static str>,
}

impl<B: Backend> Plan<B> {
    fn add(&mut self, extension: &impl Extension<B>) {
        let mut own = Vec::new();
        for probe in extension.probes() {
            let at = self.probes.iter().position(|known| known.same(&probe)).unwrap_or_else(|| {
                self.probes.push(probe);
                self.probes.len() - 1
            });
            own.push(at);
        }
        self.own.push(own);
        if extension.per_sample() {
            self.per_sample.get_or_insert(extension.name());
        }
    }
}

/// A tuple of extensions.
pub trait ExtensionSet<B: Backend> {
    /// The tuple of their results.
    type Out;
    /// Adds the extensions' probes to the plan, in order.
    fn declare(&self, plan: &mut Plan<B>);
    /// Shows a site to every extension; `own[i]` are the probes of extension i.
    ///
    /// # Errors
    /// The first that an extension returns.
    fn visit(&mut self, site: &Site<'_, B>, own: &[Vec<usize>]) -> Result<(), Error>;
    /// Collects the results.
    ///
    /// # Errors
    /// The first that an extension returns.
    fn finish(self) -> Result<Self::Out, Error>;
}

macro_rules! tuple {
    ($($name:ident $at:tt),+) => {
        impl<B: Backend, $($name: Extension<B>),+> ExtensionSet<B> for ($($name,)+) {
            type Out = ($($name::Out,)+);
            fn declare(&self, plan: &mut Plan<B>) {
                $(plan.add(&self.$at);)+
            }
            fn visit(&mut self, site: &Site<'_, B>, own: &[Vec<usize>]) -> Result<(), Error> {
                $(self.$at.visit(&site.scoped(&own[$at]))?;)+
                Ok(())
            }
            fn finish(self) -> Result<Self::Out, Error> {
                Ok(($(self.$at.finish()?,)+))
            }
        }
    };
}
tuple!(X0 0);
tuple!(X0 0, X1 1);
tuple!(X0 0, X1 1, X2 2);
tuple!(X0 0, X1 1, X2 2, X3 3);
tuple!(X0 0, X1 1, X2 2, X3 3, X4 4);
tuple!(X0 0, X1 1, X2 2, X3 3, X4 4, X5 5);
tuple!(X0 0, X1 1, X2 2, X3 3, X4 4, X5 5, X6 6);
tuple!(X0 0, X1 1, X2 2, X3 3, X4 4, X5 5, X6 6, X7 7);

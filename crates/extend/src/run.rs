//! Running any set of extensions in one sweep.

use vivit_autodiff::{Graph, Loss, ParamId, ParamMap, Probe, Seed, Site};

use crate::no_loss::NoLoss;
use crate::{Error, Extension};

/// Runs extensions over all parameters of a graph, in one sweep, and returns their results:
/// `run(&graph, &loss, (BatchGrad::new(),))`.
///
/// # Errors
/// If the loss does not fit the graph, an operation lacks what an extension needs (before any
/// work), or an extension fails.
pub fn run<X: ExtensionSet>(
    graph: &Graph,
    loss: &dyn Loss,
    extensions: X,
) -> Result<X::Out, Error> {
    run_for(graph, loss, &graph.params(), extensions)
}

/// As [`run`], for some parameters only: the sweep ends where none of them is left.
///
/// # Errors
/// As [`run`], and if one of `params` is no parameter that the output depends on.
pub fn run_for<X: ExtensionSet>(
    graph: &Graph,
    loss: &dyn Loss,
    params: &[ParamId],
    extensions: X,
) -> Result<X::Out, Error> {
    run_with(graph, loss, params, extensions, |_, _| Ok(()))
}

/// As [`run_for`]; after every parameter, `hook` sees the values of all extensions so far, and may
/// read them and take them out: what large values are for can be done with them at once, and their
/// memory is free before the next parameter comes.
///
/// ```
/// # use vivit_autodiff::{CrossEntropy, Graph, Tape};
/// # use vivit_extend::{BatchGrad, run_with};
/// # use vivit_tensor::{Device, Tensor};
/// # let cpu = Device::cpu_f64();
/// # let mut tape = Tape::new(&cpu);
/// # let x = tape.input(Tensor::from_vec(&cpu, &[2, 3], vec![1.0, -2.0, 0.5, 0.3, 0.1, -1.0])?);
/// # let w = tape.param(Tensor::from_vec(&cpu, &[2, 3], vec![0.1, 0.2, -0.3, 0.4, -0.5, 0.6])?);
/// # let y = tape.linear(x, w, None);
/// # let graph = Graph::new(tape, y)?;
/// # let loss = CrossEntropy::mean([0, 1]);
/// let mut largest = 0.0f64;
/// run_with(&graph, &loss, &graph.params(), (BatchGrad::new(),), |site, (gradients,)| {
///     let gradients = gradients.remove(site.param()).expect("just computed");
///     largest = gradients.to_vec()?.iter().fold(largest, |largest, g| largest.max(g.abs()));
///     Ok(())
/// })?;
/// assert!(largest > 0.0);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
/// As [`run_for`], and if the hook fails.
pub fn run_with<X: ExtensionSet>(
    graph: &Graph,
    loss: &dyn Loss,
    params: &[ParamId],
    extensions: X,
    hook: impl FnMut(&Site<'_>, &mut X::Values) -> Result<(), Error>,
) -> Result<X::Out, Error> {
    let plan = Plan::of(&extensions);
    plan.run(graph, loss, params, extensions, hook)
}

/// As [`run`], of extensions for which the loss does not matter: those whose probes are none of a
/// loss ([`Extension::needs_loss`]), such as [`Jacobian`](crate::Jacobian).
///
/// ```
/// use vivit_autodiff::{Graph, Tape};
/// use vivit_extend::{Gradient, Jacobian, run_without_loss};
/// use vivit_tensor::{Device, Tensor};
///
/// let cpu = Device::cpu();
/// let mut tape = Tape::new(&cpu);
/// let x = tape.input(Tensor::from_vec(&cpu, [1, 2], vec![3.0, 4.0])?);
/// let w = tape.param(Tensor::zeros(&cpu, [1, 2]));
/// let y = tape.linear(x, w, None);
/// let graph = Graph::new(tape, y)?;
///
/// let (jacobian,) = run_without_loss(&graph, (Jacobian::new(),))?;
/// assert_eq!(jacobian[graph.param_id(w)?].to_vec()?, [3.0, 4.0]);
/// let error = run_without_loss(&graph, (Jacobian::new(), Gradient)).unwrap_err();
/// assert!(error.to_string().starts_with("extension Gradient needs a loss"));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
/// As [`run`]; before any work if an extension needs a loss.
pub fn run_without_loss<X: ExtensionSet>(graph: &Graph, extensions: X) -> Result<X::Out, Error> {
    let plan = Plan::of(&extensions);
    if let Some(extension) = plan.loss {
        return Err(Error::NeedsLoss { extension });
    }
    plan.run(graph, &NoLoss, &graph.params(), extensions, |_, _| Ok(()))
}

/// The probes of all extensions, equal ones once, and each extension's own among them.
#[derive(Debug, Default)]
pub struct Plan {
    probes: Vec<Probe>,
    own: Vec<Vec<usize>>,
    /// The first extension that needs samples apart, the first one that needs the Hessian, and the
    /// first one that needs a loss.
    per_sample: Option<&'static str>,
    hessian: Option<&'static str>,
    loss: Option<&'static str>,
}

impl Plan {
    fn of(extensions: &impl ExtensionSet) -> Self {
        let mut plan = Plan::default();
        extensions.declare(&mut plan);
        plan
    }

    /// Prepares the extensions that made the plan, sweeps, and collects their results.
    fn run<X: ExtensionSet>(
        &self,
        graph: &Graph,
        loss: &dyn Loss,
        params: &[ParamId],
        mut extensions: X,
        mut hook: impl FnMut(&Site<'_>, &mut X::Values) -> Result<(), Error>,
    ) -> Result<X::Out, Error> {
        params.iter().try_for_each(|&var| graph.check_param(var))?;
        extensions.prepare(graph, loss, params)?;
        let mut values = X::Values::default();
        let all: Vec<usize> = (0..self.probes.len()).collect();
        graph.sweep(loss, &self.probes, params, self.hessian.or(self.per_sample), |site| {
            extensions.visit(site, &self.own, &mut values)?;
            hook(&site.scoped(&all), &mut values)
        })?;
        extensions.finish(values)
    }

    fn add(&mut self, extension: &impl Extension) {
        let mut own = Vec::new();
        for probe in extension.probes() {
            if matches!(probe.seed, Seed::Hessian(_)) {
                self.hessian.get_or_insert(extension.name());
            }
            let at = self.probes.iter().position(|known| known.same(&probe)).unwrap_or_else(|| {
                self.probes.push(probe);
                self.probes.len() - 1
            });
            own.push(at);
        }
        self.own.push(own);
        if extension.needs_loss() {
            self.loss.get_or_insert(extension.name());
        }
        if extension.per_sample() {
            self.per_sample.get_or_insert(extension.name());
        }
    }
}

/// A tuple of extensions.
pub trait ExtensionSet {
    /// The tuple of their values so far.
    type Values: Default;
    /// The tuple of their results.
    type Out;
    /// Adds the extensions' probes to the plan, in order.
    fn declare(&self, plan: &mut Plan);
    /// Prepares every extension.
    ///
    /// # Errors
    /// The first that an extension returns.
    fn prepare(&mut self, graph: &Graph, loss: &dyn Loss, params: &[ParamId]) -> Result<(), Error>;
    /// Shows a site to every extension; `own[i]` are the probes of extension i.
    ///
    /// # Errors
    /// The first that an extension returns.
    fn visit(
        &mut self,
        site: &Site<'_>,
        own: &[Vec<usize>],
        values: &mut Self::Values,
    ) -> Result<(), Error>;
    /// Collects the results.
    ///
    /// # Errors
    /// The first that an extension returns.
    fn finish(self, values: Self::Values) -> Result<Self::Out, Error>;
}

macro_rules! tuple {
    ($($name:ident $at:tt),+) => {
        impl<$($name: Extension),+> ExtensionSet for ($($name,)+) {
            type Values = ($(ParamMap<$name::Value>,)+);
            type Out = ($($name::Out,)+);
            fn declare(&self, plan: &mut Plan) {
                $(plan.add(&self.$at);)+
            }
            fn prepare(
                &mut self,
                graph: &Graph,
                loss: &dyn Loss,
                params: &[ParamId],
            ) -> Result<(), Error> {
                $(self.$at.prepare(graph, loss, params)?;)+
                Ok(())
            }
            fn visit(
                &mut self,
                site: &Site<'_>,
                own: &[Vec<usize>],
                values: &mut Self::Values,
            ) -> Result<(), Error> {
                $(
                    let value = self.$at.visit(&site.scoped(&own[$at]))?;
                    values.$at.insert(site.param(), value);
                )+
                Ok(())
            }
            fn finish(self, values: Self::Values) -> Result<Self::Out, Error> {
                Ok(($(self.$at.finish(values.$at)?,)+))
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

#[cfg(test)]
mod tests {
    use vivit_autodiff::{Tape, check::relative_error};
    use vivit_tensor::{Device, Tensor};

    use super::*;
    use crate::{Jacobian, Kfra, OnSite};

    /// `y = x wᵀ` of two samples.
    fn graph() -> Graph {
        let cpu = Device::cpu_f64();
        let mut tape = Tape::new(&cpu);
        let x = tape.input(Tensor::from_vec(&cpu, [2, 2], vec![1.0, 2.0, 3.0, 4.0]).unwrap());
        let w = tape.param(Tensor::zeros(&cpu, [1, 2]));
        let y = tape.linear(x, w, None);
        Graph::new(tape, y).unwrap()
    }

    #[test]
    fn a_jacobian_needs_no_loss() {
        let (graph, mut seen) = (graph(), 0);
        let hook = OnSite::new(Vec::new(), |_| {
            seen += 1;
            Ok(())
        });
        let (jacobian, ()) = run_without_loss(&graph, (Jacobian::new(), hook)).unwrap();
        let expected = vec![1.0, 2.0, 3.0, 4.0];
        let expected = Tensor::from_vec(&Device::cpu_f64(), [1, 2, 1, 2], expected).unwrap();
        assert_eq!(relative_error(&jacobian[graph.params()[0]], &expected).unwrap(), 0.0);
        assert_eq!(seen, 1);
    }

    #[test]
    fn who_needs_a_loss_is_named() {
        let error = run_without_loss(&graph(), (Jacobian::new(), Kfra::new())).unwrap_err();
        assert!(matches!(error, Error::NeedsLoss { extension: "Kfra" }), "{error}");
        let expected = "extension Kfra needs a loss; pass one, to `run` instead of \
                        `run_without_loss`";
        assert_eq!(format!("{error:?}"), expected);
    }
}

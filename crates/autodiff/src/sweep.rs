//! The reverse sweep: factors `[V, N, *]` travel from the output to the parameters, once for all
//! probes.
//!
//! Probes of the same samples are stacked along V and travel as one *stream*. A factor lives until
//! its operation is done.

use vivit_tensor::Tensor;

use crate::tape::Origin;
use crate::travel::{Bend, Factor, travel};
use crate::{
    Batch, Error, Graph, Loss, ParamId, ParamMap, PendingChecks, Probe, Second, Seed, Site,
};

/// Numbers that the columns of one operation's second derivatives may have.
const LIMIT: usize = 1 << 32;

impl Graph {
    /// Sends `probes` backwards and shows `visit` every parameter of `wanted`, once, with all that
    /// reached it.
    ///
    /// Only what lies between the wanted parameters and the output is computed.
    ///
    /// # Errors
    /// If a probe or a parameter does not fit, an operation on the way couples samples (`wanted_by`
    /// names what needs them apart, `None` says that nothing does), or `visit` fails.
    pub fn sweep<E: From<Error>>(
        &self,
        loss: &dyn Loss,
        probes: &[Probe],
        wanted: &[ParamId],
        wanted_by: Option<&str>,
        visit: impl FnMut(&Site<'_>) -> Result<(), E>,
    ) -> Result<(), E> {
        Ok(self.sweep_pending(loss, probes, wanted, wanted_by, visit)?.wait()?)
    }

    /// As [`sweep`](Graph::sweep), but whether all numbers are finite may still be unknown on
    /// return: the results count once that is [settled](PendingChecks), by itself or by reading one
    /// of them. Nothing is read from the device.
    ///
    /// # Errors
    /// As there; of NaN and infinities those that are known at once.
    pub fn sweep_pending<E: From<Error>>(
        &self,
        loss: &dyn Loss,
        probes: &[Probe],
        wanted: &[ParamId],
        wanted_by: Option<&str>,
        visit: impl FnMut(&Site<'_>) -> Result<(), E>,
    ) -> Result<PendingChecks<'_>, E> {
        let (mut failed, mut visit) = (None, visit);
        let done = self.sweep_erased(loss, probes, wanted, wanted_by, &mut |site| {
            visit(site).map_err(|error| failed = Some(error)).is_ok()
        });
        match (done, failed) {
            (Ok((pending, true)), _) => Ok(pending),
            // A visitor may have stumbled over the NaN that the device has just found.
            (Ok((pending, false)), Some(error)) => Err(pending.error_or(error)),
            (Ok((_, false)), None) => unreachable!("a visitor that stops has failed"),
            (Err(error), _) => Err(error.into()),
        }
    }

    /// [`sweep_pending`](Graph::sweep_pending), compiled once for all visitors: these return
    /// whether to go on, and so does the sweep.
    fn sweep_erased(
        &self,
        loss: &dyn Loss,
        probes: &[Probe],
        wanted: &[ParamId],
        wanted_by: Option<&str>,
        visit: &mut dyn FnMut(&Site<'_>) -> bool,
    ) -> Result<(PendingChecks<'_>, bool), Error> {
        wanted.iter().try_for_each(|&var| self.check_param(var))?;
        self.check_apart(wanted_by)?;
        let is_hessian = |probe: &Probe| matches!(probe.seed, Seed::Hessian(_));
        for probe in probes.iter().filter(|probe| is_hessian(probe)) {
            let wanted_by = wanted_by.unwrap_or("the Hessian");
            self.check_apart(Some(wanted_by))?;
            self.check_second(wanted, wanted_by)?;
            self.check_residuals(
                wanted,
                probe.samples.as_ref().map_or(self.samples(), Vec::len),
                wanted_by,
            )?;
        }
        let (mut factors, pending) = self.seeds(loss, probes)?;
        let mut bends = Vec::new();
        for (number, probe) in probes.iter().enumerate().filter(|(_, probe)| is_hessian(probe)) {
            let chosen = probe.samples.as_ref().map_or(self.samples(), Vec::len);
            let gradient =
                Probe::new(Seed::Gradient).of(probe.samples.clone()).pending_columns(self, loss)?;
            // The residuals are linear in the gradient: this makes them estimate the whole batch's,
            // as the root does.
            let columns = gradient.scale(self.samples() as f64 / chosen as f64);
            bends.push(Bend { probe: number, gradient: factors.len() });
            factors.push(Factor { columns, samples: probe.samples.clone() });
        }
        let apart = wanted_by.is_some() || !bends.is_empty();
        match travel(self, (factors, probes.len()), &bends, wanted, apart, visit) {
            Ok(all) => Ok((pending, all)),
            Err(error) => Err(pending.error_or(error)),
        }
    }

    /// The columns of every probe at the output, and the claim that all numbers that went into
    /// them, and the tape's, are finite. Of a Hessian's probe only the root is there.
    fn seeds(
        &self,
        loss: &dyn Loss,
        probes: &[Probe],
    ) -> Result<(Vec<Factor>, PendingChecks<'_>), Error> {
        let pending = self.start_checks(loss, probes)?;
        let mut factors = Vec::with_capacity(probes.len());
        for probe in probes {
            factors.push(Factor {
                columns: probe.pending_columns(self, loss)?,
                samples: probe.samples.clone(),
            });
        }
        Ok((factors, pending))
    }

    /// Has the device look for NaN and infinities in all that goes into a sweep of these probes.
    ///
    /// For sweeps that the caller cuts into several: [`check_apart`](Graph::check_apart) first,
    /// [`Probe::pending_columns`] or [`Probe::pending_hessian`] and
    /// [`propagate`](Graph::propagate) then.
    ///
    /// # Errors
    /// Those of NaN and infinities that are known at once, and if arrays lie on other devices.
    pub fn start_checks(
        &self,
        loss: &dyn Loss,
        probes: &[Probe],
    ) -> Result<PendingChecks<'_>, Error> {
        Probe::start_claims(probes, self, loss)
    }

    /// As [`sweep`](Graph::sweep), for columns that are known to fit the output.
    ///
    /// With `apart`, products per sample may be asked of every site.
    ///
    /// # Errors
    /// If `visit` fails or the device did.
    pub fn propagate<E: From<Error>>(
        &self,
        factors: Vec<Factor>,
        wanted: &[ParamId],
        apart: bool,
        visit: impl FnMut(&Site<'_>) -> Result<(), E>,
    ) -> Result<(), E> {
        let (count, mut failed, mut visit) = (factors.len(), None, visit);
        travel(self, (factors, count), &[], wanted, apart, &mut |site| {
            visit(site).map_err(|error| failed = Some(error)).is_ok()
        })?;
        failed.map_or(Ok(()), Err)
    }

    /// Fails if an operation lacks second derivatives that the Hessian of the wanted parameters
    /// needs.
    pub(crate) fn check_second(&self, wanted: &[ParamId], wanted_by: &str) -> Result<(), Error> {
        let (path, links) = (self.path_to(wanted), self.links(wanted));
        for (node, _) in self.tape().nodes.iter().zip(&path).filter(|(_, on_path)| **on_path) {
            let Origin::Op(op) = &node.origin else { continue };
            for (wrt, along) in self.pairs(node, &path, &links) {
                if matches!(op.second(wrt, along), Second::Missing) {
                    return Err(Error::NoSecondDerivative {
                        op: op.name().into(),
                        wrt,
                        along,
                        wanted_by: wanted_by.into(),
                    });
                }
            }
        }
        Ok(())
    }

    /// Fails if the columns of an operation's second derivatives, for n samples, are too many for
    /// any memory.
    fn check_residuals(&self, wanted: &[ParamId], n: usize, wanted_by: &str) -> Result<(), Error> {
        let path = self.path_to(wanted);
        for (position, node) in self.tape().nodes.iter().enumerate().filter(|(at, _)| path[*at]) {
            let Origin::Op(op) = &node.origin else { continue };
            for (wrt, arg) in node.differentiable().filter(|(_, arg)| path[arg.index()]) {
                let value = self.tape().value(arg);
                let entries =
                    value.len() / if self.tape().is_batched(arg) { self.samples() } else { 1 };
                let numbers = entries.saturating_mul(entries).saturating_mul(n);
                if !op.second(wrt, wrt).is_zero() && numbers > LIMIT {
                    let (op, wanted_by) = (op.name().into(), wanted_by.into());
                    return Err(Error::ResidualTooLarge {
                        op,
                        position,
                        entries,
                        numbers,
                        limit: LIMIT,
                        wanted_by,
                    });
                }
            }
        }
        Ok(())
    }

    /// Checks that no operation that the output depends on couples samples; `wanted_by` names what
    /// needs them apart, `None` says that nothing does. (Where no parameter lies before such an
    /// operation, derivatives per sample could be defined, with the batch held fixed; they are not
    /// what anybody means.)
    ///
    /// # Errors
    /// If one does.
    pub fn check_apart(&self, wanted_by: Option<&str>) -> Result<(), Error> {
        let Some(wanted_by) = wanted_by else { return Ok(()) };
        match self.ops().find(|op| op.couples_samples()) {
            Some(op) => {
                Err(Error::CouplesSamples { op: op.name().into(), wanted_by: wanted_by.into() })
            }
            None => Ok(()),
        }
    }

    /// The loss `L` (reduced over the batch) at the output.
    ///
    /// # Errors
    /// If the targets do not fit or the loss is not one number per sample.
    pub fn loss(&self, loss: &dyn Loss) -> Result<f64, Error> {
        Ok(self.losses(loss)?.iter().sum())
    }

    /// Every sample's share `L_n` of the loss, the reduction's factor included: `[N]`.
    ///
    /// # Errors
    /// As [`loss`](Graph::loss).
    pub fn losses(&self, loss: &dyn Loss) -> Result<Vec<f64>, Error> {
        loss.check(self.value())?;
        let claims = self.tape().claims.iter().cloned().chain(loss.claims()).collect();
        let mut pending = PendingChecks::of(self, claims)?;
        let values = loss.values(self.value());
        if **values.shape() != [self.samples()] {
            return Err(Error::LossNotScalar {
                loss: loss.name().into(),
                got: values.shape().to_vec(),
                samples: self.samples(),
            });
        }
        Ok(pending.read(values)?.into_vec())
    }

    /// Plain reverse mode: the gradient `∂L/∂θ` of every parameter, `[*p]`.
    ///
    /// # Errors
    /// If the targets do not fit, or a number is NaN or infinite.
    pub fn backward(&self, loss: &dyn Loss) -> Result<ParamMap<Tensor>, Error> {
        let mut gradient = ParamMap::new();
        self.sweep(loss, &[Probe::new(Seed::Gradient)], &self.params(), None, |site| {
            gradient.insert(site.param(), site.jac_t(0, Batch::Sum).reshape(*site.shape()));
            Ok::<(), Error>(())
        })?;
        Ok(gradient)
    }
}

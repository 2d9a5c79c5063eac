//! What is sent backwards, V's columns and gradients, and how much of it there is.

use std::sync::Arc;

use vivit_autodiff::{Factor, PendingChecks, Root};

use super::gradient_in_span::GradientInSpan;
use super::roots::Roots;
use super::settings::Settings;
use crate::Error;

/// Columns and samples of what is sent backwards.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sizes {
    /// Columns V of a root.
    pub columns: usize,
    /// Samples N_S of the GGN.
    pub samples: usize,
    /// Whether they are chosen.
    pub chosen: bool,
    /// Samples of gradients that travel.
    pub gradients: Option<usize>,
    /// Whether these are chosen.
    pub gradients_chosen: bool,
    /// Whether they are the GGN's: then gradients are one more column.
    pub stacked: bool,
}

impl Sizes {
    /// Of `columns` columns, with gradients that travel if `gradients`.
    fn new(settings: &Settings<'_>, columns: usize, gradients: bool) -> Self {
        let n = settings.graph.samples();
        let count = |samples: &Option<Vec<usize>>| samples.as_ref().map_or(n, Vec::len);
        let (of_ggn, of_gradients) = (&settings.ggn_samples, &settings.grad_samples);
        Sizes {
            columns,
            samples: count(of_ggn),
            chosen: of_ggn.is_some(),
            gradients: gradients.then(|| count(of_gradients)),
            gradients_chosen: of_gradients.is_some(),
            stacked: gradients && of_ggn == of_gradients,
        }
    }

    /// What [`Seeds::new`] with gradients will have. Columns of closed forms and of draws are not
    /// made.
    pub fn planned(settings: &Settings<'_>) -> Result<Self, Error> {
        if let Root::MonteCarlo { draws, .. } = settings.root {
            let pending = checks(settings, true)?;
            settings.ggn_probe().check(settings.graph, settings.loss)?;
            settings.grad_probe().check(settings.graph, settings.loss)?;
            pending.wait()?;
            return Ok(Self::new(settings, draws, true));
        }
        let (roots, span, pending) = roots(settings, true)?;
        pending.wait()?;
        Ok(Self::new(settings, roots.columns(), span.is_none()))
    }
}

/// What is sent backwards.
pub(crate) struct Seeds {
    pub sizes: Sizes,
    pub roots: Roots,
    /// The gradients, if they are wanted and not in the span of the root's columns.
    pub gradient: Option<Factor>,
    /// The gradients, if they are.
    pub span: Option<Arc<GradientInSpan>>,
}

impl Seeds {
    /// The roots, with gradients if they are wanted.
    pub fn new<'a>(
        settings: &Settings<'a>,
        gradients: bool,
    ) -> Result<(Self, PendingChecks<'a>), Error> {
        let (roots, span, pending) = roots(settings, gradients)?;
        let travels = gradients && span.is_none();
        let gradient = travels
            .then(|| {
                let columns = settings.grad_probe().pending_columns(settings.graph, settings.loss);
                Ok::<_, Error>(Factor { columns: columns?, samples: settings.grad_samples.clone() })
            })
            .transpose()?;
        let sizes = Sizes::new(settings, roots.columns(), travels);
        Ok((Seeds { sizes, roots, gradient, span: span.map(Arc::new) }, pending))
    }

    /// All that travels.
    pub fn factors(&self) -> Vec<Factor> {
        [self.roots.whole()].into_iter().chain(self.gradient.clone()).collect()
    }
}

/// Has the device look for NaN and infinities.
fn checks<'a>(settings: &Settings<'a>, gradients: bool) -> Result<PendingChecks<'a>, Error> {
    settings.graph.check_apart(Some("a GGN per sample"))?;
    let mut probes = vec![settings.ggn_probe()];
    probes.extend(gradients.then(|| settings.grad_probe()));
    Ok(settings.graph.start_checks(settings.loss, &probes)?)
}

/// V's columns, and the gradients if they are wanted and known without travelling.
fn roots<'a>(
    settings: &Settings<'a>,
    gradients: bool,
) -> Result<(Roots, Option<GradientInSpan>, PendingChecks<'a>), Error> {
    let pending = checks(settings, gradients)?;
    let hessian = settings.ggn_probe().pending_hessian(settings.graph, settings.loss)?;
    let roots = Roots::new(hessian, settings.ggn_samples.clone());
    if gradients {
        settings.grad_probe().check(settings.graph, settings.loss)?;
    }
    let span = if gradients { GradientInSpan::new(settings, &roots)? } else { None };
    Ok((roots, span, pending))
}

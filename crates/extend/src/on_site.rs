//! A hook: a closure that sees every site of the sweep.

use std::fmt;

use vivit_autodiff::{ParamMap, Probe, Site};

use crate::{Error, Extension};

/// Calls a closure with every site, in the same sweep as the other extensions.
pub struct OnSite<F> {
    probes: Vec<Probe>,
    hook: F,
}

impl<F: FnMut(&Site<'_>) -> Result<(), Error>> OnSite<F> {
    /// A hook that reads what `probes` (possibly none) send to a site.
    pub fn new(probes: Vec<Probe>, hook: F) -> Self {
        OnSite { probes, hook }
    }
}

impl<F> fmt::Debug for OnSite<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OnSite").field("probes", &self.probes).finish_non_exhaustive()
    }
}

impl<F: FnMut(&Site<'_>) -> Result<(), Error>> Extension for OnSite<F> {
    type Value = ();
    type Out = ();

    fn name(&self) -> &'static str {
        "OnSite"
    }

    fn probes(&self) -> Vec<Probe> {
        self.probes.clone()
    }

    fn per_sample(&self) -> bool {
        !self.probes.is_empty()
    }

    fn visit(&mut self, site: &Site<'_>) -> Result<(), Error> {
        (self.hook)(site)
    }

    fn finish(self, _values: ParamMap<()>) -> Result<(), Error> {
        Ok(())
    }
}

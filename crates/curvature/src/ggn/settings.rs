//! What a GGN is approximated with; the builder fills it, all steps read it.

use vivit_autodiff::{Graph, Loss, Probe, Root, Seed};

use super::progress::Listener;
use crate::Contraction;

/// A graph, a loss, and how the GGN is approximated.
#[derive(Clone, Debug)]
pub(crate) struct Settings<'a> {
    pub graph: &'a Graph,
    pub loss: &'a dyn Loss,
    pub root: Root,
    pub grad_samples: Option<Vec<usize>>,
    pub ggn_samples: Option<Vec<usize>>,
    pub contraction: Contraction,
    pub budget: Option<usize>,
    pub listener: Listener,
}

impl Settings<'_> {
    /// Bytes that may be in use at a time.
    pub fn budget(&self) -> usize {
        let known =
            || self.graph.tape().device().memory().map_or(usize::MAX, |bytes| bytes / 4 * 3);
        self.budget.unwrap_or_else(known)
    }

    pub fn ggn_probe(&self) -> Probe {
        Probe::new(Seed::Root(self.root)).of(self.ggn_samples.clone())
    }

    pub fn grad_probe(&self) -> Probe {
        Probe::new(Seed::Gradient).of(self.grad_samples.clone())
    }
}

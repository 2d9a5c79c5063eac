//! The GGN's diagonal, `diag(G)_d = Σ_{v,n} V[v, n, d]²`. (BackPACK's `DiagGGNExact`, `DiagGGNMC`.)
//!
//! With the outer-product structure `V[v, n] = Σ_t s ⊗ z` and one position, the square factors:
//! `Σ_n (Σ_v s[v, n]²) ⊗ z[n]²`. With more positions the sum over t comes before the square, so V is expanded, some
//! out-features at a time.

use vivit_autodiff::{Batch, Outer, ParamMap, Probe, Root, Seed, Site};
use vivit_tensor::{Backend, Tensor, Unary};

use crate::{Error, Extension};

/// Numbers of V that are expanded at a time.
const BLOCK: usize = 1 << 23;

/// `diag(G)`: `[*p]` per parameter. Over chosen samples it estimates the diagonal of the whole batch.
#[derive(Debug)]
pub struct DiagGgn<B: Backend> {
    probe: Probe<B>,
    result: ParamMap<Tensor<B>>,
}

impl<B: Backend> DiagGgn<B> {
    /// With the given root of the loss Hessian.
    pub fn new(root: Root) -> Self {
        DiagGgn { probe: Probe::new(Seed::Root(root)), result: ParamMap::new() }
    }

    /// Exact.
    pub fn exact() -> Self {
        Self::new(Root::default())
    }

    /// With `draws` Monte-Carlo columns.
    pub fn sampled(draws: usize, seed: u64) -> Self {
        Self::new(Root::Sampled { draws, seed })
    }

    /// Of the chosen samples.
    #[must_use]
    pub fn samples(mut self, samples: Vec<usize>) -> Self {
        self.probe.samples = Some(samples);
        self
    }
}

impl<B: Backend> Extension<B> for DiagGgn<B> {
    type Out = ParamMap<Tensor<B>>;

    fn name(&self) -> &'static str {
        "DiagGgn"
    }

    fn probes(&self) -> Vec<Probe<B>> {
        vec![self.probe.clone()]
    }

    fn visit(&mut self, site: &Site<'_, B>) -> Result<(), Error> {
        let diagonal = match site.outer(0) {
            Some(outer) => of_outer(&outer),
            None => sum_of_squares(&site.jac_t(0, Batch::Keep)),
        };
        self.result.insert(site.param(), diagonal.reshape(*site.shape()));
        Ok(())
    }

    fn finish(self) -> Result<Self::Out, Error> {
        Ok(self.result)
    }
}

/// `Σ_{v,n} x[v, n, :]²`, flat.
fn sum_of_squares<B: Backend>(x: &Tensor<B>) -> Tensor<B> {
    let rows = x.shape()[0] * x.shape()[1];
    x.unary(Unary::Square).reshape([rows, x.len() / rows]).sum(0)
}

fn of_outer<B: Backend>(outer: &Outer<B>) -> Tensor<B> {
    let d = outer.dims();
    if d.t == 1 {
        let s = outer.s().unary(Unary::Square).sum(0);
        let s = s.reshape(s.shape().prefixed(&[1]));
        return Outer::new(s, outer.z().unary(Unary::Square), outer.positions()).ordered(outer.order()).sum();
    }
    let blocks = outer.row_blocks(BLOCK).map(|rows| {
        let len = rows.len();
        sum_of_squares(&outer.expand(rows)).reshape([d.g, len, d.i])
    });
    outer.in_parameter_order(&Tensor::concat(&blocks.collect::<Vec<_>>(), 1))
}

//! The Gram engine: one parameter's share of `VᵀV` and `Vᵀg`, added up while the sweep passes.
//!
//! Rows are (column, sample) pairs, `v·N_S + n`. With the outer-product structure and one position,
//! `⟨s ⊗ z, s′ ⊗ z′⟩ = ⟨s, s′⟩⟨z, z′⟩`, nothing is expanded; else V is expanded some out-features at a time, folded in and dropped.

use vivit_autodiff::{Batch, Error, Outer, Site};
use vivit_tensor::{Backend, Gemm, Scalar, Tensor};

/// Numbers of V that are expanded at a time.
const BLOCK: usize = 1 << 25;

/// The Gram blocks of one parameter group.
#[derive(Debug)]
pub(crate) struct GramBlocks<B: Backend> {
    /// `VᵀV`, `[R, R]`; the lower half counts.
    pub ggn: Tensor<B>,
    /// `Vᵀg`, `[R, N_grad]`, if gradients travel too.
    pub cross: Option<Tensor<B>>,
}

impl<B: Backend> GramBlocks<B> {
    pub fn new(backend: &B, rows: usize, gradients: Option<usize>) -> Self {
        let cross = gradients.map(|n| Tensor::zeros(backend, [rows, n]));
        GramBlocks { ggn: Tensor::zeros(backend, [rows, rows]), cross }
    }

    /// Adds a parameter's share. Probe 0 of the site is V, probe 1 (if there is a cross block) the gradient.
    pub fn add(&mut self, site: &Site<'_, B>) -> Result<(), Error> {
        let Some(v) = site.outer(0) else {
            let v = site.jac_t(0, Batch::Keep);
            let g = self.cross.is_some().then(|| site.jac_t(1, Batch::Keep));
            self.add_expanded(&v, g.as_ref());
            return Ok(());
        };
        let g = self.cross.is_some().then(|| site.outer(1).expect("structure does not depend on the probe"));
        let d = v.dims();
        if d.t == 1 && d.g == 1 {
            self.add_products(&v, g.as_ref());
            return Ok(());
        }
        for rows in v.row_blocks(BLOCK) {
            let g = g.as_ref().map(|g| g.expand(rows.clone()));
            self.add_expanded(&v.expand(rows), g.as_ref());
        }
        Ok(())
    }

    /// `v: [V, N_S, *]`, `g: [1, N_grad, *]`, all of it or a slice of the parameter's entries.
    fn add_expanded(&mut self, v: &Tensor<B>, g: Option<&Tensor<B>>) {
        let (r, backend) = (self.ggn.shape()[0], self.ggn.backend().clone());
        let d = v.len() / r;
        backend.syrk(r, d, v.buf(), self.ggn.buf_mut());
        if let (Some(cross), Some(g)) = (&mut self.cross, g) {
            let n = cross.shape()[1];
            backend.gemm(&Gemm::nt(r, n, d).accumulating(), v.buf(), g.buf(), cross.buf_mut());
        }
    }

    /// One position: `⟨s[v, n], s[w, m]⟩ · ⟨z[n], z[m]⟩`.
    fn add_products(&mut self, v: &Outer<B>, g: Option<&Outer<B>>) {
        let (r, backend) = (self.ggn.shape()[0], self.ggn.backend().clone());
        let d = v.dims();
        let mut ss = backend.fill(r * r, B::Elem::of(0.0));
        backend.syrk(r, d.o, v.s().buf(), &mut ss);
        let zz = v.z().gemm(&Gemm::nt(d.n, d.n, d.i), v.z(), [d.n, d.n]);
        backend.add_tiled_product(self.ggn.buf_mut(), &ss, (r, r), zz.buf(), (d.n, d.n));
        if let (Some(cross), Some(g)) = (&mut self.cross, g) {
            let n = cross.shape()[1];
            let ss = v.s().gemm(&Gemm::nt(r, n, d.o), g.s(), [r, n]);
            let zz = v.z().gemm(&Gemm::nt(d.n, n, d.i), g.z(), [d.n, n]);
            backend.add_tiled_product(cross.buf_mut(), ss.buf(), (r, n), zz.buf(), (d.n, n));
        }
    }
}

//! The Gram engine: one parameter's share of `VᵀV` and `Vᵀg`, added up while the sweep passes.
//!
//! Rows are (column, sample) pairs, `v·N_S + n`. With the outer-product structure and one position,
//! `⟨s ⊗ z, s′ ⊗ z′⟩ = ⟨s, s′⟩⟨z, z′⟩`, nothing is expanded; else V is expanded some out-features at a time, folded in and dropped.

use vivit_autodiff::{Batch, Error, Outer, Site};
use vivit_tensor::{Backend, Gemm, Scalar, Tensor};

/// Numbers of V that are expanded at a time.
const BLOCK: usize = 1 << 23;

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
        let GramBlocks { ggn, cross } = self;
        let Some(v) = site.outer(0) else {
            let v = site.jac_t(0, Batch::Keep);
            add_symmetric(ggn, &v);
            if let Some(cross) = cross {
                add_cross(cross, &v, &site.jac_t(1, Batch::Keep));
            }
            return Ok(());
        };
        let g = cross.is_some().then(|| site.outer(1).expect("structure does not depend on the probe"));
        if factors(&v) {
            add_symmetric_products(ggn, &v);
            if let (Some(cross), Some(g)) = (cross, &g) {
                add_cross_products(cross, &v, g);
            }
            return Ok(());
        }
        for rows in v.row_blocks(BLOCK) {
            let g = g.as_ref().map(|g| g.expand(rows.clone()));
            let v = v.expand(rows);
            add_symmetric(ggn, &v);
            if let (Some(cross), Some(g)) = (cross.as_mut(), &g) {
                add_cross(cross, &v, g);
            }
        }
        Ok(())
    }
}

/// Adds a parameter's share of `VᵀW` to `cross: [R, R′]`, V and W being the columns of two probes of a site.
pub(crate) fn add_between<B: Backend>(cross: &mut Tensor<B>, site: &Site<'_, B>, (v, w): (usize, usize)) {
    let (Some(a), Some(b)) = (site.outer(v), site.outer(w)) else {
        return add_cross(cross, &site.jac_t(v, Batch::Keep), &site.jac_t(w, Batch::Keep));
    };
    if factors(&a) && factors(&b) {
        return add_cross_products(cross, &a, &b);
    }
    let entries = BLOCK * a.dims().v * a.dims().n / (a.dims().v * a.dims().n + b.dims().v * b.dims().n);
    for rows in a.row_blocks(entries) {
        add_cross(cross, &a.expand(rows.clone()), &b.expand(rows));
    }
}

/// Adds a parameter's share of `V_cᵀ W_c`, column by column, to `cross: [C, N, N′]`.
pub(crate) fn add_by_column<B: Backend>(cross: &mut Tensor<B>, site: &Site<'_, B>, (v, w): (usize, usize)) {
    let (Some(a), Some(b)) = (site.outer(v), site.outer(w)) else {
        return add_columns(cross, &site.jac_t(v, Batch::Keep), &site.jac_t(w, Batch::Keep));
    };
    if factors(&a) && factors(&b) {
        let (d, e, backend) = (a.dims(), b.dims(), cross.backend().clone());
        let g = Gemm::nt(d.n, e.n, d.o).batch(d.v, d.n * d.o, e.n * d.o, d.n * e.n);
        let ss = a.s().gemm(&g, b.s(), [d.v * d.n, e.n]);
        let zz = a.z().gemm(&Gemm::nt(d.n, e.n, d.i), b.z(), [d.n, e.n]);
        backend.add_tiled_product(cross.buf_mut(), ss.buf(), (d.v * d.n, e.n), zz.buf(), (d.n, e.n));
        return;
    }
    let entries = BLOCK * a.dims().n / (a.dims().n + b.dims().n);
    for rows in a.row_blocks(entries) {
        add_columns(cross, &a.expand(rows.clone()), &b.expand(rows));
    }
}

/// Whether products of columns are those of the outer products' factors.
fn factors<B: Backend>(outer: &Outer<B>) -> bool {
    let d = outer.dims();
    d.t == 1 && d.g == 1
}

/// `v: [V, N_S, *]`, all of it or a slice of the parameter's entries.
fn add_symmetric<B: Backend>(gram: &mut Tensor<B>, v: &Tensor<B>) {
    let (r, backend) = (gram.shape()[0], gram.backend().clone());
    backend.syrk(r, v.len() / r, v.buf(), gram.buf_mut());
}

/// `v: [V, N, *]`, `w: [V′, N′, *]`.
fn add_cross<B: Backend>(cross: &mut Tensor<B>, v: &Tensor<B>, w: &Tensor<B>) {
    let ([r, n], backend) = ([cross.shape()[0], cross.shape()[1]], cross.backend().clone());
    backend.gemm(&Gemm::nt(r, n, v.len() / r).accumulating(), v.buf(), w.buf(), cross.buf_mut());
}

/// `v: [C, N, *]`, `w: [C, N′, *]`.
fn add_columns<B: Backend>(cross: &mut Tensor<B>, v: &Tensor<B>, w: &Tensor<B>) {
    let ([c, n, m], backend) = ([cross.shape()[0], cross.shape()[1], cross.shape()[2]], cross.backend().clone());
    let d = v.len() / (c * n);
    let g = Gemm::nt(n, m, d).accumulating().batch(c, n * d, m * d, n * m);
    backend.gemm(&g, v.buf(), w.buf(), cross.buf_mut());
}

/// One position: `⟨s[v, n], s[w, m]⟩ · ⟨z[n], z[m]⟩`.
fn add_symmetric_products<B: Backend>(gram: &mut Tensor<B>, v: &Outer<B>) {
    let (r, backend) = (gram.shape()[0], gram.backend().clone());
    let d = v.dims();
    let mut ss = backend.fill(r * r, B::Elem::of(0.0));
    backend.syrk(r, d.o, v.s().buf(), &mut ss);
    let zz = v.z().gemm(&Gemm::nt(d.n, d.n, d.i), v.z(), [d.n, d.n]);
    backend.add_tiled_product(gram.buf_mut(), &ss, (r, r), zz.buf(), (d.n, d.n));
}

fn add_cross_products<B: Backend>(cross: &mut Tensor<B>, v: &Outer<B>, w: &Outer<B>) {
    let ([r, n], backend) = ([cross.shape()[0], cross.shape()[1]], cross.backend().clone());
    let (d, e) = (v.dims(), w.dims());
    let ss = v.s().gemm(&Gemm::nt(r, n, d.o), w.s(), [r, n]);
    let zz = v.z().gemm(&Gemm::nt(d.n, e.n, d.i), w.z(), [d.n, e.n]);
    backend.add_tiled_product(cross.buf_mut(), ss.buf(), (r, n), zz.buf(), (d.n, e.n));
}

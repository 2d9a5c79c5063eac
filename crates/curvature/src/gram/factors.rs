//! One position per sample, `T = 1`: `⟨s ⊗ z, s′ ⊗ z′⟩ = ⟨s, s′⟩⟨z, z′⟩`, summed over groups.
//! Nothing is expanded.

use vivit_autodiff::Outer;
use vivit_tensor::{Gemm, Tensor};

/// The matrices of a stack of them.
fn each(x: &Tensor) -> impl Iterator<Item = Tensor> + use<> {
    let x = x.clone();
    (0..x.shape()[0]).map(move |g| x.slice(g, g + 1).reshape(x.shape().tail()))
}

/// The factors at the output of every group, `[V·N, O]`.
fn outputs(outer: &Outer) -> impl Iterator<Item = Tensor> + use<> {
    let d = outer.dims();
    let s = outer.s().reshape([d.v * d.n, d.g, d.o]);
    let s = if d.g == 1 { s.reshape([1, d.v * d.n, d.o]) } else { s.permute(&[1, 0, 2]) };
    each(&s)
}

/// How much alike the inputs of every group are, `[N, M]`.
fn inputs(v: &Outer, w: &Outer) -> impl Iterator<Item = Tensor> + use<> {
    each(&v.input_products(0..v.dims().n, w, 0..w.dims().n).0)
}

/// The lower half of `lower += VᵀV`.
pub(super) fn add_symmetric(lower: &mut Tensor, v: &Outer) {
    let (r, d, device) = (lower.shape()[0], v.dims(), lower.device().clone());
    for (s, zz) in outputs(v).zip(inputs(v, v)) {
        let mut ss = device.fill(r * r, 0.0);
        device.syrk(r, d.o, s.buf(), &mut ss);
        device.add_tiled_product(lower.buf_mut(), &ss, (r, r), zz.buf(), (d.n, d.n));
    }
}

/// `cross += VᵀW`
pub(super) fn add_between(cross: &mut Tensor, v: &Outer, w: &Outer) {
    let ([r, n], device) = ([cross.shape()[0], cross.shape()[1]], cross.device().clone());
    let (d, e) = (v.dims(), w.dims());
    for ((s, s_w), zz) in outputs(v).zip(outputs(w)).zip(inputs(v, w)) {
        let ss = s.gemm(&Gemm::nt(r, n, d.o), &s_w, [r, n]);
        device.add_tiled_product(cross.buf_mut(), ss.buf(), (r, n), zz.buf(), (d.n, e.n));
    }
}

/// `cross[c] += V_cᵀ W_c`
pub(super) fn add_by_column(cross: &mut Tensor, v: &Outer, w: &Outer) {
    let (d, e, device) = (v.dims(), w.dims(), cross.device().clone());
    for ((s, s_w), zz) in outputs(v).zip(outputs(w)).zip(inputs(v, w)) {
        let g = Gemm::nt(d.n, e.n, d.o).batch(d.v, d.n * d.o, e.n * d.o, d.n * e.n);
        let ss = s.gemm(&g, &s_w, [d.v * d.n, e.n]);
        device.add_tiled_product(cross.buf_mut(), ss.buf(), (d.v * d.n, e.n), zz.buf(), (d.n, e.n));
    }
}

//! One position per sample, `T = 1`: `⟨s ⊗ z, s′ ⊗ z′⟩ = ⟨s, s′⟩⟨z, z′⟩`, summed over groups.
//! Nothing is expanded.

use vivit_autodiff::Outer;
use vivit_tensor::{Gemm, Tensor};

/// The factors of every group: `s: [V·N, O]` and `z: [N, I]`.
fn of_groups(outer: &Outer) -> impl Iterator<Item = (Tensor, Tensor)> + use<> {
    let d = outer.dims();
    let group_first = |x: &Tensor, rows: usize, features: usize| {
        let x = x.reshape([rows, d.g, features]);
        if d.g == 1 { x.reshape([1, rows, features]) } else { x.permute(&[1, 0, 2]) }
    };
    let (s, z) = (group_first(outer.s(), d.v * d.n, d.o), group_first(&outer.z(), d.n, d.i));
    (0..d.g).map(move |g| {
        let of = |x: &Tensor| x.slice(g, g + 1).reshape(x.shape().tail());
        (of(&s), of(&z))
    })
}

/// The lower half of `lower += VᵀV`.
pub(super) fn add_symmetric(lower: &mut Tensor, v: &Outer) {
    let (r, d, device) = (lower.shape()[0], v.dims(), lower.device().clone());
    for (s, z) in of_groups(v) {
        let mut ss = device.fill(r * r, 0.0);
        device.syrk(r, d.o, s.buf(), &mut ss);
        let zz = z.gemm(&Gemm::nt(d.n, d.n, d.i), &z, [d.n, d.n]);
        device.add_tiled_product(lower.buf_mut(), &ss, (r, r), zz.buf(), (d.n, d.n));
    }
}

/// `cross += VᵀW`
pub(super) fn add_between(cross: &mut Tensor, v: &Outer, w: &Outer) {
    let ([r, n], device) = ([cross.shape()[0], cross.shape()[1]], cross.device().clone());
    let (d, e) = (v.dims(), w.dims());
    for ((s, z), (s_w, z_w)) in of_groups(v).zip(of_groups(w)) {
        let ss = s.gemm(&Gemm::nt(r, n, d.o), &s_w, [r, n]);
        let zz = z.gemm(&Gemm::nt(d.n, e.n, d.i), &z_w, [d.n, e.n]);
        device.add_tiled_product(cross.buf_mut(), ss.buf(), (r, n), zz.buf(), (d.n, e.n));
    }
}

/// `cross[c] += V_cᵀ W_c`
pub(super) fn add_by_column(cross: &mut Tensor, v: &Outer, w: &Outer) {
    let (d, e, device) = (v.dims(), w.dims(), cross.device().clone());
    for ((s, z), (s_w, z_w)) in of_groups(v).zip(of_groups(w)) {
        let g = Gemm::nt(d.n, e.n, d.o).batch(d.v, d.n * d.o, e.n * d.o, d.n * e.n);
        let ss = s.gemm(&g, &s_w, [d.v * d.n, e.n]);
        let zz = z.gemm(&Gemm::nt(d.n, e.n, d.i), &z_w, [d.n, e.n]);
        device.add_tiled_product(cross.buf_mut(), ss.buf(), (d.v * d.n, e.n), zz.buf(), (d.n, e.n));
    }
}

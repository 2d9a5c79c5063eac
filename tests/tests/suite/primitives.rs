//! The backend's primitives against their plain definitions, at awkward shapes.

use proptest::prelude::*;
use vivit::prelude::*;
use vivit::tensor::Rng;
use vivit::tensor::{Gemm, Strides, Window};
use vivit_tests::zoo::Host;

use crate::nets::config;

fn random(len: usize, seed: u64) -> Vec<f64> {
    Rng::new(seed).normal(len)
}

fn tensor(shape: &[usize], seed: u64) -> Tensor<Host> {
    Tensor::from_vec(&Host::new(), shape, random(shape.iter().product(), seed)).unwrap()
}

/// The product by its definition.
fn naive(g: &Gemm, a: &[f64], b: &[f64], c: &mut [f64]) {
    let axes: Vec<_> = g.batch.clone();
    let items: usize = axes.iter().map(|axis| axis.len).product();
    let mut sums = vec![0.0; c.len()];
    let mut touched = vec![false; c.len()];
    for item in 0..items {
        let (mut at, mut oa, mut ob, mut oc) = (item, g.a.offset, g.b.offset, g.c.offset);
        for axis in axes.iter().rev() {
            let i = at % axis.len;
            at /= axis.len;
            (oa, ob, oc) = (oa + i * axis.a, ob + i * axis.b, oc + i * axis.c);
        }
        for i in 0..g.m {
            for j in 0..g.n {
                let to = oc + i * g.c.row + j * g.c.col;
                touched[to] = true;
                for k in 0..g.k {
                    sums[to] += g.alpha * a[oa + i * g.a.row + k * g.a.col] * b[ob + k * g.b.row + j * g.b.col];
                }
            }
        }
    }
    for ((c, sum), touched) in c.iter_mut().zip(sums).zip(touched) {
        if touched {
            *c = if g.accumulate { *c + sum } else { sum };
        }
    }
}

proptest! {
    #![proptest_config(config(64))]

    #[test]
    fn products(m in 1usize..40, n in 1usize..40, k in 0usize..40, kept in 1usize..4, summed in 1usize..4, shared in 1usize..4,
                ta in any::<bool>(), tb in any::<bool>(), tc in any::<bool>(), accumulate in any::<bool>(), seed in 0u64..1000) {
        // Batch axes: one that C keeps, one that it sums over, one that B does not have.
        let (sa, sb, sc) = (m * k, k * n, m * n);
        let g = Gemm {
            a: if ta { Strides::transposed(m) } else { Strides::rows(k) },
            b: if tb { Strides::transposed(k) } else { Strides::rows(n) },
            c: if tc { Strides::transposed(m) } else { Strides::rows(n) },
            accumulate,
            alpha: 0.5,
            ..Gemm::new(m, n, k)
        };
        let g = g.batch(kept, summed * shared * sa, summed * sb, shared * sc).batch(summed, shared * sa, sb, 0).batch(shared, sa, 0, sc);
        let (a, b) = (random(kept * summed * shared * sa, seed), random(kept * summed * sb, seed + 1));
        let mut c = random(kept * shared * sc, seed + 2);
        let mut expected = c.clone();
        naive(&g, &a, &b, &mut expected);
        vivit::tensor::gemm(&g, &a, &b, &mut c);
        for (c, expected) in c.iter().zip(&expected) {
            // Sums of k·summed products of normal numbers.
            prop_assert!((c - expected).abs() < 1e-14 * (4.0 + (k * summed) as f64).powf(1.0) * 10.0, "{c} {expected}");
        }
    }

    #[test]
    fn symmetric_products(r in 1usize..600, d in 1usize..20, seed in 0u64..1000) {
        let host = Host::new();
        let a = tensor(&[r, d], seed);
        let mut c = tensor(&[r, r], seed + 1);
        let before = c.to_vec().unwrap();
        host.syrk(r, d, a.buf(), c.buf_mut());
        let (a, c) = (a.to_vec().unwrap(), c.to_vec().unwrap());
        for i in (0..r).step_by(7) {
            for j in 0..=i {
                let dot: f64 = (0..d).map(|k| a[i * d + k] * a[j * d + k]).sum();
                prop_assert!((c[i * r + j] - before[i * r + j] - dot).abs() < 1e-12);
            }
        }
    }

    #[test]
    fn broadcasting(shape in prop::collection::vec(1usize..5, 1..5), mask in prop::collection::vec(any::<(bool, bool)>(), 5), lead in 0usize..3, seed in 0u64..1000) {
        let side = |pick: fn(&(bool, bool)) -> bool| -> Vec<usize> {
            shape.iter().zip(&mask).map(|(&len, mask)| if pick(mask) { len } else { 1 }).collect()
        };
        let (a_shape, b_shape) = (side(|m| m.0), side(|m| m.1));
        let b_shape = b_shape[lead.min(b_shape.len() - 1)..].to_vec();
        let (a, b) = (tensor(&a_shape, seed), tensor(&b_shape, seed + 1));
        let out = a.sub(&b);
        let full = a.shape().broadcast(b.shape()).unwrap();
        prop_assert_eq!(out.shape(), &full);
        let (av, bv, ov) = (a.to_vec().unwrap(), b.to_vec().unwrap(), out.to_vec().unwrap());
        let (x, y) = (a.broadcast(full).to_vec().unwrap(), b.broadcast(full).to_vec().unwrap());
        for at in 0..full.size() {
            let mut rest = at;
            let (mut ia, mut ib, mut sa, mut sb) = (0, 0, 1, 1);
            for back in 1..=full.rank() {
                let i = rest % full[full.rank() - back];
                rest /= full[full.rank() - back];
                if back <= a_shape.len() {
                    let len = a_shape[a_shape.len() - back];
                    ia += if len == 1 { 0 } else { i * sa };
                    sa *= len;
                }
                if back <= b_shape.len() {
                    let len = b_shape[b_shape.len() - back];
                    ib += if len == 1 { 0 } else { i * sb };
                    sb *= len;
                }
            }
            prop_assert_eq!(ov[at], av[ia] - bv[ib]);
            prop_assert_eq!((x[at], y[at]), (av[ia], bv[ib]));
        }
    }

    #[test]
    fn permutations_and_selections(shape in prop::collection::vec(1usize..5, 1..5), seed in 0u64..1000) {
        let x = tensor(&shape, seed);
        let order = Rng::new(seed).permutation(shape.len());
        let mut inverse = vec![0; order.len()];
        order.iter().enumerate().for_each(|(at, &axis)| inverse[axis] = at);
        prop_assert_eq!(x.permute(&order).permute(&inverse).to_vec().unwrap(), x.to_vec().unwrap());
        for axis in 0..shape.len() {
            let pick: Vec<usize> = (0..shape[axis]).rev().chain([0]).collect();
            let parts: Vec<_> = pick.iter().map(|&at| {
                let mut pads = vec![(0, 0); shape.len()];
                pads[axis] = (-(at as isize), at as isize + 1 - shape[axis] as isize);
                x.pad(&pads)
            }).collect();
            prop_assert_eq!(x.select(axis, &pick).to_vec().unwrap(), Tensor::concat(&parts, axis).to_vec().unwrap());
        }
    }

    #[test]
    fn reductions(outer in 1usize..5, axis in 0usize..30, inner in 1usize..9, seed in 0u64..1000) {
        let x = tensor(&[outer, axis, inner], seed);
        let v = x.to_vec().unwrap();
        let (sum, max) = (x.sum(1).to_vec().unwrap(), x.reduce(Reduce::Max, 1).to_vec().unwrap());
        for o in 0..outer {
            for i in 0..inner {
                let list: Vec<f64> = (0..axis).map(|a| v[(o * axis + a) * inner + i]).collect();
                prop_assert!((sum[o * inner + i] - list.iter().sum::<f64>()).abs() < 1e-12);
                prop_assert_eq!(max[o * inner + i], list.iter().copied().fold(f64::NEG_INFINITY, f64::max));
            }
        }
    }

    #[test]
    fn unfold_reads_windows_and_fold_is_its_adjoint(planes in 1usize..4, axes in prop::collection::vec((1usize..4, 1usize..3, 0usize..3, 1usize..3, 0usize..3), 1..4),
                                                    seed in 0u64..1000) {
        let list = |pick: fn(&(usize, usize, usize, usize, usize)) -> usize| axes.iter().map(pick).collect::<Vec<_>>();
        let input = list(|x| (x.3 * (x.0 - 1) + 1).saturating_sub(2 * x.2).max(1) + x.4);
        let w = Window::new(&input, &list(|x| x.0), &list(|x| x.1), &list(|x| x.2), &list(|x| x.3), false).unwrap();
        let host = Host::new();
        let (k, t) = (w.kernel_len(), w.output_len());
        let x = tensor(&[planes, w.input_len()], seed);
        let unfolded = host.download(&host.unfold(x.buf(), planes, &w)).unwrap();
        let v = x.to_vec().unwrap();
        for p in 0..planes {
            for (ki, ti) in (0..k).flat_map(|ki| (0..t).map(move |ti| (ki, ti))) {
                let kernel = [ki / (w.kernel[1] * w.kernel[2]), ki / w.kernel[2] % w.kernel[1], ki % w.kernel[2]];
                let window = [ti / (w.output[1] * w.output[2]), ti / w.output[2] % w.output[1], ti % w.output[2]];
                let mut at = Some(0);
                for axis in 0..3 {
                    let here = w.source(axis, window[axis], kernel[axis]);
                    at = at.zip(here).map(|(at, here)| at * w.input[axis] + here);
                }
                prop_assert_eq!(unfolded[(p * k + ki) * t + ti], at.map_or(0.0, |at| v[p * w.input_len() + at]));
            }
        }
        let y = tensor(&[planes, k * t], seed + 1);
        let folded = host.download(&host.fold(y.buf(), planes, &w)).unwrap();
        let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
        prop_assert!((dot(&unfolded, &y.to_vec().unwrap()) - dot(&v, &folded)).abs() < 1e-11);
    }
}

#[test]
#[should_panic(expected = "writes entries of C twice")]
fn overlapping_results_are_refused() {
    vivit::tensor::gemm(
        &Gemm { c: Strides { offset: 0, row: 1, col: 1 }, ..Gemm::new(2, 2, 1) },
        &[1.0, 2.0],
        &[1.0, 2.0],
        &mut [0.0; 4],
    );
}

#[test]
#[should_panic(expected = "reads 6 entries of A")]
fn products_stay_inside_their_buffers() {
    vivit::tensor::gemm(&Gemm::new(2, 2, 3), &[1.0; 5], &[1.0; 6], &mut [0.0; 4]);
}

#[test]
fn buffers_are_copied_on_write() {
    let a = tensor(&[3, 2], 1);
    let mut b = a.clone();
    b.axpy(1.0, &a);
    let mut row = a.slice(1, 2);
    row.axpy(-1.0, &a.slice(1, 2));
    assert_eq!(row.to_vec().unwrap(), [0.0, 0.0]);
    assert_eq!(a.scale(2.0).to_vec().unwrap(), b.to_vec().unwrap());
}

#[test]
fn empty_arrays_pass_through() {
    let x = tensor(&[0, 3], 1);
    assert_eq!(x.unary(Unary::Tanh).sum(0).to_vec().unwrap(), [0.0; 3]);
    assert_eq!(x.add(&tensor(&[3], 2)).len(), 0);
    assert_eq!(x.permute(&[1, 0]).shape().to_vec(), [3, 0]);
    assert_eq!(x.pad(&[(1, 0), (0, 0)]).to_vec().unwrap(), [0.0; 3]);
}

#[test]
fn nan_and_infinity_are_found() {
    for bad in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
        for at in [0, 1, 40_000] {
            let mut data = vec![1.0; 50_000];
            data[at] = bad;
            let x = Tensor::from_vec(&Host::new(), &[50_000], data).unwrap();
            assert_eq!(x.first_non_finite().unwrap(), Some(at));
        }
    }
    assert_eq!(tensor(&[50_000], 1).scale(1e300).first_non_finite().unwrap(), None);
}

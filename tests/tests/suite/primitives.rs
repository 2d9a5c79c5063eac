//! The CPU backend's primitives against their plain definitions: the suite of all backends, and
//! random shapes.

use proptest::prelude::*;
use vivit::tensor::{Device, Gemm, Rng, Strides, Tensor, Window};
use vivit_tests::primitives;
use vivit_tests::zoo::host;

use crate::nets::config;

fn random(len: usize, seed: u64) -> Vec<f64> {
    Rng::new(seed).normal(len)
}

fn tensor(shape: &[usize], seed: u64) -> Tensor {
    Tensor::from_vec(&host(), shape, random(shape.iter().product(), seed)).unwrap()
}

/// The shared suite.
#[test]
fn in_single_precision() {
    primitives::check_all(&Device::cpu());
}

#[test]
fn in_double_precision() {
    primitives::check_all(&Device::cpu_f64());
}

proptest! {
    #![proptest_config(config(64))]

    #[test]
    fn products(
        m in 1usize..40,
        n in 1usize..40,
        k in 0usize..40,
        kept in 1usize..4,
        summed in 1usize..4,
        shared in 1usize..4,
        ta in any::<bool>(),
        tb in any::<bool>(),
        tc in any::<bool>(),
        accumulate in any::<bool>(),
        seed in 0u64..1000,
    ) {
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
        let g = g
            .batch(kept, summed * shared * sa, summed * sb, shared * sc)
            .batch(summed, shared * sa, sb, 0)
            .batch(shared, sa, 0, sc);
        primitives::product(
            &host(),
            &g,
            [kept * summed * shared * sa, kept * summed * sb, kept * shared * sc],
            seed,
        );
    }

    #[test]
    fn symmetric_products(r in 1usize..600, d in 1usize..20, seed in 0u64..1000) {
        primitives::symmetric_product(&host(), r, d, seed);
    }

    #[test]
    fn broadcasting(
        shape in prop::collection::vec(1usize..5, 1..5),
        mask in prop::collection::vec(any::<(bool, bool)>(), 5),
        lead in 0usize..3,
        seed in 0u64..1000,
    ) {
        let side = |pick: fn(&(bool, bool)) -> bool| -> Vec<usize> {
            shape.iter().zip(&mask).map(|(&len, mask)| if pick(mask) { len } else { 1 }).collect()
        };
        let (a_shape, b_shape) = (side(|m| m.0), side(|m| m.1));
        let b_shape = b_shape[lead.min(b_shape.len() - 1)..].to_vec();
        primitives::broadcast(&host(), &a_shape, &b_shape, seed);
    }

    #[test]
    fn permutations_and_selections(
        shape in prop::collection::vec(1usize..5, 1..5),
        seed in 0u64..1000,
    ) {
        let x = tensor(&shape, seed);
        let order = Rng::new(seed).permutation(shape.len());
        let mut inverse = vec![0; order.len()];
        order.iter().enumerate().for_each(|(at, &axis)| inverse[axis] = at);
        prop_assert_eq!(x.permute(&order).permute(&inverse).to_vec().unwrap(), x.to_vec().unwrap());
        for axis in 0..shape.len() {
            let pick: Vec<usize> = (0..shape[axis]).rev().chain([0]).collect();
            let parts: Vec<_> = pick
                .iter()
                .map(|&at| {
                    let mut pads = vec![(0, 0); shape.len()];
                    pads[axis] = (-(at as isize), at as isize + 1 - shape[axis] as isize);
                    x.pad(&pads)
                })
                .collect();
            prop_assert_eq!(
                x.index_select(axis, &pick).to_vec().unwrap(),
                Tensor::concat(&parts, axis).to_vec().unwrap()
            );
        }
    }

    #[test]
    fn windows(
        planes in 1usize..4,
        axes in prop::collection::vec(
            (1usize..4, 1usize..3, 0usize..3, 1usize..3, 0usize..3),
            1..4,
        ),
        seed in 0u64..1000,
    ) {
        let list = |pick: fn(&(usize, usize, usize, usize, usize)) -> usize| {
            axes.iter().map(pick).collect::<Vec<_>>()
        };
        let input = list(|x| (x.3 * (x.0 - 1) + 1).saturating_sub(2 * x.2).max(1) + x.4);
        let w = Window::new(
            &input,
            &list(|x| x.0),
            &list(|x| x.1),
            &list(|x| x.2),
            &list(|x| x.3),
            false,
        )
        .unwrap();
        primitives::window(&host(), planes, &w, seed);
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

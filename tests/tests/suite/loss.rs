//! Roots of loss Hessians, exact and sampled.

use vivit::prelude::*;
use vivit_tests::zoo::{Host, Kind, loss};

fn outputs(shape: &[usize], seed: u64) -> Tensor<Host> {
    Tensor::from_vec(&Host::new(), shape, Rng::new(seed).normal(shape.iter().product())).unwrap()
}

/// `Σ_v S[v, n] S[v, n]ᵀ` of every sample, `[N, C, C]`.
fn hessians(root: &Tensor<Host>) -> Vec<f64> {
    let (v, n) = (root.shape()[0], root.shape()[1]);
    let c = root.len() / (v * n);
    let s = root.to_vec().unwrap();
    let entry = |n_at: usize, i: usize, j: usize| (0..v).map(|v| s[(v * n + n_at) * c + i] * s[(v * n + n_at) * c + j]).sum();
    (0..n).flat_map(|at| (0..c * c).map(move |ij| entry(at, ij / c, ij % c)).collect::<Vec<f64>>()).collect()
}

#[test]
fn fewest_columns_give_the_same_hessian() {
    for (shape, seed) in [(&[3, 4][..], 1), (&[2, 2], 2), (&[1, 1], 3), (&[2, 3, 2], 4), (&[2, 3, 2, 2], 5)] {
        for reduction in [Reduction::Mean, Reduction::Sum] {
            let loss = loss(Kind::CrossEntropy(reduction), shape, &mut Rng::new(seed));
            // Scores far apart and close together.
            for scale in [0.1, 1.0, 30.0] {
                let f = outputs(shape, seed).scale(scale);
                let [all, fewest] = [RootColumns::Outputs, RootColumns::Rank].map(|columns| loss.hessian_root(&f, columns));
                let positions = shape[2..].iter().product::<usize>();
                assert_eq!(all.shape()[0], shape[1] * positions);
                assert_eq!(fewest.shape()[0], (shape[1] - 1).max(1) * positions);
                // The Hessian is a difference of probabilities, of size one: rounding is absolute where they saturate.
                for (a, b) in hessians(&all).iter().zip(hessians(&fewest)) {
                    assert!((a - b).abs() < 1e-15, "{a} {b} for {f:?}");
                }
            }
        }
    }
}

/// The mean of M sampled roots is off by a normal deviation of size 1/√M per entry: six of them are exceeded by one entry in 5·10⁸.
#[test]
fn sampled_roots_average_to_the_hessian() {
    let draws = 20_000;
    for (kind, shape) in [
        (Kind::Mse(Reduction::Mean), &[2, 3][..]),
        (Kind::CrossEntropy(Reduction::Mean), &[3, 4]),
        (Kind::CrossEntropy(Reduction::Sum), &[2, 3, 2]),
    ] {
        let loss = loss(kind, shape, &mut Rng::new(1));
        let f = outputs(shape, 2);
        let exact = hessians(&loss.hessian_root(&f, RootColumns::Outputs));
        let sampled = loss.sampled_root(&f, draws, &mut Rng::new(3)).unwrap();
        assert_eq!(sampled.shape().to_vec(), [&[draws], shape].concat());
        let estimate = hessians(&sampled);
        let scale = exact.iter().fold(0.0f64, |scale, x| scale.max(x.abs()));
        // A column's products are at most a few times the Hessian's largest entry (normal draws: their variance is twice its square).
        let bound = 6.0 * 2.0 * scale / (draws as f64).sqrt();
        for (got, expected) in estimate.iter().zip(&exact) {
            assert!((got - expected).abs() < bound, "{kind:?}: {got} for {expected}, bound {bound}");
        }
    }
}

#[test]
fn losses_stay_finite_for_extreme_scores() {
    let f = Tensor::from_vec(&Host::new(), &[2, 3], vec![1e4, -1e4, 0.0, -1e4, -1e4, -1e4]).unwrap();
    let loss: Box<dyn Loss<Host>> = Box::new(CrossEntropy::mean([1, 2]));
    let values = loss.values(&f).to_vec().unwrap();
    assert!((values[0] - 1e4).abs() < 1e-9 && (values[1] - 3f64.ln() / 2.0).abs() < 1e-12, "{values:?}");
    for columns in [RootColumns::Outputs, RootColumns::Rank] {
        assert!(loss.hessian_root(&f, columns).to_vec().unwrap().iter().all(|x| x.is_finite()));
    }
}

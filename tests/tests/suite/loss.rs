//! Roots of loss Hessians, exact and sampled.

use vivit::autodiff::{BceWithLogits, CrossEntropy, Graph, Loss, Reduction, RootColumns, Tape};
use vivit::curvature::{Ggn, top_k};
use vivit::tensor::{Device, Rng, Tensor};
use vivit_tests::zoo::{Kind, Reticent, host, layers, loss, problems};

use crate::nets::difference;

fn outputs(shape: &[usize], seed: u64) -> Tensor {
    Tensor::from_vec(&host(), shape, Rng::new(seed).normal(shape.iter().product())).unwrap()
}

/// `Σ_v S[v, n] S[v, n]ᵀ` of every sample, `[N, C, C]`.
fn hessians(root: &Tensor) -> Vec<f64> {
    let (v, n) = (root.shape()[0], root.shape()[1]);
    let c = root.len() / (v * n);
    let s = root.to_vec().unwrap();
    let entry = |n_at: usize, i: usize, j: usize| {
        (0..v).map(|v| s[(v * n + n_at) * c + i] * s[(v * n + n_at) * c + j]).sum()
    };
    (0..n)
        .flat_map(|at| (0..c * c).map(move |ij| entry(at, ij / c, ij % c)).collect::<Vec<f64>>())
        .collect()
}

#[test]
fn fewest_columns_give_the_same_hessian() {
    for (shape, seed) in
        [(&[3, 4][..], 1), (&[2, 2], 2), (&[1, 1], 3), (&[2, 3, 2], 4), (&[2, 3, 2, 2], 5)]
    {
        for reduction in [Reduction::Mean, Reduction::Sum] {
            let loss = loss(Kind::CrossEntropy(reduction), shape, &mut Rng::new(seed));
            // Scores far apart and close together.
            for scale in [0.1, 1.0, 30.0] {
                let f = outputs(shape, seed).scale(scale);
                let [all, fewest] = [RootColumns::Outputs, RootColumns::Rank]
                    .map(|columns| loss.hessian_root(&f, columns));
                let positions = shape[2..].iter().product::<usize>();
                assert_eq!(all.shape()[0], shape[1] * positions);
                assert_eq!(fewest.shape()[0], (shape[1] - 1).max(1) * positions);
                // The Hessian is a difference of probabilities, of size one: rounding is absolute
                // where they saturate.
                for (a, b) in hessians(&all).iter().zip(hessians(&fewest)) {
                    assert!((a - b).abs() < 1e-15, "{a} {b} for {f:?}");
                }
            }
        }
    }
}

/// The mean of M sampled roots is off by a normal deviation of size 1/√M per entry: six of them are
/// exceeded by one entry in 5·10⁸.
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
        let sampled = loss.monte_carlo_root(&f, draws, &mut Rng::new(3)).unwrap();
        assert_eq!(sampled.shape().to_vec(), [&[draws], shape].concat());
        let estimate = hessians(&sampled);
        let scale = exact.iter().fold(0.0f64, |scale, x| scale.max(x.abs()));
        // A column's products are at most a few times the Hessian's largest entry (normal draws:
        // their variance is twice its square).
        let bound = 6.0 * 2.0 * scale / (draws as f64).sqrt();
        for (got, expected) in estimate.iter().zip(&exact) {
            assert!(
                (got - expected).abs() < bound,
                "{kind:?}: {got} for {expected}, bound {bound}"
            );
        }
    }
}

#[test]
fn losses_stay_finite_for_extreme_scores() {
    let f = Tensor::from_vec(&host(), [2, 3], vec![1e4, -1e4, 0.0, -1e4, -1e4, -1e4]).unwrap();
    let loss: Box<dyn Loss> = Box::new(CrossEntropy::mean([1, 2]));
    let values = loss.values(&f).to_vec().unwrap();
    assert!(
        (values[0] - 1e4).abs() < 1e-9 && (values[1] - 3f64.ln() / 2.0).abs() < 1e-12,
        "{values:?}"
    );
    for columns in [RootColumns::Outputs, RootColumns::Rank] {
        assert!(loss.hessian_root(&f, columns).to_vec().unwrap().iter().all(|x| x.is_finite()));
    }
}

#[test]
fn the_root_makes_the_gradient() {
    let kinds = [
        Kind::Mse(Reduction::Mean),
        Kind::Mse(Reduction::Sum),
        Kind::CrossEntropy(Reduction::Mean),
        Kind::CrossEntropy(Reduction::Sum),
        Kind::Weighted,
        Kind::Ignoring,
        Kind::Smoothed,
        Kind::Soft,
        Kind::Bce,
        Kind::WeightedBce,
    ];
    for (shape, seed) in [(&[3, 4][..], 1), (&[2, 2], 2), (&[2, 3, 2], 4), (&[2, 3, 2, 2], 5)] {
        for (kind, columns) in kinds
            .into_iter()
            .flat_map(|kind| [(kind, RootColumns::Rank), (kind, RootColumns::Outputs)])
        {
            let loss = loss(kind, shape, &mut Rng::new(seed));
            for scale in [0.1, 1.0, 4.0] {
                let f = outputs(shape, seed).scale(scale);
                let (root, weights) =
                    (loss.hessian_root(&f, columns), loss.gradient_weights(&f, columns).unwrap());
                let (v, n) = (root.shape()[0], shape[0]);
                assert_eq!(**weights.shape(), [v, n]);
                let c = root.len() / (v * n);
                let made = root.reshape([v, n, c]).mul(&weights.reshape([v, n, 1])).sum(0);
                let error =
                    difference(&made.to_vec().unwrap(), &loss.gradient(&f).to_vec().unwrap());
                assert!(error < 1e-12, "{kind:?}, {columns:?}, {f:?}: off by {error:e}");
            }
        }
    }
}

/// Along eigenvectors that are not unique, gammas may differ in sign, or by a rotation: their sum
/// of squares does not.
fn squared_gammas(ggn: &Ggn<'_>) -> Vec<f64> {
    let large = |values: &[f64]| {
        let most = values.last().copied().unwrap_or(0.0);
        (0..values.len()).rev().filter(|&at| values[at] > 1e-6 * most).collect()
    };
    let gammas = ggn.directional_derivatives(large).unwrap().gammas;
    (0..gammas.rows()).map(|n| gammas.row(n).iter().map(|gamma| gamma * gamma).sum()).collect()
}

#[test]
fn gradients_that_travel_are_those_that_the_root_makes() {
    for problem in problems().into_iter().chain(layers::each()) {
        let graph = problem.graph(&problem.params);
        if graph.check_apart(Some("this test")).is_err() {
            continue;
        }
        let n = graph.samples();
        let some: Vec<usize> = (0..n).rev().step_by(2).collect();
        let other: Vec<usize> = (0..n).collect();
        let travelling = Reticent(problem.loss.as_ref());
        for columns in [RootColumns::Rank, RootColumns::Outputs] {
            for (ggn_samples, grad_samples) in
                [(&other, &other), (&other, &some), (&some, &some), (&some, &other)]
            {
                let gammas = [problem.loss.as_ref(), &travelling].map(|loss| {
                    let ggn = Ggn::new(&graph, loss).columns(columns).ggn_samples(&ggn_samples[..]);
                    squared_gammas(&ggn.grad_samples(&grad_samples[..]))
                });
                let error = difference(&gammas[0], &gammas[1]);
                assert!(error < 1e-9, "{}, {columns:?}: off by {error:e}", problem.name);
            }
        }
    }
}

/// Where probabilities are rounded to 0, or columns nearly cancel, the gradient is no combination
/// of the root's columns: it travels.
#[test]
fn saturated_losses_have_gradients_too() {
    let host = Device::cpu();
    let scores = [[1.0, 2.0, 0.5], [200.0, -50.0, 0.0], [-40.0, 3.0, 0.0], [0.0, 60.0, 59.0]];
    for (labels, bits) in
        [([0, 1, 0, 0], [0.0, 1.0, 1.0, 0.0]), ([1, 0, 1, 1], [1.0, 0.0, 0.0, 1.0])]
    {
        let mut tape = Tape::new(&host);
        let x = tape.input(
            Tensor::from_vec(&host, [4, 4], Tensor::eye(&host, 4).to_vec().unwrap()).unwrap(),
        );
        let rows: Vec<f32> =
            (0..3).flat_map(|c| scores.iter().map(move |scores| scores[c])).collect();
        let weight = tape.param(Tensor::from_vec(&host, [3, 4], rows).unwrap());
        let y = tape.linear(x, weight, None);
        let graph = Graph::new(tape, y).unwrap();
        let target: Vec<f32> = bits.iter().flat_map(|&bit| [bit, 1.0 - bit, 0.0]).collect();
        let losses: [Box<dyn Loss>; 2] = [
            Box::new(CrossEntropy::sum(labels)),
            Box::new(BceWithLogits::sum(Tensor::from_vec(&host, [4, 3], target).unwrap())),
        ];
        for loss in &losses {
            let travelling = Reticent(loss.as_ref());
            let gammas = [loss.as_ref(), &travelling].map(|loss| {
                let directions = Ggn::new(&graph, loss).directional_derivatives(top_k(2)).unwrap();
                directions.gammas.as_slice().iter().map(|gamma| gamma.abs()).collect::<Vec<f64>>()
            });
            let error = difference(&gammas[0], &gammas[1]);
            assert!(error < 1e-5, "{}: {gammas:?}", loss.name());
        }
    }
}

//! First and second derivatives along given directions, against the Gram route, differences of
//! losses, and single positions.

use vivit::autodiff::{CrossEntropy, Graph, Loss, ParamMap};
use vivit::curvature::{Error, Ggn, directional_derivatives_along, positional_derivatives_along};
use vivit::nn::*;
use vivit::tensor::{Device, Matrix, Rng, Tensor};
use vivit_tests::zoo::{Problem, Reticent, host, layers, problems};

use crate::nets::{assert_close, difference};

/// K random directions.
fn directions(params: &[(vivit::autodiff::ParamId, Tensor)], k: usize) -> ParamMap<Tensor> {
    let mut rng = Rng::new(3);
    (params.iter())
        .map(|(param, value)| {
            let shape = value.shape().prefixed(&[k]);
            let numbers = rng.normal(shape.size());
            (*param, Tensor::from_vec(value.device(), shape, numbers).unwrap())
        })
        .collect()
}

fn of(graph: &Graph, k: usize) -> ParamMap<Tensor> {
    let value = |param| (param, graph.tape().param_value(param).unwrap().clone());
    directions(&graph.params().into_iter().map(value).collect::<Vec<_>>(), k)
}

fn apart() -> impl Iterator<Item = (Problem, Graph)> {
    problems().into_iter().chain(layers::each()).filter_map(|problem| {
        let graph = problem.graph(&problem.params);
        graph.check_apart(Some("this test")).is_ok().then_some((problem, graph))
    })
}

#[test]
fn along_eigenvectors_both_routes_agree() {
    for (problem, graph) in apart() {
        let large = |values: &[f64]| {
            let most = values.last().copied().unwrap_or(0.0);
            (0..values.len()).rev().filter(|&at| values[at] > 1e-3 * most).take(20).collect()
        };
        let space = Ggn::new(&graph, problem.loss.as_ref()).gram_space().unwrap();
        let expected = space.directional_derivatives(large).unwrap();
        let eigenvectors = space.eigenpairs(large).unwrap().eigenvectors;
        for loss in [problem.loss.as_ref(), &Reticent(problem.loss.as_ref())] {
            let along = directional_derivatives_along(&graph, loss, &eigenvectors).unwrap();
            let name = problem.name;
            let error = difference(along.lambdas.as_slice(), expected.lambdas.as_slice());
            assert!(error < 1e-9, "{name}: λ is off by {error:e}");
            // The sign of an eigenvector is that of its largest entry, which differs.
            let magnitude = |gammas: &Matrix<f64>| -> Vec<f64> {
                gammas.as_slice().iter().map(|gamma| gamma.abs()).collect()
            };
            let error = difference(&magnitude(&along.gammas), &magnitude(&expected.gammas));
            assert!(error < 1e-9, "{name}: γ is off by {error:e}");
        }
    }
}

/// γ by differences of the losses along the direction; λ by those of the losses along the
/// direction's image `J_n e` at the output: the GGN is the Hessian of the loss of the linearised
/// model.
#[test]
fn derivatives_are_differences_of_losses() {
    const STEP: f64 = 1e-4;
    for (problem, graph) in apart() {
        let (loss, n) = (problem.loss.as_ref(), graph.samples());
        let e = of(&graph, 1);
        let moved = |step: f64| {
            let values: Vec<Tensor> = (problem.params.iter().zip(graph.params()))
                .map(|(value, param)| match e.get(param) {
                    Some(e) => value.add(&e.scale(step).reshape(*value.shape())),
                    None => value.clone(),
                })
                .collect();
            problem.graph(&values)
        };
        let s = match loss.reduction() {
            vivit::autodiff::Reduction::Mean => n as f64,
            vivit::autodiff::Reduction::Sum => 1.0,
        };
        let along = directional_derivatives_along(&graph, loss, &e).unwrap();
        let [after, before] = [STEP, -STEP].map(|step| moved(step).losses(loss).unwrap());
        let gammas: Vec<f64> = (0..n).map(|n| s * (after[n] - before[n]) / (2.0 * STEP)).collect();
        let error = difference(along.gammas.as_slice(), &gammas);
        assert!(error < 1e-5, "{}: γ is off by {error:e}", problem.name);
        let (f, u) = (graph.value(), graph.jvp(&e).unwrap().reshape(*graph.value().shape()));
        let at = |step: f64| loss.values(&f.add(&u.scale(step))).to_vec().unwrap();
        let [after, now, before] = [10.0 * STEP, 0.0, -10.0 * STEP].map(at);
        let lambdas: Vec<f64> = (0..n)
            .map(|n| s * (after[n] - 2.0 * now[n] + before[n]) / (100.0 * STEP * STEP))
            .collect();
        let error = difference(along.lambdas.as_slice(), &lambdas);
        assert!(error < 1e-4, "{}: λ is off by {error:e}", problem.name);
    }
}

/// A small language model and its labels, `[3, 5]`.
fn sequences(device: &Device) -> (Graph, Vec<i64>) {
    let layers = vec![embedding(7, 4), linear(4, 6), tanh(), linear(6, 7), permute(&[2, 1])];
    let ids: Vec<f64> = (0..15).map(|at| f64::from(at * 5 % 7)).collect();
    let x = Tensor::from_vec(device, [3, 5], ids).unwrap();
    let graph = Sequential::new(device, layers, 1).unwrap().forward(&x).unwrap();
    (graph, (0..15).map(|at| (at * at + 1) % 7).collect())
}

#[test]
fn a_position_s_share_is_the_loss_of_that_position_alone() {
    let (graph, labels) = sequences(&host());
    let e = of(&graph, 18);
    let loss = CrossEntropy::sum(labels.clone());
    let each = positional_derivatives_along(&graph, &loss, &e).unwrap();
    assert_eq!((each.positions, each.gammas.rows(), each.gammas.cols()), (5, 15, 18));
    let mut sums = [Matrix::zeros(3, 18), Matrix::zeros(3, 18)];
    for t in 0..5 {
        let only: Vec<i64> =
            labels.iter().enumerate().map(|(at, &y)| if at % 5 == t { y } else { -100 }).collect();
        let alone = CrossEntropy::sum(only).ignore_index(-100);
        let alone = directional_derivatives_along(&graph, &alone, &e).unwrap();
        for (of_each, of_one, sum) in
            [(&each.gammas, &alone.gammas, 0), (&each.lambdas, &alone.lambdas, 1)]
        {
            let rows: Vec<f64> = (0..3).flat_map(|n| of_each.row(n * 5 + t).to_vec()).collect();
            assert_close(&rows, of_one.as_slice(), 1e-13);
            (sums[sum].as_mut_slice().iter_mut().zip(rows)).for_each(|(sum, x)| *sum += x);
        }
    }
    let whole = directional_derivatives_along(&graph, &loss, &e).unwrap();
    assert_close(sums[0].as_slice(), whole.gammas.as_slice(), 1e-13);
    assert_close(sums[1].as_slice(), whole.lambdas.as_slice(), 1e-13);
    // Of a mean over all positions, shares have the sample's factor: N of N·T.
    let mean = positional_derivatives_along(&graph, &CrossEntropy::mean(labels), &e).unwrap();
    let scaled: Vec<f64> = mean.lambdas.as_slice().iter().map(|x| 5.0 * x).collect();
    assert_close(&scaled, each.lambdas.as_slice(), 1e-13);
}

#[test]
fn what_does_not_fit_is_refused() {
    let (graph, labels) = sequences(&host());
    let (loss, e) = (CrossEntropy::sum(labels), of(&graph, 2));
    let error = positional_derivatives_along(&graph, &Reticent(&loss), &e).unwrap_err();
    assert!(matches!(error, Error::NoPositions { .. }), "{error}");
    let mut uneven = e.clone();
    let first = graph.params()[0];
    let one = e[first].slice(0, 1);
    uneven.insert(first, one);
    assert!(directional_derivatives_along(&graph, &loss, &uneven).is_err());
    let short = CrossEntropy::sum([0, 1, 2]);
    assert!(directional_derivatives_along(&graph, &short as &dyn Loss, &e).is_err());
}

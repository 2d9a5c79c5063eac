//! The options of the curvature layer, each against what it means.

use std::sync::{Arc, Mutex};

use vivit::autodiff::{Batch, Graph, Mse, ParamId, ParamMap, Probe, Reduction, Seed, Site};
use vivit::curvature::{
    DirectionalDerivatives, Ggn, Progress, above, constant, nonzero, top_k, top_k_nonzero,
};
use vivit::extend::{BatchGrad, DiagGgn, Gradient, OnSite, SqrtGgn, run};
use vivit::nn::*;
use vivit::tensor::{Matrix, Rng, Tensor};
use vivit_tests::zoo::host;

use crate::nets::{Recipe, difference, entries};

#[test]
fn a_hook_without_probes_sees_every_parameter() {
    let recipe = recipe();
    let (graph, loss) = (recipe.graph(), recipe.loss());
    let mut seen = Vec::new();
    let hook = OnSite::new(vec![], |site: &Site<'_>| {
        seen.push(site.param());
        Ok(())
    });
    run(&graph, loss.as_ref(), (hook,)).unwrap();
    seen.reverse();
    let mut expected = graph.params();
    expected.chunks_mut(2).for_each(<[ParamId]>::reverse);
    assert_eq!(seen, expected);
}

#[test]
fn vectors_times_jacobians() {
    let recipe = Recipe { conv: true, ..recipe() };
    let graph = recipe.graph();
    let (host, mut rng) = (host(), Rng::new(1));
    let shape = graph.value().shape().prefixed(&[2]);
    let u = Tensor::from_vec(&host, shape, rng.normal(shape.size())).unwrap();
    let pulled = graph.vjp(&u).unwrap();
    let tangents: ParamMap<Tensor> = pulled
        .iter()
        .map(|(var, _)| {
            let shape = graph.tape().param_value(var).unwrap().shape().prefixed(&[1]);
            (var, Tensor::from_vec(&host, shape, rng.normal(shape.size())).unwrap())
        })
        .collect();
    let pushed = graph.jvp(&tangents).unwrap().to_vec().unwrap();
    let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
    for row in 0..2 {
        let left = dot(&u.slice(row, row + 1).to_vec().unwrap(), &pushed);
        let right: f64 = pulled
            .iter()
            .map(|(var, p)| {
                dot(&p.slice(row, row + 1).to_vec().unwrap(), &tangents[var].to_vec().unwrap())
            })
            .sum();
        assert!((left - right).abs() < 1e-12 * (1.0 + left.abs()), "{left} {right}");
    }
    assert!(graph.vjp(&u.slice(0, 0)).is_err());
}

fn recipe() -> Recipe {
    Recipe {
        n: 6,
        inputs: 4,
        hidden: 5,
        outputs: 3,
        conv: false,
        classes: true,
        reduction: Reduction::Mean,
        seed: 11,
    }
}

#[test]
fn sub_samples_are_batches_of_their_own() {
    let recipe = recipe();
    let (graph, loss) = (recipe.graph(), recipe.loss());
    let chosen = vec![4, 1, 3];
    let small = recipe.model().forward(&recipe.input().index_select(0, &chosen)).unwrap();
    let small_loss = recipe.loss_of(&chosen, Reduction::Mean);
    let spectrum = |ggn: Ggn<'_>, _graph: &Graph| ggn.spectrum().unwrap();
    // The mean over chosen samples estimates the mean over all.
    let whole = spectrum(Ggn::new(&graph, loss.as_ref()).ggn_samples(chosen.clone()), &graph);
    let own = spectrum(Ggn::new(&small, small_loss.as_ref()), &small);
    assert!(difference(&whole, &own) < 1e-12);
    // Per-sample gradients are those of the whole batch, picked.
    let (all, picked) =
        run(&graph, loss.as_ref(), (BatchGrad::new(), BatchGrad::new().samples(chosen.clone())))
            .unwrap();
    for (var, picked) in picked.iter() {
        assert_eq!(all[var].index_select(0, &chosen).to_vec().unwrap(), picked.to_vec().unwrap());
    }
}

#[test]
fn gradients_and_ggn_choose_their_samples_independently() {
    let recipe = recipe();
    let (graph, loss) = (recipe.graph(), recipe.loss());
    let ggn =
        |grad: Vec<usize>| Ggn::new(&graph, loss.as_ref()).ggn_samples([2, 0]).grad_samples(grad);
    let all = ggn((0..6).collect()).directional_derivatives(top_k(3)).unwrap();
    let few = ggn(vec![5, 2]).directional_derivatives(top_k(3)).unwrap();
    assert_eq!((few.gammas.rows(), few.lambdas.rows(), few.len()), (2, 2, 3));
    for (row, n) in [5, 2].into_iter().enumerate() {
        assert!(difference(few.gammas.row(row), all.gammas.row(n)) < 1e-12);
    }
    assert!(difference(few.lambdas.as_slice(), all.lambdas.as_slice()) < 1e-12);
}

#[test]
fn results_come_in_the_criterions_order() {
    let recipe = recipe();
    let (graph, loss) = (recipe.graph(), recipe.loss());
    let ggn = Ggn::new(&graph, loss.as_ref());
    let ascending = ggn.directional_derivatives(top_k(3)).unwrap();
    let descending =
        ggn.directional_derivatives(|v: &[f64]| (v.len() - 3..v.len()).rev().collect()).unwrap();
    for k in 0..3 {
        assert_eq!(ascending.eigenvalues[k], descending.eigenvalues[2 - k]);
        let column =
            |m: &Matrix<f64>, k: usize| (0..m.rows()).map(|n| m[(n, k)]).collect::<Vec<f64>>();
        assert!(
            difference(&column(&ascending.gammas, k), &column(&descending.gammas, 2 - k)) < 1e-12
        );
    }
}

#[test]
fn ready_made_criteria() {
    let values = [0.0, 1e-12, 0.5, 2.0, 3.0];
    assert_eq!(top_k(2)(&values), [3, 4]);
    assert_eq!(top_k(5)(&values), [0, 1, 2, 3, 4]);
    assert_eq!(above(0.5)(&values), [3, 4]);
    assert_eq!(nonzero(1e-10)(&values), [2, 3, 4]);
    assert_eq!(top_k_nonzero(2, 1e-10)(&values), [3, 4]);
    assert_eq!(top_k_nonzero(9, 1e-10)(&values), [2, 3, 4]);
}

#[test]
fn monte_carlo_repeats_with_its_seed_and_converges() {
    let recipe = recipe();
    let (graph, loss) = (recipe.graph(), recipe.loss());
    let spectrum = |draws, seed| {
        let ggn = Ggn::new(&graph, loss.as_ref()).monte_carlo(draws, seed);
        ggn.spectrum().unwrap()
    };
    assert_eq!(spectrum(2, 5), spectrum(2, 5));
    assert_ne!(spectrum(2, 5), spectrum(2, 6));
    assert_eq!(spectrum(2, 5).len(), 2 * recipe.n);
    let exact = Ggn::new(&graph, loss.as_ref()).spectrum().unwrap();
    let trace = |values: &[f64]| values.iter().sum::<f64>();
    // The trace is a mean of independent draws; with 400 of them its deviation is a few percent: 25
    // % is far out.
    let sampled = trace(&spectrum(400, 1));
    assert!((sampled / trace(&exact) - 1.0).abs() < 0.25, "{sampled} for {}", trace(&exact));
}

#[test]
fn damping_sees_its_directions() {
    let recipe = recipe();
    let (graph, loss) = (recipe.graph(), recipe.loss());
    let groups = ["0.", "4."].map(|front| graph.params_where(|name| name.starts_with(front)));
    let blocks = Ggn::new(&graph, loss.as_ref()).blocks(groups.clone());
    let damping = |own: &DirectionalDerivatives| {
        assert_eq!((own.gram_eigenvectors.rows(), own.gram_eigenvectors.cols()), (own.len(), 12));
        // Undo the curvature, then divide by 2: a gradient step in the chosen subspace.
        own.mean_lambdas().iter().map(|mean| 2.0 - mean).collect()
    };
    // All groups by one criterion, and each by its own.
    let newton = blocks.newton_step(top_k(2), damping).unwrap();
    let pairs = blocks.eigenpairs(top_k(2)).unwrap();
    let mut steps: Vec<_> =
        groups.iter().zip(pairs).map(|(group, pairs)| (group, newton.clone(), pairs)).collect();
    for ((group, space), k) in groups.iter().zip(blocks.gram_spaces().unwrap()).zip([2, 3]) {
        let own = space.newton_step(top_k(k), damping).unwrap();
        assert_eq!((own.directions.len(), own.directions[0].len(), own.step.len()), (1, k, 2));
        steps.push((group, own, space.eigenpairs(top_k(k)).unwrap()));
    }
    assert_eq!(
        newton.directions.iter().map(DirectionalDerivatives::len).collect::<Vec<_>>(),
        [2, 2]
    );
    assert_eq!(newton.step.len(), 4);
    let gradient = graph.backward(loss.as_ref()).unwrap();
    for (group, newton, pairs) in &steps {
        let of = |map: &ParamMap<Tensor>, k: Option<usize>| -> Vec<f64> {
            let part = |var| {
                k.map_or_else(|| map[var].clone(), |k| map[var].slice(k, k + 1)).to_vec().unwrap()
            };
            group.iter().flat_map(|&var| part(var)).collect()
        };
        let mut expected = vec![0.0; of(&gradient, None).len()];
        for k in 0..pairs.eigenvalues.len() {
            let e = of(&pairs.eigenvectors, Some(k));
            let along: f64 = e.iter().zip(of(&gradient, None)).map(|(e, g)| e * g).sum();
            expected.iter_mut().zip(&e).for_each(|(sum, e)| *sum -= along / 2.0 * e);
        }
        assert!(difference(&of(&newton.step, None), &expected) < 1e-12);
    }
}

#[test]
fn eigenvectors_are_orthonormal_and_signed() {
    let recipe = Recipe { conv: true, ..recipe() };
    let (graph, loss) = (recipe.graph(), recipe.loss());
    let pairs = Ggn::new(&graph, loss.as_ref()).eigenpairs(nonzero(1e-5)).unwrap();
    let k = pairs.eigenvalues.len();
    let rows: Vec<Vec<f64>> = (0..k)
        .map(|k| {
            pairs
                .eigenvectors
                .iter()
                .flat_map(|(_, e)| e.slice(k, k + 1).to_vec().unwrap())
                .collect()
        })
        .collect();
    for i in 0..k {
        for j in 0..=i {
            let dot: f64 = rows[i].iter().zip(&rows[j]).map(|(a, b)| a * b).sum();
            assert!((dot - f64::from(u8::from(i == j))).abs() < 1e-9, "{i} {j}: {dot}");
        }
        let largest = rows[i]
            .iter()
            .fold(0.0f64, |largest, &x| if x.abs() > largest.abs() { x } else { largest });
        assert!(largest > 0.0);
    }
}

#[test]
fn a_newton_step_without_damping_solves_a_quadratic() {
    // One linear layer under squared error: the loss is quadratic, its Hessian is the GGN, and one
    // step reaches the minimum.
    let host = host();
    let model = Sequential::new(&host, vec![linear(3, 2)], 1).unwrap();
    let x = Tensor::from_vec(&host, [8, 3], Rng::new(2).normal(24)).unwrap();
    let y = Tensor::from_vec(&host, [8, 2], Rng::new(3).normal(16)).unwrap();
    for loss in [Mse::mean(y.clone()), Mse::sum(y)] {
        let mut model_after = Sequential::new(&host, vec![linear(3, 2)], 1).unwrap();
        let graph = model.forward(&x).unwrap();
        let newton = Ggn::new(&graph, &loss).newton_step(nonzero(1e-10), constant(0.0)).unwrap();
        model_after.add_scaled(1.0, &newton.step).unwrap();
        let after = model_after.forward(&x).unwrap();
        let gradient = entries(&after.backward(&loss).unwrap());
        assert!(gradient.iter().all(|g| g.abs() < 1e-12), "{gradient:?}");
        assert!(after.loss(&loss).unwrap() < graph.loss(&loss).unwrap());
    }
}

#[test]
fn progress_is_reported() {
    let recipe = recipe();
    let (graph, loss) = (recipe.graph(), recipe.loss());
    let seen = Arc::new(Mutex::new(Vec::new()));
    let record = Arc::clone(&seen);
    let ggn = Ggn::new(&graph, loss.as_ref())
        .on_progress(move |progress| record.lock().unwrap().push(progress));
    ggn.eigenpairs(top_k(2)).unwrap();
    let seen = seen.lock().unwrap();
    assert_eq!(seen[5], Progress::Gram { done: 6, total: 6 });
    assert_eq!(seen[6], Progress::Eigenvalues { done: 1, total: 1 });
    assert_eq!(seen[7..], [Progress::Eigenvectors { done: 2, total: 2 }]);
}

#[test]
fn hooks_and_shared_probes_travel_once() {
    let recipe = recipe();
    let (graph, loss) = (recipe.graph(), recipe.loss());
    let mut seen = Vec::new();
    let hook = OnSite::new(vec![Probe::new(Seed::Gradient)], |site: &Site<'_>| {
        // The gradient and the two exact roots' columns share one factor: 1 + (C − 1).
        seen.push((site.name().to_string(), site.jac_t(0, Batch::Keep).len() / site.value().len()));
        Ok(())
    });
    let (gradient, _, _, ()) =
        run(&graph, loss.as_ref(), (Gradient, DiagGgn::exact(), SqrtGgn::exact(), hook)).unwrap();
    let names: Vec<&str> = seen.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["4.weight", "4.bias", "2.weight", "2.bias", "0.weight", "0.bias"]);
    assert!(seen.iter().all(|(_, samples)| *samples == recipe.n));
    assert_eq!(entries(&gradient), entries(&graph.backward(loss.as_ref()).unwrap()));
}

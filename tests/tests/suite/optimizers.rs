//! The damped Newton step as an optimizer, against the step that the curvature gives.

use std::sync::{Arc, Mutex};

use vivit::autodiff::{CrossEntropy, Mse, RootColumns};
use vivit::curvature::{Ggn, constant, nonzero, top_k, top_k_nonzero};
use vivit::nn::*;
use vivit::optim::{DampedNewton, Descent};
use vivit::tensor::{Rng, Tensor};
use vivit_tests::zoo::host;

fn data(n: usize, features: usize, seed: u64) -> Tensor {
    Tensor::from_vec(&host(), [n, features], Rng::new(seed).normal(n * features)).unwrap()
}

fn classifier() -> (Sequential, Tensor, CrossEntropy) {
    let model = Sequential::new(&host(), vec![linear(4, 5), tanh(), linear(5, 3)], 3).unwrap();
    (model, data(9, 4, 1), CrossEntropy::mean((0..9).map(|n| n * n % 3).collect::<Vec<_>>()))
}

fn entries(model: &Sequential) -> Vec<f64> {
    model.params().iter().flat_map(|param| param.value.to_vec().unwrap()).collect()
}

#[track_caller]
fn close(got: &Sequential, expected: &Sequential) {
    let (got, expected) = (entries(got), entries(expected));
    assert!(
        got.iter().zip(&expected).all(|(a, b)| (a - b).abs() <= 1e-12 * b.abs().max(1.0)),
        "{got:?}\n{expected:?}"
    );
}

#[test]
fn the_learning_rate_scales_the_step() {
    // One linear layer under squared error: undamped, the whole step reaches the minimum, half a
    // step gets half way.
    let (x, loss) = (data(8, 3, 2), Mse::mean(data(8, 2, 3)));
    let start = Sequential::new(&host(), vec![linear(3, 2)], 1).unwrap();
    let graph = start.forward(&x).unwrap();
    let stepped = |learning_rate: f64| {
        let mut model = start.clone();
        let newton = DampedNewton::new(nonzero(1e-10), constant(0.0));
        newton.learning_rate(learning_rate).unwrap().step(&mut model, &graph, &loss).unwrap();
        model
    };
    let minimum = stepped(1.0);
    let gradient = minimum.forward(&x).unwrap().backward(&loss).unwrap();
    assert!(gradient.iter().all(|(_, g)| g.to_vec().unwrap().iter().all(|g| g.abs() < 1e-12)));
    let mut half_way = start.clone();
    for (at, (a, b)) in start.params().iter().zip(minimum.params()).enumerate() {
        let middle = a.value.add(&b.value).scale(0.5);
        half_way.set_param(&start.params()[at].name, middle).unwrap();
    }
    close(&stepped(0.5), &half_way);
}

#[test]
fn options_reach_the_curvature() {
    let (start, x, loss) = classifier();
    let asked = Arc::new(Mutex::new(Vec::new()));
    let seen = Arc::clone(&asked);
    let mut newton = DampedNewton::new(top_k_nonzero(2, 1e-10), constant(0.3))
        .groups(|graph| graph.groups_matching(&["2.*", "0.weight"]))
        .monte_carlo(2, 7)
        .ggn_samples(move |n| {
            seen.lock().unwrap().push(n);
            vec![4, 0, 7]
        })
        .grad_samples(|n| (0..n).step_by(2).collect());
    let (mut model, mut expected) = (start.clone(), start.clone());
    for seed in [7, 8] {
        let graph = expected.forward(&x).unwrap();
        let groups =
            ["2.", "0.weight"].map(|front| graph.params_where(|name| name.starts_with(front)));
        let ggn = Ggn::new(&graph, &loss)
            .monte_carlo(2, seed)
            .ggn_samples([4, 0, 7])
            .grad_samples([0, 2, 4, 6, 8]);
        let step = ggn.blocks(groups).newton_step(top_k_nonzero(2, 1e-10), constant(0.3)).unwrap();
        expected.add_scaled(1.0, &step.step).unwrap();
        let graph = model.forward(&x).unwrap();
        let directions = newton.step(&mut model, &graph, &loss).unwrap();
        close(&model, &expected);
        assert_eq!(directions.len(), 2);
        assert_eq!([directions[0].gammas.rows(), directions[0].lambdas.rows()], [5, 3]);
    }
    assert_eq!(*asked.lock().unwrap(), [9, 9]);
    assert_eq!(
        model.params()[1].value.to_vec().unwrap(),
        start.params()[1].value.to_vec().unwrap(),
        "0.bias is in no group"
    );
}

#[test]
fn every_rule_descends() {
    let by_layer = |columns| {
        DampedNewton::new(top_k_nonzero(5, 1e-10), constant(0.1))
            .groups(|graph| Ok(graph.groups_by_layer()))
            .columns(columns)
    };
    let rules: [Box<dyn Descent>; 5] = [
        Box::new(Sgd::new(0.1, 0.9).unwrap()),
        Box::new(Adam::new(0.02).unwrap()),
        Box::new(AdamW::new(0.02).unwrap()),
        Box::new(by_layer(RootColumns::Rank)),
        Box::new(by_layer(RootColumns::Outputs)),
    ];
    for (at, mut rule) in rules.into_iter().enumerate() {
        let (mut model, x, loss) = classifier();
        let before = model.forward(&x).unwrap().loss(&loss).unwrap();
        for _ in 0..60 {
            let graph = model.forward(&x).unwrap();
            rule.descend(&mut model, &graph, &loss).unwrap();
        }
        let after = model.forward(&x).unwrap().loss(&loss).unwrap();
        assert!(after < 0.2 * before, "rule {at}: {before} → {after}");
    }
}

#[test]
fn what_does_not_exist_leaves_the_model_as_it_was() {
    let (mut model, x, loss) = classifier();
    let (before, graph) = (entries(&model), model.forward(&x).unwrap());
    for bad in [0.0, -1.0, f64::NAN] {
        let refused = DampedNewton::new(top_k(1), constant(1.0)).learning_rate(bad);
        assert!(matches!(refused, Err(vivit::Error::Nn(vivit::nn::Error::Option { .. }))));
    }
    let newton = || DampedNewton::new(top_k(1), constant(1.0));
    let bad = [
        (DampedNewton::new(top_k(1000), constant(1.0)), "index"),
        (newton().groups(|graph| graph.groups_matching(&["3.*"])), "\"3.*\""),
        (newton().groups(|_| Ok(Vec::new())), "group"),
        (newton().groups(|graph| graph.groups_matching(&["0.*", "*.bias"])), "0.bias"),
        (newton().ggn_samples(|n| vec![n]), "sample index 9"),
        (newton().grad_samples(|_| Vec::new()), "samples is empty"),
        (newton().monte_carlo(0, 1), "draw"),
        (DampedNewton::new(top_k(1), constant(-1e9)), "damping"),
    ];
    for (mut newton, named) in bad {
        let error = newton.step(&mut model, &graph, &loss).unwrap_err().to_string();
        assert!(error.contains(named), "{error}");
        assert_eq!(entries(&model), before);
    }
}

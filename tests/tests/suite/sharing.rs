//! Graphs, models and Gram spaces move between threads, and threads share them.

use std::sync::mpsc;

use vivit::autodiff::{CrossEntropy, Graph};
use vivit::curvature::{Ggn, GramSpace, constant, top_k, top_k_nonzero};
use vivit::extend::{BatchGrad, run};
use vivit::nn::{Adam, Sequential, linear, tanh};
use vivit::optim::{DampedNewton, Descent};
use vivit::tensor::{Device, Rng, Tensor};

use crate::nets::entries;

fn model(device: &Device, seed: u64) -> Sequential {
    Sequential::new(device, vec![linear(4, 6), tanh(), linear(6, 3)], seed).unwrap()
}

fn input(device: &Device, seed: u64) -> Tensor {
    Tensor::from_vec(device, [9, 4], Rng::new(seed).normal(36)).unwrap()
}

fn labels() -> CrossEntropy {
    CrossEntropy::mean((0..9).map(|n| n * n % 3).collect::<Vec<i32>>())
}

/// What is read of a graph.
fn results(graph: &Graph) -> Vec<Vec<f64>> {
    let loss = labels();
    let ggn = Ggn::new(graph, &loss);
    vec![
        graph.value().to_vec().unwrap(),
        entries(&graph.backward(&loss).unwrap()),
        entries(&run(graph, &loss, (BatchGrad::new(),)).unwrap().0),
        ggn.spectrum().unwrap(),
        entries(&ggn.newton_step(top_k(3), constant(1.0)).unwrap().step),
    ]
}

#[test]
fn a_graph_made_in_one_thread_is_read_in_another() {
    for device in [Device::cpu(), Device::cpu_f64()] {
        let expected = results(&model(&device, 1).forward(&input(&device, 2)).unwrap());
        let (send, receive) = mpsc::channel::<Graph>();
        let reader = std::thread::spawn(move || {
            receive.into_iter().map(|graph| results(&graph)).collect::<Vec<_>>()
        });
        let maker = {
            let device = device.clone();
            std::thread::spawn(move || {
                let graph = model(&device, 1).forward(&input(&device, 2)).unwrap();
                // Shared, not copied: both are read at the same time.
                send.send(graph.clone()).unwrap();
                let own = results(&graph);
                send.send(graph).unwrap();
                own
            })
        };
        assert_eq!(maker.join().unwrap(), expected);
        assert_eq!(reader.join().unwrap(), [expected.clone(), expected]);
    }
}

#[test]
fn threads_share_a_model_and_a_graph() {
    let device = Device::cpu_f64();
    let model = model(&device, 3);
    let alone: Vec<_> =
        (0..4).map(|seed| results(&model.forward(&input(&device, seed)).unwrap())).collect();
    let graph = model.forward(&input(&device, 0)).unwrap();
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..4)
            .map(|seed| {
                let (model, graph, device) = (&model, &graph, &device);
                scope.spawn(move || {
                    let own = results(&model.forward(&input(device, seed)).unwrap());
                    (own, results(graph))
                })
            })
            .collect();
        for (thread, expected) in threads.into_iter().zip(&alone) {
            let (own, shared) = thread.join().unwrap();
            assert_eq!(&own, expected);
            assert_eq!(shared, alone[0]);
        }
    });
}

#[test]
fn a_gram_space_outlives_its_graph_and_its_thread() {
    let make = || -> GramSpace {
        let device = Device::cpu_f64();
        let (graph, loss) = (model(&device, 1).forward(&input(&device, 2)).unwrap(), labels());
        Ggn::new(&graph, &loss).gram_space().unwrap()
    };
    let space = std::thread::spawn(make).join().unwrap();
    let here = make();
    assert_eq!(space.spectrum(), here.spectrum());
    let pairs = std::thread::scope(|scope| {
        let threads = [2, 4].map(|k| {
            let space = &space;
            scope.spawn(move || space.eigenpairs(top_k(k)).unwrap())
        });
        threads.map(|thread| thread.join().unwrap())
    });
    for (pairs, k) in pairs.iter().zip([2, 4]) {
        let expected = here.eigenpairs(top_k(k)).unwrap();
        assert_eq!(pairs.eigenvalues, expected.eigenvalues);
        assert_eq!(entries(&pairs.eigenvectors), entries(&expected.eigenvectors));
    }
}

/// Trains in place; returns the losses.
fn train(model: &mut Sequential, rule: &mut dyn Descent, x: &Tensor) -> Vec<f64> {
    let loss = labels();
    (0..20)
        .map(|_| {
            let graph = model.forward_training(x).unwrap();
            rule.descend(model, &graph, &loss).unwrap();
            graph.loss(&loss).unwrap()
        })
        .collect()
}

#[test]
fn models_train_side_by_side_in_a_pool() {
    let device = Device::cpu_f64();
    let rules = || -> [Box<dyn Descent>; 2] {
        let newton = DampedNewton::new(top_k_nonzero(4, 1e-10), constant(0.5)).monte_carlo(1, 7);
        [Box::new(Adam::new(0.05).unwrap()), Box::new(newton)]
    };
    let runs = || rules().map(|rule| (model(&device, 5), rule, Vec::new()));
    let x = input(&device, 6);
    let mut apart = runs();
    for (model, rule, losses) in &mut apart {
        *losses = train(model, rule.as_mut(), &x);
        assert!(losses[19] < losses[0], "{losses:?}");
    }
    let mut together = runs();
    rayon::scope(|scope| {
        for (model, rule, losses) in &mut together {
            let x = &x;
            scope.spawn(move |_| *losses = train(model, rule.as_mut(), x));
        }
    });
    for ((model, _, losses), (other, _, expected)) in together.iter().zip(&apart) {
        assert_eq!(losses, expected);
        for (param, other) in model.params().iter().zip(other.params()) {
            assert_eq!(param.value.to_vec().unwrap(), other.value.to_vec().unwrap());
        }
    }
}

//! Training mode: dropout, batch norm, running statistics; and networks by name.

use vivit::autodiff::{CrossEntropy, Graph, Mse, Tape};
use vivit::curvature::{Ggn, nonzero};
use vivit::extend::{BatchGrad, Gradient, run};
use vivit::nn::*;
use vivit::tensor::{Rng, Tensor, Unary};
use vivit_tests::zoo::host;

use crate::nets::difference;

fn random(shape: &[usize], seed: u64) -> Tensor {
    Tensor::from_vec(&host(), shape, Rng::new(seed).normal(shape.iter().product())).unwrap()
}

#[test]
fn dropout_drops_in_training_only() {
    let mut model = Sequential::new(&host(), vec![dropout(0.25)], 3).unwrap();
    let x = Tensor::full(&host(), [50, 80], 1.0);
    assert_eq!(model.forward(&x).unwrap().value().to_vec().unwrap(), vec![1.0; 4000]);
    let first = model.forward_training(&x).unwrap().value().to_vec().unwrap();
    let second = model.forward_training(&x).unwrap().value().to_vec().unwrap();
    assert_ne!(first, second, "every pass draws anew");
    let kept = first.iter().filter(|&&x| x != 0.0).count();
    assert!(first.iter().all(|&x| x == 0.0 || (x - 1.0 / 0.75).abs() < 1e-15));
    // 4000 draws: a deviation of 27 from 3000; six of them.
    assert!(kept.abs_diff(3000) < 6 * 28, "{kept}");
    let mut again = Sequential::new(&host(), vec![dropout(0.25)], 3).unwrap();
    assert_eq!(
        again.forward_training(&x).unwrap().value().to_vec().unwrap(),
        first,
        "the seed decides"
    );
}

#[test]
fn a_mask_stays_for_all_sweeps() {
    let mut model =
        Sequential::new(&host(), vec![linear(4, 6), dropout(0.5), linear(6, 3)], 1).unwrap();
    let graph = model.forward_training(&random(&[5, 4], 2)).unwrap();
    let loss = CrossEntropy::mean([0, 1, 2, 0, 1]);
    let (batch, gradient) = run(&graph, &loss, (BatchGrad::new(), Gradient)).unwrap();
    for (var, gradient) in gradient.iter() {
        let summed = batch[var].sum(0).to_vec().unwrap();
        assert!(difference(&summed, &gradient.to_vec().unwrap()) < 1e-13);
    }
    assert_eq!(graph.params().len(), 4);
}

#[test]
fn batch_norm_trains_with_the_batch_and_remembers_it() {
    let x = random(&[6, 2, 3], 1).scale(2.0).unary(Unary::Shift(0.7));
    let norm = BatchNorm::new(2).momentum(0.3);
    let mut model =
        Sequential::new(&host(), vec![Box::new(norm), flatten(), linear(6, 2)], 1).unwrap();
    let graph = model.forward_training(&x).unwrap();
    // Statistics by their definition: biased for the normalisation, unbiased for the running
    // variance.
    let entries = x.to_vec().unwrap();
    for channel in 0..2 {
        let own: Vec<f64> =
            (0..18).map(|at| entries[(at / 3) * 6 + channel * 3 + at % 3]).collect();
        let mean = own.iter().sum::<f64>() / 18.0;
        let variance = own.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / 17.0;
        let running = |at: usize| model.buffers()[at].value.to_vec().unwrap()[channel];
        assert_eq!(model.buffers()[0].name, "0.running_mean");
        assert!((running(0) - 0.3 * mean).abs() < 1e-14);
        assert!((running(1) - (0.7 + 0.3 * variance)).abs() < 1e-14);
    }
    // The gradient of the whole, samples coupled, against finite differences.
    let loss = CrossEntropy::mean([0, 1, 0, 1, 1, 0]);
    let gradient = graph.backward(&loss).unwrap();
    for (at, (_, gradient)) in gradient.iter().enumerate() {
        let value = |offset: f64, entry: usize| {
            let mut moved = model.clone();
            let mut entries = moved.params()[at].value.to_vec().unwrap();
            entries[entry] += offset;
            let name = moved.params()[at].name.clone();
            let shape = moved.params()[at].value.shape().to_vec();
            moved.set_param(&name, Tensor::from_vec(&host(), &shape, entries).unwrap()).unwrap();
            moved.forward_training(&x).unwrap().loss(&loss).unwrap()
        };
        for (entry, got) in gradient.to_vec().unwrap().into_iter().enumerate() {
            let h = 1e-5;
            let expected = (value(h, entry) - value(-h, entry)) / (2.0 * h);
            assert!((got - expected).abs() < 1e-9, "{got} {expected}");
        }
    }
    // Everything per sample is refused, by name; in evaluation mode it is there.
    let error = run(&graph, &loss, (BatchGrad::new(),)).unwrap_err().to_string();
    assert!(
        error.contains("batch norm in training mode") && error.contains("evaluation mode"),
        "{error}"
    );
    assert!(run(&model.forward(&x).unwrap(), &loss, (BatchGrad::new(),)).is_ok());
}

#[test]
fn reference_networks_have_their_parameters() {
    let expected = [
        ("demo", 88),
        ("mlp", 535_818),
        ("net2c2d", 3_274_634),
        ("net3c3d", 895_210),
        ("allcnnc", 1_387_108),
        ("resnet32", 464_154),
        ("resnet56", 853_018),
    ];
    for (name, params) in expected {
        let network = networks::by_name(name).unwrap();
        let model = Sequential::new(&host(), network.layers, 0).unwrap();
        assert_eq!(model.num_params(), params, "{name}");
        assert_eq!(model.output_shape(&network.input).unwrap(), [network.classes], "{name}");
    }
    for name in networks::NAMES {
        let network = networks::by_name(name).unwrap();
        let output = Sequential::new(&host(), network.layers, 0)
            .unwrap()
            .output_shape(&network.input)
            .unwrap();
        assert_eq!(output.iter().product::<usize>(), network.classes * network.positions, "{name}");
    }
}

#[test]
fn several_inputs_meet_in_one_graph() {
    let host = host();
    let mut tape = Tape::new(&host);
    let (w, u) = (tape.param(random(&[3, 2], 1)), tape.param(random(&[3, 4], 2)));
    let (x, y) = (tape.input(random(&[5, 2], 3)), tape.input(random(&[5, 4], 4)));
    let (a, b) = (tape.linear(x, w, None), tape.linear(y, u, None));
    let both = tape.mul(a, b);
    let graph = Graph::new(tape, both).unwrap();
    let loss = Mse::mean(random(&[5, 3], 5));
    let along = Ggn::new(&graph, &loss).directional_derivatives(nonzero(1e-8)).unwrap();
    assert!(difference(&along.mean_lambdas(), &along.eigenvalues) < 1e-12);
}

//! The same bits for any number of threads.

use vivit::autodiff::CrossEntropy;
use vivit::curvature::{Ggn, top_k};
use vivit::extend::{DiagGgn, Gradient, run};
use vivit::nn::*;
use vivit::tensor::{Device, Rng, Tensor};

use crate::nets::entries;

/// Everything that a network yields, at sizes that go parallel.
fn everything() -> Vec<u64> {
    let cpu = Device::cpu();
    let layers = vec![
        Conv2d::new(3, 8, 3).padded(1).boxed(),
        relu(),
        max_pool2d(2, 2),
        conv2d(8, 12, 3),
        tanh(),
        flatten(),
        linear(12 * 36, 64),
        sigmoid(),
        linear(64, 10),
    ];
    let model = Sequential::new(&cpu, layers, 1).unwrap();
    let n = 32;
    let x = Tensor::from_vec(&cpu, [n, 3, 16, 16], Rng::new(2).normal(n * 3 * 256)).unwrap();
    let loss = CrossEntropy::mean((0..n).map(|n| n % 10).collect::<Vec<_>>());
    let graph = model.forward(&x).unwrap();
    let (gradient, diag) = run(&graph, &loss, (Gradient, DiagGgn::exact())).unwrap();
    let ggn = Ggn::new(&graph, &loss);
    let space = ggn.gram_space().unwrap();
    let own = space.directional_derivatives(top_k(8)).unwrap();
    let pairs = space.eigenpairs(top_k(8)).unwrap();
    let lists = [
        graph.value().to_vec().unwrap(),
        entries(&gradient),
        entries(&diag),
        space.spectrum().to_vec(),
        own.gammas.into_vec(),
        own.lambdas.into_vec(),
        entries(&pairs.eigenvectors),
    ];
    lists.concat().into_iter().map(f64::to_bits).collect()
}

#[test]
fn one_thread_equals_many() {
    let with = |threads| {
        rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap().install(everything)
    };
    let one = with(1);
    for threads in [2, 3, 7] {
        assert!(one == with(threads), "{threads} threads give other bits than one");
    }
}

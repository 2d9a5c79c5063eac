//! Random small networks for property tests, and an operation that hides its structure.

use proptest::prelude::*;
use proptest::test_runner::RngSeed;
use vivit::autodiff::{Batch, CrossEntropy, Graph, Io, Loss, Mse, Op, ParamMap, Reduction};
use vivit::nn::*;
use vivit::tensor::{Rng, Scalar, Tensor};
use vivit_tests::report::worse;
use vivit_tests::zoo::{Kind, host, loss};

/// The same cases in every run: a bound on rounding that one case in a million exceeds must not
/// fail somebody else's build.
pub fn config(cases: u32) -> ProptestConfig {
    ProptestConfig {
        rng_seed: RngSeed::Fixed(0x5eed),
        failure_persistence: None,
        ..ProptestConfig::with_cases(cases)
    }
}

/// What a random network is made from.
#[derive(Clone, Debug)]
pub struct Recipe {
    /// Samples.
    pub n: usize,
    /// Channels or features of the input.
    pub inputs: usize,
    /// Hidden features.
    pub hidden: usize,
    /// Outputs.
    pub outputs: usize,
    /// Convolutional, or an MLP.
    pub conv: bool,
    /// Cross-entropy, or squared error.
    pub classes: bool,
    /// The loss's reduction.
    pub reduction: Reduction,
    /// Seed of parameters, inputs and targets.
    pub seed: u64,
}

/// Recipes of up to six samples and a few features.
pub fn recipes() -> impl Strategy<Value = Recipe> {
    (
        1usize..7,
        1usize..5,
        1usize..6,
        2usize..5,
        any::<bool>(),
        any::<bool>(),
        any::<bool>(),
        0u64..1 << 32,
    )
        .prop_map(|(n, inputs, hidden, outputs, conv, classes, mean, seed)| {
            let reduction = if mean { Reduction::Mean } else { Reduction::Sum };
            Recipe { n, inputs, hidden, outputs, conv, classes, reduction, seed }
        })
}

impl Recipe {
    /// The model.
    pub fn model(&self) -> Sequential {
        let Recipe { inputs, hidden, outputs, .. } = *self;
        let layers = if self.conv {
            vec![
                Conv2d::new(inputs, hidden, 3).padded(1).boxed(),
                tanh(),
                avg_pool2d(2, 1),
                conv2d(hidden, 2, 2),
                sigmoid(),
                flatten(),
                linear(8, outputs),
            ]
        } else {
            vec![
                linear(inputs, hidden),
                tanh(),
                linear(hidden, hidden),
                sigmoid(),
                linear(hidden, outputs),
            ]
        };
        Sequential::new(&host(), layers, self.seed).unwrap()
    }

    /// The inputs.
    pub fn input(&self) -> Tensor {
        let shape: &[usize] =
            if self.conv { &[self.n, self.inputs, 4, 4] } else { &[self.n, self.inputs] };
        let mut rng = Rng::new(self.seed + 1);
        Tensor::from_vec(&host(), shape, rng.normal(shape.iter().product())).unwrap()
    }

    /// The targets: labels, or numbers.
    fn kind(&self) -> Kind {
        if self.classes { Kind::CrossEntropy(self.reduction) } else { Kind::Mse(self.reduction) }
    }

    /// A loss over the samples in the given order (all in order, if `None`), with the reduction's
    /// factor of the recipe's batch kept.
    pub fn loss(&self) -> Box<dyn Loss> {
        loss(self.kind(), &[self.n, self.outputs], &mut Rng::new(self.seed + 2))
    }

    /// The recorded forward pass.
    pub fn graph(&self) -> Graph {
        self.model().forward(&self.input()).unwrap()
    }

    /// Labels or target numbers of each sample.
    pub fn targets(&self) -> (Vec<usize>, Vec<f64>) {
        let mut rng = Rng::new(self.seed + 2);
        if self.classes {
            ((0..self.n).map(|_| (rng.unit() * self.outputs as f64) as usize).collect(), Vec::new())
        } else {
            (Vec::new(), rng.normal(self.n * self.outputs))
        }
    }

    /// The loss of some of the samples, in the given order, with its own reduction.
    pub fn loss_of(&self, samples: &[usize], reduction: Reduction) -> Box<dyn Loss> {
        let (labels, numbers) = self.targets();
        if self.classes {
            let labels: Vec<usize> = samples.iter().map(|&n| labels[n]).collect();
            Box::new(if reduction == Reduction::Sum {
                CrossEntropy::sum(labels)
            } else {
                CrossEntropy::mean(labels)
            })
        } else {
            let target = Tensor::from_vec(&host(), [self.n, self.outputs], numbers)
                .unwrap()
                .index_select(0, samples);
            Box::new(if reduction == Reduction::Sum { Mse::sum(target) } else { Mse::mean(target) })
        }
    }
}

/// An operation without its outer-product structure and its own `J·t`: everything goes the generic
/// way.
#[derive(Debug)]
pub struct Opaque<O>(pub O);

impl<O: Op> Op for Opaque<O> {
    fn name(&self) -> &'static str {
        "opaque"
    }

    fn forward(&self, args: &[&Tensor]) -> Tensor {
        self.0.forward(args)
    }

    fn jac_t(&self, io: Io<'_>, wrt: usize, mat: &Tensor, batch: Batch) -> Tensor {
        self.0.jac_t(io, wrt, mat, batch)
    }
}

/// Largest difference of two lists over the largest magnitude (0 if both vanish, NaN if either has
/// one).
#[track_caller]
pub fn difference<E: Scalar>(a: &[E], b: &[E]) -> f64 {
    assert_eq!(a.len(), b.len(), "lists of different lengths");
    let scale = a.iter().chain(b).fold(0.0f64, |scale, x| scale.max(x.f64().abs()));
    let worst = a.iter().zip(b).map(|(a, b)| (a.f64() - b.f64()).abs()).fold(0.0, worse);
    if worst == 0.0 { 0.0 } else { worst / scale }
}

/// The entries of a map, parameter after parameter.
pub fn entries(map: &ParamMap<Tensor>) -> Vec<f64> {
    map.iter().flat_map(|(_, value)| value.to_vec().unwrap()).collect()
}

/// A row of layers on random data, with random parameters.
pub fn setting(
    layers: Vec<Box<dyn Layer>>,
    input: &[usize],
    kind: Kind,
    seed: u64,
) -> (Graph, Box<dyn Loss>) {
    let x =
        Tensor::from_vec(&host(), input, Rng::new(seed).normal(input.iter().product())).unwrap();
    let graph = Sequential::new(&host(), layers, seed).unwrap().forward(&x).unwrap();
    let loss = loss(kind, graph.value().shape(), &mut Rng::new(seed + 1));
    (graph, loss)
}

pub fn classes() -> Kind {
    Kind::CrossEntropy(Reduction::Mean)
}

pub fn assert_close(a: &[f64], b: &[f64], tolerance: f64) {
    let error = difference(a, b);
    assert!(error <= tolerance, "off by {error:e}:\n{a:?}\n{b:?}");
}

//! Small networks that between them use everything: what finite differences and identities are
//! checked on.

pub mod layers;
mod rearranged;
mod sequences;

use vivit::autodiff::{
    BceWithLogits, CrossEntropy, FiniteCheck, Graph, Loss, Mse, Reduction, RootColumns, Tape, Var,
};
use vivit::nn::*;
use vivit::tensor::{Device, Rng, Tensor};

/// The device of the zoo: finite differences need doubles.
pub fn host() -> Device {
    Device::cpu_f64()
}

/// A forward pass with the given parameter values.
type Forward = dyn Fn(&[Tensor]) -> Graph;

/// A small network with data and loss.
pub struct Problem {
    /// Its name.
    pub name: &'static str,
    /// Parameter values to start from.
    pub params: Vec<Tensor>,
    /// The loss.
    pub loss: Box<dyn Loss>,
    /// Parameters of each block; one block of all if empty.
    pub blocks: Vec<Vec<usize>>,
    /// Samples of the gradient and of the GGN; all if `None`.
    pub samples: [Option<Vec<usize>>; 2],
    /// The model and its input, where the problem is a row of layers.
    pub row: Option<(Sequential, Tensor)>,
    graph: Box<Forward>,
}

impl std::fmt::Debug for Problem {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Problem").field("name", &self.name).finish_non_exhaustive()
    }
}

impl Problem {
    /// The forward pass with the given parameter values; the graph's parameters are in their order.
    pub fn graph(&self, params: &[Tensor]) -> Graph {
        (self.graph)(params)
    }
}

type Layers = Vec<Box<dyn Layer>>;

/// Which loss a problem has.
#[derive(Clone, Copy, Debug)]
pub enum Kind {
    /// Squared error.
    Mse(Reduction),
    /// Cross-entropy, over extra axes where the output has them.
    CrossEntropy(Reduction),
    /// Cross-entropy with class weights.
    Weighted,
    /// Cross-entropy with one class ignored.
    Ignoring,
    /// Cross-entropy with label smoothing and class weights.
    Smoothed,
    /// Cross-entropy with soft targets.
    Soft,
    /// Binary cross-entropy.
    Bce,
    /// Binary cross-entropy with weights of the positive class.
    WeightedBce,
}

/// A loss with random targets for an output of the given shape.
pub fn loss(kind: Kind, output: &[usize], rng: &mut Rng) -> Box<dyn Loss> {
    loss_on(&host(), kind, output, rng)
}

/// As [`loss`], on any device.
pub fn loss_on(device: &Device, kind: Kind, output: &[usize], rng: &mut Rng) -> Box<dyn Loss> {
    match kind {
        Kind::Mse(reduction) => {
            let len = output.iter().product();
            let target = Tensor::from_vec(device, output, rng.normal(len)).expect("fits");
            Box::new(if reduction == Reduction::Sum { Mse::sum(target) } else { Mse::mean(target) })
        }
        Kind::Bce | Kind::WeightedBce => {
            let target =
                Tensor::from_vec(device, output, rng.uniform(output.iter().product(), 0.0, 1.0))
                    .expect("fits");
            let loss = BceWithLogits::mean(target);
            match kind {
                Kind::Bce => Box::new(loss),
                _ => {
                    let weights = rng.uniform(output[output.len() - 1], 0.5, 3.0);
                    Box::new(
                        loss.pos_weight(
                            Tensor::from_vec(device, &output[output.len() - 1..], weights)
                                .expect("fits"),
                        ),
                    )
                }
            }
        }
        Kind::Soft => {
            let weights: Vec<f64> = rng.uniform(output[1], 0.5, 2.0);
            let loss = CrossEntropy::soft_mean(rng.uniform(output.iter().product(), 0.0, 1.0));
            Box::new(loss.class_weights(weights).label_smoothing(0.1))
        }
        Kind::CrossEntropy(_) | Kind::Weighted | Kind::Ignoring | Kind::Smoothed => {
            let positions = output.iter().product::<usize>() / output[1];
            let labels: Vec<usize> =
                (0..positions).map(|_| (rng.unit() * output[1] as f64) as usize).collect();
            let weights: Vec<f64> = (0..output[1]).map(|class| 0.5 + class as f64).collect();
            Box::new(match kind {
                Kind::CrossEntropy(Reduction::Sum) => CrossEntropy::sum(labels),
                Kind::Weighted => CrossEntropy::mean(labels).class_weights(weights),
                Kind::Ignoring => {
                    let ignored = labels[0];
                    // At least one position counts.
                    let last = labels.len() - 1;
                    let labels: Vec<usize> = labels
                        .iter()
                        .enumerate()
                        .map(|(at, &l)| if at == last { (ignored + 1) % output[1] } else { l })
                        .collect();
                    CrossEntropy::mean(labels).ignore_index(ignored as i64)
                }
                Kind::Smoothed => {
                    CrossEntropy::mean(labels).class_weights(weights).label_smoothing(0.2)
                }
                _ => CrossEntropy::mean(labels),
            })
        }
    }
}

/// A loss that does not tell how its root makes its gradient: gradients travel.
#[derive(Clone, Copy, Debug)]
pub struct Reticent<'a>(pub &'a dyn Loss);

impl Loss for Reticent<'_> {
    fn name(&self) -> &str {
        self.0.name()
    }
    fn reduction(&self) -> Reduction {
        self.0.reduction()
    }
    fn check(&self, output: &Tensor) -> Result<(), vivit::autodiff::Error> {
        self.0.check(output)
    }
    fn claims(&self) -> Vec<FiniteCheck> {
        self.0.claims()
    }
    fn values(&self, output: &Tensor) -> Tensor {
        self.0.values(output)
    }
    fn gradient(&self, output: &Tensor) -> Tensor {
        self.0.gradient(output)
    }
    fn hessian_root(&self, output: &Tensor, columns: RootColumns) -> Tensor {
        self.0.hessian_root(output, columns)
    }
    fn monte_carlo_root(
        &self,
        output: &Tensor,
        draws: usize,
        rng: &mut Rng,
    ) -> Result<Tensor, vivit::autodiff::Error> {
        self.0.monte_carlo_root(output, draws, rng)
    }
}

fn random(device: &Device, shape: &[usize], scale: f64, rng: &mut Rng) -> Tensor {
    Tensor::from_vec(device, shape, rng.normal(shape.iter().product())).expect("fits").scale(scale)
}

/// Makes problems on a device.
#[derive(Clone, Copy)]
struct Maker<'b>(&'b Device);

impl Maker<'_> {
    /// A row of layers on random data.
    fn row(
        &self,
        name: &'static str,
        layers: fn() -> Layers,
        input: &[usize],
        kind: Kind,
        seed: u64,
    ) -> Problem {
        self.row_of(name, layers, input, kind, seed, &[])
    }

    /// A row of layers on random data, with the given values of buffers.
    fn row_of(
        &self,
        name: &'static str,
        layers: fn() -> Layers,
        input: &[usize],
        kind: Kind,
        seed: u64,
        buffers: &[(&'static str, &[f64])],
    ) -> Problem {
        self.on(name, layers, random(self.0, input, 1.0, &mut Rng::new(seed)), kind, seed, buffers)
    }

    /// A row of layers on random whole numbers below `vocabulary`.
    fn tokens(
        &self,
        name: &'static str,
        layers: fn() -> Layers,
        input: &[usize],
        vocabulary: usize,
        kind: Kind,
        seed: u64,
    ) -> Problem {
        let mut rng = Rng::new(seed);
        let ids = (0..input.iter().product())
            .map(|_| (rng.unit() * vocabulary as f64).floor())
            .collect::<Vec<_>>();
        self.on(name, layers, Tensor::from_vec(self.0, input, ids).expect("fits"), kind, seed, &[])
    }

    fn on(
        &self,
        name: &'static str,
        layers: fn() -> Layers,
        x: Tensor,
        kind: Kind,
        seed: u64,
        buffers: &[(&'static str, &[f64])],
    ) -> Problem {
        let mut model = Sequential::new(self.0, layers(), seed).expect("a zoo model is sound");
        for (name, values) in buffers {
            let values = Tensor::from_vec(self.0, [values.len()], *values).expect("fits");
            model.set_param(name, values).expect("the model's own buffer");
        }
        let params: Vec<_> = model.params().iter().map(|param| param.value.clone()).collect();
        let names: Vec<_> = model.params().iter().map(|param| param.name.clone()).collect();
        let row = Some((model.clone(), x.clone()));
        let graph = move |params: &[Tensor]| {
            let mut model = model.clone();
            for (name, value) in names.iter().zip(params) {
                model.set_param(name, value.clone()).expect("the model's own parameter");
            }
            model.forward(&x).expect("a zoo model takes its input")
        };
        let loss =
            loss_on(self.0, kind, graph(&params).value().shape(), &mut Rng::new(seed + 1000));
        Problem {
            name,
            params,
            loss,
            blocks: Vec::new(),
            samples: [None, None],
            row,
            graph: Box::new(graph),
        }
    }

    /// A graph recorded by hand: `record(tape, parameters, input)`.
    fn taped(
        &self,
        name: &'static str,
        record: fn(&mut Tape, &[Var], Var) -> Var,
        params: &[&[usize]],
        input: &[usize],
        kind: Kind,
        seed: u64,
    ) -> Problem {
        let mut rng = Rng::new(seed);
        let x = random(self.0, input, 1.0, &mut rng);
        let params: Vec<_> =
            params.iter().map(|shape| random(self.0, shape, 0.6, &mut rng)).collect();
        let own = self.0.clone();
        let graph = move |params: &[Tensor]| {
            let mut tape = Tape::new(&own);
            let vars: Vec<Var> = params.iter().map(|value| tape.param(value.clone())).collect();
            let input = tape.input(x.clone());
            let output = record(&mut tape, &vars, input);
            Graph::new(tape, output).expect("a zoo graph is sound")
        };
        let loss = loss_on(self.0, kind, graph(&params).value().shape(), &mut rng);
        Problem {
            name,
            params,
            loss,
            blocks: Vec::new(),
            samples: [None, None],
            row: None,
            graph: Box::new(graph),
        }
    }
}

/// All problems but those of [`layers`].
pub fn problems() -> Vec<Problem> {
    problems_on(&host())
}

/// As [`problems`], on any device: the same numbers, rounded to its element type.
pub fn problems_on(device: &Device) -> Vec<Problem> {
    use Kind::{CrossEntropy, Mse};
    use Reduction::{Mean, Sum};
    type Record = fn(&mut Tape, &[Var], Var) -> Var;
    let on = Maker(device);
    let row = |name, layers: fn() -> Layers, input: &[usize], kind, seed| {
        on.row(name, layers, input, kind, seed)
    };
    let taped = |name, record: Record, params: &[&[usize]], input: &[usize], kind, seed| {
        on.taped(name, record, params, input, kind, seed)
    };
    let mut zoo = vec![
        row("mlp relu, MSE", || vec![linear(5, 4), relu(), linear(4, 3)], &[4, 5], Mse(Mean), 1),
        row("mlp tanh, MSE sum", || vec![linear(4, 4), tanh(), linear(4, 2)], &[5, 4], Mse(Sum), 2),
        row(
            "mlp sigmoid, CE",
            || vec![linear(4, 5), sigmoid(), linear(5, 3)],
            &[4, 4],
            CrossEntropy(Mean),
            3,
        ),
        row(
            "mlp tanh, CE sum",
            || vec![linear(4, 3), tanh(), linear(3, 4)],
            &[3, 4],
            CrossEntropy(Sum),
            4,
        ),
        row(
            "one sample, two classes",
            || vec![linear(3, 2), tanh(), linear(2, 2)],
            &[1, 3],
            CrossEntropy(Mean),
            5,
        ),
        row(
            "linear, extra axes",
            || vec![linear(3, 4), tanh(), linear(4, 2)],
            &[3, 2, 2, 3],
            Mse(Mean),
            6,
        ),
        row(
            "linear, extra axis, CE",
            || vec![linear(3, 4), tanh(), linear(4, 3)],
            &[2, 3, 3],
            CrossEntropy(Mean),
            7,
        ),
        row(
            "conv, max pool, CE",
            || vec![conv2d(2, 3, 3), tanh(), max_pool2d(2, 2), flatten(), linear(12, 3)],
            &[3, 2, 6, 6],
            CrossEntropy(Mean),
            8,
        ),
        row(
            "strided grouped dilated conv",
            || {
                let conv = Conv2d::new(4, 4, [2, 3])
                    .strided([2, 1])
                    .padded([1, 2])
                    .dilated([2, 1])
                    .grouped(2);
                vec![conv.boxed(), sigmoid(), avg_pool2d(2, 1), flatten(), linear(16, 2)]
            },
            &[2, 4, 4, 3],
            Mse(Mean),
            9,
        ),
        row(
            "padded pools",
            || {
                let average = AvgPool2d::new(3).strided(2).padded(1).ceiled();
                vec![
                    Conv2d::new(1, 2, 2).without_bias().boxed(),
                    tanh(),
                    MaxPool2d::new(3).strided(2).padded(1).ceiled().boxed(),
                    zero_pad2d([1, 0, 0, 2]),
                    average.without_counting_padding().boxed(),
                    flatten(),
                    linear(24, 3),
                ]
            },
            &[3, 1, 7, 6],
            CrossEntropy(Mean),
            10,
        ),
        row(
            "conv only, CE over pixels",
            || vec![conv2d(2, 3, 2), tanh(), conv2d(3, 3, 1)],
            &[2, 2, 3, 3],
            CrossEntropy(Sum),
            11,
        ),
        row(
            "residual, shared layer",
            || {
                vec![
                    linear(4, 4),
                    tanh(),
                    residual(vec![linear(4, 3), sigmoid(), linear(3, 4)]),
                    shared(0),
                    linear(4, 3),
                ]
            },
            &[4, 4],
            CrossEntropy(Mean),
            12,
        ),
        row(
            "shared conv",
            || {
                vec![
                    Conv2d::new(2, 2, 3).padded(1).boxed(),
                    tanh(),
                    shared(0),
                    flatten(),
                    linear(18, 2),
                ]
            },
            &[3, 2, 3, 3],
            Mse(Sum),
            13,
        ),
        taped(
            "branches and re-used values",
            |tape, p, x| {
                let hidden = tape.linear(x, p[0], Some(p[1]));
                let left = tape.tanh(hidden);
                let right = tape.sigmoid(hidden);
                let both = tape.add(left, right);
                let again = tape.add(both, hidden);
                tape.linear(again, p[2], None)
            },
            &[&[4, 3], &[4], &[2, 4]],
            &[4, 3],
            Mse(Mean),
            14,
        ),
        taped(
            "weights computed from weights",
            |tape, p, x| {
                let weight = tape.tanh(p[0]);
                let hidden = tape.linear(x, weight, None);
                let hidden = tape.add(hidden, p[1]);
                let hidden = tape.tanh(hidden);
                tape.linear(hidden, weight, Some(p[1]))
            },
            &[&[3, 3], &[3]],
            &[4, 3],
            CrossEntropy(Mean),
            15,
        ),
    ];
    let blocks =
        row("blocks", || vec![linear(4, 4), tanh(), linear(4, 3)], &[4, 4], CrossEntropy(Mean), 16);
    zoo.push(Problem { blocks: vec![vec![0, 1], vec![2], vec![3]], ..blocks });
    let subsampled = row(
        "sub-sampled",
        || vec![linear(4, 4), tanh(), linear(4, 3)],
        &[6, 4],
        CrossEntropy(Mean),
        17,
    );
    zoo.push(Problem { samples: [Some(vec![5, 1]), Some(vec![4, 0, 2])], ..subsampled });
    let subsampled = row(
        "sub-sampled conv, sum",
        || vec![conv2d(1, 2, 2), tanh(), flatten(), linear(8, 2)],
        &[5, 1, 3, 3],
        Mse(Sum),
        18,
    );
    zoo.push(Problem { samples: [None, Some(vec![3, 1, 0])], ..subsampled });
    zoo
}

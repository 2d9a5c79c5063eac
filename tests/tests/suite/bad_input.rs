//! Bad input gives a typed error that names the thing, the value and the way out.

use vivit::autodiff::Error as Autodiff;
use vivit::autodiff::{
    Batch, BceWithLogits, CrossEntropy, Graph, Io, Loss, Mse, Op, ParamId, ParamMap, Probe,
    Reduction, RootColumns, Seed, Tape,
};
use vivit::curvature::Error as Curvature;
use vivit::curvature::{Ggn, constant, top_k};
use vivit::extend::{BatchGrad, DiagGgn, Gradient, run};
use vivit::nn::Error as Nn;
use vivit::nn::*;
use vivit::tensor::{Device, Rng, Tensor, Unary};
use vivit_tests::zoo::host;

fn tensor(shape: &[usize]) -> Tensor {
    Tensor::from_vec(&host(), shape, Rng::new(1).normal(shape.iter().product())).unwrap()
}

fn model() -> Sequential {
    Sequential::new(&host(), vec![linear(3, 4), tanh(), linear(4, 3)], 1).unwrap()
}

fn graph() -> Graph {
    model().forward(&tensor(&[5, 3])).unwrap()
}

fn labels() -> CrossEntropy {
    CrossEntropy::mean([0, 1, 2, 0, 1])
}

/// The message holds every one of the words.
#[track_caller]
fn assert_says(error: &dyn std::error::Error, words: &[&str]) {
    let message = error.to_string();
    assert!(words.iter().all(|word| message.contains(word)), "{message:?} lacks one of {words:?}");
}

#[test]
fn an_empty_batch() {
    let error = model().forward(&tensor(&[0, 3])).unwrap_err();
    assert!(matches!(error, Nn::Autodiff(Autodiff::EmptyBatch { .. })));
    assert_says(&error, &["empty", "[0, 3]", "at least one sample"]);
    let mut tape = Tape::new(&host());
    let x = tape.input(tensor(&[0, 3]));
    assert!(matches!(Graph::new(tape, x), Err(Autodiff::EmptyBatch { input: 0, .. })));
    assert!(matches!(
        model().forward(&tensor(&[])),
        Err(Nn::Autodiff(Autodiff::EmptyBatch { .. }))
    ));
}

#[test]
fn batches_of_different_sizes() {
    let mut tape = Tape::new(&host());
    let (x, _) = (tape.input(tensor(&[2, 3])), tape.input(tensor(&[4, 3])));
    let error = Graph::new(tape, x).unwrap_err();
    assert_eq!(error, Autodiff::BatchMismatch { what: "input 1".into(), got: 4, expected: 2 });
}

#[test]
fn an_output_without_samples() {
    let mut tape = Tape::new(&host());
    let w = tape.param(tensor(&[2, 3]));
    assert_eq!(Graph::new(tape, w).unwrap_err(), Autodiff::OutputNotBatched);
}

#[test]
fn a_label_out_of_range() {
    let error = graph().backward(&CrossEntropy::mean([0, 1, 2, 3, 0])).unwrap_err();
    assert_eq!(error, Autodiff::LabelOutOfRange { position: 3, label: 3, classes: 3 });
    assert_says(&error, &["label 3", "position 3", "classes 0 to 2"]);
}

#[test]
fn targets_of_the_wrong_shape() {
    let error = graph().backward(&CrossEntropy::mean([0, 1])).unwrap_err();
    assert!(matches!(&error, Autodiff::TargetShape { target, .. } if target == &[2]));
    assert_says(&error, &["[5, 3]", "[2]", "5 in all"]);
    let error = graph().backward(&Mse::mean(tensor(&[5, 2]))).unwrap_err();
    assert_says(&error, &["[5, 3]", "[5, 2]"]);
}

#[test]
fn nan_and_infinity() {
    for bad in [f64::NAN, f64::INFINITY] {
        let mut input = tensor(&[5, 3]).to_vec().unwrap();
        input[7] = bad;
        let input = Tensor::from_vec(&host(), [5, 3], input).unwrap();
        let error = model().forward(&input).unwrap().backward(&labels()).unwrap_err();
        assert!(
            matches!(
                &error,
                Autodiff::NonFinite { what, index, .. } if what == "input 0" && index == &[2, 1]
            ),
            "{error}"
        );
        assert_says(&error, &["input 0", "[2, 1]"]);

        let mut weight = tensor(&[3, 4]).to_vec().unwrap();
        weight[5] = bad;
        let mut broken = model();
        broken.set_param("2.weight", Tensor::from_vec(&host(), [3, 4], weight).unwrap()).unwrap();
        let graph = broken.forward(&tensor(&[5, 3])).unwrap();
        let loss = labels();
        let error = Ggn::new(&graph, &loss).spectrum().unwrap_err();
        assert_says(&error, &["parameter 2.weight", "[1, 1]"]);

        let mut target = tensor(&[5, 3]).to_vec().unwrap();
        target[0] = bad;
        let loss = Mse::mean(Tensor::from_vec(&host(), [5, 3], target).unwrap());
        assert_says(&self::graph().backward(&loss).unwrap_err(), &["the target", "[0, 0]"]);
    }
}

#[test]
fn overflow_is_named() {
    let cpu = Device::cpu();
    let model = Sequential::new(&cpu, vec![linear(2, 2)], 1).unwrap();
    let x = Tensor::from_vec(&cpu, [1, 2], vec![3e38, 3e38]).unwrap();
    let mut big = Sequential::new(&cpu, vec![linear(2, 2)], 1).unwrap();
    big.set_param("0.weight", Tensor::full(&cpu, [2, 2], 1e3)).unwrap();
    let error = big.forward(&x).unwrap().backward(&CrossEntropy::mean([0])).unwrap_err();
    assert_says(&error, &["the model's output"]);
    // Numbers whose squares overflow: the Gram matrix can't hold them.
    let x = Tensor::from_vec(&cpu, [1, 2], vec![1e30, 1.0]).unwrap();
    let graph = model.forward(&x).unwrap();
    let loss = Mse::mean(Tensor::zeros(&cpu, [1, 2]));
    let error = Ggn::new(&graph, &loss).spectrum().unwrap_err();
    assert!(matches!(error, Curvature::Eigen { group: 0, .. }), "{error}");
}

#[test]
fn wrong_shapes_are_found_before_any_work() {
    let layers: Vec<Box<dyn Layer>> = vec![
        conv2d(1, 2, 3),
        residual(vec![tanh(), linear(4, 4), linear(5, 4)]),
        flatten(),
        linear(8, 2),
    ];
    let model = Sequential::new(&host(), layers, 1).unwrap();
    let error = model.forward(&tensor(&[2, 1, 6, 6])).unwrap_err();
    assert!(matches!(&error, Nn::Shape(shape) if shape.path == "1.body.2"), "{error}");
    assert_says(&error, &["1.body.2", "linear 5→4", "[2, 4, 4]"]);
    let too_large = Sequential::new(&host(), vec![conv2d(1, 1, 5)], 1).unwrap();
    assert_says(
        &too_large.forward(&tensor(&[1, 1, 4, 8])).unwrap_err(),
        &["layer 0", "spans 5", "has 4"],
    );
    let groups: Vec<Box<dyn Layer>> = vec![Conv2d::new(3, 4, 1).grouped(2).boxed()];
    let model = Sequential::new(&host(), groups, 1).unwrap();
    assert_says(
        &model.forward(&tensor(&[1, 3, 2, 2])).unwrap_err(),
        &["2 groups", "3 and 4 channels"],
    );
    let nothing = Sequential::new(&host(), vec![linear(0, 2)], 1).unwrap();
    assert_says(
        &nothing.forward(&tensor(&[2, 0])).unwrap_err(),
        &["linear 0→2", "at least one feature"],
    );
    let error = Sequential::new(&host(), vec![shared(0), linear(1, 1)], 1).unwrap_err();
    assert_eq!(error, Nn::Shared { path: "0".into(), layer: 0 });
}

#[test]
fn unknown_and_misshapen_parameters() {
    let mut model = model();
    assert_says(
        &model.set_param("1.weight", tensor(&[1])).unwrap_err(),
        &["1.weight", "0.weight, 0.bias, 2.weight, 2.bias"],
    );
    assert_says(&model.set_param("0.bias", tensor(&[5])).unwrap_err(), &["0.bias", "[4]", "[5]"]);
    assert!(
        Sgd::new(-1.0, 0.0).is_err()
            && Sgd::new(0.1, 1.0).is_err()
            && Sgd::new(f64::NAN, 0.0).is_err()
    );
}

#[test]
fn data_that_does_not_fill_its_shape() {
    let error = Tensor::from_vec(&host(), [2, 3], vec![0.0; 5]).unwrap_err();
    assert_says(&error, &["5 values", "[2, 3]", "6"]);
    assert!(matches!(
        Tensor::from_vec(&host(), vec![1; 13], vec![0.0]),
        Err(vivit::tensor::Error::Rank { rank: 13, most: 12 })
    ));
}

#[test]
fn choices_of_samples() {
    let (graph, loss) = (graph(), labels());
    let spectrum =
        |samples: Vec<usize>| Ggn::new(&graph, &loss).ggn_samples(samples).spectrum().unwrap_err();
    assert_eq!(spectrum(vec![1, 5]), Autodiff::SampleOutOfRange { index: 5, samples: 5 }.into());
    assert_eq!(spectrum(vec![1, 2, 1]), Autodiff::RepeatedSample { index: 1 }.into());
    assert_eq!(spectrum(vec![]), Autodiff::NoSamples.into());
    let gradients = Ggn::new(&graph, &loss).grad_samples([9]).gram_space().unwrap_err();
    assert_says(&gradients, &["9", "0 to 4"]);
}

#[test]
fn groups() {
    let (graph, loss) = (graph(), labels());
    let params = graph.params();
    let spectra = |groups: &[&[ParamId]]| {
        let groups = groups.iter().map(|group| group.to_vec());
        Ggn::new(&graph, &loss).blocks(groups).spectra().unwrap_err()
    };
    assert_eq!(spectra(&[]), Curvature::NoGroups);
    assert_eq!(spectra(&[&[]]), Curvature::EmptyGroup { group: 0 });
    let twice = Curvature::RepeatedParameter { name: "0.bias".into(), first: 0, second: 1 };
    assert_eq!(spectra(&[&params[..2], &params[1..2]]), twice);
    let of = |params: &[ParamId]| Ggn::new(&graph, &loss).params(params).spectrum().unwrap_err();
    assert_eq!(of(&[]), Curvature::NoParameters);
    assert_eq!(of(&[params[1], params[1]]), Curvature::ParameterTwice { name: "0.bias".into() });
    assert_eq!(
        graph.param_id(graph.output()).unwrap_err(),
        Autodiff::NotAParameter { index: graph.output().index() }
    );
    let mut tape = Tape::new(&host());
    let (x, used, unused) = (
        tape.input(tensor(&[2, 3])),
        tape.param(tensor(&[2, 3])),
        tape.named_param("idle", tensor(&[4])),
    );
    let y = tape.linear(x, used, None);
    let graph = Graph::new(tape, y).unwrap();
    let loss = CrossEntropy::mean([0, 1]);
    let error = Ggn::new(&graph, &loss).params(graph.tape().params()).spectrum().unwrap_err();
    assert_eq!(graph.param_id(unused), Err(Autodiff::Unreached { name: "idle".into() }));
    assert_eq!(error, Autodiff::Unreached { name: "idle".into() }.into());
}

#[test]
fn criteria() {
    let (graph, loss) = (graph(), labels());
    let derive = |criterion: &dyn Fn(&[f64]) -> Vec<usize>| {
        Ggn::new(&graph, &loss).directional_derivatives(criterion).unwrap_err()
    };
    let none = derive(&|_| vec![]);
    assert!(matches!(none, Curvature::NoDirections { group: 0, directions: 10, .. }), "{none}");
    assert_eq!(derive(&|_| vec![9, 8, 9]), Curvature::RepeatedDirection { group: 0, index: 9 });
    assert_eq!(
        derive(&|_| vec![10]),
        Curvature::DirectionOutOfRange { group: 0, index: 10, directions: 10 }
    );
    assert!(matches!(derive(&top_k(11)), Curvature::DirectionOutOfRange { index: 10, .. }));
}

#[test]
fn a_direction_that_is_numerically_zero() {
    let (graph, loss) = (graph(), labels());
    let two = |_: &[f64]| vec![14, 0];
    let ggn = Ggn::new(&graph, &loss).columns(RootColumns::Outputs);
    for error in [
        ggn.directional_derivatives(two).unwrap_err(),
        ggn.eigenpairs(two).unwrap_err(),
        ggn.newton_step(two, constant(1.0)).unwrap_err(),
    ] {
        assert!(matches!(error, Curvature::ZeroDirection { group: 0, index: 0, .. }), "{error}");
        assert_says(&error, &["direction 0", "numerically zero", "nonzero"]);
    }
}

#[test]
fn damping() {
    let (graph, loss) = (graph(), labels());
    let ggn = Ggn::new(&graph, &loss);
    assert_eq!(
        ggn.newton_step(top_k(2), |_| vec![1.0]).unwrap_err(),
        Curvature::DampingLength { group: 0, got: 1, expected: 2 }
    );
    for delta in [f64::NAN, -1e9] {
        let error = ggn.newton_step(top_k(2), constant(delta)).unwrap_err();
        assert!(matches!(error, Curvature::Damping { group: 0, direction: 0, .. }), "{error}");
    }
}

#[test]
fn monte_carlo_without_draws() {
    let (graph, loss) = (graph(), labels());
    let error = Ggn::new(&graph, &loss).monte_carlo(0, 1).spectrum().unwrap_err();
    assert_eq!(error, Autodiff::NoDraws.into());
    assert!(run(&graph, &loss, (DiagGgn::monte_carlo(0, 1),)).is_err());
}

/// Subtracts the batch's mean: samples are coupled.
#[derive(Debug)]
struct Centre;

impl Op for Centre {
    fn name(&self) -> &'static str {
        "centre"
    }
    fn forward(&self, args: &[&Tensor]) -> Tensor {
        let n = args[0].shape()[0];
        args[0].sub(&args[0].sum(0).scale(1.0 / n as f64))
    }
    fn jac_t(&self, _io: Io<'_>, _wrt: usize, mat: &Tensor, _batch: Batch) -> Tensor {
        let [v, n, c] = **mat.shape() else { panic!("centre takes [N, C]") };
        mat.sub(&mat.sum(1).scale(1.0 / n as f64).reshape([v, 1, c]))
    }
    fn couples_samples(&self) -> bool {
        true
    }
}

#[test]
fn an_operation_that_lacks_what_an_extension_needs() {
    let mut tape = Tape::new(&host());
    let (w, x) = (tape.param(tensor(&[3, 3])), tape.input(tensor(&[4, 3])));
    let y = tape.linear(x, w, None);
    let centred = tape.record(Centre, &[y]);
    let y = tape.tanh(centred);
    let graph = Graph::new(tape, y).unwrap();
    let loss = CrossEntropy::mean([0, 1, 2, 0]);
    let error = run(&graph, &loss, (Gradient, BatchGrad::new())).unwrap_err();
    assert_says(&error, &["centre", "BatchGrad", "couples"]);
    let error = Ggn::new(&graph, &loss).spectrum().unwrap_err();
    assert!(matches!(error, Curvature::Autodiff(Autodiff::CouplesSamples { .. })));
    // The plain gradient is there, and right.
    let checks =
        vivit::autodiff::check::check_derivatives(&Centre, &[tensor(&[4, 3])], &[true], 1).unwrap();
    assert!(checks.iter().all(|check| check.passed()), "{checks:?}");
    assert_eq!(graph.backward(&loss).unwrap()[graph.param_id(w).unwrap()].len(), 9);
}

/// Squared error per entry: not one number per sample.
#[derive(Debug)]
struct PerEntry(Mse);

impl Loss for PerEntry {
    fn name(&self) -> &str {
        "per entry"
    }
    fn reduction(&self) -> Reduction {
        Reduction::Sum
    }
    fn check(&self, _output: &Tensor) -> Result<(), Autodiff> {
        Ok(())
    }
    fn values(&self, output: &Tensor) -> Tensor {
        output.unary(Unary::Square)
    }
    fn gradient(&self, output: &Tensor) -> Tensor {
        output.slice(0, 1)
    }
    fn hessian_root(&self, output: &Tensor, columns: RootColumns) -> Tensor {
        self.0.hessian_root(output, columns)
    }
    fn monte_carlo_root(
        &self,
        output: &Tensor,
        draws: usize,
        rng: &mut Rng,
    ) -> Result<Tensor, Autodiff> {
        self.0.monte_carlo_root(output, draws, rng)
    }
}

#[test]
fn a_loss_that_is_no_scalar_per_sample() {
    let loss = PerEntry(Mse::sum(tensor(&[5, 3])));
    let error = graph().loss(&loss).unwrap_err();
    assert_eq!(
        error,
        Autodiff::LossNotScalar { loss: "per entry".into(), got: vec![5, 3], samples: 5 }
    );
    let error = graph().backward(&loss).unwrap_err();
    assert!(
        matches!(error, Autodiff::LossNotScalar { .. } | Autodiff::LossShape { .. }),
        "{error}"
    );
}

#[test]
fn columns_and_tangents_that_do_not_fit() {
    let (graph, loss) = (graph(), labels());
    let probe = Probe::new(Seed::Columns(tensor(&[2, 4, 3])));
    let error = graph
        .sweep(&loss, &[probe], &graph.params(), None, |_| Ok::<(), Autodiff>(()))
        .unwrap_err();
    assert_says(&error, &["[2, 4, 3]", "[5, 3]"]);
    let mut tangents = ParamMap::new();
    tangents.insert(graph.params()[0], tensor(&[2, 4, 4]));
    assert_says(&graph.jvp(&tangents).unwrap_err(), &["0.weight", "[2, 4, 4]", "[4, 3]"]);
}

#[test]
fn geometry_that_can_not_be() {
    let refused = |layers: Vec<Box<dyn Layer>>, input: &[usize], words: &[&str]| {
        let model = Sequential::new(&host(), layers, 1).unwrap();
        assert_says(&model.forward(&tensor(input)).unwrap_err(), words);
    };
    refused(vec![relu(), conv1d(2, 3, 5)], &[1, 2, 4], &["layer 1", "conv1d", "spans 5", "has 4"]);
    refused(vec![conv3d(1, 1, 2)], &[1, 1, 4, 4], &["3 spatial axes", "[1, 4, 4]"]);
    let padded = ConvTranspose2d::new(1, 1, 2).output_padded([2, 0]);
    refused(vec![padded.boxed()], &[1, 1, 3, 3], &["output padding 2", "below"]);
    let cropped = ConvTranspose1d::new(1, 1, 2).padded(2);
    refused(vec![cropped.boxed()], &[1, 1, 2], &["crops all"]);
    refused(vec![self_attention(6, 4, false)], &[1, 2, 6], &["4 heads", "6 features"]);
    refused(vec![multihead_attention(6, 4)], &[1, 2, 6], &["4 heads", "6 features"]);
    refused(vec![multihead_attention(6, 2)], &[1, 2, 5], &["[T, 6] of queries", "[2, 5]"]);
    let encoder = transformer_encoder_layer(6, 2, 4);
    refused(vec![encoder], &[1, 2, 5], &["self_attn", "[T, 6] of queries"]);
    refused(vec![gru(3, 2)], &[1, 4, 2], &["gru", "[T, 3]"]);
    refused(vec![instance_norm(3)], &[2, 4, 2], &["3 channels", "[4, 2]"]);
    let norm = InstanceNorm::new(4).over_axes(2);
    refused(vec![norm.boxed()], &[2, 4, 2], &["4 channels", "2 more axes"]);
    refused(vec![local_response_norm(0)], &[2, 4, 2], &["size above 0"]);
    refused(vec![group_norm(3, 4)], &[1, 4, 2], &["3 groups", "4 channels"]);
    refused(vec![batch_norm(3)], &[2, 4, 2], &["3 channels", "[4, 2]"]);
    refused(vec![layer_norm(&[3])], &[2, 4], &["[3]", "[4]"]);
    refused(vec![rms_norm(3, 1e-6)], &[2, 4], &["3 features"]);
    refused(vec![permute(&[1, 1])], &[2, 3, 4], &["each axis from 1 to 2"]);
    refused(vec![softmax(0)], &[2, 3], &["axis from 1 to 1"]);
    refused(vec![max_pool2d(5, 1)], &[1, 1, 4, 4], &["max_pool2d", "spans 5"]);
    refused(vec![adaptive_avg_pool1d(0)], &[1, 1, 4], &["at least one window"]);
    refused(vec![positional_embedding(3, 2)], &[1, 4, 2], &["T from 1 to 3"]);
    refused(vec![rnn(3, 2)], &[1, 4, 2], &["[T, 3]"]);
    refused(
        vec![branches(vec![vec![], vec![linear(3, 2)]], Join::Sum)],
        &[1, 3],
        &["can't be joined"],
    );
    assert!(matches!(Sequential::new(&host(), vec![dropout(1.0)], 1), Err(Nn::Option { .. })));
}

#[test]
fn wirings_that_can_not_be() {
    let refused = |net: Wiring, output: Wire, words: &[&str]| {
        assert_says(&Sequential::new(&host(), vec![net.output(output)], 1).unwrap_err(), words);
    };
    let mut twice = Wiring::new();
    let a = twice.layer("a", linear(2, 2), twice.input());
    let b = twice.layer("a", linear(2, 2), a);
    refused(twice, b, &["two layers", "a"]);
    let mut unknown = Wiring::new();
    let x = unknown.input();
    let y = unknown.again("b", x);
    refused(unknown, y, &["called b"]);
    let mut other = Wiring::new();
    other.layer("a", relu(), b);
    refused(other, b, &["reads value 2"]);
    refused(Wiring::new(), b, &["nothing computes"]);
}

#[test]
fn layers_that_are_handed_too_many_values() {
    let refused = |layer: Box<dyn Layer>, count: usize, words: &[&str]| {
        let mut net = Wiring::new();
        let x = net.input();
        let y = net.layer_of("a", layer, &vec![x; count]);
        let model = Sequential::new(&host(), vec![net.output(y)], 1).unwrap();
        assert_says(&model.forward(&tensor(&[1, 2, 4])).unwrap_err(), words);
    };
    refused(relu(), 2, &["reads one value", "given 2"]);
    refused(linear(4, 2), 0, &["reads one value", "given 0"]);
    refused(multihead_attention(4, 2), 4, &["one to three values", "given 4"]);
    refused(bilinear(4, 4, 2), 3, &["one or two values", "given 3"]);
    refused(bilinear(4, 3, 2), 2, &["[*, 4] and [*, 3]", "[2, 4]"]);
    let attention = MultiheadAttention::new(4, 2).key_features(3);
    refused(attention.boxed(), 2, &["[S, 3] of keys", "[2, 4]"]);
}

#[test]
fn a_number_beyond_the_vocabulary() {
    let model =
        Sequential::new(&host(), vec![embedding(4, 2), flatten(), linear(4, 2)], 1).unwrap();
    for bad in [4.0, -1.0, 1.5, f64::NAN] {
        let x = Tensor::from_vec(&host(), [2, 2], vec![0.0, 3.0, bad, 1.0]).unwrap();
        let error = model.forward(&x).unwrap_err();
        assert!(
            matches!(&error, Nn::Vocabulary { index, vocabulary: 4, .. } if index == &[1, 0]),
            "{error}"
        );
        assert_says(&error, &["[1, 0]", "0 to 3"]);
    }
}

#[test]
fn options_of_losses() {
    let check =
        |loss: &dyn Loss, words: &[&str]| assert_says(&graph().backward(loss).unwrap_err(), words);
    check(&labels().class_weights([1.0, 2.0]), &["class weights", "3", "2"]);
    check(&labels().class_weights([1.0, -2.0, 1.0]), &["class weights", "-2"]);
    check(&labels().label_smoothing(1.5), &["label smoothing", "1.5"]);
    check(&CrossEntropy::mean([-100; 5]).ignore_index(-100), &["nothing to average", "ignored"]);
    check(&CrossEntropy::soft_mean(vec![0.5; 14]), &["15 in all"]);
    check(&CrossEntropy::soft_mean(vec![-0.5; 15]), &["-0.5", "position 0"]);
    check(&BceWithLogits::mean(Tensor::full(&host(), [5, 3], 1.5)), &["1.5", "[0, 1]"]);
    let bce = || BceWithLogits::mean(Tensor::full(&host(), [5, 3], 0.5));
    check(&bce().pos_weight(Tensor::full(&host(), [2], 1.0)), &["pos_weight", "[5, 3]", "[2]"]);
    check(&bce().pos_weight(Tensor::full(&host(), [3], 0.0)), &["pos_weight", "positive"]);
    // All ignored is nothing to average, but a sum of nothing is zero.
    let nothing = CrossEntropy::sum([-100; 5]).ignore_index(-100);
    assert_eq!(graph().loss(&nothing).unwrap(), 0.0);
}

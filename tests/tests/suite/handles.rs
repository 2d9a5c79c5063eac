//! Variables belong to their graph; numbers of parameters belong to all graphs of a model.

use std::panic::{AssertUnwindSafe, catch_unwind};

use vivit::autodiff::{CrossEntropy, Error, Graph, Linearization, ParamId, ParamMap, Tape, Var};
use vivit::curvature::{self, CurvatureProduct, Ggn, GradientGram, Ntk};
use vivit::extend::{self, BatchGrad, run_for};
use vivit::nn::{self, Optimizer, Sequential, Sgd, linear};
use vivit::tensor::{Device, Rng, Tensor};
use vivit_tests::zoo::host;

fn random(device: &Device, shape: &[usize]) -> Tensor {
    Tensor::from_vec(device, shape, Rng::new(1).normal(shape.iter().product())).unwrap()
}

/// The same tape every time: an input, a weight, and their product.
fn tape() -> (Tape, [Var; 3]) {
    let host = host();
    let mut tape = Tape::new(&host);
    let (x, w) = (tape.input(random(&host, &[4, 3])), tape.param(random(&host, &[3, 3])));
    let y = tape.linear(x, w, None);
    (tape, [x, w, y])
}

#[track_caller]
fn assert_foreign<T>(work: impl FnOnce() -> T) {
    let caught = catch_unwind(AssertUnwindSafe(work)).err().expect("a variable of another tape");
    let message = caught.downcast_ref::<String>().expect("a message");
    assert!(message.contains("of another tape"), "{message}");
}

#[test]
fn a_variable_of_another_tape_is_refused() {
    let (_, [x, w, y]) = tape();
    let own = || tape().0;
    assert_foreign(|| own().tanh(y));
    assert_foreign(|| own().add(x, y));
    assert_foreign(|| own().linear(x, w, None));
    assert_foreign(|| own().value(x).clone());
    assert_foreign(|| own().is_batched(w));
    assert_foreign(|| Graph::new(own(), y));
    // One foreign argument among the tape's own.
    assert_foreign(|| {
        let (mut tape, [own, ..]) = tape();
        tape.linear(own, w, None)
    });
    assert_foreign(|| {
        let (mut tape, [own, ..]) = tape();
        tape.concat(&[own, x], 1)
    });
    let expected = Error::ForeignVariable { index: w.index() };
    assert_eq!(own().param_id(w), Err(expected.clone()));
    let (tape, [.., y]) = tape();
    let graph = Graph::new(tape, y).unwrap();
    assert_eq!(graph.param_id(w), Err(expected.clone()));
    let message = expected.to_string();
    assert!(message.contains("variable 1") && message.contains("ParamId"), "{message}");
}

#[test]
fn a_number_means_the_same_in_every_graph() {
    let ((one, [_, w, y]), (other, [_, _, z])) = (tape(), tape());
    let (one, other) = (Graph::new(one, y).unwrap(), Graph::new(other, z).unwrap());
    let w = one.param_id(w).unwrap();
    assert_eq!((w, w.index()), (ParamId::new(0), 0));
    let loss = CrossEntropy::mean([0, 1, 2, 0]);
    let [a, b] = [&one, &other].map(|graph| graph.backward(&loss).unwrap()[w].to_vec().unwrap());
    assert_eq!(a, b);
    assert_eq!(other.tape().param_name(w), Ok("#0"));
}

/// Every way in refuses it, and tells how many there are.
#[test]
fn a_parameter_out_of_range_is_refused() {
    let host = host();
    let mut model = Sequential::new(&host, vec![linear(3, 4), linear(4, 3)], 1).unwrap();
    let graph = model.forward(&random(&host, &[4, 3])).unwrap();
    let loss = CrossEntropy::mean([0, 1, 2, 0]);
    let param = ParamId::new(4);
    let expected = Error::NoParameter { param, known: 4 };
    let message = expected.to_string();
    assert!(message.contains("no parameter 4") && message.contains("graph has 4"), "{message}");

    assert_eq!(graph.check_param(param), Err(expected.clone()));
    assert_eq!(graph.tape().param_var(param).unwrap_err(), expected);
    assert_eq!(graph.tape().param_name(param).unwrap_err(), expected);
    assert_eq!(graph.tape().param_value(param).unwrap_err(), expected);
    assert_eq!(Linearization::new(&graph, &[param], None).unwrap_err(), expected);
    let tangents: ParamMap<Tensor> = [(param, random(&host, &[1, 3]))].into_iter().collect();
    assert_eq!(graph.jvp(&tangents).unwrap_err(), expected);
    let swept = graph.sweep(&loss, &[], &[param], None, |_| Ok::<(), Error>(()));
    assert_eq!(swept.unwrap_err(), expected);
    let ran = run_for(&graph, &loss, &[param], (BatchGrad::new(),)).unwrap_err();
    assert!(matches!(ran, extend::Error::Autodiff(error) if error == expected));

    let of_curvature = curvature::Error::Autodiff(expected.clone());
    let ggn = Ggn::new(&graph, &loss).params([param]);
    assert_eq!(ggn.spectrum().unwrap_err(), of_curvature);
    assert_eq!(ggn.plan().unwrap_err(), of_curvature);
    let blocks = ggn.blocks([graph.params(), vec![param]]);
    assert_eq!(blocks.spectra().unwrap_err(), of_curvature);
    assert_eq!(blocks.gram_spaces().unwrap_err(), of_curvature);
    let product = CurvatureProduct::ggn(&graph, &loss);
    assert_eq!(product.params([param]).build().unwrap_err(), of_curvature);
    let operator = CurvatureProduct::ggn(&graph, &loss).build().unwrap();
    assert_eq!(operator.multiply(&tangents).unwrap_err(), of_curvature);
    assert_eq!(Ntk::new(&graph).params([param]).matrix().unwrap_err(), of_curvature);
    let gram = GradientGram::new(&graph, &loss).params([param]);
    assert_eq!(gram.matrix().unwrap_err(), of_curvature);

    let of_nn = nn::Error::Autodiff(expected);
    assert_eq!(model.add_scaled(1.0, &tangents).unwrap_err(), of_nn);
    let mut sgd = Sgd::new(0.1, 0.0).unwrap();
    assert_eq!(sgd.step(&mut model, &tangents).unwrap_err(), of_nn);
}

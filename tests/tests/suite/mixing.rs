//! Arrays of two devices or precisions do not mix: what would combine them says so, and names both.

use std::panic::{AssertUnwindSafe, catch_unwind};

use vivit::autodiff::{BceWithLogits, CrossEntropy, Graph, Loss, Mse, ParamMap, Probe, Seed, Tape};
use vivit::curvature::{CurvatureProduct, LinearOperator};
use vivit::nn::{Adam, AdamW, Optimizer, Sequential, Sgd, linear, tanh};
use vivit::tensor::{DType, Device, Error as TensorError, Gemm, Tensor, Unary};

/// Two devices whose arrays do not mix.
fn two() -> [Device; 2] {
    let single = Device::cpu();
    let double = single.with_dtype(DType::F64).unwrap();
    assert_ne!(single, double);
    [single, double]
}

/// The message holds every one of the words, and names both devices.
#[track_caller]
fn assert_names_both(message: &str, words: &[&str]) {
    for part in two().iter().map(Device::to_string).chain(words.iter().map(|word| word.to_string()))
    {
        assert!(message.contains(&part), "{message:?} lacks {part:?}");
    }
}

#[track_caller]
fn assert_panics<T>(words: &[&str], work: impl FnOnce() -> T) {
    let caught = catch_unwind(AssertUnwindSafe(work)).err().expect("arrays that do not mix");
    let message = caught.downcast_ref::<String>().expect("a message with what it is about");
    assert_names_both(message, words);
}

#[track_caller]
fn assert_refuses<T: std::fmt::Debug, E: Into<vivit::Error>>(
    outcome: Result<T, E>,
    words: &[&str],
) {
    let error: vivit::Error = outcome.expect_err("arrays that do not mix").into();
    assert!(matches!(error.tensor(), Some(TensorError::DeviceMismatch { .. })), "{error}");
    assert_names_both(&error.to_string(), words);
}

#[test]
fn tensors_panic() {
    let [a, b] = two().map(|device| Tensor::full(&device, [2, 2], 0.5));
    for (a, b) in [(&a, &b), (&b, &a)] {
        assert_panics(&["Add", "Tensor::to"], || a.add(b));
        assert_panics(&["Sub"], || a.sub(b));
        assert_panics(&["Mul"], || a.mul(b));
        assert_panics(&["axpy"], || a.clone().axpy(1.0, b));
        assert_panics(&["concat"], || Tensor::concat(&[a.clone(), b.clone()], 0));
        assert_panics(&["product"], || a.gemm(&Gemm::new(2, 2, 2), b, [2, 2]));
        assert_panics(&["derivative"], || a.unary_chain(Unary::Tanh, b, b));
        assert_panics(&["second derivative"], || a.unary_second(Unary::Tanh, b));
    }
    // Converted, they mix.
    let sum = a.add(&b.to(a.device()).unwrap());
    assert_eq!((sum.dtype(), sum.to_vec().unwrap()), (DType::F32, vec![1.0; 4]));
    assert_eq!(b.add(&a.to(b.device()).unwrap()).dtype(), DType::F64);
}

#[test]
fn tapes_panic() {
    both_ways(|own, other| {
        let foreign = || Tensor::full(other, [2, 2], 0.5);
        let tape = || Tape::new(own);
        assert_panics(&["the input", "the tape", "Tensor::to"], || tape().input(foreign()));
        assert_panics(&["the parameter"], || tape().param(foreign()));
        assert_panics(&["the parameter"], || tape().named_param("w", foreign()));
        assert_panics(&["the constant"], || tape().constant(foreign()));
    });
}

/// A model, its input and a graph, on one device.
fn setting(device: &Device) -> (Sequential, Tensor, Graph) {
    let model = Sequential::new(device, vec![linear(3, 4), tanh(), linear(4, 3)], 1).unwrap();
    let x = Tensor::full(device, [5, 3], 0.25);
    let graph = model.forward(&x).unwrap();
    (model, x, graph)
}

fn both_ways(check: impl Fn(&Device, &Device)) {
    let [single, double] = two();
    check(&single, &double);
    check(&double, &single);
}

#[test]
fn models_refuse() {
    both_ways(|own, other| {
        let (mut model, _, _) = setting(own);
        let foreign = Tensor::full(other, [5, 3], 0.25);
        assert_refuses(model.forward(&foreign), &["the input"]);
        assert_refuses(model.forward_training(&foreign), &["the input"]);
        let bias = Tensor::zeros(other, [4]);
        assert_refuses(model.set_param("0.bias", bias), &["0.bias"]);
        assert!(model.params().iter().all(|param| param.value.device() == own));
    });
}

#[test]
fn losses_refuse_targets() {
    both_ways(|own, other| {
        let (_, _, graph) = setting(own);
        let target = |device: &Device| Tensor::full(device, [5, 3], 0.5);
        let weight = Tensor::full(other, [3], 2.0);
        let losses: [(Box<dyn Loss>, &str); 3] = [
            (Box::new(Mse::mean(target(other))), "target"),
            (Box::new(BceWithLogits::sum(target(other))), "target"),
            (Box::new(BceWithLogits::mean(target(own)).pos_weight(weight)), "pos_weight"),
        ];
        for (loss, what) in &losses {
            let loss = loss.as_ref();
            assert_refuses(graph.loss(loss), &[what]);
            assert_refuses(graph.losses(loss), &[what]);
            assert_refuses(graph.backward(loss), &[what]);
            assert_refuses(vivit::curvature::Ggn::new(&graph, loss).spectrum(), &[what]);
            assert_refuses(CurvatureProduct::hessian(&graph, loss).build(), &[what]);
        }
        // Labels and weights of classes lie on no device.
        let loss = CrossEntropy::mean([0, 1, 2, 0, 1]).class_weights([1.0, 2.0, 1.0]);
        assert!(graph.backward(&loss).is_ok());
    });
}

#[test]
fn columns_and_tangents_are_refused() {
    both_ways(|own, other| {
        let (_, _, graph) = setting(own);
        let loss = CrossEntropy::mean([0, 1, 2, 0, 1]);
        let columns = Tensor::zeros(other, [2, 5, 3]);
        assert_refuses(graph.vjp(&columns), &["columns"]);
        let probe = Probe::new(Seed::Columns(columns));
        assert_refuses(probe.columns(&graph, &loss), &["columns"]);
        let swept =
            graph.sweep(&loss, &[probe], &graph.params(), None, |_| -> Result<(), vivit::Error> {
                unreachable!("refused before any work")
            });
        assert_refuses(swept, &["columns"]);

        let tangent: ParamMap<Tensor> =
            [(graph.params()[0], Tensor::zeros(other, [2, 4, 3]))].into_iter().collect();
        assert_refuses(graph.jvp(&tangent), &["0.weight"]);
        let operator = CurvatureProduct::ggn(&graph, &loss).build().unwrap();
        assert_refuses(operator.multiply(&tangent), &["0.weight"]);
        assert_refuses(operator.apply(&Tensor::zeros(other, [2, operator.dim()])), &[]);
        let hessian = CurvatureProduct::hessian(&graph, &loss).build().unwrap();
        assert_refuses(hessian.multiply(&tangent), &["0.weight"]);
    });
}

#[test]
fn steps_are_refused() {
    both_ways(|own, other| {
        let (mut model, x, _) = setting(own);
        let loss = CrossEntropy::mean([0, 1, 2, 0, 1]);
        let gradient = setting(other).2.backward(&loss).unwrap();
        let before = model.forward(&x).unwrap().value().to_vec().unwrap();
        assert_refuses(model.add_scaled(-0.1, &gradient), &["0.weight"]);
        assert_refuses(Sgd::new(0.1, 0.9).unwrap().step(&mut model, &gradient), &["0.weight"]);
        assert_refuses(Adam::new(0.1).unwrap().step(&mut model, &gradient), &["0.weight"]);
        assert_refuses(AdamW::new(0.1).unwrap().step(&mut model, &gradient), &["0.weight"]);
        assert_eq!(model.forward(&x).unwrap().value().to_vec().unwrap(), before);
        // Converted, they fit.
        let converted = gradient.iter().map(|(param, g)| (param, g.to(own).unwrap())).collect();
        model.add_scaled(-0.1, &converted).unwrap();
    });
}

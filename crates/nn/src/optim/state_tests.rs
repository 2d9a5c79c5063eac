//! Runs that are stopped and taken up again.

use std::collections::BTreeMap;

use vivit_autodiff::CrossEntropy;
use vivit_tensor::{DType, Device, Rng};

use super::*;
use crate::test_folder::Folder;
use crate::{
    Arrays, Layer, MiniBatches, Sequential, StateProblem, batch_norm, dropout, linear, tanh,
};

fn layers() -> Vec<Box<dyn Layer>> {
    vec![linear(3, 8), batch_norm(8), tanh(), dropout(0.5), linear(8, 4)]
}

fn devices() -> [Device; 2] {
    [Device::cpu(), Device::cpu_f64()]
}

/// Optimizers as they start, with all their options set.
fn optimizers() -> Vec<Box<dyn Optimizer>> {
    let sgd = SgdOptions::default().learning_rate(0.1).momentum(0.9).weight_decay(0.01);
    let adam = AdamOptions::default().learning_rate(0.03).betas([0.8, 0.95]).eps(1e-7);
    vec![
        Box::new(Sgd::new(0.1, 0.0).unwrap()),
        Box::new(Sgd::with_options(sgd).unwrap()),
        Box::new(Sgd::with_options(sgd.nesterov()).unwrap()),
        Box::new(Adam::with_options(adam.weight_decay(0.1)).unwrap()),
        Box::new(AdamW::with_options(adam.weight_decay(0.1)).unwrap()),
    ]
}

/// The same kinds with other options.
fn fresh() -> Vec<Box<dyn Optimizer>> {
    vec![
        Box::new(Sgd::new(1.0, 0.5).unwrap()),
        Box::new(Sgd::new(1.0, 0.0).unwrap()),
        Box::new(Sgd::new(1.0, 0.0).unwrap()),
        Box::new(Adam::new(1.0).unwrap()),
        Box::new(AdamW::new(1.0).unwrap()),
    ]
}

fn batches(device: &Device) -> MiniBatches {
    let x = Tensor::from_vec(device, [20, 3], Rng::new(5).normal(60)).unwrap();
    let labels: Vec<usize> = (0..20).map(|sample| sample % 4).collect();
    MiniBatches::new(x, labels, 4).unwrap().shuffled(3)
}

/// Steps `from..to` of a run of five batches per epoch, whose learning rate falls.
fn run(model: &mut Sequential, optimizer: &mut dyn Optimizer, from: usize, to: usize) {
    let batches = batches(model.device());
    for step in from..to {
        let (x, labels) = batches.epoch(step as u64 / 5).nth(step % 5).unwrap();
        let graph = model.forward_training(&x).unwrap();
        let gradient = graph.backward(&CrossEntropy::mean(labels)).unwrap();
        optimizer.step(model, &gradient).unwrap();
        optimizer.set_learning_rate(0.9 * optimizer.learning_rate()).unwrap();
    }
}

#[test]
fn a_run_that_was_stopped_goes_on_to_the_same_bits() {
    let folder = Folder::new("resumed");
    let [model_file, optimizer_file] = ["model", "optimizer"].map(|name| folder.path().join(name));
    for device in devices() {
        for (mut optimizer, mut resumed) in optimizers().into_iter().zip(fresh()) {
            // In the middle of the second epoch.
            let mut model = Sequential::new(&device, layers(), 1).unwrap();
            run(&mut model, optimizer.as_mut(), 0, 7);
            let metadata = BTreeMap::from([("rng".into(), model.rng().to_string())]);
            model.save_with(&model_file, &metadata).unwrap();
            optimizer.state().save(&optimizer_file, &model).unwrap();
            run(&mut model, optimizer.as_mut(), 7, 12);

            let mut again = Sequential::new(&device, layers(), 2).unwrap();
            again.load(&model_file).unwrap();
            let metadata = Arrays::read(&model_file).unwrap().metadata().clone();
            again.set_rng(metadata["rng"].parse().unwrap());
            resumed.set_state(OptimizerState::read(&optimizer_file, &again).unwrap()).unwrap();
            run(&mut again, resumed.as_mut(), 7, 12);

            assert_eq!(again.to_safetensors().unwrap(), model.to_safetensors().unwrap());
            let state = |optimizer: &dyn Optimizer| optimizer.state().to_safetensors(&model);
            assert_eq!(state(resumed.as_ref()).unwrap(), state(optimizer.as_ref()).unwrap());
        }
    }
}

#[test]
fn names_are_pytorchs() {
    let mut model = Sequential::new(&Device::cpu(), layers(), 1).unwrap();
    let expected = [
        ("Sgd", &[][..]),
        ("Sgd", &["momentum"]),
        ("Sgd", &["momentum"]),
        ("Adam", &["exp_avg", "exp_avg_sq"]),
        ("AdamW", &["exp_avg", "exp_avg_sq"]),
    ];
    for (mut optimizer, (kind, names)) in optimizers().into_iter().zip(expected) {
        run(&mut model, optimizer.as_mut(), 0, 3);
        let file = Arrays::from_bytes(optimizer.state().to_safetensors(&model).unwrap()).unwrap();
        assert_eq!(file.metadata()["optimizer"], kind);
        let params = |name: &str| -> Vec<String> {
            model.params().iter().map(|param| format!("{name}/{}", param.name)).collect()
        };
        let mut all: Vec<String> = names.iter().flat_map(|name| params(name)).collect();
        all.sort();
        assert_eq!(file.names().collect::<Vec<_>>(), all);
        if kind != "Sgd" {
            let id = model.param_id("4.bias").unwrap();
            assert_eq!(optimizer.state().steps()[id], 3);
        }
    }
}

#[test]
fn what_does_not_fit_is_refused_and_changes_nothing() {
    let device = Device::cpu();
    let mut model = Sequential::new(&device, layers(), 1).unwrap();
    let mut adam = Adam::new(0.1).unwrap();
    run(&mut model, &mut adam, 0, 2);
    let bytes = adam.state().to_safetensors(&model).unwrap();

    // Another model.
    let other = Sequential::new(&device, vec![linear(3, 7), batch_norm(8)], 1).unwrap();
    let Err(Error::UnknownParameter { name, .. }) =
        OptimizerState::from_safetensors(&bytes, &other)
    else {
        panic!("it was taken")
    };
    assert_eq!(name, "4.bias");
    let narrow = vec![linear(3, 7), batch_norm(7), tanh(), dropout(0.5), linear(7, 4)];
    let narrow = Sequential::new(&device, narrow, 1).unwrap();
    let Err(Error::State { problems, .. }) = OptimizerState::from_safetensors(&bytes, &narrow)
    else {
        panic!("it was taken")
    };
    let shape = |problem: &StateProblem| matches!(problem, StateProblem::Shape { .. });
    // All but the last bias, once per moment.
    assert!(problems.len() == 10 && problems.iter().all(shape), "{problems:?}");

    // Another optimizer, a model's file, a part of a state.
    let state = OptimizerState::from_safetensors(&bytes, &model).unwrap();
    let error = AdamW::new(0.1).unwrap().set_state(state.clone()).unwrap_err().to_string();
    assert!(error.contains("\"Adam\"") && error.contains("AdamW"), "{error}");
    let file = model.to_safetensors().unwrap();
    let error = OptimizerState::from_safetensors(&file, &model).unwrap_err().to_string();
    assert!(error.contains("metadata"), "{error}");
    for partial in [
        state.clone().with_steps(ParamMap::new()),
        state.clone().with_arrays("exp_avg", ParamMap::new()),
        state.clone().with_arrays("exp_avg_sq", ParamMap::new()),
        state.clone().with_arrays("momentum", state.arrays("exp_avg")),
        OptimizerState::new("Adam", &[("learning_rate", 0.1)]),
    ] {
        assert!(matches!(adam.set_state(partial), Err(Error::OptimizerState { .. })));
    }
    assert_eq!(adam.state().to_safetensors(&model).unwrap(), bytes);
}

#[test]
fn a_state_that_diverged_is_not_saved() {
    let device = Device::cpu().with_dtype(DType::F64).unwrap();
    let model = Sequential::new(&device, layers(), 1).unwrap();
    let id = model.param_id("0.bias").unwrap();
    let values = ParamMap::from_iter([(id, Tensor::full(&device, [8], f64::NAN))]);
    let state = OptimizerState::new("Sgd", &[]).with_arrays("momentum", values);
    let Err(Error::State { problems, .. }) = state.to_safetensors(&model) else {
        panic!("it was saved")
    };
    assert_eq!(problems[0].name(), "momentum/0.bias");
}

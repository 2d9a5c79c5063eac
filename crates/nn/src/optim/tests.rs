//! Every optimizer against the scalar recurrences of PyTorch's documentation.

use vivit_autodiff::{Mse, ParamId, ParamMap};
use vivit_tensor::{Device, Tensor};

use super::*;
use crate::{Layer, Linear, Sequential, linear};

const START: [f64; 2] = [0.7, -1.2];
/// `L(θ) = Σ_i (a_i θ_i − y_i)²`, so that every coordinate is a quadratic of its own.
const SCALES: [f64; 2] = [1.0, 3.0];
const TARGETS: [f64; 2] = [2.0, -0.5];

fn quadratic(device: &Device) -> Sequential {
    let mut model =
        Sequential::new(device, vec![Linear::new(2, 1).without_bias().boxed()], 0).unwrap();
    model.set_param("0.weight", Tensor::from_vec(device, [1, 2], START.to_vec()).unwrap()).unwrap();
    model
}

fn gradient(model: &Sequential) -> ParamMap<Tensor> {
    let x = Tensor::from_vec(model.device(), [2, 2], vec![SCALES[0], 0.0, 0.0, SCALES[1]]).unwrap();
    let y = Tensor::from_vec(model.device(), [2, 1], TARGETS.to_vec()).unwrap();
    model.forward(&x).unwrap().backward(&Mse::sum(y)).unwrap()
}

fn values(model: &Sequential) -> Vec<f64> {
    model.params()[0].value.to_vec().unwrap()
}

/// Compares five steps with `rule`, which moves one coordinate: it gets step number (from 1), value
/// and gradient, and may remember two numbers, zero at first.
#[track_caller]
fn follows(mut optimizer: impl Optimizer, rule: impl Fn(i32, f64, f64, &mut [f64; 2]) -> f64) {
    let mut model = quadratic(&Device::cpu_f64());
    let (mut expected, mut memory) = (START, [[0.0; 2]; 2]);
    for step in 1..=5 {
        let gradient = gradient(&model);
        optimizer.step(&mut model, &gradient).unwrap();
        for i in 0..2 {
            let slope = 2.0 * SCALES[i] * (SCALES[i] * expected[i] - TARGETS[i]);
            expected[i] = rule(step, expected[i], slope, &mut memory[i]);
        }
        for (got, expected) in values(&model).iter().zip(expected) {
            // A few roundings per step, which the steeper coordinate multiplies by at most 1 − 2 η
            // a² each.
            assert!(
                (got - expected).abs() <= 1e-14 * expected.abs().max(1.0),
                "step {step}: {got} and {expected}"
            );
        }
    }
}

#[test]
fn sgd_follows_pytorch() {
    follows(Sgd::new(0.03, 0.0).unwrap(), |_, x, g, _| x - 0.03 * g);
    follows(Sgd::new(0.03, 0.9).unwrap(), |step, x, g, memory| {
        memory[0] = if step == 1 { g } else { 0.9 * memory[0] + g };
        x - 0.03 * memory[0]
    });
    let options = SgdOptions { learning_rate: 0.03, weight_decay: 0.2, ..SgdOptions::default() };
    follows(Sgd::with_options(options).unwrap(), |_, x, g, _| x - 0.03 * (g + 0.2 * x));
    let options = SgdOptions { momentum: 0.8, nesterov: true, ..options };
    follows(Sgd::with_options(options).unwrap(), |step, x, g, memory| {
        let g = g + 0.2 * x;
        memory[0] = if step == 1 { g } else { 0.8 * memory[0] + g };
        x - 0.03 * (g + 0.8 * memory[0])
    });
}

/// PyTorch's Adam: `θ ← θ − η/(1 − β₁ᵗ) · m / (√v / √(1 − β₂ᵗ) + ε)`.
fn adam(options: AdamOptions) -> impl Fn(i32, f64, f64, &mut [f64; 2]) -> f64 {
    move |step, x, g, [m, v]| {
        let [beta1, beta2] = options.betas;
        *m = beta1 * *m + (1.0 - beta1) * g;
        *v = beta2 * *v + (1.0 - beta2) * g * g;
        let denominator = v.sqrt() / (1.0 - beta2.powi(step)).sqrt() + options.eps;
        x - options.learning_rate / (1.0 - beta1.powi(step)) * *m / denominator
    }
}

#[test]
fn adam_follows_pytorch() {
    let defaults = AdamOptions::default();
    follows(Adam::new(0.1).unwrap(), adam(AdamOptions { learning_rate: 0.1, ..defaults }));
    // An ε that matters tells where it is added; without memory, Adam is a signed step.
    let options =
        AdamOptions { learning_rate: 0.05, betas: [0.7, 0.95], eps: 0.3, weight_decay: 0.1 };
    let rule = adam(options);
    follows(Adam::with_options(options).unwrap(), |step, x, g, memory| {
        rule(step, x, g + 0.1 * x, memory)
    });
    let options = AdamOptions { betas: [0.0, 0.0], ..defaults };
    follows(Adam::with_options(options).unwrap(), |_, x, g, _| x - 1e-3 * g / (g.abs() + 1e-8));
}

#[test]
fn adam_w_follows_pytorch() {
    let options =
        AdamOptions { learning_rate: 0.05, betas: [0.7, 0.95], eps: 0.3, weight_decay: 0.1 };
    let rule = adam(options);
    follows(AdamW::with_options(options).unwrap(), |step, x, g, memory| {
        rule(step, x - 0.05 * 0.1 * x, g, memory)
    });
    let rule = adam(AdamOptions { learning_rate: 0.1, ..AdamOptions::default() });
    follows(AdamW::new(0.1).unwrap(), |step, x, g, memory| {
        rule(step, x - 0.1 * 0.01 * x, g, memory)
    });
}

fn all() -> [Box<dyn Optimizer>; 4] {
    let nesterov =
        SgdOptions { learning_rate: 0.02, momentum: 0.9, nesterov: true, ..SgdOptions::default() };
    let no_decay = AdamOptions { learning_rate: 0.05, ..AdamOptions::default() };
    [
        Box::new(Sgd::new(0.02, 0.9).unwrap()),
        Box::new(Sgd::with_options(nesterov).unwrap()),
        Box::new(Adam::new(0.05).unwrap()),
        Box::new(AdamW::with_options(no_decay).unwrap()),
    ]
}

#[test]
fn all_find_the_minimum() {
    let model = quadratic(&Device::cpu());
    for (at, mut optimizer) in all().into_iter().enumerate() {
        let mut model = model.clone();
        for step in 0..600 {
            if step == 400 {
                optimizer.set_learning_rate(optimizer.learning_rate() / 10.0).unwrap();
            }
            let gradient = gradient(&model);
            optimizer.step(&mut model, &gradient).unwrap();
        }
        for (got, expected) in
            values(&model).iter().zip([TARGETS[0] / SCALES[0], TARGETS[1] / SCALES[1]])
        {
            assert!((got - expected).abs() < 1e-3, "optimizer {at}: {got} and {expected}");
        }
    }
}

#[test]
fn a_parameter_without_gradient_stays_put() {
    let host = Device::cpu_f64();
    let decayed = SgdOptions { momentum: 0.9, weight_decay: 0.5, ..SgdOptions::default() };
    let optimizers: [Box<dyn Optimizer>; 2] =
        [Box::new(Sgd::with_options(decayed).unwrap()), Box::new(AdamW::new(0.1).unwrap())];
    for mut optimizer in optimizers {
        let mut model = Sequential::new(&host, vec![linear(2, 3), linear(3, 1)], 1).unwrap();
        let x = Tensor::from_vec(&host, [2, 2], vec![1.0, 2.0, 3.0, 4.0]).unwrap();
        let full =
            model.forward(&x).unwrap().backward(&Mse::sum(Tensor::zeros(&host, [2, 1]))).unwrap();
        optimizer.step(&mut model, &full).unwrap();
        let before = model.clone();
        let (kept, part): (Vec<_>, Vec<_>) =
            full.into_iter().partition(|(param, _)| param.index() % 2 == 0);
        optimizer.step(&mut model, &part.into_iter().collect()).unwrap();
        for (at, (before, after)) in before.params().iter().zip(model.params()).enumerate() {
            let same = before.value.to_vec().unwrap() == after.value.to_vec().unwrap();
            assert_eq!(same, kept.iter().any(|(param, _)| param.index() == at), "{}", after.name);
        }
    }
}

#[test]
fn options_are_checked() {
    let sgd = SgdOptions::default();
    let adam = AdamOptions::default();
    #[track_caller]
    fn refused<T>(outcome: Result<T, Error>, named: &str) {
        let Err(Error::Option { what, .. }) = outcome else { panic!("{named} was accepted") };
        assert!(what.contains(named), "{what} is not {named}");
    }
    for bad in [0.0, -1.0, f64::NAN, f64::INFINITY] {
        refused(Sgd::new(bad, 0.0), "learning rate");
        refused(Adam::new(bad), "learning rate");
        refused(AdamW::new(bad), "learning rate");
        refused(Adam::with_options(AdamOptions { eps: bad, ..adam }), "eps");
        for mut optimizer in all() {
            let before = optimizer.learning_rate();
            refused(optimizer.set_learning_rate(bad), "learning rate");
            assert_eq!(optimizer.learning_rate(), before);
        }
    }
    for bad in [-0.1, 1.0, f64::NAN] {
        refused(Sgd::new(0.1, bad), "momentum");
        refused(Adam::with_options(AdamOptions { betas: [bad, 0.9], ..adam }), "first beta");
        refused(AdamW::with_options(AdamOptions { betas: [0.9, bad], ..adam }), "second beta");
    }
    for bad in [-0.1, f64::NAN, f64::INFINITY] {
        refused(Sgd::with_options(SgdOptions { weight_decay: bad, ..sgd }), "weight decay");
        refused(AdamW::with_options(AdamOptions { weight_decay: bad, ..adam }), "weight decay");
    }
    refused(Sgd::with_options(SgdOptions { nesterov: true, ..sgd }), "momentum");
    // Zero as a 32-bit float: the model's precision decides.
    let mut tiny = Adam::with_options(AdamOptions { eps: 1e-60, ..adam }).unwrap();
    let [mut single, mut double] = [Device::cpu(), Device::cpu_f64()].map(|cpu| quadratic(&cpu));
    let slope = gradient(&single);
    refused(tiny.step(&mut single, &slope), "eps");
    let slope = gradient(&double);
    tiny.step(&mut double, &slope).unwrap();
}

#[test]
fn a_gradient_of_another_model_changes_nothing() {
    let host = Device::cpu_f64();
    for mut optimizer in all() {
        let mut model = quadratic(&host);
        let good = gradient(&model);
        let mut unknown = good.clone();
        unknown.insert(ParamId::new(1), Tensor::zeros(&host, [1]));
        let bad_shape: ParamMap<_> =
            good.iter().map(|(param, _)| (param, Tensor::zeros(&host, [2]))).collect();
        let bad_device: ParamMap<_> =
            good.iter().map(|(param, _)| (param, Tensor::zeros(&Device::cpu(), [1, 2]))).collect();
        for bad in [&unknown, &bad_shape, &bad_device] {
            assert!(optimizer.step(&mut model, bad).is_err());
            assert_eq!(values(&model), START);
        }
        // The failed steps left no trace in the optimizer either: it works as a new one does.
        optimizer.step(&mut model, &good).unwrap();

        let mut other = Sequential::new(&host, vec![linear(3, 1)], 0).unwrap();
        let gradient = other.forward(&Tensor::full(&host, [1, 3], 1.0)).unwrap();
        let gradient = gradient.backward(&Mse::sum(Tensor::zeros(&host, [1, 1]))).unwrap();
        let before = values(&other);
        if let Err(error) = optimizer.step(&mut other, &gradient) {
            assert!(
                matches!(&error, Error::OtherModel { name, .. } if name == "0.weight"),
                "{error}"
            );
        } else {
            panic!("one optimizer moved two models");
        }
        assert_eq!(values(&other), before);
    }
}

#[test]
fn an_optimizer_does_not_move_a_model_on_another_device() {
    for mut optimizer in all() {
        let mut model = quadratic(&Device::cpu_f64());
        let slope = gradient(&model);
        optimizer.step(&mut model, &slope).unwrap();
        let mut single = model.to(&Device::cpu()).unwrap();
        let before = values(&single);
        let slope = gradient(&single);
        let error = optimizer.step(&mut single, &slope);
        if let Err(error) = error {
            assert!(error.to_string().contains("the optimizer remembers of 0.weight"), "{error}");
            assert_eq!(values(&single), before);
        } else {
            panic!("moved by what was remembered in another precision");
        }
    }
}

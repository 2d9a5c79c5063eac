//! Layers against numbers by hand.

use vivit_tensor::{Device, Tensor};

use crate::{
    Conv2d, Error, Flip, Layer, MaxPool2d, Recurrent, Select, Sequential, avg_pool2d, conv1d,
    select,
};

/// The output of a layer whose parameters, all in a row, are the given numbers.
fn output(layer: Box<dyn Layer>, params: &[f64], shape: &[usize], x: &[f64]) -> Vec<f64> {
    let cpu = Device::cpu_f64();
    let mut model = Sequential::new(&cpu, vec![layer], 0).unwrap();
    let mut rest = params;
    for param in model.clone().params() {
        let (own, after) = rest.split_at(param.value.len());
        rest = after;
        let value = Tensor::from_vec(&cpu, param.value.shape(), own);
        model.set_param(&param.name, value.unwrap()).unwrap();
    }
    assert!(rest.is_empty(), "{} numbers left over", rest.len());
    let x = Tensor::from_vec(&cpu, shape, x).unwrap();
    model.forward(&x).unwrap().value().to_vec().unwrap()
}

#[track_caller]
fn close(got: &[f64], expected: &[f64]) {
    assert_eq!(got.len(), expected.len());
    for (got, expected) in got.iter().zip(expected) {
        assert!((got - expected).abs() < 1e-14, "{got} and {expected}");
    }
}

#[test]
fn a_position_is_selected_from_either_end() {
    let x: Vec<f64> = (0..12).map(f64::from).collect();
    // Samples [[0, 1], [2, 3], [4, 5]] and [[6, 7], [8, 9], [10, 11]].
    assert_eq!(output(select(1, -1), &[], &[2, 3, 2], &x), [4.0, 5.0, 10.0, 11.0]);
    assert_eq!(output(select(1, 1), &[], &[2, 3, 2], &x), [2.0, 3.0, 8.0, 9.0]);
    assert_eq!(output(select(2, -2), &[], &[2, 3, 2], &x), [0.0, 2.0, 4.0, 6.0, 8.0, 10.0]);
    for (axis, index) in [(0, 0), (3, 0), (1, 3), (1, -4)] {
        assert!(Select::new(axis, index).output_shape(&[3, 2]).is_err(), "{axis} {index}");
    }
}

#[test]
fn an_axis_is_reversed() {
    let x: Vec<f64> = (0..6).map(f64::from).collect();
    let flipped = output(Flip::new(1).boxed(), &[], &[1, 3, 2], &x);
    assert_eq!(flipped, [4.0, 5.0, 2.0, 3.0, 0.0, 1.0]);
}

/// `h_t = tanh(w x_t + b + u h_{t−1} + c)`
fn rnn([w, u, b, c]: [f64; 4], x: &[f64]) -> Vec<f64> {
    let step = |h: &mut f64, x: &f64| {
        *h = (w * x + b + u * *h + c).tanh();
        Some(*h)
    };
    x.iter().scan(0.0, step).collect()
}

#[test]
fn a_recurrence_runs_backwards_in_time() {
    let (ahead, back, x) = ([0.5, -0.3, 0.1, 0.2], [-0.7, 0.4, 0.3, -0.1], [0.3, -1.0, 2.0]);
    let layer = Recurrent::rnn(1, 1).bidirectional().boxed();
    let got = output(layer, &[ahead, back].concat(), &[1, 3, 1], &x);
    let reversed: Vec<f64> = x.iter().rev().copied().collect();
    let (h, mut r) = (rnn(ahead, &x), rnn(back, &reversed));
    r.reverse();
    close(&got, &[h[0], r[0], h[1], r[1], h[2], r[2]]);
}

#[test]
fn recurrent_layers_stand_on_each_other() {
    let (first, second, x) = ([0.5, -0.3, 0.1, 0.2], [0.9, 0.4, -0.3, 0.1], [0.3, -1.0, 2.0]);
    let got =
        output(Recurrent::rnn(1, 1).layers(2).boxed(), &[first, second].concat(), &[1, 3, 1], &x);
    close(&got, &rnn(second, &rnn(first, &x)));
}

/// An LSTM of one feature: weights and biases of the gates i, f, g, o.
fn lstm(w: [f64; 4], u: [f64; 4], b: [f64; 4], x: &[f64]) -> Vec<f64> {
    let sigmoid = |x: f64| 1.0 / (1.0 + (-x).exp());
    let (mut h, mut c) = (0.0, 0.0);
    let mut step = |x: &f64| {
        let gate = |at: usize| w[at] * x + u[at] * h + b[at];
        c = sigmoid(gate(1)) * c + sigmoid(gate(0)) * gate(2).tanh();
        h = sigmoid(gate(3)) * f64::tanh(c);
        h
    };
    x.iter().map(&mut step).collect()
}

#[test]
fn long_memories_run_both_ways_through_layers() {
    let (w, u, b) = ([0.5, -0.2, 0.8, 0.3], [0.1, 0.6, -0.4, 0.2], [0.05, 1.0, -0.1, 0.0]);
    let x = [0.3, -1.0, 2.0];
    let one = [&w[..], &u, &b, &[0.0; 4]].concat();
    let got = output(Recurrent::lstm(1, 1).boxed(), &one, &[1, 3, 1], &x);
    close(&got, &lstm(w, u, b, &x));

    // A second layer reads both directions of the first: here, only the backward one.
    let backward_only: Vec<f64> = w.iter().flat_map(|&w| [0.0, w]).collect();
    let other = [&backward_only[..], &u, &b, &[0.0; 4]].concat();
    let params = [&one[..], &one, &other, &other].concat();
    let layer = Recurrent::lstm(1, 1).layers(2).bidirectional().boxed();
    let got = output(layer, &params, &[1, 3, 1], &x);
    let backwards = |x: &[f64]| -> Vec<f64> {
        let reversed: Vec<f64> = x.iter().rev().copied().collect();
        lstm(w, u, b, &reversed).into_iter().rev().collect()
    };
    let below = backwards(&x);
    let (ahead, back) = (lstm(w, u, b, &below), backwards(&below));
    close(&got, &[ahead[0], back[0], ahead[1], back[1], ahead[2], back[2]]);
}

#[test]
fn recurrent_parameters_have_pytorchs_names_and_shapes() {
    let specs = Recurrent::lstm(5, 3).layers(2).bidirectional().without_bias().params();
    let named: Vec<(&str, &[usize])> =
        specs.iter().map(|spec| (spec.name.as_str(), &spec.shape[..])).collect();
    assert_eq!(
        named,
        [
            ("weight_ih_l0", &[12, 5][..]),
            ("weight_hh_l0", &[12, 3]),
            ("weight_ih_l0_reverse", &[12, 5]),
            ("weight_hh_l0_reverse", &[12, 3]),
            ("weight_ih_l1", &[12, 6]),
            ("weight_hh_l1", &[12, 3]),
            ("weight_ih_l1_reverse", &[12, 6]),
            ("weight_hh_l1_reverse", &[12, 3]),
        ]
    );
}

#[test]
fn builders_set_one_option_each() {
    let conv = Conv2d::new(4, 8, [3, 5]).padded([1, 2]).strided(2).dilated(1).grouped(2);
    let conv = conv.without_bias();
    assert_eq!((conv.kernel, conv.padding, conv.stride), ([3, 5], [1, 2], [2, 2]));
    assert_eq!((conv.dilation, conv.groups, conv.bias), ([1, 1], 2, false));
    let pool = MaxPool2d::new(3).padded(1).dilated([1, 2]).ceiled();
    // Windows side by side, unless said otherwise.
    assert_eq!((pool.stride, pool.padding, pool.dilation), ([3, 3], [1, 1], [1, 2]));
    assert!(pool.ceil);
}

#[test]
fn a_kernel_is_a_number_or_an_array() {
    // The mean of [[1, 2], [3, 4]] by rows and as a whole.
    let x = [1.0, 2.0, 3.0, 4.0];
    assert_eq!(output(avg_pool2d([1, 2], 1), &[], &[1, 1, 2, 2], &x), [1.5, 3.5]);
    assert_eq!(output(avg_pool2d(2, 2), &[], &[1, 1, 2, 2], &x), [2.5]);
    // 2 x_t − x_{t+1} + 0.5
    assert_eq!(output(conv1d(1, 1, 2), &[2.0, -1.0, 0.5], &[1, 1, 3], &x[..3]), [0.5, 1.5]);
}

#[test]
fn arrays_of_another_precision_are_refused_by_name() {
    let cpu = Device::cpu();
    let mut model = Sequential::new(&cpu, vec![crate::linear(2, 2)], 0).unwrap();
    let double = Tensor::zeros(&Device::cpu_f64(), [2, 2]);
    let change = [(model.param_id("0.weight").unwrap(), double.clone())].into_iter().collect();
    for (error, what) in [
        (model.forward(&double).map(drop).unwrap_err(), "the input"),
        (model.set_param("0.weight", double.clone()).unwrap_err(), "0.weight"),
        (model.add_scaled(1.0, &change).unwrap_err(), "0.weight"),
    ] {
        let text = error.to_string();
        assert!(["f32", "f64", what].iter().all(|part| text.contains(part)), "{text}");
        // What a `main` that returns the error prints.
        assert_eq!(format!("{error:?}"), text);
    }
    let unknown = model.set_param("weight", double).unwrap_err();
    assert!(matches!(unknown, Error::UnknownParameter { .. }));
}

#[test]
fn models_may_move_between_threads() {
    fn moves<T: Send + Sync>() {}
    moves::<Sequential>();
    moves::<Box<dyn Layer>>();
    moves::<Box<dyn crate::Optimizer>>();
    moves::<crate::MiniBatches>();
}

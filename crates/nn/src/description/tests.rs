//! Reading, writing, and both in a row.

use serde_json::json;
use vivit_autodiff::Var;
use vivit_tensor::{Device, Tensor, Unary};

use super::*;
use crate::{
    Activation, BatchNorm, Conv1d, Layer, LayerState, Recorder, ShapeError, linear, networks, relu,
    residual,
};

/// One entry per op, few options at their defaults.
const EVERY_OP: &str = r#"[
    {"op": "linear", "in": 3, "out": 4, "bias": false},
    {"op": "bilinear", "in1": 3, "in2": 2, "out": 4, "bias": false},
    {"op": "conv1d", "in": 4, "out": 6, "kernel": [3], "stride": [2], "padding": [1],
     "dilation": [2], "groups": 2, "bias": false},
    {"op": "conv2d", "in": 2, "out": 6, "kernel": [3, 2], "stride": [2, 3], "padding": [1, 0],
     "dilation": [2, 4], "groups": 2,
     "bias": false},
    {"op": "conv3d", "in": 2, "out": 3, "kernel": [1, 2, 3], "stride": [3, 2, 4], "padding": [1,
     2, 0], "dilation": [4, 2, 3],
     "groups": 1, "bias": true},
    {"op": "conv_transpose1d", "in": 2, "out": 3, "kernel": [2], "stride": [3],
     "output_padding": [2]},
    {"op": "conv_transpose2d", "in": 2, "out": 4, "kernel": [2, 3], "stride": [2, 3],
     "padding": [0, 1], "dilation": [1, 2],
     "groups": 2, "bias": false, "output_padding": [1, 2]},
    {"op": "conv_transpose3d", "in": 2, "out": 3, "kernel": [2, 3, 1], "output_padding": [0, 1, 2]},
    {"op": "max_pool1d", "kernel": [3], "stride": [2], "padding": [1], "dilation": [2],
     "ceil": true},
    {"op": "max_pool2d", "kernel": [3, 2], "stride": [2, 1], "padding": [1, 0], "dilation": [1,
     2], "ceil": true},
    {"op": "max_pool3d", "kernel": [3, 2, 4], "stride": [2, 1, 3], "padding": [1, 0, 2],
     "dilation": [1, 2, 3], "ceil": false},
    {"op": "avg_pool1d", "kernel": [3], "stride": [2], "padding": [1], "ceil": true,
     "count_include_pad": false},
    {"op": "avg_pool2d", "kernel": [3, 2], "stride": [2, 1], "padding": [1, 0], "ceil": true,
     "count_include_pad": false},
    {"op": "avg_pool3d", "kernel": [3, 2, 4], "stride": [2, 1, 3], "padding": [1, 0, 2],
     "ceil": false, "count_include_pad": false},
    {"op": "adaptive_avg_pool1d", "output": [2]},
    {"op": "adaptive_avg_pool2d", "output": [2, 3]},
    {"op": "adaptive_avg_pool3d", "output": [2, 3, 1]},
    {"op": "zero_pad1d", "padding": [1, -2]},
    {"op": "zero_pad2d", "padding": [0, 1, 2, -1]},
    {"op": "zero_pad3d", "padding": [0, 1, 2, 3, 4, 5]},
    {"op": "relu"}, {"op": "sigmoid"}, {"op": "tanh"}, {"op": "selu"}, {"op": "log_sigmoid"},
     {"op": "silu"}, {"op": "gelu"},
    {"op": "gelu_tanh"},
    {"op": "leaky_relu", "slope": 0.1},
    {"op": "elu", "alpha": 0.7},
    {"op": "softplus", "beta": 2.5},
    {"op": "hard_tanh", "min": -0.3, "max": 2.0},
    {"op": "hard_sigmoid", "alpha": 0.2, "beta": 0.4}, {"op": "hard_swish"}, {"op": "mish"},
     {"op": "softsign"},
    {"op": "celu", "alpha": 1.5},
    {"op": "p_relu", "channels": 3},
    {"op": "dropout", "p": 0.123456789012345678},
    {"op": "softmax", "axis": 2}, {"op": "log_softmax", "axis": 1}, {"op": "mean", "axis": 3},
     {"op": "sum", "axis": 2}, {"op": "glu", "axis": 1},
    {"op": "permute", "axes": [2, 1]},
    {"op": "flatten", "start": 2},
    {"op": "batch_norm", "features": 3, "eps": 1e-4, "momentum": 0.3, "affine": false},
    {"op": "batch_norm1d", "features": 3, "eps": 1e-4, "momentum": 0.3, "affine": false},
    {"op": "batch_norm2d", "features": 4}, {"op": "batch_norm3d", "features": 5},
    {"op": "layer_norm", "shape": [3, 2], "eps": 1e-4, "weight": true, "bias": false},
    {"op": "group_norm", "groups": 2, "channels": 6, "eps": 1e-4, "affine": false},
    {"op": "rms_norm", "features": 5, "eps": 3e-7},
    {"op": "embedding", "vocabulary": 7, "features": 4},
    {"op": "positional_embedding", "positions": 5, "features": 4},
    {"op": "self_attention", "features": 8, "heads": 2, "causal": true, "bias": false},
    {"op": "rnn", "in": 3, "hidden": 4, "bias": false},
    {"op": "lstm", "in": 3, "hidden": 4, "bias": true},
    {"op": "lstm", "in": 3, "hidden": 4, "num_layers": 2, "bidirectional": true},
    {"op": "select", "axis": 1, "index": -1},
    {"op": "gru", "in": 3, "hidden": 4, "num_layers": 2, "bidirectional": true, "bias": false},
    {"op": "rnn_relu", "in": 3, "hidden": 4}, {"op": "gru_reset_before", "in": 3, "hidden": 4},
    {"op": "multihead_attention", "features": 8, "heads": 2, "kdim": 6, "vdim": 5, "causal": true,
     "bias": false},
    {"op": "transformer_encoder_layer", "features": 8, "heads": 2, "hidden": 5, "norm_first": true,
     "gelu": true, "causal": true, "bias": false, "eps": 1e-4},
    {"op": "instance_norm", "features": 3}, {"op": "instance_norm1d", "features": 3, "eps": 1e-4,
     "affine": true},
    {"op": "instance_norm2d", "features": 3}, {"op": "instance_norm3d", "features": 3},
    {"op": "local_response_norm", "size": 3, "alpha": 0.5, "beta": 0.3, "k": 2.0},
    {"op": "flip", "axis": 2},
    {"op": "residual", "body": [{"op": "relu"}, {"op": "residual", "body": []}]},
    {"op": "branches", "rows": [[{"op": "relu"}], []]},
    {"op": "branches", "rows": [[{"op": "tanh"}]], "concat": 2},
    {"op": "shared", "layer": 0}
]"#;

/// Whether all that `given` says is in `full`.
fn within(given: &Value, full: &Value) -> bool {
    match (given, full) {
        (Value::Object(given), Value::Object(full)) => {
            given.iter().all(|(key, value)| full.get(key).is_some_and(|full| within(value, full)))
        }
        (Value::Array(given), Value::Array(full)) => {
            given.len() == full.len()
                && given.iter().zip(full).all(|(given, full)| within(given, full))
        }
        _ => given == full,
    }
}

#[test]
fn every_op_comes_back() {
    let given = parse(EVERY_OP).unwrap();
    let first = layers(&given).unwrap();
    let described = of(&first).unwrap();
    for (given, described) in given.as_array().unwrap().iter().zip(described.as_array().unwrap()) {
        assert!(within(given, described), "{given} became {described}");
    }
    // Through text: numbers are not to lose a bit. A layer's `Debug` form shows all that it is.
    let second = layers(&parse(&described.to_string()).unwrap()).unwrap();
    assert_eq!(format!("{first:?}"), format!("{second:?}"));
}

#[test]
fn options_have_defaults() {
    let short = json!([
        {"op": "conv2d", "in": 2, "out": 3, "kernel": 3, "padding": 1, "bias": null},
        {"op": "avg_pool2d", "kernel": [2, 3]},
        {"op": "batch_norm2d", "features": 3},
        {"op": "layer_norm", "shape": 4, "affine": false},
        {"op": "conv1d", "in": 3, "out": 3, "kernel": 1},
        {"op": "p_relu"},
        {"op": "hard_sigmoid"},
        {"op": "celu"},
        {"op": "relu6"},
    ]);
    let full: Vec<Box<dyn Layer>> = vec![
        crate::Conv2d::new(2, 3, 3).padded(1).boxed(),
        crate::AvgPool2d::new([2, 3]).boxed(),
        BatchNorm::new(3).over_axes(2).boxed(),
        crate::LayerNorm::new(&[4]).without_affine().boxed(),
        Conv1d::new(3, 3, 1).boxed(),
        crate::p_relu(1),
        crate::hard_sigmoid(),
        crate::celu(1.0),
        crate::hard_tanh(0.0, 6.0),
    ];
    assert_eq!(format!("{:?}", layers(&short).unwrap()), format!("{full:?}"));
}

#[test]
fn a_described_model_computes_the_same() {
    let host = Device::cpu_f64();
    let layers =
        vec![linear(3, 4), relu(), residual(vec![linear(4, 2), linear(2, 4)]), crate::shared(1)];
    let model = Sequential::new(&host, layers, 7).unwrap();
    let again = Sequential::from_description(&host, &model.description().unwrap(), 7).unwrap();
    let x = Tensor::from_vec(&host, [2, 3], vec![0.1, -0.2, 0.3, 0.4, 0.5, -0.6]).unwrap();
    let output = |model: &Sequential| model.forward(&x).unwrap().value().to_vec().unwrap();
    assert_eq!(output(&model), output(&again));
    let names = |model: &Sequential| {
        model.params().iter().map(|param| param.name.clone()).collect::<Vec<_>>()
    };
    assert_eq!(names(&model), names(&again));
}

#[test]
fn networks_can_be_described() {
    for network in [networks::demo(), networks::net3c3d(), networks::mlp()] {
        let again = layers(&of(&network.layers).unwrap()).unwrap();
        assert_eq!(format!("{again:?}"), format!("{:?}", network.layers));
    }
}

#[track_caller]
fn refused(text: &str, path: &str, named: &[&str]) {
    let outcome = parse(text).and_then(|description| layers(&description));
    let error = outcome.map(|layers| format!("{layers:?}")).unwrap_err();
    assert_eq!(error.path, path, "{error}");
    for name in named {
        assert!(error.to_string().contains(name), "{error} does not say {name}");
    }
}

#[test]
fn what_is_wrong_is_named_with_its_path() {
    refused("[", "", &["no JSON", "line 1"]);
    refused("", "", &["no JSON"]);
    refused(r#"{"op": "relu"}"#, "", &["list of layers", "relu"]);
    refused("[3]", "0", &["object", "got 3"]);
    refused(r#"[{"op": "relu"}, {}]"#, "1", &["op"]);
    refused(r#"[{"op": 3}]"#, "0", &["op"]);
    refused(r#"[{"op": "relu"}, {"op": "perceptron"}]"#, "1", &["\"perceptron\""]);
    refused(r#"[{"op": "conv4d"}]"#, "0", &["\"conv4d\"", "conv3d"]);
    refused(r#"[{"op": "relu", "slope": 0.1}]"#, "0", &["relu has no options", "slope"]);
    refused(
        r#"[{"op": "linear", "in": 1, "out": 2, "biass": true}]"#,
        "0",
        &["linear", "\"biass\"", "in, out, bias"],
    );
    refused(r#"[{"op": "linear", "in": 1}]"#, "0", &["linear needs", "\"out\""]);
    refused(
        r#"[{"op": "linear", "in": -1, "out": 2}]"#,
        "0",
        &["\"in\" of linear", "whole number", "-1"],
    );
    refused(r#"[{"op": "linear", "in": 1.5, "out": 2}]"#, "0", &["whole number", "1.5"]);
    refused(r#"[{"op": "linear", "in": 1, "out": 2, "bias": 1}]"#, "0", &["true or false"]);
    refused(r#"[{"op": "conv2d", "in": 1, "out": 2}]"#, "0", &["kernel"]);
    refused(
        r#"[{"op": "conv2d", "in": 1, "out": 2, "kernel": [1, 2, 3]}]"#,
        "0",
        &["list of 2", "[1,2,3]"],
    );
    refused(
        r#"[{"op": "conv2d", "in": 1, "out": 2, "kernel": 1, "output_padding": 1}]"#,
        "0",
        &["output_padding"],
    );
    refused(r#"[{"op": "zero_pad2d", "padding": [1, 2, 3]}]"#, "0", &["list of 4"]);
    refused(r#"[{"op": "elu", "alpha": "one"}]"#, "0", &["a number", "one"]);
    refused(r#"[{"op": "residual"}]"#, "0", &["body"]);
    refused(r#"[{"op": "residual", "body": {}}]"#, "0.body", &["list of layers"]);
    refused(
        r#"[{"op": "residual", "body": [{"op": "relu"}, {"op": "x"}]}]"#,
        "0.body.1",
        &["layer 0.body.1", "\"x\""],
    );
    refused(r#"[{"op": "branches", "rows": [[], [{"op": "x"}]]}]"#, "0.1.0", &["\"x\""]);
    refused(r#"[{"op": "branches", "rows": 3}]"#, "0", &["list of lists"]);
    // A long value is cut, between characters.
    refused(&format!(r#"[{{"op": "elu", "alpha": "{}"}}]"#, "ü".repeat(500)), "0", &["…"]);
}

#[test]
fn a_model_of_one_layer_is_not_described() {
    // Read back, its parameters would be `0.weight` and so on.
    let model = Sequential::wired(&Device::cpu_f64(), linear(3, 4), 0).unwrap();
    assert_eq!(model.params()[0].name, "weight");
    let error = model.description().unwrap_err();
    assert!(error.to_string().contains("linear 3→4 can't be described"), "{error}");
}

#[test]
fn sharing_what_is_not_there_is_an_error_of_the_model() {
    let description = json!([{"op": "linear", "in": 2, "out": 2}, {"op": "shared", "layer": 5}]);
    let error = Sequential::from_description(&Device::cpu_f64(), &description, 0).unwrap_err();
    assert_eq!(error, Error::Shared { path: "1".into(), layer: 5 });
}

#[test]
fn what_does_not_fit_into_memory_is_an_error_of_the_model() {
    for inputs in [usize::MAX, 1 << 50] {
        let description = json!([{"op": "relu"}, {"op": "linear", "in": inputs, "out": 2000}]);
        let error = Sequential::from_description(&Device::cpu_f64(), &description, 0).unwrap_err();
        assert_eq!(error, Error::TooLarge { name: "1.weight".into(), shape: vec![2000, inputs] });
    }
}

/// A layer that does not say how it is described.
#[derive(Debug)]
struct Undescribed;

impl Layer for Undescribed {
    fn name(&self) -> String {
        "a layer of one's own".into()
    }

    fn output_shape(&self, input: &[usize]) -> Result<Vec<usize>, ShapeError> {
        Ok(input.to_vec())
    }

    fn record(&self, _: &mut Recorder<'_>, _: LayerState<'_>, x: Var) -> Var {
        x
    }
}

#[test]
fn a_layer_without_description_is_named_with_its_path() {
    let undescribed: [Box<dyn Layer>; 4] = [
        Box::new(Undescribed),
        Box::new(Activation(Unary::Exp)),
        // JSON has no infinities, and nothing would be read as the default.
        Box::new(Activation(Unary::HardTanh(0.0, f64::INFINITY))),
        crate::dropout(f64::NAN),
    ];
    for layer in undescribed {
        let problem = DescriptionProblem::NotDescribed { layer: layer.name() };
        let error = of(&[relu(), residual(vec![relu(), relu(), layer])]).unwrap_err();
        assert_eq!(error, DescriptionError { path: "1.body.2".into(), problem });
    }
}

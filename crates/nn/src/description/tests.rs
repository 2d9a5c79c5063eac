//! Reading, writing, and both in a row.

use serde_json::json;
use vivit_autodiff::Var;
use vivit_tensor::{Device, Rng, Tensor, Unary};

use super::*;
use crate::{
    Activation, BatchNorm, Conv1d, Join, Layer, LayerState, Recorder, ShapeError, Wiring, linear,
    networks, relu, residual,
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
    {"op": "shared", "layer": 0},
    {"op": "wiring", "output": 3, "steps": [
        {"op": "layer", "name": "a", "layer": {"op": "relu"}, "inputs": [0]},
        {"op": "again", "name": "a", "inputs": [1]},
        {"op": "concat", "axis": 1, "inputs": [0, 2, 1]},
        {"op": "sum", "inputs": [0, 2]}
    ]}
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
        {"op": "conv2d", "in": 2, "out": 3, "kernel": 3, "padding": 1},
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

/// A small U-Net: values and a layer that are used twice, both joins, a wiring in a wiring.
fn wired_model(device: &Device) -> Sequential {
    let mut inner = Wiring::new();
    let y = inner.layer("pool", crate::MaxPool2d::new(2).boxed(), inner.input());
    let y = inner.layer("same", crate::Conv2d::new(4, 4, 3).padded(1).boxed(), y);
    let inner = inner.output(y);

    let mut net = Wiring::new();
    let x = net.input();
    let down = net.layer("down", crate::Conv2d::new(2, 4, 3).padded(1).boxed(), x);
    let norm = net.layer("norm", BatchNorm::new(4).over_axes(2).boxed(), down);
    let deep = net.layer("deep", residual(vec![relu()]), norm);
    let again = net.again("norm", deep);
    let sum = net.join(Join::Sum, &[down, again, deep]);
    let low = net.layer("low", inner, sum);
    let up = net.layer("up", crate::ConvTranspose2d::new(4, 4, 2).strided(2).boxed(), low);
    let both = net.join(Join::Concat(1), &[up, sum]);
    let head = net.layer("head", crate::Conv2d::new(8, 3, 1).boxed(), both);
    Sequential::wired(device, net.output(head), 3).unwrap()
}

#[test]
fn a_wired_model_comes_back_with_its_names() {
    for device in [Device::cpu(), Device::cpu_f64()] {
        let model = wired_model(&device);
        let text = model.description().unwrap().to_string();
        let again = Sequential::from_description(&device, &parse(&text).unwrap(), 3).unwrap();
        assert_eq!(again.to_safetensors().unwrap(), model.to_safetensors().unwrap());
        assert!(again.param("down.weight").is_ok() && again.param("low.same.bias").is_ok());
        assert_eq!(again.description().unwrap().to_string(), text);
        let x = Tensor::from_vec(&device, [2, 2, 4, 4], Rng::new(1).normal(64)).unwrap();
        let output = |model: &Sequential| model.forward(&x).unwrap().value().to_vec().unwrap();
        assert_eq!(output(&again), output(&model));
    }
}

#[test]
fn a_model_of_one_layer_is_an_object() {
    let device = Device::cpu_f64();
    let model = Sequential::wired(&device, linear(3, 4), 0).unwrap();
    let described = model.description().unwrap();
    assert_eq!(described, json!({"op": "linear", "in": 3, "out": 4, "bias": true}));
    let again = Sequential::from_description(&device, &described, 0).unwrap();
    assert_eq!(again.params()[0].name, "weight");
    // The same layer in a row is another model.
    let row = Sequential::from_description(&device, &json!([described]), 0).unwrap();
    assert_eq!(row.params()[0].name, "0.weight");
}

#[test]
fn what_is_wrong_with_a_wiring_is_named() {
    let wiring = |steps: &str, output: &str| {
        format!(r#"[{{"op": "wiring", "steps": {steps}, "output": {output}}}]"#)
    };
    let relu = |name: &str, input: usize| {
        format!(
            r#"{{"op": "layer", "name": "{name}", "layer": {{"op": "relu"}}, "inputs": [{input}]}}"#
        )
    };
    refused(&wiring("3", "0"), "0", &["steps", "a list of steps"]);
    refused(r#"[{"op": "wiring", "output": 0}]"#, "0", &["steps"]);
    refused(r#"[{"op": "wiring", "steps": []}]"#, "0", &["output"]);
    refused(&wiring("[]", "1"), "0", &["the output is value 1, which nothing computes"]);
    refused(&wiring(&format!("[{}]", relu("a", 1)), "1"), "0", &["step 0 reads value 1"]);
    let twice = format!("[{}, {}]", relu("a", 0), relu("a", 1));
    refused(&wiring(&twice, "2"), "0", &["two layers are called a"]);
    let again = r#"[{"op": "again", "name": "b", "inputs": [0]}]"#;
    refused(&wiring(again, "1"), "0", &["no layer before step 0 is called b"]);
    refused(&wiring("[3]", "0"), "0.steps.0", &["got 3"]);
    refused(&wiring(r#"[{"op": "add"}]"#, "0"), "0.steps.0", &["\"add\"", "layer, again, sum"]);
    refused(&wiring(r#"[{"op": "concat", "inputs": 0}]"#, "0"), "0.steps.0", &["axis"]);
    refused(&wiring(r#"[{"op": "sum", "inputs": [-1]}]"#, "0"), "0.steps.0", &["[-1]"]);
    refused(
        &wiring(r#"[{"op": "layer", "name": "up", "layer": {"op": "x"}, "inputs": 0}]"#, "1"),
        "0.up",
        &["\"x\""],
    );
}

#[test]
fn null_is_taken_only_where_it_means_the_default() {
    let device = Device::cpu();
    let given = json!([
        {"op": "max_pool2d", "kernel": 3, "stride": null},
        {"op": "avg_pool1d", "kernel": 2, "stride": null},
        {"op": "multihead_attention", "features": 8, "heads": 2, "kdim": null, "vdim": null},
    ]);
    let expected: Vec<Box<dyn Layer>> = vec![
        crate::MaxPool2d::new(3).boxed(),
        crate::AvgPool1d::new(2).boxed(),
        crate::MultiheadAttention::new(8, 2).boxed(),
    ];
    assert_eq!(format!("{:?}", layers(&given).unwrap()), format!("{expected:?}"));

    for (entry, option) in [
        // A cumulative average in PyTorch.
        (json!({"op": "batch_norm2d", "features": 4, "momentum": null}), "momentum"),
        // ε of the element type in PyTorch.
        (json!({"op": "rms_norm", "features": 4, "eps": null}), "eps"),
        // No bias in PyTorch.
        (json!({"op": "linear", "in": 2, "out": 3, "bias": null}), "bias"),
        (json!({"op": "linear", "in": null, "out": 3}), "in"),
        (json!({"op": "adaptive_avg_pool2d", "output": [null, 3]}), "output"),
        (json!({"op": "conv2d", "in": 2, "out": 3, "kernel": 1, "stride": null}), "stride"),
        (json!({"op": "layer_norm", "shape": 3, "eps": null}), "eps"),
        (json!({"op": "elu", "alpha": null}), "alpha"),
    ] {
        let error = Sequential::from_description(&device, &json!([entry]), 0).unwrap_err();
        let text = error.to_string();
        assert!(text.contains(&format!("{option:?} of ")) && text.contains("null"), "{text}");
    }
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

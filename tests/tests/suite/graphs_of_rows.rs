//! A row of layers and its graph model are the same model.

use vivit::autodiff::{Graph, Loss, ParamId};
use vivit::curvature::Ggn;
use vivit::nn::{
    Activation, Arrays, GraphModel, Layer, LayerState, Param, Recorder, Sequential, ShapeError,
    Wiring, linear, positional_embedding, residual,
};
use vivit::tensor::{Device, Rng, Tensor, Unary};
use vivit_tests::report::scaled_error;
use vivit_tests::zoo;

fn named(arrays: &[Param]) -> Vec<(&str, Vec<f64>)> {
    let each = arrays.iter();
    each.map(|param| (param.name.as_str(), param.value.to_vec().unwrap())).collect()
}

/// The output, and the gradient in every parameter.
fn numbers(graph: &Graph, loss: &dyn Loss, params: usize) -> Vec<Vec<f64>> {
    let gradient = graph.backward(loss).unwrap();
    let gradient = (0..params).map(|at| gradient[ParamId::new(at)].to_vec().unwrap());
    [graph.value().to_vec().unwrap()].into_iter().chain(gradient).collect()
}

/// The model that text and arrays make.
fn read_back(model: &GraphModel) -> GraphModel {
    let text = model.description().unwrap().to_string();
    let text = vivit::nn::description::parse(&text).unwrap();
    let bytes = model.array_bytes().unwrap();
    let arrays = Arrays::from_bytes(&bytes).unwrap();
    GraphModel::from_description(model.device(), &text, &arrays).unwrap()
}

#[test]
fn every_row_of_layers_is_its_graph() {
    let mut rows = 0;
    for problem in zoo::problems().iter().chain(&zoo::layers::each()) {
        let Some((row, x)) = &problem.row else { continue };
        let name = problem.name;
        let model = GraphModel::of(row).unwrap_or_else(|error| panic!("{name}: {error}"));
        let count = row.params().len();
        assert_eq!(named(model.params()), named(row.params()), "{name}");
        assert_eq!(named(model.buffers()), named(row.buffers()), "{name}");

        let graph = model.forward(x).unwrap_or_else(|error| panic!("{name}: {error}"));
        let loss = problem.loss.as_ref();
        let own = numbers(&row.forward(x).unwrap(), loss, count);
        let through_nodes = numbers(&graph, loss, count);
        for (at, (got, expected)) in through_nodes.iter().zip(&own).enumerate() {
            let error = scaled_error(got, expected, 0.0);
            assert!(error < 1e-12, "{name}: array {at} differs by {error}");
        }

        let again = read_back(&model);
        assert_eq!(again.nodes(), model.nodes(), "{name}");
        assert_eq!(numbers(&again.forward(x).unwrap(), loss, count), through_nodes, "{name}");
        rows += 1;
    }
    assert!(rows > 80, "only {rows} problems are rows of layers");
}

#[test]
fn gram_matrices_of_a_graph_are_contracted_as_those_of_its_row() {
    for problem in zoo::problems().iter().chain(&zoo::layers::each()) {
        let Some((row, x)) = &problem.row else { continue };
        let contraction = |graph: &Graph| {
            let report = Ggn::new(graph, problem.loss.as_ref()).plan().unwrap().report.to_string();
            // Parameters come in the order in which a sweep reaches them, which may differ.
            let mut lines: Vec<String> = report.lines().map(String::from).collect();
            lines.sort();
            lines
        };
        let graph = GraphModel::of(row).unwrap().forward(x).unwrap();
        let expected = contraction(&row.forward(x).unwrap());
        assert_eq!(contraction(&graph), expected, "{}", problem.name);
    }
}

#[test]
fn every_function_of_entries_is_a_node() {
    let cpu = Device::cpu_f64();
    let x = Tensor::from_vec(&cpu, [4, 3], Rng::new(5).uniform(12, 0.1, 0.9)).unwrap();
    for f in [
        Unary::ThresholdedRelu(0.4),
        Unary::Abs,
        Unary::Sign,
        Unary::Floor,
        Unary::Ceil,
        Unary::Round,
        Unary::Trunc,
        Unary::Not,
        Unary::Exp,
        Unary::Ln,
        Unary::Expm1,
        Unary::Log1p,
        Unary::Sqrt,
        Unary::Rsqrt,
        Unary::Powf(1.7),
        Unary::Square,
        Unary::Recip,
        Unary::Sin,
        Unary::Cos,
        Unary::Tan,
        Unary::Asin,
        Unary::Acos,
        Unary::Atan,
        Unary::Sinh,
        Unary::Cosh,
        Unary::Asinh,
        Unary::Atanh,
        Unary::Erf,
        Unary::Scale(-1.5),
        Unary::Shift(0.3),
    ] {
        let row = Sequential::new(&cpu, vec![Activation(f).boxed()], 0).unwrap();
        let graph = read_back(&GraphModel::of(&row).unwrap()).forward(&x).unwrap();
        let expected = row.forward(&x).unwrap();
        let bits = |graph: &Graph| graph.value().to_vec().unwrap();
        assert_eq!(bits(&graph), bits(&expected), "{f:?}");
    }
}

#[test]
fn parameters_keep_their_names_whatever_they_are_called() {
    let mut net = Wiring::new();
    let x = net.input();
    let first = net.layer("input", positional_embedding(3, 2), x);
    let again = net.again("input", first);
    let last = net.layer("output", positional_embedding(4, 2), again);
    let cpu = Device::cpu_f64();
    let row = Sequential::wired(&cpu, net.output(last), 1).unwrap();
    let model = GraphModel::of(&row).unwrap();
    assert_eq!(named(model.params()), named(row.params()));
    assert_eq!(model.params()[0].name, "input");
    assert_eq!([&model.inputs()[0].name, &model.outputs()[0].name], ["input_2", "output_2"]);
    let x = Tensor::from_vec(&cpu, [2, 3, 2], Rng::new(2).normal(12)).unwrap();
    let value = |graph: Graph| graph.value().to_vec().unwrap();
    assert_eq!(value(model.forward(&x).unwrap()), value(row.forward(&x).unwrap()));
}

#[derive(Debug)]
struct Own;

impl Layer for Own {
    fn name(&self) -> String {
        "own".into()
    }
    fn output_shape(&self, input: &[usize]) -> Result<Vec<usize>, ShapeError> {
        Ok(input.to_vec())
    }
    fn record(
        &self,
        _: &mut Recorder<'_>,
        _: LayerState<'_>,
        x: vivit::autodiff::Var,
    ) -> vivit::autodiff::Var {
        x
    }
}

#[test]
fn a_layer_without_nodes_is_named() {
    let layers = vec![linear(2, 2), residual(vec![linear(2, 2), Own.boxed()])];
    let row = Sequential::new(&Device::cpu(), layers, 0).unwrap();
    assert_eq!(
        GraphModel::of(&row).unwrap_err().to_string(),
        "layer 1.body.1 (own) can't be part of a graph model: it does not say its nodes; implement \
         `Layer::nodes`"
    );
    let unbounded = Activation(Unary::HardTanh(0.0, f64::INFINITY)).boxed();
    let row = Sequential::new(&Device::cpu(), vec![unbounded], 0).unwrap();
    let error = GraphModel::of(&row).unwrap_err().to_string();
    assert!(error.contains("max = inf can't be written"), "{error}");
}

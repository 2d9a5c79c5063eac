//! Models that are graphs of named nodes: what importers produce and other programs can write.

mod call;
mod check;
mod fault;
mod node;
mod of_row;
mod ops;
mod problem;
mod recording;
mod run;
mod text;
mod value;
mod writer;

pub use node::{Argument, GraphParts, NamedArray, Node};
pub(crate) use ops::function_node;
pub use ops::{Operation, operations};
pub use problem::{GraphError, GraphProblem};
pub use writer::{LayerArrays, NodeWriter};

use std::collections::HashMap;
use std::ops::{Deref, DerefMut};
use std::sync::{Arc, OnceLock};

use vivit_autodiff::{Graph, InputKind, InputSpec, Inputs, Model, OutputSpec, Param};
use vivit_tensor::{Device, Tensor};

use crate::{Error, Weights};
use recording::Recording;
use run::Run;
use value::{Array, Value};

/// A model that is a graph of named nodes on named values: inputs, parameters, constants, results
/// of other nodes. It has a text form ([`GraphModel::description`]) beside a state dictionary, and
/// is what importers of other programs' models produce.
///
/// The nodes describe the computation of *one* sample, with an axis of length 1 where samples lie
/// ([`InputSpec::sample_axis`]): a network that was exported for one sample. Whatever depends on an
/// input gets the sample axis N in front when the model runs on a batch, so what the graph does
/// with its own axis of length 1 (merges it into heads, moves it) is harmless. Shapes are computed
/// while the model runs; axes that the inputs leave open, the length of a sequence or the size of
/// an image, stay open.
///
/// ```
/// use vivit_autodiff::{CrossEntropy, InputSpec, OutputSpec};
/// use vivit_nn::{GraphModel, GraphParts, NamedArray, Node};
/// use vivit_tensor::{Device, Tensor};
///
/// let parts = GraphParts {
///     inputs: vec![InputSpec::new("x")],
///     outputs: vec![OutputSpec::new("y")],
///     params: vec![
///         NamedArray::new("fc.weight", &[2, 3], vec![0.1; 6]),
///         NamedArray::new("fc.bias", &[2], vec![0.0, 1.0]),
///     ],
///     nodes: vec![
///         Node::new("linear", &["x", "fc.weight", "fc.bias"], "hidden"),
///         Node::new("tanh", &["hidden"], "y"),
///     ],
///     ..GraphParts::default()
/// };
/// let cpu = Device::cpu();
/// let model = GraphModel::new(&cpu, parts)?;
/// let graph = model.forward(&Tensor::full(&cpu, [4, 3], 1.0))?;
/// let gradient = graph.backward(&CrossEntropy::mean([0, 1, 1, 0]))?;
/// assert_eq!(gradient[model.param_id("fc.weight")?].shape(), &[2, 3]);
/// # Ok::<(), vivit_nn::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct GraphModel {
    weights: Weights,
    inputs: Vec<InputSpec>,
    outputs: Vec<OutputSpec>,
    graph: Arc<Nodes>,
    /// The constants on the device, from their first use on.
    uploaded: Arc<[OnceLock<Tensor>]>,
    /// Bytes that an array may take.
    largest_array: usize,
}

/// What models of one graph share.
#[derive(Debug)]
struct Nodes {
    nodes: Vec<Node>,
    constants: Vec<Constant>,
    /// The nodes that compute values, by the values' names.
    makers: HashMap<String, usize>,
    /// The places of the constants, by name.
    places: HashMap<String, usize>,
}

impl Nodes {
    fn new(nodes: Vec<Node>, constants: Vec<Constant>) -> Self {
        let results = nodes.iter().enumerate().flat_map(|(at, node)| {
            let names = node.outputs.iter().filter(|name| !name.is_empty());
            names.map(move |name| (name.clone(), at))
        });
        let makers = results.collect();
        let places = constants.iter().enumerate().map(|(at, c)| (c.name.clone(), at)).collect();
        Nodes { nodes, constants, makers, places }
    }
}

/// A constant, on the host.
#[derive(Debug)]
struct Constant {
    name: String,
    kind: InputKind,
    value: Tensor,
}

/// How a graph model compares with the graph as it stands, run on several samples at once.
#[derive(Clone, Debug, PartialEq)]
pub enum Literal {
    /// Both were run; the largest difference of outputs, over the largest output.
    Difference(f64),
    /// The graph as it stands does not run on several samples: why not.
    NotPossible(String),
}

impl GraphModel {
    /// A model of parts, in the device's precision.
    ///
    /// # Errors
    /// If the parts make no graph: all that is wrong with them, with nodes and names.
    pub fn new(device: &Device, mut parts: GraphParts) -> Result<Self, Error> {
        check::checked(&mut parts)?;
        let named = |arrays: Vec<NamedArray>| -> Result<Vec<Param>, Error> {
            let each = arrays.into_iter();
            each.map(|NamedArray { name, shape, values, .. }| {
                Ok(Param { name, value: Tensor::from_vec(device, &shape, values)? })
            })
            .collect()
        };
        let host = Device::cpu_f64();
        let constants =
            parts.constants.into_iter().map(|NamedArray { name, kind, shape, values }| {
                Ok(Constant { name, kind, value: Tensor::from_vec(&host, &shape, values)? })
            });
        let constants: Vec<Constant> = constants.collect::<Result<_, Error>>()?;
        Ok(GraphModel {
            weights: Weights::new(device, named(parts.params)?, named(parts.buffers)?)?,
            inputs: parts.inputs,
            outputs: parts.outputs,
            uploaded: constants.iter().map(|_| OnceLock::new()).collect(),
            largest_array: device.memory().unwrap_or(isize::MAX as usize),
            graph: Arc::new(Nodes::new(parts.nodes, constants)),
        })
    }

    /// The nodes, each after those that it reads.
    pub fn nodes(&self) -> &[Node] {
        &self.graph.nodes
    }

    /// The inputs.
    pub fn inputs(&self) -> &[InputSpec] {
        &self.inputs
    }

    /// The outputs.
    pub fn outputs(&self) -> &[OutputSpec] {
        &self.outputs
    }

    /// The parts of the model, its numbers in its precision.
    ///
    /// # Errors
    /// If the device failed.
    pub fn parts(&self) -> Result<GraphParts, Error> {
        let constant = |Constant { name, kind, value }: &Constant| -> Result<NamedArray, Error> {
            Ok(NamedArray::new(name, value.shape(), value.to_host()?).of_kind(*kind))
        };
        Ok(GraphParts {
            inputs: self.inputs.clone(),
            outputs: self.outputs.clone(),
            params: NamedArray::all_of(self.params())?,
            buffers: NamedArray::all_of(self.buffers())?,
            constants: self.graph.constants.iter().map(constant).collect::<Result<_, _>>()?,
            nodes: self.graph.nodes.clone(),
        })
    }

    /// The same model with its inputs and outputs understood otherwise: where the samples and the
    /// classes are, which output is the prediction. Names and order stay.
    ///
    /// # Errors
    /// If names differ, an axis does not exist, or there is not one prediction.
    pub fn with_interface(
        &self,
        inputs: Vec<InputSpec>,
        outputs: Vec<OutputSpec>,
    ) -> Result<Self, Error> {
        let same = inputs.iter().map(|spec| &spec.name).eq(self.inputs.iter().map(|s| &s.name))
            && outputs.iter().map(|spec| &spec.name).eq(self.outputs.iter().map(|s| &s.name));
        if !same {
            let reason = "inputs and outputs keep their names and their order".to_string();
            return Err(GraphError::one(GraphProblem::Interface { reason }).into());
        }
        check::checked_interface(&inputs, &outputs)?;
        Ok(GraphModel { inputs, outputs, ..self.clone() })
    }

    /// The same model, which refuses to compute an array of more than `bytes` bytes per sample, for
    /// graphs from elsewhere: the lengths in a graph are claims. By default, the device's memory.
    #[must_use]
    pub fn largest_array(self, bytes: usize) -> Self {
        GraphModel { largest_array: bytes, ..self }
    }

    /// The model on another device or in another precision, its numbers rounded to it.
    ///
    /// # Errors
    /// If a device failed, now or before.
    pub fn to(&self, device: &Device) -> Result<Self, Error> {
        Ok(GraphModel {
            weights: self.weights.moved(device)?,
            uploaded: self.uploaded.iter().map(|_| OnceLock::new()).collect(),
            ..self.clone()
        })
    }

    /// Records a forward pass, in evaluation mode as everything in an imported graph is. The
    /// graph's output is the prediction `[N, C, *]`; its parameters are the model's, in the same
    /// order, under the same names.
    ///
    /// # Errors
    /// If an input is missing, surplus, misnamed, misshapen, empty or on another device or
    /// precision than the model, or a node can't take what reaches it: with the node and the
    /// shapes.
    pub fn forward(&self, inputs: impl Into<Inputs>) -> Result<Graph, Error> {
        let inputs = inputs.into();
        let arrays = self.checked(&inputs)?;
        let mut run = self.start();
        for (spec, value) in self.inputs.iter().zip(arrays) {
            let array = match spec.sample_axis {
                Some(axis) => run.recording.input(samples_first(value, axis), spec.kind),
                None => run.recording.shared_input(value, spec.kind)?,
            };
            run.values.insert(&spec.name, array.into());
        }
        self.run(&mut run)?;
        let output = self.prediction(&mut run)?;
        Ok(Graph::new(run.recording.into_device_tape(), output.var)?)
    }

    /// The class of the largest output of each sample, as [`Sequential::predict`].
    ///
    /// # Errors
    /// As [`forward`](GraphModel::forward), and if the output has no classes or the device failed.
    ///
    /// [`Sequential::predict`]: crate::Sequential::predict
    pub fn predict(&self, inputs: impl Into<Inputs>) -> Result<Vec<usize>, Error> {
        Ok(self.forward(inputs)?.value().argmax(1)?)
    }

    /// Runs the graph as it stands on all samples at once, without a sample axis of ours, and
    /// compares: a graph that mixes samples, or has them along another axis than its specification
    /// says, differs. Of one sample it can't be told.
    ///
    /// # Errors
    /// As [`forward`](GraphModel::forward), and if the device failed.
    pub fn compare_literally(&self, inputs: impl Into<Inputs>) -> Result<Literal, Error> {
        let inputs = inputs.into();
        let apart = self.forward(&inputs)?.value().to_vec()?;
        let whole = match self.literally(&inputs) {
            Ok(run) => self.literal_output(&run, self.prediction_spec())?,
            Err(error) => return Ok(Literal::NotPossible(error.to_string())),
        };
        let Some(order) = self.prediction_spec().order(whole.shape().rank()) else {
            let shape = whole.shape();
            return Ok(Literal::NotPossible(format!("the output has shape {shape}")));
        };
        let whole = whole.permute(&order).to_vec()?;
        if whole.len() != apart.len() {
            return Ok(Literal::Difference(f64::INFINITY));
        }
        let largest = apart.iter().fold(f64::MIN_POSITIVE, |most, x| most.max(x.abs()));
        // A NaN on one side is as far off as can be.
        let apart_by = |(a, b): (&f64, &f64)| match (a - b).abs() {
            _ if a == b => 0.0,
            difference if difference.is_nan() => f64::INFINITY,
            difference => difference,
        };
        let difference = apart.iter().zip(&whole).map(apart_by).fold(0.0, f64::max);
        Ok(Literal::Difference(difference / largest))
    }

    /// Runs the graph as it stands, without a sample axis of ours: its outputs, in their order, as
    /// an interpreter of the graph would return them.
    ///
    /// # Errors
    /// As [`forward`](GraphModel::forward), and if an output is a list of arrays.
    pub fn run_literally(&self, inputs: impl Into<Inputs>) -> Result<Vec<Tensor>, Error> {
        let inputs = inputs.into();
        let run = self.literally(&inputs)?;
        self.outputs.iter().map(|spec| self.literal_output(&run, spec)).collect()
    }

    /// A run of the graph as it stands: all samples are one of ours.
    fn literally(&self, inputs: &Inputs) -> Result<Run<'_>, Error> {
        let mut run = self.start();
        for (spec, value) in self.inputs.iter().zip(self.checked(inputs)?) {
            let array = match spec.sample_axis {
                Some(_) => {
                    let one = value.reshape(value.shape().prefixed(&[1]));
                    run.recording.input(one, spec.kind)
                }
                None => run.recording.shared_input(value, spec.kind)?,
            };
            run.values.insert(&spec.name, array.into());
        }
        self.run(&mut run)?;
        Ok(run)
    }

    fn literal_output(&self, run: &Run<'_>, spec: &OutputSpec) -> Result<Tensor, Error> {
        match run.values.get(spec.name.as_str()) {
            Some(Value::Array(array)) => Ok(run.recording.literal(*array, self.device())?),
            _ => Err(self.output_fault("it is a list of arrays, not an array".into())),
        }
    }

    /// The inputs' arrays, after everything that can be checked without running.
    fn checked<'i>(&self, inputs: &'i Inputs) -> Result<Vec<&'i Tensor>, Error> {
        let arrays = inputs.matched(&self.inputs)?;
        let mut samples: Option<usize> = None;
        for (at, (spec, &value)) in self.inputs.iter().zip(&arrays).enumerate() {
            self.check_device(|| format!("input {}", spec.name), value)?;
            let Some(axis) = spec.sample_axis else { continue };
            let shape = value.shape().to_vec();
            let n = *shape.get(axis).unwrap_or(&0);
            if n == 0 || value.len() == 0 {
                return Err(vivit_autodiff::Error::EmptyBatch { input: at, shape }.into());
            }
            let expected = *samples.get_or_insert(n);
            if n != expected {
                let what = format!("input {}", spec.name);
                return Err(vivit_autodiff::Error::BatchMismatch { what, got: n, expected }.into());
            }
        }
        Ok(arrays)
    }

    /// A run that knows parameters, buffers and constants.
    fn start(&self) -> Run<'_> {
        let mut recording = Recording::new(self.device(), self.largest_array);
        let mut values = HashMap::new();
        for Param { name, value } in self.params() {
            values.insert(name.as_str(), recording.param(name, value.clone()).into());
        }
        for Param { name, value } in self.buffers() {
            let array = recording.device_constant(value.clone(), InputKind::Float);
            values.insert(name.as_str(), array.into());
        }
        for Constant { name, kind, value } in &self.graph.constants {
            values.insert(name.as_str(), recording.host_tensor(value.clone(), *kind).into());
        }
        Run { recording, values }
    }

    /// Computes what the outputs need, and nothing else: of a branch that is not taken, no node.
    fn run<'m>(&'m self, run: &mut Run<'m>) -> Result<(), Error> {
        let Nodes { nodes, makers, places, .. } = &*self.graph;
        let outputs = self.outputs.iter().rev();
        let mut open: Vec<usize> =
            outputs.filter_map(|spec| makers.get(&spec.name)).copied().collect();
        let mut done = vec![false; nodes.len()];
        while let Some(&at) = open.last() {
            if done[at] {
                open.pop();
                continue;
            }
            let node = &nodes[at];
            // Constants that were on the device before need not be moved again.
            for constant in node.reads().filter_map(|name| places.get(name)) {
                self.share_constant(run, *constant);
            }
            let waits = run.waits_for(node)?;
            if waits.is_empty() {
                run.compute(node)?;
                done[at] = true;
                open.pop();
            } else {
                open.extend(waits.into_iter().rev().filter_map(|name| makers.get(name)));
            }
        }
        self.keep_constants(run);
        Ok(())
    }

    /// Uses what an earlier run moved to the device.
    fn share_constant(&self, run: &mut Run<'_>, at: usize) {
        let constant = &self.graph.constants[at];
        let (Some(tensor), Some(Value::Array(array))) =
            (self.uploaded[at].get(), run.values.get(constant.name.as_str()))
        else {
            return;
        };
        run.recording.known_on_device(*array, tensor);
    }

    /// Keeps what this run moved to the device.
    fn keep_constants(&self, run: &Run<'_>) {
        for (at, constant) in self.graph.constants.iter().enumerate() {
            if let Some(Value::Array(array)) = run.values.get(constant.name.as_str()) {
                if let Some(tensor) = run.recording.on_device(*array) {
                    let _ = self.uploaded[at].set(tensor.clone());
                }
            }
        }
    }

    fn prediction_spec(&self) -> &OutputSpec {
        let found = self.outputs.iter().find(|output| output.prediction);
        found.expect("checked when the model was built")
    }

    fn output_fault(&self, reason: String) -> Error {
        let name = &self.prediction_spec().name;
        let reason = format!("output {name}: {reason}");
        GraphError::one(GraphProblem::Interface { reason }).into()
    }

    /// The prediction as `[N, C, *]`.
    fn prediction(&self, run: &mut Run<'_>) -> Result<Array, Error> {
        let spec = self.prediction_spec();
        let Some(Value::Array(output)) = run.values.get(spec.name.as_str()).cloned() else {
            return Err(self.output_fault("it is a list of arrays, not an array".into()));
        };
        if !run.recording.is_batched(output) {
            return Err(vivit_autodiff::Error::OutputNotBatched.into());
        }
        let output = run.recording.settled(output);
        let shape = run.recording.shape(output);
        if shape.get(spec.sample_axis) != Some(&1) {
            return Err(self.output_fault(format!(
                "one sample gives shape {shape:?}, which does not have length 1 along axis {}, its \
                 sample axis; name another one",
                spec.sample_axis
            )));
        }
        let Some(order) = spec.order(shape.len()) else {
            return Err(self.output_fault(format!(
                "shape {shape:?} has no axis {} for the classes; name another one",
                spec.class_axis
            )));
        };
        let ordered = run.recording.permute(output, &order);
        let mut shape = run.recording.shape(ordered)[1..].to_vec();
        if shape.is_empty() {
            shape.push(1);
        }
        Ok(run.recording.reshape(ordered, &shape))
    }
}

/// What an output's axes are to losses.
trait Ordered {
    /// The axes with the samples in front, then the classes; `None` if there is no such axis. An
    /// output of one number per sample needs no axis of classes.
    fn order(&self, rank: usize) -> Option<Vec<usize>>;
}

impl Ordered for OutputSpec {
    fn order(&self, rank: usize) -> Option<Vec<usize>> {
        let first = [self.sample_axis, self.class_axis];
        let first = if rank == 1 { &first[..1] } else { &first };
        if first.iter().any(|&axis| axis >= rank) {
            return None;
        }
        let rest = (0..rank).filter(|axis| !first.contains(axis));
        Some(first.iter().copied().chain(rest).collect())
    }
}

/// An array with its samples in front, and an axis of length one where they were.
fn samples_first(value: &Tensor, axis: usize) -> Tensor {
    let mut order: Vec<usize> = (0..value.shape().rank()).filter(|&at| at != axis).collect();
    order.insert(0, axis);
    let moved = value.permute(&order);
    let mut shape = moved.shape().to_vec();
    shape.insert(1 + axis, 1);
    moved.reshape(&shape)
}

impl Deref for GraphModel {
    type Target = Weights;

    fn deref(&self) -> &Weights {
        &self.weights
    }
}

impl DerefMut for GraphModel {
    fn deref_mut(&mut self) -> &mut Weights {
        &mut self.weights
    }
}

impl Model for GraphModel {
    fn inputs(&self) -> &[InputSpec] {
        &self.inputs
    }

    fn outputs(&self) -> &[OutputSpec] {
        &self.outputs
    }

    fn params(&self) -> &[Param] {
        self.weights.params()
    }

    fn device(&self) -> &Device {
        self.weights.device()
    }

    fn record(&self, inputs: &Inputs) -> Result<Graph, vivit_autodiff::Error> {
        Ok(self.forward(inputs)?)
    }
}

//! Layers wired into a graph: for models that are no row of layers.

use std::collections::HashMap;
use std::ops::Range;

use vivit_autodiff::Var;

use crate::layers::branches::{join, joined_nodes, joined_shape};
use crate::{
    Error, Join, Layer, LayerArrays, LayerState, NodeWriter, ParamSpec, Recorder, ShapeError,
};

/// A value in a [`Wiring`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wire(usize);

/// One value of a wiring, made of earlier ones. Value 0 is the input, step i computes value i + 1.
#[derive(Debug)]
pub(crate) enum Step {
    /// A layer of its own.
    Layer { name: String, layer: Box<dyn Layer>, inputs: Vec<usize> },
    /// The layer of an earlier step once more.
    Again { name: String, inputs: Vec<usize> },
    /// Several values become one.
    Join { join: Join, inputs: Vec<usize> },
}

/// Builds a layer from layers that read each other's results in any order without a cycle: for
/// models that are no row of layers.
///
/// ```
/// use vivit_nn::{Join, Sequential, Wiring, linear, relu, tanh};
/// use vivit_tensor::Device;
///
/// let mut net = Wiring::new();
/// let x = net.input();
/// let hidden = net.layer("hidden", linear(3, 4), x);
/// let (left, right) = (net.layer("left", relu(), hidden), net.layer("right", tanh(), hidden));
/// let both = net.join(Join::Concat(1), &[left, right]);
/// let first = net.layer("first", linear(8, 4), both);
/// let twice = net.again("hidden", x); // the same parameters once more
/// let sum = net.join(Join::Sum, &[first, twice]);
///
/// let model = Sequential::wired(&Device::cpu(), net.output(sum), 0)?;
/// assert_eq!(model.params()[0].name, "hidden.weight");
/// assert_eq!(model.output_shape(&[3])?, [4]);
/// # Ok::<(), vivit_nn::Error>(())
/// ```
#[derive(Debug)]
pub struct Wiring {
    steps: Vec<Step>,
}

impl Wiring {
    /// No layers yet.
    #[allow(clippy::new_without_default)] // a builder is asked for by name
    pub fn new() -> Self {
        Wiring { steps: Vec::new() }
    }

    /// The input.
    pub fn input(&self) -> Wire {
        Wire(0)
    }

    fn push(&mut self, step: Step) -> Wire {
        self.steps.push(step);
        Wire(self.steps.len())
    }

    /// A layer that reads `input`. Its parameters are called `name.weight` and so on; names must
    /// differ.
    pub fn layer(&mut self, name: &str, layer: Box<dyn Layer>, input: Wire) -> Wire {
        self.layer_of(name, layer, &[input])
    }

    /// As [`layer`](Wiring::layer), for a layer that reads several values: attention of queries to
    /// other values.
    ///
    /// ```
    /// use vivit_nn::{MultiheadAttention, Layer, Sequential, Wiring, linear};
    /// use vivit_tensor::Device;
    ///
    /// let mut net = Wiring::new();
    /// let x = net.input();
    /// let memory = net.layer("memory", linear(8, 6), x);
    /// let attention = MultiheadAttention::new(8, 2).key_features(6).value_features(6);
    /// let y = net.layer_of("attention", attention.boxed(), &[x, memory, memory]);
    ///
    /// let model = Sequential::wired(&Device::cpu(), net.output(y), 0)?;
    /// assert_eq!(model.output_shape(&[5, 8])?, [5, 8]);
    /// # Ok::<(), vivit_nn::Error>(())
    /// ```
    pub fn layer_of(&mut self, name: &str, layer: Box<dyn Layer>, inputs: &[Wire]) -> Wire {
        self.push(Step::Layer { name: name.into(), layer, inputs: numbers(inputs) })
    }

    /// The layer called `name` once more, with the same parameters, reading `input`.
    pub fn again(&mut self, name: &str, input: Wire) -> Wire {
        self.again_of(name, &[input])
    }

    /// As [`again`](Wiring::again), for a layer that reads several values.
    pub fn again_of(&mut self, name: &str, inputs: &[Wire]) -> Wire {
        self.push(Step::Again { name: name.into(), inputs: numbers(inputs) })
    }

    /// Several values become one.
    pub fn join(&mut self, join: Join, inputs: &[Wire]) -> Wire {
        self.push(Step::Join { join, inputs: numbers(inputs) })
    }

    /// The finished layer, whose result is `output`.
    pub fn output(self, output: Wire) -> Box<dyn Layer> {
        Box::new(Wired { steps: self.steps, output: output.0 })
    }
}

fn numbers(wires: &[Wire]) -> Vec<usize> {
    wires.iter().map(|wire| wire.0).collect()
}

/// A finished [`Wiring`].
#[derive(Debug)]
pub(crate) struct Wired {
    steps: Vec<Step>,
    /// The number of the value that is the result.
    output: usize,
}

/// A layer of a wiring, and which of the wiring's parameters and buffers it uses.
#[derive(Clone)]
struct Owned<'w> {
    layer: &'w dyn Layer,
    params: Range<usize>,
    buffers: Range<usize>,
}

impl Wired {
    /// The layer of steps that were written down elsewhere.
    ///
    /// # Errors
    /// If the steps can't be, with the reason.
    pub fn of(steps: Vec<Step>, output: usize) -> Result<Self, String> {
        let wired = Wired { steps, output };
        wired.check_steps()?;
        Ok(wired)
    }

    pub fn steps(&self) -> &[Step] {
        &self.steps
    }

    pub fn result(&self) -> usize {
        self.output
    }

    /// Whether every value is there before it is read, and every name means one layer.
    fn check_steps(&self) -> Result<(), String> {
        let mut names: Vec<&str> = Vec::new();
        for (at, step) in self.steps.iter().enumerate() {
            let (Step::Layer { inputs, .. }
            | Step::Again { inputs, .. }
            | Step::Join { inputs, .. }) = step;
            if let Some(&unknown) = inputs.iter().find(|&&input| input > at) {
                return Err(format!(
                    "step {at} reads value {unknown}, which is computed later or elsewhere"
                ));
            }
            match step {
                Step::Layer { name, .. } if names.contains(&name.as_str()) => {
                    return Err(format!(
                        "two layers are called {name}; give each a name of its own"
                    ));
                }
                Step::Again { name, .. } if !names.contains(&name.as_str()) => {
                    return Err(format!(
                        "no layer before step {at} is called {name}; there are {}",
                        names.join(", ")
                    ));
                }
                Step::Layer { name, .. } => names.push(name),
                _ => {}
            }
        }
        if self.output > self.steps.len() {
            return Err(format!("the output is value {}, which nothing computes", self.output));
        }
        Ok(())
    }

    /// The layers that own parameters, by name.
    fn owners(&self) -> impl Iterator<Item = (&str, &dyn Layer)> {
        self.steps.iter().filter_map(|step| match step {
            Step::Layer { name, layer, .. } => Some((name.as_str(), layer.as_ref())),
            _ => None,
        })
    }

    /// As [`owners`](Wired::owners), with where their parameters and buffers are among those of the
    /// wiring.
    fn owned(&self) -> HashMap<&str, Owned<'_>> {
        let (mut param, mut buffer) = (0, 0);
        self.owners()
            .map(|(name, layer)| {
                let ends = (param + layer.params().len(), buffer + layer.buffers().len());
                let owned = Owned { layer, params: param..ends.0, buffers: buffer..ends.1 };
                (param, buffer) = ends;
                (name, owned)
            })
            .collect()
    }

    fn named(&self, specs: impl Fn(&dyn Layer) -> Vec<ParamSpec>) -> Vec<ParamSpec> {
        let named = |(owner, layer)| {
            specs(layer).into_iter().map(move |spec| spec.inside(owner)).collect::<Vec<_>>()
        };
        self.owners().flat_map(named).collect()
    }
}

impl Layer for Wired {
    fn name(&self) -> String {
        format!("wiring of {} layers", self.owners().count())
    }

    fn params(&self) -> Vec<ParamSpec> {
        self.named(|layer| layer.params())
    }

    fn buffers(&self) -> Vec<ParamSpec> {
        self.named(|layer| layer.buffers())
    }

    fn output_shape(&self, input: &[usize]) -> Result<Vec<usize>, ShapeError> {
        let mut shapes = vec![input.to_vec()];
        for step in &self.steps {
            let read = |inputs: &[usize]| -> Vec<Vec<usize>> {
                inputs.iter().map(|&at| shapes[at].clone()).collect()
            };
            let shape_of = |name: &str, layer: &dyn Layer, inputs: &[usize]| {
                let inputs: Vec<&[usize]> =
                    inputs.iter().map(|&at| shapes[at].as_slice()).collect();
                layer.output_shape_of(&inputs).map_err(|error| error.inside(name))
            };
            let shape = match step {
                Step::Layer { name, layer, inputs } => shape_of(name, layer.as_ref(), inputs)?,
                Step::Again { name, inputs } => {
                    let (_, layer) = self
                        .owners()
                        .find(|(owner, _)| owner == name)
                        .expect("checked when the model was built");
                    shape_of(name, layer, inputs)?
                }
                Step::Join { join, inputs } => joined_shape(*join, &read(inputs))
                    .map_err(|reason| ShapeError::new(self.name(), reason))?,
            };
            shapes.push(shape);
        }
        Ok(shapes.swap_remove(self.output))
    }

    fn record(&self, recorder: &mut Recorder<'_>, state: LayerState<'_>, x: Var) -> Var {
        let owned = self.owned();
        let mut values = vec![x];
        for step in &self.steps {
            let read = |inputs: &[usize]| inputs.iter().map(|&at| values[at]).collect::<Vec<_>>();
            let value = match step {
                Step::Layer { name, inputs, .. } | Step::Again { name, inputs } => {
                    let Owned { layer, params, buffers } = owned[name.as_str()].clone();
                    let state = LayerState {
                        params: &state.params[params],
                        buffers: &mut state.buffers[buffers],
                    };
                    layer.record_of(recorder, state, &read(inputs))
                }
                Step::Join { join: how, inputs } => join(*how, recorder.tape, &read(inputs)),
            };
            values.push(value);
        }
        values[self.output]
    }

    fn check(&self) -> Result<(), Error> {
        self.check_steps().map_err(Error::Wiring)?;
        self.owners().try_for_each(|(_, layer)| layer.check())
    }

    fn nodes(
        &self,
        writer: &mut NodeWriter,
        arrays: LayerArrays<'_>,
        x: &str,
    ) -> Result<String, Error> {
        let owned = self.owned();
        let mut values = vec![x.to_string()];
        for step in &self.steps {
            let read =
                |inputs: &[usize]| inputs.iter().map(|&at| values[at].as_str()).collect::<Vec<_>>();
            let value = match step {
                Step::Layer { name, inputs, .. } | Step::Again { name, inputs } => {
                    let Owned { layer, params, buffers } = owned[name.as_str()].clone();
                    let arrays = LayerArrays {
                        params: &arrays.params[params],
                        buffers: &arrays.buffers[buffers],
                    };
                    let inputs = read(inputs);
                    writer.inside(name, |writer| layer.nodes_of(writer, arrays, &inputs))?
                }
                Step::Join { join, inputs } => joined_nodes(*join, writer, &read(inputs))
                    .ok_or_else(|| writer.refused(self.name(), "it joins no values"))?,
            };
            values.push(value);
        }
        Ok(values.swap_remove(self.output))
    }
}

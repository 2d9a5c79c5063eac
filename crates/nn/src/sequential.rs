//! Models: a row of layers and the numbers they need.

use std::ops::{Deref, DerefMut};

use vivit_autodiff::{Graph, InputSpec, Inputs, Model, OutputSpec, Param, Tape, Var};
use vivit_tensor::{Device, Rng, Tensor};

use crate::layer::{LayerState, Mode, Recorder};
use crate::layer_list::LayerList;
use crate::{Error, Layer, ParamSpec, Weights};

/// Layers in a row and their parameters. Cloning shares the layers and copies parameters when they
/// are changed.
///
/// # Examples
/// ```
/// use vivit_autodiff::CrossEntropy;
/// use vivit_nn::{Sequential, linear, relu};
/// use vivit_tensor::{Device, Tensor};
///
/// let cpu = Device::cpu();
/// let model = Sequential::new(&cpu, vec![linear(2, 8), relu(), linear(8, 3)], 0)?;
/// assert_eq!(model.params()[2].name, "2.weight");
/// let x = Tensor::from_vec(&cpu, [2, 2], vec![0.1, 0.2, 0.3, 0.4])?;
/// let graph = model.forward(&x)?;
/// assert_eq!(graph.value().shape(), &[2, 3]);
/// let gradient = graph.backward(&CrossEntropy::mean([0, 2]))?;
/// assert_eq!(gradient[model.param_id("2.weight")?].shape(), &[3, 8]);
/// # Ok::<(), vivit_nn::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Sequential {
    weights: Weights,
    row: LayerList,
    /// Random numbers of training passes.
    rng: Rng,
    inputs: [InputSpec; 1],
    outputs: [OutputSpec; 1],
}

impl Sequential {
    /// A model with PyTorch's default initialisation, drawn from `seed`, in the device's precision.
    ///
    /// # Errors
    /// If a layer shares the parameters of one that does not come before it, or a parameter does
    /// not fit into memory.
    pub fn new(device: &Device, layers: Vec<Box<dyn Layer>>, seed: u64) -> Result<Self, Error> {
        Self::of(device, layers.into(), seed)
    }

    /// A model that is one layer, whose parameters bear the layer's own names: a finished
    /// [`Wiring`](crate::Wiring) with `layer1.0.conv1.weight`, not `0.layer1.0.conv1.weight`.
    ///
    /// # Errors
    /// As [`new`](Sequential::new).
    pub fn wired(device: &Device, layer: Box<dyn Layer>, seed: u64) -> Result<Self, Error> {
        Self::of(device, LayerList::bare(layer), seed)
    }

    fn of(device: &Device, row: LayerList, seed: u64) -> Result<Self, Error> {
        row.check("")?;
        let mut rng = Rng::new(seed);
        let mut draw = |spec: ParamSpec| {
            let entries = spec.init.draw(entries_of(&spec)?, &mut rng);
            Ok(Param { name: spec.name, value: Tensor::from_vec(device, &spec.shape, entries)? })
        };
        let params = row.params().into_iter().map(&mut draw).collect::<Result<_, Error>>()?;
        let buffers = row.buffers().into_iter().map(&mut draw).collect::<Result<_, Error>>()?;
        Ok(Sequential {
            weights: Weights::new(device, params, buffers)?,
            row,
            rng,
            inputs: [InputSpec::new("input")],
            outputs: [OutputSpec::new("output")],
        })
    }

    /// The generator of the random numbers of training passes, as it stands: what dropout draws
    /// from. Its text goes into a file beside the model's numbers
    /// ([`save_with`](Weights::save_with)).
    pub fn rng(&self) -> &Rng {
        &self.rng
    }

    /// Goes on with other random numbers in training passes: those of a run that was stopped.
    ///
    /// ```
    /// use vivit_nn::{Sequential, dropout};
    /// use vivit_tensor::{Device, Tensor};
    ///
    /// let cpu = Device::cpu();
    /// let x = Tensor::full(&cpu, [2, 8], 1.0);
    /// let mut model = Sequential::new(&cpu, vec![dropout(0.5)], 1)?;
    /// model.forward_training(&x)?;
    /// let mut resumed = Sequential::new(&cpu, vec![dropout(0.5)], 2)?;
    /// resumed.set_rng(model.rng().to_string().parse()?);
    /// let dropped = model.forward_training(&x)?.value().to_vec()?;
    /// assert_eq!(resumed.forward_training(&x)?.value().to_vec()?, dropped);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn set_rng(&mut self, rng: Rng) {
        self.rng = rng;
    }

    /// The layers.
    pub fn layers(&self) -> &[Box<dyn Layer>] {
        self.row.layers()
    }

    pub(crate) fn row(&self) -> &LayerList {
        &self.row
    }

    /// Whether the model was made by [`wired`](Sequential::wired).
    pub(crate) fn is_wired(&self) -> bool {
        self.row.is_bare()
    }

    /// The model on another device or in another precision, its numbers rounded to it.
    ///
    /// ```
    /// use vivit_nn::{Sequential, linear};
    /// use vivit_tensor::Device;
    ///
    /// let model = Sequential::new(&Device::cpu(), vec![linear(2, 3)], 0)?;
    /// let precise = model.to(&Device::cpu_f64())?;
    /// assert_eq!(precise.params()[0].value.to_vec()?, model.params()[0].value.to_vec()?);
    /// # Ok::<(), vivit_nn::Error>(())
    /// ```
    ///
    /// # Errors
    /// If a device failed, now or before.
    pub fn to(&self, device: &Device) -> Result<Self, Error> {
        Ok(Sequential {
            weights: self.weights.moved(device)?,
            row: self.row.clone(),
            rng: self.rng.clone(),
            inputs: self.inputs.clone(),
            outputs: self.outputs.clone(),
        })
    }

    /// The shape of one sample's output for the shape of one sample's input.
    ///
    /// # Errors
    /// If a layer can't take what reaches it, with the layer's path.
    pub fn output_shape(&self, input: &[usize]) -> Result<Vec<usize>, Error> {
        Ok(self.row.output_shape(input)?)
    }

    /// Records a forward pass of `x: [N, *]` in evaluation mode. The graph's parameters are the
    /// model's, in the same order, under the same names.
    ///
    /// # Errors
    /// If the batch is empty or on another device or precision than the model, or a layer can't
    /// take what reaches it; before any work.
    pub fn forward(&self, x: &Tensor) -> Result<Graph, Error> {
        // Buffers are shared until somebody writes; nobody does in evaluation mode.
        let mut buffers = self.buffer_values();
        self.run(x, Mode::Evaluation, &mut self.rng.clone(), &mut buffers)
    }

    /// The class of the largest output of each sample of `x: [N, *]`, in evaluation mode; of each
    /// sample and position, row-major, where the output `[N, C, *]` has positions.
    ///
    /// ```
    /// use vivit_nn::{Sequential, flatten};
    /// use vivit_tensor::{Device, Tensor};
    ///
    /// let cpu = Device::cpu();
    /// let model = Sequential::new(&cpu, vec![flatten()], 0)?;
    /// let x = Tensor::from_vec(&cpu, [2, 3], vec![0.1, 0.7, 0.2, 0.9, 0.0, 0.1])?;
    /// assert_eq!(model.predict(&x)?, [1, 0]);
    /// # Ok::<(), vivit_nn::Error>(())
    /// ```
    ///
    /// # Errors
    /// As [`forward`](Sequential::forward), and if the output has no classes or the device failed.
    pub fn predict(&self, x: &Tensor) -> Result<Vec<usize>, Error> {
        Ok(self.forward(x)?.value().argmax(1)?)
    }

    /// Records a forward pass in training mode: dropout drops, batch norm uses the batch's
    /// statistics and updates the running ones.
    ///
    /// # Errors
    /// As [`forward`](Sequential::forward).
    pub fn forward_training(&mut self, x: &Tensor) -> Result<Graph, Error> {
        let mut buffers = self.buffer_values();
        let mut rng = self.rng.clone();
        let graph = self.run(x, Mode::Training, &mut rng, &mut buffers)?;
        self.rng = rng;
        self.set_buffer_values(buffers);
        Ok(graph)
    }

    fn run(
        &self,
        x: &Tensor,
        mode: Mode,
        rng: &mut Rng,
        buffers: &mut [Tensor],
    ) -> Result<Graph, Error> {
        let shape = x.shape();
        if shape.first().is_none_or(|&n| n == 0) {
            return Err(
                vivit_autodiff::Error::EmptyBatch { input: 0, shape: shape.to_vec() }.into()
            );
        }
        self.check_device(|| "the input".into(), x)?;
        self.output_shape(&shape[1..])?;
        self.row.check_input(x)?;
        let mut tape = Tape::new(self.device());
        let params: Vec<Var> = self
            .params()
            .iter()
            .map(|param| tape.named_param(&param.name, param.value.clone()))
            .collect();
        let input = tape.input(x.clone());
        let mut recorder = Recorder { tape: &mut tape, mode, rng };
        let output = self.row.record(&mut recorder, LayerState { params: &params, buffers }, input);
        Ok(Graph::new(tape, output)?)
    }
}

impl Deref for Sequential {
    type Target = Weights;

    fn deref(&self) -> &Weights {
        &self.weights
    }
}

impl DerefMut for Sequential {
    fn deref_mut(&mut self) -> &mut Weights {
        &mut self.weights
    }
}

/// One input `[N, *]`, one output `[N, C, *]`.
impl Model for Sequential {
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
        Ok(self.forward(inputs.matched(&self.inputs)?[0])?)
    }
}

/// The number of entries of a parameter. A shape may come from a file: what can't be had is an
/// error, not the end of the program.
fn entries_of(spec: &ParamSpec) -> Result<usize, Error> {
    let product = spec.shape.iter().try_fold(1usize, |product, &len| product.checked_mul(len));
    let possible = product.filter(|&len| Vec::<f64>::new().try_reserve_exact(len).is_ok());
    possible.ok_or_else(|| Error::TooLarge { name: spec.name.clone(), shape: spec.shape.clone() })
}

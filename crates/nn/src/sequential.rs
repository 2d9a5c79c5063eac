//! Models: a row of layers and the numbers they need.

use vivit_autodiff::{Graph, ParamId, ParamMap, Tape, Var};
use vivit_tensor::{Device, Rng, Tensor};

use crate::layer::{LayerState, Mode, Recorder};
use crate::layer_list::LayerList;
use crate::{Error, Layer, ParamSpec};

/// A parameter of a model.
#[derive(Clone, Debug)]
pub struct Param {
    /// PyTorch's name: the layer's path and the parameter's name in it, `"2.body.0.weight"`.
    pub name: String,
    /// The value.
    pub value: Tensor,
}

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
    device: Device,
    row: LayerList,
    params: Vec<Param>,
    buffers: Vec<Param>,
    /// Random numbers of training passes.
    rng: Rng,
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
        Ok(Sequential { device: device.clone(), row, params, buffers, rng })
    }

    /// The layers.
    pub fn layers(&self) -> &[Box<dyn Layer>] {
        self.row.layers()
    }

    /// Whether the model was made by [`wired`](Sequential::wired).
    pub(crate) fn is_wired(&self) -> bool {
        self.row.is_bare()
    }

    /// The device, with the precision of the model's arrays.
    pub fn device(&self) -> &Device {
        &self.device
    }

    /// The parameters, in the order of the layers.
    pub fn params(&self) -> &[Param] {
        &self.params
    }

    /// What belongs to the model without being parameters: running statistics.
    pub fn buffers(&self) -> &[Param] {
        &self.buffers
    }

    /// Number of entries of all parameters.
    pub fn num_params(&self) -> usize {
        self.params.iter().map(|param| param.value.len()).sum()
    }

    /// Replaces a parameter's or a buffer's value.
    ///
    /// # Errors
    /// If there is none of that name, or it has another shape, device or precision.
    pub fn set_param(&mut self, name: &str, value: Tensor) -> Result<(), Error> {
        let known = self.param(name)?.shape();
        if known != value.shape() {
            let (expected, got) = (known.to_vec(), value.shape().to_vec());
            return Err(Error::ParameterShape { name: name.into(), expected, got });
        }
        self.check_device(|| format!("the value of {name}"), &value)?;
        let mut all = self.params.iter_mut().chain(&mut self.buffers);
        if let Some(param) = all.find(|param| param.name == name) {
            param.value = value;
        }
        Ok(())
    }

    /// The value of a parameter or a buffer.
    ///
    /// # Errors
    /// If there is none of that name.
    pub fn param(&self, name: &str) -> Result<&Tensor, Error> {
        let mut all = self.params.iter().chain(&self.buffers);
        let found = all.find(|param| param.name == name).map(|param| &param.value);
        found.ok_or_else(|| self.unknown(name, self.params.iter().chain(&self.buffers)))
    }

    /// The number of a parameter, by which results, directions and steps are keyed.
    ///
    /// # Errors
    /// If there is none of that name.
    pub fn param_id(&self, name: &str) -> Result<ParamId, Error> {
        let found = self.params.iter().position(|param| param.name == name);
        found.map(ParamId::new).ok_or_else(|| self.unknown(name, self.params.iter()))
    }

    fn unknown<'p>(&self, name: &str, known: impl Iterator<Item = &'p Param>) -> Error {
        let known = known.map(|param| param.name.clone()).collect();
        Error::UnknownParameter { name: name.into(), known }
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
        let moved = |params: &[Param]| -> Result<Vec<Param>, Error> {
            let each = params.iter();
            each.map(|Param { name, value }| {
                Ok(Param { name: name.clone(), value: value.to(device)? })
            })
            .collect()
        };
        Ok(Sequential {
            device: device.clone(),
            row: self.row.clone(),
            params: moved(&self.params)?,
            buffers: moved(&self.buffers)?,
            rng: self.rng.clone(),
        })
    }

    /// Refuses an array of another device or precision than the model's.
    fn check_device(&self, what: impl FnOnce() -> String, value: &Tensor) -> Result<(), Error> {
        if value.device() == &self.device {
            return Ok(());
        }
        let (got, expected) = (value.device().to_string(), self.device.to_string());
        Err(vivit_tensor::Error::DeviceMismatch { what: what(), got, expected }.into())
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
        let mut buffers: Vec<Tensor> =
            self.buffers.iter().map(|buffer| buffer.value.clone()).collect();
        self.record(x, Mode::Evaluation, &mut self.rng.clone(), &mut buffers)
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
        let mut buffers: Vec<Tensor> =
            self.buffers.iter().map(|buffer| buffer.value.clone()).collect();
        let mut rng = self.rng.clone();
        let graph = self.record(x, Mode::Training, &mut rng, &mut buffers)?;
        self.rng = rng;
        self.buffers.iter_mut().zip(buffers).for_each(|(buffer, value)| buffer.value = value);
        Ok(graph)
    }

    fn record(
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
        let mut tape = Tape::new(&self.device);
        let params: Vec<Var> = self
            .params
            .iter()
            .map(|param| tape.named_param(&param.name, param.value.clone()))
            .collect();
        let input = tape.input(x.clone());
        let mut recorder = Recorder { tape: &mut tape, mode, rng };
        let output = self.row.record(&mut recorder, LayerState { params: &params, buffers }, input);
        Ok(Graph::new(tape, output)?)
    }

    /// `θ += alpha · change`, for the parameters that `change` has.
    ///
    /// # Errors
    /// If a key is none of the model's parameters, or a value has another shape, device or
    /// precision.
    pub fn add_scaled(&mut self, alpha: f64, change: &ParamMap<Tensor>) -> Result<(), Error> {
        self.update(change, |_, value, change| value.axpy(alpha, change))
    }

    /// Calls `each` with every parameter that `change` has: its key, its value to write to, and its
    /// change.
    ///
    /// # Errors
    /// As [`add_scaled`](Sequential::add_scaled); before the first call, so that an error leaves
    /// the model as it was.
    pub(crate) fn update(
        &mut self,
        change: &ParamMap<Tensor>,
        mut each: impl FnMut(ParamId, &mut Tensor, &Tensor),
    ) -> Result<(), Error> {
        for (param, value) in change.iter() {
            let known = self.params.len();
            let Some(param) = self.params.get(param.index()) else {
                return Err(vivit_autodiff::Error::NoParameter { param, known }.into());
            };
            if param.value.shape() != value.shape() {
                let (expected, got) = (param.value.shape().to_vec(), value.shape().to_vec());
                return Err(Error::ParameterShape { name: param.name.clone(), expected, got });
            }
            self.check_device(|| format!("the change of {}", param.name), value)?;
        }
        for (param, change) in change.iter() {
            each(param, &mut self.params[param.index()].value, change);
        }
        Ok(())
    }
}

/// The number of entries of a parameter. A shape may come from a file: what can't be had is an
/// error, not the end of the program.
fn entries_of(spec: &ParamSpec) -> Result<usize, Error> {
    let product = spec.shape.iter().try_fold(1usize, |product, &len| product.checked_mul(len));
    let possible = product.filter(|&len| Vec::<f64>::new().try_reserve_exact(len).is_ok());
    possible.ok_or_else(|| Error::TooLarge { name: spec.name.clone(), shape: spec.shape.clone() })
}

//! A model's numbers: parameters and what else a state dictionary holds.

use vivit_autodiff::{Param, ParamId, ParamMap};
use vivit_tensor::{Device, Tensor};

use crate::Error;

/// The named arrays of a model: parameters, and buffers such as running statistics.
///
/// [`Sequential`](crate::Sequential) and [`GraphModel`](crate::GraphModel) dereference to theirs:
/// what reads, changes, saves and loads a model's numbers is here, once for both. Cloning copies an
/// array when it is changed.
///
/// ```
/// use vivit_nn::{Sequential, linear};
/// use vivit_tensor::Device;
///
/// let model = Sequential::new(&Device::cpu(), vec![linear(4, 3)], 0)?;
/// assert_eq!(model.num_params(), 15);
/// assert_eq!(model.param("0.bias")?.shape(), &[3]);
/// # Ok::<(), vivit_nn::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Weights {
    device: Device,
    params: Vec<Param>,
    buffers: Vec<Param>,
}

impl Weights {
    /// The arrays of a model on a device.
    ///
    /// # Errors
    /// If an array is on another device or of another precision.
    pub fn new(device: &Device, params: Vec<Param>, buffers: Vec<Param>) -> Result<Self, Error> {
        let weights = Weights { device: device.clone(), params, buffers };
        for Param { name, value } in weights.params.iter().chain(&weights.buffers) {
            weights.check_device(|| format!("the value of {name}"), value)?;
        }
        Ok(weights)
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

    /// The same numbers on another device or in another precision, rounded to it.
    pub(crate) fn moved(&self, device: &Device) -> Result<Self, Error> {
        let moved = |params: &[Param]| -> Result<Vec<Param>, Error> {
            let each = params.iter();
            each.map(|Param { name, value }| {
                Ok(Param { name: name.clone(), value: value.to(device)? })
            })
            .collect()
        };
        Ok(Weights {
            device: device.clone(),
            params: moved(&self.params)?,
            buffers: moved(&self.buffers)?,
        })
    }

    /// The values of the buffers, shared until somebody writes to them.
    pub(crate) fn buffer_values(&self) -> Vec<Tensor> {
        self.buffers.iter().map(|buffer| buffer.value.clone()).collect()
    }

    /// Replaces the buffers' values, in their order.
    pub(crate) fn set_buffer_values(&mut self, values: Vec<Tensor>) {
        self.buffers.iter_mut().zip(values).for_each(|(buffer, value)| buffer.value = value);
    }

    /// Refuses an array of another device or precision than the model's.
    pub(crate) fn check_device(
        &self,
        what: impl FnOnce() -> String,
        value: &Tensor,
    ) -> Result<(), Error> {
        if value.device() == &self.device {
            return Ok(());
        }
        let (got, expected) = (value.device().to_string(), self.device.to_string());
        Err(vivit_tensor::Error::DeviceMismatch { what: what(), got, expected }.into())
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

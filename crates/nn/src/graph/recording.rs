//! Two tapes that record a graph: one on the model's device, and one on the host, for arithmetic on
//! shapes and constants.
//!
//! Every operation is written once and runs on either: on the host while all its arguments are
//! there, on the device from the first one that is not. What the host computed is uploaded as a
//! constant when the device needs it.

use std::collections::HashMap;

use vivit_autodiff::{InputKind, Tape, Var};
use vivit_tensor::{DType, Device, Shape, Tensor};

use super::fault::{Fault, ensure};
use super::value::{Array, Place};

/// Axes that an array of a graph may have: the sample axis, and the columns that travel through it,
/// come in front, and operations put a few between.
const MAX_RANK: usize = Shape::MAX_RANK - 4;

pub(crate) struct Recording {
    device: Tape,
    host: Tape,
    /// Positions on the host's tape, to variables of the device's.
    uploaded: HashMap<usize, Var>,
    /// Number of samples, from the inputs on.
    samples: usize,
    /// A zero per sample, `[N]`, from its first use on.
    zeros: Option<Var>,
    /// Numbers that an array may have.
    most: usize,
}

impl Recording {
    pub fn new(device: &Device, largest_array: usize) -> Self {
        let width = match device.dtype() {
            DType::F32 => 4,
            DType::F64 => 8,
        };
        Recording {
            device: Tape::new(device),
            host: Tape::new(&Device::cpu_f64()),
            uploaded: HashMap::new(),
            samples: 1,
            zeros: None,
            most: largest_array / width,
        }
    }

    /// The tape of a place.
    pub fn tape(&mut self, place: Place) -> &mut Tape {
        match place {
            Place::Host => &mut self.host,
            Place::Device => &mut self.device,
        }
    }

    pub fn into_device_tape(self) -> Tape {
        self.device
    }

    /// An input with a sample axis in front.
    pub fn input(&mut self, value: Tensor, kind: InputKind) -> Array {
        self.samples = value.shape()[0];
        let var = self.device.input(value);
        Array { var, place: Place::Device, kind, turned: false }
    }

    /// A parameter.
    pub fn param(&mut self, name: &str, value: Tensor) -> Array {
        let var = self.device.named_param(name, value);
        Array { var, place: Place::Device, kind: InputKind::Float, turned: false }
    }

    /// An input that all samples share: known to the host, too.
    pub fn shared_input(
        &mut self,
        value: &Tensor,
        kind: InputKind,
    ) -> Result<Array, vivit_tensor::Error> {
        let array = self.host_tensor(value.to(&Device::cpu_f64())?, kind);
        self.known_on_device(array, value);
        Ok(array)
    }

    /// The array as the graph sees it, of the only sample.
    pub fn literal(&self, array: Array, device: &Device) -> Result<Tensor, vivit_tensor::Error> {
        let value = self.tensor(array);
        let shape = &value.shape()[self.lead(array)..];
        let value = value.reshape(shape);
        let value = if array.turned { value.permute(&[1, 0]) } else { value };
        if array.place == Place::Host { value.to(device) } else { Ok(value) }
    }

    /// An array on the device that all samples share.
    pub fn device_constant(&mut self, value: Tensor, kind: InputKind) -> Array {
        let var = self.device.constant(value);
        Array { var, place: Place::Device, kind, turned: false }
    }

    /// The array of the host on the device, if it was moved there.
    pub fn on_device(&self, array: Array) -> Option<&Tensor> {
        let moved = self.uploaded.get(&array.var.index()).filter(|_| array.place == Place::Host);
        moved.map(|&var| self.device.value(var))
    }

    /// The array on the device, with a copy for each sample if all of them share it.
    pub fn per_sample(&mut self, array: Array) -> Result<Array, Fault> {
        let array = self.settled(array);
        let array = self.upload(array)?;
        if self.is_batched(array) {
            return Ok(array);
        }
        let zeros = match self.zeros {
            Some(zeros) => zeros,
            None => {
                let zeros = Tensor::zeros(self.device.device(), [self.samples]);
                *self.zeros.insert(self.device.input(zeros))
            }
        };
        let zeros = self.device.reshape(zeros, &vec![1; self.rank(array)]);
        let var = self.device.add(zeros, array.var);
        Ok(Array { var, ..array })
    }

    fn tensor(&self, array: Array) -> &Tensor {
        match array.place {
            Place::Host => self.host.value(array.var),
            Place::Device => self.device.value(array.var),
        }
    }

    /// Whether each sample has an array of its own.
    pub fn is_batched(&self, array: Array) -> bool {
        array.place == Place::Device && self.device.is_batched(array.var)
    }

    /// Axes in front of the graph's own: 1 where there is a sample axis.
    pub fn lead(&self, array: Array) -> usize {
        usize::from(self.is_batched(array))
    }

    /// The shape as the graph sees it: of one sample.
    pub fn shape(&self, array: Array) -> Vec<usize> {
        let mut shape = self.tensor(array).shape()[self.lead(array)..].to_vec();
        if array.turned {
            shape.reverse();
        }
        shape
    }

    pub fn rank(&self, array: Array) -> usize {
        self.tensor(array).shape().rank() - self.lead(array)
    }

    /// The numbers of an array on the host.
    pub fn numbers(&self, array: Array) -> Option<Vec<f64>> {
        let on_host = array.place == Place::Host;
        on_host.then(|| self.host.value(array.var).to_vec().expect("the host's arrays are there"))
    }

    /// The argument that a condition names: 1 where it holds, else 2.
    pub fn branch(&self, condition: Array) -> Result<usize, Fault> {
        match self.numbers(condition).as_deref() {
            Some(&[truth]) => Ok(if truth != 0.0 { 1 } else { 2 }),
            Some(numbers) => {
                Err(format!("the condition must be one number, got {}", numbers.len()).into())
            }
            None => Err("the condition depends on the numbers of an input or a parameter; which \
                         branch is taken must follow from shapes alone"
                .into()),
        }
    }

    /// Refuses a shape that no array can have, before it is made.
    pub fn check_shape(&self, shape: &[usize]) -> Result<(), Fault> {
        ensure!(
            shape.len() <= MAX_RANK,
            "the result would have {} axes; at most {MAX_RANK} are possible",
            shape.len()
        );
        let numbers = shape.iter().try_fold(1usize, |size, &len| size.checked_mul(len));
        ensure!(
            numbers.is_some_and(|numbers| numbers <= self.most),
            "the result of shape {shape:?} does not fit into memory, or is larger than allowed"
        );
        Ok(())
    }

    /// An array on the host.
    pub fn host_array(
        &mut self,
        shape: &[usize],
        numbers: Vec<f64>,
        kind: InputKind,
    ) -> Result<Array, Fault> {
        self.check_shape(shape)?;
        let tensor = Tensor::from_vec(&Device::cpu_f64(), shape, numbers)?;
        Ok(self.host_tensor(tensor, kind))
    }

    /// A tensor of the host as an array.
    pub fn host_tensor(&mut self, tensor: Tensor, kind: InputKind) -> Array {
        Array { var: self.host.constant(tensor), place: Place::Host, kind, turned: false }
    }

    /// Remembers that an array of the host is `tensor` on the device.
    pub fn known_on_device(&mut self, array: Array, tensor: &Tensor) {
        if !self.uploaded.contains_key(&array.var.index()) {
            let var = self.device.constant(tensor.clone());
            self.uploaded.insert(array.var.index(), var);
        }
    }

    /// The array on the device.
    pub fn upload(&mut self, array: Array) -> Result<Array, Fault> {
        if array.place == Place::Device {
            return Ok(array);
        }
        let var = match self.uploaded.get(&array.var.index()) {
            Some(&var) => var,
            None => {
                let tensor = self.host.value(array.var).to(self.device.device())?;
                let var = self.device.constant(tensor);
                self.uploaded.insert(array.var.index(), var);
                var
            }
        };
        Ok(Array { var, place: Place::Device, ..array })
    }

    /// The numbers of an array of the host, repeated to a shape.
    pub fn repeated(&self, array: Array, shape: &[usize]) -> Vec<f64> {
        let whole = self.host.value(array.var).broadcast(shape);
        whole.to_vec().expect("the host's arrays are there")
    }

    /// The array as a variable holds it, not transposed on the way.
    pub fn settled(&mut self, array: Array) -> Array {
        if !array.turned {
            return array;
        }
        let var = self.tape(array.place).permute(array.var, &[1, 0]);
        Array { var, turned: false, ..array }
    }

    /// Arrays of one operation: in the same place, settled.
    pub fn together(&mut self, arrays: &mut [Array]) -> Result<Place, Fault> {
        let on_host = arrays.iter().all(|array| array.place == Place::Host);
        for array in arrays.iter_mut() {
            *array = self.settled(*array);
            if !on_host {
                *array = self.upload(*array)?;
            }
        }
        Ok(if on_host { Place::Host } else { Place::Device })
    }

    /// The array in another shape, as the graph sees it; as many numbers.
    pub fn reshape(&mut self, array: Array, shape: &[usize]) -> Array {
        let array = self.settled(array);
        if self.shape(array) == shape {
            return array;
        }
        let var = self.tape(array.place).reshape(array.var, shape);
        Array { var, ..array }
    }

    /// The array with its axes in another order, as the graph counts them.
    pub fn permute(&mut self, array: Array, order: &[usize]) -> Array {
        let lead = self.lead(array);
        let array = self.settled(array);
        if order.iter().enumerate().all(|(to, &from)| to == from) {
            return array;
        }
        let order: Vec<usize> = (0..lead).chain(order.iter().map(|axis| axis + lead)).collect();
        let var = self.tape(array.place).permute(array.var, &order);
        Array { var, ..array }
    }

    /// Arrays that repeat along each other's axes of length one, in one place, with as many axes as
    /// the tape wants; and the shape of the result.
    pub fn aligned(&mut self, arrays: &mut [Array]) -> Result<(Place, Vec<usize>), Fault> {
        let place = self.together(arrays)?;
        let shapes: Vec<Vec<usize>> = arrays.iter().map(|&array| self.shape(array)).collect();
        let shape = broadcast(&shapes)?;
        self.check_shape(&shape)?;
        let any_batched = arrays.iter().any(|&array| self.is_batched(array));
        for (array, own) in arrays.iter_mut().zip(&shapes) {
            // Beside values with a sample axis, those without may have fewer axes.
            if own.len() < shape.len() && (!any_batched || self.is_batched(*array)) {
                let mut longer = vec![1; shape.len() - own.len()];
                longer.extend(own);
                *array = self.reshape(*array, &longer);
            }
        }
        Ok((place, shape))
    }
}

/// The shape of arrays that repeat along axes of length one, as NumPy has it.
pub(crate) fn broadcast(shapes: &[Vec<usize>]) -> Result<Vec<usize>, Fault> {
    let rank = shapes.iter().map(Vec::len).max().unwrap_or(0);
    let mut result = vec![1; rank];
    for shape in shapes {
        for (to, &len) in result[rank - shape.len()..].iter_mut().zip(shape) {
            ensure!(
                *to == len || *to == 1 || len == 1,
                "shapes {} do not fit: equal lengths or 1 along every axis, counted from the last",
                shapes.iter().map(|shape| format!("{shape:?}")).collect::<Vec<_>>().join(" and ")
            );
            if len != 1 {
                *to = len;
            }
        }
    }
    Ok(result)
}

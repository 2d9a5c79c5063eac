//! State dictionaries: a model's numbers under their names, as safetensors.

use std::borrow::Cow;
use std::fmt;
use std::path::Path;

use safetensors::{Dtype, SafeTensorError, SafeTensors, View};
use vivit_tensor::{DType, Scalar, Tensor, with_dtype};

use crate::{Error, Param, Sequential};

/// One thing that keeps a state dictionary and a model apart.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum StateProblem {
    /// The dictionary lacks an array of the model.
    Missing {
        /// Its name.
        name: String,
        /// The shape that it should have.
        shape: Vec<usize>,
    },
    /// The dictionary has an array that the model does not know.
    Unexpected {
        /// Its name.
        name: String,
        /// Its shape.
        shape: Vec<usize>,
    },
    /// An array has another shape than the model's.
    Shape {
        /// Its name.
        name: String,
        /// The model's shape.
        expected: Vec<usize>,
        /// The dictionary's.
        got: Vec<usize>,
    },
    /// An array holds something else than floats of 32 or 64 bits.
    ElementType {
        /// Its name.
        name: String,
        /// The element type, as safetensors calls it.
        got: String,
    },
    /// An array holds a number that is NaN or infinite, or would be in the model's element type.
    NonFinite {
        /// Its name.
        name: String,
        /// Where in it.
        index: Vec<usize>,
        /// The number.
        value: f64,
    },
}

impl fmt::Display for StateProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            StateProblem::Missing { name, shape } => {
                write!(f, "{name} of shape {shape:?} is missing")
            }
            StateProblem::Unexpected { name, shape } => {
                write!(f, "{name} of shape {shape:?} is unexpected")
            }
            StateProblem::Shape { name, expected, got } => {
                write!(f, "{name} has shape {got:?} instead of {expected:?}")
            }
            StateProblem::ElementType { name, got } => {
                write!(f, "{name} has element type {got} instead of F32 or F64")
            }
            StateProblem::NonFinite { name, index, value } => {
                write!(
                    f,
                    "{name} holds {value} at index {index:?}, which is no finite number of the \
                     model's element type"
                )
            }
        }
    }
}

/// An array on its way into a file.
struct Bytes {
    dtype: Dtype,
    shape: Vec<usize>,
    data: Vec<u8>,
}

impl View for &Bytes {
    fn dtype(&self) -> Dtype {
        self.dtype
    }

    fn shape(&self) -> &[usize] {
        &self.shape
    }

    fn data(&self) -> Cow<'_, [u8]> {
        self.data.as_slice().into()
    }

    fn data_len(&self) -> usize {
        self.data.len()
    }
}

fn words<const W: usize>(data: &[u8], number: impl Fn([u8; W]) -> f64) -> Vec<f64> {
    data.chunks_exact(W)
        .map(|word| number(word.try_into().expect("a chunk of its length")))
        .collect()
}

/// The first number that is not finite in a precision.
fn non_finite(dtype: DType, name: &str, shape: &[usize], data: &[f64]) -> Option<StateProblem> {
    let at = data.iter().position(|&x| with_dtype!(dtype, E => !E::of(x).is_finite()))?;
    let mut rest = at;
    let mut index: Vec<usize> = Vec::with_capacity(shape.len());
    for &len in shape.iter().rev() {
        index.push(rest % len);
        rest /= len;
    }
    index.reverse();
    Some(StateProblem::NonFinite { name: name.into(), index, value: data[at] })
}

fn refuse(problems: Vec<StateProblem>) -> Result<(), Error> {
    if problems.is_empty() { Ok(()) } else { Err(Error::State { problems }) }
}

fn not_safetensors(error: SafeTensorError) -> Error {
    Error::NotSafetensors { reason: error.to_string() }
}

/// # State dictionaries
///
/// The arrays of a model, parameters and buffers, under their names, in the format
/// [safetensors](https://github.com/huggingface/safetensors). Where the names agree with PyTorch's,
/// so do the files: what `safetensors.torch.save_file(model.state_dict(), path)` writes can be
/// loaded, and the other way round. (PyTorch's batch norm also counts its batches, in
/// `num_batches_tracked`; nothing here needs the counter, so it is passed over.)
impl Sequential {
    /// Everything that a state dictionary holds: whatever of a model has to survive.
    fn state(&self) -> impl Iterator<Item = &Param> {
        self.params().iter().chain(self.buffers())
    }

    /// Whether a state dictionary of this model may hold an array of this name.
    fn knows(&self, name: &str) -> bool {
        let counted =
            name.strip_suffix("num_batches_tracked").map(|layer| format!("{layer}running_mean"));
        self.state().any(|array| array.name == name || Some(&array.name) == counted.as_ref())
    }

    /// The model's arrays, in its own element type.
    fn state_bytes(&self) -> Result<Vec<(&str, Bytes)>, Error> {
        let precision = self.device().dtype();
        let dtype = if precision == DType::F32 { Dtype::F32 } else { Dtype::F64 };
        let (mut arrays, mut problems) = (Vec::new(), Vec::new());
        for Param { name, value } in self.state() {
            let numbers: Vec<f64> = value.to_vec()?;
            problems.extend(non_finite(precision, name, value.shape(), &numbers));
            let data = match dtype {
                Dtype::F32 => numbers.iter().flat_map(|&x| (x as f32).to_le_bytes()).collect(),
                _ => numbers.iter().flat_map(|x| x.to_le_bytes()).collect(),
            };
            arrays.push((name.as_str(), Bytes { dtype, shape: value.shape().to_vec(), data }));
        }
        refuse(problems)?;
        Ok(arrays)
    }

    /// The model's state dictionary as the bytes of a safetensors file, in the model's element
    /// type.
    ///
    /// # Errors
    /// If an array holds a NaN or an infinity (all that do are listed), or the device failed.
    ///
    /// # Examples
    /// ```
    /// use vivit_nn::{Sequential, linear, relu};
    /// use vivit_tensor::Device;
    ///
    /// let model = Sequential::new(&Device::cpu(), vec![linear(4, 3), relu(), linear(3, 2)], 0)?;
    /// let bytes = model.to_safetensors()?;
    ///
    /// // A model of another element type takes it, too.
    /// let mut copy = Sequential::new(&Device::cpu_f64(), vec![linear(4, 3), relu(), linear(3, 2)], 1)?;
    /// copy.load_safetensors(&bytes)?;
    /// # Ok::<(), vivit_nn::Error>(())
    /// ```
    pub fn to_safetensors(&self) -> Result<Vec<u8>, Error> {
        let arrays = self.state_bytes()?;
        safetensors::serialize(arrays.iter().map(|(name, bytes)| (*name, bytes)), None)
            .map_err(not_safetensors)
    }

    /// Takes all arrays from the bytes of a safetensors file of 32- or 64-bit floats, rounded to
    /// the model's element type. An error leaves the model as it was.
    ///
    /// # Errors
    /// If the bytes are no safetensors file, or do not hold exactly this model's arrays, with
    /// finite numbers: one [`Error::State`] with all that is wrong.
    pub fn load_safetensors(&mut self, bytes: &[u8]) -> Result<(), Error> {
        let file = SafeTensors::deserialize(bytes).map_err(not_safetensors)?;
        let (mut values, mut problems) = (Vec::new(), Vec::new());
        for Param { name, value } in self.state() {
            let (name, expected) = (name.clone(), value.shape().to_vec());
            let Ok(view) = file.tensor(&name) else {
                problems.push(StateProblem::Missing { name, shape: expected });
                continue;
            };
            let numbers = match view.dtype() {
                Dtype::F32 => Some(words(view.data(), |word| f64::from(f32::from_le_bytes(word)))),
                Dtype::F64 => Some(words(view.data(), f64::from_le_bytes)),
                _ => None,
            };
            let fits = view.shape() == expected;
            if !fits {
                problems.push(StateProblem::Shape {
                    name: name.clone(),
                    expected,
                    got: view.shape().to_vec(),
                });
            }
            match numbers {
                None => problems
                    .push(StateProblem::ElementType { name, got: format!("{:?}", view.dtype()) }),
                Some(numbers) => {
                    match non_finite(self.device().dtype(), &name, view.shape(), &numbers) {
                        Some(problem) => problems.push(problem),
                        None if fits => values
                            .push((name, Tensor::from_vec(self.device(), view.shape(), numbers)?)),
                        None => {}
                    }
                }
            }
        }
        let mut names = file.names();
        names.sort_unstable();
        for name in names.into_iter().filter(|name| !self.knows(name)) {
            let shape = file.tensor(name).map_err(not_safetensors)?.shape().to_vec();
            problems.push(StateProblem::Unexpected { name: name.into(), shape });
        }
        refuse(problems)?;
        // Nothing can fail from here on: names and shapes are the model's.
        values.into_iter().try_for_each(|(name, value)| self.set_param(&name, value))
    }

    /// Writes the model's state dictionary to a safetensors file, in the model's element type. A
    /// file that was there is replaced once the new one is complete. On Unix only its owner may
    /// read the new file.
    ///
    /// # Errors
    /// As [`to_safetensors`](Sequential::to_safetensors), and if the file can't be written.
    ///
    /// # Examples
    /// ```
    /// use vivit_nn::{Sequential, linear};
    /// use vivit_tensor::Device;
    ///
    /// # let folder = std::env::temp_dir().join(format!("vivit-nn-doc-{}", std::process::id()));
    /// # std::fs::create_dir_all(&folder).unwrap();
    /// let path = folder.join("model.safetensors");
    /// let mut model = Sequential::new(&Device::cpu(), vec![linear(4, 3)], 0)?;
    /// model.save(&path)?;
    /// model.load(&path)?;
    ///
    /// // A model that does not fit is refused, with everything that is wrong.
    /// let mut larger = Sequential::new(&Device::cpu(), vec![linear(4, 5), linear(5, 3)], 0)?;
    /// println!("{}", larger.load(&path).unwrap_err());
    /// # std::fs::remove_dir_all(&folder).unwrap();
    /// # Ok::<(), vivit_nn::Error>(())
    /// ```
    pub fn save(&self, path: impl AsRef<Path>) -> Result<(), Error> {
        let path = path.as_ref();
        let write = || {
            let arrays = self.state_bytes()?;
            safetensors::serialize_to_file(
                arrays.iter().map(|(name, bytes)| (*name, bytes)),
                None,
                path,
            )
            .map_err(|error| match error {
                SafeTensorError::IoError(error) => Error::Io { reason: error.to_string() },
                other => not_safetensors(other),
            })
        };
        write().map_err(|error| error.in_file(path))
    }

    /// Takes all arrays from a safetensors file; see
    /// [`load_safetensors`](Sequential::load_safetensors).
    ///
    /// # Errors
    /// As there, and if the file can't be read; always with the path.
    pub fn load(&mut self, path: impl AsRef<Path>) -> Result<(), Error> {
        let path = path.as_ref();
        let bytes = std::fs::read(path).map_err(|error| Error::Io { reason: error.to_string() });
        bytes.and_then(|bytes| self.load_safetensors(&bytes)).map_err(|error| error.in_file(path))
    }
}

#[cfg(test)]
mod tests;

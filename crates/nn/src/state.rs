//! State dictionaries: a model's numbers under their names, as safetensors.

pub(crate) mod problem;

pub use problem::StateProblem;

use std::collections::BTreeMap;
use std::path::Path;

use vivit_tensor::{DType, HostVec, Tensor};

use crate::arrays::Arrays;
use crate::safetensors_file::{self, Bytes};
use crate::{Error, Param, Weights};
use problem::hint;

/// What a state dictionary and a model do not have in common.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Unmatched {
    /// Names of the model's arrays that the dictionary lacks; they stayed as they were.
    pub missing: Vec<String>,
    /// Names of the dictionary's arrays, after renaming, that the model lacks; they were passed
    /// over.
    pub unexpected: Vec<String>,
}

/// What a state dictionary brings to a model.
struct Incoming {
    values: Vec<(String, Tensor)>,
    problems: Vec<StateProblem>,
}

/// The first number that is not finite in a precision.
pub(crate) fn non_finite(
    dtype: DType,
    name: &str,
    shape: &[usize],
    numbers: &HostVec,
) -> Option<StateProblem> {
    let finite = |&at: &usize| match dtype {
        DType::F32 => (numbers.at(at) as f32).is_finite(),
        DType::F64 => numbers.at(at).is_finite(),
    };
    let at = (0..numbers.len()).find(|at| !finite(at))?;
    let mut rest = at;
    let mut index: Vec<usize> = Vec::with_capacity(shape.len());
    for &len in shape.iter().rev() {
        index.push(rest % len);
        rest /= len;
    }
    index.reverse();
    Some(StateProblem::NonFinite { name: name.into(), index, value: numbers.at(at) })
}

/// One error of all problems, if there are any.
pub(crate) fn refuse(problems: Vec<StateProblem>) -> Result<(), Error> {
    if problems.is_empty() {
        return Ok(());
    }
    let hint = hint(&problems);
    Err(Error::State { problems, hint })
}

/// The name that an array of a model had in files of earlier versions.
fn former(name: &str) -> String {
    let (path, last) = name.rsplit_once('.').map_or(("", name), |(path, last)| (path, last));
    let dot = if path.is_empty() { "" } else { "." };
    let recurrent = ["weight_ih_l", "weight_hh_l", "bias_ih_l", "bias_hh_l"];
    if recurrent.iter().any(|kind| last.starts_with(kind)) {
        format!("{path}{dot}m.{last}")
    } else if let Some(kind) = last.strip_prefix("in_proj_") {
        format!("{path}{dot}in_proj.{kind}")
    } else {
        // A positional embedding's table.
        format!("{name}.weight")
    }
}

/// # State dictionaries
///
/// The arrays of a model, parameters and buffers, under their names, in the format
/// [safetensors](https://github.com/huggingface/safetensors). Where the names agree with PyTorch's,
/// so do the files: what `safetensors.torch.save_file(model.state_dict(), path)` writes can be
/// loaded, and the other way round. Where they do not,
/// [`load_with`](Weights::load_with) renames. (PyTorch's batch norm also counts its batches, in
/// `num_batches_tracked`; nothing here needs the counter, so it is passed over.)
impl Weights {
    /// Everything that a state dictionary holds: whatever of a model has to survive.
    fn state(&self) -> impl Iterator<Item = &Param> {
        self.params().iter().chain(self.buffers())
    }

    /// The model's arrays, in its own precision.
    fn state_bytes(&self) -> Result<Vec<(&str, Bytes)>, Error> {
        let (mut arrays, mut problems) = (Vec::new(), Vec::new());
        for Param { name, value } in self.state() {
            let numbers = value.to_host()?;
            problems.extend(non_finite(numbers.dtype(), name, value.shape(), &numbers));
            arrays.push((name.as_str(), Bytes::of(value.shape(), numbers)));
        }
        refuse(problems)?;
        Ok(arrays)
    }

    /// What a dictionary brings, its arrays renamed.
    fn incoming(
        &self,
        arrays: &Arrays<'_>,
        rename: &dyn Fn(&str) -> Option<String>,
    ) -> Result<Incoming, Error> {
        let names: Vec<&str> = self.state().map(|array| array.name.as_str()).collect();
        let formers: BTreeMap<String, &str> =
            names.iter().map(|name| (former(name), *name)).collect();
        let own = |name: &str| {
            let now = names.iter().find(|own| **own == name);
            now.or_else(|| formers.get(name)).map(|own| own.to_string())
        };
        // PyTorch's counter goes wherever the statistics beside it go.
        let counted = |name: &str| {
            let layer = name.strip_suffix("num_batches_tracked")?;
            rename(&format!("{layer}running_mean")).and_then(|name| own(&name))
        };
        let (mut sources, mut unexpected) = (BTreeMap::<String, Vec<&str>>::new(), Vec::new());
        for source in arrays.names() {
            let Some(name) = rename(source) else { continue };
            if let Some(own) = own(&name) {
                sources.entry(own).or_default().push(source);
            } else if counted(source).is_none() {
                unexpected
                    .push(StateProblem::Unexpected { name, shape: arrays.shape(source)?.to_vec() });
            }
        }
        let (mut values, mut problems) = (Vec::new(), Vec::new());
        for Param { name, value } in self.state() {
            let (name, expected) = (name.clone(), value.shape().to_vec());
            let source = match sources.get(&name).map(Vec::as_slice) {
                None => {
                    problems.push(StateProblem::Missing { name, shape: expected });
                    continue;
                }
                Some([source]) => source,
                Some(several) => {
                    let sources = several.iter().map(|source| source.to_string()).collect();
                    problems.push(StateProblem::Repeated { name, sources });
                    continue;
                }
            };
            let (shape, dtype, numbers) = arrays.parts(source)?;
            let fits = shape == expected;
            if !fits {
                let (name, got) = (name.clone(), shape.to_vec());
                problems.push(StateProblem::Shape { name, expected, got });
            }
            let Some(numbers) = numbers else {
                problems.push(StateProblem::ElementType { name, got: dtype });
                continue;
            };
            match non_finite(self.device().dtype(), &name, shape, &numbers) {
                Some(problem) => problems.push(problem),
                None if fits => {
                    values.push((name, Tensor::from_vec(self.device(), shape, numbers)?));
                }
                None => {}
            }
        }
        problems.extend(unexpected);
        Ok(Incoming { values, problems })
    }

    fn take(&mut self, values: Vec<(String, Tensor)>) -> Result<(), Error> {
        // Nothing can fail here: names, shapes and device are the model's.
        values.into_iter().try_for_each(|(name, value)| self.set_param(&name, value))
    }

    /// Takes all arrays from a file's.
    fn load_strictly(
        &mut self,
        arrays: &Arrays<'_>,
        rename: &dyn Fn(&str) -> Option<String>,
    ) -> Result<(), Error> {
        let Incoming { values, problems } = self.incoming(arrays, rename)?;
        refuse(problems)?;
        self.take(values)
    }

    /// The model's state dictionary as the bytes of a safetensors file, in the model's precision.
    ///
    /// # Errors
    /// If an array holds a NaN or an infinity (all that do are listed), or the device failed.
    ///
    /// # Examples
    /// ```
    /// use vivit_nn::{Sequential, linear, relu};
    /// use vivit_tensor::Device;
    ///
    /// let layers = || vec![linear(4, 3), relu(), linear(3, 2)];
    /// let model = Sequential::new(&Device::cpu(), layers(), 0)?;
    /// let bytes = model.to_safetensors()?;
    ///
    /// // A model of another precision takes it, too.
    /// let mut copy = Sequential::new(&Device::cpu_f64(), layers(), 1)?;
    /// copy.load_safetensors(&bytes)?;
    /// # Ok::<(), vivit_nn::Error>(())
    /// ```
    pub fn to_safetensors(&self) -> Result<Vec<u8>, Error> {
        safetensors_file::to_bytes(&self.state_bytes()?, &BTreeMap::new())
    }

    /// Takes all arrays from the bytes of a safetensors file of floats (16, 32 or 64 bits),
    /// rounded to the model's precision. An error leaves the model as it was.
    ///
    /// # Errors
    /// If the bytes are no safetensors file, or do not hold exactly this model's arrays, with
    /// finite numbers: one [`Error::State`] with all that is wrong.
    pub fn load_safetensors(&mut self, bytes: &[u8]) -> Result<(), Error> {
        self.load_strictly(&Arrays::from_bytes(bytes)?, &|name| Some(name.into()))
    }

    /// Writes the model's state dictionary to a safetensors file, in the model's precision, with
    /// `format: pt` as metadata, as PyTorch's are.
    ///
    /// The file takes its name once it is complete, so that it is never half written; a link is
    /// followed. It keeps the permissions of the file that was there; a new one has those that the
    /// system gives new files.
    ///
    /// # Errors
    /// As [`to_safetensors`](Weights::to_safetensors), and if the file can't be written.
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
    /// // A model that does not fit is refused, with everything that is wrong, one per line.
    /// let mut larger = Sequential::new(&Device::cpu(), vec![linear(4, 5), linear(5, 3)], 0)?;
    /// println!("{}", larger.load(&path).unwrap_err());
    /// # std::fs::remove_dir_all(&folder).unwrap();
    /// # Ok::<(), vivit_nn::Error>(())
    /// ```
    pub fn save(&self, path: impl AsRef<Path>) -> Result<(), Error> {
        self.save_with(path, &BTreeMap::new())
    }

    /// As [`save`](Weights::save), with texts under names in the file's metadata
    /// ([`Arrays::metadata`]): what belongs to the numbers without being numbers of the model, such
    /// as the epoch, or the random numbers of a training run ([`Sequential::rng`]).
    ///
    /// # Errors
    /// As there.
    ///
    /// # Examples
    /// ```
    /// use std::collections::BTreeMap;
    /// use vivit_nn::{Arrays, Sequential, linear};
    /// use vivit_tensor::Device;
    ///
    /// # let folder = std::env::temp_dir().join(format!("vivit-nn-meta-{}", std::process::id()));
    /// # std::fs::create_dir_all(&folder).unwrap();
    /// # let path = folder.join("model.safetensors");
    /// let model = Sequential::new(&Device::cpu(), vec![linear(4, 3)], 0)?;
    /// model.save_with(&path, &BTreeMap::from([("epoch".into(), 3.to_string())]))?;
    /// assert_eq!(Arrays::read(&path)?.metadata()["epoch"], "3");
    /// # std::fs::remove_dir_all(&folder).unwrap();
    /// # Ok::<(), vivit_nn::Error>(())
    /// ```
    ///
    /// [`Sequential::rng`]: crate::Sequential::rng
    pub fn save_with(
        &self,
        path: impl AsRef<Path>,
        metadata: &BTreeMap<String, String>,
    ) -> Result<(), Error> {
        let path = path.as_ref();
        let bytes = || safetensors_file::to_bytes(&self.state_bytes()?, metadata);
        let write = || safetensors_file::write(path, &bytes()?);
        write().map_err(|error| error.in_file(path))
    }

    /// Takes all arrays from a safetensors file; see
    /// [`load_safetensors`](Weights::load_safetensors).
    ///
    /// # Errors
    /// As there, and if the file can't be read; always with the path.
    pub fn load(&mut self, path: impl AsRef<Path>) -> Result<(), Error> {
        self.load_with(path, |name| Some(name.into()))
    }

    /// As [`load`](Weights::load), with the file's arrays renamed first: `rename` gives the
    /// model's name for a name of the file, or `None` to leave that array out.
    ///
    /// # Errors
    /// As there.
    ///
    /// # Examples
    /// ```
    /// use vivit_nn::{Sequential, Wiring, linear};
    /// use vivit_tensor::Device;
    ///
    /// # let folder = std::env::temp_dir().join(format!("vivit-nn-with-{}", std::process::id()));
    /// # std::fs::create_dir_all(&folder).unwrap();
    /// # let path = folder.join("model.safetensors");
    /// let cpu = Device::cpu();
    /// let mut net = Wiring::new();
    /// let y = net.layer("head", linear(4, 3), net.input());
    /// Sequential::wired(&cpu, net.output(y), 0)?.save(&path)?; // head.weight, head.bias
    ///
    /// let mut model = Sequential::new(&cpu, vec![linear(4, 3)], 0)?; // 0.weight, 0.bias
    /// model.load_with(&path, |name| Some(name.replace("head.", "0.")))?;
    /// # std::fs::remove_dir_all(&folder).unwrap();
    /// # Ok::<(), vivit_nn::Error>(())
    /// ```
    pub fn load_with(
        &mut self,
        path: impl AsRef<Path>,
        rename: impl Fn(&str) -> Option<String>,
    ) -> Result<(), Error> {
        let path = path.as_ref();
        let arrays = Arrays::read(path)?;
        self.load_strictly(&arrays, &rename).map_err(|error| error.in_file(path))
    }

    /// As [`load_with`](Weights::load_with), but takes those arrays that model and file have in
    /// common, and returns the names of the others: PyTorch's `strict=False`.
    ///
    /// # Errors
    /// If the file can't be read, or an array that both have is of another shape, no array of
    /// finite floats, or several are renamed to it; an error leaves the model as it was.
    ///
    /// # Examples
    /// ```
    /// use vivit_nn::{Sequential, linear};
    /// use vivit_tensor::Device;
    ///
    /// # let folder = std::env::temp_dir().join(format!("vivit-nn-part-{}", std::process::id()));
    /// # std::fs::create_dir_all(&folder).unwrap();
    /// # let path = folder.join("model.safetensors");
    /// let cpu = Device::cpu();
    /// Sequential::new(&cpu, vec![linear(4, 3), linear(3, 2)], 0)?.save(&path)?;
    /// let mut model = Sequential::new(&cpu, vec![linear(4, 3)], 1)?;
    /// let rest = model.load_matching(&path, |name| Some(name.into()))?;
    /// assert_eq!(rest.unexpected, ["1.bias", "1.weight"]);
    /// # std::fs::remove_dir_all(&folder).unwrap();
    /// # Ok::<(), vivit_nn::Error>(())
    /// ```
    pub fn load_matching(
        &mut self,
        path: impl AsRef<Path>,
        rename: impl Fn(&str) -> Option<String>,
    ) -> Result<Unmatched, Error> {
        let path = path.as_ref();
        let arrays = Arrays::read(path)?;
        let mut load = || {
            let Incoming { values, problems } = self.incoming(&arrays, &rename)?;
            let (mut rest, mut real) = (Unmatched::default(), Vec::new());
            for problem in problems {
                match problem {
                    StateProblem::Missing { name, .. } => rest.missing.push(name),
                    StateProblem::Unexpected { name, .. } => rest.unexpected.push(name),
                    other => real.push(other),
                }
            }
            refuse(real)?;
            self.take(values)?;
            Ok(rest)
        };
        load().map_err(|error: Error| error.in_file(path))
    }
}

#[cfg(test)]
mod tests;

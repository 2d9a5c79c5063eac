//! What optimizers remember, as a value and as a file.

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::{Map, Value};
use vivit_autodiff::{ParamId, ParamMap};
use vivit_tensor::Tensor;

use crate::arrays::Arrays;
use crate::safetensors_file::{self, Bytes};
use crate::state::{non_finite, refuse};
use crate::{Error, StateProblem, Weights};

/// What an optimizer is and remembers: its kind, its options, arrays and numbers of steps per
/// parameter. With it a run goes on, to the same bits, where another one stopped
/// ([`Optimizer::state`](super::Optimizer::state),
/// [`set_state`](super::Optimizer::set_state)).
///
/// Its file is a safetensors file: an array `exp_avg/0.weight` is what Adam remembers under
/// `exp_avg`, as PyTorch calls it, of the parameter `0.weight`; the rest is metadata.
///
/// # Examples
/// A run with dropout that is stopped, and goes on in fresh objects:
///
/// ```
/// use std::collections::BTreeMap;
/// use vivit_autodiff::Mse;
/// use vivit_nn::{Adam, Arrays, Optimizer, OptimizerState, Sequential, dropout, linear};
/// use vivit_tensor::{Device, Tensor};
///
/// # let folder = std::env::temp_dir().join(format!("vivit-nn-run-{}", std::process::id()));
/// # std::fs::create_dir_all(&folder).unwrap();
/// # let [model_file, adam_file] = ["model", "adam"].map(|name| folder.join(name));
/// let cpu = Device::cpu();
/// let layers = || vec![linear(2, 8), dropout(0.5), linear(8, 1)];
/// let (mut model, mut adam) = (Sequential::new(&cpu, layers(), 0)?, Adam::new(0.01)?);
/// let (x, y) = (Tensor::full(&cpu, [4, 2], 0.5), Tensor::full(&cpu, [4, 1], 1.0));
/// let step = |model: &mut Sequential, adam: &mut Adam| -> Result<(), vivit_nn::Error> {
///     let gradient = model.forward_training(&x)?.backward(&Mse::mean(y.clone()))?;
///     adam.step(model, &gradient)
/// };
/// step(&mut model, &mut adam)?;
/// model.save_with(&model_file, &BTreeMap::from([("rng".into(), model.rng().to_string())]))?;
/// adam.state().save(&adam_file, &model)?;
///
/// let (mut again, mut resumed) = (Sequential::new(&cpu, layers(), 1)?, Adam::new(0.1)?);
/// again.load(&model_file)?;
/// again.set_rng(Arrays::read(&model_file)?.metadata()["rng"].parse()?);
/// resumed.set_state(OptimizerState::read(&adam_file, &again)?)?;
/// step(&mut model, &mut adam)?;
/// step(&mut again, &mut resumed)?;
/// assert_eq!(again.to_safetensors()?, model.to_safetensors()?);
/// # std::fs::remove_dir_all(&folder).unwrap();
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct OptimizerState {
    kind: String,
    options: BTreeMap<String, f64>,
    arrays: BTreeMap<String, ParamMap<Tensor>>,
    steps: ParamMap<u64>,
}

impl OptimizerState {
    /// Of an optimizer called `kind`, with its options under their names; it remembers nothing yet.
    pub fn new(kind: &str, options: &[(&str, f64)]) -> Self {
        OptimizerState {
            kind: kind.into(),
            options: options.iter().map(|(name, value)| (name.to_string(), *value)).collect(),
            arrays: BTreeMap::new(),
            steps: ParamMap::new(),
        }
    }

    /// The same with what is remembered of parameters under a name, which has no `/`.
    #[must_use]
    pub fn with_arrays(mut self, name: &str, arrays: ParamMap<Tensor>) -> Self {
        self.arrays.insert(name.into(), arrays);
        self
    }

    /// The same with how many steps each parameter took.
    #[must_use]
    pub fn with_steps(self, steps: ParamMap<u64>) -> Self {
        OptimizerState { steps, ..self }
    }

    /// The optimizer's kind.
    pub fn kind(&self) -> &str {
        &self.kind
    }

    /// An option.
    ///
    /// # Errors
    /// If there is none of that name.
    pub fn option(&self, name: &str) -> Result<f64, Error> {
        self.options.get(name).copied().ok_or_else(|| self.unusable(format!("no option {name}")))
    }

    /// What is remembered of parameters under a name, which is nothing before the first step.
    pub fn arrays(&self, name: &str) -> ParamMap<Tensor> {
        self.arrays.get(name).cloned().unwrap_or_default()
    }

    /// How many steps each parameter took.
    pub fn steps(&self) -> &ParamMap<u64> {
        &self.steps
    }

    /// Refuses the state of another kind of optimizer, and what `kind` does not remember: it
    /// remembers arrays under these names.
    ///
    /// # Errors
    /// In both cases.
    pub fn check(&self, kind: &'static str, arrays: &[&str]) -> Result<(), Error> {
        if self.kind != kind {
            return Err(Error::OtherOptimizer { expected: kind, got: self.kind.clone() });
        }
        match self.arrays.keys().find(|name| !arrays.contains(&name.as_str())) {
            Some(name) => Err(self.unusable(format!("arrays {name}, which it does not remember"))),
            None => Ok(()),
        }
    }

    /// The error of a state that its kind of optimizer can't take: it holds `what`.
    pub(super) fn unusable(&self, what: String) -> Error {
        Error::OptimizerState { kind: self.kind.clone(), what }
    }

    /// The bytes of a safetensors file, under the names of a model's parameters.
    ///
    /// # Errors
    /// If a number is NaN or infinite, a parameter is none of the model's, or the device failed.
    pub fn to_safetensors(&self, model: &Weights) -> Result<Vec<u8>, Error> {
        let (mut arrays, mut problems) = (Vec::new(), Vec::new());
        for (kind, values) in &self.arrays {
            for (param, value) in values {
                let name = format!("{kind}/{}", name_of(model, param)?);
                let numbers = value.to_host()?;
                problems.extend(non_finite(numbers.dtype(), &name, value.shape(), &numbers));
                arrays.push((name, Bytes::of(value.shape(), numbers)));
            }
        }
        refuse(problems)?;
        safetensors_file::to_bytes(&arrays, &self.metadata(model)?)
    }

    fn metadata(&self, model: &Weights) -> Result<BTreeMap<String, String>, Error> {
        let options: Map<String, Value> =
            self.options.iter().map(|(name, value)| (name.clone(), (*value).into())).collect();
        let named =
            |(param, &steps): (_, &u64)| Ok((name_of(model, param)?.to_string(), steps.into()));
        let steps = self.steps.iter().map(named).collect::<Result<Map<String, Value>, Error>>()?;
        Ok(BTreeMap::from([
            ("optimizer".into(), self.kind.clone()),
            ("options".into(), Value::from(options).to_string()),
            ("steps".into(), Value::from(steps).to_string()),
        ]))
    }

    /// The state in the bytes of a safetensors file, for a model: rounded to its precision.
    ///
    /// # Errors
    /// If the bytes are no such file, or hold what does not fit the model's parameters.
    pub fn from_safetensors(bytes: &[u8], model: &Weights) -> Result<Self, Error> {
        Self::of(&Arrays::from_bytes(bytes)?, model)
    }

    /// Writes the state to a safetensors file, as [`Weights::save`] writes.
    ///
    /// # Errors
    /// As [`to_safetensors`](OptimizerState::to_safetensors), and if the file can't be written;
    /// always with the path.
    pub fn save(&self, path: impl AsRef<Path>, model: &Weights) -> Result<(), Error> {
        let path = path.as_ref();
        let write = || safetensors_file::write(path, &self.to_safetensors(model)?);
        write().map_err(|error| error.in_file(path))
    }

    /// Reads the state from a safetensors file.
    ///
    /// # Errors
    /// As [`from_safetensors`](OptimizerState::from_safetensors), and if the file can't be read;
    /// always with the path.
    pub fn read(path: impl AsRef<Path>, model: &Weights) -> Result<Self, Error> {
        let path = path.as_ref();
        Self::of(&Arrays::read(path)?, model).map_err(|error| error.in_file(path))
    }

    fn of(arrays: &Arrays<'_>, model: &Weights) -> Result<Self, Error> {
        let text = |name: &str| arrays.metadata().get(name).map_or("", String::as_str);
        let mut state = OptimizerState::new(text("optimizer"), &[]);
        let numbers = |name: &str| serde_json::from_str::<Map<String, Value>>(text(name)).ok();
        let (Some(options), Some(steps)) = (numbers("options"), numbers("steps")) else {
            return Err(state.unusable("no options and steps in its metadata".into()));
        };
        for (name, value) in options {
            let Some(value) = value.as_f64() else {
                return Err(state.unusable(format!("an option {name} that is no number")));
            };
            state.options.insert(name, value);
        }
        for (name, value) in steps {
            let Some(steps) = value.as_u64() else {
                return Err(state.unusable(format!("steps of {name} that are no whole number")));
            };
            state.steps.insert(model.param_id(&name)?, steps);
        }
        state.arrays = arrays_of(arrays, model)?;
        Ok(state)
    }
}

fn name_of(model: &Weights, param: ParamId) -> Result<&str, Error> {
    let known = model.params().len();
    let found = model.params().get(param.index()).map(|param| param.name.as_str());
    found.ok_or_else(|| vivit_autodiff::Error::NoParameter { param, known }.into())
}

/// What a file says is remembered of a model's parameters, or all that does not fit them.
fn arrays_of(
    arrays: &Arrays<'_>,
    model: &Weights,
) -> Result<BTreeMap<String, ParamMap<Tensor>>, Error> {
    let (mut all, mut problems) = (BTreeMap::<String, ParamMap<Tensor>>::new(), Vec::new());
    for name in arrays.names() {
        let (shape, got, numbers) = arrays.parts(name)?;
        let owned = || (name.to_string(), shape.to_vec());
        let known = name
            .split_once('/')
            .and_then(|(kind, param)| model.param_id(param).ok().map(|param| (kind, param)));
        let Some((kind, param)) = known else {
            let (name, shape) = owned();
            problems.push(StateProblem::Unexpected { name, shape });
            continue;
        };
        let expected = model.params()[param.index()].value.shape();
        if *expected != *shape {
            let ((name, got), expected) = (owned(), expected.to_vec());
            problems.push(StateProblem::Shape { name, expected, got });
            continue;
        }
        let Some(numbers) = numbers else {
            problems.push(StateProblem::ElementType { name: name.into(), got });
            continue;
        };
        let dtype = model.device().dtype();
        if let Some(problem) = non_finite(dtype, name, shape, &numbers) {
            problems.push(problem);
            continue;
        }
        let value = Tensor::from_vec(model.device(), shape, numbers)?;
        all.entry(kind.into()).or_default().insert(param, value);
    }
    refuse(problems)?;
    Ok(all)
}

//! Optimizers: rules that move a model's parameters along a gradient. Formulas, defaults and ranges
//! are PyTorch's.
//!
//! A parameter that the gradient lacks stays where it is, and so does what the optimizer remembers
//! of it. A step that fails changes nothing.

mod adam;
mod adam_w;
mod sgd;
mod state;

pub use adam::{Adam, AdamOptions};
pub use adam_w::AdamW;
pub use sgd::{Sgd, SgdOptions};
pub use state::OptimizerState;

use vivit_autodiff::{ParamId, ParamMap};
use vivit_tensor::Tensor;

use crate::{Error, Weights};

/// A rule that moves a model's parameters along a gradient.
///
/// # Examples
/// ```
/// use vivit_autodiff::Mse;
/// use vivit_nn::optim::{Adam, Optimizer, Sgd};
/// use vivit_nn::{Sequential, linear, tanh};
/// use vivit_tensor::{Device, Tensor};
///
/// let cpu = Device::cpu_f64();
/// let x = Tensor::from_vec(&cpu, [4, 1], vec![0.0, 0.3, 0.6, 1.0])?;
/// let loss = Mse::mean(Tensor::from_vec(&cpu, [4, 1], vec![0.0, 0.2, 0.4, 0.5])?);
///
/// let optimizers: [Box<dyn Optimizer>; 2] =
///     [Box::new(Sgd::new(0.1, 0.9)?), Box::new(Adam::new(0.01)?)];
/// for mut optimizer in optimizers {
///     let mut model = Sequential::new(&cpu, vec![linear(1, 4), tanh(), linear(4, 1)], 0)?;
///     let before = model.forward(&x)?.loss(&loss)?;
///     for _ in 0..50 {
///         let gradient = model.forward(&x)?.backward(&loss)?;
///         optimizer.step(&mut model, &gradient)?;
///     }
///     assert!(model.forward(&x)?.loss(&loss)? < 0.1 * before);
/// }
/// # Ok::<(), vivit_nn::Error>(())
/// ```
pub trait Optimizer: Send + Sync {
    /// One step along the gradient of a graph of this model.
    ///
    /// # Errors
    /// If the gradient is not this model's, or an earlier step was another model's.
    fn step(&mut self, model: &mut Weights, gradient: &ParamMap<Tensor>) -> Result<(), Error>;

    /// The learning rate η.
    fn learning_rate(&self) -> f64;

    /// Changes the learning rate, as schedules do; nothing that the optimizer remembers depends on
    /// it.
    ///
    /// # Errors
    /// If it is not positive and finite.
    fn set_learning_rate(&mut self, learning_rate: f64) -> Result<(), Error>;

    /// What the optimizer is and remembers: enough to go on with another one, to the same bits.
    fn state(&self) -> OptimizerState;

    /// Goes on where the optimizer of a state stopped, with its options.
    ///
    /// # Errors
    /// If the state is another kind of optimizer's, or not all of one; the optimizer is left as it
    /// was.
    fn set_state(&mut self, state: OptimizerState) -> Result<(), Error>;
}

/// Refuses `value` for the option `what` unless it is `valid`.
fn option(
    what: &'static str,
    expected: &'static str,
    value: f64,
    valid: bool,
) -> Result<(), Error> {
    if valid { Ok(()) } else { Err(Error::Option { what, expected, value }) }
}

fn check_learning_rate(value: f64) -> Result<(), Error> {
    option("the learning rate", "positive and finite", value, value > 0.0 && value.is_finite())
}

fn check_weight_decay(value: f64) -> Result<(), Error> {
    option("the weight decay", "at least 0 and finite", value, value >= 0.0 && value.is_finite())
}

/// A number below 1 that says how slowly a running mean forgets.
fn check_memory(what: &'static str, value: f64) -> Result<(), Error> {
    option(what, "at least 0 and below 1", value, (0.0..1.0).contains(&value))
}

/// Checks that what is remembered of a parameter has the shape of its gradient and the model's
/// device: it would not if the optimizer had moved another model.
fn check_remembered<'t>(
    model: &Weights,
    gradient: &'t ParamMap<Tensor>,
    remembered: impl Fn(ParamId) -> Option<&'t Tensor>,
) -> Result<(), Error> {
    for (param, gradient) in gradient.iter() {
        // A key beyond the model's parameters is refused by the model.
        let Some(known) = model.params().get(param.index()) else { continue };
        let Some(remembered) = remembered(param) else { continue };
        if remembered.shape() != gradient.shape() {
            return Err(Error::OtherModel {
                name: known.name.clone(),
                shape: gradient.shape().to_vec(),
                before: remembered.shape().to_vec(),
            });
        }
        if remembered.device() != model.device() {
            let error = vivit_tensor::Error::DeviceMismatch {
                what: format!("what the optimizer remembers of {}", known.name),
                got: remembered.device().to_string(),
                expected: model.device().to_string(),
            };
            return Err(error.into());
        }
    }
    Ok(())
}

#[cfg(test)]
mod state_tests;
#[cfg(test)]
mod tests;

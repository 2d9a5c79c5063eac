//! Stochastic gradient descent.

use vivit_autodiff::ParamMap;
use vivit_tensor::Tensor;

use super::{
    Optimizer, OptimizerState, check_learning_rate, check_memory, check_remembered,
    check_weight_decay, option,
};
use crate::{Error, Weights};

/// The name of the velocities in a state.
const MOMENTUM: &str = "momentum";

/// Options of [`Sgd`].
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub struct SgdOptions {
    /// The learning rate η > 0; 0.001 by default.
    pub learning_rate: f64,
    /// The momentum, 0 ≤ μ < 1; 0 by default.
    pub momentum: f64,
    /// Whether the step looks ahead along the momentum, which there must be then; not by default.
    pub nesterov: bool,
    /// The weight decay ω ≥ 0, added to the gradient as `ω θ`; 0 by default.
    pub weight_decay: f64,
}

impl Default for SgdOptions {
    fn default() -> Self {
        SgdOptions { learning_rate: 1e-3, momentum: 0.0, nesterov: false, weight_decay: 0.0 }
    }
}

impl SgdOptions {
    /// The same with another learning rate η > 0.
    #[must_use]
    pub fn learning_rate(self, learning_rate: f64) -> Self {
        SgdOptions { learning_rate, ..self }
    }

    /// The same with another momentum, 0 ≤ μ < 1.
    #[must_use]
    pub fn momentum(self, momentum: f64) -> Self {
        SgdOptions { momentum, ..self }
    }

    /// The same with steps that look ahead along the momentum, which there must be then.
    #[must_use]
    pub fn nesterov(self) -> Self {
        SgdOptions { nesterov: true, ..self }
    }

    /// The same with another weight decay ω ≥ 0.
    #[must_use]
    pub fn weight_decay(self, weight_decay: f64) -> Self {
        SgdOptions { weight_decay, ..self }
    }
}

/// Stochastic gradient descent with momentum, in PyTorch's form:
///
/// ```text
/// g ← ∇L + ω θ
/// u ← μ u + g            (u = g at first)
/// θ ← θ − η u            or, with Nesterov's momentum, θ − η (g + μ u)
/// ```
///
/// # Examples
/// ```
/// use vivit_nn::optim::{Sgd, SgdOptions};
///
/// let plain = Sgd::new(0.1, 0.9)?;
/// let options = SgdOptions::default().learning_rate(0.1).momentum(0.9).nesterov();
/// let nesterov = Sgd::with_options(options.weight_decay(5e-4))?;
/// # Ok::<(), vivit_nn::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Sgd {
    options: SgdOptions,
    velocity: ParamMap<Tensor>,
}

impl Sgd {
    /// With learning rate η > 0 and momentum 0 ≤ μ < 1.
    ///
    /// # Errors
    /// If they are not.
    pub fn new(learning_rate: f64, momentum: f64) -> Result<Self, Error> {
        let options = SgdOptions::default().learning_rate(learning_rate).momentum(momentum);
        Self::with_options(options)
    }

    /// With all options.
    ///
    /// # Errors
    /// If one is out of its range.
    pub fn with_options(options: SgdOptions) -> Result<Self, Error> {
        check_learning_rate(options.learning_rate)?;
        check_memory("the momentum", options.momentum)?;
        let looks_ahead = !options.nesterov || options.momentum > 0.0;
        option("the momentum", "above 0 for Nesterov's momentum", options.momentum, looks_ahead)?;
        check_weight_decay(options.weight_decay)?;
        Ok(Sgd { options, velocity: ParamMap::new() })
    }

    /// The options.
    pub fn options(&self) -> SgdOptions {
        self.options
    }
}

impl Optimizer for Sgd {
    fn step(&mut self, model: &mut Weights, gradient: &ParamMap<Tensor>) -> Result<(), Error> {
        let SgdOptions { learning_rate, momentum, nesterov, weight_decay } = self.options;
        let velocity = &mut self.velocity;
        check_remembered(model, gradient, |param| velocity.get(param))?;
        model.update(gradient, |param, value, gradient| {
            let mut gradient = gradient.clone();
            if weight_decay > 0.0 {
                gradient.axpy(weight_decay, value);
            }
            if momentum == 0.0 {
                return value.axpy(-learning_rate, &gradient);
            }
            let mut moved = gradient.clone();
            if let Some(before) = velocity.get(param) {
                moved.axpy(momentum, before);
            }
            if nesterov {
                gradient.axpy(momentum, &moved);
                value.axpy(-learning_rate, &gradient);
            } else {
                value.axpy(-learning_rate, &moved);
            }
            velocity.insert(param, moved);
        })
    }

    fn learning_rate(&self) -> f64 {
        self.options.learning_rate
    }

    fn set_learning_rate(&mut self, learning_rate: f64) -> Result<(), Error> {
        check_learning_rate(learning_rate)?;
        self.options.learning_rate = learning_rate;
        Ok(())
    }
    fn state(&self) -> OptimizerState {
        let SgdOptions { learning_rate, momentum, nesterov, weight_decay } = self.options;
        let options = [
            ("learning_rate", learning_rate),
            ("momentum", momentum),
            ("nesterov", f64::from(u8::from(nesterov))),
            ("weight_decay", weight_decay),
        ];
        OptimizerState::new("Sgd", &options).with_arrays(MOMENTUM, self.velocity.clone())
    }

    fn set_state(&mut self, state: OptimizerState) -> Result<(), Error> {
        state.check("Sgd", &[MOMENTUM])?;
        let options = SgdOptions {
            learning_rate: state.option("learning_rate")?,
            momentum: state.option("momentum")?,
            nesterov: state.option("nesterov")? != 0.0,
            weight_decay: state.option("weight_decay")?,
        };
        *self = Sgd { velocity: state.arrays(MOMENTUM), ..Sgd::with_options(options)? };
        Ok(())
    }
}

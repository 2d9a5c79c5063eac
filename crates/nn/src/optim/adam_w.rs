//! Adam with the weight decay outside of its moments.

use vivit_autodiff::ParamMap;
use vivit_tensor::{DType, Tensor};

use super::adam::Moments;
use super::{AdamOptions, Optimizer, OptimizerState, check_learning_rate};
use crate::{Error, Weights};

/// AdamW (Loshchilov & Hutter, *Decoupled Weight Decay Regularization*, ICLR 2019), in PyTorch's
/// form: first `θ ← (1 − η ω) θ`, then the step of [`Adam`](super::Adam) along the gradient alone.
///
/// # Examples
/// ```
/// use vivit_nn::optim::{AdamOptions, AdamW};
///
/// let usual = AdamW::new(1e-3)?;
/// assert_eq!(usual.options().weight_decay, 0.01);
/// let stronger = AdamW::with_options(AdamOptions::default().weight_decay(0.1))?;
/// # Ok::<(), vivit_nn::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct AdamW {
    options: AdamOptions,
    moments: Moments,
}

impl AdamW {
    /// With learning rate η > 0, weight decay 0.01 and the other options' defaults.
    ///
    /// # Errors
    /// If it is not.
    pub fn new(learning_rate: f64) -> Result<Self, Error> {
        Self::with_options(AdamOptions::default().learning_rate(learning_rate).weight_decay(0.01))
    }

    /// With all options. The default of [`AdamOptions`] is no weight decay, as for Adam: say which
    /// one there shall be.
    ///
    /// # Errors
    /// If one is out of its range.
    pub fn with_options(options: AdamOptions) -> Result<Self, Error> {
        options.check(DType::F64)?;
        Ok(AdamW { options, moments: Moments::new() })
    }

    /// The options.
    pub fn options(&self) -> AdamOptions {
        self.options
    }
}

impl Optimizer for AdamW {
    fn step(&mut self, model: &mut Weights, gradient: &ParamMap<Tensor>) -> Result<(), Error> {
        self.options.check(model.device().dtype())?;
        self.moments.check(model, gradient)?;
        model.update(gradient, |param, value, gradient| {
            *value = value.scale(1.0 - self.options.learning_rate * self.options.weight_decay);
            self.moments.step(&self.options, param, value, gradient);
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
        self.moments.state("AdamW", &self.options)
    }

    fn set_state(&mut self, state: OptimizerState) -> Result<(), Error> {
        (self.options, self.moments) = Moments::of("AdamW", &state)?;
        Ok(())
    }
}

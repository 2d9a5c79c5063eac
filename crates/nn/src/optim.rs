//! Optimizers.

use vivit_autodiff::ParamMap;
use vivit_tensor::{Backend, Tensor};

use crate::{Error, Sequential};

/// Stochastic gradient descent with momentum: `u ← μ u + g`, `θ ← θ − η u` (PyTorch's form).
#[derive(Clone, Debug)]
pub struct Sgd<B: Backend> {
    /// The learning rate η.
    pub learning_rate: f64,
    /// The momentum μ.
    pub momentum: f64,
    velocity: ParamMap<Tensor<B>>,
}

impl<B: Backend> Sgd<B> {
    /// With learning rate η > 0 and momentum 0 ≤ μ < 1.
    ///
    /// # Errors
    /// If they are not.
    pub fn new(learning_rate: f64, momentum: f64) -> Result<Self, Error> {
        if !(learning_rate > 0.0 && learning_rate.is_finite()) {
            return Err(Error::Option { what: "the learning rate", expected: "positive and finite", value: learning_rate });
        }
        if !(0.0..1.0).contains(&momentum) {
            return Err(Error::Option { what: "the momentum", expected: "at least 0 and below 1", value: momentum });
        }
        Ok(Sgd { learning_rate, momentum, velocity: ParamMap::new() })
    }

    /// One step along the gradient of a graph of this model.
    ///
    /// # Errors
    /// If the gradient is not this model's.
    pub fn step(&mut self, model: &mut Sequential<B>, gradient: ParamMap<Tensor<B>>) -> Result<(), Error> {
        if self.momentum == 0.0 {
            return model.add_scaled(-self.learning_rate, &gradient);
        }
        // Parameters without a gradient stay where they are, whatever their velocity.
        let mut moved = ParamMap::new();
        for (var, mut velocity) in gradient {
            if let Some(before) = self.velocity.get(var) {
                velocity.axpy(self.momentum, before);
            }
            self.velocity.insert(var, velocity.clone());
            moved.insert(var, velocity);
        }
        model.add_scaled(-self.learning_rate, &moved)
    }
}

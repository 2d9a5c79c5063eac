//! Adam, and the moments that it shares with its relatives.

use vivit_autodiff::{ParamId, ParamMap};
use vivit_tensor::{Binary, DType, Scalar, Tensor, Unary, with_dtype};

use super::{
    Optimizer, OptimizerState, check_learning_rate, check_memory, check_remembered,
    check_weight_decay, option,
};
use crate::{Error, Weights};

/// The names of the moments in a state.
const MOMENTS: [&str; 2] = ["exp_avg", "exp_avg_sq"];

/// Options of [`Adam`] and [`AdamW`](super::AdamW).
///
/// ```
/// use vivit_nn::AdamOptions;
///
/// let options = AdamOptions::default().learning_rate(3e-4).weight_decay(0.1);
/// assert_eq!((options.learning_rate, options.betas), (3e-4, [0.9, 0.999]));
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub struct AdamOptions {
    /// The learning rate η > 0; 0.001 by default.
    pub learning_rate: f64,
    /// How slowly the moments forget, 0 ≤ β₁, β₂ < 1; 0.9 and 0.999 by default.
    pub betas: [f64; 2],
    /// ε > 0, added to the root of the second moment; 10⁻⁸ by default.
    pub eps: f64,
    /// The weight decay ω ≥ 0; 0 by default.
    pub weight_decay: f64,
}

impl Default for AdamOptions {
    fn default() -> Self {
        AdamOptions { learning_rate: 1e-3, betas: [0.9, 0.999], eps: 1e-8, weight_decay: 0.0 }
    }
}

impl AdamOptions {
    /// The same with another learning rate η > 0.
    #[must_use]
    pub fn learning_rate(self, learning_rate: f64) -> Self {
        AdamOptions { learning_rate, ..self }
    }

    /// The same with other moments' memories, 0 ≤ β₁, β₂ < 1.
    #[must_use]
    pub fn betas(self, betas: [f64; 2]) -> Self {
        AdamOptions { betas, ..self }
    }

    /// The same with another ε > 0.
    #[must_use]
    pub fn eps(self, eps: f64) -> Self {
        AdamOptions { eps, ..self }
    }

    /// The same with another weight decay ω ≥ 0.
    #[must_use]
    pub fn weight_decay(self, weight_decay: f64) -> Self {
        AdamOptions { weight_decay, ..self }
    }

    fn of(state: &OptimizerState) -> Result<Self, Error> {
        let options = AdamOptions {
            learning_rate: state.option("learning_rate")?,
            betas: [state.option("beta1")?, state.option("beta2")?],
            eps: state.option("eps")?,
            weight_decay: state.option("weight_decay")?,
        };
        options.check(DType::F64)?;
        Ok(options)
    }

    pub(super) fn check(&self, dtype: DType) -> Result<(), Error> {
        check_learning_rate(self.learning_rate)?;
        check_memory("the first beta", self.betas[0])?;
        check_memory("the second beta", self.betas[1])?;
        // An ε that is zero in the model's precision turns gradients that were always zero into
        // 0/0.
        let eps = with_dtype!(dtype, E => E::of(self.eps).f64());
        option(
            "eps",
            "positive and finite, in the model's precision",
            self.eps,
            eps > 0.0 && eps.is_finite(),
        )?;
        check_weight_decay(self.weight_decay)
    }
}

/// Running means of a parameter's gradient and its square.
#[derive(Clone, Debug)]
struct Moment {
    first: Tensor,
    second: Tensor,
    steps: u32,
}

/// What Adam and its relatives remember.
#[derive(Clone, Debug)]
pub(super) struct Moments(ParamMap<Moment>);

impl Moments {
    pub fn new() -> Self {
        Moments(ParamMap::new())
    }

    pub fn check(&self, model: &Weights, gradient: &ParamMap<Tensor>) -> Result<(), Error> {
        check_remembered(model, gradient, |param| self.0.get(param).map(|moment| &moment.first))
    }

    /// The state of an optimizer that has these moments.
    pub fn state(&self, kind: &str, options: &AdamOptions) -> OptimizerState {
        let AdamOptions { learning_rate, betas: [beta1, beta2], eps, weight_decay } = *options;
        let options = [
            ("learning_rate", learning_rate),
            ("beta1", beta1),
            ("beta2", beta2),
            ("eps", eps),
            ("weight_decay", weight_decay),
        ];
        OptimizerState::new(kind, &options)
            .with_arrays(MOMENTS[0], self.0.map(|moment| moment.first.clone()))
            .with_arrays(MOMENTS[1], self.0.map(|moment| moment.second.clone()))
            .with_steps(self.0.map(|moment| moment.steps.into()))
    }

    /// The options and the moments in a state of an optimizer of a kind.
    pub fn of(kind: &'static str, state: &OptimizerState) -> Result<(AdamOptions, Self), Error> {
        state.check(kind, &MOMENTS)?;
        let [firsts, mut seconds] = MOMENTS.map(|name| state.arrays(name));
        let partial = || state.unusable("parameters without steps or one of the moments".into());
        let mut moments = ParamMap::new();
        for (param, first) in firsts {
            let steps = state.steps().get(param).and_then(|&steps| u32::try_from(steps).ok());
            let second = seconds.remove(param);
            let (steps, second) =
                steps.filter(|&steps| steps > 0).zip(second).ok_or_else(partial)?;
            moments.insert(param, Moment { first, second, steps });
        }
        if !seconds.is_empty() || state.steps().len() != moments.len() {
            return Err(partial());
        }
        Ok((AdamOptions::of(state)?, Moments(moments)))
    }

    /// Takes a gradient into the moments and moves the parameter: `θ ← θ − η m̂ / (√v̂ + ε)`.
    pub fn step(
        &mut self,
        options: &AdamOptions,
        param: ParamId,
        value: &mut Tensor,
        gradient: &Tensor,
    ) {
        let [beta1, beta2] = options.betas;
        let mut first = gradient.scale(1.0 - beta1);
        let mut second = gradient.unary(Unary::Square).scale(1.0 - beta2);
        let mut steps = 1;
        if let Some(before) = self.0.get(param) {
            first.axpy(beta1, &before.first);
            second.axpy(beta2, &before.second);
            steps = before.steps.saturating_add(1);
        }
        let corrections = options.betas.map(|beta| 1.0 - beta.powf(f64::from(steps)));
        let root = second
            .unary(Unary::Sqrt)
            .scale(corrections[1].sqrt().recip())
            .unary(Unary::Shift(options.eps));
        value.axpy(-options.learning_rate / corrections[0], &first.binary(Binary::Div, &root));
        self.0.insert(param, Moment { first, second, steps });
    }
}

/// Adam (Kingma & Ba, *Adam: A Method for Stochastic Optimization*, ICLR 2015), in PyTorch's form.
/// In a parameter's step t:
///
/// ```text
/// g ← ∇L + ω θ
/// m ← β₁ m + (1 − β₁) g          m̂ = m / (1 − β₁ᵗ)
/// v ← β₂ v + (1 − β₂) g²         v̂ = v / (1 − β₂ᵗ)
/// θ ← θ − η m̂ / (√v̂ + ε)
/// ```
///
/// The weight decay passes through the moments; [`AdamW`](super::AdamW) keeps it apart.
///
/// # Examples
/// ```
/// use vivit_nn::optim::{Adam, AdamOptions};
///
/// let usual = Adam::new(1e-3)?;
/// let slow = Adam::with_options(AdamOptions::default().betas([0.99, 0.9999]))?;
/// # Ok::<(), vivit_nn::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Adam {
    options: AdamOptions,
    moments: Moments,
}

impl Adam {
    /// With learning rate η > 0 and the other options' defaults.
    ///
    /// # Errors
    /// If it is not.
    pub fn new(learning_rate: f64) -> Result<Self, Error> {
        Self::with_options(AdamOptions::default().learning_rate(learning_rate))
    }

    /// With all options.
    ///
    /// # Errors
    /// If one is out of its range. (ε is checked again with the model's precision, in a step.)
    pub fn with_options(options: AdamOptions) -> Result<Self, Error> {
        options.check(DType::F64)?;
        Ok(Adam { options, moments: Moments::new() })
    }

    /// The options.
    pub fn options(&self) -> AdamOptions {
        self.options
    }
}

impl Optimizer for Adam {
    fn step(&mut self, model: &mut Weights, gradient: &ParamMap<Tensor>) -> Result<(), Error> {
        self.options.check(model.device().dtype())?;
        self.moments.check(model, gradient)?;
        model.update(gradient, |param, value, gradient| {
            let mut gradient = gradient.clone();
            if self.options.weight_decay > 0.0 {
                gradient.axpy(self.options.weight_decay, value);
            }
            self.moments.step(&self.options, param, value, &gradient);
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
        self.moments.state("Adam", &self.options)
    }

    fn set_state(&mut self, state: OptimizerState) -> Result<(), Error> {
        (self.options, self.moments) = Moments::of("Adam", &state)?;
        Ok(())
    }
}

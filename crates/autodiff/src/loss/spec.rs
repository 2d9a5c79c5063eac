//! Losses before they know their targets.

use std::fmt::Debug;

use vivit_tensor::{Rng, Tensor};

use crate::data::BatchTargets;
use crate::{
    BceWithLogits, CrossEntropy, Error, FiniteCheck, Loss, LossHessian, Mse, Reduction, RootColumns,
};

/// A loss before it knows its targets: what a data set's batches have in common.
///
/// A mean over a data set divides by what *all* batches count, `a = 1/M`, `M = Σ_b M_b`; a mean of
/// the batches' means would weigh samples of small batches, ignored labels and class weights
/// otherwise.
///
/// ```
/// use vivit_autodiff::loss::{CrossEntropySpec, LossSpec};
/// use vivit_autodiff::Labels;
///
/// let spec = CrossEntropySpec::mean().ignore_index(-100);
/// let first = Labels::from([0, 2, -100]).into();
/// assert_eq!(spec.count(&first)?, 2.0);
/// # Ok::<(), vivit_autodiff::Error>(())
/// ```
pub trait LossSpec: Debug + Send + Sync {
    /// The name that errors show.
    fn name(&self) -> &str;

    /// How samples are reduced.
    fn reduction(&self) -> Reduction;

    /// What of these targets a mean divides by: samples, positions, entries, class weights.
    ///
    /// # Errors
    /// If the loss can't take such targets.
    fn count(&self, targets: &BatchTargets) -> Result<f64, Error>;

    /// The loss `a Σ_n …` of one batch: its own sum, times a factor.
    ///
    /// # Errors
    /// As [`count`](LossSpec::count).
    fn bind(&self, targets: BatchTargets, a: f64) -> Result<Box<dyn Loss>, Error>;
}

/// [`Mse`] before it knows its targets.
#[derive(Clone, Copy, Debug)]
pub struct MseSpec {
    reduction: Reduction,
}

impl MseSpec {
    /// The mean over all entries.
    pub fn mean() -> Self {
        MseSpec { reduction: Reduction::Mean }
    }

    /// The sum over all entries.
    pub fn sum() -> Self {
        MseSpec { reduction: Reduction::Sum }
    }
}

impl LossSpec for MseSpec {
    fn name(&self) -> &str {
        "MSE"
    }

    fn reduction(&self) -> Reduction {
        self.reduction
    }

    fn count(&self, targets: &BatchTargets) -> Result<f64, Error> {
        Ok(values("MSE", targets)?.len() as f64)
    }

    fn bind(&self, targets: BatchTargets, a: f64) -> Result<Box<dyn Loss>, Error> {
        Ok(Scaled::boxed(Mse::sum(values("MSE", &targets)?.clone()), a))
    }
}

/// [`BceWithLogits`] before it knows its targets.
#[derive(Clone, Debug)]
pub struct BceWithLogitsSpec {
    reduction: Reduction,
    pos_weight: Option<Tensor>,
}

impl BceWithLogitsSpec {
    /// The mean over all entries.
    pub fn mean() -> Self {
        BceWithLogitsSpec { reduction: Reduction::Mean, pos_weight: None }
    }

    /// The sum over all entries.
    pub fn sum() -> Self {
        BceWithLogitsSpec { reduction: Reduction::Sum, pos_weight: None }
    }

    /// As [`BceWithLogits::pos_weight`].
    #[must_use]
    pub fn pos_weight(self, weight: Tensor) -> Self {
        BceWithLogitsSpec { pos_weight: Some(weight), ..self }
    }
}

impl LossSpec for BceWithLogitsSpec {
    fn name(&self) -> &str {
        "BCE with logits"
    }

    fn reduction(&self) -> Reduction {
        self.reduction
    }

    fn count(&self, targets: &BatchTargets) -> Result<f64, Error> {
        Ok(values("BCE with logits", targets)?.len() as f64)
    }

    fn bind(&self, targets: BatchTargets, a: f64) -> Result<Box<dyn Loss>, Error> {
        let loss = BceWithLogits::sum(values("BCE with logits", &targets)?.clone());
        Ok(Scaled::boxed(
            match &self.pos_weight {
                Some(weight) => loss.pos_weight(weight.clone()),
                None => loss,
            },
            a,
        ))
    }
}

/// [`CrossEntropy`] before it knows its targets: labels, or soft targets `[N, C, *]`.
#[derive(Clone, Debug)]
pub struct CrossEntropySpec {
    reduction: Reduction,
    weights: Option<Vec<f64>>,
    ignored: Option<i64>,
    smoothing: f64,
}

impl CrossEntropySpec {
    fn new(reduction: Reduction) -> Self {
        CrossEntropySpec { reduction, weights: None, ignored: None, smoothing: 0.0 }
    }

    /// The mean over samples (and positions).
    pub fn mean() -> Self {
        Self::new(Reduction::Mean)
    }

    /// The sum over samples (and positions).
    pub fn sum() -> Self {
        Self::new(Reduction::Sum)
    }

    /// As [`CrossEntropy::class_weights`].
    #[must_use]
    pub fn class_weights(self, weights: impl Into<Vec<f64>>) -> Self {
        CrossEntropySpec { weights: Some(weights.into()), ..self }
    }

    /// As [`CrossEntropy::ignore_index`].
    #[must_use]
    pub fn ignore_index(self, label: i64) -> Self {
        CrossEntropySpec { ignored: Some(label), ..self }
    }

    /// As [`CrossEntropy::label_smoothing`].
    #[must_use]
    pub fn label_smoothing(self, share: f64) -> Self {
        CrossEntropySpec { smoothing: share, ..self }
    }

    fn weight(&self, label: i64) -> f64 {
        let Some(weights) = &self.weights else { return 1.0 };
        // A label beyond the classes is refused with its position when the loss meets the output.
        usize::try_from(label).ok().and_then(|label| weights.get(label)).copied().unwrap_or(0.0)
    }
}

impl LossSpec for CrossEntropySpec {
    fn name(&self) -> &str {
        "cross-entropy"
    }

    fn reduction(&self) -> Reduction {
        self.reduction
    }

    fn count(&self, targets: &BatchTargets) -> Result<f64, Error> {
        Ok(match targets {
            BatchTargets::Labels(labels) => {
                let counted =
                    labels.as_slice().iter().filter(|&&label| Some(label) != self.ignored);
                counted.map(|&label| self.weight(label)).sum()
            }
            BatchTargets::Values(soft) => {
                let classes = soft.shape().get(1).copied().unwrap_or(1).max(1);
                (soft.len() / classes) as f64
            }
        })
    }

    fn bind(&self, targets: BatchTargets, a: f64) -> Result<Box<dyn Loss>, Error> {
        let mut loss = match targets {
            BatchTargets::Labels(labels) => CrossEntropy::sum(labels),
            BatchTargets::Values(soft) => CrossEntropy::soft_sum(soft.to_vec()?),
        };
        if let Some(weights) = &self.weights {
            loss = loss.class_weights(weights.clone());
        }
        if let Some(label) = self.ignored {
            loss = loss.ignore_index(label);
        }
        Ok(Scaled::boxed(loss.label_smoothing(self.smoothing), a))
    }
}

/// Targets that are numbers.
fn values<'t>(loss: &'static str, targets: &'t BatchTargets) -> Result<&'t Tensor, Error> {
    match targets {
        BatchTargets::Values(values) => Ok(values),
        BatchTargets::Labels(labels) => Err(Error::LossOption {
            loss,
            what: "the targets",
            expected: "an array of numbers, of the output's shape".into(),
            got: format!("{} labels", labels.as_slice().len()),
        }),
    }
}

/// A loss that is a sum, times a factor.
#[derive(Debug)]
struct Scaled<L> {
    sum: L,
    a: f64,
}

impl<L: Loss + 'static> Scaled<L> {
    fn boxed(sum: L, a: f64) -> Box<dyn Loss> {
        Box::new(Scaled { sum, a })
    }
}

impl<L: Loss> Loss for Scaled<L> {
    fn name(&self) -> &str {
        self.sum.name()
    }

    fn reduction(&self) -> Reduction {
        Reduction::Sum
    }

    fn check(&self, output: &Tensor) -> Result<(), Error> {
        self.sum.check(output)
    }

    fn claims(&self) -> Vec<FiniteCheck> {
        self.sum.claims()
    }

    fn values(&self, output: &Tensor) -> Tensor {
        self.sum.values(output).scale(self.a)
    }

    fn gradient(&self, output: &Tensor) -> Tensor {
        self.sum.gradient(output).scale(self.a)
    }

    fn hessian_root(&self, output: &Tensor, columns: RootColumns) -> Tensor {
        self.sum.hessian_root(output, columns).scale(self.a.sqrt())
    }

    fn hessian(&self, output: &Tensor, columns: RootColumns) -> LossHessian {
        self.sum.hessian(output, columns).scale(self.a)
    }

    /// `a g = (√a S)(√a α)`
    fn gradient_weights(&self, output: &Tensor, columns: RootColumns) -> Option<Tensor> {
        Some(self.sum.gradient_weights(output, columns)?.scale(self.a.sqrt()))
    }

    fn monte_carlo_root(
        &self,
        output: &Tensor,
        draws: usize,
        rng: &mut Rng,
    ) -> Result<Tensor, Error> {
        Ok(self.sum.monte_carlo_root(output, draws, rng)?.scale(self.a.sqrt()))
    }
}

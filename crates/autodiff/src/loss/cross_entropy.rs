//! Softmax cross-entropy.

use vivit_tensor::{Binary, Device, Reduce, Rng, Shape, Tensor, Unary};

use super::labels::Labels;
use crate::device_cache::DeviceCache;
use crate::{Error, Loss, Reduction, RootColumns};

const NAME: &str = "cross-entropy";

/// What the model's output is compared with.
#[derive(Clone, Debug)]
enum Target {
    /// A class per sample and position.
    Labels(Labels),
    /// A weight per class, sample and position.
    Soft(Vec<f64>),
}

/// Cross-entropy of targets with the softmax of `[N, C, *]`. Extra axes are positions with a target
/// each.
///
/// With `p = softmax(f)` over axis 1 and effective targets `q[n, c, t] ≥ 0`, `w = Σ_c q`:
///
/// ```text
/// L_n = −a Σ_t Σ_c q log p
/// ∂L_n/∂f = a (w p − q)      ∂²L_n/∂f² = a w (diag p − p pᵀ), per position
/// ```
///
/// Class weights u, label smoothing ε and soft targets only choose q: `q_c = u_y (1 − ε) [c = y] +
/// u_c ε/C` for a label y, `q_c = u_c ((1 − ε) target_c + ε/C)` for soft targets, 0 for ignored
/// positions. The mean's factor is PyTorch's: `a = 1/Σ u_y` over positions that are not ignored, `a
/// = 1/(N·T)` for soft targets.
///
/// ```
/// # use vivit_tensor::{Device, Tensor};
/// use vivit_autodiff::{CrossEntropy, Loss};
///
/// // Two samples, three classes, all alike: log 3 each.
/// let f = Tensor::zeros(&Device::cpu_f64(), [2, 3]);
/// let loss = CrossEntropy::mean([0, 2]);
/// let mean: f64 = loss.values(&f).to_vec()?.iter().sum();
/// assert!((mean - 3f64.ln()).abs() < 1e-15);
/// // (p − q)/2
/// let gradient = loss.gradient(&f).to_vec()?;
/// assert!((gradient[0] + 1.0 / 3.0).abs() < 1e-15 && (gradient[1] - 1.0 / 6.0).abs() < 1e-15);
/// # Ok::<(), vivit_autodiff::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct CrossEntropy {
    target: Target,
    reduction: Reduction,
    weights: Option<Vec<f64>>,
    ignored: Option<i64>,
    smoothing: f64,
    /// The effective targets: on the device, from one call to the next.
    effective: DeviceCache,
}

/// Effective targets and their sums.
#[derive(Clone)]
struct Effective {
    /// `[N, C, T]`
    q: Tensor,
    /// `[N, 1, T]`
    w: Tensor,
    /// The reduction's factor.
    a: f64,
}

impl CrossEntropy {
    fn new(target: Target, reduction: Reduction) -> Self {
        CrossEntropy {
            target,
            reduction,
            weights: None,
            ignored: None,
            smoothing: 0.0,
            effective: DeviceCache::default(),
        }
    }

    /// The mean over samples (and positions) against `labels`, `[N, *]` row-major.
    pub fn mean(labels: impl Into<Labels>) -> Self {
        Self::new(Target::Labels(labels.into()), Reduction::Mean)
    }

    /// The sum over samples (and positions) against `labels`, `[N, *]` row-major.
    pub fn sum(labels: impl Into<Labels>) -> Self {
        Self::new(Target::Labels(labels.into()), Reduction::Sum)
    }

    /// The mean against soft targets, `[N, C, *]` row-major: a weight, usually a probability, per
    /// class.
    pub fn soft_mean(targets: impl Into<Vec<f64>>) -> Self {
        Self::new(Target::Soft(targets.into()), Reduction::Mean)
    }

    /// The sum against soft targets, `[N, C, *]` row-major.
    pub fn soft_sum(targets: impl Into<Vec<f64>>) -> Self {
        Self::new(Target::Soft(targets.into()), Reduction::Sum)
    }

    /// A weight ≥ 0 per class.
    #[must_use]
    pub fn class_weights(mut self, weights: impl Into<Vec<f64>>) -> Self {
        self.weights = Some(weights.into());
        self.effective = DeviceCache::default();
        self
    }

    /// Positions with this label count for nothing. It may lie beyond the classes, as PyTorch's
    /// −100 does.
    #[must_use]
    pub fn ignore_index(mut self, label: i64) -> Self {
        self.ignored = Some(label);
        self.effective = DeviceCache::default();
        self
    }

    /// Moves the share ε, `0 ≤ ε ≤ 1`, of every target to all classes alike.
    #[must_use]
    pub fn label_smoothing(mut self, share: f64) -> Self {
        self.smoothing = share;
        self.effective = DeviceCache::default();
        self
    }

    /// The share of positions whose largest output is that of their class (of soft targets: of the
    /// class with the largest one). Ignored positions do not count; without any other it is NaN.
    ///
    /// ```
    /// use vivit_autodiff::CrossEntropy;
    /// use vivit_tensor::{Device, Tensor};
    ///
    /// let output = Tensor::from_vec(&Device::cpu(), [2, 2], vec![0.1, 0.9, 0.8, 0.2])?;
    /// assert_eq!(CrossEntropy::mean([1, 1]).accuracy(&output)?, 0.5);
    /// # Ok::<(), vivit_autodiff::Error>(())
    /// ```
    ///
    /// # Errors
    /// If targets and output do not fit, or the device failed.
    pub fn accuracy(&self, output: &Tensor) -> Result<f64, Error> {
        self.check(output)?;
        let [n, c] = [output.shape()[0], output.shape()[1]];
        let predicted = output.argmax(1)?;
        let classes: Vec<Option<usize>> = match &self.target {
            Target::Labels(labels) => labels
                .as_slice()
                .iter()
                .map(|&label| (Some(label) != self.ignored).then_some(label as usize))
                .collect(),
            Target::Soft(targets) => {
                let t = predicted.len() / n.max(1);
                let largest = |at: usize| {
                    let of = |class: usize| targets[(at / t * c + class) * t + at % t];
                    (0..c).reduce(|best, class| if of(class) > of(best) { class } else { best })
                };
                (0..predicted.len()).map(largest).collect()
            }
        };
        let counted: Vec<bool> = (classes.iter().zip(&predicted))
            .filter_map(|(class, predicted)| class.map(|class| class == *predicted))
            .collect();
        Ok(counted.iter().filter(|right| **right).count() as f64 / counted.len() as f64)
    }

    /// The output as `[N, C, T]`.
    fn flat(output: &Tensor) -> Tensor {
        let [n, c] = [output.shape()[0], output.shape()[1]];
        output.reshape([n, c, output.len() / (n * c)])
    }

    fn weight(&self, class: usize) -> f64 {
        self.weights.as_ref().map_or(1.0, |weights| weights[class])
    }

    /// The sum of weights that a mean divides by.
    fn count(&self, positions: usize) -> f64 {
        match &self.target {
            Target::Labels(labels) => labels
                .as_slice()
                .iter()
                .filter(|&&label| Some(label) != self.ignored)
                .map(|&label| self.weight(label as usize))
                .sum(),
            Target::Soft(_) => positions as f64,
        }
    }

    fn effective(&self, device: &Device, shape: &Shape) -> Effective {
        let fits = |known: &Effective| {
            known.q.shape() == shape
                && known.q.device() == device
                && [&known.q, &known.w].iter().all(|array| device.is_readable(array.buf()))
        };
        self.effective.get_or(fits, || self.new_effective(device, shape))
    }

    fn new_effective(&self, device: &Device, shape: &Shape) -> Effective {
        let (c, t) = (shape[1], shape[2]);
        let (mut q, mut w) = (vec![0.0; shape.size()], vec![0.0; shape[0] * t]);
        let even = self.smoothing / c as f64;
        for (at, w) in w.iter_mut().enumerate() {
            let first = at / t * c * t + at % t;
            for class in 0..c {
                let hit = match &self.target {
                    Target::Labels(labels) if Some(labels.as_slice()[at]) == self.ignored => {
                        continue;
                    }
                    Target::Labels(labels) => {
                        f64::from(u8::from(labels.as_slice()[at] == class as i64))
                    }
                    Target::Soft(targets) => targets[first + class * t],
                };
                q[first + class * t] = self.weight(class) * ((1.0 - self.smoothing) * hit + even);
                *w += q[first + class * t];
            }
        }
        let a = match self.reduction {
            Reduction::Sum => 1.0,
            Reduction::Mean => 1.0 / self.count(w.len()),
        };
        let upload = |data: Vec<f64>| device.upload(data.into());
        Effective {
            q: Tensor::from_buf(device, *shape, upload(q)),
            w: Tensor::from_buf(device, [shape[0], 1, t], upload(w)),
            a,
        }
    }

    fn check_options(&self, shape: &Shape) -> Result<(), Error> {
        let option = |what, expected: String, got: String| {
            Err(Error::LossOption { loss: NAME, what, expected, got })
        };
        if let Some(weights) = &self.weights {
            if weights.len() != shape[1] {
                return option(
                    "class weights",
                    format!("one number per class, {}", shape[1]),
                    weights.len().to_string(),
                );
            }
            if let Some(bad) =
                weights.iter().find(|weight| !(weight.is_finite() && **weight >= 0.0))
            {
                return option("class weights", "at least 0".into(), bad.to_string());
            }
        }
        if !(0.0..=1.0).contains(&self.smoothing) {
            return option("label smoothing", "from 0 to 1".into(), self.smoothing.to_string());
        }
        Ok(())
    }

    fn check_targets(&self, shape: &Shape) -> Result<(), Error> {
        let positions = shape.size() / shape[1];
        let (got, needed) = match &self.target {
            Target::Labels(labels) => (labels.as_slice().len(), positions),
            Target::Soft(targets) => (targets.len(), shape.size()),
        };
        if got != needed {
            let expected = match &self.target {
                Target::Labels(_) => format!("one label per sample and position, {needed} in all"),
                Target::Soft(_) => format!("one number per output, {needed} in all"),
            };
            return Err(Error::TargetShape {
                loss: NAME,
                output: shape.to_vec(),
                target: vec![got],
                expected,
            });
        }
        match &self.target {
            Target::Labels(labels) => {
                let labels = labels.as_slice();
                let bad = |label: &i64| {
                    !(0..shape[1] as i64).contains(label) && Some(*label) != self.ignored
                };
                if let Some(position) = labels.iter().position(bad) {
                    return Err(Error::LabelOutOfRange {
                        position,
                        label: labels[position],
                        classes: shape[1],
                    });
                }
            }
            Target::Soft(targets) => {
                if let Some(position) =
                    targets.iter().position(|target| !(target.is_finite() && *target >= 0.0))
                {
                    let value = targets[position];
                    return Err(Error::TargetOutOfRange {
                        loss: NAME,
                        position,
                        value,
                        low: 0.0,
                        high: f64::INFINITY,
                    });
                }
            }
        }
        if self.reduction == Reduction::Mean && self.count(positions) <= 0.0 {
            return Err(Error::NothingToAverage { loss: NAME });
        }
        Ok(())
    }
}

impl Loss for CrossEntropy {
    fn name(&self) -> &str {
        NAME
    }

    fn reduction(&self) -> Reduction {
        self.reduction
    }

    fn check(&self, output: &Tensor) -> Result<(), Error> {
        let shape = *output.shape();
        if shape.rank() < 2 || shape[1] == 0 {
            let expected = "an output [N, C, *] with at least one class on axis 1".into();
            return Err(Error::TargetShape {
                loss: NAME,
                output: shape.to_vec(),
                target: Vec::new(),
                expected,
            });
        }
        self.check_options(&shape)?;
        self.check_targets(&shape)
    }

    /// `a Σ_t (w log Σ_c e^{f_c} − Σ_c q_c f_c)`, shifted by the maximum.
    fn values(&self, output: &Tensor) -> Tensor {
        let f = Self::flat(output);
        let (n, t) = (f.shape()[0], f.shape()[2]);
        let Effective { q, w, a } = self.effective(f.device(), f.shape());
        let shifted = f.sub(&f.reduce(Reduce::Max, 1).reshape([n, 1, t]));
        let log_sum = shifted.unary(Unary::Exp).sum(1).unary(Unary::Ln);
        log_sum.mul(&w.reshape([n, t])).sub(&shifted.mul(&q).sum(1)).sum(1).scale(a)
    }

    /// `a (w p − q)`
    fn gradient(&self, output: &Tensor) -> Tensor {
        let f = Self::flat(output);
        let Effective { q, w, a } = self.effective(f.device(), f.shape());
        f.softmax(1).mul(&w).sub(&q).scale(a).reshape(*output.shape())
    }

    /// With `τ = √p`, per position: all C columns `√(a w) (diag(τ) − p τᵀ)`, or the C−1 columns
    /// `√(a w) diag(τ) Q[:, 1:]` of the same product, with Q the Householder reflection that takes
    /// τ to −e₀: `Q = I − u uᵀ/(1 + τ₀)`, `u = τ + e₀`. (`diag(τ) Q e₀ = −p`, and `diag p − p pᵀ`
    /// is what is left without it.)
    ///
    /// Positions do not mix: with T of them there are T times as many columns, each zero but at one
    /// position.
    fn hessian_root(&self, output: &Tensor, columns: RootColumns) -> Tensor {
        let f = Self::flat(output);
        let [n, c, t] = [f.shape()[0], f.shape()[1], f.shape()[2]];
        let root_p = f.softmax(1).unary(Unary::Sqrt);
        // τ with the column's class in front: [C, N, 1, T].
        let by_column = root_p.permute(&[1, 0, 2]).reshape([c, n, 1, t]);
        let eye = Tensor::eye(f.device(), c);
        let root = match columns {
            // One class: the Hessian is zero, and a root needs a column all the same.
            _ if c == 1 => Tensor::zeros(f.device(), [1, n, 1, t]),
            RootColumns::Outputs => eye.reshape([c, 1, c, 1]).sub(&root_p.mul(&by_column)),
            RootColumns::Rank => {
                let first =
                    root_p.index_select(1, &[0]).unary(Unary::Shift(1.0)).unary(Unary::Recip);
                let u = root_p.add(&eye.slice(0, 1).reshape([1, c, 1])).mul(&first);
                eye.slice(1, c).reshape([c - 1, 1, c, 1]).sub(&u.mul(&by_column.slice(1, c)))
            }
        };
        let Effective { w, a, .. } = self.effective(f.device(), f.shape());
        let root = root.mul(&root_p.mul(&w.unary(Unary::Sqrt))).scale(a.sqrt());
        let v = root.shape()[0];
        // Each column at one position: [V, T', N, C, T] with T' = T only.
        let apart =
            root.reshape([v, 1, n, c, t]).mul(&Tensor::eye(f.device(), t).reshape([t, 1, 1, t]));
        apart.reshape(output.shape().prefixed(&[v * t]))
    }

    /// `h = √(a/w) (w τ − q/τ)`, for which `√(a w) diag(τ) h` is the gradient and `τᵀh = 0`. All C
    /// columns take it as it is; the C−1 take `Q h` without its first entry, which is zero: `h_c −
    /// τ_c h₀/(1 + τ₀)`.
    fn gradient_weights(&self, output: &Tensor, columns: RootColumns) -> Option<Tensor> {
        let f = Self::flat(output);
        let [n, c, t] = [f.shape()[0], f.shape()[1], f.shape()[2]];
        if c == 1 {
            return None;
        }
        let root_p = f.softmax(1).unary(Unary::Sqrt);
        let Effective { q, w, a } = self.effective(f.device(), f.shape());
        // Ignored positions weigh nothing: 0 of anything but 0 is 0.
        let root_w = w.unary(Unary::Sqrt).unary(Unary::Shift(f32::MIN_POSITIVE.into()));
        let h = root_p
            .mul(&w)
            .sub(&q.binary(Binary::Div, &root_p))
            .binary(Binary::Div, &root_w)
            .scale(a.sqrt());
        let first = |x: &Tensor| x.index_select(1, &[0]);
        let weights = match columns {
            RootColumns::Outputs => h,
            RootColumns::Rank => {
                let share = first(&h).binary(Binary::Div, &first(&root_p).unary(Unary::Shift(1.0)));
                let rest: Vec<usize> = (1..c).collect();
                h.sub(&root_p.mul(&share)).index_select(1, &rest)
            }
        };
        let v = weights.shape()[1];
        Some(weights.permute(&[1, 2, 0]).reshape([v * t, n]))
    }

    /// `√(a w/M) (p − onehot(ŷ))`, `ŷ ~ Cat(p)` for every position.
    fn monte_carlo_root(
        &self,
        output: &Tensor,
        draws: usize,
        rng: &mut Rng,
    ) -> Result<Tensor, Error> {
        let f = Self::flat(output);
        let [n, c, t] = [f.shape()[0], f.shape()[1], f.shape()[2]];
        let p = f.softmax(1);
        let uniform: Vec<f64> = rng.uniform(draws * n * t, 0.0, 1.0);
        let drawn = f.device().draw_one_hot(p.buf(), &uniform, n, c, t)?;
        let drawn = Tensor::from_buf(f.device(), [draws, n, c, t], drawn);
        let Effective { w, a, .. } = self.effective(f.device(), f.shape());
        Ok(p.sub(&drawn)
            .mul(&w.unary(Unary::Sqrt))
            .scale((a / draws as f64).sqrt())
            .reshape(output.shape().prefixed(&[draws])))
    }
}

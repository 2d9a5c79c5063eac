//! Softmax cross-entropy.

use vivit_tensor::{Binary, Device, Reduce, Rng, Shape, Tensor, Unary};

use super::labels::Labels;
use crate::device_cache::DeviceCache;
use crate::{Error, Loss, LossHessian, Reduction, RootColumns};

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

/// What effective targets are made of, and their sums.
#[derive(Clone)]
struct Effective {
    targets: EffectiveTargets,
    /// `[N, 1, T]`
    w: Tensor,
    /// The reduction's factor.
    a: f64,
    /// `[N, C, T]`
    shape: Shape,
}

/// Effective targets on a device.
#[derive(Clone)]
enum EffectiveTargets {
    /// As they are, `[N, C, T]`.
    Soft(Tensor),
    /// One-hot, and a share for every class.
    Labels {
        /// The classes, `[N·T]`; of ignored positions any.
        classes: Tensor,
        /// What the label's class gets: `u_y (1 − ε)`, `[N, 1, T]`; 0 of ignored positions.
        hit: Tensor,
        /// What every class gets: `u_c ε/C`, `[C, 1]`, where positions count, `[N, 1, T]`.
        even: Option<Box<[Tensor; 2]>>,
    },
}

impl Effective {
    /// The targets q, `[N, C, T]`.
    fn q(&self) -> Tensor {
        let [n, c, t] = [self.shape[0], self.shape[1], self.shape[2]];
        match &self.targets {
            EffectiveTargets::Soft(q) => q.clone(),
            EffectiveTargets::Labels { classes, hit, even } => {
                let device = classes.device();
                let hot = device.one_hot(classes.buf(), c);
                let hot = Tensor::from_buf(device, [n, t, c], hot);
                let q = if t == 1 { hot.reshape([n, c, t]) } else { hot.permute(&[0, 2, 1]) };
                let q = q.mul(hit);
                match even.as_deref() {
                    Some([share, counts]) => q.add(&counts.mul(share)),
                    None => q,
                }
            }
        }
    }

    fn arrays(&self) -> Vec<&Tensor> {
        let targets = match &self.targets {
            EffectiveTargets::Soft(q) => vec![q],
            EffectiveTargets::Labels { classes, hit, even } => {
                [classes, hit].into_iter().chain(even.iter().flat_map(|even| even.iter())).collect()
            }
        };
        targets.into_iter().chain([&self.w]).collect()
    }
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
            known.shape == *shape
                && (known.arrays().iter())
                    .all(|array| array.device() == device && device.is_readable(array.buf()))
        };
        self.effective.get_or(fits, || self.new_effective(device, shape))
    }

    fn new_effective(&self, device: &Device, shape: &Shape) -> Effective {
        let (targets, w) = match &self.target {
            Target::Labels(labels) => self.of_labels(device, shape, labels.as_slice()),
            Target::Soft(targets) => self.of_soft(device, shape, targets),
        };
        let a = match self.reduction {
            Reduction::Sum => 1.0,
            Reduction::Mean => 1.0 / self.count(w.len()),
        };
        Effective { targets, w, a, shape: *shape }
    }

    /// Effective targets of labels, and their sums, `[N, 1, T]`.
    fn of_labels(
        &self,
        device: &Device,
        shape: &Shape,
        labels: &[i64],
    ) -> (EffectiveTargets, Tensor) {
        let [n, c, t] = [shape[0], shape[1], shape[2]];
        let upload = |shape: &[usize], data: Vec<f64>| {
            Tensor::from_buf(device, shape, device.upload(data.into()))
        };
        let counts = |label: i64| Some(label) != self.ignored;
        let of_each = |of: &dyn Fn(usize) -> f64| -> Vec<f64> {
            labels.iter().map(|&y| if counts(y) { of(y as usize) } else { 0.0 }).collect()
        };
        let even: Vec<f64> =
            (0..c).map(|class| self.weight(class) * self.smoothing / c as f64).collect();
        let total: f64 = even.iter().sum();
        let hit = |class: usize| self.weight(class) * (1.0 - self.smoothing);
        let hits = upload(&[n, 1, t], of_each(&hit));
        // Without smoothing there is nothing else.
        let w = if self.smoothing > 0.0 {
            upload(&[n, 1, t], of_each(&|class| hit(class) + total))
        } else {
            hits.clone()
        };
        let targets = EffectiveTargets::Labels {
            classes: upload(&[labels.len()], of_each(&|class| class as f64)),
            hit: hits,
            even: (self.smoothing > 0.0)
                .then(|| Box::new([upload(&[c, 1], even), upload(&[n, 1, t], of_each(&|_| 1.0))])),
        };
        (targets, w)
    }

    /// Effective targets of soft ones, and their sums, `[N, 1, T]`.
    fn of_soft(
        &self,
        device: &Device,
        shape: &Shape,
        targets: &[f64],
    ) -> (EffectiveTargets, Tensor) {
        let (c, t) = (shape[1], shape[2]);
        let even = self.smoothing / c as f64;
        let mut w = vec![0.0; shape[0] * t];
        for (row, targets) in targets.chunks_exact(t.max(1)).enumerate() {
            let (first, weight) = (row / c * t, self.weight(row % c));
            (w[first..first + t].iter_mut().zip(targets))
                .for_each(|(w, target)| *w += weight * ((1.0 - self.smoothing) * target + even));
        }
        let q = Tensor::from_buf(device, *shape, device.upload(targets.into()));
        let q = q.scale(1.0 - self.smoothing);
        let q = if even > 0.0 { q.unary(Unary::Shift(even)) } else { q };
        let q = match &self.weights {
            Some(weights) => {
                q.mul(&Tensor::from_buf(device, [c, 1], device.upload(weights.into())))
            }
            None => q,
        };
        let w = Tensor::from_buf(device, [shape[0], 1, t], device.upload(w.into()));
        (EffectiveTargets::Soft(q), w)
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
        let effective = self.effective(f.device(), f.shape());
        let shifted = f.sub(&f.reduce(Reduce::Max, 1).reshape([n, 1, t]));
        let log_sum = shifted.unary(Unary::Exp).sum(1).unary(Unary::Ln);
        let along = shifted.mul(&effective.q()).sum(1);
        log_sum.mul(&effective.w.reshape([n, t])).sub(&along).sum(1).scale(effective.a)
    }

    /// `a (w p − q)`
    fn gradient(&self, output: &Tensor) -> Tensor {
        let f = Self::flat(output);
        let effective = self.effective(f.device(), f.shape());
        let p = f.softmax(1);
        let mut gradient = p.mul(&effective.w.scale(effective.a));
        drop(p);
        gradient.axpy(-effective.a, &effective.q());
        gradient.reshape(*output.shape())
    }

    /// The one of [`LossHessian::softmax`]: positions do not mix, so with T of them there are T
    /// times as many columns, each zero but at one position.
    fn hessian_root(&self, output: &Tensor, columns: RootColumns) -> Tensor {
        self.hessian(output, columns).root()
    }

    /// `a w (diag p − p pᵀ)` per position.
    fn hessian(&self, output: &Tensor, columns: RootColumns) -> LossHessian {
        let f = Self::flat(output);
        let Effective { w, a, .. } = self.effective(f.device(), f.shape());
        LossHessian::softmax(output, w.scale(a), columns)
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
        let effective = self.effective(f.device(), f.shape());
        let (q, Effective { w, a, .. }) = (effective.q(), effective);
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

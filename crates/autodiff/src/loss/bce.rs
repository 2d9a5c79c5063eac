//! Binary cross-entropy with logits.

use vivit_tensor::{Binary, Rng, Tensor, Unary};

use crate::{Error, FiniteCheck, Loss, LossHessian, Reduction, RootColumns};

const NAME: &str = "BCE with logits";

/// Binary cross-entropy over all entries of `[N, *]`; the mean divides by their number, as
/// PyTorch's does.
///
/// With `σ = sigmoid(f)`, targets y in [0, 1], weights π of the positive class and `w = π y + 1 −
/// y`, per entry:
///
/// ```text
/// ℓ  = −π y log σ − (1 − y) log(1 − σ) = (1 − y) f + w log(1 + e⁻ᶠ)
/// ℓ′ = w σ − π y
/// ℓ″ = w σ (1 − σ)
/// ```
///
/// ```
/// # use vivit_tensor::{Device, Tensor};
/// # let cpu = Device::cpu_f64();
/// use vivit_autodiff::{BceWithLogits, Loss};
///
/// // σ(0) = 1/2 for both: log 2 each, slopes of −1/2 and 1/2.
/// let f = Tensor::zeros(&cpu, [1, 2]);
/// let loss = BceWithLogits::sum(Tensor::from_vec(&cpu, [1, 2], vec![1.0, 0.0])?);
/// assert!((loss.values(&f).to_vec()?[0] - 2.0 * 2f64.ln()).abs() < 1e-15);
/// assert_eq!(loss.gradient(&f).to_vec()?, [-0.5, 0.5]);
/// # Ok::<(), vivit_autodiff::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct BceWithLogits {
    target: Tensor,
    reduction: Reduction,
    pos_weight: Option<Tensor>,
}

impl BceWithLogits {
    /// The mean over all entries against `target: [N, *]`.
    pub fn mean(target: Tensor) -> Self {
        BceWithLogits { target, reduction: Reduction::Mean, pos_weight: None }
    }

    /// The sum over all entries against `target: [N, *]`.
    pub fn sum(target: Tensor) -> Self {
        BceWithLogits { target, reduction: Reduction::Sum, pos_weight: None }
    }

    /// Weights π > 0 of the positive class, of a shape that broadcasts to the output: usually `[C]`
    /// for `[N, C]`.
    #[must_use]
    pub fn pos_weight(mut self, weight: Tensor) -> Self {
        self.pos_weight = Some(weight);
        self
    }

    /// The factor a.
    fn factor(&self, output: &Tensor) -> f64 {
        match self.reduction {
            Reduction::Sum => 1.0,
            Reduction::Mean => 1.0 / output.len() as f64,
        }
    }

    /// `π y` and `w`.
    fn weights(&self) -> (Tensor, Tensor) {
        let positive = self
            .pos_weight
            .as_ref()
            .map_or_else(|| self.target.clone(), |weight| self.target.mul(weight));
        let w = positive.sub(&self.target).unary(Unary::Shift(1.0));
        (positive, w)
    }

    /// `a w σ(1 − σ)`, every entry's second derivative.
    fn second_derivative(&self, output: &Tensor) -> Tensor {
        // σ(−f) for 1 − σ(f): nothing cancels where σ is close to one.
        let complement = output.scale(-1.0).unary(Unary::Sigmoid);
        let variance = output.unary(Unary::Sigmoid).mul(&complement);
        variance.mul(&self.weights().1.scale(self.factor(output)))
    }
}

impl Loss for BceWithLogits {
    fn name(&self) -> &str {
        NAME
    }

    fn reduction(&self) -> Reduction {
        self.reduction
    }

    fn check(&self, output: &Tensor) -> Result<(), Error> {
        super::check_device("the targets", &self.target, output)?;
        if let Some(weight) = &self.pos_weight {
            super::check_device("pos_weight", weight, output)?;
        }
        let (output, target) = (output.shape(), self.target.shape());
        if output != target {
            let expected = format!("{output}");
            return Err(Error::TargetShape {
                loss: NAME,
                output: output.to_vec(),
                target: target.to_vec(),
                expected,
            });
        }
        let Some(weight) = &self.pos_weight else { return Ok(()) };
        if weight.shape().broadcast(output) != Some(*output) {
            let (expected, got) =
                (format!("of a shape that broadcasts to {output}"), weight.shape().to_string());
            return Err(Error::LossOption { loss: NAME, what: "pos_weight", expected, got });
        }
        Ok(())
    }

    fn claims(&self) -> Vec<FiniteCheck> {
        let y = &self.target;
        // y (1 − y) ≥ 0 exactly where 0 ≤ y ≤ 1, and only then is its root a number.
        let inside = y.sub(&y.mul(y)).unary(Unary::Sqrt);
        let outside = |position, value| Error::TargetOutOfRange {
            loss: NAME,
            position,
            value,
            low: 0.0,
            high: 1.0,
        };
        let mut claims =
            vec![FiniteCheck::finite(y, "the target"), FiniteCheck::witnessed(inside, y, outside)];
        if let Some(weight) = &self.pos_weight {
            // ln π is finite exactly where 0 < π < ∞.
            let got = |_, value: f64| Error::LossOption {
                loss: NAME,
                what: "pos_weight",
                expected: "positive and finite".into(),
                got: value.to_string(),
            };
            claims.push(FiniteCheck::witnessed(weight.unary(Unary::Ln), weight, got));
        }
        claims
    }

    fn values(&self, output: &Tensor) -> Tensor {
        let (n, (_, w)) = (output.shape()[0], self.weights());
        let soft = output.scale(-1.0).unary(Unary::Softplus(1.0)).mul(&w);
        let linear = output.sub(&output.mul(&self.target));
        soft.add(&linear).reshape([n, output.len() / n]).sum(1).scale(self.factor(output))
    }

    /// `a (w σ − π y)`
    fn gradient(&self, output: &Tensor) -> Tensor {
        let (positive, w) = self.weights();
        output.unary(Unary::Sigmoid).mul(&w).sub(&positive).scale(self.factor(output))
    }

    /// `√(a w σ(1 − σ))` on the diagonal.
    fn hessian_root(&self, output: &Tensor, columns: RootColumns) -> Tensor {
        self.hessian(output, columns).root()
    }

    /// `a w σ(1 − σ)` on the diagonal.
    fn hessian(&self, output: &Tensor, _columns: RootColumns) -> LossHessian {
        LossHessian::diagonal(self.second_derivative(output))
    }

    /// `a (w σ − π y)/√(a w σ(1 − σ))`
    fn gradient_weights(&self, output: &Tensor, _columns: RootColumns) -> Option<Tensor> {
        let n = output.shape()[0];
        let deviation = self.second_derivative(output).unary(Unary::Sqrt);
        let weights = self.gradient(output).binary(Binary::Div, &deviation);
        Some(weights.reshape([n, output.len() / n]).permute(&[1, 0]))
    }

    /// `√(a w/M) (σ − b)`, `b ~ Bernoulli(σ)`.
    fn monte_carlo_root(
        &self,
        output: &Tensor,
        draws: usize,
        rng: &mut Rng,
    ) -> Result<Tensor, Error> {
        let (device, entries) = (output.device(), output.len());
        let p = output.unary(Unary::Sigmoid);
        // Two classes, 1 and 0, in front of each other: the first one's draw is b.
        let both = Tensor::concat(
            &[
                p.reshape([entries, 1]),
                output.scale(-1.0).unary(Unary::Sigmoid).reshape([entries, 1]),
            ],
            1,
        );
        let uniform: Vec<f64> = rng.uniform(draws * entries, 0.0, 1.0);
        let drawn = Tensor::from_buf(
            device,
            [draws, entries, 2],
            device.draw_one_hot(both.buf(), &uniform, entries, 2, 1)?,
        );
        let drawn = drawn.index_select(2, &[0]).reshape(output.shape().prefixed(&[draws]));
        let scale = (self.factor(output) / draws as f64).sqrt();
        Ok(p.sub(&drawn).mul(&self.weights().1.unary(Unary::Sqrt)).scale(scale))
    }
}

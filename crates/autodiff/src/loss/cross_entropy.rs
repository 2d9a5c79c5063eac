//! Softmax cross-entropy: `L_n = −a Σ_t log p[n, y[n, t], t]`, `p = softmax(f)` over axis 1, a = 1 or 1/(N·T).

use vivit_tensor::{Backend, Reduce, Rng, Scalar, Shape, Tensor, Unary};

use crate::{Error, Loss, Reduction, RootColumns};

/// Cross-entropy of class labels with the softmax of `[N, C, *]`. Extra axes are positions with a label each; the mean divides by
/// the number of positions, as PyTorch's does.
#[derive(Clone, Debug)]
pub struct CrossEntropy {
    labels: Vec<usize>,
    reduction: Reduction,
}

impl CrossEntropy {
    /// The mean over samples (and positions) against `labels`, `[N, *]` row-major.
    pub fn mean(labels: impl Into<Vec<usize>>) -> Self {
        CrossEntropy { labels: labels.into(), reduction: Reduction::Mean }
    }

    /// The sum over samples (and positions) against `labels`, `[N, *]` row-major.
    pub fn sum(labels: impl Into<Vec<usize>>) -> Self {
        CrossEntropy { labels: labels.into(), reduction: Reduction::Sum }
    }

    fn factor(&self) -> f64 {
        match self.reduction {
            Reduction::Sum => 1.0,
            Reduction::Mean => 1.0 / self.labels.len() as f64,
        }
    }

    /// The output as `[N, C, T]`.
    fn flat<B: Backend>(output: &Tensor<B>) -> Tensor<B> {
        let [n, c] = [output.shape()[0], output.shape()[1]];
        output.reshape([n, c, output.len() / (n * c)])
    }

    /// The labels as one-hot vectors `[N, C, T]`.
    fn one_hot<B: Backend>(&self, backend: &B, shape: &Shape) -> Tensor<B> {
        let (c, t) = (shape[1], shape[2]);
        let mut hot = vec![B::Elem::of(0.0); shape.size()];
        for (at, &label) in self.labels.iter().enumerate() {
            hot[(at / t * c + label) * t + at % t] = B::Elem::of(1.0);
        }
        Tensor::from_buf(backend, *shape, backend.upload(hot))
    }
}

impl<B: Backend> Loss<B> for CrossEntropy {
    fn name(&self) -> &str {
        "cross-entropy"
    }

    fn reduction(&self) -> Reduction {
        self.reduction
    }

    fn check(&self, output: &Tensor<B>) -> Result<(), Error> {
        let shape = *output.shape();
        let mismatch = |expected: String| Error::TargetShape {
            loss: "cross-entropy",
            output: shape.to_vec(),
            target: vec![self.labels.len()],
            expected,
        };
        if shape.rank() < 2 || shape[1] == 0 {
            return Err(mismatch("an output [N, C, *] with at least one class on axis 1".into()));
        }
        let positions = shape.size() / shape[1];
        if self.labels.len() != positions {
            return Err(mismatch(format!("one label per sample and position, {positions} in all")));
        }
        match self.labels.iter().position(|&label| label >= shape[1]) {
            Some(position) => Err(Error::LabelOutOfRange { position, label: self.labels[position], classes: shape[1] }),
            None => Ok(()),
        }
    }

    /// `a Σ_t (log Σ_c e^{f_c} − f_y)`, shifted by the maximum.
    fn values(&self, output: &Tensor<B>) -> Tensor<B> {
        let f = Self::flat(output);
        let (n, t) = (f.shape()[0], f.shape()[2]);
        let shifted = f.sub(&f.reduce(Reduce::Max, 1).reshape([n, 1, t]));
        let log_sum = shifted.unary(Unary::Exp).sum(1).unary(Unary::Ln);
        let of_label = shifted.mul(&self.one_hot(f.backend(), f.shape())).sum(1);
        log_sum.sub(&of_label).sum(1).scale(self.factor())
    }

    /// `a (p − onehot(y))`
    fn gradient(&self, output: &Tensor<B>) -> Tensor<B> {
        let f = Self::flat(output);
        let gradient = f.softmax(1).sub(&self.one_hot(f.backend(), f.shape()));
        gradient.scale(self.factor()).reshape(*output.shape())
    }

    /// With `τ = √p`, per position: all C columns `√a (diag(τ) − p τᵀ)`, or the C−1 columns `√a diag(τ) Q[:, 1:]` of the same
    /// product, with Q the Householder reflection that takes τ to −e₀: `Q = I − u uᵀ/(1 + τ₀)`, `u = τ + e₀`. (`diag(τ) Q e₀ = −p`, and
    /// `diag p − p pᵀ` is what is left without it.)
    ///
    /// Positions do not mix: with T of them there are T times as many columns, each zero but at one position.
    fn hessian_root(&self, output: &Tensor<B>, columns: RootColumns) -> Tensor<B> {
        let f = Self::flat(output);
        let [n, c, t] = [f.shape()[0], f.shape()[1], f.shape()[2]];
        let root_p = f.softmax(1).unary(Unary::Sqrt);
        // τ with the column's class in front: [C, N, 1, T].
        let by_column = root_p.permute(&[1, 0, 2]).reshape([c, n, 1, t]);
        let eye = Tensor::eye(f.backend(), c);
        let root = match columns {
            // One class: the Hessian is zero, and a root needs a column all the same.
            _ if c == 1 => Tensor::zeros(f.backend(), [1, n, 1, t]),
            RootColumns::Outputs => eye.reshape([c, 1, c, 1]).sub(&root_p.mul(&by_column)),
            RootColumns::Rank => {
                let first = root_p.select(1, &[0]).unary(Unary::Shift(1.0)).unary(Unary::Recip);
                let u = root_p.add(&eye.slice(0, 1).reshape([1, c, 1])).mul(&first);
                eye.slice(1, c).reshape([c - 1, 1, c, 1]).sub(&u.mul(&by_column.slice(1, c)))
            }
        };
        let root = root.mul(&root_p).scale(self.factor().sqrt());
        let v = root.shape()[0];
        // Each column at one position: [V, T', N, C, T] with T' = T only.
        let apart = root.reshape([v, 1, n, c, t]).mul(&Tensor::eye(f.backend(), t).reshape([t, 1, 1, t]));
        apart.reshape(output.shape().prefixed(&[v * t]))
    }

    /// `√(a/M) (p − onehot(ŷ))`, `ŷ ~ Cat(p)` for every position.
    fn sampled_root(&self, output: &Tensor<B>, draws: usize, rng: &mut Rng) -> Result<Tensor<B>, Error> {
        let f = Self::flat(output);
        let [n, c, t] = [f.shape()[0], f.shape()[1], f.shape()[2]];
        let p = f.softmax(1);
        let uniform: Vec<f64> = rng.uniform(draws * n * t, 0.0, 1.0);
        let drawn = f.backend().draw_one_hot(p.buf(), &uniform, n, c, t)?;
        let drawn = Tensor::from_buf(f.backend(), [draws, n, c, t], drawn);
        Ok(p.sub(&drawn).scale((self.factor() / draws as f64).sqrt()).reshape(output.shape().prefixed(&[draws])))
    }
}

//! Batch norm: with running statistics (evaluation) an affine map per channel, with the batch's own
//! (training) an operation that couples samples.

use vivit_tensor::{Tensor, Unary};

use super::normal::{Normal, inverse_deviation};
use crate::{Batch, Io, Op, Second, Tape, Var};

/// Normalises every channel of `[N, C, *]` over samples and positions: batch norm's training mode,
/// without weight and bias.
#[derive(Clone, Copy, Debug)]
pub struct BatchNormalize {
    /// Added to the variance.
    pub epsilon: f64,
}

/// The mean of every channel of `[V, N, C, T]` over samples and positions: `[V, 1, C, 1]`.
fn channel_mean(x: &Tensor) -> Tensor {
    let [v, n, c, t] = **x.shape() else { unreachable!("four axes") };
    x.sum(3).sum(1).scale(1.0 / (n * t) as f64).reshape([v, 1, c, 1])
}

/// Columns at an array like `like: [N, C, *]`, as `[V, N, C, T]`.
fn flat(x: &Tensor, like: &Tensor) -> Tensor {
    let (n, c) = (like.shape()[0], like.shape()[1]);
    x.reshape([x.len() / like.len(), n, c, like.len() / (n * c)])
}

impl BatchNormalize {
    /// Mean and biased variance of every channel, `[C]` each: what running statistics are updated
    /// with.
    pub fn statistics(x: &Tensor) -> (Tensor, Tensor) {
        let c = x.shape()[1];
        let rows = flat(x, x);
        let mean = channel_mean(&rows);
        let variance = channel_mean(&rows.sub(&mean).unary(Unary::Square));
        (mean.reshape([c]), variance.reshape([c]))
    }

    fn centred(self, x: &Tensor) -> (Tensor, Tensor) {
        let rows = flat(x, x);
        let centred = rows.sub(&channel_mean(&rows));
        let variance = channel_mean(&centred.unary(Unary::Square));
        (centred, inverse_deviation(&variance, self.epsilon))
    }

    /// Means over samples and positions.
    fn normal(self, io: Io<'_>) -> Normal<impl Fn(&Tensor) -> Tensor> {
        Normal {
            normal: flat(io.out, io.out),
            inverse: self.centred(io.args[0]).1,
            mean: channel_mean,
            centre: true,
        }
    }
}

impl Op for BatchNormalize {
    fn name(&self) -> &'static str {
        "batch norm in training mode"
    }

    fn forward(&self, args: &[&Tensor]) -> Tensor {
        let (centred, inverse) = self.centred(args[0]);
        centred.mul(&inverse).reshape(*args[0].shape())
    }

    fn jac_t(&self, io: Io<'_>, _wrt: usize, mat: &Tensor, _batch: Batch) -> Tensor {
        self.normal(io).product(&flat(mat, io.out)).reshape(*mat.shape())
    }

    fn jac(&self, io: Io<'_>, wrt: usize, tangent: &Tensor) -> Tensor {
        self.jac_t(io, wrt, tangent, Batch::Sum)
    }

    fn second(&self, _wrt: usize, _along: usize) -> Second<'_> {
        Second::product(|io, mat, tangent, _batch| {
            let product = self.normal(io).residual(&flat(mat, io.out), &flat(tangent, io.out));
            product.reshape(*tangent.shape())
        })
    }

    fn couples_samples(&self) -> bool {
        true
    }
}

impl Tape {
    /// Batch norm of `[N, C, *]` with running mean and variance `[C]`: an affine map per channel
    /// that treats samples separately.
    ///
    /// # Panics
    /// If the shapes do not fit.
    #[track_caller]
    pub fn batch_norm(
        &mut self,
        x: Var,
        statistics: (&Tensor, &Tensor),
        weight: Option<Var>,
        bias: Option<Var>,
        epsilon: f64,
    ) -> Var {
        let rank = self.value(x).shape().rank();
        let (mean, variance) = statistics;
        let inverse = inverse_deviation(variance, epsilon);
        let shift = mean.mul(&inverse).scale(-1.0);
        let (inverse, shift) = (self.constant(inverse), self.constant(shift));
        let (inverse, shift) = (self.per_channel(inverse, rank), self.per_channel(shift, rank));
        let normal = self.affine(x, Some(inverse), Some(shift));
        let (weight, bias) =
            (weight.map(|w| self.per_channel(w, rank)), bias.map(|b| self.per_channel(b, rank)));
        self.affine(normal, weight, bias)
    }

    /// Batch norm of `[N, C, *]` with the batch's own mean and variance. Samples are coupled: there
    /// are plain gradients only.
    ///
    /// # Panics
    /// If the shapes do not fit.
    #[track_caller]
    pub fn batch_norm_training(
        &mut self,
        x: Var,
        weight: Option<Var>,
        bias: Option<Var>,
        epsilon: f64,
    ) -> Var {
        let rank = self.value(x).shape().rank();
        assert!(
            rank >= 2 && self.is_batched(x),
            "batch norm needs [N, C, *], got {}",
            self.value(x).shape()
        );
        let normal = self.record(BatchNormalize { epsilon }, &[x]);
        let (weight, bias) =
            (weight.map(|w| self.per_channel(w, rank)), bias.map(|b| self.per_channel(b, rank)));
        self.affine(normal, weight, bias)
    }
}

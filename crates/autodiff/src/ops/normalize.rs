//! Normalisation to mean zero and variance one (or to mean square one) over blocks of entries, and
//! the layers made of it.

use vivit_tensor::Tensor;

use super::normal::Normal;
use crate::{Batch, Io, Op, Second, Tape, Var};

/// Normalises blocks of `block` consecutive entries of each sample.
#[derive(Clone, Copy, Debug)]
pub struct Normalize {
    /// Entries of a block.
    pub block: usize,
    /// Whether the mean is subtracted.
    pub centre: bool,
    /// Added to the variance (mean square).
    pub epsilon: f64,
}

impl Normalize {
    /// Means of the last axis, blocks.
    fn mean(self, x: &Tensor) -> Tensor {
        let last = x.shape().rank() - 1;
        let mut shape = x.shape().to_vec();
        shape[last] = 1;
        x.sum(last).scale(1.0 / self.block as f64).reshape(&shape)
    }

    /// `1/σ` of each block, from the argument.
    fn inverse(self, x: &Tensor) -> Tensor {
        x.inverse_deviations(self.block, self.centre, self.epsilon)
    }

    fn normal(self, io: Io<'_>) -> Normal<impl Fn(&Tensor) -> Tensor> {
        let rows = io.out.len() / self.block;
        Normal {
            normal: io.out.reshape([rows, self.block]),
            inverse: self.inverse(io.args[0]).reshape([rows, 1]),
            mean: move |x: &Tensor| self.mean(x),
            centre: self.centre,
        }
    }

    /// Columns with blocks as rows, `[V, rows, block]`.
    fn rows(self, mat: &Tensor) -> Tensor {
        let v = mat.shape()[0];
        mat.reshape([v, mat.len() / (v * self.block), self.block])
    }
}

impl Op for Normalize {
    fn name(&self) -> &'static str {
        "normalisation"
    }

    fn forward(&self, args: &[&Tensor]) -> Tensor {
        args[0].normalize(self.block, self.centre, self.epsilon)
    }

    fn jac_t(&self, io: Io<'_>, _wrt: usize, mat: &Tensor, _batch: Batch) -> Tensor {
        mat.normalize_chain(io.out, &self.inverse(io.args[0]), self.centre)
    }

    fn jac(&self, io: Io<'_>, wrt: usize, tangent: &Tensor) -> Tensor {
        self.jac_t(io, wrt, tangent, Batch::Sum)
    }

    fn second(&self, _wrt: usize, _along: usize) -> Second<'_> {
        Second::product(|io, mat, tangent, _batch| {
            let product = self.normal(io).residual(&self.rows(mat), &self.rows(tangent));
            product.reshape(*tangent.shape())
        })
    }
}

impl Tape {
    #[track_caller]
    fn normalize(&mut self, x: Var, block: usize, centre: bool, epsilon: f64) -> Var {
        let entries = self.value(x).shape().tail().size();
        assert!(
            self.is_batched(x) && block > 0 && entries % block == 0,
            "normalisation: blocks of {block} do not divide samples of {entries} entries"
        );
        self.record(Normalize { block, centre, epsilon }, &[x])
    }

    /// `x · weight + bias` for whichever there is.
    #[track_caller]
    pub(crate) fn affine(&mut self, mut x: Var, weight: Option<Var>, bias: Option<Var>) -> Var {
        if let Some(weight) = weight {
            x = self.mul(x, weight);
        }
        if let Some(bias) = bias {
            x = self.add(x, bias);
        }
        x
    }

    /// Layer norm over the last `axes` axes (`1 ≤ axes`); weight and bias have their shape.
    ///
    /// # Panics
    /// If the shapes do not fit.
    #[track_caller]
    pub fn layer_norm(
        &mut self,
        x: Var,
        axes: usize,
        weight: Option<Var>,
        bias: Option<Var>,
        epsilon: f64,
    ) -> Var {
        let shape = self.value(x).shape();
        let block = shape[shape.rank() - axes..].iter().product();
        let normal = self.normalize(x, block, true, epsilon);
        self.affine(normal, weight, bias)
    }

    /// RMS norm over the last axis, `x / √(mean(x²) + ε)`; the weight has its shape.
    ///
    /// # Panics
    /// If the shapes do not fit.
    #[track_caller]
    pub fn rms_norm(&mut self, x: Var, weight: Option<Var>, epsilon: f64) -> Var {
        let shape = self.value(x).shape();
        let normal = self.normalize(x, shape[shape.rank() - 1], false, epsilon);
        self.affine(normal, weight, None)
    }

    /// Group norm of `[N, C, *]` over groups of channels and all positions; weight and bias are
    /// `[C]`.
    ///
    /// # Panics
    /// If the groups do not divide the channels.
    #[track_caller]
    pub fn group_norm(
        &mut self,
        x: Var,
        groups: usize,
        weight: Option<Var>,
        bias: Option<Var>,
        epsilon: f64,
    ) -> Var {
        let shape = *self.value(x).shape();
        assert!(
            shape.rank() >= 2 && groups > 0 && shape[1] % groups == 0,
            "group norm: {groups} groups of {shape}"
        );
        let normal = self.normalize(x, shape.tail().size() / groups, true, epsilon);
        let (weight, bias) = (
            weight.map(|w| self.per_channel(w, shape.rank())),
            bias.map(|b| self.per_channel(b, shape.rank())),
        );
        self.affine(normal, weight, bias)
    }

    /// Instance norm of `[N, C, *]`: every channel of a sample is normalised over its positions;
    /// weight and bias are `[C]`.
    ///
    /// ```
    /// use vivit_autodiff::Tape;
    /// use vivit_tensor::{Device, Tensor};
    ///
    /// let cpu = Device::cpu();
    /// let mut tape = Tape::new(&cpu);
    /// let x = tape.input(Tensor::from_vec(&cpu, [1, 2, 2], vec![1.0, 3.0, 10.0, 30.0])?);
    /// let y = tape.instance_norm(x, None, None, 0.0);
    /// assert_eq!(tape.value(y).to_vec()?, [-1.0, 1.0, -1.0, 1.0]);
    /// # Ok::<(), vivit_tensor::Error>(())
    /// ```
    ///
    /// # Panics
    /// If the shapes do not fit.
    #[track_caller]
    pub fn instance_norm(
        &mut self,
        x: Var,
        weight: Option<Var>,
        bias: Option<Var>,
        epsilon: f64,
    ) -> Var {
        let shape = self.value(x).shape();
        assert!(shape.rank() >= 2, "instance norm needs [N, C, *], got {shape}");
        self.group_norm(x, shape[1], weight, bias, epsilon)
    }

    /// `(x − mean)/√(variance + ε)` with mean and variance over the given axes (of the value, the
    /// sample axis counted).
    ///
    /// # Panics
    /// If an axis is missing, named twice, or the sample axis.
    #[track_caller]
    pub fn mean_variance_normalize(&mut self, x: Var, axes: &[usize], epsilon: f64) -> Var {
        let shape = *self.value(x).shape();
        axes.iter().for_each(|&axis| self.expect_axis("normalisation", x, axis));
        let block = axes.iter().map(|&axis| shape[axis]).product();
        // The axes that are averaged over, last.
        let kept = (0..shape.rank()).filter(|axis| !axes.contains(axis));
        let order: Vec<usize> = kept.chain(axes.iter().copied()).collect();
        let mut back = vec![0; order.len()];
        order.iter().enumerate().for_each(|(at, &axis)| back[axis] = at);
        let x = self.permute(x, &order);
        let normal = self.normalize(x, block, true, epsilon);
        self.permute(normal, &back)
    }

    /// `[C]` as `[C, 1, …]`, to be repeated over the positions of `[N, C, *]`, a value of `rank`
    /// axes.
    #[track_caller]
    pub fn per_channel(&mut self, x: Var, rank: usize) -> Var {
        let channels = self.value(x).len();
        let shape: Vec<usize> =
            [channels].into_iter().chain(std::iter::repeat_n(1, rank - 2)).collect();
        self.reshape(x, &shape)
    }
}

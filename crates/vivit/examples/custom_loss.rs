//! A loss of one's own: the Poisson negative log-likelihood of counts, with the model's output as
//! the logarithm of the rate.
//!
//! Per entry `ℓ = e^f − y f`, so `ℓ′ = e^f − y` and `ℓ″ = e^f`. Value, gradient and a square root
//! of the Hessian are all that the library asks for; then every curvature computation works with
//! it.
//!
//! Run it with `cargo run --release --example custom_loss`.

use std::process::ExitCode;

use vivit::autodiff::{Reduction, RootColumns};
use vivit::nn::{linear, tanh};
use vivit::prelude::*;
use vivit::tensor::Unary;

/// The mean over all entries of `[N, *]` against counts of the same shape.
#[derive(Debug)]
struct Poisson {
    counts: Tensor,
}

impl Poisson {
    /// The mean's factor: it belongs into everything, so that per-sample shares sum to the whole.
    fn factor(&self) -> f64 {
        1.0 / self.counts.len() as f64
    }
}

impl Loss for Poisson {
    fn name(&self) -> &str {
        "Poisson"
    }

    fn reduction(&self) -> Reduction {
        Reduction::Mean
    }

    fn check(&self, output: &Tensor) -> Result<(), vivit::autodiff::Error> {
        if output.shape() == self.counts.shape() {
            return Ok(());
        }
        let (output, target) = (output.shape().to_vec(), self.counts.shape().to_vec());
        Err(vivit::autodiff::Error::TargetShape {
            loss: "Poisson",
            expected: format!("{output:?}"),
            output,
            target,
        })
    }

    /// `[N]`
    fn values(&self, f: &Tensor) -> Tensor {
        let n = f.shape()[0];
        f.unary(Unary::Exp)
            .sub(&self.counts.mul(f))
            .reshape([n, f.len() / n])
            .sum(1)
            .scale(self.factor())
    }

    /// `[N, *]`
    fn gradient(&self, f: &Tensor) -> Tensor {
        f.unary(Unary::Exp).sub(&self.counts).scale(self.factor())
    }

    /// `[C, N, *]`: the Hessian is diagonal, so column c holds `√(a e^f)` at output c and zeros.
    fn hessian_root(&self, f: &Tensor, _columns: RootColumns) -> Tensor {
        let (n, c) = (f.shape()[0], f.shape().tail().size());
        let root = f.scale(0.5).unary(Unary::Exp).scale(self.factor().sqrt());
        let units = Tensor::eye(f.device(), c).reshape([c, 1, c]);
        root.reshape([1, n, c]).mul(&units).reshape(f.shape().prefixed(&[c]))
    }

    /// `[M, N, *]`: the root times standard normal numbers, divided by √M, has the Hessian as its
    /// mean square.
    fn monte_carlo_root(
        &self,
        f: &Tensor,
        draws: usize,
        rng: &mut Rng,
    ) -> Result<Tensor, vivit::autodiff::Error> {
        let shape = f.shape().prefixed(&[draws]);
        let noise = Tensor::from_vec(f.device(), shape, rng.normal(shape.size()))?;
        let root = f.scale(0.5).unary(Unary::Exp);
        Ok(noise.mul(&root).scale((self.factor() / draws as f64).sqrt()))
    }
}

fn main() -> Result<ExitCode, vivit::Error> {
    let cpu = Device::cpu_f64();
    let mut model = Sequential::new(&cpu, vec![linear(3, 4), tanh(), linear(4, 2)], 0)?;
    let x = Tensor::from_vec(&cpu, [6, 3], Rng::new(1).normal(18))?;
    let counts = Rng::new(2).uniform(12, 0.0, 5.0).into_iter().map(f64::floor).collect::<Vec<_>>();
    let loss = Poisson { counts: Tensor::from_vec(&cpu, [6, 2], counts)? };

    // The gradient and the root against finite differences of value and gradient, along one random
    // direction.
    let graph = model.forward(&x)?;
    let (f, h) = (graph.value(), 1e-5);
    let direction = Tensor::from_vec(&cpu, f.shape(), Rng::new(3).normal(f.len()))?;
    let moved = |sign: f64| {
        let mut moved = f.clone();
        moved.axpy(sign * h, &direction);
        moved
    };
    let total = |x: &Tensor| x.reshape([x.len()]).sum(0).to_vec().map(|sum| sum[0]);
    let slope = total(&loss.gradient(f).mul(&direction))?;
    let slope_by_values =
        (total(&loss.values(&moved(1.0)))? - total(&loss.values(&moved(-1.0)))?) / (2.0 * h);
    let along_root = loss.hessian_root(f, RootColumns::Outputs).mul(&direction).sum(2);
    let bend = total(&along_root.unary(Unary::Square))?;
    let bends = loss.gradient(&moved(1.0)).sub(&loss.gradient(&moved(-1.0))).mul(&direction);
    let bend_by_gradients = total(&bends)? / (2.0 * h);
    println!("slope     {slope:.9}, by differences {slope_by_values:.9}");
    println!("curvature {bend:.9}, by differences {bend_by_gradients:.9}");
    let right = (slope - slope_by_values).abs() < 1e-8 && (bend - bend_by_gradients).abs() < 1e-8;

    let newton = Ggn::new(&graph, &loss).newton_step(top_k(3), constant(0.1))?;
    println!("leading GGN eigenvalues {:.4?}", newton.directions[0].eigenvalues);
    model.add_scaled(1.0, &newton.step)?;
    let (before, after) = (graph.loss(&loss)?, model.forward(&x)?.loss(&loss)?);
    println!("a Newton step takes the loss from {before:.4} to {after:.4}");
    Ok(if right && after < before { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

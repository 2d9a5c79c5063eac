//! Variance over samples of the gradient's entries, `(1/N) Σ_n g_n² − ((1/N) Σ_n g_n)²`, of the
//! reduced `g_n = ∂L_n/∂θ`. (BackPACK's `Variance`.) Computed about the mean: large means do not
//! cancel.
//!
//! Times N² it is the variance of the unreduced losses' gradients where the loss is a mean over
//! samples.

use vivit_autodiff::{Batch, Outer};
use vivit_tensor::{Reduce, Tensor, Unary};

use crate::constructors::{of_gradient, per_parameter};
use crate::squares::{BLOCK, squares};

of_gradient! {
    /// The variance over samples of `∂L_n/∂θ`: `[*p]` per parameter. Over chosen samples, N is
    /// their number.
    ///
    /// `(1/N) Σ_n g_n² − ((1/N) Σ_n g_n)²`. Times N² it is the variance of the unreduced losses'
    /// gradients where the loss is a mean over samples.
    ///
    /// ```
    /// # use vivit_autodiff::{Graph, Mse, Tape};
    /// # use vivit_tensor::{Device, Tensor};
    /// # let cpu = Device::cpu_f64();
    /// # let mut tape = Tape::new(&cpu);
    /// # let x = tape.input(Tensor::from_vec(&cpu, [2, 2], vec![1.0, 2.0, 3.0, 4.0])?);
    /// # let w = tape.named_param("w", Tensor::zeros(&cpu, [1, 2]));
    /// # let y = tape.linear(x, w, None);
    /// # let graph = Graph::new(tape, y)?;
    /// # let w = graph.param_id(w)?;
    /// # let loss = Mse::sum(Tensor::from_vec(&cpu, [2, 1], vec![1.0, -1.0])?);
    /// // y = x·w at w = 0, with x = (1, 2) and (3, 4); squared errors against 1 and −1.
    /// use vivit_extend::{Variance, run};
    ///
    /// let (variance,) = run(&graph, &loss, (Variance::new(),))?;
    /// assert_eq!(variance[w].to_vec()?, [16.0, 36.0]); // of (−2, −4) and (6, 8)
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    Variance
}

per_parameter! { Variance, Tensor, |site| {
    let share = site.share(0);
    let n = site.samples(0);
    let spread = match share.outer() {
        Some(outer) if outer.dims().one_hot => {
            let mean = site.jac_t(0, Batch::Sum).scale(1.0 / n as f64).reshape(*site.shape());
            let second = squares(&share, Batch::Sum).scale(1.0 / n as f64).reshape(*site.shape());
            return Ok(second.sub(&mean.unary(Unary::Square)));
        }
        Some(outer) if outer.dims().t == 1 => of_products(&outer),
        Some(outer) => of_positions(&outer),
        None => Spread::of(&share.jac_t(Batch::Keep)).about_mean,
    };
    Ok(spread.scale(1.0 / n as f64).reshape(*site.shape()))
} }

/// What is left of `x` where its mean over an axis is taken away, and that mean.
fn centred(x: &Tensor, axis: usize) -> (Tensor, Tensor) {
    let (n, mut shape) = (x.shape()[axis], x.shape().to_vec());
    shape[axis] = 1;
    let mean = x.sum(axis).scale(1.0 / n as f64).reshape(shape);
    (x.sub(&mean), mean)
}

/// `Σ_n (g_n − ḡ)²` of `g_n = s_n ⊗ z_n`, from what s and z are beside their means, so that means
/// that are large do not cancel: `g_n − s̄ ⊗ z̄ = s̄ ⊗ z′_n + s′_n ⊗ z_n`, and the mean of that is
/// the mean of `s′_n ⊗ z′_n`.
fn of_products(outer: &Outer) -> Tensor {
    let (s, z, n) = (outer.s(), outer.z(), outer.dims().n);
    let ((ds, s_mean), (dz, _)) = (centred(s, 1), centred(&z, 0));
    let sum =
        |s: Tensor, z: Tensor| Outer::new(s, z, outer.positions()).ordered(outer.order()).summed();
    let square = |x: &Tensor| x.unary(Unary::Square);
    let everywhere = square(&s_mean).add(&Tensor::zeros(s.device(), *s.shape()));
    let mut spread = sum(everywhere, square(&dz));
    spread.axpy(2.0, &sum(ds.mul(&s_mean), dz.mul(&z)));
    spread.axpy(1.0, &sum(square(&ds), square(&z)));
    spread.axpy(-1.0 / n as f64, &square(&sum(ds, dz)));
    spread
}

/// `Σ_n (g_n − ḡ)²` of `g_n = Σ_t s_nt ⊗ z_nt`, expanded some samples at a time.
fn of_positions(outer: &Outer) -> Tensor {
    let d = outer.dims();
    let parts = outer.sample_blocks(BLOCK).map(|n| Spread::of(&outer.expand_part(n, 0..d.o)));
    let spread = parts.reduce(Spread::with).expect("a batch holds a sample").about_mean;
    outer.in_parameter_order(&spread.reshape([d.g, d.o, d.i]))
}

/// Some samples: their number, the mean of what they have, `[D]`, and the squares of what is left
/// of it without the mean, added up.
struct Spread {
    samples: f64,
    mean: Tensor,
    about_mean: Tensor,
}

impl Spread {
    /// Of gradients `[1, N, *]`.
    fn of(gradients: &Tensor) -> Self {
        let n = gradients.shape()[1];
        let (rest, mean) = centred(&gradients.reshape([n, gradients.len() / n]), 0);
        let mean = mean.reshape([gradients.len() / n]);
        Spread { samples: n as f64, mean, about_mean: rest.reduce(Reduce::SumSquares, 0) }
    }

    /// Of these samples and others together.
    fn with(mut self, other: Self) -> Self {
        let (apart, samples) = (other.mean.sub(&self.mean), self.samples + other.samples);
        let share = other.samples / samples;
        self.about_mean.axpy(1.0, &other.about_mean);
        self.about_mean.axpy(self.samples * share, &apart.unary(Unary::Square));
        self.mean.axpy(share, &apart);
        Spread { samples, ..self }
    }
}

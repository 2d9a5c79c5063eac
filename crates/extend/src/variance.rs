//! Variance over samples of the gradient's entries, `(1/N) Σ_n g_n² − ((1/N) Σ_n g_n)²`, of the
//! reduced `g_n = ∂L_n/∂θ`. (BackPACK's `Variance`.)
//!
//! Times N² it is the variance of the unreduced losses' gradients where the loss is a mean over
//! samples.

use vivit_autodiff::Batch;
use vivit_tensor::{Tensor, Unary};

use crate::constructors::{of_gradient, per_parameter};
use crate::squares::squares;

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
    let n = site.samples(0) as f64;
    let mean = site.jac_t(0, Batch::Sum).scale(1.0 / n).reshape(*site.shape());
    let second = squares(&site.share(0), Batch::Sum).scale(1.0 / n).reshape(*site.shape());
    Ok(second.sub(&mean.unary(Unary::Square)))
} }

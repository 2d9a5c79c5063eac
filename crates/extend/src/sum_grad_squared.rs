//! Sum over samples of squared gradients, `Σ_n g_n²`, entry by entry. (BackPACK's
//! `SumGradSquared`.)

use vivit_autodiff::Batch;
use vivit_tensor::Tensor;

use crate::constructors::{of_gradient, per_parameter};
use crate::squares::squares;

of_gradient! {
    /// `Σ_n (∂L_n/∂θ)²`: `[*p]` per parameter.
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
    /// use vivit_extend::{SumGradSquared, run};
    ///
    /// let (squares,) = run(&graph, &loss, (SumGradSquared::new(),))?;
    /// assert_eq!(squares[w].to_vec()?, [40.0, 80.0]); // of (−2, −4) and (6, 8)
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    SumGradSquared
}

per_parameter! { SumGradSquared, Tensor, |site| {
    Ok(squares(&site.share(0), Batch::Sum).reshape(*site.shape()))
} }

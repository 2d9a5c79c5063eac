//! Per-sample gradients `g_n = ∂L_n/∂θ`, the reduction's factor included, so that they sum to the
//! gradient. (BackPACK's `BatchGrad`.)

use vivit_autodiff::Batch;
use vivit_tensor::Tensor;

use crate::constructors::{of_gradient, per_parameter};

of_gradient! {
    /// The gradient of every sample's share of the loss: `[N_S, *p]` per parameter.
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
    /// use vivit_extend::{BatchGrad, run};
    ///
    /// let (gradients,) = run(&graph, &loss, (BatchGrad::new(),))?;
    /// assert_eq!(gradients[w].to_vec()?, [-2.0, -4.0, 6.0, 8.0]); // 2 (y − target) x
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    BatchGrad
}

per_parameter! { BatchGrad, Tensor, |site| {
    let gradients = site.jac_t(0, Batch::Keep);
    let shape = gradients.shape().tail();
    Ok(gradients.reshape(shape))
} }

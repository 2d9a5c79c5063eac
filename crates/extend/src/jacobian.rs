//! Jacobians of the model's outputs in its parameters, per sample.

use vivit_autodiff::{Batch, Seed};
use vivit_tensor::Tensor;

use crate::constructors::{of_seed, per_parameter};

of_seed! {
    /// `∂f[n, c]/∂θ`: `[C, N_S, *p]` per parameter, for all outputs or for chosen ones, in the
    /// order given.
    ///
    /// No loss is needed ([`run_without_loss`](crate::run_without_loss)); the outputs of a sample
    /// are counted flattened.
    ///
    /// ```
    /// # use vivit_autodiff::{Graph, Tape};
    /// # use vivit_tensor::{Device, Tensor};
    /// # let cpu = Device::cpu_f64();
    /// # let mut tape = Tape::new(&cpu);
    /// # let x = tape.input(Tensor::from_vec(&cpu, [2, 2], vec![1.0, 2.0, 3.0, 4.0])?);
    /// # let w = tape.named_param("w", Tensor::zeros(&cpu, [1, 2]));
    /// # let y = tape.linear(x, w, None);
    /// # let graph = Graph::new(tape, y)?;
    /// # let w = graph.param_id(w)?;
    /// use vivit_extend::{Jacobian, run_without_loss};
    ///
    /// // y = x·w with x = (1, 2) and (3, 4)
    /// let (jacobian,) = run_without_loss(&graph, (Jacobian::new(),))?;
    /// assert_eq!(*jacobian[w].shape(), [1, 2, 1, 2]);
    /// assert_eq!(jacobian[w].to_vec()?, [1.0, 2.0, 3.0, 4.0]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    Jacobian, Seed::Outputs(None), "Of the chosen samples, in that order."
}

impl Jacobian {
    /// Of the chosen outputs.
    #[must_use]
    pub fn outputs(mut self, outputs: Vec<usize>) -> Self {
        self.probe.seed = Seed::Outputs(Some(outputs));
        self
    }
}

per_parameter! { Jacobian, Tensor, |site| Ok(site.jac_t(0, Batch::Keep)) }

//! The GGN's square root `V_n = J_nᵀ S_n`, so that `G = Σ_n V_n V_nᵀ`. (BackPACK's `SqrtGGNExact`,
//! `SqrtGGNMC`.)

use vivit_autodiff::Batch;
use vivit_tensor::Tensor;

use crate::constructors::{of_root, per_parameter};

of_root! {
    /// V: `[V, N_S, *p]` per parameter. Over chosen samples it is scaled so that `V Vᵀ` estimates
    /// the GGN of the whole batch.
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
    /// use vivit_extend::{SqrtGgn, run};
    ///
    /// let (root,) = run(&graph, &loss, (SqrtGgn::exact(),))?;
    /// for (got, x) in root[w].to_vec()?.into_iter().zip([1.0, 2.0, 3.0, 4.0]) {
    ///     assert!((got - 2f64.sqrt() * x).abs() < 1e-14); // the loss's second derivative is 2
    /// }
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    SqrtGgn
}

per_parameter! { SqrtGgn, Tensor, |site| Ok(site.jac_t(0, Batch::Keep)) }

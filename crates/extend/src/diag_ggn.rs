//! The GGN's diagonal, `diag(G)_d = Σ_{v,n} V[v, n, d]²`, summed over samples or of each.
//! (BackPACK's `DiagGGNExact`, `DiagGGNMC`, `BatchDiagGGNExact`, `BatchDiagGGNMC`.)

use vivit_autodiff::Batch;
use vivit_tensor::Tensor;

use crate::constructors::{of_root, per_parameter};
use crate::squares::squares;

of_root! {
    /// `diag(G)`: `[*p]` per parameter. Over chosen samples it estimates the diagonal of the whole
    /// batch.
    ///
    /// `diag(G)_d = Σ_{v,n} V[v, n, d]²` for the columns V of a square root of G.
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
    /// use vivit_extend::{DiagGgn, run};
    ///
    /// let (diagonal,) = run(&graph, &loss, (DiagGgn::exact(),))?;
    /// for (got, expected) in diagonal[w].to_vec()?.into_iter().zip([20.0, 40.0]) {
    ///     assert!((got - expected).abs() < 1e-12); // 2 Σ_n x_n²
    /// }
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    DiagGgn
}

per_parameter! { DiagGgn, Tensor, |site| {
    Ok(squares(&site.share(0), Batch::Sum).reshape(*site.shape()))
} }

of_root! {
    /// Every sample's share of `diag(G)`: `[N_S, *p]` per parameter.
    BatchDiagGgn
}

per_parameter! { BatchDiagGgn, Tensor, |site| {
    let shape = site.shape().prefixed(&[site.samples(0)]);
    Ok(squares(&site.share(0), Batch::Keep).reshape(shape))
} }

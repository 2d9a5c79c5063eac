//! The Hessian's diagonal, summed over samples or of each. (BackPACK's `DiagHessian`,
//! `BatchDiagHessian`.)

use vivit_autodiff::Batch;
use vivit_tensor::Tensor;

use crate::constructors::{of_hessian, per_parameter};
use crate::squares::total;

of_hessian! {
    /// `diag(H)`: `[*p]` per parameter. Over chosen samples it estimates the diagonal of the whole
    /// batch.
    ///
    /// The Hessian is the GGN plus, for every operation, the pulled-back `R = Σ_o m_o ∂²y_o/∂x²`
    /// with m the loss's gradient at its result. Each R travels as signed columns (Dangel,
    /// Harmeling & Hennig, *Modular block-diagonal curvature approximations*, AISTATS 2020; for any
    /// operation here, not only for activations), and the diagonal is the sum of signed squares.
    ///
    /// An operation that is not piecewise linear adds as many columns as a sample has entries there
    /// (twice as many where its second derivatives mix entries): time and memory grow with the
    /// widths of the layers. For a piecewise linear network the diagonal is the GGN's.
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
    /// use vivit_extend::{DiagHessian, run};
    ///
    /// // In a linear model the Hessian is the GGN.
    /// let (diagonal,) = run(&graph, &loss, (DiagHessian::new(),))?;
    /// for (got, expected) in diagonal[w].to_vec()?.into_iter().zip([20.0, 40.0]) {
    ///     assert!((got - expected).abs() < 1e-12); // 2 Σ_n x_n²
    /// }
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    DiagHessian
}

per_parameter! { DiagHessian, Tensor, |site| {
    Ok(total(&site.shares(0), Batch::Sum).reshape(*site.shape()))
} }

of_hessian! {
    /// Every sample's share of `diag(H)`: `[N_S, *p]` per parameter.
    BatchDiagHessian
}

per_parameter! { BatchDiagHessian, Tensor, |site| {
    let shape = site.shape().prefixed(&[site.samples(0)]);
    Ok(total(&site.shares(0), Batch::Keep).reshape(shape))
} }

//! Squared norms of per-sample gradients, `‖g_n‖²`. (BackPACK's `BatchL2Grad`.)
//!
//! With `g_n = Σ_t s_t ⊗ z_t` the gradients need not be formed: `‖g_n‖² = Σ_{t,t'} ⟨s_t, s_t'⟩
//! ⟨z_t, z_t'⟩`, for one position `‖s‖² ‖z‖²` (Goodfellow, *Efficient per-example gradient
//! computations*, arXiv 1510.01799). That costs `T² (O + I)` per sample; where forming them costs
//! less, `T O I`, they are formed, some samples at a time. Of a one-hot z, what meets the same row
//! is added up first; then `‖g_n‖² = Σ_t ‖s_t‖²`.

use vivit_autodiff::{Batch, Outer, Positions};
use vivit_tensor::{Gemm, Reduce, Strides, Tensor};

use crate::constructors::{of_gradient, per_parameter};

/// Numbers of gradients that are held at a time.
const BLOCK: usize = 1 << 22;

of_gradient! {
    /// `‖∂L_n/∂θ‖²`: `[N_S]` per parameter. Their sum over parameters is the squared norm of the
    /// sample's whole gradient.
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
    /// use vivit_extend::{BatchL2Grad, run};
    ///
    /// let (norms,) = run(&graph, &loss, (BatchL2Grad::new(),))?;
    /// assert_eq!(norms[w].to_vec()?, [20.0, 100.0]); // ‖(−2, −4)‖² and ‖(6, 8)‖²
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    BatchL2Grad
}

per_parameter! { BatchL2Grad, Tensor, |site| {
    Ok(match site.outer(0) {
        Some(outer) => of_outer(&outer),
        None => of_expanded(&site.jac_t(0, Batch::Keep)),
    })
} }

/// `Σ x²` of each sample of `[1, N, *]`.
fn of_expanded(x: &Tensor) -> Tensor {
    let n = x.shape()[1];
    x.reshape([n, x.len() / n]).reduce(Reduce::SumSquares, 1)
}

fn of_outer(outer: &Outer) -> Tensor {
    let d = outer.dims();
    if let Some(distinct) = outer.distinct() {
        return of_expanded(distinct.s());
    }
    if d.t == 1 {
        // Of each group, then summed over groups.
        let norms =
            |x: &Tensor, len: usize| x.reshape([d.n, d.g, len]).reduce(Reduce::SumSquares, 2);
        return norms(outer.s(), d.o).mul(&norms(&outer.z(), d.i)).sum(1);
    }
    if d.t * (d.o + d.i) < d.o * d.i {
        // [N, G, T, T] each.
        let gram = |x: &Tensor, len: usize, positions: Positions| {
            let (a, b) = match positions {
                Positions::Outside => (Strides::rows(len), Strides::transposed(len)),
                Positions::Inside => (Strides::transposed(d.t), Strides::rows(d.t)),
            };
            let g = Gemm { a, b, ..Gemm::new(d.t, d.t, len) };
            x.gemm(&g.batch(d.n * d.g, d.t * len, d.t * len, d.t * d.t), x, [d.n, d.g * d.t * d.t])
        };
        let [of_s, of_z] = outer.positions();
        return gram(outer.s(), d.o, of_s).mul(&gram(&outer.z(), d.i, of_z)).sum(1);
    }
    let blocks =
        outer.sample_blocks(BLOCK).map(|samples| of_expanded(&outer.expand_part(samples, 0..d.o)));
    Tensor::concat(&blocks.collect::<Vec<_>>(), 0)
}

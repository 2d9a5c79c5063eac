//! Kronecker-factored curvature: `G ≈ B ⊗ A` for a weight, from the factors at its output and its
//! input. (BackPACK's `KFAC`, `KFLR`.)

use vivit_autodiff::{Batch, Order, Outer, Positions};
use vivit_tensor::{Gemm, Strides, Tensor};

use crate::Kronecker;
use crate::constructors::{of_root, per_parameter};

of_root! {
    /// Kronecker factors with the exact root of the loss Hessian (Kflr), `Kfac::monte_carlo` with
    /// Monte-Carlo columns (K-FAC): a [`Kronecker`] per parameter.
    ///
    /// With `V_n = Σ_t s[v, n, t] ⊗ z[n, t]`:
    ///
    /// ```text
    /// B = Σ_{v, n} (Σ_t s)(Σ_t s)ᵀ   [O, O]        A = (1/N) Σ_{n, t} z zᵀ   [I, I]
    /// ```
    ///
    /// as BackPACK defines it (for a linear layer with one position, Martens & Grosse 2015 and
    /// Botev, Ritter & Barber 2017; for convolutions up to the place of the sums over positions,
    /// Grosse & Martens 2016). A parameter that is no such sum, a bias above all, keeps its whole
    /// block, `B = Σ_{v, n} V Vᵀ`, which is exact.
    ///
    /// For one sample and one position `B ⊗ A` is the GGN's block.
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
    /// use vivit_extend::{Kfac, run};
    ///
    /// let (factors,) = run(&graph, &loss, (Kfac::kflr(),))?;
    /// let a = factors[w].a().expect("a weight has both").to_vec()?;
    /// assert_eq!(a, [5.0, 7.0, 7.0, 10.0]); // (1/N) Σ_n x xᵀ
    /// let b = factors[w].b().to_vec()?;
    /// assert!((b[0] - 4.0).abs() < 1e-14); // Σ_n 2
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    Kfac
}

impl Kfac {
    /// With the exact root: Kronecker-factored low rank (Botev, Ritter & Barber 2017).
    pub fn kflr() -> Self {
        Self::exact()
    }
}

per_parameter! { Kfac, Kronecker, |site| {
    let shape = *site.shape();
    Ok(match site.outer(0) {
        Some(outer) => factors(&outer, shape),
        None => {
            let v = site.jac_t(0, Batch::Keep);
            let (rows, d) = (v.shape()[0] * v.shape()[1], shape.size());
            let b = v.gemm(&Gemm::tn(d, d, rows), &v, [1, d, d]);
            Kronecker::new(b, None, Order::OutIn, shape)
        }
    })
} }

fn factors(outer: &Outer, shape: vivit_tensor::Shape) -> Kronecker {
    Kronecker::new(output_factor(outer), Some(input_factor(outer)), outer.order(), shape)
}

/// `B`: `[G, O, O]`.
fn output_factor(outer: &Outer) -> Tensor {
    let d = outer.dims();
    // [V·N, G, O]
    let s = outer.s_summed();
    let rows = d.v * d.n;
    let side = |transposed: bool| {
        if transposed {
            Strides { offset: 0, row: 1, col: d.g * d.o }
        } else {
            Strides::rows(d.g * d.o)
        }
    };
    let g = Gemm { a: side(true), b: side(false), ..Gemm::new(d.o, d.o, rows) };
    s.gemm(&g.batch(d.g, d.o, d.o, d.o * d.o), &s, [d.g, d.o, d.o])
}

/// `A`: `[G, I, I]`.
pub(crate) fn input_factor(outer: &Outer) -> Tensor {
    let d = outer.dims();
    if let Some(gram) = outer.one_hot_gram() {
        return gram.reshape([1, d.i, d.i]).scale(1.0 / d.n as f64);
    }
    let z = outer.z();
    let positions = outer.positions()[1];
    let (a, b) = match positions {
        Positions::Outside => (Strides::transposed(d.i), Strides::rows(d.i)),
        Positions::Inside => (Strides::rows(d.t), Strides::transposed(d.t)),
    };
    let zt = d.t * d.i;
    let sum = if d.g == 1 && positions == Positions::Outside {
        z.gemm(&Gemm::tn(d.i, d.i, d.n * d.t), &z, [1, d.i, d.i])
    } else {
        let g = Gemm { a, b, ..Gemm::new(d.i, d.i, d.t) };
        z.gemm(
            &g.batch(d.g, zt, zt, d.i * d.i).batch(d.n, d.g * zt, d.g * zt, 0),
            &z,
            [d.g, d.i, d.i],
        )
    };
    sum.scale(1.0 / d.n as f64)
}

//! A quantity of one's own in the same sweep as the library's: the squared norm of every sample's
//! gradient, `‖∂L_n/∂θ‖²`. (BackPACK calls it `BatchL2Grad`.)
//!
//! The gradient of a weight is a sum of outer products, `g_n = Σ_t s[n, t] ⊗ z[n, t]`, of what
//! arrives at the layer's output and what the layer read. Where a sample uses the weight once,
//! `‖g_n‖² = ‖s_n‖² ‖z_n‖²` and the gradients themselves are never formed. The extension asks for
//! that structure and does not need to know what layers there are.
//!
//! Run it with `cargo run --release --example custom_extension`. It fails if the norms are not
//! those of the library's per-sample gradients.

use std::process::ExitCode;

use vivit::autodiff::check::relative_error;
use vivit::autodiff::{Batch, Outer, Probe, Seed, Site};
use vivit::extend::{Extension, OnSite};
use vivit::nn::{conv2d, flatten, linear, relu};
use vivit::prelude::*;
use vivit::tensor::Unary;

/// How many numbers of per-sample gradients may be held at a time.
const BLOCK: usize = 1 << 20;

/// `‖∂L_n/∂θ‖²`: `[N]` per parameter.
struct BatchL2;

impl Extension for BatchL2 {
    type Value = Tensor;
    type Out = ParamMap<Tensor>;

    fn name(&self) -> &'static str {
        "BatchL2"
    }

    /// The gradient travels backwards: a factor `[1, N, *]`.
    fn probes(&self) -> Vec<Probe> {
        vec![Probe::new(Seed::Gradient)]
    }

    /// Every parameter comes by once; probe 0 is the gradient.
    fn visit(&mut self, site: &Site<'_>) -> Result<Tensor, extend::Error> {
        Ok(match site.outer(0) {
            Some(outer) => of_outer(&outer),
            None => per_sample(&site.jac_t(0, Batch::Keep)),
        })
    }

    /// The result are the norms of all parameters, as they are.
    fn finish(self, norms: ParamMap<Tensor>) -> Result<Self::Out, extend::Error> {
        Ok(norms)
    }
}

/// `Σ x²` of each sample of `[1, N, *]`: `[N]`.
fn per_sample(x: &Tensor) -> Tensor {
    let n = x.shape()[1];
    x.unary(Unary::Square).reshape([n, x.len() / n]).sum(1)
}

fn of_outer(outer: &Outer) -> Tensor {
    let d = outer.dims();
    if d.t == 1 && d.g == 1 {
        let z = outer.z().unary(Unary::Square).reshape([d.n, d.i]).sum(1);
        return per_sample(outer.s()).mul(&z);
    }
    // The sum over positions comes before the square: expand the gradients, some out-features at a
    // time.
    let mut norms = Tensor::zeros(outer.s().device(), [d.n]);
    outer.row_blocks(BLOCK).for_each(|rows| norms.axpy(1.0, &per_sample(&outer.expand(rows))));
    norms
}

fn main() -> Result<ExitCode, vivit::Error> {
    let cpu = Device::cpu_f64();
    let layers = vec![conv2d(1, 4, 3), relu(), flatten(), linear(64, 5), relu(), linear(5, 3)];
    let model = Sequential::new(&cpu, layers, 0)?;
    let x = Tensor::from_vec(&cpu, [8, 1, 6, 6], Rng::new(1).normal(8 * 36))?;
    let graph = model.forward(&x)?;
    let loss = CrossEntropy::mean([0, 1, 2, 0, 1, 2, 0, 1]);

    // One sweep for all three. The hook declares the gradient too: equal probes travel once.
    println!("Parameters, in the order in which the sweep reaches them:");
    let hook = OnSite::new(vec![Probe::new(Seed::Gradient)], |site: &Site<'_>| {
        let structure = match site.outer(0).map(|outer| outer.dims()) {
            Some(d) => {
                format!("per sample {} outer product(s) of {} and {} numbers", d.t, d.o, d.i)
            }
            None => "no outer products".into(),
        };
        println!("  {:<9} {:<13} {structure}", site.name(), format!("{}", site.shape()));
        Ok(())
    });
    let (norms, gradients, ()) = extend::run(&graph, &loss, (BatchL2, BatchGrad::new(), hook))?;

    println!(
        "\nSquared gradient norms of the first samples, and how far all are from those of \
         BatchGrad:"
    );
    let mut passed = true;
    for param in graph.params() {
        let gradient = &gradients[param];
        let expected = per_sample(&gradient.reshape(gradient.shape().prefixed(&[1])));
        let error = relative_error(&norms[param], &expected)?;
        let ok = error <= 1e-12;
        let shown: Vec<String> =
            norms[param].to_vec()?[..4].iter().map(|norm| format!("{norm:.2e}")).collect();
        println!(
            "  {:<9} {}  {error:.0e} {}",
            graph.tape().param_name(param)?,
            shown.join("  "),
            if ok { "ok" } else { "WRONG" }
        );
        passed &= ok;
    }
    Ok(if passed { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

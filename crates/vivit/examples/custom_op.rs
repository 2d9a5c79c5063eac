//! An operation of one's own: swish with a learned slope, `y[n, f] = x[n, f] · σ(β[f] · x[n, f])`.
//!
//! Two functions are needed, the value and the transposed Jacobian applied to a matrix. Then the
//! library can check the derivatives, and the operation takes part in gradients, per-sample
//! gradients and everything that the GGN is used for. A third one, its second derivatives, lets it
//! take part in the Hessian as well.
//!
//! Run it with `cargo run --release --example custom_op`. It fails if a check does.

use std::process::ExitCode;

use vivit::autodiff::check::{check_derivatives, relative_error};
use vivit::autodiff::{Batch, Io, Op, Second};
use vivit::extend::DiagHessian;
use vivit::prelude::*;
use vivit::tensor::Unary;

/// Arguments: x `[N, F]`, β `[F]`.
#[derive(Debug)]
struct Swish;

impl Op for Swish {
    fn name(&self) -> &'static str {
        "swish"
    }

    fn forward(&self, args: &[&Tensor]) -> Tensor {
        let (x, beta) = (args[0], args[1]);
        assert_eq!(
            x.shape().tail(),
            *beta.shape(),
            "swish: x {} and β {}",
            x.shape(),
            beta.shape()
        );
        x.mul(&x.mul(beta).unary(Unary::Sigmoid))
    }

    /// With `σ′ = σ(1 − σ)` at `βx`:
    ///
    /// - x: `M[v, n, f] · (σ + β x σ′)[n, f]`
    /// - β: `Σ_(n) M[v, n, f] · (x² σ′)[n, f]`
    ///
    /// M carries V columns in front of the result's axes. The parameter β has no sample axis: the
    /// sum over samples is taken or left out, as `batch` says.
    fn jac_t(&self, io: Io<'_>, wrt: usize, mat: &Tensor, batch: Batch) -> Tensor {
        let (x, beta) = (io.args[0], io.args[1]);
        let argument = x.mul(beta);
        let sigma = argument.unary(Unary::Sigmoid);
        let slope = sigma.sub(&sigma.mul(&sigma));
        match (wrt, batch) {
            (0, _) => mat.mul(&sigma.add(&argument.mul(&slope))),
            (_, Batch::Keep) => mat.mul(&x.mul(x).mul(&slope)),
            (_, Batch::Sum) => mat.mul(&x.mul(x).mul(&slope)).sum(1),
        }
    }

    /// Only the Hessian needs these. With `σ″ = σ′(1 − 2σ)` at `βx`, what `Jᵀm` changes by along a
    /// tangent t is `m t` times
    ///
    /// - x, x: `2βσ′ + β²x σ″`
    /// - x, β and β, x: `2xσ′ + βx² σ″`
    /// - β, β: `x³σ″`
    fn second(&self, wrt: usize, along: usize) -> Second<'_> {
        Second::product(move |io, mat, tangent, batch| {
            let (x, beta) = (io.args[0], io.args[1]);
            let argument = x.mul(beta);
            let sigma = argument.unary(Unary::Sigmoid);
            let slope = sigma.sub(&sigma.mul(&sigma));
            let bend = slope.sub(&slope.mul(&sigma).scale(2.0));
            let second = match (wrt, along) {
                (0, 0) => slope.scale(2.0).add(&argument.mul(&bend)).mul(beta),
                (1, 1) => x.mul(x).mul(x).mul(&bend),
                _ => slope.scale(2.0).add(&argument.mul(&bend)).mul(x),
            };
            // A tangent of β has no sample axis.
            let k = tangent.shape()[0];
            let tangent = if along == 0 {
                tangent.clone()
            } else {
                tangent.reshape(beta.shape().prefixed(&[k, 1]))
            };
            let product = mat.mul(&second).mul(&tangent);
            if wrt == 1 && batch == Batch::Sum { product.sum(1) } else { product }
        })
    }
}

fn main() -> Result<ExitCode, vivit::Error> {
    let cpu = Device::cpu_f64();
    let mut rng = Rng::new(0);
    let mut normal =
        |shape: &[usize]| Tensor::from_vec(&cpu, shape, rng.normal(shape.iter().product()));

    // 1. Check the derivatives at random arguments. x carries the sample axis, β does not.
    println!("Derivatives of swish:");
    let checks = check_derivatives(&Swish, &[normal(&[5, 3])?, normal(&[3])?], &[true, false], 0)?;
    checks.iter().for_each(|check| println!("  {check}"));
    let mut passed = checks.iter().all(|check| check.passed());

    // 2. Use it between two linear maps.
    let mut tape = Tape::new(&cpu);
    let x = tape.input(normal(&[6, 4])?);
    let w = [tape.named_param("w0", normal(&[3, 4])?), tape.named_param("w1", normal(&[2, 3])?)];
    let beta = tape.named_param("beta", Tensor::full(&cpu, [3], 1.0));
    let hidden = tape.linear(x, w[0], None);
    let hidden = tape.record(Swish, &[hidden, beta]);
    let output = tape.linear(hidden, w[1], None);
    let graph = Graph::new(tape, output)?;
    let loss = CrossEntropy::mean([0, 1, 0, 1, 1, 0]);

    // 3. Gradients of every sample, and their sum beside plain reverse mode.
    let (batch_grad,) = extend::run(&graph, &loss, (BatchGrad::new(),))?;
    println!("\nPer-sample gradients of β, N·∂L_n/∂β:");
    let beta = graph.param_id(beta)?;
    let of_beta = batch_grad[beta].scale(graph.samples() as f64).to_matrix::<f64>()?;
    (0..of_beta.rows()).for_each(|n| println!("  n = {n}: {:>8.4?}", of_beta.row(n)));
    let gradient = graph.backward(&loss)?;
    for param in graph.params() {
        let error = relative_error(&batch_grad[param].sum(0), &gradient[param])?;
        let ok = error <= 1e-12;
        let name = graph.tape().param_name(param)?;
        println!(
            "  {name}: summed, they differ from the gradient by {error:.0e}: {}",
            if ok { "ok" } else { "WRONG" }
        );
        passed &= ok;
    }

    // 4. Directional derivatives along the two leading eigenvectors of the GGN of all three
    //    parameters.
    let derivatives = Ggn::new(&graph, &loss).directional_derivatives(top_k(2))?;
    println!("\nAlong GGN eigenvectors with eigenvalues {:.4?}:", derivatives.eigenvalues);
    for n in 0..graph.samples() {
        println!(
            "  n = {n}: γ = {:>8.4?}  λ = {:>7.4?}",
            derivatives.gammas.row(n),
            derivatives.lambdas.row(n)
        );
    }

    // 5. The Hessian's diagonal beside the GGN's.
    let (hessian, ggn) = extend::run(&graph, &loss, (DiagHessian::new(), DiagGgn::exact()))?;
    println!(
        "\nDiagonal in β: Hessian {:.4?}, GGN {:.4?}",
        hessian[beta].to_vec()?,
        ggn[beta].to_vec()?
    );
    Ok(if passed { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

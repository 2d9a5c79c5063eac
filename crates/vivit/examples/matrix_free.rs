//! The curvature of a network without any matrix: leading eigenvalues by Lanczos beside those of
//! the Gram matrix, the Hessian's spectral density, traces, and a step that is solved for with
//! Kronecker factors.
//!
//! Run it with `cargo run --release --example matrix_free`. It fails if the routes do not agree.

use std::process::ExitCode;

use vivit::autodiff::check::relative_error;
use vivit::curvature::{
    DensityOptions, LanczosQuadrature, QuadratureOptions, TraceOptions, hutch_plus_plus,
};
use vivit::extend::Gradient;
use vivit::nn::{linear, tanh};
use vivit::prelude::*;

const SAMPLES: usize = 64;

fn main() -> Result<ExitCode, vivit::Error> {
    let cpu = Device::cpu_f64();
    let model = Sequential::new(
        &cpu,
        vec![linear(16, 24), tanh(), linear(24, 12), tanh(), linear(12, 5)],
        0,
    )?;
    let x = Tensor::from_vec(&cpu, [SAMPLES, 16], Rng::new(1).normal(SAMPLES * 16))?;
    let loss = CrossEntropy::mean((0..SAMPLES).map(|n| n % 5).collect::<Vec<_>>());
    let graph = model.forward(&x)?;

    // 1. A matrix known by its products: what one vector costs is a forward and a backward pass.
    let ggn = CurvatureProduct::ggn(&graph, &loss).build()?;
    println!("The GGN of {} parameters, known by its products.", ggn.dim());
    let leading = lanczos(&ggn, 5, &LanczosOptions::default())?;
    println!(
        "  five largest eigenvalues after {} products: {:.5?}",
        leading.products, leading.eigenvalues
    );

    // 2. The same from the Gram matrix, which shows all of them.
    let spectrum = Ggn::new(&graph, &loss).spectrum()?;
    let gram = &spectrum[spectrum.len() - 5..];
    println!("  from the Gram matrix:                      {gram:.5?}");
    let mut passed =
        leading.eigenvalues.iter().zip(gram).all(|(a, b)| (a - b).abs() <= 1e-3 * gram[4]);

    // 3. Its trace: exact, and estimated from a few products.
    let trace: f64 = spectrum.iter().sum();
    let estimate = hutch_plus_plus(&ggn, &TraceOptions::default().vectors(60))?;
    println!("  trace {trace:.5}, from {} products {:.5}", estimate.products, estimate.value);
    passed &= (estimate.value - trace).abs() <= 0.1 * trace;

    // 4. The whole spectrum of the Hessian, negative eigenvalues included, as a density.
    let hessian = CurvatureProduct::hessian(&graph, &loss).build()?;
    let options = QuadratureOptions::default().vectors(60).repeats(4);
    let quadrature = LanczosQuadrature::new(&hessian, &options)?;
    let density = quadrature.density(&DensityOptions::default().points(24))?;
    println!("\nSpectral density of the Hessian, from {} products:", quadrature.products());
    let most = density.density.iter().fold(0.0f64, |most, p| most.max(*p));
    for (value, p) in density.grid.iter().zip(&density.density) {
        // Logarithms of the density over six decades.
        let width = (60.0 * (1.0 + (p / most).max(1e-6).log10() / 6.0)).round() as usize;
        println!("  {value:>8.4} {}", "#".repeat(width));
    }

    // 5. Kronecker factors: solve (B ⊗ A + δ) Δ = −g for every parameter, a damped step per layer.
    let damping = 0.05;
    let (gradient, factors) = extend::run(&graph, &loss, (Gradient, Kfac::kflr()))?;
    let mut step = ParamMap::new();
    for param in graph.params() {
        let gradient = &gradient[param];
        let right = gradient.scale(-1.0).reshape(gradient.shape().prefixed(&[1]));
        let damped = factors[param].damped(damping)?;
        let solved = damped.solve(&right)?;
        // What was solved for comes back when it is multiplied.
        let back = damped.multiply(&solved)?;
        passed &= relative_error(&back, &right)? <= 1e-9;
        step.insert(param, solved.reshape(*gradient.shape()));
    }
    let mut moved = model.clone();
    moved.add_scaled(1.0, &step)?;
    let (before, after) = (graph.loss(&loss)?, moved.forward(&x)?.loss(&loss)?);
    println!("\nLoss {before:.4}, after one step by Kronecker factors {after:.4}");
    passed &= after < before;
    Ok(if passed { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

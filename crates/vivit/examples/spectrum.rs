//! The library in a few lines: spectrum, eigenvectors, directional derivatives and a damped Newton
//! step of a small network.
//!
//! Run it with `cargo run --release --example spectrum`.

use vivit::nn::{linear, tanh};
use vivit::prelude::*;

fn main() -> Result<(), vivit::Error> {
    let cpu = Device::cpu_f64();
    let mut model = Sequential::new(&cpu, vec![linear(4, 8), tanh(), linear(8, 3)], 0)?;
    let x = Tensor::from_vec(&cpu, [6, 4], Rng::new(1).normal(6 * 4))?;
    let loss = CrossEntropy::mean([0, 1, 2, 0, 1, 2]);
    let graph = model.forward(&x)?;

    // The whole network's GGN: 67 parameters, but only N(C−1) = 12 eigenvalues that can differ from
    // zero. They ascend.
    let ggn = Ggn::new(&graph, &loss);
    println!("spectrum: {:.4?}", ggn.spectrum()?);
    let pairs = ggn.eigenpairs(top_k(2))?;
    for (param, e) in &pairs.eigenvectors {
        println!("eigenvectors' share of {}: {}", graph.tape().param_name(param)?, e.shape());
    }
    let along = ggn.directional_derivatives(top_k(2))?;
    println!("mean slope {:.3?}, mean curvature {:.3?}", along.mean_gammas(), along.mean_lambdas());
    let newton = ggn.newton_step(top_k(2), constant(0.1))?;
    model.add_scaled(1.0, &newton.step)?;
    println!(
        "loss: {:.4} before the Newton step, {:.4} after",
        graph.loss(&loss)?,
        model.forward(&x)?.loss(&loss)?
    );

    // One block per layer, all from one sweep.
    let blocks = ggn.blocks(graph.groups_by_layer());
    for (block, along) in blocks.directional_derivatives(above(0.01))?.iter().enumerate() {
        println!("block {block}: eigenvalues above 0.01: {:.3?}", along.eigenvalues);
    }

    // Cheaper: the GGN of half the samples, with one Monte-Carlo column each; the gradients of
    // other samples.
    let cheap =
        Ggn::new(&graph, &loss).ggn_samples([0, 1, 2]).monte_carlo(1, 0).grad_samples([3, 4, 5]);
    let along = cheap.directional_derivatives(top_k(2))?;
    println!(
        "estimated eigenvalues {:.3?} with γ {:.3?}",
        along.eigenvalues,
        along.gammas.as_slice()
    );

    // Several results for the price of one: the Gram matrix and its eigenvalues are computed once.
    let space = ggn.gram_space()?;
    let (pairs, along) = (space.eigenpairs(top_k(1))?, space.directional_derivatives(top_k(3))?);
    println!("again: eigenvalue {:.3?}, and {:.3?}", pairs.eigenvalues, along.eigenvalues);
    Ok(())
}

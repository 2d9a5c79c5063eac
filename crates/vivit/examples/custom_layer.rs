//! A layer of one's own inside a [`Sequential`]: the gated linear unit,
//! `y = (x Wᵀ + b) ∘ σ(x Uᵀ + c)`.
//!
//! A layer says which parameters it needs, which shapes it takes, and how it is recorded with the
//! operations of the tape. As these know their derivatives, every quantity of the library works
//! with the layer: gradients per sample, GGN and Hessian among them.
//!
//! Run it with `cargo run --release --example custom_layer`. It fails if a quantity disagrees with
//! another way of computing it.

use std::process::ExitCode;

use vivit::autodiff::check::relative_error;
use vivit::extend::Gradient;
use vivit::nn::{Init, LayerState, ParamSpec, Recorder, ShapeError, linear};
use vivit::prelude::*;

/// Samples `[*, inputs]` to `[*, outputs]`.
#[derive(Debug)]
struct Gated {
    inputs: usize,
    outputs: usize,
}

impl Layer for Gated {
    fn name(&self) -> String {
        format!("gated {}→{}", self.inputs, self.outputs)
    }

    /// Two linear layers; their names in a state dictionary come from here.
    fn params(&self) -> Vec<ParamSpec> {
        let init = Init::fan_in(self.inputs);
        let (weight, bias) = ([self.outputs, self.inputs], [self.outputs]);
        let linear = [ParamSpec::new("weight", &weight, init), ParamSpec::new("bias", &bias, init)];
        let of = |name: &str| linear.clone().map(|spec| spec.inside(name));
        [of("value"), of("gate")].concat()
    }

    /// Called for the whole model before any work.
    fn output_shape(&self, input: &[usize]) -> Result<Vec<usize>, ShapeError> {
        match input.split_last() {
            Some((&last, front)) if last == self.inputs => Ok([front, &[self.outputs]].concat()),
            _ => Err(ShapeError::new(
                self.name(),
                format!(
                    "needs {} features on the last axis, got a sample of shape {input:?}",
                    self.inputs
                ),
            )),
        }
    }

    fn record(&self, recorder: &mut Recorder<'_>, state: LayerState<'_>, x: Var) -> Var {
        let (tape, params) = (&mut *recorder.tape, state.params);
        let value = tape.linear(x, params[0], Some(params[1]));
        let gate = tape.linear(x, params[2], Some(params[3]));
        let gate = tape.sigmoid(gate);
        tape.mul(value, gate)
    }
}

fn main() -> Result<ExitCode, vivit::Error> {
    let cpu = Device::cpu_f64();
    let gated = |inputs, outputs| Gated { inputs, outputs }.boxed();
    let layers = || vec![gated(5, 8), gated(8, 6), linear(6, 3)];
    let mut model = Sequential::new(&cpu, layers(), 0)?;
    for param in model.params() {
        println!("{:<15} {}", param.name, param.value.shape());
    }
    // A wrong shape is an error with the layer's place in the model.
    let wrong = Sequential::new(&cpu, vec![gated(5, 8), gated(7, 6)], 0)?;
    println!("\n{}\n", wrong.output_shape(&[5]).expect_err("8 features do not fit"));

    let x = Tensor::from_vec(&cpu, [12, 5], Rng::new(1).normal(60))?;
    let loss = CrossEntropy::mean((0..12).map(|n| n % 3).collect::<Vec<_>>());
    let graph = model.forward(&x)?;

    // The gradients of all samples sum to the gradient.
    let (gradient, batch_grad) = extend::run(&graph, &loss, (Gradient, BatchGrad::new()))?;
    let mut worst = 0.0f64;
    for (param, gradients) in &batch_grad {
        worst = worst.max(relative_error(&gradients.sum(0), &gradient[param])?);
    }
    println!("gradients per sample, summed, and the gradient: {worst:.0e} apart");
    let mut passed = worst <= 1e-12;

    // The largest GGN eigenvalue, through the Gram matrix and by products with the GGN.
    let along = Ggn::new(&graph, &loss).directional_derivatives(top_k(1))?;
    let ggn = CurvatureProduct::ggn(&graph, &loss).build()?;
    let leading = lanczos(&ggn, 1, &LanczosOptions::default())?;
    let (gram, products) = (along.eigenvalues[0], leading.eigenvalues[0]);
    println!("largest eigenvalue of the GGN {gram:.6}, by products {products:.6}");
    passed &= (gram - products).abs() <= 1e-4 * gram;

    // Training, saving and loading as with any layer.
    let mut optimizer = Adam::new(0.02)?;
    for _ in 0..100 {
        let gradient = model.forward(&x)?.backward(&loss)?;
        optimizer.step(&mut model, &gradient)?;
    }
    let mut copy = Sequential::new(&cpu, layers(), 1)?;
    copy.load_safetensors(&model.to_safetensors()?)?;
    let (before, after) = (graph.loss(&loss)?, copy.forward(&x)?.loss(&loss)?);
    println!("loss {before:.4}, after training and loading {after:.4}");
    passed &= after < before && after == model.forward(&x)?.loss(&loss)?;
    Ok(if passed { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

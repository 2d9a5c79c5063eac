//! Resident memory of products and plans for sequences over a large vocabulary.
//!
//! A program of its own with one test, so that nothing else allocates meanwhile.
#![cfg(target_os = "linux")]

use std::fs;

use vivit::autodiff::{CrossEntropy, Graph, ParamMap};
use vivit::curvature::{CurvatureProduct, Error, Ggn, directional_derivatives_along};
use vivit::nn::*;
use vivit::tensor::{Cpu, Device, Rng, Tensor};

/// Samples, positions, features, classes.
const N: usize = 4;
const T: usize = 256;
const F: usize = 16;
const C: usize = 8192;
/// Bytes of the outputs of the batch, 34 MB.
const LOGITS: usize = N * T * C * size_of::<f32>();

/// Bytes of resident memory: now, or the most since the last [`reset`].
fn resident(which: &str) -> usize {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix(which)).unwrap();
    let kibibytes: usize = line.trim().strip_suffix("kB").unwrap().trim().parse().unwrap();
    kibibytes * 1024
}

/// Logits-sized arrays that are in use at most, at a time, during some work.
fn growth(cpu: &Device, work: impl FnOnce()) -> f64 {
    cpu.downcast_ref::<Cpu<f32>>().unwrap().release_memory();
    fs::write("/proc/self/clear_refs", "5").unwrap();
    let before = resident("VmRSS:");
    work();
    (resident("VmHWM:") - before) as f64 / LOGITS as f64
}

fn vector(graph: &Graph) -> ParamMap<Tensor> {
    (graph.params().into_iter())
        .map(|param| {
            let value = graph.tape().param_value(param).unwrap();
            let shape = value.shape().prefixed(&[1]);
            let numbers = Rng::new(1).normal(shape.size());
            (param, Tensor::from_vec(value.device(), shape, numbers).unwrap())
        })
        .collect()
}

/// A root would be 70 TB.
#[test]
fn products_take_two_arrays_of_the_outputs_size() {
    let cpu = Device::cpu();
    let layers = vec![linear(F, F), tanh(), linear(F, C), permute(&[2, 1])];
    let x = Tensor::from_vec(&cpu, [N, T, F], Rng::new(0).normal(N * T * F)).unwrap();
    let graph = Sequential::new(&cpu, layers, 0).unwrap().forward(&x).unwrap();
    let loss = CrossEntropy::mean((0..N * T).map(|at| at * 7 % C).collect::<Vec<_>>());
    let v = vector(&graph);
    let product = growth(&cpu, || {
        let operator = CurvatureProduct::ggn(&graph, &loss).build().unwrap();
        operator.multiply(&v).unwrap();
    });
    // What parameters and small arrays take is a tenth of an output.
    assert!(product < 2.25, "{product:.2} times the outputs for a product");
    let along = growth(&cpu, || drop(directional_derivatives_along(&graph, &loss, &v).unwrap()));
    assert!(along < 5.25, "{along:.2} times the outputs for γ and λ");
    let budget = 5 * LOGITS;
    let plan = growth(&cpu, || {
        let error = Ggn::new(&graph, &loss).memory_budget(budget).plan().unwrap_err();
        assert!(matches!(error, Error::Memory { .. }), "{error}");
    });
    assert!(plan < 0.25, "{plan:.2} times the outputs for a plan");
}

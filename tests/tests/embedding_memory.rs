//! Resident memory of what is computed of an embedding: no array of positions times vocabulary, and
//! none of samples times the table.
//!
//! A program of its own with one test, so that nothing else allocates meanwhile.
#![cfg(target_os = "linux")]

use std::fs;

use vivit::autodiff::CrossEntropy;
use vivit::curvature::{Contraction, CurvatureProduct, Ggn, GradientGram, LinearOperator, top_k};
use vivit::extend::{BatchL2Grad, run};
use vivit::nn::*;
use vivit::tensor::{Device, Rng, Tensor};

/// Rows of the table.
const VOCABULARY: usize = 60_000;
const FEATURES: usize = 16;
const SAMPLES: usize = 16;
const POSITIONS: usize = 128;

/// Bytes of resident memory: now, or the most since the last [`reset`].
fn resident(which: &str) -> usize {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix(which)).unwrap();
    let kibibytes: usize = line.trim().strip_suffix("kB").unwrap().trim().parse().unwrap();
    kibibytes * 1024
}

fn reset() {
    fs::write("/proc/self/clear_refs", "5").unwrap();
}

#[test]
fn a_large_vocabulary_costs_a_few_tables() {
    let cpu = Device::cpu();
    let layers = vec![embedding(VOCABULARY, FEATURES), tanh(), mean_over(1), linear(FEATURES, 3)];
    let model = Sequential::new(&cpu, layers, 0).unwrap();
    let mut rng = Rng::new(1);
    let ids: Vec<f64> =
        (0..SAMPLES * POSITIONS).map(|_| (rng.unit() * VOCABULARY as f64).floor()).collect();
    let input = Tensor::from_vec(&cpu, [SAMPLES, POSITIONS], ids).unwrap();
    let loss = CrossEntropy::mean((0..SAMPLES).map(|n| n % 3).collect::<Vec<_>>());
    let graph = model.forward(&input).unwrap();
    let table = VOCABULARY * FEATURES * 4;
    let one_hot = SAMPLES * POSITIONS * VOCABULARY * 4;
    assert!(one_hot > 100 * table);
    let within = |what: &str, tables: usize, work: &dyn Fn()| {
        reset();
        let before = resident("VmRSS:");
        work();
        let grown = resident("VmHWM:").saturating_sub(before);
        println!("{what}: {:.1} tables", grown as f64 / table as f64);
        assert!(grown <= tables * table + (30 << 20), "{what}: {grown} bytes for {table}");
    };
    within("gradient", 3, &|| drop(graph.backward(&loss).unwrap()));
    within("norms", 3, &|| drop(run(&graph, &loss, (BatchL2Grad::new(),)).unwrap()));
    // Products of positions take what contractions are given.
    let contraction = Contraction::default().memory(8 << 20);
    within("Gram matrix", 3, &|| {
        let ggn = Ggn::new(&graph, &loss).contraction(contraction);
        drop(ggn.directional_derivatives(top_k(2)).unwrap());
    });
    within("gradients' Gram matrix", 3, &|| {
        drop(GradientGram::new(&graph, &loss).contraction(contraction).matrix().unwrap());
    });
    within("GGN product", 6, &|| {
        let ones = Tensor::full(&cpu, [1, table / 4 + 3 * FEATURES + 3], 1.0);
        let product = CurvatureProduct::ggn(&graph, &loss).build().unwrap();
        drop(product.apply(&ones).unwrap());
    });
}

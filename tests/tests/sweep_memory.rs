//! Resident memory against the plan's estimate.
//!
//! A program of its own with one test, so that nothing else allocates meanwhile.
#![cfg(target_os = "linux")]

use std::fs;

use vivit::autodiff::CrossEntropy;
use vivit::curvature::{Ggn, constant, top_k};
use vivit::nn::networks;
use vivit::nn::*;
use vivit::tensor::{Cpu, Device, Rng, Tensor};

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

/// Runs a network's directional derivatives within a budget (`None`: all the memory there is) that
/// is a part of what the whole needs.
fn assert_within(network: &str, samples: usize, part: Option<f64>) {
    let cpu = Device::cpu();
    let net = networks::by_name(network).unwrap();
    let shape = [&[samples], net.input.as_slice()].concat();
    let entries = shape.iter().product();
    let model = Sequential::new(&cpu, net.layers, 0).unwrap();
    let input = Tensor::from_vec(&cpu, &shape, Rng::new(1).normal(entries)).unwrap();
    let loss = CrossEntropy::mean((0..samples).map(|n| n % net.classes).collect::<Vec<_>>());
    cpu.downcast_ref::<Cpu<f32>>().unwrap().release_memory();
    reset();
    let before = resident("VmRSS:");
    let graph = model.forward(&input).unwrap();
    let mut ggn = Ggn::new(&graph, &loss);
    if let Some(part) = part {
        let whole = ggn.plan().unwrap().peak;
        ggn = ggn.memory_budget((whole as f64 * part) as usize);
    }
    let plan = ggn.plan().unwrap();
    ggn.newton_step(top_k(10), constant(1.0)).unwrap();
    let grown = resident("VmHWM:") - before;
    let megabytes = |bytes: usize| bytes as f64 / 1e6;
    println!(
        "{network} {samples}: {:.0} MB, planned {:.0} MB, {:?}",
        megabytes(grown),
        megabytes(plan.peak),
        plan.slices
    );
    assert!((plan.slices.count() > 1) == part.is_some(), "{:?}", plan.slices);
    let allowed = plan.peak as f64 * 1.15 + 100e6;
    assert!(
        grown as f64 <= allowed,
        "{network}: {:.0} MB in use, {:.0} MB planned",
        megabytes(grown),
        megabytes(plan.peak)
    );
    // An estimate, not just a bound.
    assert!(
        plan.peak < 3 * grown,
        "{network}: {:.0} MB in use, {:.0} MB planned",
        megabytes(grown),
        megabytes(plan.peak)
    );
}

#[test]
fn resident_memory_stays_within_the_plan() {
    assert_within("net3c3d", 48, None);
    assert_within("net3c3d", 48, Some(0.5));
    assert_within("resnet32", 16, None);
    assert_within("allcnnc", 2, None);
    assert_within("allcnnc", 2, Some(0.4));
}

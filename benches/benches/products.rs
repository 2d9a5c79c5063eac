//! Matrix products of the CPU backend in the shapes that curvature computations consist of.
//! Elements are multiply-adds: criterion shows them per second.

use std::time::Duration;

use criterion::{Criterion, Throughput};
use vivit::prelude::*;
use vivit::tensor::{BatchAxis, Gemm};

fn main() {
    let mut criterion = Criterion::default()
        .sample_size(10)
        .warm_up_time(Duration::from_millis(500))
        .measurement_time(Duration::from_secs(2))
        .configure_from_args();
    let products = [
        ("square", Gemm::new(1024, 1024, 1024)),
        ("square", Gemm::new(2048, 2048, 2048)),
        ("Gram", Gemm::nt(1280, 1280, 20000)),
        ("short sum", Gemm::new(1280, 4096, 128)),
        ("linear", Gemm::new(1280, 512, 1152)),
        ("convolution", Gemm::new(96, 144, 576).batch(64, 0, 576 * 144, 96 * 144)),
        ("convolution", Gemm::new(64, 784, 75).batch(64, 0, 75 * 784, 64 * 784)),
        ("transposed convolution", Gemm::tn(576, 144, 96).batch(64, 0, 96 * 144, 576 * 144)),
        ("outer products", Gemm::nt(96, 576, 144).batch(1152, 96 * 144, 0, 96 * 576)),
        ("tall", Gemm::new(128_000, 16, 16)),
        ("tiny", Gemm::new(8, 8, 8).batch(10_000, 64, 64, 64)),
        ("one tiny", Gemm::new(10, 10, 10)),
        ("inner product", Gemm::nt(1, 1, 1_000_000)),
        ("matrix times vector", Gemm::new(4096, 1, 4096)),
        ("small Grams", Gemm::nt(9, 9, 4608).batch(1024, 9 * 4608, 9 * 4608, 81)),
    ];
    let cpu = Device::cpu();
    for (name, g) in products {
        let last = |pick: fn(&BatchAxis) -> usize| {
            g.batch.iter().map(|axis| (axis.len - 1) * pick(axis)).sum::<usize>()
        };
        let normal = |len: usize| cpu.upload(Rng::new(len as u64).normal(len).into());
        let (a, b) = (normal(last(|x| x.a) + g.m * g.k), normal(last(|x| x.b) + g.k * g.n));
        let mut c = cpu.fill(last(|x| x.c) + g.m * g.n, 0.0);
        let items: usize = g.batch.iter().map(|axis| axis.len).product();
        let mut group = criterion.benchmark_group(name);
        group.throughput(Throughput::Elements((items * g.m * g.n * g.k) as u64));
        group.bench_function(format!("{items} × {}×{}×{}", g.m, g.k, g.n), |bencher| {
            bencher.iter(|| cpu.gemm(&g, &a, &b, &mut c));
        });
        group.finish();
    }
    for [r, d] in [[1152, 20000], [100, 20000]] {
        let (a, mut c) = (cpu.upload(Rng::new(1).normal(r * d).into()), cpu.fill(r * r, 0.0));
        let mut group = criterion.benchmark_group("syrk");
        group.throughput(Throughput::Elements((r * (r + 1) / 2 * d) as u64));
        group.bench_function(format!("{r}×{d}"), |bencher| {
            bencher.iter(|| cpu.syrk(r, d, &a, &mut c))
        });
        group.finish();
    }
    criterion.final_summary();
}

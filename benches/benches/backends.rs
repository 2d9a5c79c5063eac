//! The same work on the CPU backend and on an OpenCL device (with the feature `opencl`), side by
//! side in one run: the matrix products that most of the time goes into, and directional
//! derivatives of 3C3D from the forward pass on.

use std::time::Duration;

use criterion::measurement::WallTime;
use criterion::{BenchmarkGroup, Criterion, Throughput};
use vivit::prelude::*;
use vivit::tensor::{Buffer, Gemm};
use vivit_benches::{Approximation, Net, Problem, Task};

/// Rows, columns and depth of products: one that fits into caches, and a Gram block of 128 samples
/// with 10 columns each.
const PRODUCTS: [[usize; 3]; 2] = [[512, 512, 512], [1280, 1280, 4096]];
/// Rows and depth of a symmetric product.
const SYMMETRIC: [usize; 2] = [1280, 4096];
/// Batches of 3C3D.
const SAMPLES: [usize; 2] = [8, 32];

fn main() {
    let mut criterion = Criterion::default()
        .sample_size(10)
        .warm_up_time(Duration::from_secs(1))
        .measurement_time(Duration::from_secs(4))
        .configure_from_args();
    let cpu = Device::cpu();
    println!("cpu: {}", cpu);
    #[cfg(feature = "opencl")]
    let device = Device::opencl(vivit::opencl::Selector::default())
        .inspect(|device| println!("opencl: {device}"))
        .inspect_err(|why| println!("SKIPPED: all on OpenCL: {why}"))
        .ok();
    let rows = PRODUCTS
        .map(Row::Product)
        .into_iter()
        .chain([Row::Symmetric(SYMMETRIC)])
        .chain(SAMPLES.map(Row::Derivatives));
    for row in rows {
        let mut group = criterion.benchmark_group(row.name());
        row.run(&mut group, "cpu", &cpu);
        #[cfg(feature = "opencl")]
        if let Some(device) = &device {
            row.run(&mut group, "opencl", device);
        }
        group.finish();
    }
    criterion.final_summary();
}

/// Waits until a device has computed the array.
fn wait(device: &Device, c: &Buffer) {
    device.download(&c.slice(0..1)).expect("the device works");
}

/// A piece of work.
#[derive(Clone, Copy)]
enum Row {
    Product([usize; 3]),
    Symmetric([usize; 2]),
    Derivatives(usize),
}

impl Row {
    fn name(self) -> String {
        match self {
            Row::Product([m, n, k]) => format!("gemm {m}×{n}×{k}"),
            Row::Symmetric([r, d]) => format!("syrk {r}×{d}"),
            Row::Derivatives(samples) => format!("net3c3d dd, N = {samples}"),
        }
    }

    fn run(self, group: &mut BenchmarkGroup<'_, WallTime>, name: &str, device: &Device) {
        let normal = |len: usize| device.upload(Rng::new(len as u64).normal(len).into());
        match self {
            Row::Product([m, n, k]) => {
                let (a, b, mut c) = (normal(m * k), normal(k * n), device.fill(m * n, 0.0));
                let product = Gemm::new(m, n, k);
                // Elements are multiply-adds: criterion then shows them per second.
                group.throughput(Throughput::Elements((m * n * k) as u64));
                group.bench_function(name, |bencher| {
                    bencher.iter(|| {
                        device.gemm(&product, &a, &b, &mut c);
                        wait(device, &c);
                    })
                });
            }
            Row::Symmetric([r, d]) => {
                let (a, mut c) = (normal(r * d), device.fill(r * r, 0.0));
                // One half with its diagonal: what the result needs, whatever the backend computes.
                group.throughput(Throughput::Elements((r * (r + 1) / 2 * d) as u64));
                group.bench_function(name, |bencher| {
                    bencher.iter(|| {
                        device.syrk(r, d, &a, &mut c);
                        wait(device, &c);
                    })
                });
            }
            Row::Derivatives(samples) => {
                let problem = Problem::new(device, Net::Net3c3d, samples)
                    .expect("the reference networks fit their inputs");
                let approximation = Approximation::exact(Net::Net3c3d.directions());
                group.bench_function(name, |bencher| {
                    bencher.iter(|| {
                        problem
                            .solve(Task::Dd, approximation)
                            .expect("the batch has enough directions")
                    });
                });
            }
        }
    }
}

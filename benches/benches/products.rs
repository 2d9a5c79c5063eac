//! The matrix products that most of the time goes into.

use std::time::Duration;

use criterion::{Criterion, Throughput};
use vivit::prelude::*;
use vivit::tensor::Gemm;

fn main() {
    let mut criterion = Criterion::default()
        .sample_size(20)
        .warm_up_time(Duration::from_secs(1))
        .measurement_time(Duration::from_secs(5))
        .configure_from_args();
    products(&mut criterion, "products", &Cpu::<f32>::new());
    #[cfg(feature = "opencl")]
    match OpenCl::<f32>::new(vivit::opencl::Selector::default()) {
        Ok(device) => products(&mut criterion, &device.device(), &device),
        Err(why) => println!("SKIPPED: products on OpenCL: {why}"),
    }
    criterion.final_summary();
}

/// Waits until a device has computed the array.
fn wait<B: Backend>(backend: &B, c: &B::Buf) {
    backend.download(&backend.slice(c, 0..1)).expect("the device works");
}

fn products<B: Backend>(criterion: &mut Criterion, name: &str, backend: &B) {
    let mut rng = Rng::new(0);
    let mut normal = |len: usize| backend.upload(rng.normal(len));
    let mut group = criterion.benchmark_group(name);
    let n = 512;
    let (a, b, mut c) = (normal(n * n), normal(n * n), backend.fill(n * n, B::Elem::of(0.0)));
    let product = Gemm::new(n, n, n);
    // Elements are multiply-adds: criterion then shows them per second.
    group.throughput(Throughput::Elements((n * n * n) as u64));
    group.bench_function("gemm 512×512×512", |bencher| {
        bencher.iter(|| {
            backend.gemm(&product, &a, &b, &mut c);
            wait(backend, &c);
        })
    });

    let (r, d) = (1280, 4096);
    let (a, mut c) = (normal(r * d), backend.fill(r * r, B::Elem::of(0.0)));
    // One half with its diagonal: what the result needs, whatever the backend computes.
    group.throughput(Throughput::Elements((r * (r + 1) / 2 * d) as u64));
    group.bench_function("syrk 1280×4096", |bencher| {
        bencher.iter(|| {
            backend.syrk(r, d, &a, &mut c);
            wait(backend, &c);
        })
    });
    group.finish();
}

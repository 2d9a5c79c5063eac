//! Tasks on small batches of the reference networks, forward pass included.

use std::time::Duration;

use criterion::Criterion;
use vivit::prelude::*;
use vivit_benches::{Approximation, Net, Problem, Task};

/// Networks, numbers of samples, tasks.
const ROWS: [(Net, usize, &[Task]); 3] = [
    (Net::Demo, 4, &[Task::Dd]),
    (Net::Mlp, 32, &[Task::Grad, Task::Eigvalsh, Task::Dd]),
    (Net::Net3c3d, 8, &[Task::Grad, Task::Eigvalsh, Task::Dd]),
];

fn main() {
    let mut criterion = Criterion::default()
        .sample_size(10)
        .warm_up_time(Duration::from_secs(1))
        .measurement_time(Duration::from_secs(5))
        .configure_from_args();
    for (net, samples, tasks) in ROWS {
        let problem = Problem::new(&Device::cpu(), net, samples)
            .expect("the reference networks fit their inputs");
        let approximation = Approximation::exact(net.directions());
        let mut group = criterion.benchmark_group(format!("{}, N = {samples}", net.name()));
        for &task in tasks {
            group.bench_function(task.name(), |bencher| {
                bencher.iter(|| {
                    problem.solve(task, approximation).expect("the batch has enough directions")
                });
            });
        }
    }
    criterion.final_summary();
}

//! The eigensolver next to faer's and nalgebra's: values only, all pairs and the ten largest, on
//! Gram matrices of rank `0.9 n`; of large ones, also either way to reduce them.
//!
//! `cargo bench -p vivit-benches --features peers --bench eigen` measures all sizes with criterion,
//! in a quarter of an hour or so on two cores. `EIGEN_ROUNDS=5` measures them without criterion:
//! every round runs each solver once, so that other load on the machine hits all of them alike, and
//! medians are printed as rows of a table. `EIGEN_SIZES=100,640` chooses sizes. Threads are
//! rayon's, `RAYON_NUM_THREADS`; faer is measured with one and with all of them, nalgebra has one.

use std::hint::black_box;
use std::time::{Duration, Instant};

use criterion::{BenchmarkId, Criterion, SamplingMode};
use faer::{Mat, Par, Side};
use nalgebra::{DMatrix, RealField, SymmetricEigen};
use vivit::eigh::{EighOptions, Reduction, Stages, eigh, eigh_with, eigvalsh, eigvalsh_with};
use vivit::tensor::{Gemm, gemm};
use vivit::tensor::{Matrix, Rng, Scalar};

/// Sizes up to which nalgebra takes part.
const NALGEBRA: usize = 1152;
/// Sizes from which on no round is spent on warming up.
const LARGE: usize = 2000;
/// Sizes from which on both ways to reduce a matrix take part.
const STAGES: usize = 1000;
/// Vectors of a partial request.
const TOP: usize = 10;

fn gram<E: Scalar>(n: usize) -> Matrix<E> {
    let rank = n * 9 / 10;
    let x: Vec<E> = Rng::new(7).normal(n * rank).into_iter().map(E::of).collect();
    let mut a = Matrix::zeros(n, n);
    gemm(&Gemm::nt(n, n, rank), &x, &x, a.as_mut_slice());
    a
}

/// A measurement: what is asked for, by whom it is answered, and how. It returns the time without
/// what prepares its input.
type Task = (&'static str, &'static str, Box<dyn Fn() -> Duration>);

/// Times `f` on what `prepare` makes.
fn task<I, R>(
    request: &'static str,
    solver: &'static str,
    prepare: impl Fn() -> I + 'static,
    f: impl Fn(I) -> R + 'static,
) -> Task {
    let run = move || {
        let input = prepare();
        let start = Instant::now();
        let output = black_box(f(input));
        let time = start.elapsed();
        drop(output);
        time
    };
    (request, solver, Box::new(run))
}

fn tasks<E: vivit::eigh::Real + RealField + faer::traits::RealField>(n: usize) -> Vec<Task> {
    let a = gram::<E>(n);
    let own = || {
        let a = a.clone();
        move || a.clone()
    };
    let mut tasks = vec![
        task("values", "vivit", own(), |a| eigvalsh(a).expect("converges")),
        task("all", "vivit", own(), |a| eigh(a).expect("converges")),
        task("top 10", "vivit", own(), |a| {
            Reduction::new(a).and_then(|reduction| reduction.top(TOP)).expect("converges")
        }),
    ];
    if n >= STAGES {
        for (solver, stages) in [("one stage", Stages::One), ("two stages", Stages::Two)] {
            let options = EighOptions::default().stages(stages);
            let values = move |a: Matrix<E>| eigvalsh_with(a, options).expect("converges");
            let all = move |a: Matrix<E>| eigh_with(a, options).expect("converges");
            tasks.push(task("values", solver, own(), values));
            tasks.push(task("all", solver, own(), all));
        }
    }
    for (solver, par) in [("faer, 1 thread", Par::Seq), ("faer, threads", Par::rayon(0))] {
        let m = Mat::<E>::from_fn(n, n, |i, j| a[(i, j)]);
        let other = m.clone();
        let set = move || faer::set_global_parallelism(par);
        tasks.push(task("values", solver, set, move |()| {
            m.self_adjoint_eigenvalues(Side::Lower).expect("converges")
        }));
        tasks.push(task("all", solver, set, move |()| {
            other.self_adjoint_eigen(Side::Lower).expect("converges")
        }));
    }
    if n <= NALGEBRA {
        let m = DMatrix::<E>::from_fn(n, n, |i, j| a[(i, j)]);
        let other = m.clone();
        tasks.push(task("values", "nalgebra", move || m.clone(), |m| m.symmetric_eigenvalues()));
        tasks.push(task("all", "nalgebra", move || other.clone(), SymmetricEigen::new));
    }
    tasks
}

fn criterion_run<E: vivit::eigh::Real + RealField + faer::traits::RealField>(
    criterion: &mut Criterion,
    n: usize,
) {
    for (request, solver, run) in tasks::<E>(n) {
        let mut group = criterion.benchmark_group(format!("eigen/{}/{request}/{n}", E::NAME));
        let small = n < 500;
        group.sample_size(if small { 20 } else { 10 }).measurement_time(Duration::from_secs(2));
        // As many runs per sample, one if they take long.
        group.sampling_mode(if small { SamplingMode::Auto } else { SamplingMode::Flat });
        group.warm_up_time(Duration::from_millis(300));
        group.bench_function(BenchmarkId::from_parameter(solver), |bencher| {
            bencher.iter_custom(|rounds| (0..rounds).map(|_| run()).sum());
        });
        group.finish();
    }
}

/// Prints medians of interleaved runs in milliseconds, with the spread between the quartiles in
/// percent.
fn rounds<E: vivit::eigh::Real + RealField + faer::traits::RealField>(n: usize, rounds: usize) {
    let tasks = tasks::<E>(n);
    // Small matrices in more rounds.
    let rounds = rounds * (1500 / n).clamp(1, 10);
    let mut times: Vec<Vec<f64>> = vec![Vec::new(); tasks.len()];
    for round in 0..=rounds {
        for ((_, _, run), times) in tasks.iter().zip(&mut times) {
            let time = run().as_secs_f64() * 1e3;
            // The first round warms up, unless it takes long anyway.
            if round > 0 || n >= LARGE {
                times.push(time);
            }
        }
        if n >= LARGE && round + 1 == rounds {
            break;
        }
    }
    times.iter_mut().for_each(|times| times.sort_by(f64::total_cmp));
    for ((request, solver, _), times) in tasks.iter().zip(&times) {
        let at = |part: usize| times[(times.len() - 1) * part / 4];
        let spread = match times.len() {
            0..=3 => "–".to_owned(),
            _ => format!("{:.0} %", (at(3) - at(1)) / at(2) * 100.0),
        };
        println!(
            "| {n} | {} | {request} | {solver} | {:.3} | {spread} | {} |",
            E::NAME,
            at(2),
            times.len()
        );
    }
}

fn main() {
    let variable = |name: &str| std::env::var(name).ok();
    let sizes: Vec<usize> = match variable("EIGEN_SIZES") {
        Some(sizes) => sizes
            .split(',')
            .map(|n| n.parse().expect("EIGEN_SIZES holds sizes separated by commas"))
            .collect(),
        None => vec![100, 200, 640, 1152, 2000, 4000],
    };
    if let Some(count) = variable("EIGEN_ROUNDS") {
        let count = count.parse().expect("EIGEN_ROUNDS is a number");
        println!("| n | type | request | solver | median, ms | spread | runs |");
        println!("|---|---|---|---|---|---|---|");
        for n in sizes {
            rounds::<f32>(n, count);
            rounds::<f64>(n, count);
        }
        return;
    }
    let mut criterion = Criterion::default().configure_from_args();
    for n in sizes {
        criterion_run::<f32>(&mut criterion, n);
        criterion_run::<f64>(&mut criterion, n);
    }
    criterion.final_summary();
}

//! Matrix products next to those of faer, gemm, matrixmultiply and, through PyTorch, MKL, in the
//! shapes that curvature consists of.
//!
//! `PRODUCT_PYTHON=target/peer/bin/python cargo bench -p vivit-benches --features peers --bench
//! libraries` prints rows of a table, GFLOP/s each: every round runs each library for a short
//! spell, after one that does not count, so that its threads are awake and other load on the
//! machine hits all of them alike; medians are shown. Without `PRODUCT_PYTHON` MKL is left out.
//! `PRODUCT_ROUNDS` is the number of rounds (9). Threads are rayon's, `RAYON_NUM_THREADS`.
//! Arguments (after `--`) choose the products whose names contain one of them.
//!
//! Batches of products are shared among the threads, product by product, for libraries that have no
//! such thing.
#![allow(unsafe_code)]

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use faer::linalg::matmul::matmul;
use faer::{Accum, MatMut, MatRef, Par};
use rayon::prelude::*;
use vivit::tensor::Rng;
use vivit::tensor::{Buffer, Device, Gemm, Strides};

/// A product, or so many of one shape, some with one A or one B for all.
struct Shape {
    name: &'static str,
    items: usize,
    g: Gemm,
    /// Whether items have an A and a B of their own.
    own: [bool; 2],
}

fn shapes() -> Vec<Shape> {
    let one = |name, g| Shape { name, items: 1, g, own: [true; 2] };
    let many = |name, items, own, g| Shape { name, items, g, own };
    vec![
        one("square", Gemm::new(1024, 1024, 1024)),
        one("square", Gemm::new(2048, 2048, 2048)),
        one("Gram matrix, A Bᵀ", Gemm::nt(1280, 1280, 20000)),
        one("short sum", Gemm::new(1280, 4096, 128)),
        one("linear, Jᵀ", Gemm::new(1280, 1152, 512)),
        one("linear, Jᵀ", Gemm::new(1280, 3136, 1024)),
        one("linear, A Bᵀ", Gemm::nt(128, 512, 784)),
        one("linear, weights, Aᵀ B", Gemm::tn(512, 784, 128)),
        one("tall", Gemm::new(128_000, 16, 16)),
        many("convolution", 128, [false, true], Gemm::new(96, 144, 576)),
        many("convolution", 128, [false, true], Gemm::new(64, 784, 75)),
        // As in a forward pass, where a thread has just unfolded the sample.
        many("convolution, windows in the cache", 128, [false; 2], Gemm::new(96, 144, 576)),
        many("convolution, windows in the cache", 128, [false; 2], Gemm::new(64, 784, 75)),
        many("convolution, Jᵀ", 128, [false, true], Gemm::tn(576, 144, 96)),
        many("per-sample weights", 256, [true; 2], Gemm::nt(96, 576, 144)),
        many("small Gram matrices", 1024, [true; 2], Gemm::nt(9, 9, 4608)),
        many("tiny", 10_000, [true; 2], Gemm::new(8, 8, 8)),
    ]
}

/// Seconds of a spell.
const SPELL: f64 = 0.02;

/// The numbers of a shape's operands.
struct Data {
    a: Vec<f32>,
    b: Vec<f32>,
    /// The same on the device.
    own: [Buffer; 2],
    /// Distances of items.
    apart: [usize; 3],
}

/// Where a library works: an item's operands and its place.
struct Item<'d> {
    g: &'d Gemm,
    a: &'d [f32],
    b: &'d [f32],
    c: &'d mut [f32],
}

/// What computes an item, with all threads or on the calling one.
type Library = fn(Item<'_>, bool);

fn faer(item: Item<'_>, threads: bool) {
    let Item { g, a, b, c } = item;
    let view = |x, rows, cols, s: Strides| {
        let slice: &[f32] = x;
        match s.col {
            1 => MatRef::from_row_major_slice(&slice[..rows * cols], rows, cols),
            _ => MatRef::from_column_major_slice(&slice[..rows * cols], rows, cols),
        }
    };
    let par = if threads { Par::rayon(0) } else { Par::Seq };
    let c = MatMut::from_row_major_slice_mut(&mut c[..g.m * g.n], g.m, g.n);
    matmul(c, Accum::Replace, view(a, g.m, g.k, g.a), view(b, g.k, g.n, g.b), 1.0, par);
}

fn gemm(item: Item<'_>, threads: bool) {
    let Item { g, a, b, c } = item;
    assert!(a.len() >= g.m * g.k && b.len() >= g.k * g.n && c.len() >= g.m * g.n);
    let par = if threads { gemm::Parallelism::Rayon(0) } else { gemm::Parallelism::None };
    let [a_row, a_col, b_row, b_col, c_row] =
        [g.a.row, g.a.col, g.b.row, g.b.col, g.c.row].map(|s| s as isize);
    let (a, b, c) = (a.as_ptr(), b.as_ptr(), c.as_mut_ptr());
    // SAFETY: the operands are contiguous matrices of these sizes, rows or columns side by side.
    unsafe {
        gemm::gemm(
            g.m, g.n, g.k, c, 1, c_row, false, a, a_col, a_row, b, b_col, b_row, 0.0, 1.0, false,
            false, false, par,
        );
    }
}

fn matrixmultiply(item: Item<'_>, threads: bool) {
    let Item { g, a, b, c } = item;
    assert!(a.len() >= g.m * g.k && b.len() >= g.k * g.n && c.len() >= g.m * g.n);
    let [a_row, a_col, b_row, b_col, c_row] =
        [g.a.row, g.a.col, g.b.row, g.b.col, g.c.row].map(|s| s as isize);
    // It has threads of its own that are not rayon's: rows of C are shared among these instead.
    let rows = if threads { g.m.div_ceil(rayon::current_num_threads()) } else { g.m };
    let some = |first: usize, c: &mut [f32]| {
        let (rows, a) = (c.len() / g.n, &a[first * g.a.row..]);
        // SAFETY: the operands are contiguous matrices of these sizes, and these rows of A and C
        // are inside.
        unsafe {
            let (a, b, c) = (a.as_ptr(), b.as_ptr(), c.as_mut_ptr());
            matrixmultiply::sgemm(
                rows, g.k, g.n, 1.0, a, a_row, a_col, b, b_row, b_col, 0.0, c, c_row, 1,
            );
        }
    };
    if threads {
        c.par_chunks_mut(rows * g.n).enumerate().for_each(|(at, c)| some(at * rows, c));
    } else {
        some(0, c);
    }
}

/// A shape's product by a library: seconds.
fn time(shape: &Shape, data: &Data, c: &mut [f32], library: Library) -> f64 {
    let Data { a, b, apart } = data;
    let (a, b): (&[f32], &[f32]) = (a, b);
    among_several(|| {
        if shape.items == 1 {
            library(Item { g: &shape.g, a, b, c }, true);
        } else {
            c.par_chunks_exact_mut(apart[2]).enumerate().for_each(|(at, c)| {
                library(
                    Item { g: &shape.g, a: &a[at * apart[0]..], b: &b[at * apart[1]..], c },
                    false,
                );
            });
        }
    })
}

/// Seconds of a call, among several right after each other.
fn among_several(mut call: impl FnMut()) -> f64 {
    let mut calls = |count: usize| {
        let start = Instant::now();
        (0..count).for_each(|_| call());
        start.elapsed().as_secs_f64() / count as f64
    };
    let count = (SPELL / calls(1)).clamp(1.0, 1000.0) as usize;
    calls(count);
    calls(count)
}

/// PyTorch in a process of its own, that waits for shapes.
struct Torch(Child, BufReader<std::process::ChildStdout>);

impl Torch {
    fn new(python: &str) -> Self {
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/peer/products.py");
        let threads = rayon::current_num_threads().to_string();
        let mut command = Command::new(python);
        command.args([script, &threads]).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child =
            command.spawn().unwrap_or_else(|error| panic!("{python} can't be started: {error}"));
        let out = child.stdout.take().expect("a pipe");
        Torch(child, BufReader::new(out))
    }

    fn time(&mut self, shape: &Shape) -> f64 {
        let Shape { g, items, own, .. } = shape;
        let turned = [g.a.col != 1, g.b.col != 1].map(u8::from);
        let [own_a, own_b] = own.map(u8::from);
        let input = self.0.stdin.as_mut().expect("a pipe");
        writeln!(
            input,
            "{items} {} {} {} {} {} {own_a} {own_b}",
            g.m, g.k, g.n, turned[0], turned[1]
        )
        .expect("PyTorch listens");
        let mut line = String::new();
        self.1.read_line(&mut line).expect("PyTorch answers");
        // Its threads spin for a while, on the cores that others need.
        std::thread::sleep(Duration::from_millis(300));
        line.trim().parse().unwrap_or_else(|_| panic!("PyTorch says {line:?}, not seconds"))
    }
}

impl Drop for Torch {
    fn drop(&mut self) {
        drop(self.0.stdin.take());
        let _ = self.0.wait();
    }
}

fn main() {
    let variable = |name: &str| std::env::var(name).ok();
    let rounds: usize = variable("PRODUCT_ROUNDS")
        .map_or(9, |rounds| rounds.parse().expect("PRODUCT_ROUNDS is a number"));
    let parts: Vec<String> =
        std::env::args().skip(1).filter(|argument| !argument.starts_with("--")).collect();
    let chosen = |shape: &Shape| {
        parts.is_empty() || parts.iter().any(|part| shape.name.contains(part.as_str()))
    };
    let mut torch = variable("PRODUCT_PYTHON").map(|python| Torch::new(&python));
    println!(
        "| product | shape (m × k × n) | ours | faer | gemm | matrixmultiply | MKL | ours ÷ best |"
    );
    println!("|---|---|--:|--:|--:|--:|--:|--:|");
    // As one of the pool's threads: from outside, every call would wake them and sleep meanwhile.
    rayon::scope(|_| {
        for shape in shapes().into_iter().filter(chosen) {
            let Shape { name, items, g, own } = &shape;
            let apart =
                [g.m * g.k * usize::from(own[0]), g.k * g.n * usize::from(own[1]), g.m * g.n];
            let cpu = Device::cpu();
            let normal = |apart: usize, len: usize| -> Vec<f32> {
                let numbers = Rng::new(len as u64).normal((items - 1) * apart + len);
                numbers.into_iter().map(|x| x as f32).collect()
            };
            let (a, b) = (normal(apart[0], g.m * g.k), normal(apart[1], g.k * g.n));
            let own = [cpu.upload(a.as_slice().into()), cpu.upload(b.as_slice().into())];
            let data = Data { a, b, own, apart };
            let batch = if *items > 1 {
                g.clone().batch(*items, apart[0], apart[1], apart[2])
            } else {
                g.clone()
            };
            let mut own_c = cpu.fill(items * apart[2], 0.0);
            let mut c = vec![0.0; items * apart[2]];
            let mut times: [Vec<f64>; 5] = Default::default();
            for round in 0..=rounds {
                let [a, b] = &data.own;
                let mut ours = || among_several(|| cpu.gemm(&batch, a, b, &mut own_c));
                let libraries: [Library; 3] = [faer, gemm, matrixmultiply];
                let seconds = [Some(ours())]
                    .into_iter()
                    .chain(
                        libraries
                            .into_iter()
                            .map(|library| Some(time(&shape, &data, &mut c, library))),
                    )
                    .chain([torch.as_mut().map(|torch| torch.time(&shape))])
                    .collect::<Vec<_>>();
                // The first round warms up.
                for (times, seconds) in times.iter_mut().zip(seconds).filter(|_| round > 0) {
                    times.extend(seconds);
                }
            }
            let flops = 2.0 * (items * g.m * g.n * g.k) as f64;
            let rates = times.map(|mut times| {
                times.sort_by(f64::total_cmp);
                times.get(times.len() / 2).map(|seconds| flops / seconds / 1e9)
            });
            let best = rates[1..].iter().flatten().fold(0.0, |best: f64, rate| best.max(*rate));
            let shown = rates.map(|rate| rate.map_or("–".into(), |rate| format!("{rate:.0}")));
            let ratio = rates[0].map_or(0.0, |ours| ours / best);
            let times = if *items > 1 { format!("{items} × ") } else { String::new() };
            println!(
                "| {name} | {times}{} × {} × {} | {} | {ratio:.2} |",
                g.m,
                g.k,
                g.n,
                shown.join(" | ")
            );
        }
    });
}

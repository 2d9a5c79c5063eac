//! Memory of the eigensolver beyond the matrix that it takes over, counted by the allocator.
//!
//! A program of its own with one test, so that nothing else allocates meanwhile.

use peak_alloc::PeakAlloc;
use vivit::eigh::{EighOptions, Real, Reduction, Stages, eigh_with, eigvalsh_with};
use vivit::tensor::{Gemm, Matrix, Rng, gemm};

#[global_allocator]
static ALLOCATOR: PeakAlloc = PeakAlloc;

const THREADS: usize = 2;

/// The most that was allocated at a time during a call beyond what was before, in entries, and the
/// result.
fn peak<E, R>(f: impl FnOnce() -> R) -> (usize, R) {
    ALLOCATOR.reset_peak_usage();
    let before = ALLOCATOR.current_usage();
    let result = f();
    (ALLOCATOR.peak_usage().saturating_sub(before) / size_of::<E>(), result)
}

fn gram<E: Real>(n: usize, rank: usize) -> Matrix<E> {
    let x: Vec<E> = Rng::new(n as u64).normal(n * rank).into_iter().map(E::of).collect();
    let mut a = Matrix::zeros(n, n);
    gemm(&Gemm::nt(n, n, rank), &x, &x, a.as_mut_slice());
    a
}

/// `2 n · block + 3 block²` for every thread, with blocks of 256 rows or columns.
fn blocks(n: usize) -> usize {
    2 * n * 256 + THREADS * 3 * 256 * 256
}

#[track_caller]
fn assert_at_most(what: &str, found: usize, allowed: usize) {
    println!("{what}: {found} of {allowed}");
    assert!(
        found <= allowed,
        "{what}: {found} entries were allocated beyond the matrix, more than {allowed}"
    );
}

fn assert_sizes<E: Real>(n: usize, rank: usize, stages: Stages) {
    let a = gram::<E>(n, rank);
    let name = |request: &str| format!("{request}, {}, n = {n}, rank {rank}, {stages:?}", E::NAME);
    let unchecked = EighOptions::default().stages(stages).check(false);

    let copy = a.clone();
    let (found, _) = peak::<E, _>(|| eigvalsh_with(copy, unchecked).unwrap());
    assert_at_most(&name("values"), found, blocks(n));

    let copy = a.clone();
    let (found, _) = peak::<E, _>(|| eigh_with(copy, unchecked).unwrap());
    assert_at_most(&name("all"), found, n * n + blocks(n));

    let copy = a.clone();
    let (found, _) = peak::<E, _>(|| eigh_with(copy, unchecked.check(true)).unwrap());
    assert_at_most(&name("all, checked"), found, 2 * n * n + blocks(n));

    let (_, reduction) = peak::<E, _>(|| Reduction::with_options(a, unchecked).unwrap());
    let all: Vec<usize> = (0..n).rev().collect();
    let (found, _) = peak::<E, _>(|| reduction.vectors(&all).unwrap());
    assert_at_most(&name("all in two steps"), found, n * n + blocks(n));
    for (k, allowed) in [(1, 4 * n), (10, 40 * n), (n / 6, n * n)] {
        let (found, top) = peak::<E, _>(|| reduction.top(k).unwrap());
        assert_at_most(&name(&format!("top {k}")), found, allowed + blocks(n));
        assert_eq!(top.vectors.rows(), k);
    }
    let third: Vec<usize> = (0..n).step_by(3).collect();
    let (found, vectors) = peak::<E, _>(|| reduction.vectors(&third).unwrap());
    // This allocator moves what shrinks, so that both are there for a moment. The system's own need
    // not.
    assert_at_most(&name("every third"), found, n * n + third.len() * n + blocks(n));
    assert_eq!(vectors.rows(), third.len());
    // What they free is what they took: threads keep buffers of products beside them.
    let with = ALLOCATOR.current_usage();
    drop(vectors);
    let own = (with - ALLOCATOR.current_usage()) / size_of::<E>();
    assert_at_most(&name("every third, kept"), own, third.len() * n + n);
}

#[test]
fn one_more_matrix_and_blocks() {
    let pool = rayon::ThreadPoolBuilder::new().num_threads(THREADS).build().unwrap();
    pool.install(|| {
        for (n, rank) in [(300, 270), (1000, 900), (1000, 100)] {
            for stages in [Stages::One, Stages::Two] {
                assert_sizes::<f32>(n, rank, stages);
                assert_sizes::<f64>(n, rank, stages);
            }
        }
    });
}

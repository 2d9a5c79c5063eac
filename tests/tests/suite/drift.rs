//! Long sums in single precision: the relative error does not grow with the number of terms.

use vivit::autodiff::ops::BatchNormalize;
use vivit::autodiff::{Graph, Mse, Tape};
use vivit::extend::{Variance, run};
use vivit::tensor::{Device, Gemm, Reduce, Tensor};

/// Terms of the longest sums.
const TERMS: usize = 10_000_000;
/// Bound of the relative error, in units of f32's epsilon.
const BOUND: f64 = 16.0;

/// Equal numbers: every rounding of their running sum goes the same way.
fn equal(len: usize) -> Tensor {
    Tensor::full(&Device::cpu(), [len], 0.1)
}

#[track_caller]
fn check(what: &str, got: &Tensor, exact: f64) {
    for x in got.to_vec().unwrap() {
        let error = ((x - exact) / exact).abs() / f64::from(f32::EPSILON);
        assert!(error <= BOUND, "{what}: {x} for {exact}, {error} ε");
    }
}

/// One of the equal numbers.
fn term() -> f64 {
    f64::from(0.1f32)
}

#[test]
fn reductions() {
    let x = equal(TERMS);
    for shape in [[1, TERMS, 1], [10, TERMS / 10, 1], [1, TERMS / 8, 8], [2, TERMS / 2000, 1000]] {
        let (x, terms) = (x.reshape(shape), shape[1] as f64);
        let name = format!("{shape:?}");
        check(&format!("sum {name}"), &x.sum(1), terms * term());
        let squares = x.reduce(Reduce::SumSquares, 1);
        check(&format!("squares {name}"), &squares, terms * term().powi(2));
    }
}

#[test]
fn running_sums() {
    let cpu = Device::cpu();
    let sums = cpu.cumsum(equal(TERMS).buf(), [1, TERMS, 1], false, false);
    let sums = Tensor::from_buf(&cpu, [TERMS], sums);
    check("running sum", &sums.slice(TERMS - 1, TERMS), TERMS as f64 * term());
}

#[test]
fn products() {
    let cpu = Device::cpu();
    let x = equal(TERMS);
    for (m, n) in [(1, 1), (1, 10), (10, 1), (10, 10), (40, 100)] {
        let k = TERMS / m.max(n);
        for g in [Gemm::new(m, n, k), Gemm::nt(m, n, k), Gemm::tn(m, n, k)] {
            let mut c = cpu.fill(m * n, 0.0);
            cpu.gemm(&g, x.buf(), x.buf(), &mut c);
            let c = Tensor::from_buf(&cpu, [m * n], c);
            check(&format!("[{m}, {k}] [{k}, {n}]"), &c, k as f64 * term().powi(2));
        }
    }
}

#[test]
fn products_summed_over_a_batch() {
    let (cpu, x, items) = (Device::cpu(), equal(TERMS), TERMS / 100);
    for (m, n, k) in [(10, 10, 1), (10, 2, 10), (1, 1, 100)] {
        let g = Gemm::new(m, n, k).batch(items, m * k, k * n, 0);
        let mut c = cpu.fill(m * n, 0.0);
        cpu.gemm(&g, x.buf(), x.buf(), &mut c);
        let c = Tensor::from_buf(&cpu, [m * n], c);
        check(&format!("batch of [{m}, {k}] [{k}, {n}]"), &c, (items * k) as f64 * term().powi(2));
    }
}

/// Half the entries are 0.1 above the mean, half below.
#[test]
fn moments() {
    let cpu = Device::cpu();
    let signs = [1.0f32 + 0.1, 1.0 - 0.1];
    let x: Vec<f32> = (0..TERMS).map(|i| signs[i % 2]).collect();
    let x = Tensor::from_vec(&cpu, [TERMS / 2, 2], x).unwrap().permute(&[1, 0]);
    let x = x.reshape([TERMS]);
    let [above, below] = signs.map(f64::from);
    let (mean, deviation) = ((above + below) / 2.0, (above - below) / 2.0);
    let inverse = cpu.inverse_deviations(x.buf(), TERMS, true, 0.0);
    check("1/σ", &Tensor::from_buf(&cpu, [1], inverse), 1.0 / deviation);
    let (means, variances) = BatchNormalize::statistics(&x.reshape([TERMS, 1]));
    check("batch norm's mean", &means, mean);
    check("batch norm's variance", &variances, deviation.powi(2));
}

#[test]
fn probabilities_sum_to_one() {
    let cpu = Device::cpu();
    for inner in [1, 4] {
        let axis = TERMS / 10 / inner;
        let p = cpu.softmax(equal(axis * inner).buf(), 1, axis, inner);
        check("softmax", &Tensor::from_buf(&cpu, [axis * inner], p), 1.0 / axis as f64);
    }
}

#[test]
fn losses_and_gradients_of_large_batches() {
    let (cpu, n) = (Device::cpu(), TERMS / 10);
    let mut tape = Tape::new(&cpu);
    let x = tape.input(Tensor::full(&cpu, [n, 1], 0.1));
    let w = tape.named_param("w", Tensor::zeros(&cpu, [1, 1]));
    let b = tape.named_param("b", Tensor::zeros(&cpu, [1]));
    let y = tape.linear(x, w, Some(b));
    let graph = Graph::new(tape, y).unwrap();
    let (w, b) = (graph.param_id(w).unwrap(), graph.param_id(b).unwrap());
    let loss = Mse::sum(Tensor::full(&cpu, [n, 1], 0.1));
    let value = graph.loss(&loss).unwrap();
    let exact = n as f64 * term().powi(2);
    assert!(((value - exact) / exact).abs() <= BOUND * f64::from(f32::EPSILON), "{value}");
    let gradient = graph.backward(&loss).unwrap();
    check("∂L/∂w", &gradient[w], -2.0 * exact);
    check("∂L/∂b", &gradient[b], -2.0 * n as f64 * term());
}

/// Inputs of mean 10⁴ and deviation 1, whose gradients are twice as large.
#[test]
fn variance_does_not_cancel() {
    let cpu = Device::cpu();
    for positions in [1, 3] {
        let n = 64;
        let inputs: Vec<f64> =
            (0..n * positions).map(|i| 1e4 + (37 * i % 101) as f64 / 32.0 - 1.5).collect();
        let mut tape = Tape::new(&cpu);
        let x = Tensor::from_vec(&cpu, [n, positions, 1], inputs.clone()).unwrap();
        let x = tape.input(x);
        let w = tape.named_param("w", Tensor::zeros(&cpu, [1, 1]));
        let b = tape.named_param("b", Tensor::zeros(&cpu, [1]));
        let y = tape.linear(x, w, Some(b));
        let graph = Graph::new(tape, y).unwrap();
        let (w, b) = (graph.param_id(w).unwrap(), graph.param_id(b).unwrap());
        let targets = inputs.iter().map(|x| -(x - 1e4) - 1e3).collect::<Vec<f64>>();
        let loss = Mse::sum(Tensor::from_vec(&cpu, [n, positions, 1], targets.clone()).unwrap());
        let (variance,) = run(&graph, &loss, (Variance::new(),)).unwrap();
        let of = |gradient: &dyn Fn(usize) -> f64| {
            let all: Vec<f64> =
                (0..n).map(|n| (0..positions).map(|t| gradient(n * positions + t)).sum()).collect();
            let mean = all.iter().sum::<f64>() / n as f64;
            all.iter().map(|g| (g - mean).powi(2)).sum::<f64>() / n as f64
        };
        // Gradients are rounded before their mean is taken away: what that leaves of their digits.
        let near = |got: &Tensor, exact: f64, size: f64| {
            let got = got.to_vec().unwrap()[0];
            let tolerance = 4.0 * f64::from(f32::EPSILON) * (size / exact.sqrt()).max(1.0);
            assert!(((got - exact) / exact).abs() <= tolerance, "{got} for {exact}");
        };
        near(&variance[b], of(&|i| -2.0 * targets[i]), 2e3 * positions as f64);
        near(&variance[w], of(&|i| -2.0 * targets[i] * inputs[i]), 2e7 * positions as f64);
    }
}

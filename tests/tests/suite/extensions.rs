//! Identities and estimates of the extensions that finite differences do not reach: Kronecker
//! factors, Monte-Carlo roots, piecewise linear networks, hooks, overrides, and what is an error.

use vivit::autodiff::ops::{Linear, Map};
use vivit::autodiff::{Error, check};
use vivit::curvature::{
    LanczosOptions, PowerIterationOptions, SpectrumEnd, TraceOptions, hutch_plus_plus,
    hutchinson_trace, lanczos, power_iteration,
};
use vivit::extend;
use vivit::prelude::*;
use vivit_tests::zoo::{self, Host, Kind, Problem};

use crate::nets::{Opaque, difference, entries};

/// A row of layers on random data, with random parameters.
pub fn setting(
    layers: Vec<Box<dyn Layer<Host>>>,
    input: &[usize],
    kind: Kind,
    seed: u64,
) -> (Graph<Host>, Box<dyn Loss<Host>>) {
    let x = Tensor::from_vec(&Host::new(), input, Rng::new(seed).normal(input.iter().product()))
        .unwrap();
    let graph = Sequential::new(&Host::new(), layers, seed).unwrap().forward(&x).unwrap();
    let loss = zoo::loss(kind, graph.value().shape(), &mut Rng::new(seed + 1));
    (graph, loss)
}

pub fn classes() -> Kind {
    Kind::CrossEntropy(Reduction::Mean)
}

/// The GGN of a parameter, dense, from its root.
fn ggn(graph: &Graph<Host>, loss: &dyn Loss<Host>, var: Var) -> Matrix<f64> {
    let (roots,) = run(graph, loss, (SqrtGgn::exact(),)).unwrap();
    let v = &roots[var];
    let rows = v.shape()[0] * v.shape()[1];
    let v = v.reshape([rows, v.len() / rows]).to_matrix().unwrap();
    let d = v.cols();
    Matrix::from_fn(d, d, |i, j| (0..rows).map(|r| v[(r, i)] * v[(r, j)]).sum())
}

/// `B ⊗ A` as a dense matrix, through its products with unit vectors.
fn dense(factors: &Kronecker<Host>) -> Matrix<f64> {
    let d = factors.shape().size();
    let units = Tensor::eye(&Host::new(), d).reshape(factors.shape().prefixed(&[d]));
    factors.multiply(&units).unwrap().reshape([d, d]).to_matrix().unwrap()
}

pub fn assert_close(a: &[f64], b: &[f64], tolerance: f64) {
    let error = difference(a, b);
    assert!(error <= tolerance, "off by {error:e}:\n{a:?}\n{b:?}");
}

#[test]
fn factors_of_one_sample_are_exact() {
    // One sample and one position: B ⊗ A is the block itself, for Kflr and for the recursion alike,
    // and so are all biases' blocks.
    let layers = || vec![linear(3, 4), tanh(), linear(4, 3), sigmoid(), linear(3, 3)];
    let (graph, loss) = setting(layers(), &[1, 3], classes(), 3);
    let (kflr, kfra) = run(&graph, loss.as_ref(), (Kfac::kflr(), Kfra::new())).unwrap();
    for var in graph.params() {
        let exact = ggn(&graph, loss.as_ref(), var);
        assert_close(dense(&kflr[var]).as_slice(), exact.as_slice(), 1e-12);
        assert_close(dense(&kfra[var]).as_slice(), exact.as_slice(), 1e-12);
    }
    // With more samples, a bias's block still is.
    let (graph, loss) = setting(layers(), &[5, 3], classes(), 4);
    let (kflr,) = run(&graph, loss.as_ref(), (Kfac::kflr(),)).unwrap();
    for var in graph.params_where(|name| name.ends_with("bias")) {
        assert_close(
            dense(&kflr[var]).as_slice(),
            ggn(&graph, loss.as_ref(), var).as_slice(),
            1e-12,
        );
    }
}

#[test]
fn averaged_curvature_of_a_linear_network_is_exact() {
    // Without activations every Jacobian is the same for all samples: averaging loses nothing,
    // across branches, too.
    let layers = vec![linear(3, 4), residual(vec![linear(4, 2), linear(2, 4)]), linear(4, 3)];
    let (graph, loss) = setting(layers, &[5, 3], classes(), 5);
    let (kflr, kfra) = run(&graph, loss.as_ref(), (Kfac::kflr(), Kfra::new())).unwrap();
    for var in graph.params() {
        assert_close(&kfra[var].b().to_vec().unwrap(), &kflr[var].b().to_vec().unwrap(), 1e-12);
        match (kfra[var].a(), kflr[var].a()) {
            (Some(a), Some(b)) => assert_close(&a.to_vec().unwrap(), &b.to_vec().unwrap(), 1e-12),
            (None, None) => {}
            _ => panic!("different structure"),
        }
    }
    // So it is for a convolution (its own output factor sums over positions).
    let layers = vec![conv2d(1, 2, 2), avg_pool2d(2, 1), flatten(), linear(8, 3)];
    let (graph, loss) = setting(layers, &[4, 1, 4, 4], classes(), 6);
    let (kflr, kfra) = run(&graph, loss.as_ref(), (Kfac::kflr(), Kfra::new())).unwrap();
    for var in graph.params() {
        assert_close(&kfra[var].b().to_vec().unwrap(), &kflr[var].b().to_vec().unwrap(), 1e-12);
    }
}

#[test]
fn the_recursion_is_the_papers() {
    // Botev et al., eq. 14: Q₁ = E[f′f′ᵀ] ∘ (Wᵀ Q₂ W), written out by hand.
    let (n, i, h, c) = (6, 3, 4, 3);
    let (graph, loss) = setting(vec![linear(i, h), tanh(), linear(h, c)], &[n, i], classes(), 8);
    let params = graph.params();
    let (kfra,) = run(&graph, loss.as_ref(), (Kfra::new(),)).unwrap();
    let root = loss.hessian_root(graph.value(), RootColumns::Outputs).to_vec().unwrap();
    let q = |a: usize, b: usize| -> f64 {
        (0..c * n).map(|row| root[row * c + a] * root[row * c + b]).sum()
    };
    let w = graph.tape().value(params[2]).to_matrix().unwrap();
    let (x, w0, b0) = (
        Rng::new(8).normal::<f64>(n * i),
        graph.tape().value(params[0]).to_matrix().unwrap(),
        graph.tape().value(params[1]).to_vec().unwrap(),
    );
    let slope = |n: usize, j: usize| {
        let z: f64 = b0[j] + (0..i).map(|k| w0[(j, k)] * x[n * i + k]).sum::<f64>();
        1.0 - z.tanh().powi(2)
    };
    let expected = Matrix::from_fn(h, h, |a, b| {
        let back: f64 = (0..c)
            .flat_map(|s| (0..c).map(move |t| (s, t)))
            .map(|(s, t)| w[(s, a)] * q(s, t) * w[(t, b)])
            .sum();
        back * (0..n).map(|n| slope(n, a) * slope(n, b)).sum::<f64>() / n as f64
    });
    assert_close(&kfra[params[0]].b().to_vec().unwrap(), expected.as_slice(), 1e-12);
}

#[test]
fn traces_agree_whatever_the_route() {
    let layers = vec![conv2d(1, 2, 2), tanh(), flatten(), linear(8, 3)];
    let (graph, loss) = setting(layers, &[4, 1, 3, 3], classes(), 9);
    let (diagonal, roots, per_sample) =
        run(&graph, loss.as_ref(), (DiagGgn::exact(), SqrtGgn::exact(), BatchDiagGgn::exact()))
            .unwrap();
    let sum = |map: &ParamMap<Tensor<Host>>| entries(map).iter().sum::<f64>();
    let trace = sum(&diagonal);
    let squares = entries(&roots).iter().map(|x| x * x).sum::<f64>();
    let spectrum =
        Ggn::new(&graph, loss.as_ref()).spectrum(&[Group::new(graph.params(), top_k(1))]).unwrap();
    let operator = Product::ggn(&graph, loss.as_ref()).build().unwrap();
    let d = operator.dim();
    let whole = operator.apply(&Tensor::eye(&Host::new(), d)).unwrap().to_matrix().unwrap();
    let of_products: f64 = (0..d).map(|d| whole[(d, d)]).sum();
    for other in [squares, sum(&per_sample), spectrum[0].iter().sum(), of_products] {
        assert!((other - trace).abs() <= 1e-12 * trace, "{other} for {trace}");
    }
    // Per-sample gradients add up to the gradient.
    let (gradient, each) = run(&graph, loss.as_ref(), (Gradient::new(), BatchGrad::new())).unwrap();
    let summed: ParamMap<Tensor<Host>> = each.iter().map(|(var, g)| (var, g.sum(0))).collect();
    assert_close(&entries(&summed), &entries(&gradient), 1e-13);
    // A matrix of products is symmetric; the Hessian's as well.
    let hessian = Product::hessian(&graph, loss.as_ref()).build().unwrap();
    let whole = hessian.apply(&Tensor::eye(&Host::new(), d)).unwrap().to_matrix().unwrap();
    assert_close(whole.as_slice(), whole.transposed().as_slice(), 1e-12);
}

#[test]
fn damped_kronecker_products_invert() {
    let layers = vec![
        Conv2d { groups: 2, ..Conv2d::new(2, 4, 2) }.boxed(),
        tanh(),
        ConvTranspose2d::new(4, 2, 2).boxed(),
        flatten(),
        linear(18, 3),
    ];
    let (graph, loss) = setting(layers, &[5, 2, 3, 3], classes(), 10);
    let (factors,) = run(&graph, loss.as_ref(), (Kfac::monte_carlo(2, 1),)).unwrap();
    let damping = 0.37;
    for var in graph.params() {
        let factors = &factors[var];
        let damped = factors.damped(damping).unwrap();
        let d = factors.shape().size();
        let vectors = Tensor::from_vec(
            &Host::new(),
            &factors.shape().prefixed(&[3]),
            Rng::new(2).normal(3 * d),
        )
        .unwrap();
        let there = damped.multiply(&vectors).unwrap();
        let mut by_hand = factors.multiply(&vectors).unwrap();
        by_hand.axpy(damping, &vectors);
        assert_close(&there.to_vec().unwrap(), &by_hand.to_vec().unwrap(), 1e-12);
        assert_close(
            &damped.solve(&there).unwrap().to_vec().unwrap(),
            &vectors.to_vec().unwrap(),
            1e-11,
        );
        // Eigenvalues, trace and determinant of the dense matrix.
        let mut matrix = dense(factors);
        let trace: f64 = (0..d).map(|d| matrix[(d, d)]).sum();
        assert!((factors.trace().unwrap() - trace).abs() <= 1e-12 * trace);
        (0..d).for_each(|d| matrix[(d, d)] += damping);
        let values = vivit::eigh::eigvalsh(matrix).unwrap();
        assert_close(&damped.eigenvalues(), &values, 1e-12);
        assert!((damped.trace() - values.iter().sum::<f64>()).abs() <= 1e-12 * damped.trace());
        let determinant: f64 = values.iter().map(|value| value.ln()).sum();
        assert!((damped.log_determinant() - determinant).abs() <= 1e-11 * d as f64);
    }
    let first = &factors[graph.params()[0]];
    // Factored damping is a Kronecker product that lies above the undamped one.
    let factored = first.factored_damping(damping).unwrap();
    let gap = factored.trace().unwrap() - first.trace().unwrap();
    // π balances the two mixed terms: (B + √δ/π) ⊗ (A + π√δ) has the trace tr B tr A + δ O I + 2
    // √(δ O I tr B tr A), of every group.
    let (b, a) = (first.b(), first.a().unwrap());
    let trace = |x: &Tensor<Host>, g: usize| {
        let x = x.slice(g, g + 1).reshape(x.shape().tail()).to_matrix().unwrap();
        (0..x.rows()).map(|i| x[(i, i)]).sum::<f64>()
    };
    let expected: f64 = (0..b.shape()[0])
        .map(|g| {
            let size = (b.shape()[1] * a.shape()[1]) as f64;
            damping * size + 2.0 * (damping * size * trace(b, g) * trace(a, g)).sqrt()
        })
        .sum();
    assert!((gap - expected).abs() <= 1e-12 * expected, "{gap} for {expected}");
    assert!(matches!(first.damped(-1.0), Err(extend::Error::Damping { .. })));
    assert!(matches!(first.damped(f64::NAN), Err(extend::Error::Damping { .. })));
    // Five samples leave a factor of 18 inputs singular.
    let last = &factors[graph.params_where(|name| name == "4.weight")[0]];
    let vectors = Tensor::zeros(&Host::new(), last.shape().prefixed(&[1]));
    assert!(matches!(
        last.damped(0.0).unwrap().solve(&vectors),
        Err(extend::Error::Singular { .. })
    ));
    assert!(matches!(
        last.multiply(&vectors.reshape([last.shape().size()])),
        Err(extend::Error::VectorsShape { .. })
    ));
}

#[test]
fn hessian_blocks_of_piecewise_linear_networks_are_the_ggns() {
    let layers = vec![
        Conv2d::new(1, 3, 2).boxed(),
        relu(),
        max_pool2d(2, 1),
        flatten(),
        linear(12, 5),
        leaky_relu(0.1),
        linear(5, 3),
    ];
    let (graph, loss) = setting(layers, &[4, 1, 4, 4], classes(), 12);
    let (hessian, ggn) =
        run(&graph, loss.as_ref(), (DiagHessian::new(), DiagGgn::exact())).unwrap();
    assert_close(&entries(&hessian), &entries(&ggn), 1e-13);
    for var in graph.params() {
        let block = |product: Product<'_, Host>| {
            let operator = product.params([var]).build().unwrap();
            operator.apply(&Tensor::eye(&Host::new(), operator.dim())).unwrap().to_vec().unwrap()
        };
        let ggn = block(Product::ggn(&graph, loss.as_ref()));
        assert_close(&block(Product::hessian(&graph, loss.as_ref())), &ggn, 1e-12);
        for positive in [Positive::Absolute, Positive::Clipped] {
            assert_close(
                &block(Product::positive_curvature(&graph, loss.as_ref(), positive)),
                &ggn,
                1e-12,
            );
        }
    }
}

#[test]
fn positive_curvature_lies_above_hessian_and_ggn() {
    let (graph, loss) = setting(vec![linear(3, 4), tanh(), linear(4, 3)], &[5, 3], classes(), 13);
    let whole = |product: Product<'_, Host>| {
        let operator = product.build().unwrap();
        operator.apply(&Tensor::eye(&Host::new(), operator.dim())).unwrap().to_matrix().unwrap()
    };
    let ggn = whole(Product::ggn(&graph, loss.as_ref()));
    let [absolute, clipped] = [Positive::Absolute, Positive::Clipped]
        .map(|p| whole(Product::positive_curvature(&graph, loss.as_ref(), p)));
    let least = |a: &Matrix<f64>, b: &Matrix<f64>| {
        let difference = Matrix::from_fn(a.rows(), a.cols(), |i, j| a[(i, j)] - b[(i, j)]);
        let values = vivit::eigh::eigvalsh(difference).unwrap();
        (values[0], values[values.len() - 1])
    };
    for (above, below) in [(&clipped, &ggn), (&absolute, &clipped)] {
        let (smallest, largest) = least(above, below);
        assert!(smallest >= -1e-13 && largest > 1e-4, "{smallest} {largest}");
    }
    // Of every parameter's own block: above the Hessian's, too (mixed second derivatives of the
    // layers do not enter there).
    let first = graph.params()[0];
    let block = |product: Product<'_, Host>| {
        let operator = product.params([first]).build().unwrap();
        operator.apply(&Tensor::eye(&Host::new(), operator.dim())).unwrap().to_matrix().unwrap()
    };
    let hessian = block(Product::hessian(&graph, loss.as_ref()));
    let absolute = block(Product::positive_curvature(&graph, loss.as_ref(), Positive::Absolute));
    assert!(least(&absolute, &hessian).0 >= -1e-13);
    // |r| + r = 2 max(r, 0): the block of Absolute plus the Hessian's is twice that of Clipped.
    let clipped = block(Product::positive_curvature(&graph, loss.as_ref(), Positive::Clipped));
    let sum: Vec<f64> =
        absolute.as_slice().iter().zip(hessian.as_slice()).map(|(a, h)| a + h).collect();
    let twice: Vec<f64> = clipped.as_slice().iter().map(|x| 2.0 * x).collect();
    assert_close(&sum, &twice, 1e-12);
}

#[test]
fn the_kernel_is_the_gram_matrix_of_unit_columns() {
    let layers = vec![conv2d(1, 2, 2), tanh(), flatten(), linear(8, 3)];
    let (graph, loss) = setting(layers, &[4, 1, 3, 3], classes(), 14);
    let (jacobian,) = run(&graph, loss.as_ref(), (Jacobian::new(),)).unwrap();
    let mut gram = vec![0.0; 144];
    for (_, j) in jacobian.iter() {
        let rows = j.reshape([12, j.len() / 12]).to_matrix().unwrap();
        for (at, sum) in gram.iter_mut().enumerate() {
            *sum +=
                rows.row(at / 12).iter().zip(rows.row(at % 12)).map(|(a, b)| a * b).sum::<f64>();
        }
    }
    assert_close(Ntk::new(&graph).matrix().unwrap().as_slice(), &gram, 1e-13);
    // The GGN of a summed squared error is 2 JᵀJ: its spectrum is twice the kernel's.
    let mse = Mse::sum(Tensor::zeros(&Host::new(), [4, 3]));
    let spectrum =
        Ggn::new(&graph, &mse).spectrum(&[Group::new(graph.params(), top_k(1))]).unwrap();
    let kernel = vivit::eigh::eigvalsh(Ntk::new(&graph).matrix().unwrap()).unwrap();
    assert_close(&spectrum[0], &kernel.iter().map(|value| 2.0 * value).collect::<Vec<_>>(), 1e-12);
    // Chosen outputs and parameters.
    let chosen = Ntk::new(&graph).outputs(vec![2]).matrix().unwrap();
    let part = Matrix::from_fn(4, 4, |i, j| gram[(8 + i) * 12 + 8 + j]);
    assert_close(chosen.as_slice(), part.as_slice(), 1e-13);
    let kernels: Vec<Matrix<f64>> = graph
        .params()
        .into_iter()
        .map(|var| Ntk::new(&graph).params([var]).matrix().unwrap())
        .collect();
    let total: Vec<f64> =
        (0..144).map(|at| kernels.iter().map(|k| k.as_slice()[at]).sum()).collect();
    assert_close(&total, &gram, 1e-13);
}

/// The mean over `repeats` seeds of a Monte-Carlo estimate lies within 5 of its own standard errors
/// from the truth, in every entry. An entry's error exceeds that by chance about once in 1.7
/// million if it is normal; with the few hundred entries here, the test would fail for one seed in
/// some 5000, and the seeds are fixed.
fn assert_unbiased(truth: &[f64], repeats: u64, estimate: impl Fn(u64) -> Vec<f64>) -> f64 {
    let estimates: Vec<Vec<f64>> = (0..repeats).map(estimate).collect();
    let count = repeats as f64;
    let mut squares = 0.0;
    for (at, truth) in truth.iter().enumerate() {
        let mean = estimates.iter().map(|e| e[at]).sum::<f64>() / count;
        let variance =
            estimates.iter().map(|e| (e[at] - mean).powi(2)).sum::<f64>() / (count - 1.0);
        let bound = 5.0 * (variance / count).sqrt() + 1e-12 * truth.abs().max(1e-3);
        assert!(
            (mean - truth).abs() <= bound,
            "entry {at}: {mean} for {truth}, off by more than {bound}"
        );
        squares += estimates.iter().map(|e| (e[at] - truth).powi(2)).sum::<f64>() / count;
    }
    squares
}

#[test]
fn sampled_quantities_converge_to_the_exact_ones() {
    let layers = || vec![linear(3, 4), tanh(), linear(4, 3)];
    for kind in [classes(), Kind::Mse(Reduction::Mean), Kind::Bce] {
        let (graph, loss) = setting(layers(), &[4, 3], kind, 15);
        let loss = loss.as_ref();
        let (exact, kflr) = run(&graph, loss, (DiagGgn::exact(), Kfac::kflr())).unwrap();
        let diagonal = |draws: usize| move |seed: u64| (draws, 1000 + seed);
        let of = |(draws, seed): (usize, u64)| {
            entries(&run(&graph, loss, (DiagGgn::monte_carlo(draws, seed),)).unwrap().0)
        };
        let truth = entries(&exact);
        let [one, sixteen] =
            [1, 16].map(|draws| assert_unbiased(&truth, 400, |seed| of(diagonal(draws)(seed))));
        // Errors fall with the square root of the number of draws: sixteen of them have a sixteenth
        // of the variance. Both variances come from 400 repeats of 39 dependent entries; their
        // ratio is within a third of 16 by a wide margin.
        assert!((10.7..24.0).contains(&(one / sixteen)), "{kind:?}: {one} over {sixteen}");
        let factors = |map: &ParamMap<Kronecker<Host>>| -> Vec<f64> {
            map.iter().flat_map(|(_, factors)| factors.b().to_vec().unwrap()).collect()
        };
        assert_unbiased(&factors(&kflr), 400, |seed| {
            factors(&run(&graph, loss, (Kfac::monte_carlo(1, seed),)).unwrap().0)
        });
        // And the Fisher's products converge to the GGN's.
        let operator = Product::ggn(&graph, loss).build().unwrap();
        let vector = Tensor::from_vec(
            &Host::new(),
            &[1, operator.dim()],
            Rng::new(5).normal(operator.dim()),
        )
        .unwrap();
        let truth = operator.apply(&vector).unwrap().to_vec().unwrap();
        assert_unbiased(&truth, 400, |seed| {
            let fisher = Product::fisher(&graph, loss, 1, seed).build().unwrap();
            fisher.apply(&vector).unwrap().to_vec().unwrap()
        });
    }
}

#[test]
fn matrix_free_methods_agree_with_the_gram_route() {
    let layers = vec![conv2d(1, 3, 2), tanh(), flatten(), linear(12, 6), sigmoid(), linear(6, 3)];
    let (graph, loss) = setting(layers, &[6, 1, 3, 3], classes(), 20);
    let operator = Product::ggn(&graph, loss.as_ref()).build().unwrap();
    let spectrum = Ggn::new(&graph, loss.as_ref())
        .spectrum(&[Group::new(graph.params(), top_k(4))])
        .unwrap()
        .remove(0);
    let top = &spectrum[spectrum.len() - 4..];
    let mut descending = top.to_vec();
    descending.reverse();
    let krylov =
        lanczos(&operator, 4, &LanczosOptions { tolerance: 1e-10, ..LanczosOptions::default() })
            .unwrap();
    let power = power_iteration(
        &operator,
        4,
        &PowerIterationOptions { tolerance: 1e-9, max_iterations: 20_000, ..Default::default() },
    );
    for found in [&krylov.eigenvalues, &power.unwrap().eigenvalues] {
        let mut found = found.clone();
        found.sort_by(|a, b| b.total_cmp(a));
        assert_close(&found, &descending, 1e-8);
    }
    // The vectors are those of the Gram route, up to their signs.
    let pairs = Ggn::new(&graph, loss.as_ref())
        .eigenpairs(&[Group::new(graph.params(), top_k(4))])
        .unwrap()
        .remove(0);
    let gram = operator.flatten(&pairs.eigenvectors).unwrap().to_matrix().unwrap();
    let free = krylov.eigenvectors.to_matrix().unwrap();
    for k in 0..4 {
        let best = (0..4)
            .map(|j| free.row(j).iter().zip(gram.row(k)).map(|(a, b)| a * b).sum::<f64>().abs())
            .fold(0.0f64, f64::max);
        assert!((best - 1.0).abs() <= 1e-7, "vector {k}: {best}");
    }
    // Traces: exact from the spectrum, estimated within five standard errors (about one failure in
    // 1.7 million seeds; the seed is fixed).
    let trace: f64 = spectrum.iter().sum();
    let estimate =
        hutchinson_trace(&operator, &TraceOptions { vectors: 400, ..TraceOptions::default() })
            .unwrap();
    assert!(
        (estimate.value - trace).abs() <= 5.0 * estimate.standard_error.unwrap(),
        "{estimate:?} for {trace}"
    );
    let plus = hutch_plus_plus(&operator, &TraceOptions { vectors: 60, ..TraceOptions::default() })
        .unwrap();
    assert!((plus.value - trace).abs() <= 0.05 * trace, "{plus:?} for {trace}");
    // The Hessian is indefinite: its extreme eigenvalues by Lanczos and densely.
    let hessian = Product::hessian(&graph, loss.as_ref()).build().unwrap();
    let dense =
        hessian.apply(&Tensor::eye(&Host::new(), hessian.dim())).unwrap().to_matrix().unwrap();
    let values = vivit::eigh::eigvalsh(dense).unwrap();
    assert!(values[0] < 0.0);
    let options = LanczosOptions {
        which: SpectrumEnd::Smallest,
        tolerance: 1e-9,
        ..LanczosOptions::default()
    };
    let smallest = lanczos(&hessian, 1, &options).unwrap().eigenvalues[0];
    assert!(
        (smallest - values[0]).abs() <= 1e-8 * values[values.len() - 1],
        "{smallest} for {}",
        values[0]
    );
}

#[test]
fn one_sweep_for_any_set_of_extensions() {
    // Together they are what they are alone, and equal probes travel once.
    let problem: Problem = zoo::problems().remove(2);
    let graph = problem.graph(&problem.params);
    let loss = problem.loss.as_ref();
    let together = run(
        &graph,
        loss,
        (
            Gradient::new(),
            BatchGrad::new(),
            DiagGgn::exact(),
            DiagHessian::new(),
            Kfac::kflr(),
            Jacobian::new().outputs(vec![1]),
        ),
    )
    .unwrap();
    assert_eq!(entries(&together.1), entries(&run(&graph, loss, (BatchGrad::new(),)).unwrap().0));
    assert_close(
        &entries(&together.2),
        &entries(&run(&graph, loss, (DiagGgn::exact(),)).unwrap().0),
        1e-15,
    );
    assert_close(
        &entries(&together.3),
        &entries(&run(&graph, loss, (DiagHessian::new(),)).unwrap().0),
        1e-13,
    );
    let (whole,) = run(&graph, loss, (Jacobian::new(),)).unwrap();
    let second: ParamMap<Tensor<Host>> =
        whole.iter().map(|(var, j)| (var, j.slice(1, 2))).collect();
    assert_close(&entries(&together.5), &entries(&second), 1e-15);
}

#[test]
fn hooks_take_results_out() {
    let (graph, loss) = setting(vec![linear(3, 4), tanh(), linear(4, 3)], &[5, 3], classes(), 16);
    let (expected, norms) =
        run(&graph, loss.as_ref(), (BatchGrad::new(), BatchL2Grad::new())).unwrap();
    let mut seen = Vec::new();
    let (left, kept) = run_with(
        &graph,
        loss.as_ref(),
        &graph.params(),
        (BatchGrad::new(), BatchL2Grad::new()),
        |site, values| {
            assert_eq!(values.0.len(), 1, "what was taken out is gone");
            seen.push((site.param(), values.0.remove(site.param()).unwrap().to_vec()?));
            Ok(())
        },
    )
    .unwrap();
    assert!(left.is_empty());
    assert_eq!(entries(&kept), entries(&norms));
    assert_eq!(seen.len(), 4);
    seen.iter()
        .for_each(|(var, gradients)| assert_eq!(*gradients, expected[*var].to_vec().unwrap()));
    let failing = run_with(&graph, loss.as_ref(), &graph.params(), (BatchGrad::new(),), |_, _| {
        Err(extend::Error::Extension { extension: "hook", source: "enough".into() })
    });
    assert!(failing.unwrap_err().to_string().contains("enough"));
}

#[test]
fn a_pair_of_operation_and_extension_can_be_overridden() {
    let layers = vec![linear(3, 4), layer_norm(&[4]), linear(4, 3)];
    let (graph, loss) = setting(layers, &[5, 3], classes(), 17);
    let mut calls = 0;
    let rule = |site: &Site<'_, Host>, _op: &Linear| {
        calls += 1;
        Ok(site.value().scale(0.0))
    };
    let (overridden,) =
        run(&graph, loss.as_ref(), (Override::new(DiagGgn::exact(), rule),)).unwrap();
    let (plain,) = run(&graph, loss.as_ref(), (DiagGgn::exact(),)).unwrap();
    assert_eq!(calls, 4);
    for var in graph.params() {
        let name = graph.tape().param_name(var).unwrap();
        let expected = if name.starts_with('1') {
            plain[var].to_vec().unwrap()
        } else {
            vec![0.0; plain[var].len()]
        };
        assert_eq!(overridden[var].to_vec().unwrap(), expected, "{name}");
    }
}

#[test]
fn what_an_operation_lacks_is_named_before_any_work() {
    let cpu = Host::new();
    let mut tape = Tape::new(&cpu);
    let x = tape.input(Tensor::full(&cpu, [2, 3], 0.5));
    let w = tape.param(Tensor::full(&cpu, [3, 3], 0.1));
    let hidden = tape.linear(x, w, None);
    let output = tape.record(Opaque(Map(Unary::Tanh)), &[hidden]);
    let graph = Graph::new(tape, output).unwrap();
    let loss = CrossEntropy::mean([0, 2]);
    // Gradients and the GGN do without.
    run(&graph, &loss, (BatchGrad::new(), DiagGgn::exact(), Kfac::kflr())).unwrap();
    let error = run(&graph, &loss, (BatchGrad::new(), DiagHessian::new())).unwrap_err().to_string();
    for part in ["opaque", "DiagHessian", "Op::second", "GGN"] {
        assert!(error.contains(part), "{error}");
    }
    let error = Product::hessian(&graph, &loss).build().unwrap_err().to_string();
    assert!(error.contains("opaque") && error.contains("Op::second"), "{error}");
    let error = Product::positive_curvature(&graph, &loss, Positive::Absolute)
        .build()
        .unwrap_err()
        .to_string();
    assert!(error.contains("opaque"), "{error}");
}

#[test]
fn bad_requests_are_errors() {
    let (graph, loss) =
        setting(vec![linear(3, 4), softmax(1), linear(4, 3)], &[5, 3], classes(), 18);
    let loss = loss.as_ref();
    let error = run(&graph, loss, (Jacobian::new().outputs(vec![3]),)).unwrap_err().to_string();
    assert!(error.contains("output 3") && error.contains("0 to 2"), "{error}");
    assert!(matches!(
        Ntk::new(&graph).outputs(vec![]).matrix(),
        Err(vivit::curvature::Error::Autodiff(Error::NoOutputs))
    ));
    assert!(run(&graph, loss, (DiagHessian::new().samples(vec![9]),)).is_err());
    assert!(Product::ggn(&graph, loss).samples(vec![1, 1]).build().is_err());
    let twice = [graph.params()[0], graph.params()[0]];
    for (none, repeated) in [
        (
            Product::ggn(&graph, loss).params(Vec::new()).build().err(),
            Product::ggn(&graph, loss).params(twice).build().err(),
        ),
        (
            Ntk::new(&graph).params(Vec::new()).trace().err(),
            Ntk::new(&graph).params(twice).matrix().err(),
        ),
        (
            GradientGram::new(&graph, loss).params(Vec::new()).matrix().err(),
            GradientGram::new(&graph, loss).params(twice).matrix().err(),
        ),
    ] {
        assert!(none.unwrap().to_string().contains("choose at least one"));
        let message = repeated.unwrap().to_string();
        assert!(message.contains("0.weight") && message.contains("twice"), "{message}");
    }
    let error = Product::positive_curvature(&graph, loss, Positive::Clipped)
        .build()
        .unwrap_err()
        .to_string();
    assert!(error.contains("softmax"), "{error}");
    let operator = Product::ggn(&graph, loss).params([graph.params()[0]]).build().unwrap();
    assert!(operator.apply(&Tensor::zeros(&Host::new(), [2, 11])).is_err());
    let other: ParamMap<_> =
        [(graph.params()[1], Tensor::zeros(&Host::new(), [1, 4]))].into_iter().collect();
    assert!(operator.multiply(&other).unwrap_err().to_string().contains("0.bias"));
    // What no memory holds is an error before any work.
    let (wide, loss_of_wide) =
        setting(vec![linear(2, 80_000), tanh(), linear(80_000, 2)], &[1, 2], classes(), 21);
    let error = run(&wide, loss_of_wide.as_ref(), (DiagHessian::new(),)).unwrap_err().to_string();
    assert!(
        error.contains("tanh") && error.contains("80000") && error.contains("DiagHessian"),
        "{error}"
    );
    let error = run(&wide, loss_of_wide.as_ref(), (Kfra::new(),)).unwrap_err().to_string();
    assert!(error.contains("80000") && error.contains("Kfac"), "{error}");
    // A parameter that is used twice has no averaged recursion.
    let (graph, loss) = setting(vec![linear(3, 3), tanh(), shared(0)], &[5, 3], classes(), 19);
    let error = run(&graph, loss.as_ref(), (Kfra::new(),)).unwrap_err().to_string();
    assert!(error.contains("0.weight") || error.contains("0.bias"), "{error}");
    // Batch norm in training mode couples samples.
    let error = {
        let x = Tensor::from_vec(&Host::new(), &[5, 3], Rng::new(1).normal(15)).unwrap();
        let mut model =
            Sequential::new(&Host::new(), vec![linear(3, 3), batch_norm(3), linear(3, 2)], 0)
                .unwrap();
        let graph = model.forward_training(&x).unwrap();
        Ntk::new(&graph).matrix().unwrap_err().to_string()
    };
    assert!(error.contains("batch norm") && error.contains("tangent kernel"), "{error}");
}

#[test]
fn wrong_second_derivatives_are_found() {
    #[derive(Debug)]
    struct Wrong;
    impl<B: Backend> Op<B> for Wrong {
        fn name(&self) -> &'static str {
            "wrong"
        }
        fn forward(&self, args: &[&Tensor<B>]) -> Tensor<B> {
            args[0].unary(Unary::Tanh)
        }
        fn jac_t(&self, io: Io<'_, B>, _wrt: usize, mat: &Tensor<B>, _batch: Batch) -> Tensor<B> {
            mat.unary_chain(Unary::Tanh, io.args[0], io.out)
        }
        fn second(&self, _wrt: usize, _along: usize) -> Second<'_, B> {
            Second::entrywise(|io| io.args[0].unary_second(Unary::Sigmoid, io.out))
        }
    }
    let x = Tensor::from_vec(&Host::new(), &[3, 2], Rng::new(1).normal(6)).unwrap();
    let checks = check::check_derivatives(&Wrong, std::slice::from_ref(&x), &[true], 1).unwrap();
    let wrong: Vec<_> =
        checks.iter().filter(|check| !check.passed()).map(|check| check.what).collect();
    assert!(!wrong.is_empty() && wrong.iter().all(|what| what.starts_with("second")), "{wrong:?}");
    // Nor does NaN pass.
    #[derive(Debug)]
    struct Undefined;
    impl<B: Backend> Op<B> for Undefined {
        fn name(&self) -> &'static str {
            "undefined"
        }
        fn forward(&self, args: &[&Tensor<B>]) -> Tensor<B> {
            args[0].unary(Unary::Tanh)
        }
        fn jac_t(&self, io: Io<'_, B>, _wrt: usize, mat: &Tensor<B>, _batch: Batch) -> Tensor<B> {
            mat.unary_chain(Unary::Tanh, io.args[0], io.out)
        }
        fn second(&self, _wrt: usize, _along: usize) -> Second<'_, B> {
            Second::entrywise(|io| io.args[0].scale(f64::NAN))
        }
    }
    let checks = check::check_derivatives(&Undefined, &[x], &[true], 1).unwrap();
    assert!(
        checks.iter().all(|check| check.passed() != check.what.starts_with("second")),
        "{checks:?}"
    );
}

//! Kronecker factors: exact cases, the papers' recursion, damping.

use vivit::autodiff::{Graph, Loss, ParamId, RootColumns};
use vivit::extend;
use vivit::extend::{Kfac, Kfra, Kronecker, SqrtGgn, run};
use vivit::nn::*;
use vivit::tensor::{Matrix, Rng, Tensor};
use vivit_tests::zoo::host;

use crate::nets::{assert_close, classes, setting};

/// The GGN of a parameter, dense, from its root.
fn ggn(graph: &Graph, loss: &dyn Loss, var: ParamId) -> Matrix<f64> {
    let (roots,) = run(graph, loss, (SqrtGgn::exact(),)).unwrap();
    let v = &roots[var];
    let rows = v.shape()[0] * v.shape()[1];
    let v = v.reshape([rows, v.len() / rows]).to_matrix::<f64>().unwrap();
    let d = v.cols();
    Matrix::from_fn(d, d, |i, j| (0..rows).map(|r| v[(r, i)] * v[(r, j)]).sum())
}

/// `B ⊗ A` as a dense matrix, through its products with unit vectors.
fn dense(factors: &Kronecker) -> Matrix<f64> {
    let d = factors.shape().size();
    let units = Tensor::eye(&host(), d).reshape(factors.shape().prefixed(&[d]));
    factors.multiply(&units).unwrap().reshape([d, d]).to_matrix::<f64>().unwrap()
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
    let w = graph.tape().param_value(params[2]).unwrap().to_matrix::<f64>().unwrap();
    let (x, w0, b0) = (
        Rng::new(8).normal(n * i),
        graph.tape().param_value(params[0]).unwrap().to_matrix::<f64>().unwrap(),
        graph.tape().param_value(params[1]).unwrap().to_vec().unwrap(),
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
fn damped_kronecker_products_invert() {
    let layers = vec![
        Conv2d::new(2, 4, 2).grouped(2).boxed(),
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
        let vectors =
            Tensor::from_vec(&host(), factors.shape().prefixed(&[3]), Rng::new(2).normal(3 * d))
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
    let trace = |x: &Tensor, g: usize| {
        let x = x.slice(g, g + 1).reshape(x.shape().tail()).to_matrix::<f64>().unwrap();
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
    let vectors = Tensor::zeros(&host(), last.shape().prefixed(&[1]));
    assert!(matches!(
        last.damped(0.0).unwrap().solve(&vectors),
        Err(extend::Error::Singular { .. })
    ));
    assert!(matches!(
        last.multiply(&vectors.reshape([last.shape().size()])),
        Err(extend::Error::VectorsShape { .. })
    ));
}

//! Curvature products, kernels and spectra: one matrix by several routes.

use vivit::autodiff::{Mse, ParamMap};
use vivit::curvature::{
    CurvatureProduct, Ggn, LanczosOptions, LinearOperator, Ntk, Positive, PowerIterationOptions,
    SpectrumEnd, TraceOptions, hutch_plus_plus, hutchinson_trace, lanczos, power_iteration, top_k,
};
use vivit::extend::{
    BatchDiagGgn, BatchGrad, DiagGgn, DiagHessian, Gradient, Jacobian, SqrtGgn, run,
};
use vivit::nn::*;
use vivit::tensor::{Matrix, Tensor};
use vivit_tests::zoo::host;

use crate::nets::{assert_close, classes, entries, setting};

#[test]
fn traces_agree_whatever_the_route() {
    let layers = vec![conv2d(1, 2, 2), tanh(), flatten(), linear(8, 3)];
    let (graph, loss) = setting(layers, &[4, 1, 3, 3], classes(), 9);
    let (diagonal, roots, per_sample) =
        run(&graph, loss.as_ref(), (DiagGgn::exact(), SqrtGgn::exact(), BatchDiagGgn::exact()))
            .unwrap();
    let sum = |map: &ParamMap<Tensor>| entries(map).iter().sum::<f64>();
    let trace = sum(&diagonal);
    let squares = entries(&roots).iter().map(|x| x * x).sum::<f64>();
    let spectrum = Ggn::new(&graph, loss.as_ref()).spectrum().unwrap();
    let operator = CurvatureProduct::ggn(&graph, loss.as_ref()).build().unwrap();
    let d = operator.dim();
    let whole = operator.apply(&Tensor::eye(&host(), d)).unwrap().to_matrix::<f64>().unwrap();
    let of_products: f64 = (0..d).map(|d| whole[(d, d)]).sum();
    for other in [squares, sum(&per_sample), spectrum.iter().sum(), of_products] {
        assert!((other - trace).abs() <= 1e-12 * trace, "{other} for {trace}");
    }
    // Per-sample gradients add up to the gradient.
    let (gradient, each) = run(&graph, loss.as_ref(), (Gradient, BatchGrad::new())).unwrap();
    let summed: ParamMap<Tensor> = each.iter().map(|(var, g)| (var, g.sum(0))).collect();
    assert_close(&entries(&summed), &entries(&gradient), 1e-13);
    // A matrix of products is symmetric; the Hessian's as well.
    let hessian = CurvatureProduct::hessian(&graph, loss.as_ref()).build().unwrap();
    let whole = hessian.apply(&Tensor::eye(&host(), d)).unwrap().to_matrix::<f64>().unwrap();
    assert_close(whole.as_slice(), whole.transposed().as_slice(), 1e-12);
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
        let block = |product: CurvatureProduct<'_>| {
            let operator = product.params([var]).build().unwrap();
            operator.apply(&Tensor::eye(&host(), operator.dim())).unwrap().to_vec().unwrap()
        };
        let ggn = block(CurvatureProduct::ggn(&graph, loss.as_ref()));
        assert_close(&block(CurvatureProduct::hessian(&graph, loss.as_ref())), &ggn, 1e-12);
        for positive in [Positive::Absolute, Positive::Clipped] {
            assert_close(
                &block(CurvatureProduct::positive_curvature(&graph, loss.as_ref(), positive)),
                &ggn,
                1e-12,
            );
        }
    }
}

#[test]
fn positive_curvature_lies_above_hessian_and_ggn() {
    let (graph, loss) = setting(vec![linear(3, 4), tanh(), linear(4, 3)], &[5, 3], classes(), 13);
    let whole = |product: CurvatureProduct<'_>| {
        let operator = product.build().unwrap();
        operator.apply(&Tensor::eye(&host(), operator.dim())).unwrap().to_matrix::<f64>().unwrap()
    };
    let ggn = whole(CurvatureProduct::ggn(&graph, loss.as_ref()));
    let [absolute, clipped] = [Positive::Absolute, Positive::Clipped]
        .map(|p| whole(CurvatureProduct::positive_curvature(&graph, loss.as_ref(), p)));
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
    let block = |product: CurvatureProduct<'_>| {
        let operator = product.params([first]).build().unwrap();
        operator.apply(&Tensor::eye(&host(), operator.dim())).unwrap().to_matrix::<f64>().unwrap()
    };
    let hessian = block(CurvatureProduct::hessian(&graph, loss.as_ref()));
    let absolute =
        block(CurvatureProduct::positive_curvature(&graph, loss.as_ref(), Positive::Absolute));
    assert!(least(&absolute, &hessian).0 >= -1e-13);
    // |r| + r = 2 max(r, 0): the block of Absolute plus the Hessian's is twice that of Clipped.
    let clipped =
        block(CurvatureProduct::positive_curvature(&graph, loss.as_ref(), Positive::Clipped));
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
        let rows = j.reshape([12, j.len() / 12]).to_matrix::<f64>().unwrap();
        for (at, sum) in gram.iter_mut().enumerate() {
            *sum +=
                rows.row(at / 12).iter().zip(rows.row(at % 12)).map(|(a, b)| a * b).sum::<f64>();
        }
    }
    assert_close(Ntk::new(&graph).matrix().unwrap().as_slice(), &gram, 1e-13);
    // The GGN of a summed squared error is 2 JᵀJ: its spectrum is twice the kernel's.
    let mse = Mse::sum(Tensor::zeros(&host(), [4, 3]));
    let spectrum = Ggn::new(&graph, &mse).spectrum().unwrap();
    let kernel = vivit::eigh::eigvalsh(Ntk::new(&graph).matrix().unwrap()).unwrap();
    assert_close(&spectrum, &kernel.iter().map(|value| 2.0 * value).collect::<Vec<_>>(), 1e-12);
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

#[test]
fn matrix_free_methods_agree_with_the_gram_route() {
    let layers = vec![conv2d(1, 3, 2), tanh(), flatten(), linear(12, 6), sigmoid(), linear(6, 3)];
    let (graph, loss) = setting(layers, &[6, 1, 3, 3], classes(), 20);
    let operator = CurvatureProduct::ggn(&graph, loss.as_ref()).build().unwrap();
    let spectrum = Ggn::new(&graph, loss.as_ref()).spectrum().unwrap();
    let top = &spectrum[spectrum.len() - 4..];
    let krylov = lanczos(&operator, 4, &LanczosOptions::default().tolerance(1e-10)).unwrap();
    let power = power_iteration(
        &operator,
        4,
        &PowerIterationOptions::default().tolerance(1e-9).max_iterations(20_000),
    );
    for found in [&krylov.eigenvalues, &power.unwrap().eigenvalues] {
        assert_close(found, top, 1e-8);
    }
    // The vectors are those of the Gram route, up to their signs.
    let pairs = Ggn::new(&graph, loss.as_ref()).eigenpairs(top_k(4)).unwrap();
    let gram = operator.flatten(&pairs.eigenvectors).unwrap().to_matrix::<f64>().unwrap();
    let free = krylov.eigenvectors.to_matrix::<f64>().unwrap();
    for k in 0..4 {
        let best = (0..4)
            .map(|j| free.row(j).iter().zip(gram.row(k)).map(|(a, b)| a * b).sum::<f64>().abs())
            .fold(0.0f64, f64::max);
        assert!((best - 1.0).abs() <= 1e-7, "vector {k}: {best}");
    }
    // Traces: exact from the spectrum, estimated within five standard errors (about one failure in
    // 1.7 million seeds; the seed is fixed).
    let trace: f64 = spectrum.iter().sum();
    let estimate = hutchinson_trace(&operator, &TraceOptions::default().vectors(400)).unwrap();
    assert!(
        (estimate.value - trace).abs() <= 5.0 * estimate.standard_error.unwrap(),
        "{estimate:?} for {trace}"
    );
    let plus = hutch_plus_plus(&operator, &TraceOptions::default().vectors(60)).unwrap();
    assert!((plus.value - trace).abs() <= 0.05 * trace, "{plus:?} for {trace}");
    // The Hessian is indefinite: its extreme eigenvalues by Lanczos and densely.
    let hessian = CurvatureProduct::hessian(&graph, loss.as_ref()).build().unwrap();
    let dense =
        hessian.apply(&Tensor::eye(&host(), hessian.dim())).unwrap().to_matrix::<f64>().unwrap();
    let values = vivit::eigh::eigvalsh(dense).unwrap();
    assert!(values[0] < 0.0);
    let options = LanczosOptions::default().which(SpectrumEnd::Smallest).tolerance(1e-9);
    let smallest = lanczos(&hessian, 1, &options).unwrap().eigenvalues[0];
    assert!(
        (smallest - values[0]).abs() <= 1e-8 * values[values.len() - 1],
        "{smallest} for {}",
        values[0]
    );
}

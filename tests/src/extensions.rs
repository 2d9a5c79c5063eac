//! Extensions and products against dense definitions: first-order quantities from finite
//! differences of the loss, second-order ones from finite differences of per-sample gradients
//! (which are checked against the loss beforehand).

use vivit::autodiff::Reduction;
use vivit::curvature::{CurvatureProduct, GradientGram, LinearOperator, Ntk};
use vivit::extend::{
    BatchDiagGgn, BatchDiagHessian, BatchGrad, BatchL2Grad, DiagHessian, Jacobian, SumGradSquared,
    Variance, run,
};
use vivit::tensor::{Matrix, Rng, Tensor};

use crate::definition::{Dense, Flat, dot, stencil, tolerance};
use crate::report::Report;
use crate::zoo::Problem;

/// Hessians of every sample by finite differences of its gradient: `[n][d][d′]`.
fn hessians(flat: &Flat<'_>, n: usize) -> Vec<Matrix<f64>> {
    let d = flat.coordinates.len();
    let loss = flat.problem.loss.as_ref();
    let column = |moved: usize| {
        stencil(|offset| {
            let graph = flat.moved(moved, offset);
            let (gradients,) =
                run(&graph, loss, (BatchGrad::new(),)).expect("a zoo problem has gradients");
            flat.gather(&graph, &gradients, n).concat()
        })
    };
    let columns: Vec<Vec<f64>> = (0..d).map(column).collect();
    (0..n).map(|n| Matrix::from_fn(d, d, |i, j| columns[j][n * d + i])).collect()
}

fn sum_of(matrices: &[Matrix<f64>], samples: &[usize], factor: f64) -> Matrix<f64> {
    let d = matrices[0].rows();
    Matrix::from_fn(d, d, |i, j| factor * samples.iter().map(|&n| matrices[n][(i, j)]).sum::<f64>())
}

fn diagonal(matrix: &Matrix<f64>) -> Vec<f64> {
    (0..matrix.rows()).map(|d| matrix[(d, d)]).collect()
}

/// Checks every extension and product that [`crate::dense`] does not.
///
/// # Errors
/// Where the library returns one.
pub fn check(
    own: &Problem,
    flat: &Flat<'_>,
    dense: &Dense,
    report: &mut Report,
) -> Result<(), vivit::Error> {
    let graph = own.graph(&own.params);
    let (name, tolerance) = (own.name, tolerance(graph.value().dtype()));
    let (n, loss) = (dense.n, own.loss.as_ref());
    let every: Vec<usize> = (0..n).collect();
    let [grad_samples, ggn_samples] =
        own.samples.clone().map(|samples| samples.unwrap_or_else(|| every.clone()));

    let gradients = dense.gradient(&grad_samples);
    let (d, chosen) = (flat.coordinates.len(), grad_samples.len());
    let (l2, squared, variance) = run(
        &graph,
        loss,
        (
            BatchL2Grad::new().samples(grad_samples.clone()),
            SumGradSquared::new().samples(grad_samples.clone()),
            Variance::new().samples(grad_samples.clone()),
        ),
    )?;
    let mut norms = vec![0.0; chosen];
    for (_, l2) in l2.iter() {
        norms.iter_mut().zip(l2.to_vec()?).for_each(|(sum, norm)| *sum += norm);
    }
    let expected: Vec<f64> = gradients.iter().map(|g| dot(g, g)).collect();
    report.compare(name, "BatchL2Grad", &norms, &expected, 0.0, tolerance);
    let squares: Vec<f64> = (0..d).map(|d| gradients.iter().map(|g| g[d] * g[d]).sum()).collect();
    report.compare(
        name,
        "SumGradSquared",
        &flat.gather(&graph, &squared, 1)[0],
        &squares,
        0.0,
        tolerance,
    );
    let spread: Vec<f64> = (0..d)
        .map(|d| {
            squares[d] / chosen as f64
                - (gradients.iter().map(|g| g[d]).sum::<f64>() / chosen as f64).powi(2)
        })
        .collect();
    // A difference of second moments, on whose scale it is exact.
    let scale = squares.iter().fold(0.0f64, |max, x| max.max(x / chosen as f64));
    report.compare(
        name,
        "Variance",
        &flat.gather(&graph, &variance, 1)[0],
        &spread,
        scale,
        tolerance,
    );

    let outer = Matrix::from_fn(d, d, |i, j| gradients.iter().map(|g| g[i] * g[j]).sum::<f64>());
    let s = if loss.reduction() == Reduction::Mean { n as f64 } else { 1.0 };
    let estimate = n as f64 / ggn_samples.len() as f64;
    let fisher = CurvatureProduct::empirical_fisher(&graph, loss).samples(grad_samples);
    check_product(
        own,
        flat,
        fisher,
        &outer,
        s * n as f64 / chosen as f64,
        "empirical Fisher product",
        report,
    )?;

    let ggns: Vec<Matrix<f64>> = every.iter().map(|&n| dense.ggn_of(n)).collect();
    let ggn = sum_of(&ggns, &ggn_samples, estimate);
    check_product(
        own,
        flat,
        CurvatureProduct::ggn(&graph, loss).samples(ggn_samples.clone()),
        &ggn,
        1.0,
        "GGN product",
        report,
    )?;
    let (per_sample,) = run(&graph, loss, (BatchDiagGgn::exact().samples(ggn_samples.clone()),))?;
    let expected: Vec<f64> = ggn_samples
        .iter()
        .flat_map(|&n| diagonal(&ggns[n]).into_iter().map(move |x| estimate * x))
        .collect();
    let got = flat.gather(&graph, &per_sample, ggn_samples.len()).concat();
    report.compare(name, "BatchDiagGgn", &got, &expected, 0.0, tolerance);

    let hessians = hessians(flat, n);
    let hessian = sum_of(&hessians, &ggn_samples, estimate);
    check_product(
        own,
        flat,
        CurvatureProduct::hessian(&graph, loss).samples(ggn_samples.clone()),
        &hessian,
        1.0,
        "Hessian product",
        report,
    )?;
    let (summed, per_sample) = run(
        &graph,
        loss,
        (
            DiagHessian::new().samples(ggn_samples.clone()),
            BatchDiagHessian::new().samples(ggn_samples.clone()),
        ),
    )?;
    let scale = hessian.as_slice().iter().fold(0.0f64, |max, x| max.max(x.abs()));
    report.compare(
        name,
        "DiagHessian",
        &flat.gather(&graph, &summed, 1)[0],
        &diagonal(&hessian),
        scale,
        tolerance,
    );
    let expected: Vec<f64> = ggn_samples
        .iter()
        .flat_map(|&n| diagonal(&hessians[n]).into_iter().map(move |x| estimate * x))
        .collect();
    let got = flat.gather(&graph, &per_sample, ggn_samples.len()).concat();
    report.compare(name, "BatchDiagHessian", &got, &expected, scale, tolerance);

    let (jacobian,) = run(&graph, loss, (Jacobian::new(),))?;
    let c = dense.hessians[0].len();
    let got = flat.gather(&graph, &jacobian, c * n).concat();
    let expected: Vec<f64> = (0..c * n)
        .flat_map(|row| dense.jacobian.iter().map(move |j| j[row % n * c + row / n]))
        .collect();
    report.compare(name, "Jacobian", &got, &expected, 0.0, tolerance);
    check_kernels(own, flat, dense, report)
}

/// The tangent kernel, whole, by output and traced, between all samples and between some; the
/// gradients' Gram matrix.
fn check_kernels(
    own: &Problem,
    flat: &Flat<'_>,
    dense: &Dense,
    report: &mut Report,
) -> Result<(), vivit::Error> {
    let graph = own.graph(&own.params);
    let (name, tolerance) = (own.name, tolerance(graph.value().dtype()));
    let (n, c, d) = (dense.n, dense.hessians[0].len(), flat.coordinates.len());
    let product = |i: usize, j: usize| {
        (0..d).map(|d| dense.jacobian[d][i] * dense.jacobian[d][j]).sum::<f64>()
    };
    let kernel = |rows: &[usize], columns: &[usize]| -> Matrix<f64> {
        let at =
            |samples: &[usize], row: usize| samples[row % samples.len()] * c + row / samples.len();
        Matrix::from_fn(c * rows.len(), c * columns.len(), |i, j| {
            product(at(rows, i), at(columns, j))
        })
    };
    let every: Vec<usize> = (0..n).collect();
    let (rows, columns) = (vec![n - 1], every[..n.div_ceil(2)].to_vec());
    for (label, rows, columns) in [("", &every, &every), (", two batches", &rows, &columns)] {
        let mut ntk = Ntk::new(&graph);
        if !label.is_empty() {
            ntk = ntk.rows(rows.clone()).columns(columns.clone());
        }
        let expected = kernel(rows, columns);
        report.compare(
            name,
            &format!("tangent kernel{label}"),
            ntk.matrix()?.as_slice(),
            expected.as_slice(),
            0.0,
            tolerance,
        );
        let (r, m) = (rows.len(), columns.len());
        let by_output: Vec<Matrix<f64>> = (0..c)
            .map(|c| Matrix::from_fn(r, m, |i, j| expected[(c * r + i, c * m + j)]))
            .collect();
        let got: Vec<f64> =
            ntk.diagonal()?.iter().flat_map(|k| k.as_slice().iter().copied()).collect();
        let flat: Vec<f64> = by_output.iter().flat_map(|k| k.as_slice().to_vec()).collect();
        report.compare(
            name,
            &format!("tangent kernel by output{label}"),
            &got,
            &flat,
            0.0,
            tolerance,
        );
        let traced = Matrix::from_fn(r, m, |i, j| by_output.iter().map(|k| k[(i, j)]).sum::<f64>());
        report.compare(
            name,
            &format!("traced tangent kernel{label}"),
            ntk.trace()?.as_slice(),
            traced.as_slice(),
            0.0,
            tolerance,
        );
    }
    let gradients = dense.gradient(&every);
    let gram = GradientGram::new(&graph, own.loss.as_ref()).matrix()?;
    let expected = Matrix::from_fn(n, n, |i, j| dot(&gradients[i], &gradients[j]));
    report.compare(
        name,
        "Gram matrix of gradients",
        gram.as_slice(),
        expected.as_slice(),
        0.0,
        tolerance,
    );
    let mean: Vec<f64> =
        (0..d).map(|d| gradients.iter().map(|g| g[d]).sum::<f64>() / n as f64).collect();
    let centred: Vec<Vec<f64>> =
        gradients.iter().map(|g| g.iter().zip(&mean).map(|(g, mean)| g - mean).collect()).collect();
    let scale = expected.as_slice().iter().fold(0.0f64, |max, x| max.max(x.abs()));
    let expected = Matrix::from_fn(n, n, |i, j| dot(&centred[i], &centred[j]));
    let gram = GradientGram::new(&graph, own.loss.as_ref()).centred().matrix()?;
    report.compare(
        name,
        "centred Gram matrix of gradients",
        gram.as_slice(),
        expected.as_slice(),
        scale,
        tolerance,
    );
    Ok(())
}

/// A product with random vectors.
fn check_product(
    own: &Problem,
    flat: &Flat<'_>,
    product: CurvatureProduct<'_>,
    matrix: &Matrix<f64>,
    factor: f64,
    quantity: &str,
    report: &mut Report,
) -> Result<(), vivit::Error> {
    let operator = product.build()?;
    let (d, k) = (operator.dim(), 2);
    let vectors: Vec<f64> = Rng::new(11).normal(k * d);
    let got = operator.apply(&Tensor::from_vec(operator.device(), [k, d], &vectors)?)?;
    assert_eq!(d, flat.coordinates.len(), "the operator acts on all parameters");
    let expected: Vec<f64> = vectors
        .chunks(d)
        .flat_map(|v| (0..d).map(move |i| factor * dot(matrix.row(i), v)))
        .collect();
    // The stencil's own error is that of the matrix's largest entries.
    let scale = matrix.as_slice().iter().fold(0.0f64, |max, x| max.max(factor * x.abs()));
    let got = got.to_vec()?;
    report.compare(
        own.name,
        quantity,
        &got,
        &expected,
        scale,
        tolerance(operator.device().dtype()),
    );
    Ok(())
}

//! Checks of everything against dense definitions.

use vivit::autodiff::{Batch, Graph, ParamMap, Probe, Reduction, Root, RootColumns, Seed};
use vivit::curvature::{Ggn, constant, nonzero};
use vivit::eigh::eigh;
use vivit::extend::{BatchGrad, DiagGgn, SqrtGgn, run};
use vivit::tensor::{Matrix, Rng, Tensor};

use crate::definition::{Dense, Flat, dot, doubles, tolerance};
use crate::extensions;
use crate::report::{Report, direction_factors, scaled_error, worse};
use crate::zoo::Problem;

/// Checks a problem: every quantity against its dense definition.
pub fn check(problem: &Problem, report: &mut Report) {
    check_on(problem, problem, report);
}

/// Checks what a backend makes of its own copy of a problem against the definitions, which are
/// computed on the host in doubles.
pub fn check_on(problem: &Problem, own: &Problem, report: &mut Report) {
    assert_eq!(problem.name, own.name, "two copies of one problem");
    if let Err(why) = check_all(problem, own, report) {
        report.failed(problem.name, "problem", why);
    }
}

fn check_all(problem: &Problem, own: &Problem, report: &mut Report) -> Result<(), vivit::Error> {
    let graph = own.graph(&own.params);
    let tolerance = tolerance(graph.value().dtype());
    let all: Vec<usize> = (0..problem.params.len()).collect();
    let flat = Flat::new(problem, &all);
    let dense = Dense::new(&flat);
    let every: Vec<usize> = (0..dense.n).collect();
    let name = problem.name;

    let gradients = dense.gradient(&every);
    let summed: Vec<f64> =
        (0..flat.coordinates.len()).map(|d| gradients.iter().map(|g| g[d]).sum()).collect();
    let backward = graph.backward(own.loss.as_ref())?;
    report.compare(
        name,
        "gradient",
        &flat.gather(&graph, &backward, 1)[0],
        &summed,
        0.0,
        tolerance,
    );
    let outputs = Root::Exact(RootColumns::Outputs);
    let (batch_grad, sqrt_ggn, sqrt_outputs, diag_ggn) = run(
        &graph,
        own.loss.as_ref(),
        (BatchGrad::new(), SqrtGgn::exact(), SqrtGgn::new(outputs), DiagGgn::exact()),
    )?;
    let got = flat.gather(&graph, &batch_grad, dense.n).concat();
    report.compare(name, "BatchGrad", &got, &gradients.concat(), 0.0, tolerance);

    let mut ggn = Matrix::zeros(flat.coordinates.len(), flat.coordinates.len());
    for n in 0..dense.n {
        ggn.as_mut_slice()
            .iter_mut()
            .zip(dense.ggn_of(n).as_slice())
            .for_each(|(sum, x)| *sum += x);
    }
    for (quantity, sqrt) in
        [("V Vᵀ, column by column", &sqrt_ggn), ("V Vᵀ with C columns", &sqrt_outputs)]
    {
        let rows = sqrt[graph.params()[0]].shape()[0] * dense.n;
        let v = flat.gather(&graph, sqrt, rows);
        let d = flat.coordinates.len();
        let product =
            Matrix::from_fn(d, d, |a, b| v.iter().map(|row| row[a] * row[b]).sum::<f64>());
        report.compare(name, quantity, product.as_slice(), ggn.as_slice(), 0.0, tolerance);
    }
    let diagonal: Vec<f64> = (0..ggn.rows()).map(|d| ggn[(d, d)]).collect();
    report.compare(
        name,
        "DiagGgn",
        &flat.gather(&graph, &diag_ggn, 1)[0],
        &diagonal,
        0.0,
        tolerance,
    );
    check_jacobian(own, &graph, &flat, &dense, report)?;
    extensions::check(own, &flat, &dense, report)?;

    let blocks = if problem.blocks.is_empty() { vec![all] } else { problem.blocks.clone() };
    check_curvature(problem, own, &graph, &blocks, report)
}

/// `J·v` against the dense Jacobian, and `⟨u, J v⟩ = ⟨Jᵀu, v⟩`.
fn check_jacobian(
    own: &Problem,
    graph: &Graph,
    flat: &Flat<'_>,
    dense: &Dense,
    report: &mut Report,
) -> Result<(), vivit::Error> {
    let (device, mut rng, k) = (graph.tape().device(), Rng::new(7), 2);
    let mut tangents = ParamMap::new();
    for (var, value) in graph.params().into_iter().zip(&own.params) {
        let shape = value.shape().prefixed(&[k]);
        tangents.insert(var, Tensor::from_vec(device, shape, rng.normal(shape.size()))?);
    }
    let pushed = graph.jvp(&tangents)?;
    let directions = flat.gather(graph, &tangents, k);
    let along = |v: &Vec<f64>| -> Vec<f64> {
        let outputs = dense.jacobian[0].len();
        (0..outputs)
            .map(|at| dense.jacobian.iter().zip(v).map(|(row, v)| row[at] * v).sum())
            .collect()
    };
    let expected: Vec<f64> = directions.iter().flat_map(along).collect();
    report.compare(
        own.name,
        "J·v",
        &pushed.to_vec()?,
        &expected,
        0.0,
        tolerance(graph.value().dtype()),
    );

    let u = Tensor::from_vec(
        device,
        graph.value().shape().prefixed(&[1]),
        rng.normal(graph.value().len()),
    )?;
    let mut pulled = ParamMap::new();
    let probe = Probe::new(Seed::Columns(u.clone()));
    graph.sweep(own.loss.as_ref(), &[probe], &graph.params(), None, |site| {
        pulled.insert(site.param(), site.jac_t(0, Batch::Sum));
        Ok::<(), vivit::autodiff::Error>(())
    })?;
    let pulled = &flat.gather(graph, &pulled, 1)[0];
    let (u, first) = (doubles(&u), doubles(&pushed.slice(0, 1)));
    let (left, right) = (dot(&u, &first), dot(pulled, &directions[0]));
    let scale = (dot(&u, &u) * dot(&first, &first)).sqrt();
    // Rounding only: both sides are exact sums of the same products.
    let bound = 500.0 * graph.value().dtype().epsilon();
    report.push(
        own.name,
        "⟨u, J v⟩ and ⟨Jᵀu, v⟩",
        (left - right).abs() / scale,
        bound,
        String::new(),
    );
    Ok(())
}

/// Spectrum, γ, λ, eigenvectors and Newton step against dense eigendecompositions of every block.
fn check_curvature(
    problem: &Problem,
    own: &Problem,
    graph: &Graph,
    blocks: &[Vec<usize>],
    report: &mut Report,
) -> Result<(), vivit::Error> {
    let (n, tolerance) = (graph.samples(), tolerance(graph.value().dtype()));
    let [grad_samples, ggn_samples] =
        problem.samples.clone().map(|samples| samples.unwrap_or_else(|| (0..n).collect()));
    let (s, whole) = match problem.loss.reduction() {
        Reduction::Mean => (n as f64, 1.0),
        Reduction::Sum => (1.0, n as f64),
    };
    let mut ggn = Ggn::new(graph, own.loss.as_ref());
    if let Some(samples) = &problem.samples[0] {
        ggn = ggn.grad_samples(samples.clone());
    }
    if let Some(samples) = &problem.samples[1] {
        ggn = ggn.ggn_samples(samples.clone());
    }
    let vars = graph.params();
    let of_block = |block: &Vec<usize>| block.iter().map(|&at| vars[at]).collect::<Vec<_>>();
    let spaces = ggn.blocks(blocks.iter().map(of_block)).gram_spaces()?;
    let criterion = nonzero(1e-3);
    for (at, (block, space)) in blocks.iter().zip(&spaces).enumerate() {
        let case = if blocks.len() > 1 {
            format!("{} {at}", problem.name)
        } else {
            problem.name.to_string()
        };
        let flat = Flat::new(problem, block);
        let dense = Dense::new(&flat);
        let d = flat.coordinates.len();
        let per_sample: Vec<Matrix<f64>> = ggn_samples.iter().map(|&n| dense.ggn_of(n)).collect();
        let scale = n as f64 / ggn_samples.len() as f64;
        let block_ggn =
            Matrix::from_fn(d, d, |i, j| scale * per_sample.iter().map(|g| g[(i, j)]).sum::<f64>());
        let eigen = eigh(block_ggn)?;
        let found = space.directional_derivatives(&criterion)?;
        let k = found.len();
        let chosen: Vec<usize> = (d - k..d).collect();
        let factors = direction_factors(&eigen.values, &chosen);
        let factor = factors.iter().fold(1.0f64, |worst, factor| worst.max(*factor));
        let note = format!("×λ_max/gap, at most {factor:.1e}");

        let common = d.min(space.spectrum().len());
        let (zeros, spectrum) = space.spectrum().split_at(space.spectrum().len() - common);
        let largest = eigen.values[d - 1];
        report.compare(
            &case,
            "spectrum",
            spectrum,
            &eigen.values[d - common..],
            largest,
            tolerance,
        );
        if !zeros.is_empty() {
            report.compare(
                &case,
                "structural zeros",
                zeros,
                &vec![0.0; zeros.len()],
                largest,
                tolerance,
            );
        }

        let gradients = dense.gradient(&grad_samples);
        let gradient_scale = s * gradients.iter().map(|g| dot(g, g).sqrt()).fold(0.0, f64::max);
        let curvature_scale =
            s * per_sample.iter().flat_map(|g| g.as_slice()).fold(0.0f64, |m, x| m.max(x.abs()));
        let vectors = flat.gather(graph, &space.eigenpairs(&criterion)?.eigenvectors, k);
        let [mut gammas, mut lambdas, mut eigenvectors] = [0.0f64; 3];
        let mut step = vec![0.0; d];
        for (own_at, &index) in chosen.iter().enumerate() {
            let e = eigen.vectors.row(index);
            let sign = dot(e, &vectors[own_at]).signum();
            let aligned: Vec<f64> = vectors[own_at].iter().map(|x| sign * x).collect();
            let gamma: Vec<f64> = gradients.iter().map(|g| s * dot(e, g)).collect();
            let lambda: Vec<f64> = per_sample
                .iter()
                .map(|g| s * (0..d).map(|i| e[i] * dot(g.row(i), e)).sum::<f64>())
                .collect();
            let column =
                |m: &Matrix<f64>| (0..m.rows()).map(|n| m[(n, own_at)]).collect::<Vec<f64>>();
            // γ has the sign of the Gram eigenvector, which need not be that of e.
            let own_gamma = column(&found.gammas);
            let flip = if dot(&own_gamma, &gamma) < 0.0 { -1.0 } else { 1.0 };
            let own_gamma: Vec<f64> = own_gamma.iter().map(|x| flip * x).collect();
            let grow = factors[own_at];
            gammas = worse(gammas, scaled_error(&own_gamma, &gamma, gradient_scale) / grow);
            lambdas = worse(
                lambdas,
                scaled_error(&column(&found.lambdas), &lambda, curvature_scale) / grow,
            );
            eigenvectors = worse(eigenvectors, scaled_error(&aligned, e, 1.0) / grow);
            let mean = |list: &[f64]| whole * list.iter().sum::<f64>() / list.len() as f64;
            let weight = -mean(&gamma) / (mean(&lambda) + 0.3);
            step.iter_mut().zip(e).for_each(|(step, e)| *step += weight * e);
        }
        for (quantity, error) in [("|γ|", gammas), ("λ", lambdas), ("eigenvectors", eigenvectors)]
        {
            report.push(&case, quantity, error * factor, tolerance * factor, note.clone());
        }
        let newton = space.newton_step(&criterion, constant(0.3))?.step;
        let own_step = &flat.gather(graph, &newton, 1)[0];
        report.push(
            &case,
            "Newton step",
            scaled_error(own_step, &step, 0.0),
            tolerance * factor,
            note.clone(),
        );
    }
    Ok(())
}

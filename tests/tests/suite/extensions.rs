//! Extensions in one sweep: Monte-Carlo roots, hooks, overrides, and what is an error.

use vivit::autodiff::ops::{Linear, Map};
use vivit::autodiff::{
    Batch, CrossEntropy, Error, Graph, Io, Op, ParamMap, Reduction, Second, Site, Tape, check,
};
use vivit::curvature::{CurvatureProduct, GradientGram, LinearOperator, Ntk, Positive};
use vivit::extend;
use vivit::extend::{
    BatchGrad, BatchL2Grad, DiagGgn, DiagHessian, Gradient, Jacobian, Kfac, Kfra, Kronecker,
    Override, run, run_with,
};
use vivit::nn::*;
use vivit::tensor::{Rng, Tensor, Unary};
use vivit_tests::zoo::{self, Kind, Problem, host};

use crate::nets::{Opaque, assert_close, classes, entries, setting};

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
        let factors = |map: &ParamMap<Kronecker>| -> Vec<f64> {
            map.iter().flat_map(|(_, factors)| factors.b().to_vec().unwrap()).collect()
        };
        assert_unbiased(&factors(&kflr), 400, |seed| {
            factors(&run(&graph, loss, (Kfac::monte_carlo(1, seed),)).unwrap().0)
        });
        // And the Fisher's products converge to the GGN's.
        let operator = CurvatureProduct::ggn(&graph, loss).build().unwrap();
        let vector =
            Tensor::from_vec(&host(), [1, operator.dim()], Rng::new(5).normal(operator.dim()))
                .unwrap();
        let truth = operator.apply(&vector).unwrap().to_vec().unwrap();
        assert_unbiased(&truth, 400, |seed| {
            let fisher = CurvatureProduct::fisher(&graph, loss, 1, seed).build().unwrap();
            fisher.apply(&vector).unwrap().to_vec().unwrap()
        });
    }
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
            Gradient,
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
    let second: ParamMap<Tensor> = whole.iter().map(|(var, j)| (var, j.slice(1, 2))).collect();
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
    let rule = |site: &Site<'_>, _op: &Linear| {
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
    let cpu = host();
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
    let error = CurvatureProduct::hessian(&graph, &loss).build().unwrap_err().to_string();
    assert!(error.contains("opaque") && error.contains("Op::second"), "{error}");
    let error = CurvatureProduct::positive_curvature(&graph, &loss, Positive::Absolute)
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
    assert!(CurvatureProduct::ggn(&graph, loss).samples(vec![1, 1]).build().is_err());
    let twice = [graph.params()[0], graph.params()[0]];
    for (none, repeated) in [
        (
            CurvatureProduct::ggn(&graph, loss).params(Vec::new()).build().err(),
            CurvatureProduct::ggn(&graph, loss).params(twice).build().err(),
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
    let error = CurvatureProduct::positive_curvature(&graph, loss, Positive::Clipped)
        .build()
        .unwrap_err()
        .to_string();
    assert!(error.contains("softmax"), "{error}");
    let operator = CurvatureProduct::ggn(&graph, loss).params([graph.params()[0]]).build().unwrap();
    assert!(operator.apply(&Tensor::zeros(&host(), [2, 11])).is_err());
    let other: ParamMap<_> =
        [(graph.params()[1], Tensor::zeros(&host(), [1, 4]))].into_iter().collect();
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
        let x = Tensor::from_vec(&host(), [5, 3], Rng::new(1).normal(15)).unwrap();
        let mut model =
            Sequential::new(&host(), vec![linear(3, 3), batch_norm(3), linear(3, 2)], 0).unwrap();
        let graph = model.forward_training(&x).unwrap();
        Ntk::new(&graph).matrix().unwrap_err().to_string()
    };
    assert!(error.contains("batch norm") && error.contains("tangent kernel"), "{error}");
}

#[test]
fn wrong_second_derivatives_are_found() {
    #[derive(Debug)]
    struct Wrong;
    impl Op for Wrong {
        fn name(&self) -> &'static str {
            "wrong"
        }
        fn forward(&self, args: &[&Tensor]) -> Tensor {
            args[0].unary(Unary::Tanh)
        }
        fn jac_t(&self, io: Io<'_>, _wrt: usize, mat: &Tensor, _batch: Batch) -> Tensor {
            mat.unary_chain(Unary::Tanh, io.args[0], io.out)
        }
        fn second(&self, _wrt: usize, _along: usize) -> Second<'_> {
            Second::entrywise(|io| io.args[0].unary_second(Unary::Sigmoid, io.out))
        }
    }
    let x = Tensor::from_vec(&host(), [3, 2], Rng::new(1).normal(6)).unwrap();
    let checks = check::check_derivatives(&Wrong, std::slice::from_ref(&x), &[true], 1).unwrap();
    let wrong: Vec<_> =
        checks.iter().filter(|check| !check.passed()).map(|check| check.what).collect();
    assert!(!wrong.is_empty() && wrong.iter().all(|what| what.starts_with("second")), "{wrong:?}");
    // Nor does NaN pass.
    #[derive(Debug)]
    struct Undefined;
    impl Op for Undefined {
        fn name(&self) -> &'static str {
            "undefined"
        }
        fn forward(&self, args: &[&Tensor]) -> Tensor {
            args[0].unary(Unary::Tanh)
        }
        fn jac_t(&self, io: Io<'_>, _wrt: usize, mat: &Tensor, _batch: Batch) -> Tensor {
            mat.unary_chain(Unary::Tanh, io.args[0], io.out)
        }
        fn second(&self, _wrt: usize, _along: usize) -> Second<'_> {
            Second::entrywise(|io| io.args[0].scale(f64::NAN))
        }
    }
    let checks = check::check_derivatives(&Undefined, &[x], &[true], 1).unwrap();
    assert!(
        checks.iter().all(|check| check.passed() != check.what.starts_with("second")),
        "{checks:?}"
    );
}

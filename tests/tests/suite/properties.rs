//! Properties that hold for every network.

use proptest::prelude::*;
use vivit::autodiff::{
    Batch, Graph, Loss, Mse, ParamMap, Probe, Reduction, RootColumns, Seed, Tape,
};
use vivit::curvature::{Ggn, constant, nonzero, top_k};
use vivit::eigh::eigvalsh;
use vivit::extend::{BatchGrad, DiagGgn, SqrtGgn, run};
use vivit::tensor::{Matrix, Rng, Tensor};
use vivit_tests::zoo::host;

use crate::nets::{Opaque, Recipe, config, difference, entries, recipes};

/// Rounding of a few hundred operations on numbers of one scale.
const ROUNDING: f64 = 1e-12;

fn all_products(
    graph: &Graph,
    loss: &dyn Loss,
    columns: &Tensor,
    batch: Batch,
) -> ParamMap<Tensor> {
    let mut products = ParamMap::new();
    let probe = Probe::new(Seed::Columns(columns.clone()));
    graph
        .sweep(loss, &[probe], &graph.params(), Some("the test"), |site| {
            products.insert(site.param(), site.jac_t(0, batch));
            Ok::<(), vivit::autodiff::Error>(())
        })
        .unwrap();
    products
}

fn columns(graph: &Graph, v: usize, seed: u64) -> Tensor {
    let shape = graph.value().shape().prefixed(&[v]);
    Tensor::from_vec(&host(), shape, Rng::new(seed).normal(shape.size())).unwrap()
}

/// `V` of all parameters as rows `[V·N, D]`.
fn dense_root(graph: &Graph, loss: &dyn Loss) -> Matrix<f64> {
    let (sqrt,) = run(graph, loss, (SqrtGgn::exact(),)).unwrap();
    let rows = sqrt.iter().next().map_or(0, |(_, v)| v.shape()[0] * v.shape()[1]);
    let parts: Vec<Matrix<f64>> = sqrt
        .iter()
        .map(|(_, v)| v.reshape([rows, v.len() / rows]).to_matrix::<f64>().unwrap())
        .collect();
    let wide = (0..rows)
        .flat_map(|row| parts.iter().flat_map(move |part| part.row(row).to_vec()))
        .collect::<Vec<_>>();
    Matrix::new(rows, wide.len() / rows, wide)
}

fn permuted(recipe: &Recipe, order: &[usize]) -> (Graph, Box<dyn Loss>) {
    let graph = recipe.model().forward(&recipe.input().index_select(0, order)).unwrap();
    (graph, recipe.loss_of(order, recipe.reduction))
}

proptest! {
    #![proptest_config(config(48))]

    #[test]
    fn jac_t_is_linear_and_columns_do_not_mix(recipe in recipes(), a in -3.0..3.0f64) {
        let (graph, loss) = (recipe.graph(), recipe.loss());
        let (m0, m1) = (columns(&graph, 2, 1), columns(&graph, 2, 2));
        let mut both = m0.clone();
        both.axpy(a, &m1);
        let [p0, p1, p] =
            [&m0, &m1, &both].map(|m| all_products(&graph, loss.as_ref(), m, Batch::Keep));
        for (var, product) in p.iter() {
            let mut expected = p0[var].clone();
            expected.axpy(a, &p1[var]);
            prop_assert!(
                difference(&product.to_vec().unwrap(), &expected.to_vec().unwrap()) < ROUNDING
            );
        }
        let single = all_products(&graph, loss.as_ref(), &m0.slice(1, 2), Batch::Keep);
        for (var, product) in single.iter() {
            prop_assert!(
                difference(&product.to_vec().unwrap(), &p0[var].slice(1, 2).to_vec().unwrap())
                    < ROUNDING
            );
        }
    }

    #[test]
    fn kept_then_summed_is_summed(recipe in recipes()) {
        let (graph, loss) = (recipe.graph(), recipe.loss());
        let m = columns(&graph, 3, 1);
        let kept = all_products(&graph, loss.as_ref(), &m, Batch::Keep);
        let summed = all_products(&graph, loss.as_ref(), &m, Batch::Sum);
        for (var, kept) in kept.iter() {
            prop_assert!(
                difference(&kept.sum(1).to_vec().unwrap(), &summed[var].to_vec().unwrap())
                    < ROUNDING
            );
        }
    }

    #[test]
    fn permuting_samples_permutes_results(recipe in recipes(), shuffle in 0u64..1000) {
        let order = Rng::new(shuffle).permutation(recipe.n);
        let (graph, loss) = (recipe.graph(), recipe.loss());
        let (other, other_loss) = permuted(&recipe, &order);
        let (grads,) = run(&graph, loss.as_ref(), (BatchGrad::new(),)).unwrap();
        let (others,) = run(&other, other_loss.as_ref(), (BatchGrad::new(),)).unwrap();
        for (var, grad) in grads.iter() {
            prop_assert!(
                difference(
                    &grad.index_select(0, &order).to_vec().unwrap(),
                    &others[var].to_vec().unwrap()
                ) < ROUNDING
            );
        }
        let derivatives = |graph: &Graph, loss: &dyn Loss| {
            Ggn::new(graph, loss).directional_derivatives(top_k(1)).unwrap()
        };
        let (own, other) =
            (derivatives(&graph, loss.as_ref()), derivatives(&other, other_loss.as_ref()));
        // The leading direction may be close to the next one: eigenvalues and the mean of λ are all
        // that is stable then.
        prop_assert!(difference(&own.eigenvalues, &other.eigenvalues) < ROUNDING);
    }

    #[test]
    fn a_batch_is_its_samples(recipe in recipes()) {
        let every: Vec<usize> = (0..recipe.n).collect();
        let graph = recipe.graph();
        let loss = recipe.loss_of(&every, Reduction::Sum);
        let (grads,) = run(&graph, loss.as_ref(), (BatchGrad::new(),)).unwrap();
        for n in 0..recipe.n {
            let (one, one_loss) = (
                recipe.model().forward(&recipe.input().index_select(0, &[n])).unwrap(),
                recipe.loss_of(&[n], Reduction::Sum),
            );
            let gradient = one.backward(one_loss.as_ref()).unwrap();
            for (var, gradient) in gradient.iter() {
                prop_assert!(
                    difference(
                        &grads[var].slice(n, n + 1).to_vec().unwrap(),
                        &gradient.to_vec().unwrap()
                    ) < 1e-10
                );
            }
        }
    }

    #[test]
    fn the_gram_matrix_has_the_ggn_spectrum_and_is_semidefinite(recipe in recipes()) {
        let (graph, loss) = (recipe.graph(), recipe.loss());
        let spectrum = Ggn::new(&graph, loss.as_ref()).spectrum().unwrap();
        let v = dense_root(&graph, loss.as_ref());
        let (r, d) = (v.rows(), v.cols());
        let ggn =
            Matrix::from_fn(d, d, |i, j| (0..r).map(|row| v[(row, i)] * v[(row, j)]).sum::<f64>());
        let dense = eigvalsh(ggn).unwrap();
        let largest = dense[d - 1];
        prop_assert!(spectrum.iter().all(|&value| value > -ROUNDING * largest), "{spectrum:?}");
        let common = r.min(d);
        prop_assert!(difference(&spectrum[r - common..], &dense[d - common..]) < ROUNDING);
        prop_assert!(
            spectrum[..r - common]
                .iter()
                .chain(&dense[..d - common])
                .all(|value| value.abs() < ROUNDING * largest)
        );
    }

    #[test]
    fn the_mean_of_lambda_is_the_eigenvalue(recipe in recipes(), draws in 0usize..4) {
        let (graph, loss) = (recipe.graph(), recipe.loss());
        let mut ggn = Ggn::new(&graph, loss.as_ref());
        if draws > 0 {
            ggn = ggn.monte_carlo(draws, recipe.seed);
        }
        let own = ggn.directional_derivatives(nonzero(1e-6)).unwrap();
        let whole = if recipe.reduction == Reduction::Mean { 1.0 } else { recipe.n as f64 };
        let means: Vec<f64> = own.mean_lambdas().iter().map(|mean| whole * mean).collect();
        prop_assert!(difference(&means, &own.eigenvalues) < ROUNDING);
    }

    #[test]
    fn fewer_columns_show_the_same_spectrum(recipe in recipes()) {
        let (graph, loss) = (recipe.graph(), recipe.loss());
        let spectrum = |columns| {
            let ggn = Ggn::new(&graph, loss.as_ref()).columns(columns);
            ggn.spectrum().unwrap()
        };
        let (all, fewer) = (spectrum(RootColumns::Outputs), spectrum(RootColumns::Rank));
        let expected = if recipe.classes {
            recipe.n * (recipe.outputs - 1)
        } else {
            recipe.n * recipe.outputs
        };
        prop_assert_eq!(fewer.len(), expected);
        prop_assert_eq!(all.len(), recipe.n * recipe.outputs);
        let zeros = all.len() - fewer.len();
        let largest = all[all.len() - 1];
        prop_assert!(all[..zeros].iter().all(|value| value.abs() < ROUNDING * largest));
        prop_assert!(difference(&all[zeros..], &fewer) < ROUNDING);
    }

    #[test]
    fn shortcuts_equal_the_generic_way(
        n in 1usize..5,
        t in 1usize..4,
        i in 1usize..5,
        o in 1usize..5,
        seed in 0u64..1000,
    ) {
        let host = host();
        let build = |opaque: bool| {
            let mut rng = Rng::new(seed);
            let mut draw = |shape: &[usize]| {
                Tensor::from_vec(&host, shape, rng.normal(shape.iter().product())).unwrap()
            };
            let mut tape = Tape::new(&host);
            let (w0, b0, w1) =
                (tape.param(draw(&[o, i])), tape.param(draw(&[o])), tape.param(draw(&[3, o])));
            let x = tape.input(draw(&[n, t, i]));
            let hidden = if opaque {
                tape.record(Opaque(vivit::autodiff::ops::Linear), &[x, w0, b0])
            } else {
                tape.linear(x, w0, Some(b0))
            };
            let hidden = tape.tanh(hidden);
            let y = if opaque {
                tape.record(Opaque(vivit::autodiff::ops::Linear), &[hidden, w1])
            } else {
                tape.linear(hidden, w1, None)
            };
            (Graph::new(tape, y).unwrap(), Mse::mean(draw(&[n, t, 3])))
        };
        let ((fast, loss), (generic, _)) = (build(false), build(true));
        let (fast_diag, fast_sqrt) =
            run(&fast, &loss, (DiagGgn::exact(), SqrtGgn::exact())).unwrap();
        let (diag, sqrt) = run(&generic, &loss, (DiagGgn::exact(), SqrtGgn::exact())).unwrap();
        prop_assert!(difference(&entries(&fast_diag), &entries(&diag)) < ROUNDING);
        prop_assert!(difference(&entries(&fast_sqrt), &entries(&sqrt)) < ROUNDING);
        let derive = |graph: &Graph| {
            let ggn = Ggn::new(graph, &loss);
            let space = ggn.gram_space().unwrap();
            let newton = space.newton_step(nonzero(1e-6), constant(1.0)).unwrap();
            (space.spectrum().to_vec(), entries(&newton.step))
        };
        let ((fast_spectrum, fast_step), (spectrum, step)) = (derive(&fast), derive(&generic));
        prop_assert!(difference(&fast_spectrum, &spectrum) < ROUNDING);
        // The step divides by small eigenvalues' roots, at least 1e-6 of the largest.
        prop_assert!(difference(&fast_step, &step) < 1e-6, "{}", difference(&fast_step, &step));
    }
}

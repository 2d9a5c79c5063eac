//! Products with the loss's Hessian and its root, in closed form and through the root, against
//! differences of gradients.

use vivit::autodiff::{Graph, Loss, LossHessian, ParamMap, Reduction, Root, RootColumns};
use vivit::autodiff::{Probe, Seed};
use vivit::curvature::{CurvatureProduct, Positive};
use vivit::nn::*;
use vivit::tensor::{Rng, Tensor};
use vivit_tests::zoo::{Kind, Reticent, host, layers, loss, problems};

use crate::nets::{assert_close, difference, entries, setting};

const KINDS: [Kind; 10] = [
    Kind::Mse(Reduction::Mean),
    Kind::Mse(Reduction::Sum),
    Kind::CrossEntropy(Reduction::Mean),
    Kind::CrossEntropy(Reduction::Sum),
    Kind::Weighted,
    Kind::Ignoring,
    Kind::Smoothed,
    Kind::Soft,
    Kind::Bce,
    Kind::WeightedBce,
];
const SHAPES: [&[usize]; 5] = [&[3, 4], &[2, 2], &[2, 1], &[2, 3, 2], &[2, 3, 2, 2]];

fn normal(shape: &[usize], seed: u64) -> Tensor {
    Tensor::from_vec(&host(), shape, Rng::new(seed).normal(shape.iter().product())).unwrap()
}

/// Every loss with an output.
fn each(check: impl Fn(&dyn Loss, &Tensor, &str)) {
    for (seed, shape) in SHAPES.iter().enumerate() {
        for kind in KINDS {
            let loss = loss(kind, shape, &mut Rng::new(seed as u64));
            // One class, which is ignored: nothing is left.
            if matches!(kind, Kind::Ignoring) && shape[1] == 1 {
                continue;
            }
            check(loss.as_ref(), &normal(shape, 10 + seed as u64), &format!("{kind:?}, {shape:?}"));
        }
    }
}

/// The closed form and the one through the root, with either choice of columns.
fn both(loss: &dyn Loss, f: &Tensor) -> Vec<LossHessian> {
    [RootColumns::Rank, RootColumns::Outputs]
        .into_iter()
        .flat_map(|columns| [loss.hessian(f, columns), Reticent(loss).hessian(f, columns)])
        .collect()
}

/// `H_n u_n` by central differences of gradients, whose error is about 1e-10.
fn by_differences(loss: &dyn Loss, f: &Tensor, u: &Tensor) -> Vec<f64> {
    const STEP: f64 = 1e-5;
    let column = |k: usize| {
        let u = u.slice(k, k + 1).reshape(*f.shape());
        let at = |step: f64| loss.gradient(&f.add(&u.scale(step)));
        at(STEP).sub(&at(-STEP)).scale(0.5 / STEP).to_vec().unwrap()
    };
    (0..u.shape()[0]).flat_map(column).collect()
}

#[test]
fn products_are_differences_of_gradients() {
    each(|loss, f, name| {
        let u = normal(&f.shape().prefixed(&[3]), 20);
        let expected = by_differences(loss, f, &u);
        for hessian in both(loss, f) {
            let product = hessian.product(u.clone()).to_vec().unwrap();
            let error = difference(&product, &expected);
            // One class: zero, but for rounding.
            let zero = product.iter().chain(&expected).all(|x| x.abs() < 1e-9);
            assert!(error < 1e-8 || zero, "{name}: off by {error:e}");
            assert_eq!(
                u.to_vec().unwrap(),
                normal(&f.shape().prefixed(&[3]), 20).to_vec().unwrap()
            );
        }
    });
}

#[test]
fn quadratic_forms_are_products_with_the_vector() {
    each(|loss, f, name| {
        let (k, n) = (3, f.shape()[0]);
        let u = normal(&f.shape().prefixed(&[k]), 20);
        for hessian in both(loss, f) {
            let forms = hessian.quadratic_forms(&u);
            let [c, t] = hessian.positions().unwrap_or([f.len() / n, 1]);
            assert_eq!(**forms.shape(), [k, n, t], "{name}");
            let products = hessian.product(u.clone()).mul(&u).reshape([k, n, c, t]).sum(2);
            let scale = products.to_vec().unwrap().iter().fold(1e-12f64, |s, x| s.max(x.abs()));
            for (got, expected) in forms.to_vec().unwrap().iter().zip(products.to_vec().unwrap()) {
                assert!(
                    (got - expected).abs() < 1e-13 * scale.max(1.0),
                    "{name}: {got} {expected}"
                );
            }
        }
    });
}

#[test]
fn columns_are_those_of_the_root_and_make_the_hessian() {
    each(|loss, f, name| {
        for columns in [RootColumns::Rank, RootColumns::Outputs] {
            let (hessian, root) = (loss.hessian(f, columns), loss.hessian_root(f, columns));
            let v = hessian.columns();
            assert_eq!(*root.shape(), f.shape().prefixed(&[v]), "{name}");
            for first in 0..v {
                let last = (first + 2).min(v);
                let some = hessian.root_columns(first..last).to_vec().unwrap();
                assert_eq!(some, root.slice(first, last).to_vec().unwrap(), "{name}, {first}");
            }
            // S z by its definition.
            let z = normal(&[2, v, f.shape()[0]], 30);
            let shape = [&[1, v, f.shape()[0]], &vec![1; f.shape().rank() - 1][..]].concat();
            let expected: Vec<f64> = (0..2)
                .flat_map(|k| {
                    let z = z.slice(k, k + 1).reshape(&shape[..]);
                    let columns = root.reshape(root.shape().prefixed(&[1]));
                    columns.mul(&z).sum(1).to_vec().unwrap()
                })
                .collect();
            assert_close(&hessian.root_product(&z).to_vec().unwrap(), &expected, 1e-13);
            // S Sᵀ u by its definition, S as it is.
            let u = normal(&f.shape().prefixed(&[2]), 40);
            let through_root = LossHessian::from_root(root).product(u.clone()).to_vec().unwrap();
            let closed = hessian.product(u).to_vec().unwrap();
            for (a, b) in closed.iter().zip(&through_root) {
                assert!((a - b).abs() < 1e-14 * b.abs().max(1.0), "{name}: {a} {b}");
            }
        }
    });
}

#[test]
fn chosen_samples_and_factors_are_those_of_the_whole() {
    each(|loss, f, name| {
        let u = normal(&f.shape().prefixed(&[2]), 50);
        for hessian in both(loss, f) {
            let some = hessian.of(&[1, 0]).scale(4.0);
            let whole = hessian.product(u.clone()).index_select(1, &[1, 0]).scale(4.0);
            let product = some.product(u.index_select(1, &[1, 0]));
            let error = difference(&product.to_vec().unwrap(), &whole.to_vec().unwrap());
            assert!(error < 1e-14, "{name}: off by {error:e}");
            let root = hessian.root().index_select(1, &[1, 0]).scale(2.0);
            let error = difference(&some.root().to_vec().unwrap(), &root.to_vec().unwrap());
            assert!(error < 1e-14, "{name}: the root is off by {error:e}");
        }
    });
}

/// Products of one matrix with vectors, `[K, *p]`.
fn products(product: CurvatureProduct<'_>, vectors: &ParamMap<Tensor>) -> Vec<f64> {
    entries(&product.build().unwrap().multiply(vectors).unwrap())
}

#[test]
fn curvature_products_do_not_depend_on_how_the_loss_multiplies() {
    for problem in problems().into_iter().chain(layers::each()) {
        let graph = problem.graph(&problem.params);
        if graph.check_apart(Some("this test")).is_err() {
            continue;
        }
        let mut rng = Rng::new(5);
        let vectors: ParamMap<Tensor> = (graph.params().into_iter().zip(&problem.params))
            .map(|(param, value)| {
                let shape = value.shape().prefixed(&[2]);
                (param, Tensor::from_vec(&host(), shape, rng.normal(shape.size())).unwrap())
            })
            .collect();
        let (loss, through_root) = (problem.loss.as_ref(), Reticent(problem.loss.as_ref()));
        let last = graph.samples() - 1;
        type Make = for<'a> fn(&'a Graph, &'a dyn Loss) -> CurvatureProduct<'a>;
        let makes: [Make; 3] = [
            |graph, loss| CurvatureProduct::ggn(graph, loss),
            |graph, loss| CurvatureProduct::hessian(graph, loss),
            |graph, loss| CurvatureProduct::positive_curvature(graph, loss, Positive::Absolute),
        ];
        for make in makes {
            for samples in [None, Some(vec![last]), Some(vec![last, 0])] {
                if samples.as_ref().is_some_and(|samples| samples.len() > last) || last == 0 {
                    continue;
                }
                let of = |loss| {
                    let product = make(&graph, loss);
                    match &samples {
                        Some(samples) => product.samples(samples.clone()),
                        None => product,
                    }
                };
                let Ok(operator) = of(loss).build() else { continue };
                let closed = entries(&operator.multiply(&vectors).unwrap());
                let error = difference(&closed, &products(of(&through_root), &vectors));
                assert!(error < 1e-10, "{}: off by {error:e}", problem.name);
            }
        }
    }
}

/// Whether the matrix of draws is that of its columns: `Σ_m ⟨S_m, J v⟩ Jᵀ S_m`.
#[test]
fn products_of_draws_are_those_of_their_columns() {
    let layers = vec![linear(3, 5), tanh(), linear(5, 4)];
    let (graph, loss) = setting(layers, &[4, 3], Kind::CrossEntropy(Reduction::Mean), 3);
    let seed = Seed::Root(Root::MonteCarlo { draws: 3, seed: 7 });
    let root = Probe::new(seed).columns(&graph, loss.as_ref()).unwrap();
    let vectors: ParamMap<Tensor> = (graph.params().into_iter())
        .map(|param| {
            let shape = graph.tape().param_value(param).unwrap().shape().prefixed(&[1]);
            (param, normal(&shape, 9))
        })
        .collect();
    let u = graph.jvp(&vectors).unwrap();
    let along = root.mul(&u).sum(2).reshape([3, 4, 1]);
    let columns = root.mul(&along).sum(0);
    let expected = graph.vjp(&columns.reshape(*u.shape())).unwrap();
    let fisher = CurvatureProduct::fisher(&graph, loss.as_ref(), 3, 7);
    assert_close(&products(fisher, &vectors), &entries(&expected), 1e-13);
}

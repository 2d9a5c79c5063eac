//! Outer products, their blocks and their samples: extensions that use the structure find what
//! those without it find.

use vivit::autodiff::ops::{Conv, ConvOptions, ConvTranspose, Linear, MaxPool, PoolOptions};
use vivit::autodiff::{Graph, Mse, Op, Tape, Var};
use vivit::curvature::{Ggn, constant, top_k};
use vivit::extend::{
    BatchDiagGgn, BatchGrad, BatchL2Grad, DiagGgn, DiagHessian, Kfac, SqrtGgn, SumGradSquared,
    Variance, run, run_for,
};
use vivit::nn::*;
use vivit::tensor::{Matrix, Rng, Tensor, Unary};
use vivit_tests::zoo::host;

use crate::nets::{Opaque, difference, entries};
use crate::nets::{assert_close, classes, setting};

/// The same graph with an operation as it is, and without its structure.
fn structure_and_none<O: Op + Clone>(op: O, args: &[Tensor]) -> [Graph; 2] {
    let graph = |record: &dyn Fn(&mut Tape, &[Var]) -> Var| {
        let mut tape = Tape::new(&host());
        let mut vars = vec![tape.input(args[0].clone())];
        vars.extend(args[1..].iter().map(|arg| tape.param(arg.clone())));
        let y = record(&mut tape, &vars);
        let y = tape.flatten(y);
        Graph::new(tape, y).unwrap()
    };
    [
        graph(&|tape, vars| tape.record(op.clone(), vars)),
        graph(&|tape, vars| tape.record(Opaque(op.clone()), vars)),
    ]
}

/// What extensions make of the structure is what they make of the expanded factors.
fn assert_structure_does_not_matter<O: Op + Clone>(name: &str, op: O, args: &[Tensor]) {
    let graphs = structure_and_none(op, args);
    let target = Tensor::from_vec(
        &host(),
        graphs[0].value().shape(),
        Rng::new(3).normal(graphs[0].value().len()),
    )
    .unwrap();
    let loss = Mse::mean(target);
    let [fast, generic] = graphs.map(|graph| {
        let (l2, squared, variance, diagonal, each, batch) = run(
            &graph,
            &loss,
            (
                BatchL2Grad::new(),
                SumGradSquared::new(),
                Variance::new(),
                DiagGgn::monte_carlo(8, 1),
                BatchDiagGgn::monte_carlo(2, 1),
                BatchGrad::new(),
            ),
        )
        .unwrap();
        [l2, squared, variance, diagonal, each, batch].map(|map| entries(&map))
    });
    for (which, (fast, generic)) in fast.iter().zip(&generic).enumerate() {
        let error = difference(fast, generic);
        // Rounding, of sums of some 10⁵ products at most.
        assert!(error <= 1e-11, "{name}, extension {which}: off by {error:e}");
    }
}

#[test]
fn the_structure_of_outer_products_does_not_matter() {
    let random = |shape: &[usize], seed| {
        Tensor::from_vec(&host(), shape, Rng::new(seed).normal(shape.iter().product())).unwrap()
    };
    // One position; few (products over positions are cheaper) and many (gradients are formed), in
    // both layouts, with groups, and where the parameter's axes are the other way round.
    assert_structure_does_not_matter("linear", Linear, &[random(&[4, 5], 1), random(&[6, 5], 2)]);
    assert_structure_does_not_matter(
        "linear, 2 positions",
        Linear,
        &[random(&[4, 2, 9], 1), random(&[8, 9], 2)],
    );
    assert_structure_does_not_matter(
        "linear, 40 positions",
        Linear,
        &[random(&[3, 40, 3], 1), random(&[2, 3], 2)],
    );
    let conv = Conv(ConvOptions { groups: 2, ..ConvOptions::new(2) });
    assert_structure_does_not_matter(
        "conv, 1 position",
        conv.clone(),
        &[random(&[3, 4, 3, 3], 1), random(&[6, 2, 3, 3], 2)],
    );
    assert_structure_does_not_matter(
        "conv, 2 positions",
        conv.clone(),
        &[random(&[3, 4, 3, 4], 1), random(&[6, 2, 3, 3], 2)],
    );
    assert_structure_does_not_matter(
        "conv, 64 positions",
        conv,
        &[random(&[3, 4, 8, 8], 1), random(&[6, 2, 1, 1], 2)],
    );
    let transposed = ConvTranspose {
        options: ConvOptions { groups: 2, ..ConvOptions::new(1) },
        output_padding: vec![0],
    };
    assert_structure_does_not_matter(
        "transposed, 2",
        transposed.clone(),
        &[random(&[3, 4, 2], 1), random(&[4, 3, 5], 2)],
    );
    assert_structure_does_not_matter(
        "transposed, 20",
        transposed,
        &[random(&[3, 4, 20], 1), random(&[4, 1, 2], 2)],
    );
    // So many samples that they are expanded in more than one block, in all of the ways.
    let padded = Conv(ConvOptions { padding: vec![1; 2], ..ConvOptions::new(2) });
    let many = 2000;
    assert!(many * 32 * 8 * 9 > 1 << 22);
    assert_structure_does_not_matter(
        "many samples",
        padded,
        &[random(&[many, 8, 6, 6], 1), random(&[32, 8, 3, 3], 2)],
    );
}

#[test]
fn signs_follow_their_samples() {
    // So many samples that the signed columns are squared in two blocks; each half of them fits in
    // one.
    let n = 4000;
    let (columns, entries_of_weight) = (4 * 9, 4 * 2 * 2 * 2);
    assert!(
        n * columns * entries_of_weight > 1 << 22 && n / 2 * columns * entries_of_weight <= 1 << 22
    );
    let layers =
        vec![Conv2d::new(2, 4, 2).without_bias().boxed(), tanh(), flatten(), linear(36, 2)];
    let (graph, loss) = setting(layers, &[n, 2, 4, 4], classes(), 23);
    let weight = graph.params()[..1].to_vec();
    let of =
        |extension: DiagHessian| run_for(&graph, loss.as_ref(), &weight, (extension,)).unwrap().0;
    let whole = of(DiagHessian::new());
    // Each half estimates the whole, and their mean is it.
    let mut mean = of(DiagHessian::new().samples((0..n / 2).collect()))[weight[0]].scale(0.5);
    mean.axpy(0.5, &of(DiagHessian::new().samples((n / 2..n).collect()))[weight[0]]);
    assert_close(&whole[weight[0]].to_vec().unwrap(), &mean.to_vec().unwrap(), 1e-12);
    let (ggn,) = run_for(&graph, loss.as_ref(), &weight, (DiagGgn::exact(),)).unwrap();
    assert!(
        difference(&whole[weight[0]].to_vec().unwrap(), &ggn[weight[0]].to_vec().unwrap()) > 1e-3,
        "signs matter here"
    );
}

#[test]
fn factors_of_chosen_samples_estimate_the_whole() {
    let (graph, loss) = setting(vec![linear(3, 4), tanh(), linear(4, 3)], &[6, 3], classes(), 22);
    let samples = vec![4, 1, 5];
    let (factors, roots) = run(
        &graph,
        loss.as_ref(),
        (Kfac::kflr().samples(samples.clone()), SqrtGgn::exact().samples(samples.clone())),
    )
    .unwrap();
    for (var, v) in
        roots.iter().filter(|(var, _)| graph.tape().param_name(*var).unwrap().ends_with("bias"))
    {
        // A bias's block is exact: V Vᵀ, scaled for the whole batch.
        let rows = v.shape()[0] * v.shape()[1];
        let d = v.len() / rows;
        let v = v.reshape([rows, d]).to_matrix::<f64>().unwrap();
        let block =
            Matrix::from_fn(d, d, |i, j| (0..rows).map(|r| v[(r, i)] * v[(r, j)]).sum::<f64>());
        assert_close(&factors[var].b().to_vec().unwrap(), block.as_slice(), 1e-13);
        // The weight before it has the same factor at its output.
        let weight =
            graph.params()[graph.params().iter().position(|other| *other == var).unwrap() - 1];
        assert_close(&factors[weight].b().to_vec().unwrap(), block.as_slice(), 1e-13);
    }
    let x = Rng::new(22).normal(18);
    let mean = Matrix::from_fn(3, 3, |i, j| {
        samples.iter().map(|n| x[n * 3 + i] * x[n * 3 + j]).sum::<f64>() / 3.0
    });
    assert_close(
        &factors[graph.params()[0]].a().unwrap().to_vec().unwrap(),
        mean.as_slice(),
        1e-13,
    );
}

/// The same graph with maxima that are routed past what lies before them, and with maxima that are
/// not.
fn routed_and_not(
    network: impl Fn(&mut Tape, Var, &dyn Fn(&mut Tape, Var) -> Var) -> Var,
) -> [Graph; 2] {
    let random = |shape: &[usize], seed| {
        Tensor::from_vec(&host(), shape, Rng::new(seed).normal(shape.iter().product())).unwrap()
    };
    let options =
        PoolOptions { stride: vec![2, 1], padding: vec![1, 0], ..PoolOptions::new(&[3, 2]) };
    let routed = |tape: &mut Tape, x: Var| tape.record(MaxPool::new(options.clone()), &[x]);
    let not = |tape: &mut Tape, x: Var| tape.record(Opaque(MaxPool::new(options.clone())), &[x]);
    [&routed as &dyn Fn(&mut Tape, Var) -> Var, &not].map(|pool| {
        let mut tape = Tape::new(&host());
        let x = tape.input(random(&[5, 2, 6, 7], 1));
        let weight = tape.param(random(&[3, 2, 2, 2], 2));
        let x = tape.conv(x, weight, None, &ConvOptions::new(2));
        let y = network(&mut tape, x, pool);
        Graph::new(tape, y).unwrap()
    })
}

#[test]
fn routes_past_padding_and_maps_do_not_matter() {
    type Network = fn(&mut Tape, Var, &dyn Fn(&mut Tape, Var) -> Var) -> Var;
    let networks: [(&str, Network); 6] = [
        ("alone", |tape, x, pool| pool(tape, x)),
        ("a map", |tape, x, pool| {
            let x = tape.tanh(x);
            pool(tape, x)
        }),
        ("padding", |tape, x, pool| {
            let x = tape.zero_pad(x, &[(0, 2), (1, 0)]);
            pool(tape, x)
        }),
        ("cropping", |tape, x, pool| {
            let x = tape.zero_pad(x, &[(-1, 1)]);
            pool(tape, x)
        }),
        ("several", |tape, x, pool| {
            let x = tape.sigmoid(x);
            let x = tape.zero_pad(x, &[(1, -1), (2, 1)]);
            let x = tape.map(Unary::Shift(-0.7), x);
            let x = tape.relu(x);
            let x = tape.zero_pad(x, &[(0, 1)]);
            pool(tape, x)
        }),
        ("what others use", |tape, x, pool| {
            let x = tape.tanh(x);
            let padded = tape.zero_pad(x, &[(0, 1), (0, 1)]);
            let pooled = pool(tape, padded);
            let again = pool(tape, x);
            let all = [x, padded, pooled, again].map(|var| tape.flatten(var));
            tape.concat(&all, 1)
        }),
    ];
    for (name, network) in networks {
        let [routed, not] = routed_and_not(|tape, x, pool| {
            let y = network(tape, x, pool);
            tape.flatten(y)
        });
        let target = Rng::new(3).normal(not.value().len());
        let loss = Mse::sum(Tensor::from_vec(&host(), not.value().shape(), target).unwrap());
        let results = [routed, not].map(|graph| {
            let step =
                |ggn: Ggn<'_>| entries(&ggn.newton_step(top_k(3), constant(1.0)).unwrap().step);
            [
                entries(&graph.backward(&loss).unwrap()),
                step(Ggn::new(&graph, &loss)),
                step(Ggn::new(&graph, &loss).ggn_samples([3, 1]).grad_samples([0, 1, 4])),
            ]
        });
        for (which, (routed, not)) in results[0].iter().zip(&results[1]).enumerate() {
            let error = difference(routed, not);
            assert!(error < 1e-11, "{name}, result {which}: off by {error:e}");
        }
    }
}

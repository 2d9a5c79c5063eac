//! The contraction orders of the Gram matrix: each gives what the expanded, and the unstructured, V
//! gives, in blocks of any size; the cost model chooses what it should; the report tells.

use vivit::autodiff::ops::ConvOptions;
use vivit::autodiff::{CrossEntropy, Graph, OuterDims, RootColumns, Tape};
use vivit::curvature::{
    Contraction, ContractionDims, ContractionOrder as Order, Ggn, GradientGram, GramBlock,
    GramReport, Ntk, top_k,
};
use vivit::nn::*;
use vivit::tensor::{Device, Matrix, Rng, Tensor};
use vivit_tests::zoo::{Problem, Reticent, host, layers, problems};

use crate::nets::{Opaque, difference};

/// Bytes: one number at a time, a few blocks, everything at once.
const MEMORY: [usize; 3] = [1, 6000, 1 << 27];

/// The directional derivatives, the kernel in all forms and the gradients' Gram matrix, as lists of
/// numbers.
fn everything(graph: &Graph, problem: &Problem, contraction: Contraction) -> Vec<Vec<f64>> {
    // Its gradients travel.
    let loss = &Reticent(problem.loss.as_ref());
    let n = graph.samples();
    let mut lists = Vec::new();
    // Equal samples, and others on both sides: more columns on the left, and in the tangent kernel
    // as many.
    let chosen: Vec<usize> = (0..n).rev().step_by(2).collect();
    for (ggn, grad) in [(None, None), (Some(chosen.clone()), None), (None, Some(chosen.clone()))] {
        let mut own = Ggn::new(graph, loss).columns(RootColumns::Outputs).contraction(contraction);
        if let Some(ggn) = ggn {
            own = own.ggn_samples(ggn);
        }
        if let Some(grad) = grad {
            own = own.grad_samples(grad);
        }
        let space = own.gram_space().unwrap();
        lists.push(space.spectrum().to_vec());
        let directions = space.directional_derivatives(top_k(1)).unwrap();
        lists.push(directions.gammas.as_slice().iter().map(|gamma| gamma.abs()).collect());
        lists.push(directions.lambdas.into_vec());
    }
    let ntk = || Ntk::new(graph).contraction(contraction);
    lists.push(ntk().matrix().unwrap().into_vec());
    lists.push(ntk().rows(chosen.clone()).matrix().unwrap().into_vec());
    lists.push(ntk().trace().unwrap().into_vec());
    lists.push(
        ntk()
            .columns(chosen.clone())
            .diagonal()
            .unwrap()
            .into_iter()
            .flat_map(Matrix::into_vec)
            .collect(),
    );
    lists
        .push(GradientGram::new(graph, loss).contraction(contraction).matrix().unwrap().into_vec());
    lists.push(
        GradientGram::new(graph, loss)
            .samples(chosen)
            .contraction(contraction)
            .matrix()
            .unwrap()
            .into_vec(),
    );
    lists
}

#[test]
fn every_order_gives_the_same() {
    for problem in problems().into_iter().chain(layers::each()) {
        let graph = problem.graph(&problem.params);
        if graph.check_apart(Some("this test")).is_err() {
            continue;
        }
        let raw = everything(&graph, &problem, Contraction::forced(Order::Raw));
        let forced = Order::ALL
            .iter()
            .flat_map(|&order| MEMORY.map(|memory| Contraction::forced(order).memory(memory)));
        for contraction in forced.chain(MEMORY.map(|memory| Contraction::default().memory(memory)))
        {
            for (which, (own, raw)) in
                everything(&graph, &problem, contraction).iter().zip(&raw).enumerate()
            {
                let error = difference(own, raw);
                // Lambdas and gammas are those of one eigenvector, which rounding turns by the
                // inverse of its eigenvalue's distance.
                let allowed = if which < 9 && which % 3 != 0 { 1e-7 } else { 1e-12 };
                assert!(
                    error <= allowed,
                    "{}, {contraction:?}, result {which}: off by {error:e}",
                    problem.name
                );
            }
        }
    }
}

#[test]
fn tiles_of_every_shape_give_the_same() {
    // Enough samples for tiles of several of them, cut at many places.
    let model = |n: usize| {
        let conv = Conv2d::new(2, 4, 2).grouped(2).strided([2, 1]);
        let model = Sequential::new(
            &host(),
            vec![conv.boxed(), tanh(), conv2d(4, 3, 2), flatten(), linear(6, 3)],
            1,
        )
        .unwrap();
        model
            .forward(
                &Tensor::from_vec(&host(), [n, 2, 4, 4], Rng::new(n as u64).normal(n * 32))
                    .unwrap(),
            )
            .unwrap()
    };
    for n in [1, 2, 19] {
        let graph = model(n);
        let kernel =
            |contraction| Ntk::new(&graph).contraction(contraction).matrix().unwrap().into_vec();
        let some = |contraction| {
            let half = (0..n.div_ceil(2)).collect();
            Ntk::new(&graph).columns(half).contraction(contraction).matrix().unwrap().into_vec()
        };
        let raw = Contraction::forced(Order::Raw);
        for order in [Order::Expand, Order::Positions, Order::OneSide] {
            for memory in (0..60).map(|at| at * at * 40) {
                let contraction = Contraction::forced(order).memory(memory);
                let errors = [
                    difference(&kernel(contraction), &kernel(raw)),
                    difference(&some(contraction), &some(raw)),
                ];
                assert!(
                    errors.iter().all(|&error| error <= 1e-13),
                    "{n} samples, {contraction:?}: off by {errors:?}"
                );
            }
        }
    }
}

const fn dims(v: usize, n: usize, [t, o, i]: [usize; 3]) -> OuterDims {
    OuterDims { v, n, g: 1, t, o, i, one_hot: false, order: vivit::autodiff::Order::OutIn }
}

#[test]
fn the_cheapest_order_is_chosen() {
    let chosen = |dims: ContractionDims| Contraction::default().choose(&dims, 4).0;
    let symmetric = |dims| chosen(ContractionDims::symmetric(dims));
    // 3c3d: few columns.
    assert_eq!(symmetric(dims(9, 128, [784, 64, 75])), Order::Expand);
    assert_eq!(symmetric(dims(9, 128, [144, 96, 576])), Order::Expand);
    assert_eq!(symmetric(dims(9, 128, [36, 128, 864])), Order::Positions);
    assert_eq!(symmetric(dims(10, 128, [36, 128, 864])), Order::Positions);
    for [o, i] in [[512, 1152], [256, 512], [10, 256]] {
        assert_eq!(symmetric(dims(10, 128, [1, o, i])), Order::Factors);
    }
    // All-CNN-C: many, of which one more is the gradient's; memory does not stand in the way.
    for v in [99, 100] {
        for n in [2, 8, 64] {
            assert_eq!(
                symmetric(dims(v, n, [64, 192, 1728])),
                Order::Positions,
                "{n} samples, {v} columns"
            );
        }
    }
    // A depth-wise convolution: 9 in-features per group.
    assert_eq!(symmetric(OuterDims { g: 64, ..dims(9, 32, [64, 1, 9]) }), Order::Expand);
    // Few out-features of one column against many columns: the only case for expanding one side.
    assert_eq!(chosen(ContractionDims::between(dims(99, 64, [4, 2, 400]), 1, 64)), Order::OneSide);
    for shape in [[20, 4, 50], [8, 1, 9], [16, 64, 17], [64, 256, 65], [7, 2, 100]] {
        for v in [1, 2, 9, 99] {
            assert_ne!(symmetric(dims(v, 32, shape)), Order::OneSide, "{v} columns, {shape:?}");
        }
    }
    // One gradient against few columns: K is not worth its while.
    assert_eq!(
        chosen(ContractionDims::between(dims(9, 128, [36, 128, 864]), 1, 128)),
        Order::Expand
    );
    assert_eq!(
        chosen(ContractionDims::between(dims(99, 128, [36, 128, 864]), 1, 128)),
        Order::Positions
    );
    assert_eq!(chosen(ContractionDims::between(dims(9, 16, [784, 64, 75]), 9, 128)), Order::Expand);
    assert_eq!(chosen(ContractionDims::by_column(dims(10, 64, [1, 100, 200]), 64)), Order::Factors);
}

#[test]
fn what_does_not_fit_is_not_chosen() {
    let conv = ContractionDims::symmetric(dims(9, 128, [36, 128, 864]));
    let (order, cost) = Contraction::default().choose(&conv, 4);
    assert!(order == Order::Positions && cost.bytes <= 1 << 27);
    for memory in [1 << 24, 1 << 22, 1 << 20] {
        let (_, cost) = Contraction::default().memory(memory).choose(&conv, 4);
        let least = Order::ALL
            .into_iter()
            .filter_map(|order| conv.cost(order, 4, memory))
            .map(|cost| cost.bytes)
            .min()
            .unwrap();
        assert!(cost.bytes <= memory.max(least), "{} bytes of {memory}", cost.bytes);
    }
    assert_eq!(conv.cost(Order::Factors, 4, 1 << 27), None);
}

#[test]
fn costs_are_those_counted_by_hand() {
    let d = OuterDims {
        v: 2,
        n: 3,
        g: 5,
        t: 4,
        o: 7,
        i: 6,
        one_hot: false,
        order: vivit::autodiff::Order::OutIn,
    };
    let adds = |dims: ContractionDims, order| dims.cost(order, 8, 1 << 27).unwrap().multiply_adds;
    let symmetric = ContractionDims::symmetric(d);
    // 6 rows, of which 21 pairs; 3 samples, of which 6 pairs; 210 entries.
    assert_eq!(adds(symmetric, Order::Raw), 21.0 * 210.0);
    assert_eq!(adds(symmetric, Order::Expand), 6.0 * 4.0 * 210.0 + 21.0 * 210.0);
    assert_eq!(
        adds(symmetric, Order::Positions),
        6.0 * 5.0 * (6.0 * 16.0 + 2.0 * 7.0 * 16.0 + 4.0 * 7.0 * 4.0)
    );
    assert_eq!(
        adds(symmetric, Order::OneSide),
        6.0 * 4.0 * 210.0 + 6.0 * 5.0 * (2.0 * 4.0 * 42.0 + 4.0 * 7.0 * 4.0)
    );
    let flat = ContractionDims::symmetric(OuterDims { t: 1, ..d });
    assert_eq!(adds(flat, Order::Factors), 5.0 * (21.0 * 7.0 + 9.0 * 6.0 + 36.0));
    // One-hot inputs are compared, six pairs of four positions each; nothing is multiplied with
    // them.
    let hot = ContractionDims::symmetric(OuterDims { g: 1, i: 1000, one_hot: true, ..d });
    assert_eq!(adds(hot, Order::Positions), 6.0 * (16.0 + 2.0 * 7.0 * 16.0 + 4.0 * 4.0 * 7.0));
    assert_eq!(hot.cost(Order::OneSide, 4, 1 << 30), None);
    // 3 columns of 4 samples on the right: 6 · 12 entries, 12 pairs of samples.
    let between = ContractionDims::between(d, 3, 4);
    assert_eq!((between.block, between.columns), (GramBlock::Between, 3));
    assert_eq!(adds(between, Order::Expand), 18.0 * 4.0 * 210.0 + 72.0 * 210.0);
    assert_eq!(
        adds(between, Order::Positions),
        12.0 * 5.0 * (6.0 * 16.0 + 2.0 * 7.0 * 16.0 + 6.0 * 7.0 * 4.0)
    );
    // One column on the right: it is the one that meets positions first.
    let one = ContractionDims::between(d, 1, 4);
    assert_eq!(
        adds(one, Order::Positions),
        12.0 * 5.0 * (6.0 * 16.0 + 7.0 * 16.0 + 2.0 * 7.0 * 4.0)
    );
    let columns = ContractionDims::by_column(d, 4);
    assert_eq!(
        adds(columns, Order::Positions),
        12.0 * 5.0 * (6.0 * 16.0 + 2.0 * 7.0 * 16.0 + 2.0 * 7.0 * 4.0)
    );
    assert_eq!(adds(columns, Order::Expand), 14.0 * 4.0 * 210.0 + 24.0 * 210.0);
    // All out-features at a time, and one at a time.
    let bytes = |order, memory| symmetric.cost(order, 8, memory).unwrap().bytes;
    assert_eq!(bytes(Order::Expand, 1 << 27), 6 * 210 * 8);
    assert_eq!(bytes(Order::Expand, 1), 6 * 30 * 8);
    // Of one sample each: factors of a pair, K and P.
    assert_eq!(bytes(Order::Positions, 1), (2 * 5 * 4 * (2 * 7 + 6) + 5 * 16 + 5 * 2 * 4 * 7) * 8);
    assert_eq!(bytes(Order::OneSide, 1), (2 * 5 * 4 * (2 * 7 + 6) + 2 * 210 + 5 * 2 * 4 * 7) * 8);
}

#[test]
fn the_report_tells_what_was_done() {
    let host = host();
    let mut tape = Tape::new(&host);
    let random = |shape: &[usize], seed| {
        Tensor::from_vec(&host, shape, Rng::new(seed).normal(shape.iter().product())).unwrap()
    };
    let x = tape.input(random(&[4, 2, 5, 5], 1));
    let kernel = tape.param(random(&[3, 2, 2, 2], 2));
    let conv = tape.conv(x, kernel, None, &ConvOptions::new(2));
    let flat = tape.flatten(conv);
    let hidden = tape.param(random(&[5, 48], 3));
    let y = tape.record(Opaque(vivit::autodiff::ops::Linear), &[flat, hidden]);
    let weight = tape.param(random(&[3, 5], 4));
    let y = tape.linear(y, weight, None);
    let graph = Graph::new(tape, y).unwrap();
    let loss = CrossEntropy::mean([0, 1, 2, 0]);
    let travelling = Reticent(&loss);
    let [kernel, hidden, weight] = [kernel, hidden, weight].map(|var| graph.param_id(var).unwrap());
    let groups = [vec![kernel, weight], vec![hidden]];
    let report = |contraction, grad: Option<Vec<usize>>| -> GramReport {
        let mut ggn = Ggn::new(&graph, &travelling).contraction(contraction);
        if let Some(grad) = grad {
            ggn = ggn.grad_samples(grad);
        }
        let blocks = ggn.blocks(groups.clone());
        // The plan's report is that of all groups; every space has its own group's rows.
        let whole = blocks.plan().unwrap().report;
        for (group, space) in blocks.gram_spaces().unwrap().iter().enumerate() {
            let own: Vec<_> = whole.rows().iter().filter(|row| row.group == group).collect();
            assert_eq!(space.report().rows().iter().collect::<Vec<_>>(), own);
        }
        whole
    };
    let positions = report(Contraction::forced(Order::Positions), None);
    let rows = positions.rows();
    assert_eq!(
        rows.iter().map(|row| (row.param, row.group)).collect::<Vec<_>>(),
        [(weight, 0), (hidden, 1), (kernel, 0)]
    );
    assert_eq!(
        rows.iter().map(|row| row.order).collect::<Vec<_>>(),
        [Order::Positions, Order::Raw, Order::Positions]
    );
    assert_eq!(
        rows.iter().map(|row| row.refused).collect::<Vec<_>>(),
        [None, Some(Order::Positions), None]
    );
    // Two columns and the gradient's.
    assert_eq!(
        rows[2].structure,
        Some(OuterDims {
            v: 3,
            n: 4,
            g: 1,
            t: 16,
            o: 3,
            i: 8,
            one_hot: false,
            order: vivit::autodiff::Order::OutIn
        })
    );
    assert_eq!(
        (rows[2].columns, rows[2].samples, rows[2].entries, rows[1].structure),
        (3, 4, 24, None)
    );
    let pair = 8.0 * 256.0 + 3.0 * 3.0 * 256.0 + 9.0 * 3.0 * 16.0;
    assert_eq!(rows[2].cost.multiply_adds, 10.0 * pair);
    assert_eq!(rows[1].cost.multiply_adds, 78.0 * 240.0);
    assert_eq!(
        positions.multiply_adds(),
        rows.iter().map(|row| row.cost.multiply_adds).sum::<f64>()
    );
    // Gradients of other samples: V alone, and one column that meets positions first.
    let apart = report(Contraction::forced(Order::Positions), Some(vec![2, 0]));
    let row = &apart.rows()[2];
    assert_eq!((row.columns, row.cross), (2, Some(Order::Positions)));
    let (own, other) = (
        8.0 * 256.0 + 2.0 * 3.0 * 256.0 + 4.0 * 3.0 * 16.0,
        8.0 * 256.0 + 3.0 * 256.0 + 2.0 * 3.0 * 16.0,
    );
    assert_eq!(row.cost.multiply_adds, 10.0 * own + 8.0 * other);
    // Gradients that V's columns make take nothing.
    let own = Ggn::new(&graph, &loss).blocks(groups.clone()).gram_spaces().unwrap();
    let own: Vec<_> = own.iter().flat_map(|space| space.report().rows()).collect();
    assert!(own.len() == 3 && own.iter().all(|row| (row.columns, row.cross) == (2, None)));
    // Only the last layer has one position.
    let factors = report(Contraction::forced(Order::Factors), None);
    assert_eq!(factors.rows()[0].order, Order::Factors);
    assert_eq!(factors.rows()[2].refused, Some(Order::Factors));
    let table = positions.to_string();
    let lines: Vec<&str> = table.lines().collect();
    assert_eq!(lines.len(), 5, "{table}");
    assert!(
        lines[0].starts_with("parameter")
            && lines[2].contains("raw (not positions)")
            && lines[4].starts_with("total")
    );
    let at = lines[0].find("order").unwrap();
    assert!(
        lines[1][at..].starts_with("positions") && lines[3][at..].starts_with("positions"),
        "{table}"
    );
}

#[test]
fn one_thread_equals_many_in_every_order() {
    let model = |device: &Device| {
        let layers = vec![
            conv2d(3, 16, 3),
            tanh(),
            conv2d(16, 12, 3),
            tanh(),
            flatten(),
            linear(12 * 36, 10),
        ];
        let model = Sequential::new(device, layers, 1).unwrap();
        model
            .forward(
                &Tensor::from_vec(device, [16, 3, 10, 10], Rng::new(2).normal(16 * 300)).unwrap(),
            )
            .unwrap()
    };
    for order in Order::ALL {
        let bits = |threads| -> Vec<u64> {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            pool.install(|| {
                let graph = model(&Device::cpu());
                let contraction = Contraction::forced(order).memory(1 << 23);
                let loss = CrossEntropy::mean((0..16).map(|n| n % 10).collect::<Vec<_>>());
                let ggn = Ggn::new(&graph, &loss).contraction(contraction);
                let own = ggn.directional_derivatives(top_k(3)).unwrap();
                let trace = Ntk::new(&graph).contraction(contraction).trace().unwrap();
                [own.eigenvalues, own.gammas.into_vec(), trace.into_vec()]
                    .concat()
                    .into_iter()
                    .map(f64::to_bits)
                    .collect()
            })
        };
        let one = bits(1);
        for threads in [2, 3] {
            assert!(one == bits(threads), "{order}: {threads} threads give other bits than one");
        }
    }
}

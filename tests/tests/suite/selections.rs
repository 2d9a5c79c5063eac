//! Choices, truth values, and what is taken of an axis as a whole: extreme entries, positions,
//! products, log-sum-exp.

use proptest::prelude::*;
use vivit::autodiff::check::check_derivatives;
use vivit::autodiff::ops::{
    ArgMax, Comparison, Extremum, LogSumExp, Predicate, Prod, TopPlaces, Where,
};
use vivit::autodiff::{Batch, Graph, Io, Mse, Op, Tape, Var};
use vivit::tensor::{Rng, Tensor, Unary};
use vivit_tests::zoo::host;

use crate::nets::{assert_close, config};
use crate::ops::{assert_right, distinct, random};

const INFINITY: f64 = f64::INFINITY;
const NAN: f64 = f64::NAN;

fn tensor(shape: &[usize], entries: &[f64]) -> Tensor {
    Tensor::from_vec(&host(), shape, entries).unwrap()
}

/// Zeros and ones.
fn bits(shape: &[usize], seed: u64) -> Tensor {
    let len = shape.iter().product();
    tensor(shape, &Rng::new(seed).uniform(len, 0.0, 2.0)).unary(Unary::Floor)
}

/// The result of an operation on the tape of some inputs without sample axis.
fn computed(inputs: &[&Tensor], record: impl Fn(&mut Tape, &[Var]) -> Var) -> Vec<f64> {
    let mut tape = Tape::new(&host());
    let vars: Vec<Var> = inputs.iter().map(|&x| tape.constant(x.clone())).collect();
    let y = record(&mut tape, &vars);
    tape.value(y).to_vec().unwrap()
}

#[test]
fn comparisons_and_logic_are_those_of_numbers() {
    let numbers = [-INFINITY, -1.5, -0.0, 0.0, 1.0, 2.0, INFINITY, NAN];
    let (a, b) = (tensor(&[8, 1], &numbers), tensor(&[1, 8], &numbers));
    let table = |holds: fn(f64, f64) -> bool| -> Vec<f64> {
        numbers.iter().flat_map(|&a| numbers.map(|b| f64::from(u8::from(holds(a, b))))).collect()
    };
    type Holds = fn(f64, f64) -> bool;
    let comparisons: [(Comparison, Holds); 6] = [
        (Comparison::Less, |a, b| a < b),
        (Comparison::LessEqual, |a, b| a <= b),
        (Comparison::Greater, |a, b| a > b),
        (Comparison::GreaterEqual, |a, b| a >= b),
        (Comparison::Equal, |a, b| a == b),
        (Comparison::NotEqual, |a, b| a != b),
    ];
    for (comparison, holds) in comparisons {
        let got = computed(&[&a, &b], |tape, x| tape.compare(comparison, x[0], x[1]));
        assert_eq!(got, table(holds), "{comparison:?}");
    }
    let got = computed(&[&a, &b], |tape, x| tape.logical_and(x[0], x[1]));
    assert_eq!(got, table(|a, b| a != 0.0 && b != 0.0), "and");
    let got = computed(&[&a, &b], |tape, x| tape.logical_or(x[0], x[1]));
    assert_eq!(got, table(|a, b| a != 0.0 || b != 0.0), "or");
    let got = computed(&[&a, &b], |tape, x| tape.logical_xor(x[0], x[1]));
    assert_eq!(got, table(|a, b| (a != 0.0) != (b != 0.0)), "xor");
    let got = computed(&[&a], |tape, x| tape.logical_not(x[0]));
    assert_eq!(got, numbers.map(|a| f64::from(u8::from(a == 0.0))));
}

#[test]
fn what_is_not_chosen_reaches_nothing() {
    let mask = tensor(&[4], &[1.0, 0.0, -2.0, -0.0]);
    let a = tensor(&[4], &[1.0, NAN, -0.0, INFINITY]);
    let b = tensor(&[4], &[NAN, 2.0, INFINITY, 3.0]);
    let op = Where;
    let out = op.forward(&[&mask, &a, &b]);
    let bits = |x: Vec<f64>| x.into_iter().map(f64::to_bits).collect::<Vec<_>>();
    assert_eq!(bits(out.to_vec().unwrap()), bits(vec![1.0, 2.0, -0.0, 3.0]));
    let io = Io { args: &[&mask, &a, &b], out: &out, batched: &[false; 3] };
    let mat = tensor(&[1, 4], &[5.0, 6.0, 7.0, 8.0]);
    let pulled = |wrt| op.jac_t(io, wrt, &mat, Batch::Sum).to_vec().unwrap();
    assert_eq!(pulled(1), [5.0, 0.0, 7.0, 0.0]);
    assert_eq!(pulled(2), [0.0, 6.0, 0.0, 8.0]);
    // Tangents of what is not chosen may be anything, too.
    let pushed =
        |wrt, tangent: &Tensor| op.jac(io, wrt, &tangent.reshape([1, 4])).to_vec().unwrap();
    assert_eq!(pushed(1, &a), [1.0, 0.0, 0.0, 0.0]);
    assert_eq!(pushed(2, &b), [0.0, 2.0, 0.0, 3.0]);
}

#[test]
fn extreme_entries_share_evenly() {
    let x = tensor(&[2, 4], &[1.0, 3.0, 3.0, -2.0, 0.0, 0.0, 0.0, 0.0]);
    for (least, value, share) in [
        (false, [3.0, 0.0], [0.0, 0.5, 0.5, 0.0, 0.25, 0.25, 0.25, 0.25]),
        (true, [-2.0, 0.0], [0.0, 0.0, 0.0, 1.0, 0.25, 0.25, 0.25, 0.25]),
    ] {
        let op = Extremum { axis: 1, least };
        let out = op.forward(&[&x]);
        assert_eq!(out.to_vec().unwrap(), value);
        let io = Io { args: &[&x], out: &out, batched: &[true] };
        let pulled = op.jac_t(io, 0, &Tensor::full(&host(), [1, 2], 1.0), Batch::Sum);
        assert_eq!(pulled.to_vec().unwrap(), share);
    }
    let op = Extremum { axis: 0, least: false };
    assert!(op.forward(&[&tensor(&[3], &[1.0, NAN, 2.0])]).to_vec().unwrap()[0].is_nan());
}

#[test]
fn positions_are_the_first_of_equal_entries() {
    let x = tensor(&[2, 3, 2], &[1.0, 5.0, 4.0, 5.0, 4.0, 0.0, 7.0, NAN, 7.0, 1.0, 7.0, NAN]);
    for (axis, most, least) in [
        (1, vec![1.0, 0.0, 0.0, 0.0], vec![0.0, 2.0, 0.0, 0.0]),
        (2, vec![1.0, 1.0, 0.0, 1.0, 0.0, 1.0], vec![0.0, 0.0, 1.0, 1.0, 1.0, 1.0]),
    ] {
        let at = |least| ArgMax { axis, least }.forward(&[&x]).to_vec().unwrap();
        assert_eq!(at(false), most, "argmax along {axis}");
        assert_eq!(at(true), least, "argmin along {axis}");
    }
}

#[test]
fn top_places_are_in_order() {
    // As torch.topk has them: a NaN is the largest, of equal entries the first is first.
    let x = tensor(&[2, 4, 1], &[1.0, 4.0, -1.0, 4.0, 2.0, NAN, 3.0, -5.0]);
    for (least, count, places) in [
        (false, 3, vec![1.0, 3.0, 0.0, 1.0, 2.0, 0.0]),
        (true, 4, vec![2.0, 0.0, 1.0, 3.0, 3.0, 0.0, 2.0, 1.0]),
    ] {
        let found = TopPlaces { axis: 1, count, least }.forward(&[&x]);
        assert_eq!(found.shape().to_vec(), [2, count, 1]);
        assert_eq!(found.to_vec().unwrap(), places);
    }
    let columns = tensor(&[1, 3, 2], &[1.0, 9.0, 3.0, 8.0, 2.0, 7.0]);
    let found = TopPlaces { axis: 1, count: 2, least: false }.forward(&[&columns]);
    assert_eq!(found.to_vec().unwrap(), [1.0, 0.0, 2.0, 1.0]);
}

#[test]
fn products_have_derivatives_at_zeros() {
    // A polynomial: finite differences are as good at zeros as anywhere.
    for zeros in 0..4 {
        for len in [1, 2, 3, 5, 8] {
            let mut entries = random(&[2, len, 2], 5).to_vec().unwrap();
            // Samples and columns differ in what is zero.
            for zero in 0..zeros.min(len) {
                entries[(2 * zero) % (4 * len)] = 0.0;
                entries[2 * len + (2 * zero + 1) % (2 * len)] = 0.0;
            }
            let x = tensor(&[2, len, 2], &entries);
            assert_right(&Prod { axis: 1 }, std::slice::from_ref(&x), &[true]);
            assert_right(&Prod { axis: 1 }, &[x], &[false]);
        }
    }
    // What overflows on the way of a quotient of products: 1e200 · 1e200 · 1e-300.
    let x = tensor(&[3], &[1e-300, 1e200, 1e-100]);
    let (op, out) = (Prod { axis: 0 }, tensor(&[], &[1e-200]));
    let io = Io { args: &[&x], out: &out, batched: &[false] };
    let pulled = op.jac_t(io, 0, &tensor(&[1], &[1.0]), Batch::Sum).to_vec().unwrap();
    for (got, expected) in pulled.iter().zip([1e100, 0.0, 1e-100]) {
        assert!((got - expected).abs() <= 4.0 * f64::EPSILON * expected, "{got} {expected}");
    }
}

#[test]
fn log_sum_exp_takes_any_numbers() {
    let x = tensor(
        &[5, 2],
        &[1e4, 1e4, -1e4, -1e4, -INFINITY, -INFINITY, -INFINITY, 3.0, INFINITY, 0.0],
    );
    let op = LogSumExp { axis: 1 };
    let out = op.forward(&[&x]);
    let log2 = 2f64.ln();
    assert_eq!(out.to_vec().unwrap(), [1e4 + log2, -1e4 + log2, -INFINITY, 3.0, INFINITY]);
    let x = x.slice(0, 4);
    let io = Io { args: &[&x], out: &out.slice(0, 4), batched: &[true] };
    let pulled = op.jac_t(io, 0, &Tensor::full(&host(), [1, 4], 1.0), Batch::Sum);
    assert_close(&pulled.to_vec().unwrap(), &[0.5, 0.5, 0.5, 0.5, 0.0, 0.0, 0.0, 1.0], 1e-11);
}

#[test]
fn gated_units_and_learned_slopes_are_their_definitions() {
    let mut tape = Tape::new(&host());
    let entries = [1.0, -1.0, 0.0, 2.0, -2.0, 0.5, -0.5, 3.0];
    let x = tape.input(tensor(&[1, 4, 2], &entries));
    let slope = tape.param(tensor(&[4], &[0.1, 0.2, 0.3, 0.4]));
    let one = tape.param(tensor(&[1], &[0.25]));
    let value = |tape: &Tape, y: Var| tape.value(y).to_vec().unwrap();
    let (per_channel, single) = (tape.p_relu(x, slope), tape.p_relu(x, one));
    assert_eq!(value(&tape, per_channel), [1.0, -0.1, 0.0, 2.0, -0.6, 0.5, -0.2, 3.0]);
    assert_eq!(value(&tape, single), [1.0, -0.25, 0.0, 2.0, -0.5, 0.5, -0.125, 3.0]);
    let sigmoid = |x: f64| 1.0 / (1.0 + (-x).exp());
    let (glu, swiglu) = (tape.glu(x, 1), tape.swiglu(x, 1));
    let (a, b) = entries.split_at(4);
    let expected: Vec<f64> = a.iter().zip(b).map(|(a, b)| a * sigmoid(*b)).collect();
    assert_close(&value(&tape, glu), &expected, 1e-15);
    let expected: Vec<f64> = a.iter().zip(b).map(|(a, b)| a * sigmoid(*a) * b).collect();
    assert_close(&value(&tape, swiglu), &expected, 1e-15);
}

#[test]
fn the_kink_of_a_learned_slope_is_as_in_pytorch() {
    // At 0 the slope counts, as for `torch.nn.functional.prelu`.
    let mut tape = Tape::new(&host());
    let start = tape.param(tensor(&[2], &[0.0, 1.0]));
    let slope = tape.param(tensor(&[1], &[0.25]));
    let x = tape.input(Tensor::zeros(&host(), [1, 2]));
    let x = tape.add(x, start);
    let y = tape.p_relu(x, slope);
    let graph = Graph::new(tape, y).unwrap();
    let gradient = graph.backward(&Mse::sum(tensor(&[1, 2], &[-0.5, 0.5]))).unwrap();
    assert_eq!(gradient[graph.param_id(start).unwrap()].to_vec().unwrap(), [0.25, 1.0]);
    assert_eq!(gradient[graph.param_id(slope).unwrap()].to_vec().unwrap(), [0.0]);
}

/// `w x` where `v x > 0` or `x > u`, else `−w x`; v is used beside the mask, too, if asked.
fn masked(also: bool) -> (Graph, [Var; 3]) {
    let mut tape = Tape::new(&host());
    let x = tape.input(random(&[3, 2], 1));
    let [w, v] = [2, 3].map(|seed| tape.param(random(&[2, 2], seed)));
    let u = tape.param(random(&[2], 4));
    let zero = tape.constant(Tensor::zeros(&host(), []));
    let (value, gate) = (tape.linear(x, w, None), tape.linear(x, v, None));
    let (first, second) =
        (tape.compare(Comparison::Greater, gate, zero), tape.compare(Comparison::Less, u, x));
    let mask = tape.logical_or(first, second);
    let negated = tape.scale(value, -1.0);
    let mut y = tape.select(mask, value, negated);
    if also {
        // What is differentiated elsewhere is no mask's business either.
        let signed = tape.map(Unary::Tanh, gate);
        y = tape.select(signed, y, signed);
    }
    (Graph::new(tape, y).unwrap(), [w, v, u])
}

#[test]
fn what_only_decides_is_a_constant() {
    let (graph, [w, v, u]) = masked(false);
    assert_eq!(graph.params(), [graph.param_id(w).unwrap()]);
    assert!(graph.param_id(v).is_err() && graph.param_id(u).is_err());
    let loss = Mse::sum(random(&[3, 2], 5));
    let gradient = graph.backward(&loss).unwrap();
    assert_eq!(gradient.len(), 1);
    // Where a value matters in other ways, those count; `tanh` is never 0 here, so that the second
    // choice is all of the first.
    let (graph, [w, v, u]) = masked(true);
    assert!(graph.param_id(v).is_ok() && graph.param_id(u).is_err());
    let both = graph.backward(&loss).unwrap();
    let of = |param: Var| both[graph.param_id(param).unwrap()].to_vec().unwrap();
    assert_eq!(of(w), gradient.values().next().unwrap().to_vec().unwrap());
    assert_eq!(of(v), [0.0; 4]);
}

proptest! {
    #![proptest_config(config(24))]

    #[test]
    fn choices(
        n in 1usize..4,
        shape in prop::collection::vec(1usize..4, 1..3),
        repeated in prop::collection::vec(any::<bool>(), 3),
        batched in prop::collection::vec(any::<bool>(), 3),
        seed in 0u64..1000,
    ) {
        // Any of the three may lack the sample axis or repeat along the first of the others.
        let args: Vec<Tensor> = (0..3).map(|at| {
            let mut own = shape.clone();
            if repeated[at] {
                own[0] = 1;
            }
            let own = if batched[at] { [&[n], &own[..]].concat() } else { own };
            let seed = seed + at as u64;
            if at == 0 { bits(&own, seed) } else { random(&own, seed) }
        }).collect();
        let checks = check_derivatives(&Where, &args, &batched, seed).unwrap();
        // A mask's zeros are exact, which a finite difference can't see.
        let wrong: Vec<_> = checks.iter().filter(|c| c.wrt > 0 && !c.passed()).collect();
        prop_assert!(wrong.is_empty(), "{wrong:?}");
        let masks: Vec<_> = checks.iter().filter(|c| c.wrt == 0 && !c.passed()).collect();
        prop_assert!(masks.iter().all(|c| c.what.contains("finite differences")), "{masks:?}");
    }

    #[test]
    fn truth_values(n in 1usize..4, len in 1usize..5, seed in 0u64..1000) {
        let (x, y) = (random(&[n, len], seed), random(&[len], seed + 1));
        for predicate in [
            Predicate::Compare(Comparison::Less),
            Predicate::Compare(Comparison::GreaterEqual),
            Predicate::And,
            Predicate::Or,
            Predicate::Xor,
        ] {
            assert_right(&predicate, &[x.clone(), y.clone()], &[true, false]);
            assert_right(&predicate, &[y.clone(), y.scale(2.0)], &[false, false]);
        }
    }

    #[test]
    fn of_an_axis(
        n in 1usize..4,
        shape in prop::collection::vec(1usize..6, 1..4),
        pick in 0usize..3,
        batched in any::<bool>(),
        seed in 0u64..1000,
    ) {
        let shape = if batched { [&[n], &shape[..]].concat() } else { shape };
        let first = usize::from(batched);
        let axis = first + pick % (shape.len() - first);
        let x = distinct(&shape, seed);
        for least in [false, true] {
            assert_right(&Extremum { axis, least }, std::slice::from_ref(&x), &[batched]);
            assert_right(&ArgMax { axis, least }, std::slice::from_ref(&x), &[batched]);
        }
        assert_right(&LogSumExp { axis }, std::slice::from_ref(&x), &[batched]);
        let x = random(&shape, seed);
        assert_right(&Prod { axis }, &[x], &[batched]);
    }
}

//! Matrix products and Einstein sums on the tape against their definitions, entry by entry.

use std::collections::BTreeMap;

use proptest::prelude::*;
use vivit::autodiff::{Tape, Var};
use vivit::tensor::{Rng, Tensor};
use vivit_tests::zoo::host;

use crate::nets::config;

const SAMPLES: usize = 2;

/// The sum that an equation of plain labels describes, of one sample's operands.
fn by_definition(
    (operands, result): (&[&str], &str),
    lens: &BTreeMap<char, usize>,
    values: &[Vec<f64>],
) -> Vec<f64> {
    let labels: Vec<char> = lens.keys().copied().collect();
    let place = |term: &str, at: &BTreeMap<char, usize>| {
        term.chars().fold(0, |place, label| place * lens[&label] + at[&label])
    };
    let size = |term: &str| term.chars().map(|label| lens[&label]).product::<usize>();
    let mut sums = vec![0.0; size(result)];
    for mut number in 0..lens.values().product() {
        let mut at = BTreeMap::new();
        for &label in &labels {
            at.insert(label, number % lens[&label]);
            number /= lens[&label];
        }
        let factors = operands.iter().zip(values).map(|(term, values)| values[place(term, &at)]);
        sums[place(result, &at)] += factors.product::<f64>();
    }
    sums
}

/// Records operands of the given shapes, batched or not; the values of every sample.
fn record(
    tape: &mut Tape,
    shapes: &[Vec<usize>],
    batched: &[bool],
    seed: u64,
) -> (Vec<Var>, Vec<Vec<Vec<f64>>>) {
    let mut samples = vec![Vec::new(); SAMPLES];
    let mut vars = Vec::new();
    for (at, (own, &batched)) in shapes.iter().zip(batched).enumerate() {
        let len: usize = own.iter().product();
        let repeats = if batched { SAMPLES } else { 1 };
        let numbers = Rng::new(seed + at as u64).normal(len * repeats);
        for (n, sample) in samples.iter_mut().enumerate() {
            sample.push(numbers[n % repeats * len..][..len].to_vec());
        }
        let shape = if batched { [&[SAMPLES], &own[..]].concat() } else { own.clone() };
        let value = Tensor::from_vec(&host(), &shape, numbers).unwrap();
        vars.push(if batched { tape.input(value) } else { tape.param(value) });
    }
    (vars, samples)
}

#[track_caller]
fn assert_same(what: &str, got: &[f64], expected: &[f64]) {
    assert_eq!(got.len(), expected.len(), "{what}");
    for (got, expected) in got.iter().zip(expected) {
        assert!((got - expected).abs() <= 1e-12 * (1.0 + expected.abs()), "{what}");
    }
}

#[test]
fn equations_mean_what_they_say() {
    let lens = BTreeMap::from([('a', 2), ('b', 3), ('c', 4), ('d', 2), ('e', 3)]);
    let rows: [(&str, &[&str], &str); 16] = [
        ("ab->ba", &["ab"], "ba"),
        ("abc->b", &["abc"], "b"),
        ("abc->", &["abc"], ""),
        ("aa->a", &["aa"], "a"),
        ("aba->b", &["aba"], "b"),
        ("ab,bc->ac", &["ab", "bc"], "ac"),
        ("ab,cb->ca", &["ab", "cb"], "ca"),
        ("ba,bc", &["ba", "bc"], "ac"),
        ("abc,acd->abd", &["abc", "acd"], "abd"),
        ("abc,dbc->adbc", &["abc", "dbc"], "adbc"),
        ("ab,cd->acbd", &["ab", "cd"], "acbd"),
        ("ab,a->", &["ab", "a"], ""),
        ("abc,e->eb", &["abc", "e"], "eb"),
        ("ab,bc,cd->ad", &["ab", "bc", "cd"], "ad"),
        ("ab, bc, abe -> ce", &["ab", "bc", "abe"], "ce"),
        ("a,a,a->a", &["a", "a", "a"], "a"),
    ];
    for (equation, operands, result) in rows {
        let used: BTreeMap<char, usize> =
            operands.iter().flat_map(|term| term.chars()).map(|c| (c, lens[&c])).collect();
        let shapes: Vec<Vec<usize>> =
            operands.iter().map(|term| term.chars().map(|c| lens[&c]).collect()).collect();
        for mask in 0..1 << operands.len() {
            let batched: Vec<bool> = (0..operands.len()).map(|at| mask >> at & 1 == 1).collect();
            let mut tape = Tape::new(&host());
            let (vars, samples) = record(&mut tape, &shapes, &batched, 7);
            let y = tape.einsum(equation, &vars);
            let repeats = if mask > 0 { SAMPLES } else { 1 };
            assert_eq!(tape.is_batched(y), mask > 0);
            let expected: Vec<f64> = samples[..repeats]
                .iter()
                .flat_map(|values| by_definition((operands, result), &used, values))
                .collect();
            let what = format!("{equation} with sample axes {batched:?}");
            assert_same(&what, &tape.value(y).to_vec().unwrap(), &expected);
            let own: Vec<usize> = result.chars().map(|c| lens[&c]).collect();
            assert_eq!(tape.value(y).shape()[usize::from(mask > 0)..], own, "{what}");
        }
    }
}

/// An ellipsis is what writing its labels out is; where an axis is one long, it is left out.
#[test]
fn ellipses_align_at_their_ends() {
    let value = |shape: &[usize], seed| {
        let len = shape.iter().product();
        Tensor::from_vec(&host(), shape, Rng::new(seed).normal(len)).unwrap()
    };
    for (with, shapes, plain, plain_shapes) in [
        (
            "...ij,...jk->...ik",
            [&[2, 3, 4, 2][..], &[3, 2, 5]],
            "abij,bjk->abik",
            [&[2, 3, 4, 2][..], &[3, 2, 5]],
        ),
        (
            "...ij,...jk->...ik",
            [&[2, 1, 4, 2], &[3, 2, 5]],
            "aij,bjk->abik",
            [&[2, 4, 2], &[3, 2, 5]],
        ),
        ("i...,...", [&[4, 3], &[3]], "ib,b->bi", [&[4, 3], &[3]]),
        ("...,j->j...", [&[2, 3], &[2]], "ab,j->jab", [&[2, 3], &[2]]),
    ] {
        let run = |equation: &str, shapes: [&[usize]; 2]| {
            let mut tape = Tape::new(&host());
            let [a, b] =
                [(shapes[0], 1), (shapes[1], 2)].map(|(s, seed)| tape.param(value(s, seed)));
            let y = tape.einsum(equation, &[a, b]);
            tape.value(y).clone()
        };
        let (got, expected) = (run(with, shapes), run(plain, plain_shapes));
        assert_eq!(got.shape(), expected.shape(), "{with}");
        assert_same(with, &got.to_vec().unwrap(), &expected.to_vec().unwrap());
    }
}

#[test]
fn wrong_equations_are_refused() {
    for (equation, shapes) in [
        ("ab,bc->ad", vec![vec![2, 3], vec![3, 2]]),
        ("ab,bc->aa", vec![vec![2, 3], vec![3, 2]]),
        ("ab->a", vec![vec![2, 3], vec![3, 2]]),
        ("abc->a", vec![vec![2, 3]]),
        ("ab,bc->ac", vec![vec![2, 3], vec![4, 2]]),
    ] {
        let refused = std::panic::catch_unwind(|| {
            let mut tape = Tape::new(&host());
            let batched = vec![false; shapes.len()];
            let (vars, _) = record(&mut tape, &shapes, &batched, 1);
            tape.einsum(equation, &vars)
        });
        assert!(refused.is_err(), "{equation} of {shapes:?}");
    }
}

proptest! {
    #![proptest_config(config(64))]

    /// `numpy.matmul`: leading axes of length one and missing ones repeat.
    #[test]
    fn matrix_products(
        lead in prop::collection::vec(1usize..4, 0..3),
        ones in prop::collection::vec(any::<(bool, bool)>(), 3),
        skip in 0usize..4,
        left in any::<bool>(),
        [i, j, k] in [1usize..4, 1usize..4, 1usize..4],
        batched in any::<[bool; 2]>(),
        transposed in any::<bool>(),
        seed in 0u64..1000,
    ) {
        let side = |pick: fn(&(bool, bool)) -> bool, skips: bool| -> Vec<usize> {
            let axes = lead.iter().zip(&ones).skip(if skips { skip.min(lead.len()) } else { 0 });
            axes.map(|(&len, ones)| if pick(ones) { 1 } else { len }).collect()
        };
        let (lead_a, lead_b) = (side(|x| x.0, left), side(|x| x.1, !left));
        let second = if transposed { [j, k] } else { [k, j] };
        let shapes = vec![[&lead_a[..], &[i, k]].concat(), [&lead_b[..], &second].concat()];
        let mut tape = Tape::new(&host());
        let (vars, samples) = record(&mut tape, &shapes, &batched, seed);
        let y = if transposed {
            tape.matmul_transposed(vars[0], vars[1])
        } else {
            tape.matmul(vars[0], vars[1])
        };
        let own = &tape.value(y).shape()[usize::from(batched.contains(&true))..];
        let front = own[..own.len() - 2].to_vec();
        let longest = lead_a.len().max(lead_b.len());
        prop_assert_eq!(front.len(), longest);
        // Where the leading index of the result lies in a factor.
        let item = |of: &[usize], mut at: usize| {
            let (mut place, mut step) = (0, 1);
            for (axis, &len) in front.iter().enumerate().rev() {
                let here = at % len;
                at /= len;
                if let Some(axis) = (axis + of.len()).checked_sub(longest) {
                    place += if of[axis] == 1 { 0 } else { here * step };
                    step *= of[axis];
                }
            }
            place
        };
        let items: usize = front.iter().product();
        let repeats = if batched.contains(&true) { SAMPLES } else { 1 };
        let mut expected = Vec::new();
        for values in &samples[..repeats] {
            for at in 0..items {
                let (a, b) = (item(&lead_a, at) * i * k, item(&lead_b, at) * k * j);
                for (row, col) in (0..i).flat_map(|row| (0..j).map(move |col| (row, col))) {
                    let right = |t: usize| if transposed { col * k + t } else { t * j + col };
                    let term = |t: usize| values[0][a + row * k + t] * values[1][b + right(t)];
                    expected.push((0..k).map(term).sum::<f64>());
                }
            }
        }
        assert_same("matrix product", &tape.value(y).to_vec().unwrap(), &expected);
    }
}

#[test]
fn vectors_are_rows_on_the_left_and_columns_on_the_right() {
    let mut tape = Tape::new(&host());
    let row = |tape: &mut Tape, shape: &[usize]| {
        let numbers = (1..=shape.iter().product()).map(|x| x as f64).collect::<Vec<_>>();
        tape.param(Tensor::from_vec(&host(), shape, numbers).unwrap())
    };
    let (v, m) = (row(&mut tape, &[2]), row(&mut tape, &[2, 2]));
    let products = [tape.matmul(v, v), tape.matmul(v, m), tape.matmul(m, v)];
    let shapes = products.map(|y| tape.value(y).shape().to_vec());
    assert_eq!(shapes, [vec![], vec![2], vec![2]]);
    assert_eq!(tape.value(products[0]).to_vec().unwrap(), [5.0]);
    assert_eq!(tape.value(products[1]).to_vec().unwrap(), [7.0, 10.0]);
    assert_eq!(tape.value(products[2]).to_vec().unwrap(), [5.0, 11.0]);
    let turned = tape.matmul_transposed(m, v);
    assert_eq!(tape.value(turned).to_vec().unwrap(), [5.0, 11.0]);
}

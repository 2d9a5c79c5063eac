//! A graph model finds out by running the graph as it stands whether the graph mixes samples.

use vivit::autodiff::{InputSpec, OutputSpec};
use vivit::nn::{Argument, GraphModel, GraphParts, Literal, NamedArray, Node};
use vivit::tensor::{Device, Rng, Tensor};

/// `softsign(x Wᵀ)` and what `last` makes of it, on three samples.
fn compared(last: Vec<Node>) -> Literal {
    let cpu = Device::cpu_f64();
    let mut nodes = vec![Node::new("linear", &["x", "w"], "h"), Node::new("softsign", &["h"], "s")];
    nodes.extend(last);
    let parts = GraphParts {
        inputs: vec![InputSpec::new("x")],
        outputs: vec![OutputSpec::new("y")],
        params: vec![NamedArray::new("w", &[2, 3], Rng::new(1).normal(6))],
        nodes,
        ..GraphParts::default()
    };
    let x = Tensor::from_vec(&cpu, [3, 3], Rng::new(2).normal(9)).unwrap();
    GraphModel::new(&cpu, parts).unwrap().compare_literally(&x).unwrap()
}

fn difference(literal: Literal) -> f64 {
    match literal {
        Literal::Difference(difference) => difference,
        Literal::NotPossible(why) => panic!("{why}"),
    }
}

#[test]
fn samples_apart_are_the_same() {
    assert!(difference(compared(vec![Node::new("tanh", &["s"], "y")])) < 1e-14);
    // An axis of length one that moves about is harmless.
    let turned = vec![
        Node::new("transpose", &["s"], "t"),
        Node::new("exp", &["t"], "e"),
        Node::new("transpose", &["e"], "y"),
    ];
    assert!(difference(compared(turned)) < 1e-14);
}

#[test]
fn mixed_samples_are_found() {
    let mean = vec![
        Node::new("mean", &["s"], "m").with("axes", vec![0]),
        Node::new("sub", &["s", "m"], "d"),
        Node::new("add", &["d", "s"], "y"),
    ];
    assert!(difference(compared(mean)) > 0.01);
    let softmax = vec![Node::new("softmax", &["s"], "y").with("axis", 0)];
    assert!(difference(compared(softmax)) > 0.01);
    // (s − m)/(s − m) of one sample is no number; of several it is.
    let broken = vec![
        Node::new("mean", &["s"], "m").with("axes", vec![0]),
        Node::new("sub", &["s", "m"], "d"),
        Node::new("div", &["d", "d"], "y"),
    ];
    assert_eq!(difference(compared(broken)), f64::INFINITY);
    let sums =
        vec![Node::new("cumsum", &[], "y").taking(vec![Some("s".into()), Some(vec![0].into())])];
    assert!(difference(compared(sums)) > 0.01);
}

#[test]
fn a_graph_for_one_sample_alone_says_so() {
    let row = Argument::Integers(vec![1, 2]);
    let fixed = vec![Node::new("reshape", &[], "y").taking(vec![Some("s".into()), Some(row)])];
    match compared(fixed) {
        Literal::NotPossible(why) => assert!(why.contains("reshape"), "{why}"),
        Literal::Difference(difference) => panic!("it ran on three samples: {difference}"),
    }
}

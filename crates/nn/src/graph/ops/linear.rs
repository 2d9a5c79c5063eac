//! Products with matrices.

use vivit_autodiff::{InputKind, Tape};
use vivit_tensor::Unary;

use crate::graph::call::{Call, Outcome, Outcome1};
use crate::graph::fault::{Fault, ensure, fault};
use crate::graph::value::{Array, Place};

fn one(array: Array) -> Outcome {
    Ok(vec![array.into()])
}

impl Call<'_> {
    /// `a · b` as `numpy.matmul` has it.
    pub(super) fn product(&mut self, a: Array, b: Array) -> Outcome1 {
        let (ranks, turned) = ([a, b].map(|array| self.recording.rank(array)), b.turned);
        ensure!(
            ranks.iter().all(|&rank| rank > 0),
            "a matrix product needs at least one axis on both sides"
        );
        let mut both = [a, Array { turned: false, ..b }];
        let place = self.recording.together(&mut both)?;
        let [mut a, mut b] = both;
        // A vector is a row on the left, a column on the right.
        if ranks[0] == 1 {
            let shape = [&[1], &self.shape(a)[..]].concat();
            a = self.recording.reshape(a, &shape);
        }
        if ranks[1] == 1 {
            let shape = [&self.shape(b)[..], &[1]].concat();
            b = self.recording.reshape(b, &shape);
        }
        let (left, mut right) = (self.shape(a), self.shape(b));
        if turned {
            right.reverse();
        }
        let (rows, columns) = (left[left.len() - 2], right[right.len() - 1]);
        let inner = [left[left.len() - 1], right[right.len() - 2]];
        ensure!(
            inner[0] == inner[1],
            "shapes {left:?} and {right:?} do not fit: the last axis of the first and the last but \
             one of the second must be equal"
        );
        let fronts = [left[..left.len() - 2].to_vec(), right[..right.len() - 2].to_vec()];
        let mut shape = crate::graph::recording::broadcast(&fronts)?;
        shape.extend([rows, columns]);
        self.recording.check_shape(&shape)?;
        ensure!(
            !left.contains(&0) && !right.contains(&0),
            "a product of arrays without entries, {left:?} and {right:?}"
        );
        let shares_right = !self.recording.is_batched(b) && right.len() == 2;
        let tape = self.recording.tape(place);
        let var = match (turned, shares_right && place == Place::Device) {
            (true, true) => tape.linear(a.var, b.var, None),
            (true, false) => tape.matmul_transposed(a.var, b.var),
            (false, _) => tape.matmul(a.var, b.var),
        };
        let result = Array { var, place, kind: InputKind::Float, turned: false };
        if ranks[0] == 1 {
            shape.remove(shape.len() - 2);
        }
        if ranks[1] == 1 {
            shape.pop();
        }
        Ok(self.recording.reshape(result, &shape))
    }

    /// `x · wᵀ + b` along the last axis.
    fn affine(&mut self, x: Array, weight: Array, bias: Option<Array>) -> Outcome1 {
        let (input, matrix) = (self.shape(x), self.shape(weight));
        let [outputs, inputs] = matrix[..] else {
            fault!("a linear layer's weight needs two axes, got {matrix:?}")
        };
        ensure!(
            input.last() == Some(&inputs),
            "shape {input:?} does not fit a linear layer's weight {matrix:?}: the last axes differ"
        );
        let plain = bias
            .is_none_or(|bias| !self.recording.is_batched(bias) && self.shape(bias) == [outputs]);
        if self.recording.is_batched(weight) || !plain {
            let turned = self.recording.permute(weight, &[1, 0]);
            let product = self.product(x, turned)?;
            return match bias {
                Some(bias) => self.pair(product, bias, Tape::add),
                None => Ok(product),
            };
        }
        ensure!(!input.contains(&0), "an array of shape {input:?} has no entries");
        let mut all: Vec<Array> = [x, weight].into_iter().chain(bias).collect();
        let place = self.recording.together(&mut all)?;
        let bias = all.get(2).map(|bias| bias.var);
        let var = self.recording.tape(place).linear(all[0].var, all[1].var, bias);
        Ok(Array { var, place, kind: InputKind::Float, turned: false })
    }
}

pub(super) fn matmul(call: &mut Call<'_>) -> Outcome {
    let (Some(a), Some(b)) = (call.raw(0)?, call.raw(1)?) else {
        fault!("two arguments are needed")
    };
    let a = call.recording.settled(a);
    one(call.product(a, b)?)
}

/// `x · wᵀ + b`: x `[*, I]`, w `[O, I]`, b `[O]`, to `[*, O]`.
pub(super) fn linear(call: &mut Call<'_>) -> Outcome {
    let (x, weight, bias) = (call.array(0)?, call.array(1)?, call.optional(2)?);
    one(call.affine(x, weight, bias)?)
}

/// `xᵀ W_o z + b_o`: x `[*, I]`, z `[*, J]`, w `[O, I, J]`, b `[O]`, to `[*, O]`.
pub(super) fn bilinear(call: &mut Call<'_>) -> Outcome {
    let mut both = [call.array(0)?, call.array(1)?];
    let (weight, bias) = (call.array(2)?, call.optional(3)?);
    let [x, z] = both.map(|array| call.shape(array));
    let weights = call.shape(weight);
    let (Some((&i, front)), Some((&j, other))) = (x.split_last(), z.split_last()) else {
        fault!("a bilinear map needs at least one axis of both values")
    };
    ensure!(
        front == other && weights.len() == 3 && weights[1..] == [i, j],
        "{x:?}, {z:?} and weight {weights:?} do not fit: [*, I], [*, J] and [O, I, J]"
    );
    let empty = [&x, &z, &weights].iter().any(|shape| shape.contains(&0));
    ensure!(!empty, "there is nothing in one of {x:?}, {z:?} and weight {weights:?}");
    for array in [Some(weight), bias].into_iter().flatten() {
        ensure!(!call.recording.is_batched(array), "weight and bias must not depend on the input");
    }
    if let Some(bias) = bias {
        let (got, outputs) = (call.shape(bias), weights[0]);
        ensure!(got == [outputs], "the bias must have shape [{outputs}], got {got:?}");
    }
    call.recording.check_shape(&[&x[..], &[j]].concat())?;
    for array in both.iter_mut() {
        *array = call.recording.per_sample(*array)?;
    }
    let weight = call.recording.upload(weight)?.var;
    let bias = bias.map(|bias| call.recording.upload(bias)).transpose()?;
    let [x, z] = both;
    let var = call.tape(x).bilinear(x.var, z.var, weight, bias.map(|bias| bias.var));
    one(call.float_of(var, x))
}

/// `alpha · a · b + beta · c` of matrices, each of the first two possibly transposed.
pub(super) fn gemm(call: &mut Call<'_>) -> Outcome {
    let (Some(a), Some(b)) = (call.raw(0)?, call.raw(1)?) else {
        fault!("two arguments are needed")
    };
    let c = call.optional(2)?;
    let (alpha, beta) = (call.float("alpha", 1.0)?, call.float("beta", 1.0)?);
    let (turn_a, turn_b) = (call.flag("transposed_a", false)?, call.flag("transposed_b", false)?);
    for matrix in [a, b] {
        let shape = call.shape(matrix);
        ensure!(shape.len() == 2, "matrices have two axes, got {shape:?}");
    }
    let a = call.recording.settled(a);
    let a = if turn_a { call.recording.permute(a, &[1, 0]) } else { a };
    // What is stored as `[O, I]` is a linear layer's weight.
    let stored = Array { turned: false, ..b };
    if alpha == 1.0 && beta == 1.0 && turn_b != b.turned && !call.recording.is_batched(b) {
        return one(call.affine(a, stored, c)?);
    }
    let b = match (turn_b, call.recording.is_batched(b) || b.place == Place::Host) {
        (true, true) => call.recording.permute(b, &[1, 0]),
        (turn, _) => Array { turned: b.turned != turn, ..b },
    };
    let mut result = call.product(a, b)?;
    if alpha != 1.0 {
        result = call.map(Unary::Scale(alpha), result);
    }
    if let (Some(c), true) = (c, beta != 0.0) {
        let c = if beta == 1.0 { c } else { call.map(Unary::Scale(beta), c) };
        result = call.pair(result, c, Tape::add)?;
    }
    one(result)
}

/// A sum of products, as `numpy.einsum` writes it.
pub(super) fn einsum(call: &mut Call<'_>) -> Outcome {
    let mut arrays = call.arrays()?;
    let equation = call.text("equation", "")?.to_string();
    let shapes: Vec<Vec<usize>> = arrays.iter().map(|&array| call.shape(array)).collect();
    check_equation(&equation, &shapes)?;
    let place = call.recording.together(&mut arrays)?;
    let vars: Vec<_> = arrays.iter().map(|array| array.var).collect();
    let var = call.recording.tape(place).einsum(&equation, &vars);
    one(Array { var, place, kind: InputKind::Float, turned: false })
}

/// Checks that every operand has as many axes as labels, that labels mean one length, and that the
/// result names known ones.
fn check_equation(equation: &str, shapes: &[Vec<usize>]) -> Result<(), Fault> {
    let text: String = equation.chars().filter(|c| !c.is_whitespace()).collect();
    let (terms, result) = match text.split_once("->") {
        Some((terms, result)) => (terms, Some(result)),
        None => (text.as_str(), None),
    };
    let terms: Vec<&str> = terms.split(',').collect();
    ensure!(
        terms.len() == shapes.len(),
        "equation {equation:?} is of {} arrays, there are {}",
        terms.len(),
        shapes.len()
    );
    let mut lengths: Vec<(char, usize)> = Vec::new();
    for (term, shape) in terms.iter().zip(shapes) {
        let (front, back) = match term.split_once("...") {
            Some((front, back)) => (front, Some(back)),
            None => (*term, None),
        };
        let labels = front.chars().count() + back.map_or(0, |back| back.chars().count());
        let fits = if back.is_some() { labels <= shape.len() } else { labels == shape.len() };
        ensure!(fits, "equation {equation:?}: term {term:?} does not fit shape {shape:?}");
        let tail = back.unwrap_or("");
        let places = front.chars().zip(0..);
        let rest = tail.chars().zip(shape.len() - tail.chars().count()..);
        for (label, axis) in places.chain(rest) {
            ensure!(label.is_alphabetic(), "equation {equation:?}: {label:?} is no label");
            match lengths.iter().find(|(known, _)| *known == label) {
                Some(&(_, len)) => ensure!(
                    len == shape[axis],
                    "equation {equation:?}: label {label} means both {len} and {}",
                    shape[axis]
                ),
                None => lengths.push((label, shape[axis])),
            }
        }
    }
    let result = result.unwrap_or("").replace("...", "");
    for (at, label) in result.chars().enumerate() {
        ensure!(
            lengths.iter().any(|(known, _)| *known == label),
            "equation {equation:?}: no array has label {label:?} of the result"
        );
        ensure!(
            !result.chars().take(at).any(|other| other == label),
            "equation {equation:?}: label {label:?} is twice in the result"
        );
    }
    Ok(())
}

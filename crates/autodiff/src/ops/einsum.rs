//! Einstein's summation convention, by sums, permutations and matrix products.

use std::collections::BTreeMap;

use crate::{Tape, Var};

/// Labels of a value's axes (samples apart).
type Labels = Vec<char>;

/// The label of an ellipsis's axis, counted from its last one.
fn unnamed(from_last: usize) -> char {
    // Private use: no equation can have written it.
    char::from_u32(0xE000 + from_last as u32).expect("shapes have few axes")
}

/// The labels that `term` writes for a value of `rank` axes; `None` if they do not fit.
fn labels(term: &str, rank: usize) -> Option<Labels> {
    let Some((before, after)) = term.split_once("...") else {
        let labels: Labels = term.chars().collect();
        return (labels.len() == rank).then_some(labels);
    };
    let unnamed_axes = rank.checked_sub(before.chars().count() + after.chars().count())?;
    let middle = (0..unnamed_axes).rev().map(unnamed);
    Some(before.chars().chain(middle).chain(after.chars()).collect())
}

/// An equation, with the operands' labels and the result's.
struct Equation {
    operands: Vec<Labels>,
    result: Labels,
}

impl Equation {
    fn parse(equation: &str, ranks: &[usize]) -> Option<Self> {
        let text: String = equation.chars().filter(|c| !c.is_whitespace()).collect();
        let (left, right) = match text.split_once("->") {
            Some((left, right)) => (left, Some(right)),
            None => (text.as_str(), None),
        };
        let terms: Vec<&str> = left.split(',').collect();
        if terms.len() != ranks.len() {
            return None;
        }
        let operands: Option<Vec<Labels>> =
            terms.iter().zip(ranks).map(|(term, &rank)| labels(term, rank)).collect();
        let operands = operands?;
        let all = || operands.iter().flatten().copied();
        let written = |c: &char| c.is_alphabetic();
        let hidden = all().filter(|c| !written(c)).max();
        let ellipsis = hidden.map_or(0, |last| last as usize - unnamed(0) as usize + 1);
        let result = match right {
            Some(right) => {
                let named = right.replace("...", "").chars().count();
                let hidden = if right.contains("...") { ellipsis } else { 0 };
                labels(right, named + hidden)?
            }
            // What is written once, in the order of the alphabet, behind the ellipsis.
            None => {
                let mut once: Labels = all().filter(written).collect();
                once.sort_unstable();
                let times = |c: char| all().filter(|&other| other == c).count();
                once.retain(|&c| times(c) == 1);
                (0..ellipsis).rev().map(unnamed).chain(once).collect()
            }
        };
        let fits = result.iter().all(|c| all().any(|other| other == *c))
            && (1..result.len()).all(|at| !result[..at].contains(&result[at]));
        fits.then_some(Equation { operands, result })
    }
}

/// A value and the labels of its axes.
struct Term {
    value: Var,
    labels: Labels,
}

impl Tape {
    /// Sums of products by Einstein's convention, as `numpy.einsum`: `"ij,jk->ik"`.
    ///
    /// The equation speaks of one sample: the sample axis has no label, and operands with and
    /// without one mix. Labels that the result lacks are summed over; a label that is written twice
    /// in one operand takes its diagonal; `...` stands for axes that align at their ends and repeat
    /// where they are one long. Without `->` the result has the labels that are written once, in
    /// the order of the alphabet. Operands are contracted from left to right, by matrix products.
    ///
    /// ```
    /// use vivit_autodiff::Tape;
    /// use vivit_tensor::{Device, Tensor};
    ///
    /// let cpu = Device::cpu();
    /// let mut tape = Tape::new(&cpu);
    /// let x = tape.input(Tensor::from_vec(&cpu, [1, 2, 2], vec![1.0, 2.0, 3.0, 4.0])?);
    /// let w = tape.param(Tensor::from_vec(&cpu, [2], vec![1.0, 10.0])?);
    /// let y = tape.einsum("ij,j->i", &[x, w]);
    /// assert_eq!(tape.value(y).to_vec()?, [21.0, 43.0]);
    /// let trace = tape.einsum("ii->", &[x]);
    /// assert_eq!(tape.value(trace).to_vec()?, [5.0]);
    /// # Ok::<(), vivit_tensor::Error>(())
    /// ```
    ///
    /// # Panics
    /// If the equation is none, does not fit the operands, or a label's lengths differ.
    #[track_caller]
    pub fn einsum(&mut self, equation: &str, operands: &[Var]) -> Var {
        let ranks: Vec<usize> = operands.iter().map(|&x| self.own_shape(x).rank()).collect();
        let Some(Equation { operands: labels, result }) = Equation::parse(equation, &ranks) else {
            panic!("einsum: \"{equation}\" does not fit operands of {ranks:?} axes")
        };
        let mut terms: Vec<Term> =
            operands.iter().zip(labels).map(|(&value, labels)| Term { value, labels }).collect();
        self.expect_lengths(equation, &terms);
        for term in &mut terms {
            self.take_diagonals(term);
        }
        self.drop_repeated(&mut terms);
        let mut terms = terms.into_iter();
        let mut product = terms.next().expect("an equation has an operand");
        while let Some(next) = terms.next() {
            let later = terms.as_slice().iter().flat_map(|term| &term.labels);
            let needed: Labels = later.chain(&result).copied().collect();
            product = self.contract(product, next, &needed);
        }
        self.sum_others(&mut product, |label| result.contains(&label));
        self.arrange(&product, &result)
    }

    /// Checks that every label stands for axes of one length, or an unnamed one for axes that
    /// repeat.
    #[track_caller]
    fn expect_lengths(&self, equation: &str, terms: &[Term]) {
        let mut lens = BTreeMap::new();
        for term in terms {
            let shape = self.own_shape(term.value);
            for (&label, &len) in term.labels.iter().zip(shape.iter()) {
                let known = lens.entry(label).or_insert(len);
                let repeats = !label.is_alphabetic() && (*known == 1 || len == 1);
                assert!(
                    *known == len || repeats,
                    "einsum: \"{equation}\" has one label for axes of {known} and of {len}"
                );
                *known = len.max(*known);
            }
        }
    }

    /// Drops axes of one entry that another operand's ellipsis has more of.
    fn drop_repeated(&mut self, terms: &mut [Term]) {
        let longer: Labels = terms
            .iter()
            .flat_map(|term| {
                let shape = self.own_shape(term.value);
                let axes: Vec<_> = term.labels.iter().copied().zip(shape.to_vec()).collect();
                axes.into_iter().filter(|&(_, len)| len != 1).map(|(label, _)| label)
            })
            .collect();
        for term in terms {
            let shape = self.own_shape(term.value).to_vec();
            let kept = |at: &usize| shape[*at] != 1 || !longer.contains(&term.labels[*at]);
            let kept: Vec<usize> = (0..shape.len()).filter(kept).collect();
            if kept.len() < shape.len() {
                let lens: Vec<usize> = kept.iter().map(|&at| shape[at]).collect();
                term.value = self.reshape(term.value, &lens);
                term.labels = kept.iter().map(|&at| term.labels[at]).collect();
            }
        }
    }

    /// Replaces axes of the same label by their diagonal.
    fn take_diagonals(&mut self, term: &mut Term) {
        let twice = |labels: &Labels| {
            (0..labels.len()).find_map(|at| {
                let again = labels[at + 1..].iter().position(|&other| other == labels[at])?;
                Some((at, at + 1 + again))
            })
        };
        while let Some((first, second)) = twice(&term.labels) {
            let label = term.labels[first];
            let others: Vec<usize> =
                (0..term.labels.len()).filter(|&at| at != first && at != second).collect();
            let order: Vec<usize> = others.iter().copied().chain([first, second]).collect();
            let turned = self.permute_own(term.value, &order);
            let shape = self.own_shape(turned).to_vec();
            let (lens, len) = (&shape[..shape.len() - 2], shape[shape.len() - 1]);
            let flat = self.reshape(turned, &[lens, &[len * len]].concat());
            let axis = lens.len() + usize::from(self.is_batched(flat));
            let diagonal: Vec<usize> = (0..len).map(|at| at * (len + 1)).collect();
            term.value = self.index_select(flat, axis, &diagonal);
            term.labels = others.iter().map(|&at| term.labels[at]).chain([label]).collect();
        }
    }

    /// The axes of each sample in another order.
    fn permute_own(&mut self, x: Var, order: &[usize]) -> Var {
        if order.iter().copied().eq(0..order.len()) {
            return x;
        }
        let lead = usize::from(self.is_batched(x));
        let order: Vec<usize> = (0..lead).chain(order.iter().map(|at| at + lead)).collect();
        self.permute(x, &order)
    }

    /// The value with its axes in the order of the given labels.
    fn arrange(&mut self, term: &Term, labels: &[char]) -> Var {
        let place = |label: &char| term.labels.iter().position(|own| own == label);
        let order: Vec<usize> = labels.iter().filter_map(place).collect();
        self.permute_own(term.value, &order)
    }

    /// Sums over the axes whose labels are not `needed`.
    fn sum_others(&mut self, term: &mut Term, needed: impl Fn(char) -> bool) {
        for at in (0..term.labels.len()).rev().filter(|&at| !needed(term.labels[at])) {
            let axis = at + usize::from(self.is_batched(term.value));
            term.value = self.sum(term.value, axis);
        }
        term.labels.retain(|&label| needed(label));
    }

    /// The product of two terms, summed over what is not needed any more.
    fn contract(&mut self, mut a: Term, mut b: Term, needed: &[char]) -> Term {
        let (of_a, of_b) = (a.labels.clone(), b.labels.clone());
        self.sum_others(&mut a, |label| needed.contains(&label) || of_b.contains(&label));
        self.sum_others(&mut b, |label| needed.contains(&label) || of_a.contains(&label));
        let part = |of: &Labels, both: bool, kept: bool, other: &Labels| -> Labels {
            let takes =
                |label: &char| other.contains(label) == both && needed.contains(label) == kept;
            of.iter().copied().filter(takes).collect()
        };
        let shared = part(&a.labels, true, true, &b.labels);
        let summed = part(&a.labels, true, false, &b.labels);
        let left = part(&a.labels, false, true, &b.labels);
        let right = part(&b.labels, false, true, &a.labels);
        let columns_last = [&shared[..], &summed, &right].concat();
        let transposed = b.labels != columns_last;
        let b_order =
            if transposed { [&shared[..], &right, &summed].concat() } else { columns_last };
        let lens = self.lengths(&[&a, &b]);
        let size = |labels: &Labels| labels.iter().map(|label| lens[label]).product::<usize>();
        let front: &[usize] = if shared.is_empty() { &[] } else { &[size(&shared)] };
        let (i, j, k) = (size(&left), size(&right), size(&summed));
        let x = self.arrange(&a, &[&shared[..], &left, &summed].concat());
        let x = self.reshape(x, &[front, &[i, k]].concat());
        let y = self.arrange(&b, &b_order);
        let product = if transposed {
            let y = self.reshape(y, &[front, &[j, k]].concat());
            self.matmul_transposed(x, y)
        } else {
            let y = self.reshape(y, &[front, &[k, j]].concat());
            self.matmul(x, y)
        };
        let labels = [&shared[..], &left, &right].concat();
        let shape: Vec<usize> = labels.iter().map(|label| lens[label]).collect();
        Term { value: self.reshape(product, &shape), labels }
    }

    fn lengths(&self, terms: &[&Term]) -> BTreeMap<char, usize> {
        let of = |term: &&Term| {
            let shape = self.own_shape(term.value);
            term.labels.iter().copied().zip(shape.to_vec()).collect::<Vec<_>>()
        };
        terms.iter().flat_map(of).collect()
    }
}

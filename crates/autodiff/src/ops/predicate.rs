//! Truth values of two values, entry by entry: comparisons and logic.

use vivit_tensor::{Binary, Tensor, Unary};

use crate::op::{zero_jac, zero_jac_t};
use crate::{Batch, Effort, Io, Op, Second, Tape, Var};

/// How two numbers compare. With NaN only [`NotEqual`](Comparison::NotEqual) holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Comparison {
    /// `a < b`
    Less,
    /// `a ≤ b`
    LessEqual,
    /// `a > b`
    Greater,
    /// `a ≥ b`
    GreaterEqual,
    /// `a = b`
    Equal,
    /// `a ≠ b`
    NotEqual,
}

/// 1 where something holds of two values, 0 elsewhere. Nothing is differentiated in them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Predicate {
    /// A comparison.
    Compare(Comparison),
    /// Neither is 0.
    And,
    /// One is not 0, or both are not.
    Or,
    /// One is 0 and the other is not.
    Xor,
}

impl Op for Predicate {
    fn name(&self) -> &'static str {
        match self {
            Predicate::Compare(_) => "comparison",
            Predicate::And => "logical and",
            Predicate::Or => "logical or",
            Predicate::Xor => "logical exclusive or",
        }
    }

    fn forward(&self, args: &[&Tensor]) -> Tensor {
        let (a, b) = (args[0], args[1]);
        let not = |x: &Tensor| x.unary(Unary::Not);
        match self {
            Predicate::Compare(Comparison::Less) => a.binary(Binary::Less, b),
            Predicate::Compare(Comparison::LessEqual) => a.binary(Binary::LessEqual, b),
            Predicate::Compare(Comparison::Greater) => b.binary(Binary::Less, a),
            Predicate::Compare(Comparison::GreaterEqual) => b.binary(Binary::LessEqual, a),
            Predicate::Compare(Comparison::Equal) => a.binary(Binary::Equal, b),
            Predicate::Compare(Comparison::NotEqual) => not(&a.binary(Binary::Equal, b)),
            Predicate::And => not(&not(a).binary(Binary::Max, &not(b))),
            Predicate::Or => not(&not(a).mul(&not(b))),
            Predicate::Xor => not(&not(a).binary(Binary::Equal, &not(b))),
        }
    }

    fn is_piecewise_constant(&self, _wrt: usize) -> bool {
        true
    }

    /// Zero.
    fn jac_t(&self, io: Io<'_>, wrt: usize, mat: &Tensor, batch: Batch) -> Tensor {
        zero_jac_t(io, wrt, mat, batch)
    }

    fn jac(&self, io: Io<'_>, _wrt: usize, tangent: &Tensor) -> Tensor {
        zero_jac(io, tangent)
    }

    fn effort(&self, _io: Io<'_>, _wrt: usize) -> Effort {
        Effort::default()
    }

    fn second(&self, _wrt: usize, _along: usize) -> Second<'_> {
        Second::Zero
    }
}

impl Tape {
    #[track_caller]
    fn predicate(&mut self, predicate: Predicate, a: Var, b: Var) -> Var {
        self.expect_repeatable(predicate.name(), &[a, b]);
        self.record(predicate, &[a, b])
    }

    /// 1 where a and b compare so, 0 elsewhere, with repetition as in [`add`](Tape::add). Nothing
    /// is differentiated in them.
    ///
    /// ```
    /// use vivit_autodiff::Tape;
    /// use vivit_autodiff::ops::Comparison;
    /// use vivit_tensor::{Device, Tensor};
    ///
    /// let cpu = Device::cpu();
    /// let mut tape = Tape::new(&cpu);
    /// let x = tape.input(Tensor::from_vec(&cpu, [1, 3], vec![1.0, 2.0, 3.0])?);
    /// let two = tape.constant(Tensor::full(&cpu, [], 2.0));
    /// let y = tape.compare(Comparison::GreaterEqual, x, two);
    /// assert_eq!(tape.value(y).to_vec()?, [0.0, 1.0, 1.0]);
    /// # Ok::<(), vivit_tensor::Error>(())
    /// ```
    ///
    /// # Panics
    /// As there.
    #[track_caller]
    pub fn compare(&mut self, comparison: Comparison, a: Var, b: Var) -> Var {
        self.predicate(Predicate::Compare(comparison), a, b)
    }

    /// 1 where neither of a and b is 0, 0 elsewhere; as [`compare`](Tape::compare).
    ///
    /// # Panics
    /// As there.
    #[track_caller]
    pub fn logical_and(&mut self, a: Var, b: Var) -> Var {
        self.predicate(Predicate::And, a, b)
    }

    /// 1 where a or b is not 0, 0 elsewhere; as [`compare`](Tape::compare).
    ///
    /// # Panics
    /// As there.
    #[track_caller]
    pub fn logical_or(&mut self, a: Var, b: Var) -> Var {
        self.predicate(Predicate::Or, a, b)
    }

    /// 1 where one of a and b is 0 and the other is not, 0 elsewhere; as
    /// [`compare`](Tape::compare).
    ///
    /// # Panics
    /// As there.
    #[track_caller]
    pub fn logical_xor(&mut self, a: Var, b: Var) -> Var {
        self.predicate(Predicate::Xor, a, b)
    }

    /// 1 where x is 0, 0 elsewhere. Nothing is differentiated in it.
    pub fn logical_not(&mut self, x: Var) -> Var {
        self.map(Unary::Not, x)
    }
}

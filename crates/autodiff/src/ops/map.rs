//! `y = f(x)`, entry by entry, for every row of the elementwise table.

use vivit_tensor::{Tensor, Unary};

use crate::{Batch, Effort, Io, Op, ScatterJacobian, Second, Tape, Var};

/// An elementwise map.
#[derive(Clone, Copy, Debug)]
pub struct Map(pub Unary);

impl Op for Map {
    fn name(&self) -> &'static str {
        match self.0 {
            Unary::Relu => "relu",
            Unary::Sigmoid => "sigmoid",
            Unary::Tanh => "tanh",
            Unary::LeakyRelu(_) => "leaky relu",
            Unary::Elu(_) => "elu",
            Unary::Selu => "selu",
            Unary::LogSigmoid => "log-sigmoid",
            Unary::Softplus(_) => "softplus",
            Unary::Silu => "silu",
            Unary::Gelu | Unary::GeluTanh => "gelu",
            Unary::Mish => "mish",
            Unary::Softsign => "softsign",
            Unary::Celu(_) => "celu",
            Unary::ThresholdedRelu(_) => "thresholded relu",
            Unary::HardTanh(..) => "hard tanh",
            Unary::HardSigmoid(..) => "hard sigmoid",
            Unary::HardSwish => "hard swish",
            Unary::Abs => "absolute value",
            Unary::Sign => "sign",
            Unary::Floor | Unary::Ceil | Unary::Round | Unary::Trunc => "rounding",
            Unary::Not => "logical not",
            Unary::Powf(_) => "power",
            _ => "elementwise map",
        }
    }

    fn forward(&self, args: &[&Tensor]) -> Tensor {
        args[0].unary(self.0)
    }

    /// `M[v, …] · f′(x[…])`
    fn jac_t(&self, io: Io<'_>, _wrt: usize, mat: &Tensor, _batch: Batch) -> Tensor {
        mat.unary_chain(self.0, io.args[0], io.out)
    }

    fn jac(&self, io: Io<'_>, _wrt: usize, tangent: &Tensor) -> Tensor {
        tangent.unary_chain(self.0, io.args[0], io.out)
    }

    fn is_piecewise_constant(&self, _wrt: usize) -> bool {
        use Unary::{Ceil, Floor, Not, Round, Sign, Trunc};
        matches!(self.0, Ceil | Floor | Not | Round | Sign | Trunc)
    }

    fn compose_scatter(&self, io: Io<'_>, route: &ScatterJacobian) -> Option<ScatterJacobian> {
        Some(route.then_scale(self.0, io.args[0], io.out))
    }

    /// The slopes are held.
    fn effort(&self, io: Io<'_>, _wrt: usize) -> Effort {
        Effort { per_sample: io.out_share(), ..Effort::of(io.out_share()) }
    }

    /// `f″(x)`
    fn second(&self, _wrt: usize, _along: usize) -> Second<'_> {
        match self.0 {
            Unary::Relu
            | Unary::LeakyRelu(_)
            | Unary::HardTanh(..)
            | Unary::HardSigmoid(..)
            | Unary::ThresholdedRelu(_)
            | Unary::Abs
            | Unary::Scale(_)
            | Unary::Shift(_) => Second::Zero,
            _ if self.is_piecewise_constant(0) => Second::Zero,
            f => Second::entrywise(move |io| io.args[0].unary_second(f, io.out)),
        }
    }
}

impl Tape {
    /// An elementwise map of any value, inputs and parameters alike.
    pub fn map(&mut self, f: Unary, x: Var) -> Var {
        self.record(Map(f), &[x])
    }

    /// `max(x, 0)`.
    pub fn relu(&mut self, x: Var) -> Var {
        self.map(Unary::Relu, x)
    }

    /// `1 / (1 + e⁻ˣ)`.
    pub fn sigmoid(&mut self, x: Var) -> Var {
        self.map(Unary::Sigmoid, x)
    }

    /// The hyperbolic tangent.
    pub fn tanh(&mut self, x: Var) -> Var {
        self.map(Unary::Tanh, x)
    }
}

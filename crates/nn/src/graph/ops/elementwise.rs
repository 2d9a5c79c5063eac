//! Functions of entries, and of pairs of entries.

use vivit_autodiff::ops::Comparison;
use vivit_autodiff::{InputKind, Tape, Var};
use vivit_tensor::Unary;

use crate::graph::call::{Call, Outcome, Outcome1};
use crate::graph::fault::{Fault, ensure, fault};
use crate::graph::value::{Array, Place, Value};

fn one(array: Array) -> Outcome {
    Ok(vec![array.into()])
}

/// The kind of sums and products of two kinds.
fn mixed(a: InputKind, b: InputKind) -> InputKind {
    if a == InputKind::Float || b == InputKind::Float {
        InputKind::Float
    } else {
        InputKind::Integer
    }
}

/// What a binary operation does with two numbers on the host, and on a tape.
struct Pair {
    host: fn(f64, f64) -> f64,
    tape: fn(&mut Tape, Var, Var) -> Var,
}

impl Call<'_> {
    /// A pair operation of whole numbers on the host, where tapes know real ones only.
    fn pair_on_host(
        &mut self,
        a: Array,
        b: Array,
        kind: InputKind,
        f: impl Fn(f64, f64) -> f64,
    ) -> Result<Option<Array>, Fault> {
        let mut both = [a, b];
        let (place, shape) = self.recording.aligned(&mut both)?;
        if place == Place::Device {
            return Ok(None);
        }
        let [a, b] = both.map(|array| self.recording.repeated(array, &shape));
        let numbers = a.into_iter().zip(b).map(|(a, b)| f(a, b)).collect();
        self.recording.host_array(&shape, numbers, kind).map(Some)
    }

    fn on_two(&mut self, a: Array, b: Array, pair: Pair, kind: InputKind) -> Outcome1 {
        if let Some(done) = self.pair_on_host(a, b, kind, pair.host)? {
            return Ok(done);
        }
        Ok(Array { kind, ..self.pair(a, b, pair.tape)? })
    }

    fn arithmetic(&mut self, pair: Pair) -> Outcome {
        let (a, b) = (self.array(0)?, self.array(1)?);
        one(self.on_two(a, b, pair, mixed(a.kind, b.kind))?)
    }

    fn fold(&mut self, pair: fn() -> Pair) -> Outcome {
        let arrays = self.arrays()?;
        let mut rest = arrays.into_iter();
        let Some(mut result) = rest.next() else { fault!("there is nothing to compare") };
        for next in rest {
            result = self.on_two(result, next, pair(), mixed(result.kind, next.kind))?;
        }
        one(result)
    }

    /// Towards zero.
    pub(super) fn truncated(&mut self, x: Array) -> Outcome1 {
        Ok(Array { kind: InputKind::Integer, ..self.map(Unary::Trunc, x) })
    }

    pub(super) fn compared(&mut self, comparison: Comparison, a: Array, b: Array) -> Outcome1 {
        let holds = |a: f64, b: f64| {
            f64::from(u8::from(match comparison {
                Comparison::Less => a < b,
                Comparison::LessEqual => a <= b,
                Comparison::Equal => a == b,
                Comparison::NotEqual => a != b,
                Comparison::Greater => a > b,
                Comparison::GreaterEqual => a >= b,
            }))
        };
        if let Some(done) = self.pair_on_host(a, b, InputKind::Bool, holds)? {
            return Ok(done);
        }
        let result = self.pair(a, b, |tape, a, b| tape.compare(comparison, a, b))?;
        Ok(Array { kind: InputKind::Bool, ..result })
    }

    fn truth(&mut self, at: usize) -> Outcome1 {
        let x = self.array(at)?;
        if x.kind == InputKind::Bool {
            return Ok(x);
        }
        let not = self.negated(x)?;
        self.negated(not)
    }

    fn negated(&mut self, x: Array) -> Outcome1 {
        Ok(Array { kind: InputKind::Bool, ..self.map(Unary::Not, x) })
    }

    fn logic(&mut self, pair: Pair) -> Outcome {
        let (a, b) = (self.truth(0)?, self.truth(1)?);
        one(self.on_two(a, b, pair, InputKind::Bool)?)
    }
}

pub(super) fn add(call: &mut Call<'_>) -> Outcome {
    call.arithmetic(Pair { host: |a, b| a + b, tape: Tape::add })
}

pub(super) fn sub(call: &mut Call<'_>) -> Outcome {
    call.arithmetic(Pair { host: |a, b| a - b, tape: Tape::sub })
}

pub(super) fn mul(call: &mut Call<'_>) -> Outcome {
    call.arithmetic(Pair { host: |a, b| a * b, tape: Tape::mul })
}

/// Of whole numbers the quotient towards zero.
pub(super) fn div(call: &mut Call<'_>) -> Outcome {
    let (a, b) = (call.array(0)?, call.array(1)?);
    let kind = mixed(a.kind, b.kind);
    if kind == InputKind::Integer {
        if let Some(divisors) = call.recording.numbers(b) {
            ensure!(!divisors.contains(&0.0), "a whole number is divided by zero");
        }
    }
    let quotient = call.on_two(a, b, Pair { host: |a, b| a / b, tape: Tape::div }, kind)?;
    one(if kind == InputKind::Integer { call.truncated(quotient)? } else { quotient })
}

/// `a − b ⌊a/b⌋`; with `fmod`, `a − b trunc(a/b)`.
pub(super) fn modulo(call: &mut Call<'_>) -> Outcome {
    let (a, b) = (call.array(0)?, call.array(1)?);
    let kind = mixed(a.kind, b.kind);
    let fmod = call.flag("fmod", false)?;
    let rest = move |a: f64, b: f64| {
        let rest = a % b;
        // The sign of b; a rest of zero has it as well.
        if fmod || rest.is_nan() {
            rest
        } else if rest == 0.0 {
            rest.copysign(b)
        } else if (rest < 0.0) != (b < 0.0) {
            rest + b
        } else {
            rest
        }
    };
    if let Some(done) = call.pair_on_host(a, b, kind, rest)? {
        return one(done);
    }
    let result = call.pair(a, b, if fmod { Tape::fmod } else { Tape::remainder })?;
    one(Array { kind, ..result })
}

/// A constant exponent makes a function of one argument.
pub(super) fn pow(call: &mut Call<'_>) -> Outcome {
    let (a, b) = (call.array(0)?, call.array(1)?);
    if let Some([exponent]) = call.recording.numbers(b).as_deref() {
        if a.place == Place::Device && call.recording.rank(b) <= call.recording.rank(a) {
            let f = match exponent {
                1.0 => return one(a),
                2.0 => Unary::Square,
                0.5 => Unary::Sqrt,
                -1.0 => Unary::Recip,
                -0.5 => Unary::Rsqrt,
                &exponent => Unary::Powf(exponent),
            };
            return one(call.map(f, a));
        }
    }
    let pair = Pair { host: f64::powf, tape: Tape::pow };
    one(call.on_two(a, b, pair, a.kind)?)
}

pub(super) fn maximum(call: &mut Call<'_>) -> Outcome {
    call.fold(|| Pair { host: f64::max, tape: Tape::maximum })
}

pub(super) fn minimum(call: &mut Call<'_>) -> Outcome {
    call.fold(|| Pair { host: f64::min, tape: Tape::minimum })
}

/// The comparison that the operation is called by.
pub(super) fn compare(call: &mut Call<'_>) -> Outcome {
    let comparison = match call.node.op.as_str() {
        "less" => Comparison::Less,
        "less_equal" => Comparison::LessEqual,
        "greater" => Comparison::Greater,
        "greater_equal" => Comparison::GreaterEqual,
        "equal" => Comparison::Equal,
        "not_equal" => Comparison::NotEqual,
        op => fault!("there is no comparison {op}"),
    };
    let (a, b) = (call.array(0)?, call.array(1)?);
    one(call.compared(comparison, a, b)?)
}

pub(super) fn and(call: &mut Call<'_>) -> Outcome {
    call.logic(Pair { host: |a, b| a * b, tape: Tape::logical_and })
}

pub(super) fn or(call: &mut Call<'_>) -> Outcome {
    call.logic(Pair { host: f64::max, tape: Tape::logical_or })
}

pub(super) fn xor(call: &mut Call<'_>) -> Outcome {
    call.logic(Pair { host: |a, b| (a - b).abs(), tape: Tape::logical_xor })
}

pub(super) fn not(call: &mut Call<'_>) -> Outcome {
    let x = call.array(0)?;
    one(call.negated(x)?)
}

/// `a` where the mask is not zero, `b` elsewhere.
pub(super) fn select(call: &mut Call<'_>) -> Outcome {
    let (mask, a, b) = (call.array(0)?, call.array(1)?, call.array(2)?);
    one(call.chosen(mask, a, b)?)
}

impl Call<'_> {
    /// `a` where the mask is not zero, `b` elsewhere.
    pub(super) fn chosen(&mut self, mask: Array, a: Array, b: Array) -> Outcome1 {
        let mut three = [mask, a, b];
        let (place, shape) = self.recording.aligned(&mut three)?;
        if place == Place::Host {
            let [mask, a, b] = three.map(|array| self.recording.repeated(array, &shape));
            let chosen = mask
                .into_iter()
                .zip(a.into_iter().zip(b))
                .map(|(mask, (a, b))| if mask != 0.0 { a } else { b })
                .collect();
            return self.recording.host_array(&shape, chosen, three[1].kind);
        }
        let kind = three[1].kind;
        let [mask, a, b] = three.map(|array| array.var);
        let var = self.recording.tape(place).select(mask, a, b);
        Ok(Array { var, place, kind, turned: false })
    }
}

/// `x` between bounds, each of which may be left out.
pub(super) fn clip(call: &mut Call<'_>) -> Outcome {
    let x = call.array(0)?;
    let known = |call: &mut Call<'_>, at: usize| -> Result<Option<Option<f64>>, Fault> {
        let Some(bound) = call.optional(at)? else { return Ok(Some(None)) };
        Ok(match call.recording.numbers(bound).as_deref() {
            Some(&[bound]) => Some(Some(bound)),
            _ => None,
        })
    };
    if let (Some(low), Some(high)) = (known(call, 1)?, known(call, 2)?) {
        let low = low.or(call.optional_float("min")?).unwrap_or(f64::NEG_INFINITY);
        let high = high.or(call.optional_float("max")?).unwrap_or(f64::INFINITY);
        if low > high {
            // Every number is beyond both; the upper bound wins.
            let top = call.recording.host_array(&[], vec![high], x.kind)?;
            let shape = call.shape(x);
            return one(call.repeated_to(top, &shape)?);
        }
        return one(match (low, high) {
            (f64::NEG_INFINITY, f64::INFINITY) => x,
            (0.0, f64::INFINITY) => call.map(Unary::Relu, x),
            _ => call.map(Unary::HardTanh(low, high), x),
        });
    }
    let mut result = x;
    if let Some(low) = call.optional(1)? {
        result = call.pair(result, low, Tape::maximum)?;
    }
    if let Some(high) = call.optional(2)? {
        result = call.pair(result, high, Tape::minimum)?;
    }
    one(result)
}

/// Numbers of another kind: whole ones towards zero, truth as 0 and 1.
pub(super) fn cast(call: &mut Call<'_>) -> Outcome {
    let to = match call.text("to", "float")? {
        "float" => InputKind::Float,
        "integer" => InputKind::Integer,
        "bool" => InputKind::Bool,
        other => fault!("option \"to\" must be \"float\", \"integer\" or \"bool\", got {other:?}"),
    };
    call.casted(to)
}

/// Numbers of the kind of argument 1.
pub(super) fn cast_like(call: &mut Call<'_>) -> Outcome {
    let Some(like) = call.raw(1)? else { fault!("argument 1 is missing") };
    call.casted(like.kind)
}

impl Call<'_> {
    fn casted(&mut self, to: InputKind) -> Outcome {
        let Some(x) = self.raw(0)? else { fault!("argument 0 is missing") };
        one(match (x.kind, to) {
            (_, InputKind::Bool) => self.truth(0)?,
            (InputKind::Float, InputKind::Integer) => {
                let x = self.array(0)?;
                self.truncated(x)?
            }
            _ => Array { kind: to, ..x },
        })
    }
}

/// `x` above zero, `slope · x` elsewhere. With option `axis`, the slope holds one number per entry
/// of that axis.
pub(super) fn p_relu(call: &mut Call<'_>) -> Outcome {
    let (x, mut slope) = (call.array(0)?, call.array(1)?);
    if let Some(number) = call.optional_int("axis")? {
        let (shape, given) = (call.shape(x), call.shape(slope));
        let axis = call.axis(number, shape.len())?;
        ensure!(
            given == [shape[axis]],
            "shape [{}] is needed for axis {axis} of {shape:?}, got {given:?}",
            shape[axis]
        );
        let mut thin = vec![1; shape.len() - axis];
        thin[0] = shape[axis];
        slope = call.recording.reshape(slope, &thin);
    }
    let above = call.map(Unary::Relu, x);
    let below = call.pair(x, above, Tape::sub)?;
    let below = call.pair(below, slope, Tape::mul)?;
    let result = call.pair(above, below, Tape::add)?;
    one(result)
}

/// Functions of one argument: the name of the operation, the function, its options with their
/// defaults.
macro_rules! functions {
    ($($op:literal => $map:ident $(($($var:ident: $option:literal $(= $default:expr)?),+))?;)+) => {
        /// The function that the operation is called by.
        fn function(call: &Call<'_>) -> Result<Unary, Fault> {
            Ok(match call.node.op.as_str() {
                $($op => {
                    $($(let $var = functions!(@read call $option $($default)?);)+)?
                    Unary::$map $(($($var),+))?
                })+
                "neg" => Unary::Scale(-1.0),
                op => fault!("there is no function {op}"),
            })
        }

        /// The operation that computes a function, and its options; `None` if there is none.
        pub(crate) fn function_node(
            f: Unary,
        ) -> Option<(&'static str, Vec<(&'static str, f64)>)> {
            match f {
                $(Unary::$map $(($($var),+))? => Some(($op, vec![$($(($option, $var)),+)?])),)+
                Unary::Not => Some(("not", Vec::new())),
                _ => None,
            }
        }
    };
    (@read $call:ident $option:literal) => { $call.needed_float($option)? };
    (@read $call:ident $option:literal $default:expr) => { $call.float($option, $default)? };
}

functions! {
    "relu" => Relu;
    "sigmoid" => Sigmoid;
    "tanh" => Tanh;
    "leaky_relu" => LeakyRelu(slope: "slope" = 0.01);
    "elu" => Elu(alpha: "alpha" = 1.0);
    "celu" => Celu(alpha: "alpha" = 1.0);
    "selu" => Selu;
    "log_sigmoid" => LogSigmoid;
    "softplus" => Softplus(beta: "beta" = 1.0);
    "softsign" => Softsign;
    "silu" => Silu;
    "gelu" => Gelu;
    "gelu_tanh" => GeluTanh;
    "mish" => Mish;
    "hard_tanh" => HardTanh(low: "min" = -1.0, high: "max" = 1.0);
    "hard_sigmoid" => HardSigmoid(alpha: "alpha" = 1.0 / 6.0, beta: "beta" = 0.5);
    "hard_swish" => HardSwish;
    "thresholded_relu" => ThresholdedRelu(alpha: "alpha" = 1.0);
    "scale" => Scale(factor: "factor");
    "shift" => Shift(by: "by");
    "abs" => Abs;
    "sign" => Sign;
    "exp" => Exp;
    "expm1" => Expm1;
    "log" => Ln;
    "log1p" => Log1p;
    "sqrt" => Sqrt;
    "rsqrt" => Rsqrt;
    "square" => Square;
    "reciprocal" => Recip;
    "sin" => Sin;
    "cos" => Cos;
    "tan" => Tan;
    "asin" => Asin;
    "acos" => Acos;
    "atan" => Atan;
    "sinh" => Sinh;
    "cosh" => Cosh;
    "asinh" => Asinh;
    "acosh" => Acosh;
    "atanh" => Atanh;
    "erf" => Erf;
    "floor" => Floor;
    "ceil" => Ceil;
    "round" => Round;
    "trunc" => Trunc;
}

/// A function of one argument.
pub(super) fn map(call: &mut Call<'_>) -> Outcome {
    let f = function(call)?;
    match f {
        Unary::Celu(alpha) => ensure!(alpha != 0.0, "option \"alpha\" must not be 0"),
        Unary::Softplus(beta) => ensure!(beta != 0.0, "option \"beta\" must not be 0"),
        _ => {}
    }
    let x = call.array(0)?;
    let kind = match f {
        Unary::Scale(factor) if factor.fract() == 0.0 => x.kind,
        Unary::Abs | Unary::Sign | Unary::Relu | Unary::Square => x.kind,
        Unary::Floor | Unary::Ceil | Unary::Round | Unary::Trunc => x.kind,
        _ => InputKind::Float,
    };
    let result = call.map(f, x);
    Ok(vec![Value::Array(Array { kind, ..result })])
}

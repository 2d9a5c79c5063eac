//! Functions of entries.

use vivit_autodiff::InputKind;
use vivit_nn::NamedArray;

use crate::convert::{Convert, Outcome, named};
use crate::tensor::{kind_of, type_name};

/// Operations with the arguments and the meaning of one of a graph model.
const PLAIN: &[(&str, &str)] = &[
    ("Abs", "abs"),
    ("Acos", "acos"),
    ("Acosh", "acosh"),
    ("Add", "add"),
    ("And", "and"),
    ("Asin", "asin"),
    ("Asinh", "asinh"),
    ("Atan", "atan"),
    ("Atanh", "atanh"),
    ("Ceil", "ceil"),
    ("Cos", "cos"),
    ("Cosh", "cosh"),
    ("Div", "div"),
    ("Equal", "equal"),
    ("Erf", "erf"),
    ("Exp", "exp"),
    ("Floor", "floor"),
    ("Greater", "greater"),
    ("GreaterOrEqual", "greater_equal"),
    ("HardSwish", "hard_swish"),
    ("Identity", "identity"),
    ("Less", "less"),
    ("LessOrEqual", "less_equal"),
    ("Log", "log"),
    ("MatMul", "matmul"),
    ("Max", "maximum"),
    ("Min", "minimum"),
    ("Mish", "mish"),
    ("Mul", "mul"),
    ("Neg", "neg"),
    ("Not", "not"),
    ("Or", "or"),
    ("PRelu", "p_relu"),
    ("Pow", "pow"),
    ("Reciprocal", "reciprocal"),
    ("Relu", "relu"),
    ("Round", "round"),
    ("Sigmoid", "sigmoid"),
    ("Sign", "sign"),
    ("Sin", "sin"),
    ("Sinh", "sinh"),
    ("Softplus", "softplus"),
    ("Softsign", "softsign"),
    ("Sqrt", "sqrt"),
    ("Sub", "sub"),
    ("Tan", "tan"),
    ("Tanh", "tanh"),
    ("Tile", "tile"),
    ("Where", "where"),
    ("Xor", "xor"),
];

pub(super) fn plain(c: &mut Convert<'_>) -> Outcome {
    let found = PLAIN.iter().find(|(op, _)| *op == c.node.op_type);
    let (_, op) = found.expect("every plain operation has a name");
    c.same(op, &[])
}

/// Of one parameter α, by default 1.
pub(super) fn alpha(c: &mut Convert<'_>) -> Outcome {
    let op = match c.node.op_type.as_str() {
        "Celu" => "celu",
        "Elu" => "elu",
        _ => "thresholded_relu",
    };
    let alpha = c.float("alpha", 1.0)?;
    c.same(op, &[("alpha", alpha.into())])
}

pub(super) fn leaky_relu(c: &mut Convert<'_>) -> Outcome {
    let slope = c.float("alpha", 0.01)?;
    c.same("leaky_relu", &[("slope", slope.into())])
}

pub(super) fn hard_sigmoid(c: &mut Convert<'_>) -> Outcome {
    let (alpha, beta) = (c.float("alpha", 0.2)?, c.float("beta", 0.5)?);
    c.same("hard_sigmoid", &[("alpha", alpha.into()), ("beta", beta.into())])
}

/// `γ (x above 0, α (eˣ − 1) elsewhere)`.
pub(super) fn selu(c: &mut Convert<'_>) -> Outcome {
    let alpha = c.float("alpha", 1.673_263_2)?;
    let gamma = c.float("gamma", 1.050_701)?;
    let elu = c.step("elu", c.arguments(1), &[("alpha", alpha.into())]);
    let node = c.last("scale", named(&[&elu])).with("factor", gamma);
    c.emit(node);
    Ok(())
}

pub(super) fn gelu(c: &mut Convert<'_>) -> Outcome {
    match c.text("approximate", "none")?.as_str() {
        "none" => c.same("gelu", &[]),
        "tanh" => c.same("gelu_tanh", &[]),
        other => Err(format!("attribute approximate = {other:?} is not supported")),
    }
}

/// `x σ(α x)`.
pub(super) fn swish(c: &mut Convert<'_>) -> Outcome {
    let alpha = c.float("alpha", 1.0)?;
    if alpha == 1.0 {
        return c.same("silu", &[]);
    }
    let scaled = c.step("scale", c.arguments(1), &[("factor", alpha.into())]);
    let gate = c.step("sigmoid", named(&[&scaled]), &[]);
    let node = c.last("mul", named(&[c.input(0), &gate]));
    c.emit(node);
    Ok(())
}

/// `x + b` below −λ, `x − b` above λ, 0 between.
pub(super) fn shrink(c: &mut Convert<'_>) -> Outcome {
    let (bias, lambda) = (c.float("bias", 0.0)?, c.float("lambd", 0.5)?);
    let x = c.argument(0);
    let low = c.step("less", vec![x.clone(), Some((-lambda).into())], &[]);
    let high = c.step("greater", vec![x.clone(), Some(lambda.into())], &[]);
    let raised = c.step("shift", vec![x.clone()], &[("by", bias.into())]);
    let lowered = c.step("shift", vec![x], &[("by", (-bias).into())]);
    let mut upper = named(&[&high, &lowered]);
    upper.push(Some(0.0.into()));
    let upper = c.step("where", upper, &[]);
    let node = c.last("where", named(&[&low, &raised, &upper]));
    c.emit(node);
    Ok(())
}

/// What is not equal to itself.
pub(super) fn is_nan(c: &mut Convert<'_>) -> Outcome {
    let node = c.last("not_equal", named(&[c.input(0), c.input(0)]));
    c.emit(node);
    Ok(())
}

/// Infinities of either sign, or of one.
pub(super) fn is_infinite(c: &mut Convert<'_>) -> Outcome {
    let (below, above) = (c.flag("detect_negative", true)?, c.flag("detect_positive", true)?);
    let ends: &[f64] = match (below, above) {
        (true, true) => &[f64::NEG_INFINITY, f64::INFINITY],
        (true, false) => &[f64::NEG_INFINITY],
        (false, true) => &[f64::INFINITY],
        (false, false) => &[],
    };
    // Of none, what is unequal to itself and is a number: nothing.
    let mut found = c.step("less", named(&[c.input(0), c.input(0)]), &[]);
    for &end in ends {
        let here = c.step("equal", vec![c.argument(0), Some(end.into())], &[]);
        found = c.step("or", named(&[&found, &here]), &[]);
    }
    let node = c.last("identity", named(&[&found]));
    c.emit(node);
    Ok(())
}

pub(super) fn modulo(c: &mut Convert<'_>) -> Outcome {
    let fmod = c.flag("fmod", false)?;
    c.same("mod", &[("fmod", fmod.into())])
}

/// Bounds are arguments.
pub(super) fn clip(c: &mut Convert<'_>) -> Outcome {
    c.same("clip", &[])
}

/// Sums and means of any number of arrays.
pub(super) fn variadic(c: &mut Convert<'_>) -> Outcome {
    c.only_outputs(1)?;
    let count = c.node.input.len();
    if count == 0 {
        return Err("there is nothing to add".into());
    }
    let mut sum = c.input(0).to_string();
    for at in 1..count {
        sum = c.step("add", named(&[&sum, c.input(at)]), &[]);
    }
    let node = if c.node.op_type == "Mean" {
        c.last("scale", named(&[&sum])).with("factor", 1.0 / count as f64)
    } else {
        c.last("identity", named(&[&sum]))
    };
    c.emit(node);
    Ok(())
}

fn kind_text(kind: InputKind) -> &'static str {
    match kind {
        InputKind::Integer => "integer",
        InputKind::Bool => "bool",
        _ => "float",
    }
}

pub(super) fn cast(c: &mut Convert<'_>) -> Outcome {
    c.pass_over("saturate");
    c.pass_over("round_mode");
    let to = c.int("to", 1)?;
    let to = i32::try_from(to).map_err(|_| format!("there is no type {to}"))?;
    let Some(kind) = kind_of(to) else {
        return Err(format!("elements of {} are not supported", type_name(to)));
    };
    c.same("cast", &[("to", kind_text(kind).into())])
}

pub(super) fn cast_like(c: &mut Convert<'_>) -> Outcome {
    c.pass_over("saturate");
    c.pass_over("round_mode");
    c.same("cast_like", &[])
}

/// A constant under the name of a node's first result.
pub(super) fn constant(c: &mut Convert<'_>, shape: &[usize], values: Vec<f64>, kind: InputKind) {
    let name = c.output(0);
    c.constants.push(NamedArray::new(&name, shape, values).of_kind(kind));
}

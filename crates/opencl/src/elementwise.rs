//! Launchers of the element-wise maps (`elementwise.cl`).

use vivit_tensor::{Binary, Scalar, Shape, Unary};

use crate::array::{Axes, width};
use crate::buffer::Buf;
use crate::device::OpenCl;

/// The kernels' name of a map, and its parameters.
fn row(f: Unary) -> (&'static str, [f64; 2]) {
    match f {
        Unary::Relu => ("relu", [0.0; 2]),
        Unary::Sigmoid => ("sigmoid", [0.0; 2]),
        Unary::Tanh => ("tanh", [0.0; 2]),
        Unary::LeakyRelu(a) => ("leaky_relu", [a, 0.0]),
        Unary::Elu(a) => ("elu", [a, 0.0]),
        Unary::Selu => ("selu", [0.0; 2]),
        Unary::LogSigmoid => ("log_sigmoid", [0.0; 2]),
        Unary::Softplus(a) => ("softplus", [a, 0.0]),
        Unary::Silu => ("silu", [0.0; 2]),
        Unary::Gelu => ("gelu", [0.0; 2]),
        Unary::GeluTanh => ("gelu_tanh", [0.0; 2]),
        Unary::Mish => ("mish", [0.0; 2]),
        Unary::Softsign => ("softsign", [0.0; 2]),
        Unary::Celu(a) => ("celu", [a, 0.0]),
        Unary::ThresholdedRelu(a) => ("thresholded_relu", [a, 0.0]),
        Unary::HardTanh(low, high) => ("hard_tanh", [low, high]),
        Unary::HardSigmoid(a, b) => ("hard_sigmoid", [a, b]),
        Unary::HardSwish => ("hard_swish", [0.0; 2]),
        Unary::Abs => ("abs", [0.0; 2]),
        Unary::Sign => ("sign", [0.0; 2]),
        Unary::Floor => ("floor", [0.0; 2]),
        Unary::Ceil => ("ceil", [0.0; 2]),
        Unary::Round => ("round", [0.0; 2]),
        Unary::Trunc => ("trunc", [0.0; 2]),
        Unary::Not => ("not", [0.0; 2]),
        Unary::Exp => ("exp", [0.0; 2]),
        Unary::Expm1 => ("expm1", [0.0; 2]),
        Unary::Log1p => ("log1p", [0.0; 2]),
        Unary::Ln => ("ln", [0.0; 2]),
        Unary::Sqrt => ("sqrt", [0.0; 2]),
        Unary::Rsqrt => ("rsqrt", [0.0; 2]),
        Unary::Powf(p) => ("powf", [p, 0.0]),
        Unary::Square => ("square", [0.0; 2]),
        Unary::Recip => ("recip", [0.0; 2]),
        Unary::Sin => ("sin", [0.0; 2]),
        Unary::Cos => ("cos", [0.0; 2]),
        Unary::Tan => ("tan", [0.0; 2]),
        Unary::Asin => ("asin", [0.0; 2]),
        Unary::Acos => ("acos", [0.0; 2]),
        Unary::Atan => ("atan", [0.0; 2]),
        Unary::Sinh => ("sinh", [0.0; 2]),
        Unary::Cosh => ("cosh", [0.0; 2]),
        Unary::Asinh => ("asinh", [0.0; 2]),
        Unary::Acosh => ("acosh", [0.0; 2]),
        Unary::Atanh => ("atanh", [0.0; 2]),
        Unary::Erf => ("erf", [0.0; 2]),
        Unary::Scale(a) => ("scale", [a, 0.0]),
        Unary::Shift(a) => ("shift", [a, 0.0]),
    }
}

pub(crate) fn unary<E: Scalar>(cl: &OpenCl<E>, f: Unary, x: &Buf<E>) -> Buf<E> {
    let (name, [a, b]) = row(f);
    let out = cl.session.allocate(x.len);
    let call = cl.call(format!("unary_{name}")).buf(x).buf(&out).real(a).real(b).words([x.len]);
    call.flat(x.len).into(&cl.session, out)
}

pub(crate) fn unary_chain<E: Scalar>(
    cl: &OpenCl<E>,
    f: Unary,
    x: &Buf<E>,
    y: &Buf<E>,
    mat: &Buf<E>,
) -> Buf<E> {
    let (name, [a, b]) = row(f);
    let columns = mat.len / x.len.max(1);
    assert!(
        x.len == y.len && columns * x.len == mat.len,
        "{f:?} of {} and {} entries, columns of {}",
        x.len,
        y.len,
        mat.len
    );
    let out = cl.session.allocate(mat.len);
    let call = cl.call(format!("chain_{name}")).buf(x).buf(y).buf(mat).buf(&out);
    call.real(a).real(b).words([x.len, columns]).rows(x.len, columns).into(&cl.session, out)
}

pub(crate) fn unary_second<E: Scalar>(cl: &OpenCl<E>, f: Unary, x: &Buf<E>, y: &Buf<E>) -> Buf<E> {
    let (name, [a, b]) = row(f);
    assert!(x.len == y.len, "{f:?} of {} entries can't be {}", x.len, y.len);
    let out = cl.session.allocate(x.len);
    let call =
        cl.call(format!("second_{name}")).buf(x).buf(y).buf(&out).real(a).real(b).words([x.len]);
    call.flat(x.len).into(&cl.session, out)
}

pub(crate) fn binary<E: Scalar>(
    cl: &OpenCl<E>,
    f: Binary,
    (a, a_shape): (&Buf<E>, &Shape),
    (b, b_shape): (&Buf<E>, &Shape),
    out: &Shape,
) -> Buf<E> {
    let name = match f {
        Binary::Add => "add",
        Binary::Sub => "sub",
        Binary::Mul => "mul",
        Binary::Div => "div",
        Binary::Max => "max",
        Binary::Min => "min",
        Binary::Pow => "pow",
        Binary::Fmod => "fmod",
        Binary::Remainder => "remainder",
        Binary::PRelu => "p_relu",
        Binary::Less => "less",
        Binary::LessEqual => "less_equal",
        Binary::Equal => "equal",
    };
    assert!(
        a.len == a_shape.size() && b.len == b_shape.size(),
        "{f:?}: {} and {} entries for {a_shape} and {b_shape}",
        a.len,
        b.len
    );
    let result = cl.session.allocate(out.size());
    if result.len == 0 {
        return result;
    }
    let axes = out.merged_axes([&a_shape.broadcast_strides(out), &b_shape.broadcast_strides(out)]);
    if let [(n, [1, 1])] = axes[..] {
        let call = cl.call(format!("binary_flat_{name}")).buf(a).buf(b).buf(&result).words([n]);
        return call.flat(n).into(&cl.session, result);
    }
    let Axes { inner: (n, [p, q]), rank, lens, steps: [a_steps, b_steps], rows } = Axes::new(&axes);
    let (wide, suffix) = width(rank);
    let call = cl.call(format!("binary_{name}{suffix}")).buf(a).buf(b).buf(&result);
    let call = call.words([n, p, q, rows]).words([rank]);
    let call = call.axes(wide, lens).axes(wide, a_steps).axes(wide, b_steps);
    call.rows(n, rows).into(&cl.session, result)
}

/// What an argument of a map of several is: a buffer and its shape.
type Argument<'a, E> = (&'a Buf<E>, &'a Shape);

pub(crate) fn select<E: Scalar>(cl: &OpenCl<E>, args: [Argument<'_, E>; 3], out: &Shape) -> Buf<E> {
    for (arg, shape) in args {
        assert!(arg.len == shape.size(), "choice: {} entries for {shape}", arg.len);
    }
    let result = cl.session.allocate(out.size());
    if result.len == 0 {
        return result;
    }
    let [mask, a, b] = args.map(|(_, shape)| shape.broadcast_strides(out));
    let axes = out.merged_axes([&mask, &a, &b]);
    let named =
        |name: String| cl.call(name).buf(args[0].0).buf(args[1].0).buf(args[2].0).buf(&result);
    if let [(n, [1, 1, 1])] = axes[..] {
        let call = named("choose_flat".into()).words([n]);
        return call.flat(n).into(&cl.session, result);
    }
    let Axes { inner: (n, [p, q, r]), rank, lens, steps, rows } = Axes::new(&axes);
    let (wide, suffix) = width(rank);
    let call = named(format!("choose{suffix}")).words([n, rows, rank, 0]).words([p, q, r, 0]);
    let call = steps.into_iter().fold(call.axes(wide, lens), |call, steps| call.axes(wide, steps));
    call.rows(n, rows).into(&cl.session, result)
}

pub(crate) fn axpy<E: Scalar>(cl: &OpenCl<E>, alpha: f64, x: &Buf<E>, y: &mut Buf<E>) {
    assert_eq!(x.len, y.len, "axpy of different lengths");
    cl.session.own(y);
    let outcome = cl.call("axpy").buf(x).buf(y).real(alpha).words([x.len]).flat(x.len);
    cl.keep(outcome, y);
}

pub(crate) fn add_part<E: Scalar>(
    cl: &OpenCl<E>,
    x: &Buf<E>,
    y: &mut Buf<E>,
    outer: usize,
    first: usize,
) {
    if x.len == 0 {
        return;
    }
    let (len, row) = (x.len / outer, y.len / outer);
    assert!(first + len <= row, "{len} entries from {first} on do not fit into {row}");
    cl.session.own(y);
    let call = cl.call("add_part").buf(x).buf(y).words([len, row, first, outer]);
    cl.keep(call.rows(len, outer), y);
}

pub(crate) fn add_tiled_product<E: Scalar>(
    cl: &OpenCl<E>,
    acc: &mut Buf<E>,
    x: &Buf<E>,
    (rows, cols): (usize, usize),
    y: &Buf<E>,
    (m, n): (usize, usize),
) {
    assert!(
        acc.len == rows * cols && x.len == acc.len && y.len == m * n,
        "[{rows}, {cols}] of {} entries, tiled {m} × {n}",
        x.len
    );
    if acc.len == 0 {
        return;
    }
    cl.session.own(acc);
    let blocks = cols / n;
    let outcome = cl
        .call("add_tiled_product")
        .buf(acc)
        .buf(x)
        .buf(y)
        .words([n, blocks, rows, m])
        .rows(n, blocks * rows);
    cl.keep(outcome, acc);
}

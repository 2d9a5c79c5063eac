//! Element-wise maps, alone and with broadcasting.

use vivit::tensor::{Binary, Device, Rng, Row, RowVisitor, Shape, Unary};

use super::tools::{assert_close, random, read, rounded, upload};

/// `f` or `f′` in doubles.
struct Defined {
    x: f64,
    derivative: bool,
}

impl RowVisitor for Defined {
    type Out = f64;
    fn visit<R: Row>(self, row: R) -> f64 {
        let y = row.f(self.x);
        if self.derivative { row.d1(self.x, y) } else { y }
    }
}

/// Every map.
fn every_map() -> Vec<Unary> {
    use Unary::*;
    vec![
        Relu,
        Sigmoid,
        Tanh,
        LeakyRelu(0.1),
        Elu(0.7),
        Selu,
        LogSigmoid,
        Softplus(1.5),
        Silu,
        Gelu,
        GeluTanh,
        Mish,
        Softsign,
        Celu(0.6),
        ThresholdedRelu(0.4),
        HardTanh(-0.5, 0.75),
        HardTanh(-0.5, f64::INFINITY),
        HardTanh(f64::NEG_INFINITY, 0.75),
        HardSigmoid(0.2, 0.5),
        HardSwish,
        Abs,
        Sign,
        Floor,
        Ceil,
        Round,
        Trunc,
        Exp,
        Expm1,
        Ln,
        Log1p,
        Sqrt,
        Rsqrt,
        Square,
        Powf(1.0),
        Powf(2.0),
        Powf(3.0),
        Powf(4.0),
        Powf(-1.0),
        Powf(2.5),
        Recip,
        Sin,
        Cos,
        Tan,
        Asin,
        Acos,
        Atan,
        Sinh,
        Cosh,
        Asinh,
        Acosh,
        Atanh,
        Erf,
        Scale(-2.5),
        Shift(0.25),
    ]
}

/// Arguments from the map's domain, some of them extreme.
fn arguments(device: &Device, f: Unary, len: usize) -> Vec<f64> {
    let mut x = rounded(device, Rng::new(len as u64).normal(len));
    if let [first, second, third, fourth, ..] = &mut x[..] {
        (*first, *second, *third, *fourth) = (0.0, -30.0, 30.0, 1.0);
    }
    let inside = |x: &f64| match f {
        Unary::Ln | Unary::Sqrt | Unary::Rsqrt | Unary::Powf(2.5) => x.abs() + 0.1,
        Unary::Log1p => x.abs() - 0.5,
        Unary::Asin | Unary::Acos | Unary::Atanh => 0.9 * x / (1.0 + x.abs()),
        Unary::Acosh => x.abs() + 1.1,
        Unary::Recip | Unary::Powf(-1.0) if x.abs() < 0.1 => 0.5,
        _ => *x,
    };
    rounded(device, x.iter().map(inside).collect())
}

pub(super) fn maps(device: &Device) {
    for f in every_map() {
        for len in [0, 1, 13, 1000] {
            let x = arguments(device, f, len);
            let expected: Vec<f64> =
                x.iter().map(|x| f.visit(Defined { x: *x, derivative: false })).collect();
            let got = read(device, &device.unary(f, &upload(device, x)));
            assert_close(device, &format!("{f:?}"), &got, &expected, 4);
        }
    }
    let halves = upload(device, vec![-2.5, -1.5, -0.5, 0.5, 1.5, 2.5]);
    let even = read(device, &device.unary(Unary::Round, &halves));
    assert_eq!(even, [-2.0, -2.0, 0.0, 0.0, 2.0, 2.0]);
    let truths = upload(device, vec![0.0, -0.0, 1.0, -3.0, f64::NAN]);
    assert_eq!(read(device, &device.unary(Unary::Not, &truths)), [1.0, 1.0, 0.0, 0.0, 0.0]);
    let ends = upload(device, vec![f64::NEG_INFINITY, -1e30, 1e30, f64::INFINITY]);
    for (low, high, clamped) in [
        (f64::NEG_INFINITY, 2.0, [f64::NEG_INFINITY, -1e30, 2.0, 2.0]),
        (2.0, f64::INFINITY, [2.0, 2.0, 1e30, f64::INFINITY]),
    ] {
        let got = read(device, &device.unary(Unary::HardTanh(low, high), &ends));
        assert_eq!(got, rounded(device, clamped.to_vec()));
    }
    let nan = upload(device, vec![f64::NAN; 3]);
    for f in every_map() {
        assert!(read(device, &device.unary(f, &nan)).iter().all(|y| y.is_nan()), "{f:?} hides NaN");
    }
}

pub(super) fn chains(device: &Device) {
    for f in every_map() {
        for (columns, len) in [(1, 1), (0, 5), (3, 13), (7, 300), (2, 1000)] {
            let x = arguments(device, f, len);
            let (mat, mat_buf) = random(device, columns * len, 3);
            let slope = |x: &f64| f.visit(Defined { x: *x, derivative: true });
            let expected: Vec<f64> =
                mat.iter().enumerate().map(|(at, m)| m * slope(&x[at % len])).collect();
            let x_buf = upload(device, x);
            let y_buf = device.unary(f, &x_buf);
            // Derivatives from a rounded y: off by ε times f″/f′, which is a few here.
            assert_close(
                device,
                &format!("f′ of {f:?}"),
                &read(device, &device.unary_chain(f, &x_buf, &y_buf, &mat_buf)),
                &expected,
                20,
            );
        }
    }
}

pub(super) fn second_derivatives(device: &Device) {
    struct Second(f64);
    impl RowVisitor for Second {
        type Out = f64;
        fn visit<R: Row>(self, row: R) -> f64 {
            row.d2(self.0, row.f(self.0))
        }
    }
    for f in every_map() {
        for len in [0, 1, 13, 1000] {
            let x = arguments(device, f, len);
            let expected: Vec<f64> = x.iter().map(|x| f.visit(Second(*x))).collect();
            let x_buf = upload(device, x);
            let y_buf = device.unary(f, &x_buf);
            let got = read(device, &device.unary_second(f, &x_buf, &y_buf));
            assert_close(device, &format!("f″ of {f:?}"), &got, &expected, 40);
        }
    }
}

/// Position in an array of `shape` that broadcasts to `full`, of position `at` of the latter.
pub(super) fn broadcast_position(shape: &[usize], full: &[usize], mut at: usize) -> usize {
    let (mut position, mut step) = (0, 1);
    for back in 1..=full.len() {
        let i = at % full[full.len() - back];
        at /= full[full.len() - back];
        if back <= shape.len() {
            let len = shape[shape.len() - back];
            position += if len == 1 { 0 } else { i * step };
            step *= len;
        }
    }
    position
}

/// Compares a map of two arguments with its definition.
#[track_caller]
pub fn broadcast(device: &Device, a_shape: &[usize], b_shape: &[usize], seed: u64) {
    let (a_shape, b_shape) = (Shape::new(a_shape), Shape::new(b_shape));
    let full = a_shape.broadcast(&b_shape).expect("shapes that broadcast");
    let ((a, a_buf), (b, b_buf)) =
        (random(device, a_shape.size(), seed), random(device, b_shape.size(), seed + 1));
    type Pair = (Binary, fn(f64, f64) -> f64);
    let fs: [Pair; 13] = [
        (Binary::Add, |a, b| a + b),
        (Binary::Sub, |a, b| a - b),
        (Binary::Mul, |a, b| a * b),
        (Binary::Div, |a, b| a / b),
        (Binary::Max, f64::max),
        (Binary::Min, f64::min),
        (Binary::Pow, f64::powf),
        (Binary::Fmod, |a, b| a % b),
        (Binary::Remainder, |a, b| a - b * (a / b).floor()),
        (Binary::PRelu, |a, b| if a > 0.0 { a } else { a * b }),
        (Binary::Less, |a, b| f64::from(u8::from(a < b))),
        (Binary::LessEqual, |a, b| f64::from(u8::from(a <= b))),
        (Binary::Equal, |a, b| f64::from(u8::from(a == b))),
    ];
    for (f, definition) in fs {
        let pair = |at| {
            definition(
                a[broadcast_position(&a_shape, &full, at)],
                b[broadcast_position(&b_shape, &full, at)],
            )
        };
        let expected: Vec<f64> = (0..full.size()).map(pair).collect();
        let got = read(device, &device.binary(f, (&a_buf, &a_shape), (&b_buf, &b_shape), &full));
        assert_close(device, &format!("{f:?} of {a_shape} and {b_shape}"), &got, &expected, 1);
    }
}

pub(super) fn broadcasting(device: &Device) {
    let shapes: [(&[usize], &[usize]); 14] = [
        (&[], &[]),
        (&[5], &[]),
        (&[3, 1], &[1, 4]),
        (&[2, 3, 5], &[3, 1]),
        (&[1, 7, 1, 3], &[5, 1, 2, 1]),
        (&[2, 1, 3, 1, 2], &[1, 2, 1, 3, 1]),
        (&[2, 1, 2, 1, 2, 1, 2, 1], &[1, 3, 1, 2, 1, 2, 1, 3]),
        (&[2, 1, 2, 1, 2, 1, 2, 3], &[2, 3, 1, 2, 2, 2, 1, 3]),
        (&[1000], &[1000]),
        (&[1, 300], &[41, 1]),
        (&[13, 1], &[13, 300]),
        (&[0, 3], &[3]),
        (&[4, 1], &[1, 0]),
        (&[20_000, 3], &[3]),
    ];
    for (at, (a, b)) in shapes.into_iter().enumerate() {
        broadcast(device, a, b, at as u64);
        broadcast(device, b, a, at as u64);
    }
}

pub(super) fn sums_in_place(device: &Device) {
    for len in [0, 1, 7, 257, 70_000] {
        let ((x, x_buf), (y, mut y_buf)) = (random(device, len, 1), random(device, len, 2));
        device.axpy(-0.75, &x_buf, &mut y_buf);
        let expected: Vec<f64> = y.iter().zip(&x).map(|(y, x)| y - 0.75 * x).collect();
        assert_close(device, "axpy", &read(device, &y_buf), &expected, 1);
        let filled = read(device, &device.fill(len, 1.5));
        assert_eq!(filled, vec![1.5; len]);
    }
}

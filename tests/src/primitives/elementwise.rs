//! Element-wise maps, alone and with broadcasting.

use vivit::prelude::*;
use vivit::tensor::{Row, RowVisitor};

use super::{assert_close, random, read};

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
        HardTanh(-0.5, 0.75),
        Abs,
        Exp,
        Ln,
        Sqrt,
        Square,
        Recip,
        Scale(-2.5),
        Shift(0.25),
    ]
}

/// Arguments from the map's domain, some of them extreme.
fn arguments<B: Backend>(f: Unary, len: usize) -> Vec<B::Elem> {
    let positive = matches!(f, Unary::Ln | Unary::Sqrt);
    let away = matches!(f, Unary::Recip);
    let mut x: Vec<B::Elem> = Rng::new(len as u64).normal(len);
    if let [first, second, third, fourth, ..] = &mut x[..] {
        (*first, *second, *third, *fourth) =
            (B::Elem::of(0.0), B::Elem::of(-30.0), B::Elem::of(30.0), B::Elem::of(1.0));
    }
    let inside = |x: &B::Elem| {
        if positive {
            B::Elem::of(x.f64().abs() + 0.1)
        } else if away && x.f64().abs() < 0.1 {
            B::Elem::of(0.5)
        } else {
            *x
        }
    };
    x.iter().map(inside).collect()
}

pub(super) fn maps<B: Backend>(backend: &B) {
    for f in every_map() {
        for len in [0, 1, 13, 1000] {
            let x = arguments::<B>(f, len);
            let expected: Vec<f64> =
                x.iter().map(|x| f.visit(Defined { x: x.f64(), derivative: false })).collect();
            let got = read(backend, &backend.unary(f, &backend.upload(x)));
            assert_close::<B>(&format!("{f:?}"), &got, &expected, 4);
        }
    }
    let nan = backend.upload(vec![B::Elem::of(f64::NAN); 3]);
    for f in every_map() {
        assert!(
            read(backend, &backend.unary(f, &nan)).iter().all(|y| y.is_nan()),
            "{f:?} hides NaN"
        );
    }
}

pub(super) fn chains<B: Backend>(backend: &B) {
    for f in every_map() {
        for (columns, len) in [(1, 1), (0, 5), (3, 13), (7, 300), (2, 1000)] {
            let x = arguments::<B>(f, len);
            let (mat, mat_buf) = random(backend, columns * len, 3);
            let slope = |x: &B::Elem| f.visit(Defined { x: x.f64(), derivative: true });
            let expected: Vec<f64> =
                mat.iter().enumerate().map(|(at, m)| m * slope(&x[at % len])).collect();
            let x_buf = backend.upload(x);
            let y_buf = backend.unary(f, &x_buf);
            // Derivatives from a rounded y: off by ε times f″/f′, which is a few here.
            assert_close::<B>(
                &format!("f′ of {f:?}"),
                &read(backend, &backend.unary_chain(f, &x_buf, &y_buf, &mat_buf)),
                &expected,
                20,
            );
        }
    }
}

pub(super) fn second_derivatives<B: Backend>(backend: &B) {
    struct Second(f64);
    impl RowVisitor for Second {
        type Out = f64;
        fn visit<R: Row>(self, row: R) -> f64 {
            row.d2(self.0, row.f(self.0))
        }
    }
    for f in every_map() {
        for len in [0, 1, 13, 1000] {
            let x = arguments::<B>(f, len);
            let expected: Vec<f64> = x.iter().map(|x| f.visit(Second(x.f64()))).collect();
            let x_buf = backend.upload(x);
            let y_buf = backend.unary(f, &x_buf);
            let got = read(backend, &backend.unary_second(f, &x_buf, &y_buf));
            assert_close::<B>(&format!("f″ of {f:?}"), &got, &expected, 40);
        }
    }
}

/// Position in an array of `shape` that broadcasts to `full`, of position `at` of the latter.
fn broadcast_position(shape: &[usize], full: &[usize], mut at: usize) -> usize {
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
pub fn broadcast<B: Backend>(backend: &B, a_shape: &[usize], b_shape: &[usize], seed: u64) {
    let (a_shape, b_shape) = (Shape::new(a_shape), Shape::new(b_shape));
    let full = a_shape.broadcast(&b_shape).expect("shapes that broadcast");
    let ((a, a_buf), (b, b_buf)) =
        (random(backend, a_shape.size(), seed), random(backend, b_shape.size(), seed + 1));
    type Pair = (Binary, fn(f64, f64) -> f64);
    let fs: [Pair; 4] = [
        (Binary::Add, |a, b| a + b),
        (Binary::Sub, |a, b| a - b),
        (Binary::Mul, |a, b| a * b),
        (Binary::Div, |a, b| a / b),
    ];
    for (f, definition) in fs {
        let pair = |at| {
            definition(
                a[broadcast_position(&a_shape, &full, at)],
                b[broadcast_position(&b_shape, &full, at)],
            )
        };
        let expected: Vec<f64> = (0..full.size()).map(pair).collect();
        let got = read(backend, &backend.binary(f, (&a_buf, &a_shape), (&b_buf, &b_shape), &full));
        assert_close::<B>(&format!("{f:?} of {a_shape} and {b_shape}"), &got, &expected, 1);
    }
}

pub(super) fn broadcasting<B: Backend>(backend: &B) {
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
        broadcast(backend, a, b, at as u64);
        broadcast(backend, b, a, at as u64);
    }
}

pub(super) fn sums_in_place<B: Backend>(backend: &B) {
    for len in [0, 1, 7, 257, 70_000] {
        let ((x, x_buf), (y, mut y_buf)) = (random(backend, len, 1), random(backend, len, 2));
        backend.axpy(-0.75, &x_buf, &mut y_buf);
        let expected: Vec<f64> = y.iter().zip(&x).map(|(y, x)| y - 0.75 * x).collect();
        assert_close::<B>("axpy", &read(backend, &y_buf), &expected, 1);
        let filled = read(backend, &backend.fill(len, B::Elem::of(1.5)));
        assert_eq!(filled, vec![1.5; len]);
    }
}

//! Every operation's derivatives: finite differences, adjoints, kept and summed, structure, at
//! random shapes and options.

use std::ops::Range;

use proptest::prelude::*;
use vivit::autodiff::check::check_derivatives;
use vivit::autodiff::ops::{
    Arithmetic, AvgPool, BatchNormalize, Conv, ConvOptions, ConvTranspose, Embedding, Linear, Map,
    MatMul, MaxPool, Normalize, PoolOptions, Resample, Softmax, Sum,
};
use vivit::autodiff::{Batch, Graph, Io, Mse, Op, Tape};
use vivit::tensor::{Binary, Rng, Tensor, Unary};
use vivit_tests::zoo::host;

use crate::nets::{Opaque, config};

pub(crate) fn random(shape: &[usize], seed: u64) -> Tensor {
    Tensor::from_vec(&host(), shape, Rng::new(seed).normal(shape.iter().product())).unwrap()
}

/// Entries that differ pairwise by far more than a finite difference moves them: no ties for a
/// maximum, no kinks at zero.
pub(crate) fn distinct(shape: &[usize], seed: u64) -> Tensor {
    let len = shape.iter().product();
    let order = Rng::new(seed).permutation(len);
    let entries =
        order.iter().map(|&at| 0.05 * (at as f64 - len as f64 / 2.0) + 0.02).collect::<Vec<_>>();
    Tensor::from_vec(&host(), shape, entries).unwrap()
}

#[track_caller]
pub(crate) fn assert_right(op: &dyn Op, args: &[Tensor], batched: &[bool]) {
    let checks = check_derivatives(op, args, batched, 3).unwrap();
    let wrong: Vec<String> =
        checks.iter().filter(|check| !check.passed()).map(|check| check.to_string()).collect();
    assert!(wrong.is_empty(), "{op:?} of {args:?}:\n{}", wrong.join("\n"));
    assert!(checks.len() >= 4 * args.len());
}

/// Every map that is not piecewise constant.
pub(crate) fn maps() -> Vec<Unary> {
    use Unary::*;
    let infinity = f64::INFINITY;
    vec![
        Relu,
        Abs,
        Sigmoid,
        Tanh,
        Exp,
        Square,
        Scale(-1.7),
        Shift(0.3),
        LeakyRelu(0.1),
        Elu(0.7),
        Selu,
        LogSigmoid,
        Softplus(1.0),
        Softplus(2.5),
        Silu,
        Gelu,
        GeluTanh,
        HardTanh(-0.6, 0.5),
        HardTanh(-infinity, 0.5),
        HardTanh(-0.6, infinity),
        Mish,
        Softsign,
        Celu(0.6),
        ThresholdedRelu(0.2),
        HardSigmoid(1.0 / 6.0, 0.5),
        HardSigmoid(2.0, 0.3),
        HardSwish,
        Expm1,
        Sin,
        Cos,
        Tan,
        Atan,
        Sinh,
        Cosh,
        Asinh,
        Erf,
        Powf(0.0),
        Powf(1.0),
        Powf(2.0),
        Powf(3.0),
        Powf(5.0),
        Ln,
        Sqrt,
        Rsqrt,
        Recip,
        Powf(2.5),
        Powf(-1.0),
        Powf(-1.5),
        Log1p,
        Asin,
        Acos,
        Atanh,
        Acosh,
    ]
}

/// Where a map is defined.
pub(crate) fn domain(f: Unary) -> Range<f64> {
    match f {
        Unary::Ln | Unary::Sqrt | Unary::Rsqrt | Unary::Recip => 0.0..f64::INFINITY,
        Unary::Powf(p) if p < 0.0 || p.fract() != 0.0 => 0.0..f64::INFINITY,
        Unary::Log1p => -1.0..f64::INFINITY,
        Unary::Asin | Unary::Acos | Unary::Atanh => -1.0..1.0,
        Unary::Acosh => 1.0..f64::INFINITY,
        _ => f64::NEG_INFINITY..f64::INFINITY,
    }
}

#[test]
fn activations_survive_large_arguments() {
    use Unary::{Elu, Gelu, GeluTanh, LogSigmoid, Selu, Sigmoid, Silu, Softplus, Tanh};
    let x = Tensor::from_vec(&host(), [4], vec![-800.0, 800.0, -40.0, 40.0]).unwrap();
    for (f, expected) in [
        (Sigmoid, [0.0, 1.0]),
        (Tanh, [-1.0, 1.0]),
        (LogSigmoid, [-800.0, 0.0]),
        (Softplus(1.0), [0.0, 800.0]),
        (Silu, [0.0, 800.0]),
        (Gelu, [0.0, 800.0]),
        (GeluTanh, [0.0, 800.0]),
        (Elu(1.0), [-1.0, 800.0]),
        (Selu, [-1.758_099_340_847_376_6, 840.560_789_884_384_4]),
    ] {
        let y = x.unary(f);
        for (got, expected) in y.to_vec().unwrap().iter().zip(expected) {
            assert!(
                (got - expected).abs() <= 1e-13 * expected.abs().max(1e-3),
                "{f:?}: {got} for {expected}"
            );
        }
        let slopes = Tensor::full(&host(), [4], 1.0).unary_chain(f, &x, &y).to_vec().unwrap();
        assert!(slopes.iter().all(|slope| slope.is_finite()), "{f:?}: {slopes:?}");
    }
}

#[test]
fn elementwise_maps() {
    for f in maps() {
        let inside = |x: Tensor| match domain(f).start {
            f64::NEG_INFINITY | -1.0 => x,
            start => x.unary(Unary::Square).unary(Unary::Shift(start + 0.5)),
        };
        assert_right(&Map(f), &[inside(distinct(&[3, 4, 2], 1))], &[true]);
        assert_right(&Map(f), &[inside(distinct(&[4], 1))], &[false]);
    }
}

#[test]
fn second_derivatives_of_the_table() {
    struct Second(f64);
    impl vivit::tensor::RowVisitor for Second {
        type Out = (f64, f64);
        fn visit<R: vivit::tensor::Row>(self, row: R) -> (f64, f64) {
            let (x, h) = (self.0, 1e-5);
            let d1 = |x: f64| row.d1(x, row.f(x));
            (row.d2(x, row.f(x)), (d1(x + h) - d1(x - h)) / (2.0 * h))
        }
    }
    for f in maps() {
        for x in [-2.1, -0.4, 0.3, 0.9, 2.1].into_iter().filter(|x| domain(f).contains(x)) {
            let (second, difference) = f.visit(Second(x));
            // h² times a fourth derivative below 1e3.
            assert!(
                (second - difference).abs() <= 1e-7 * (1.0 + second.abs()),
                "{f:?} at {x}: {second} {difference}"
            );
        }
    }
}

#[test]
fn normalisation_of_what_does_not_vary() {
    // A row of zeros, a constant one, and one that is constant but for rounding: ε is all the
    // variance there is.
    let mut entries = vec![0.0; 4];
    entries.extend([1e3; 4]);
    entries.extend([1e3, 1e3, 1e3, 1e3 + 1e-13]);
    let x = Tensor::from_vec(&host(), [3, 4], entries).unwrap();
    assert_right(&Normalize { block: 4, centre: true, epsilon: 0.5 }, &[x], &[true]);
    let zeros = Tensor::zeros(&host(), [2, 4]);
    let mean_square = Normalize { block: 4, centre: false, epsilon: 0.5 };
    assert_eq!(mean_square.forward(&[&zeros]).to_vec().unwrap(), [0.0; 8]);
    assert_right(&mean_square, &[zeros], &[true]);
}

#[test]
fn operations_on_parameters_alone() {
    assert_right(
        &Arithmetic(Binary::Add),
        &[random(&[2, 3], 1), random(&[1, 3], 2)],
        &[false, false],
    );
    assert_right(
        &Linear,
        &[random(&[4, 3], 1), random(&[2, 3], 2), random(&[2], 3)],
        &[false, false, false],
    );
}

#[test]
fn a_wrong_derivative_is_found() {
    #[derive(Debug)]
    struct Wrong;
    impl Op for Wrong {
        fn name(&self) -> &'static str {
            "wrong"
        }
        fn forward(&self, args: &[&Tensor]) -> Tensor {
            args[0].unary(Unary::Square)
        }
        fn jac_t(&self, io: Io<'_>, _wrt: usize, mat: &Tensor, _batch: Batch) -> Tensor {
            mat.mul(io.args[0]) // lacks the factor 2
        }
    }
    let checks = check_derivatives(&Wrong, &[random(&[3, 2], 1)], &[true], 0).unwrap();
    let wrong: Vec<&str> =
        checks.iter().filter(|check| !check.passed()).map(|check| check.what).collect();
    assert_eq!(wrong, ["J·t and finite differences"]);
}

proptest! {
    #![proptest_config(config(32))]

    #[test]
    fn linear_with_extra_axes(
        n in 1usize..4,
        extra in prop::collection::vec(1usize..4, 0..3),
        i in 1usize..5,
        o in 1usize..5,
        bias in any::<bool>(),
        seed in 0u64..1000,
    ) {
        let shape = [&[n], &extra[..], &[i]].concat();
        let mut args = vec![random(&shape, seed), random(&[o, i], seed + 1)];
        let mut batched = vec![true, false];
        if bias {
            args.push(random(&[o], seed + 2));
            batched.push(false);
        }
        assert_right(&Linear, &args, &batched);
        assert_right(&Opaque(Linear), &args, &batched);
    }

    #[test]
    fn arithmetic(
        n in 1usize..4,
        shape in prop::collection::vec(1usize..4, 1..3),
        narrow in any::<bool>(),
        seed in 0u64..1000,
    ) {
        let full = [&[n], &shape[..]].concat();
        let mut other = shape.clone();
        if narrow {
            other[0] = 1;
        }
        use Binary::*;
        for f in [Add, Sub, Mul, Div, Max, Min, Fmod, Remainder, PRelu] {
            // Divisors away from zero.
            let second = |shape: &[usize]| {
                random(shape, seed + 1).unary(Unary::Square).unary(Unary::Shift(0.5))
            };
            assert_right(&Arithmetic(f), &[random(&full, seed), second(&full)], &[true, true]);
            assert_right(&Arithmetic(f), &[random(&full, seed), second(&other)], &[true, false]);
            assert_right(
                &Arithmetic(f),
                &[random(&other[other.len() - 1..], seed), second(&full)],
                &[false, true],
            );
        }
        let base = |shape: &[usize]| {
            random(shape, seed).unary(Unary::Square).unary(Unary::Shift(0.5))
        };
        for (a, b, batched) in [
            (&full, &full, [true, true]),
            (&full, &other, [true, false]),
            (&other[other.len() - 1..].to_vec(), &full, [false, true]),
        ] {
            assert_right(&Arithmetic(Pow), &[base(a), random(b, seed + 1)], &batched);
        }
    }

    #[test]
    fn products_per_sample(
        n in 1usize..3,
        lead in prop::collection::vec(1usize..3, 0..2),
        i in 1usize..4,
        j in 1usize..4,
        k in 1usize..4,
        transposed in any::<bool>(),
        seed in 0u64..1000,
    ) {
        let front = [&[n], &lead[..]].concat();
        let second = if transposed { [j, k] } else { [k, j] };
        let (a, b) = ([&front[..], &[i, k]].concat(), [&front[..], &second].concat());
        let args = [random(&a, seed), random(&b, seed + 1)];
        for batched in [[true, true], [false, false]] {
            assert_right(&MatMul { transposed, batched }, &args, &batched);
        }
    }

    #[test]
    fn products_that_repeat_a_factor(
        n in 1usize..4,
        lead in prop::collection::vec(1usize..4, 0..3),
        ones in prop::collection::vec(any::<(bool, bool)>(), 3),
        missing in 0usize..4,
        [i, j, k] in [1usize..4, 1usize..4, 1usize..4],
        transposed in any::<bool>(),
        seed in 0u64..1000,
    ) {
        // Leading axes of both sides, some of them one long, of either side the first ones missing.
        let side = |pick: fn(&(bool, bool)) -> bool, skip: usize| -> Vec<usize> {
            let axes = lead.iter().zip(&ones).skip(skip.min(lead.len()));
            axes.map(|(&len, ones)| if pick(ones) { 1 } else { len }).collect()
        };
        let second = if transposed { [j, k] } else { [k, j] };
        for (skip_a, skip_b) in [(0, missing), (missing, 0), (3, 3)] {
            let a = [&side(|x| x.0, skip_a)[..], &[i, k]].concat();
            let b = [&side(|x| x.1, skip_b)[..], &second].concat();
            for batched in [[true, true], [true, false], [false, true], [false, false]] {
                let of = |own: &[usize], has: bool, seed| {
                    random(&if has { [&[n], own].concat() } else { own.to_vec() }, seed)
                };
                let args = [of(&a, batched[0], seed), of(&b, batched[1], seed + 1)];
                let op = MatMul { transposed, batched };
                assert_right(&op, &args, &batched);
                assert_right(&Opaque(op), &args, &batched);
            }
        }
    }

    #[test]
    fn along_an_axis(
        n in 1usize..4,
        shape in prop::collection::vec(1usize..5, 1..4),
        pick in 0usize..3,
        seed in 0u64..1000,
    ) {
        let (axis, x) = (1 + pick % shape.len(), random(&[&[n], &shape[..]].concat(), seed));
        for log in [false, true] {
            assert_right(&Softmax { axis, log }, std::slice::from_ref(&x), &[true]);
        }
        assert_right(&Sum { axis, factor: 0.3 }, std::slice::from_ref(&x), &[true]);
    }

    #[test]
    fn normalisations(
        n in 1usize..4,
        blocks in 1usize..4,
        block in 2usize..6,
        positions in 1usize..4,
        seed in 0u64..1000,
    ) {
        let x = random(&[n, blocks, block], seed);
        for centre in [false, true] {
            assert_right(
                &Normalize { block, centre, epsilon: 1e-2 },
                std::slice::from_ref(&x),
                &[true],
            );
        }
        assert_right(
            &BatchNormalize { epsilon: 1e-2 },
            &[random(&[n + 2, blocks, positions], seed)],
            &[true],
        );
    }

    #[test]
    fn embeddings(
        n in 1usize..4,
        t in 1usize..4,
        vocabulary in 1usize..6,
        width in 1usize..4,
        seed in 0u64..1000,
    ) {
        let mut rng = Rng::new(seed);
        let ids = (0..n * t).map(|_| (rng.unit() * vocabulary as f64).floor()).collect::<Vec<_>>();
        let x = Tensor::from_vec(&host(), [n, t], ids).unwrap();
        let table = random(&[vocabulary, width], seed);
        // Near whole numbers the result is constant: their derivative is zero.
        assert_right(&Embedding, &[x.clone(), table.clone()], &[true, false]);
        assert_right(&Embedding, &[x.clone(), table.clone()], &[false, false]);
        // Rows are products with one-hot rows.
        let host = host();
        let hot = Tensor::from_buf(&host, [n * t, vocabulary], host.one_hot(x.buf(), vocabulary));
        let product =
            hot.gemm(&vivit::tensor::Gemm::new(n * t, width, vocabulary), &table, [n * t, width]);
        let rows = Embedding.forward(&[&x, &table]);
        prop_assert_eq!(product.to_vec().unwrap(), rows.to_vec().unwrap());
    }

    #[test]
    fn adaptive_pools(
        n in 1usize..3,
        c in 1usize..3,
        axes in prop::collection::vec((1usize..6, 1usize..6), 1..4),
        seed in 0u64..1000,
    ) {
        let input: Vec<usize> = axes.iter().map(|x| x.0).collect();
        let output: Vec<usize> = axes.iter().map(|x| x.1).collect();
        assert_right(
            &Resample::adaptive_average(&input, &output),
            &[random(&[&[n, c], &input[..]].concat(), seed)],
            &[true],
        );
    }

    #[test]
    fn transposed_convolutions(
        n in 1usize..3,
        axes in 1usize..4,
        c in 1usize..3,
        o in 1usize..3,
        groups in 1usize..3,
        options in prop::collection::vec(
            (1usize..4, 1usize..4, 0usize..2, 1usize..3, 1usize..4, 0usize..3),
            3,
        ),
        bias in any::<bool>(),
        seed in 0u64..1000,
    ) {
        let options = &options[..axes];
        let kernel: Vec<usize> = options.iter().map(|x| x.0).collect();
        // Padding that leaves something, output padding below stride or dilation.
        let padding = |x: &(usize, usize, usize, usize, usize, usize)| x.2.min(x.3 * (x.0 - 1) / 2);
        let op = ConvTranspose {
            options: ConvOptions {
                stride: options.iter().map(|x| x.1).collect(),
                padding: options.iter().map(padding).collect(),
                dilation: options.iter().map(|x| x.3).collect(),
                groups,
            },
            output_padding: options.iter().map(|x| x.5.min(x.1 - 1)).collect(),
        };
        let input: Vec<usize> = options.iter().map(|x| x.4).collect();
        let mut args = vec![
            random(&[&[n, groups * c], &input[..]].concat(), seed),
            random(&[&[groups * c, o], &kernel[..]].concat(), seed + 1),
        ];
        let mut batched = vec![true, false];
        if bias {
            args.push(random(&[groups * o], seed + 2));
            batched.push(false);
        }
        assert_right(&op, &args, &batched);
    }

    #[test]
    fn convolutions(
        n in 1usize..3,
        axes in 1usize..4,
        c in 1usize..3,
        o in 1usize..3,
        groups in 1usize..3,
        options in prop::collection::vec(
            (1usize..4, 1usize..3, 0usize..3, 1usize..3, 0usize..3),
            3,
        ),
        bias in any::<bool>(),
        seed in 0u64..1000,
    ) {
        let options = &options[..axes];
        let kernel: Vec<usize> = options.iter().map(|x| x.0).collect();
        // Room for the dilated kernel, and a little more.
        let input: Vec<usize> = options
            .iter()
            .map(|x| (x.3 * (x.0 - 1) + 1).saturating_sub(2 * x.2).max(1) + x.4)
            .collect();
        let op = Conv(ConvOptions {
            stride: options.iter().map(|x| x.1).collect(),
            padding: options.iter().map(|x| x.2).collect(),
            dilation: options.iter().map(|x| x.3).collect(),
            groups,
        });
        let mut args = vec![
            random(&[&[n, groups * c], &input[..]].concat(), seed),
            random(&[&[groups * o, c], &kernel[..]].concat(), seed + 1),
        ];
        let mut batched = vec![true, false];
        if bias {
            args.push(random(&[groups * o], seed + 2));
            batched.push(false);
        }
        assert_right(&op, &args, &batched);
    }

    #[test]
    fn pooling(
        n in 1usize..3,
        c in 1usize..3,
        axes in 1usize..4,
        options in prop::collection::vec((1usize..4, 1usize..3, 1usize..3, 0usize..4), 3),
        padded in any::<bool>(),
        ceil in any::<bool>(),
        counted in any::<bool>(),
        seed in 0u64..1000,
    ) {
        let options = &options[..axes];
        let kernel: Vec<usize> = options.iter().map(|x| x.0).collect();
        let pool = PoolOptions {
            stride: options.iter().map(|x| x.1).collect(),
            padding: kernel.iter().map(|k| if padded { k / 2 } else { 0 }).collect(),
            dilation: options.iter().map(|x| x.2).collect(),
            ceil,
            count_include_pad: counted,
            ..PoolOptions::new(&kernel)
        };
        let input: Vec<usize> = options.iter().map(|x| x.2 * (x.0 - 1) + 1 + x.3).collect();
        let x = distinct(&[&[n, c], &input[..]].concat(), seed);
        assert_right(&MaxPool::new(pool.clone()), std::slice::from_ref(&x), &[true]);
        let plain = PoolOptions { dilation: vec![1; axes], ..pool };
        assert_right(&AvgPool(plain), &[x], &[true]);
    }

    #[test]
    fn shapes(
        n in 1usize..3,
        c in 1usize..4,
        h in 2usize..5,
        pads in prop::collection::vec(-1isize..3, 4),
    ) {
        let mut tape = Tape::new(&host());
        let x = tape.input(random(&[n, c, h], 1));
        let w = tape.param(random(&[2, c * h], 2));
        let b = tape.param(random(&[c, h], 3));
        let x = tape.add(x, b);
        let padded = tape.zero_pad(x, &[(0, 0), (pads[0].max(0), pads[1])]);
        let cropped = tape.zero_pad(padded, &[(-pads[0].max(0), -pads[1])]);
        let flat = tape.flatten(cropped);
        let y = tape.linear(flat, w, None);
        let graph = Graph::new(tape, y).unwrap();
        // Cropping what was padded changes nothing; what was cropped first is lost.
        if pads[1] >= 0 {
            let expected = graph.tape().value(x).to_vec().unwrap();
            prop_assert_eq!(graph.tape().value(cropped).to_vec().unwrap(), expected);
        }
        let loss = Mse::sum(random(&[n, 2], 4));
        let gradient = graph.backward(&loss).unwrap();
        let columns = graph.value().shape().prefixed(&[1]);
        prop_assert_eq!(columns.rank(), 3);
        prop_assert_eq!(&**gradient[graph.param_id(b).unwrap()].shape(), &[c, h]);
    }
}

//! Element-wise maps: values and derivatives against ones computed with fifty digits, single
//! precision against double, and the derivatives at kinks.

use vivit::tensor::{Device, Row, RowVisitor, Scalar, Tensor, Unary};
use vivit_tests::zoo::host;

use crate::ops::{domain, maps};

/// `f`, `f′` and `f″` in the precision of the argument, from one of the table's rows.
struct At<E>(E);

impl<E: Scalar> RowVisitor for At<E> {
    type Out = [f64; 3];
    fn visit<R: Row>(self, row: R) -> [f64; 3] {
        let (x, y) = (self.0, row.f(self.0));
        [y, row.d1(x, y), row.d2(x, y)].map(E::f64)
    }
}

/// Values, slopes and second derivatives, computed by mpmath with fifty digits from the functions'
/// definitions and their numerical derivatives.
#[rustfmt::skip]
const DIGITS: &[(Unary, f64, [f64; 3])] = { use Unary::*; &[
    (Mish, -20.0, [-4.122307240628761e-08, -3.916191874348969e-08, -3.710076504245658e-08]),
    (Mish, -2.5, [-0.19681620390653334, -0.10974357275018569, -0.02114591127874778]),
    (Mish, 0.75, [0.6100183352182934, 0.985758355716688, 0.32457122066277644]),
    (Mish, 30.0, [30.0, 1.0, -2.0315104969447274e-24]),
    (Softsign, -1.25, [-0.5555555555555556, 0.19753086419753085, 0.1755829903978052]),
    (Softsign, 300.0, [0.9966777408637874, 1.1037405768148255e-05, -7.333824430663292e-08]),
    (Celu(0.5), -1.25, [-0.4589575006880506, 0.0820849986238988, 0.1641699972477976]),
    (Celu(0.5), 0.75, [0.75, 1.0, 0.0]),
    (HardSwish, -1.25, [-0.3645833333333333, 0.08333333333333333, 0.3333333333333333]),
    (HardSwish, 3.5, [3.5, 1.0, 0.0]),
    (HardSigmoid(0.25, 0.5), -1.25, [0.1875, 0.25, 0.0]),
    (HardSigmoid(0.25, 0.5), 3.5, [1.0, 0.0, 0.0]),
    (Expm1, 1.52587890625e-05, [1.5258905478413947e-05, 1.0000152589054785, 1.0000152589054785]),
    (Expm1, -1.25, [-0.7134952031398099, 0.2865047968601901, 0.2865047968601901]),
    (Log1p, 1.52587890625e-05, [1.5258672648362398e-05, 0.9999847414437646, -0.9999694831203527]),
    (Log1p, -0.75, [-1.3862943611198906, 4.0, -16.0]),
    (Rsqrt, 0.0625, [4.0, -32.0, 768.0]),
    (Rsqrt, 3.5, [0.5345224838248488, -0.07636035483212125, 0.0327258663566234]),
    (Powf(2.5), 0.75, [0.48713928962874675, 1.6237976320958225, 3.247595264191645]),
    (Powf(2.5), 3.5, [22.91765149399039, 16.369751067135994, 7.0156076002011405]),
    (Powf(-3.0), -1.25, [-0.512, -1.2288, -3.93216]),
    (Powf(-3.0), 3.5, [0.023323615160349854, -0.019991670137442734, 0.022847623014220265]),
    (Powf(4.0), -1.25, [2.44140625, -7.8125, 18.75]),
    (Powf(4.0), 3.5, [150.0625, 171.5, 147.0]),
    (Sin, -1.25, [-0.9489846193555862, 0.3153223623952687, 0.9489846193555862]),
    (Sin, 30.0, [-0.9880316240928618, 0.15425144988758405, 0.9880316240928618]),
    (Cos, -1.25, [0.3153223623952687, 0.9489846193555862, -0.3153223623952687]),
    (Cos, 30.0, [0.15425144988758405, 0.9880316240928618, -0.15425144988758405]),
    (Tan, -1.25, [-3.0095696738628313, 10.057509621834829, -60.53755190491547]),
    (Tan, 30.0, [-6.405331196646276, 42.02826773873001, -538.4099489757791]),
    (Asin, -0.75, [-0.848062078981481, 1.511857892036909, -2.5917563863489868]),
    (Asin, 0.984375, [1.3937886405068658, 5.679081660263128, 180.2996634187475]),
    (Acos, -0.75, [2.4188584057763776, -1.511857892036909, 2.5917563863489868]),
    (Acos, 0.984375, [0.17700768628803093, -5.679081660263128, -180.2996634187475]),
    (Atan, -1.25, [-0.8960553845713439, 0.3902439024390244, 0.38072575847709694]),
    (Atan, 300.0, [1.56746300580716, 1.1110987655692714e-05, -7.407242801097353e-08]),
    (Sinh, -1.25, [-1.6019190803008256, 1.8884238771610158, -1.6019190803008256]),
    (Sinh, 1.52587890625e-05, [1.525878906309212e-05, 1.0000000001164153, 1.525878906309212e-05]),
    (Cosh, -1.25, [1.8884238771610158, -1.6019190803008256, 1.8884238771610158]),
    (Cosh, 8.0, [1490.479161252178, 1490.4788257895502, 1490.479161252178]),
    (Asinh, -1.25, [-1.0475930126492587, 0.6246950475544243, 0.30472929148996303]),
    (Asinh, 1.52587890625e-5, [1.5258789061907882e-05, 0.9999999998835847, -1.525878905717093e-05]),
    (Asinh, 300.0, [6.39693243298235, 0.0033333148149691343, -1.1110925928497909e-05]),
    (Acosh, 1.0000152587890625, [0.005524264703569267, 181.0186454537414, -5931664.228544299]),
    (Acosh, 300.0, [6.396926877426795, 0.0033333518520061744, -1.1111296298868346e-05]),
    (Atanh, -0.984375, [-2.4220935432292956, 32.25196850393701, -2047.8730237460475]),
    (Atanh, 1.52587890625e-5, [1.5258789063684237e-05, 1.0000000002328306, 3.0517578139210855e-05]),
    (Atanh, 0.75, [0.9729550745276566, 2.2857142857142856, 7.836734693877551]),
    (Erf, -1.25, [-0.9229001282564583, 0.2365211224472908, 0.5913028061182269]),
    (Erf, 1.52587890625e-05, [1.7217699691893598e-05, 1.1283791668327914, -3.443539937844212e-05]),
    (Erf, 3.5, [0.9999992569016276, 5.399426777384783e-06, -3.7795987441693475e-05]),
]};

#[test]
fn maps_have_the_digits_of_their_definitions() {
    for (f, x, expected) in DIGITS {
        for (got, expected) in f.visit(At(*x)).into_iter().zip(expected) {
            let scale = if *expected == 0.0 { 1.0 } else { expected.abs() };
            let error = (got - expected).abs() / scale;
            assert!(error <= 8.0 * f64::EPSILON, "{f:?} at {x}: {got}, not {expected}");
        }
    }
}

#[test]
fn single_precision_has_its_digits() {
    // Values that keep them however small they are; of others, and of derivatives, numbers as large
    // as 1 may have been subtracted.
    use Unary::{Acosh, Asinh, Atanh, Erf, Expm1, Log1p, Mish, Rsqrt, Sinh, Softsign};
    let relative = [Acosh, Asinh, Atanh, Erf, Expm1, Log1p, Mish, Rsqrt, Sinh, Softsign];
    let magnitudes = [1e-6, 1e-3, 0.11, 0.47, 0.93, 1.000_1, 1.7, 2.9, 5.3, 11.0];
    for f in maps() {
        let points = magnitudes.iter().flat_map(|x| [*x as f32, -*x as f32]);
        for x in points.filter(|x| domain(f).contains(&f64::from(*x))) {
            let (single, double) = (f.visit(At(x)), f.visit(At(f64::from(x))));
            for (order, (got, expected)) in single.into_iter().zip(double).enumerate() {
                let floor = if order == 0 && relative.contains(&f) { 0.0 } else { 1.0 };
                let error = (got - expected).abs() / expected.abs().max(floor);
                assert!(
                    error <= 16.0 * f64::from(f32::EPSILON) || got == expected,
                    "{f:?}, derivative {order}, at {x}: {got}, not {expected}"
                );
            }
        }
    }
}

#[test]
fn derivatives_at_kinks_are_pytorchs() {
    use Unary::*;
    let infinity = f64::INFINITY;
    for (f, x, slope) in [
        (Relu, 0.0, 0.0),
        (HardTanh(0.0, 6.0), 0.0, 0.0),
        (HardTanh(0.0, 6.0), 6.0, 0.0),
        (HardTanh(-infinity, 6.0), -infinity, 0.0),
        (HardTanh(-infinity, 6.0), -1e300, 1.0),
        (HardSigmoid(1.0 / 6.0, 0.5), -3.0, 0.0),
        (HardSigmoid(1.0 / 6.0, 0.5), 3.0, 0.0),
        (HardSwish, -3.0, 0.0),
        (HardSwish, 3.0, 1.0),
        (Softsign, 0.0, 1.0),
        (Celu(0.5), 0.0, 1.0),
        (Elu(0.5), 0.0, 0.5),
        (ThresholdedRelu(0.5), 0.5, 0.0),
        (LeakyRelu(0.5), 0.0, 0.5),
        (Abs, 0.0, 0.0),
        (Sign, 0.0, 0.0),
        (Floor, 1.0, 0.0),
        (Round, 0.5, 0.0),
        (Sqrt, 0.0, infinity),
        (Rsqrt, 0.0, -infinity),
        (Powf(0.0), 0.0, 0.0),
        (Powf(1.0), 0.0, 1.0),
        (Powf(2.0), 0.0, 0.0),
        (Powf(0.5), 0.0, infinity),
        (Powf(-1.0), 0.0, -infinity),
        (Asin, 1.0, infinity),
        (Acosh, 1.0, infinity),
        (Atanh, -1.0, infinity),
    ] {
        let [_, got, second] = f.visit(At(x));
        assert_eq!(got, slope, "{f:?} at {x}");
        if slope.is_finite() {
            assert!(second.is_finite(), "{f:?} at {x} has the second derivative {second}");
        }
    }
}

#[test]
fn maps_survive_large_arguments() {
    use Unary::{Acosh, Asinh, Atan, Celu, Erf, HardSigmoid, HardSwish, Mish, Softsign};
    for device in [host(), Device::cpu()] {
        let x = Tensor::from_vec(&device, [2], vec![-1e30, 1e30]).unwrap();
        for (f, expected) in [
            (Asinh, [-69.770_699_970_381_32, 69.770_699_970_381_32]),
            (Acosh, [f64::NAN, 69.770_699_970_381_32]),
            (Atan, [-std::f64::consts::FRAC_PI_2, std::f64::consts::FRAC_PI_2]),
            (Celu(0.5), [-0.5, 1e30]),
            (Erf, [-1.0, 1.0]),
            (HardSigmoid(0.2, 0.5), [0.0, 1.0]),
            (HardSwish, [0.0, 1e30]),
            (Mish, [0.0, 1e30]),
            (Softsign, [-1.0, 1.0]),
        ] {
            let y = x.unary(f);
            let slopes = Tensor::full(&device, [2], 1.0).unary_chain(f, &x, &y);
            let second = x.unary_second(f, &y).to_vec().unwrap();
            let entries = y.to_vec().unwrap().into_iter().zip(slopes.to_vec().unwrap());
            for ((got, slope), (second, expected)) in entries.zip(second.into_iter().zip(expected))
            {
                let bound = 8.0 * device.dtype().epsilon();
                let close = (got - expected).abs() <= bound * expected.abs().max(1.0);
                let apart = expected.is_nan() && got.is_nan();
                assert!(close || apart, "{f:?} on {device}: {got} for {expected}");
                assert!(apart || slope.is_finite() && second.is_finite(), "{f:?} on {device}");
            }
        }
    }
}

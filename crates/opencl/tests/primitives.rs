//! Every primitive on a few small random cases, in both precisions and with the kernels for either
//! kind of device, against the CPU in double precision.
#![cfg(feature = "device")]

mod elsewhere;

use elsewhere::elsewhere;
use vivit_opencl::{Kernels, OpenClDevice, Selector};
use vivit_tensor::{
    AxisPicks, Binary, Buffer, ConvDims, ConvWeights, DType, Device, Gemm, HostVec, Index,
    NonFiniteSearch, Reduce, Rng, Shape, Unary, Window,
};

/// The same numbers on the device under test and on the CPU.
struct Pair<'d> {
    device: &'d Device,
    cpu: Device,
    rng: Rng,
}

/// A buffer on both.
struct Both {
    device: Buffer,
    cpu: Buffer,
}

impl Pair<'_> {
    /// The same numbers on both; single precision rounds them first.
    fn of(&self, numbers: Vec<f64>) -> Both {
        let device = self.device.upload(HostVec::F64(numbers));
        let rounded = self.device.download(&device).expect("they were sent");
        Both { device, cpu: self.cpu.upload(rounded) }
    }

    fn normal(&mut self, len: usize) -> Both {
        let numbers = self.rng.normal(len);
        self.of(numbers)
    }

    /// What a primitive gives on both, compared.
    #[track_caller]
    fn same(&self, what: &str, primitive: impl Fn(&Device, bool) -> Buffer) -> Both {
        let both = Both { device: primitive(self.device, true), cpu: primitive(&self.cpu, false) };
        self.assert_close(what, &both);
        both
    }

    #[track_caller]
    fn assert_close(&self, what: &str, both: &Both) {
        let got = self.device.download(&both.device).expect("the device works");
        let expected = self.cpu.download(&both.cpu).expect("the CPU works");
        assert_eq!(got.dtype(), self.device.dtype(), "{what}");
        assert_eq!(got.len(), expected.len(), "{what}");
        let bound = 100.0 * self.device.dtype().epsilon();
        for at in 0..got.len() {
            let (got, expected) = (got.at(at), expected.at(at));
            let same = got == expected || (got.is_nan() && expected.is_nan());
            let error = (got - expected).abs() / expected.abs().max(1.0);
            assert!(
                same || error <= bound,
                "{what} on {}, entry {at}: {got}, not {expected}",
                self.device
            );
        }
    }

    /// What accumulates into a buffer, on both, whether or not somebody else has the memory.
    #[track_caller]
    fn accumulates(&mut self, what: &str, len: usize, add: impl Fn(&Device, bool, &mut Buffer)) {
        for shared in [false, true] {
            let mut both = self.normal(len);
            let kept = shared.then(|| both.device.clone());
            let before = self.device.download(&both.device).expect("the device works");
            add(self.device, true, &mut both.device);
            add(&self.cpu, false, &mut both.cpu);
            self.assert_close(what, &both);
            if let Some(kept) = kept {
                assert_eq!(self.device.download(&kept), Ok(before), "{what} wrote what is shared");
            }
        }
    }
}

impl Both {
    fn on(&self, device: bool) -> &Buffer {
        if device { &self.device } else { &self.cpu }
    }
}

#[test]
fn primitives_agree_with_the_cpu() {
    if elsewhere("primitives_agree_with_the_cpu") {
        return;
    }
    let single = match Device::opencl(Selector::Default) {
        Ok(single) => single,
        Err(why) => return println!("SKIPPED: primitives on OpenCL devices: {why}"),
    };
    let double = single.with_dtype(DType::F64);
    if let Err(why) = &double {
        println!("SKIPPED: primitives in f64: {why}");
    }
    for device in [Some(single), double.ok()].into_iter().flatten() {
        for kernels in [Kernels::Cores, Kernels::Groups] {
            let device = device.with_opencl_kernels(kernels).expect("it is an OpenCL device");
            let mut pair = Pair { device: &device, cpu: Device::cpu_f64(), rng: Rng::new(1) };
            memory(&mut pair);
            copies(&mut pair);
            many_axes(&mut pair);
            maps(&mut pair);
            reductions(&mut pair);
            products(&mut pair);
            windows(&mut pair);
            convolutions(&mut pair);
            tables(&mut pair);
            searches(&mut pair);
            assert_eq!(device.check(), Ok(()));
            assert_eq!(device.opencl_finish(), Ok(()));
        }
    }
}

fn memory(pair: &mut Pair<'_>) {
    let device = pair.device;
    assert!(device.name().contains(device.dtype().name()) && device.memory().is_some());
    pair.same("fill", |on, _| on.fill(300, 1.25));
    pair.same("fill", |on, _| on.fill(0, 1.0));
    pair.same("eye", |on, _| on.eye(37));
    assert_eq!(device.scratch(7).len(), 7);
    let x = pair.normal(50);
    assert!(device.is_readable(&x.device) && !device.is_readable(&x.cpu));
    pair.assert_close(
        "slice",
        &Both { device: x.device.slice(7..31).slice(1..3), cpu: x.cpu.slice(8..10) },
    );
    let moved = |device: &Device| device.opencl_transfers().expect("an OpenCL device");
    let before = moved(device);
    device.upload(HostVec::F64(vec![0.0; 10]));
    let after = moved(device);
    assert_eq!(after.uploads - before.uploads, 1);
    assert_eq!(after.uploaded_bytes - before.uploaded_bytes, 10 * device.dtype().size() as u64);
}

fn copies(pair: &mut Pair<'_>) {
    let x = pair.normal(3 * 40 * 5);
    let shape = Shape::from([5, 3, 40]);
    pair.same("permutation", |on, d| on.copy_strided(x.on(d), &shape, &[1, 200, 5]));
    let shape = Shape::from([4, 3, 2, 40]);
    pair.same("repetition", |on, d| on.copy_strided(x.on(d), &shape, &[0, 200, 0, 5]));
    for pick in [&[7, 0, 39, 7][..], &[1, 4, 7], &[]] {
        pair.same("index_select", |on, d| on.index_select(x.on(d), 3, 40, 5, pick));
    }
    let shape = Shape::from([3, 40, 5]);
    for pads in [[(0, 2), (-3, 1), (0, 0)], [(1, 0), (2, -4), (3, -1)], [(0, 0); 3]] {
        pair.same("pad", |on, d| on.pad(x.on(d), &shape, &pads));
    }
    for (outer, lens) in [(1, [30, 0, 70]), (6, [1, 33, 0]), (70, [2, 40, 1]), (0, [1, 2, 3])] {
        let parts: Vec<Both> = lens.iter().map(|len| pair.normal(outer * len)).collect();
        pair.same("concat", |on, d| {
            on.concat(&parts.iter().map(|part| part.on(d)).collect::<Vec<_>>(), outer)
        });
    }
    let (left, right) = (x.device.slice(0..6), x.device.slice(6..600));
    let joined = pair.device.concat(&[&left, &right], 1);
    pair.assert_close("concat of slices", &Both { device: joined, cpu: x.cpu.clone() });
}

/// Maps of two arguments that do not turn rounding into something else.
const ALL_PAIRS: [Binary; 11] = [
    Binary::Add,
    Binary::Sub,
    Binary::Mul,
    Binary::Div,
    Binary::Max,
    Binary::Min,
    Binary::Pow,
    Binary::PRelu,
    Binary::Less,
    Binary::LessEqual,
    Binary::Equal,
];

/// As many axes as shapes have, none of which merge.
fn many_axes(pair: &mut Pair<'_>) {
    for rank in [3, 5, 8, 9, 10, Shape::MAX_RANK] {
        // Axes of two and, here and there, of three.
        let lens: Vec<usize> = (0..rank).map(|axis| if axis % 5 == 2 { 3 } else { 2 }).collect();
        let shape = Shape::new(&lens);
        let x = pair.normal(shape.size());
        let strides = shape.strides();
        let reversed = Shape::from_iter(lens.iter().rev().copied());
        let steps: Vec<usize> = strides[..rank].iter().rev().copied().collect();
        pair.same("many axes reversed", |on, d| on.copy_strided(x.on(d), &reversed, &steps));
        // Every other axis repeats.
        let thin = |keep: usize| {
            let lens = lens.iter().enumerate();
            Shape::from_iter(lens.map(|(axis, &len)| if axis % 2 == keep { len } else { 1 }))
        };
        let (a_shape, b_shape) = (thin(0), thin(1));
        let (a, b) = (pair.normal(a_shape.size()), pair.normal(b_shape.size()));
        for f in ALL_PAIRS {
            pair.same("many axes of two", |on, d| {
                on.binary(f, (a.on(d), &a_shape), (b.on(d), &b_shape), &shape)
            });
        }
        pair.same("many axes of three", |on, d| {
            on.select((a.on(d), &a_shape), (b.on(d), &b_shape), (x.on(d), &shape), &shape)
        });
        let pads: Vec<(isize, isize)> =
            (0..rank).map(|axis| [(1, 0), (-1, 1), (0, 1)][axis % 3]).collect();
        pair.same("many axes padded", |on, d| on.pad(x.on(d), &shape, &pads));
    }
}

fn maps(pair: &mut Pair<'_>) {
    let of_any = [
        Unary::Relu,
        Unary::Sigmoid,
        Unary::Tanh,
        Unary::LeakyRelu(0.1),
        Unary::Elu(0.7),
        Unary::Selu,
        Unary::LogSigmoid,
        Unary::Softplus(1.5),
        Unary::Silu,
        Unary::Gelu,
        Unary::GeluTanh,
        Unary::Mish,
        Unary::Softsign,
        Unary::Celu(0.6),
        Unary::ThresholdedRelu(0.4),
        Unary::HardTanh(-0.5, f64::INFINITY),
        Unary::HardTanh(-0.5, 0.75),
        Unary::HardSigmoid(0.2, 0.5),
        Unary::HardSwish,
        Unary::Abs,
        Unary::Sign,
        Unary::Floor,
        Unary::Ceil,
        Unary::Round,
        Unary::Trunc,
        Unary::Not,
        Unary::Exp,
        Unary::Expm1,
        Unary::Square,
        Unary::Powf(3.0),
        Unary::Powf(4.0),
        Unary::Sin,
        Unary::Cos,
        Unary::Tan,
        Unary::Atan,
        Unary::Sinh,
        Unary::Cosh,
        Unary::Asinh,
        Unary::Erf,
        Unary::Scale(-1.5),
        Unary::Shift(0.25),
    ];
    let of_positive = [
        Unary::Ln,
        Unary::Log1p,
        Unary::Sqrt,
        Unary::Rsqrt,
        Unary::Recip,
        Unary::Powf(2.5),
        Unary::Powf(-1.0),
    ];
    let of_fractions = [Unary::Asin, Unary::Acos, Unary::Atanh];
    let (any, mat) = (pair.normal(300), pair.normal(3 * 300));
    let [positive, fractions, above] = [(0.5, 2.0), (-0.9, 0.9), (1.1, 3.0)].map(|(low, high)| {
        let numbers = pair.rng.uniform(300, low, high);
        pair.of(numbers)
    });
    let of = |maps: &[Unary], x| maps.iter().map(move |f| (*f, x)).collect::<Vec<_>>();
    let cases = [
        of(&of_any, &any),
        of(&of_positive, &positive),
        of(&of_fractions, &fractions),
        of(&[Unary::Acosh], &above),
    ];
    for (f, x) in cases.concat() {
        let what = format!("{f:?}");
        let y = pair.same(&what, |on, d| on.unary(f, x.on(d)));
        // The same y on both, so that its rounding is not counted twice.
        let y = pair.of(pair.device.download(&y.device).expect("it is there").into_vec());
        pair.same(&what, |on, d| on.unary_chain(f, x.on(d), y.on(d), mat.on(d)));
        pair.same(&what, |on, d| on.unary_second(f, x.on(d), y.on(d)));
    }
    let (row, full) = (Shape::from([300]), Shape::from([3, 300]));
    pair.same("mul", |on, d| on.binary(Binary::Mul, (mat.on(d), &full), (any.on(d), &row), &full));
    for f in ALL_PAIRS {
        pair.same(&format!("{f:?}"), |on, d| {
            on.binary(f, (positive.on(d), &row), (any.on(d), &row), &row)
        });
    }
    let mask = pair.of((0..300).map(|at| f64::from(at % 3)).collect());
    pair.same("choice", |on, d| {
        on.select((mask.on(d), &row), (any.on(d), &row), (positive.on(d), &row), &row)
    });
    pair.same("choice among columns", |on, d| {
        on.select((mask.on(d), &row), (mat.on(d), &full), (positive.on(d), &row), &full)
    });
    pair.accumulates("axpy", 300, |on, d, y| on.axpy(-0.5, any.on(d), y));
    pair.accumulates("add_tiled_product", 12 * 75, |on, d, acc| {
        on.add_tiled_product(acc, mat.on(d), (12, 75), &any.on(d).slice(0..4 * 25), (4, 25));
    });
    let mut own = mat.device.clone();
    pair.device.axpy(1.0, &mat.device, &mut own);
    let twice = pair.cpu.unary(Unary::Scale(2.0), &mat.cpu);
    pair.assert_close("axpy to itself", &Both { device: own, cpu: twice });
}

fn reductions(pair: &mut Pair<'_>) {
    for [outer, axis, inner] in [[3, 40, 5], [2, 700, 1], [1, 300, 3], [4, 0, 2]] {
        let x = pair.normal(outer * axis * inner);
        for f in [Reduce::Sum, Reduce::SumSquares, Reduce::Max, Reduce::Min, Reduce::Product] {
            pair.same(&format!("{f:?}"), |on, d| on.reduce(f, x.on(d), outer, axis, inner));
        }
        let p = pair.same("softmax", |on, d| on.softmax(x.on(d), outer, axis, inner));
        if axis > 0 {
            // The same probabilities on both; draws well inside their intervals.
            let p = pair.of(pair.device.download(&p.device).expect("it is there").into_vec());
            let u = pair.rng.uniform(2 * outer * inner, 0.0, 1.0);
            pair.same("draw_one_hot", |on, d| {
                on.draw_one_hot(p.on(d), &u, outer, axis, inner).expect("it draws")
            });
        }
    }
}

fn products(pair: &mut Pair<'_>) {
    let (a, b) = (pair.normal(4 * 70 * 30), pair.normal(4 * 30 * 50));
    let batched = Gemm::new(70, 50, 30).batch(4, 70 * 30, 30 * 50, 70 * 50);
    let summed = Gemm::new(70, 50, 30).batch(4, 70 * 30, 30 * 50, 0);
    let transposed = Gemm::tn(70, 50, 30).scaled(-0.5).accumulating();
    for g in [batched, summed, Gemm::nt(70, 50, 30).skipping_zeros(), transposed] {
        let len = g.written();
        pair.accumulates("gemm", len, |on, d, c| on.gemm(&g, a.on(d), b.on(d), c));
    }
    // A long product of few rows and columns is cut into pieces.
    let g = Gemm::nt(2, 2, 4200);
    pair.accumulates("long gemm", 4, |on, d, c| on.gemm(&g, a.on(d), a.on(d), c));
    // What syrk leaves above the diagonal is no matter.
    let lower = pair.of((0..900).map(|at| f64::from(u8::from(at % 30 <= at / 30))).collect());
    let square = Shape::from([30, 30]);
    pair.same("syrk", |on, d| {
        let mut c = on.fill(900, 0.5);
        on.syrk(30, 100, a.on(d), &mut c);
        on.binary(Binary::Mul, (&c, &square), (lower.on(d), &square), &square)
    });
}

fn some_windows() -> Vec<Window> {
    let new = |input: &[usize], kernel: &[usize], stride: &[usize], padding: &[usize]| {
        Window::new(input, kernel, stride, padding, &vec![1; input.len()], false).expect("it fits")
    };
    vec![
        new(&[9], &[3], &[2], &[1]),
        new(&[6, 7], &[3, 2], &[1, 2], &[1, 0]),
        new(&[4, 3, 5], &[2, 2, 3], &[2, 1, 1], &[1, 0, 1]),
        new(&[5, 5], &[1, 1], &[1, 1], &[0, 0]),
        Window::new(&[9, 8], &[2, 3], &[1, 2], &[1, 1], &[2, 3], true).expect("it fits"),
    ]
}

fn windows(pair: &mut Pair<'_>) {
    for w in &some_windows() {
        let planes = 6;
        let (i, k, o) = (w.input_len(), w.kernel_len(), w.output_len());
        let (x, y, z) =
            (pair.normal(planes * i), pair.normal(planes * o), pair.normal(planes * k * o));
        pair.same("unfold", |on, d| on.unfold(x.on(d), planes, w));
        pair.same("unfold_windows", |on, d| on.unfold_windows(x.on(d), 2, 3, w));
        pair.same("fold", |on, d| on.fold(z.on(d), planes, w));
        pair.same("window_sum", |on, d| on.window_sum(x.on(d), planes, w));
        pair.same("window_spread", |on, d| on.window_spread(y.on(d), planes, w));
        let index = |on: &Device, d: bool| on.argmax(x.on(d), planes, w);
        let (more, more_out) = (pair.normal(2 * planes * i), pair.normal(2 * planes * o));
        pair.same("gather", |on, d| on.gather(more.on(d), &index(on, d), planes, w));
        pair.same("scatter_add", |on, d| on.scatter_add(more_out.on(d), &index(on, d), planes, w));
        // Into smaller planes, somewhere in the middle. The positions are seen by gathering numbers
        // that tell them.
        let (first, to) = ([0, 1, -1], w.input.map(|len| len.div_ceil(2)));
        let small = Window { input: to, ..*w };
        let numbers = pair.of((0..planes * small.input_len()).map(|at| at as f64).collect());
        let moved = |on: &Device, d: bool| -> (Index, Buffer) {
            on.translate_index(&index(on, d), planes * o, w.input, first, to).expect("it has it")
        };
        pair.same("translated indices", |on, d| {
            on.gather(numbers.on(d), &moved(on, d).0, planes, &small)
        });
        pair.same("what stays inside", |on, d| moved(on, d).1);
        let sent = pair.device.upload_index(vec![0; planes * o]);
        let first_of_each = pair.device.gather(&x.device, &sent, planes, w);
        let cpu = pair.cpu.upload_index(vec![0; planes * o]);
        let cpu = pair.cpu.gather(&x.cpu, &cpu, planes, w);
        pair.assert_close("upload_index", &Both { device: first_of_each, cpu });
    }
}

fn convolutions(pair: &mut Pair<'_>) {
    let dims = ConvDims { groups: 2, c: 3, o: 4 };
    let (n, columns) = (3, 2);
    for window in &some_windows() {
        let (i, k, t) = (window.input_len(), window.kernel_len(), window.output_len());
        let (x, w) = (pair.normal(n * 6 * i), pair.normal(8 * 3 * k));
        let y = pair.normal(columns * n * 8 * t);
        pair.same("conv", |on, d| on.conv(x.on(d), w.on(d), n, dims, window));
        pair.same("conv_transposed", |on, d| {
            on.conv_transposed(y.on(d), w.on(d), [columns, n], dims, window)
        });
        for summed in [false, true] {
            let (samples, rows) = (1..3, 1..4);
            let (held, window) = (n, *window);
            let p = ConvWeights { columns, held, samples, rows, summed, dims, window };
            pair.same("conv_weights", |on, d| on.conv_weights(&p, y.on(d), x.on(d)));
        }
        let other = pair.normal(2 * 6 * i);
        pair.same("window_products", |on, d| {
            on.window_products(x.on(d), other.on(d), [n, 2], [2, 3], window)
        });
    }
}

fn tables(pair: &mut Pair<'_>) {
    let ids = pair.of(vec![3.0, 0.0, 6.0, 3.0]);
    pair.same("one_hot", |on, d| on.one_hot(ids.on(d), 7));
    let bad = pair.of(vec![0.0, 7.0, 1.5, -1.0, 6.0, f64::NAN]);
    for from_end in [false, true] {
        pair.same("row_or_nan", |on, d| {
            on.row_or_nan(bad.on(d), 7, from_end).expect("the device works")
        });
    }
    let (x, y) = (pair.normal(2 * 7 * 30), pair.normal(2 * 4 * 30));
    let p = AxisPicks::along([2, 7, 30], 4);
    pair.same("gather_axis", |on, d| on.gather_axis(x.on(d), &on.positions(ids.on(d), &[7]), &p));
    pair.same("scatter_axis", |on, d| on.scatter_axis(y.on(d), &on.positions(ids.on(d), &[7]), &p));
    pair.same("first_equal", |on, d| {
        on.scatter_axis(y.on(d), &on.first_equal(&on.positions(ids.on(d), &[7]), 4), &p)
    });
    pair.same("cumsum", |on, d| on.cumsum(x.on(d), [2, 7, 30], true, true));
}

fn searches(pair: &mut Pair<'_>) {
    let device = pair.device;
    let (fine, mut numbers) = (pair.normal(10), pair.rng.normal(70_000));
    let large = pair.of(numbers.clone());
    (numbers[66_000], numbers[69_999]) = (f64::NEG_INFINITY, f64::NAN);
    let bad = pair.of(numbers);
    assert_eq!(device.first_non_finite(&large.device), Ok(None));
    assert_eq!(device.first_non_finite(&bad.device), Ok(Some(66_000)));
    let search = |arrays: &[&Buffer]| device.search_non_finite(arrays).expect("the device works");
    for (search, found) in [
        (search(&[&fine.device, &large.device]), None),
        (search(&[&fine.device, &bad.device]), Some((1, 66_000))),
        (NonFiniteSearch::Done(Some((0, 0))), Some((0, 0))),
    ] {
        let mut x = device.fill(3, 1.0);
        search.mark(&**device, &mut x);
        assert_eq!(search.wait(), Ok(found));
        let marked = device.download(&x).expect("the device works");
        assert_eq!(marked.at(0).is_nan(), found.is_some());
    }
}

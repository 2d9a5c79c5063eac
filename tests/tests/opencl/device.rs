//! The tests.

use vivit::opencl::{Error, Kernels, Selector, devices};
use vivit::prelude::*;
use vivit::tensor::{Error as TensorError, Gemm};
use vivit_tests::case::{Case, list, own_cases};
use vivit_tests::report::Report;
use vivit_tests::{dense, primitives, reference, zoo};

/// A named test.
type Test<'t> = (String, Box<dyn FnOnce() + 't>);

/// All tests.
pub fn tests<'t>(single: &'t OpenCl<f32>, double: Option<&'t OpenCl<f64>>) -> Vec<Test<'t>> {
    let mut all: Vec<Test<'t>> = Vec::new();
    of_type(single, &mut all);
    if let Some(double) = double {
        of_type(double, &mut all);
    }
    all.push(("unknown devices are errors".into(), Box::new(unknown_devices)));
    all
}

fn of_type<'t, E: Scalar>(cl: &'t OpenCl<E>, all: &mut Vec<Test<'t>>) {
    suite(cl, all);
    let rows: [primitives::Check<OpenCl<E>>; 6] = [
        ("reference cases", reference_cases),
        ("the zoo against finite differences", finite_differences),
        ("results come back in few reads", reads),
        ("the same bits from run to run", same_bits),
        ("refused memory", refused_memory),
        ("NaN is found", nan),
    ];
    all.extend(rows.map(|(name, test)| -> Test<'t> { (format!("{}: {name}", E::NAME), Box::new(move || test(cl))) }));
}

/// The shared suite, with the kernels for either kind of device.
fn suite<'t, E: Scalar>(cl: &'t OpenCl<E>, all: &mut Vec<Test<'t>>) {
    for kernels in [Kernels::Cores, Kernels::Groups] {
        for (name, check) in primitives::checks::<OpenCl<E>>() {
            let cl = cl.clone().with_kernels(kernels);
            all.push((format!("{} {kernels:?}: {name}", E::NAME), Box::new(move || check(&cl))));
        }
    }
}

#[track_caller]
fn assert_passed(report: &Report, least: usize) {
    let failures: Vec<String> = report.rows.iter().filter(|row| row.is_failure()).map(ToString::to_string).collect();
    assert!(failures.is_empty(), "{}", failures.join("\n"));
    assert!(report.rows.len() >= least, "only {} checks", report.rows.len());
}

fn reference_cases<E: Scalar>(cl: &OpenCl<E>) {
    let mut report = Report::default();
    for path in list(&own_cases()).expect("the project's cases") {
        reference::check(cl, &Case::read(&path).expect("a case"), &mut report);
    }
    assert_passed(&report, 400);
}

fn finite_differences<E: Scalar>(cl: &OpenCl<E>) {
    let mut report = Report::default();
    for (problem, own) in zoo::problems().iter().zip(&zoo::problems_on(cl)) {
        dense::check_on(problem, own, &mut report);
    }
    for (problem, own) in zoo::layers::each().iter().zip(&zoo::layers::each_on(cl)) {
        dense::check_on(problem, own, &mut report);
    }
    assert_passed(&report, 600);
}

/// A convolutional network with a batch and a loss.
fn network<E: Scalar>(cl: &OpenCl<E>) -> (Sequential<OpenCl<E>>, Tensor<OpenCl<E>>, CrossEntropy) {
    let layers =
        vec![conv2d(2, 3, 3), relu(), max_pool2d(2, 2), avg_pool2d(2, 1), flatten(), linear(3, 5), tanh(), linear(5, 4)];
    let model = Sequential::new(cl, layers, 1).expect("a sound model");
    let x = Tensor::from_vec(cl, &[6, 2, 6, 6], Rng::new(2).normal(6 * 2 * 36)).expect("it fits");
    (model, x, CrossEntropy::mean(vec![0, 3, 1, 2, 0, 1]))
}

/// `VᵀV` and `Vᵀg` of each group are the results; the one number beside them says that nothing was NaN.
fn reads<E: Scalar>(cl: &OpenCl<E>) {
    let (model, x, loss) = network(cl);
    for groups in [1, 3] {
        let before = cl.transfers();
        let graph = model.forward(&x).expect("it fits");
        assert_eq!(cl.transfers().downloads, before.downloads, "the forward pass reads from the device");
        let params = graph.params();
        let share = params.len().div_ceil(groups);
        let list: Vec<Group<'_>> = params.chunks(share).map(|params| Group::new(params.to_vec(), top_k(2))).collect();
        assert_eq!(list.len(), groups);
        let ggn = Ggn::new(&graph, &loss);
        let derivatives = ggn.directional_derivatives(&list).expect("there are two directions");
        let after = cl.transfers();
        assert_eq!(after.downloads - before.downloads, 2 * groups as u64 + 1, "with {groups} groups");
        let rows = (derivatives[0].gram_eigenvectors.cols() * size_of::<E>()) as u64;
        let gram = rows * rows / size_of::<E>() as u64;
        let verdict = 4 * (params.len() as u64 + 2);
        assert_eq!(after.downloaded_bytes - before.downloaded_bytes, groups as u64 * (gram + rows * 6) + verdict);
    }
    let before = cl.transfers().downloads;
    let graph = model.forward(&x).expect("it fits");
    graph.backward(&loss).expect("it is finite");
    assert_eq!(cl.transfers().downloads - before, 1, "a gradient reads the verdict on NaN and nothing else");
}

fn same_bits<E: Scalar>(cl: &OpenCl<E>) {
    let run = || {
        let (model, x, loss) = network(cl);
        let graph = model.forward(&x).expect("it fits");
        let groups = [Group::new(graph.params(), top_k(3))];
        let found = Ggn::new(&graph, &loss).directional_derivatives(&groups).expect("there are directions").remove(0);
        (found.eigenvalues, found.gammas.into_vec(), found.lambdas.into_vec())
    };
    let first = run();
    for _ in 0..3 {
        assert!(run() == first, "two runs differ");
    }
}

/// The process goes on, and so does the backend.
fn refused_memory<E: Scalar>(cl: &OpenCl<E>) {
    let len = u32::MAX as usize;
    let bytes = (len * size_of::<E>()) as u64;
    if cl.info().largest_array >= bytes {
        println!("SKIPPED: {} gives {bytes} bytes at a time", cl.info().name);
        return;
    }
    let large = cl.fill(len, E::of(1.0));
    let summed = cl.reduce(Reduce::Sum, &large, 1, len, 1);
    let error = cl.download(&summed).expect_err("more than the device gives");
    let TensorError::Memory { bytes: asked, largest, total, .. } = &error else { panic!("{error}") };
    assert!(*asked >= bytes && *largest == cl.info().largest_array && *total == cl.info().memory, "{error}");
    assert!(error.to_string().contains("fewer samples"), "{error}");
    // What came of it stays an error; all else works.
    let fine = cl.fill(3, E::of(2.0));
    assert_eq!(cl.download(&fine), Ok(vec![E::of(2.0); 3]));
    assert!(cl.download(&summed).is_err());
    assert_eq!(cl.check(), Ok(()));
    // Through `check`, too, and through memory that is written in place.
    let mut sum = cl.fill(1, E::of(0.0));
    cl.axpy(1.0, &summed, &mut sum);
    assert!(matches!(cl.check(), Err(TensorError::Memory { .. })));
    cl.gemm(&Gemm::new(1, 1, 1), &fine, &fine, &mut sum);
    assert!(cl.download(&sum).is_err());
    // More entries than the kernels count.
    let more = cl.fill(len + 1, E::of(0.0));
    let message = cl.download(&more).expect_err("too many").to_string();
    assert!(message.contains("4294967296"), "{message}");
}

fn nan<E: Scalar>(cl: &OpenCl<E>) {
    let (model, _, loss) = network(cl);
    let mut data: Vec<E> = Rng::new(2).normal(6 * 2 * 36);
    data[77] = E::of(f64::NAN);
    let x = Tensor::from_vec(cl, &[6, 2, 6, 6], data).expect("it fits");
    let graph = model.forward(&x).expect("shapes fit");
    let message = graph.backward(&loss).expect_err("NaN").to_string();
    assert!(message.contains("input 0") && message.contains("NaN"), "{message}");
}

fn unknown_devices() {
    let all = devices().expect("there is a device");
    let error = OpenCl::<f32>::new(all.len()).expect_err("one too many");
    assert_eq!(error, Error::IndexOutOfRange { index: all.len(), devices: all.clone() });
    assert!(error.to_string().contains(&all[0].name), "{error}");
    let error = OpenCl::<f32>::new("no device has such a name").expect_err("an unknown name");
    assert!(matches!(&error, Error::NoMatch { wanted, .. } if wanted == "no device has such a name"), "{error}");
    assert!(OpenCl::<f32>::new(Selector::Kind(all[0].kind)).is_ok());
    for info in all {
        if !info.doubles {
            assert!(matches!(OpenCl::<f64>::new(info.index), Err(Error::NoDoubles { .. })));
        }
    }
    let error: vivit::Error = Error::NoPlatform.into();
    assert!(error.to_string().contains("pocl-opencl-icd"), "{error}");
}

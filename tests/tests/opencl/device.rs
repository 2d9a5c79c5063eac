//! The tests.

use std::cell::OnceCell;

use vivit::autodiff::{BceWithLogits, CrossEntropy, Loss, Mse, ParamId};
use vivit::curvature::{Ggn, constant, top_k};
use vivit::extend::{BatchGrad, run};
use vivit::nn::*;
use vivit::opencl::{DeviceInfo, Error, Kernels, OpenClDevice, Selector, Transfers, devices};
use vivit::tensor::{DType, Device, Error as TensorError, Gemm, HostVec, Reduce, Rng, Tensor};
use vivit_tests::case::{Case, list, own_cases};
use vivit_tests::report::Report;
use vivit_tests::{dense, primitives, reference, zoo};

use crate::runner::{Only, elsewhere};

/// A named test.
type Test<'t> = (String, Box<dyn FnOnce() + 't>);

/// All tests.
pub fn tests<'t>(single: &'t Device, double: Option<&'t Device>) -> Vec<Test<'t>> {
    let mut all: Vec<Test<'t>> = Vec::new();
    of_type(single, &mut all);
    if let Some(double) = double {
        of_type(double, &mut all);
    }
    all.push(("unknown devices are errors".into(), Box::new(unknown_devices)));
    all.push(("memory runs out".into(), Box::new(memory_runs_out)));
    all.push(("no platform is an error at once".into(), Box::new(no_platform)));
    all.push(("no library is an error at once".into(), Box::new(no_library)));
    all
}

fn of_type<'t>(cl: &'t Device, all: &mut Vec<Test<'t>>) {
    suite(cl, all);
    let rows: [primitives::Check; 8] = [
        ("reference cases", reference_cases),
        ("the zoo against finite differences", finite_differences),
        ("nothing is read but results", reads),
        ("nothing is read but results of other models", reads_of_other_models),
        ("the same bits from run to run", same_bits),
        ("refused memory", refused_memory),
        ("NaN is found", nan),
        ("bad numbers on the device are found", bad_numbers),
    ];
    all.extend(rows.map(|(name, test)| -> Test<'t> {
        (format!("{}: {name}", cl.dtype()), Box::new(move || test(cl)))
    }));
}

/// The shared suite, with the kernels for either kind of device.
fn suite<'t>(cl: &'t Device, all: &mut Vec<Test<'t>>) {
    for kernels in [Kernels::Cores, Kernels::Groups] {
        for (name, check) in primitives::checks() {
            let cl = cl.with_opencl_kernels(kernels).expect("an OpenCL device");
            let name = format!("{} {kernels:?}: {name}", cl.dtype());
            all.push((name, Box::new(move || check(&cl))));
        }
    }
}

#[track_caller]
fn assert_passed(report: &Report, least: usize) {
    let failures: Vec<String> =
        report.rows.iter().filter(|row| row.is_failure()).map(ToString::to_string).collect();
    assert!(failures.is_empty(), "{}", failures.join("\n"));
    assert!(report.rows.len() >= least, "only {} checks", report.rows.len());
}

fn reference_cases(cl: &Device) {
    let mut report = Report::default();
    for path in list(&own_cases()).expect("the project's cases") {
        reference::check(cl, &Case::read(&path).expect("a case"), &mut report);
    }
    assert_passed(&report, 400);
}

fn finite_differences(cl: &Device) {
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
fn network(cl: &Device) -> (Sequential, Tensor, CrossEntropy) {
    let layers = vec![
        conv2d(2, 3, 3),
        relu(),
        max_pool2d(2, 2),
        avg_pool2d(2, 1),
        flatten(),
        linear(3, 5),
        tanh(),
        linear(5, 4),
    ];
    let model = Sequential::new(cl, layers, 1).expect("a sound model");
    let x = Tensor::from_vec(cl, [6, 2, 6, 6], Rng::new(2).normal(6 * 2 * 36)).expect("it fits");
    (model, x, CrossEntropy::mean(vec![0, 3, 1, 2, 0, 1]))
}

fn info(cl: &Device) -> &DeviceInfo {
    cl.opencl_info().expect("an OpenCL device")
}

fn transfers(cl: &Device) -> Transfers {
    cl.opencl_transfers().expect("an OpenCL device")
}

/// What `work` moves.
fn moved(cl: &Device, work: impl FnOnce()) -> [u64; 3] {
    let before = transfers(cl);
    work();
    let after = transfers(cl);
    let reads = after.downloads - before.downloads;
    [after.uploads - before.uploads, reads, after.downloaded_bytes - before.downloaded_bytes]
}

/// `VᵀV` of each group is the result, and all that is read, but for how V's columns make the
/// gradients, once. A loss sends its targets once; nothing else is sent.
fn reads(cl: &Device) {
    let (model, x, loss) = network(cl);
    for (groups, targets) in [(1, 2), (3, 0)] {
        let graph = OnceCell::new();
        assert_eq!(
            moved(cl, || graph.set(model.forward(&x).expect("it fits")).expect("once")),
            [0; 3],
            "the forward pass"
        );
        let graph = graph.get().expect("set above");
        let params = graph.params();
        let share = params.len().div_ceil(groups);
        let blocks = Ggn::new(graph, &loss).blocks(params.chunks(share).map(<[ParamId]>::to_vec));
        assert_eq!(blocks.groups().len(), groups);
        // Rows (column, sample) of V: C − 1 = 3 columns of 6 samples.
        let (size, rows) = (cl.dtype().size() as u64, 18);
        // Their weights in the gradients, with what tells whether these can be trusted.
        let weights = size * (rows + 2 * 6);
        let bytes = weights + groups as u64 * size * rows * rows;
        let all = moved(cl, || {
            drop(blocks.directional_derivatives(top_k(2)).expect("there are two directions"))
        });
        assert_eq!(all, [targets, 1 + groups as u64, bytes], "with {groups} groups");
        // Eigenvectors stay on the device. Their weights are sent, per group.
        let vectors =
            moved(cl, || drop(blocks.eigenpairs(top_k(2)).expect("there are two directions")));
        assert_eq!(
            vectors,
            [groups as u64, groups as u64, groups as u64 * size * rows * rows],
            "with {groups} groups"
        );
        let steps = moved(cl, || {
            drop(blocks.newton_step(top_k(2), constant(0.1)).expect("there are two directions"))
        });
        assert_eq!(steps, [groups as u64, 1 + groups as u64, bytes], "with {groups} groups");
    }
    // Results that stay on the device come with one read of what it has found of NaN: four bytes
    // for each parameter, input and output.
    let graph = model.forward(&x).expect("it fits");
    let verdict = 4 * (graph.params().len() as u64 + 2);
    assert_eq!(moved(cl, || drop(graph.backward(&loss).expect("it is finite"))), [0, 1, verdict]);
    assert_eq!(
        moved(cl, || drop(graph.backward(&loss).expect("it is finite"))),
        [0; 3],
        "what is known is not asked again"
    );
}

/// Other losses, and layers that check or weigh their input: nothing is read but results.
fn reads_of_other_models(cl: &Device) {
    let table = || vec![embedding(5, 4), flatten(), linear(12, 3)];
    let pools = || vec![avg_pool1d(3, 2), adaptive_avg_pool1d(2), flatten(), linear(4, 3)];
    let numbers = |shape: &[usize], scale: f64| {
        let data =
            (0..shape.iter().product()).map(|at| (at % 5) as f64 * scale).collect::<Vec<_>>();
        Tensor::from_vec(cl, shape, data).expect("it fits")
    };
    let targets = || numbers(&[6, 3], 0.25);
    let losses: [Box<dyn Loss>; 3] = [
        Box::new(Mse::mean(targets())),
        Box::new(BceWithLogits::mean(targets())),
        Box::new(BceWithLogits::sum(targets()).pos_weight(Tensor::full(cl, [3], 2.0))),
    ];
    // The adaptive pooling's weights, and where they come from and go to, are sent with the forward
    // pass.
    for (layers, x, sent) in
        [(table(), numbers(&[6, 3], 1.0), 0), (pools(), numbers(&[6, 2, 9], 0.5), 3)]
    {
        let model = Sequential::new(cl, layers, 1).expect("a sound model");
        for loss in &losses {
            let graph = OnceCell::new();
            let forward =
                moved(cl, || graph.set(model.forward(&x).expect("it fits")).expect("once"));
            assert_eq!(forward, [sent, 0, 0], "the forward pass");
            let graph = graph.get().expect("set above");
            let ggn = Ggn::new(graph, loss.as_ref());
            let [sent, read, _] = moved(cl, || {
                drop(ggn.directional_derivatives(top_k(2)).expect("there are two directions"))
            });
            assert_eq!([sent, read], [0, 2], "{}", loss.name());
            let [sent, read, _] =
                moved(cl, || drop(graph.losses(loss.as_ref()).expect("it is finite")));
            assert_eq!([sent, read], [0, 1], "{}", loss.name());
        }
    }
}

fn same_bits(cl: &Device) {
    let run = || {
        let (model, x, loss) = network(cl);
        let graph = model.forward(&x).expect("it fits");
        let found = Ggn::new(&graph, &loss)
            .directional_derivatives(top_k(3))
            .expect("there are directions");
        (found.eigenvalues, found.gammas.into_vec(), found.lambdas.into_vec())
    };
    let first = run();
    for _ in 0..3 {
        assert!(run() == first, "two runs differ");
    }
}

/// The process goes on, and so does the backend.
fn refused_memory(cl: &Device) {
    let len = u32::MAX as usize;
    let bytes = (len * cl.dtype().size()) as u64;
    if info(cl).largest_array >= bytes {
        println!("SKIPPED: {} gives {bytes} bytes at a time", info(cl).name);
        return;
    }
    let large = cl.fill(len, 1.0);
    let summed = cl.reduce(Reduce::Sum, &large, 1, len, 1);
    let error = cl.download(&summed).expect_err("more than the device gives");
    let TensorError::Memory { bytes: asked, largest, total, .. } = &error else {
        panic!("{error}")
    };
    assert!(
        *asked >= bytes && *largest == info(cl).largest_array && *total == info(cl).memory,
        "{error}"
    );
    assert!(error.to_string().contains("fewer samples"), "{error}");
    // What came of it stays an error; all else works.
    let fine = cl.fill(3, 2.0);
    assert_eq!(cl.download(&fine), Ok(HostVec::filled(cl.dtype(), 3, 2.0)));
    assert!(cl.download(&summed).is_err());
    assert_eq!(cl.check(), Ok(()));
    // Through `check`, too, and through memory that is written in place.
    let mut sum = cl.fill(1, 0.0);
    cl.axpy(1.0, &summed, &mut sum);
    assert!(matches!(cl.check(), Err(TensorError::Memory { .. })));
    cl.gemm(&Gemm::new(1, 1, 1), &fine, &fine, &mut sum);
    assert!(cl.download(&sum).is_err());
    // More entries than the kernels count.
    let more = cl.fill(len + 1, 0.0);
    let message = cl.download(&more).expect_err("too many").to_string();
    assert!(message.contains("4294967296"), "{message}");
}

/// Whatever is asked for, NaN is an error, and the error says where.
fn nan(cl: &Device) {
    let (model, fine, loss) = network(cl);
    let mut data = Rng::new(2).normal(6 * 2 * 36);
    data[77] = f64::NAN;
    let x = Tensor::from_vec(cl, [6, 2, 6, 6], data).expect("it fits");
    let check = |message: String| {
        assert!(message.contains("input 0") && message.contains("[1, 0, 0, 5]"), "{message}")
    };
    let graph = || model.forward(&x).expect("shapes fit");
    check(graph().backward(&loss).expect_err("NaN").to_string());
    let now = graph();
    let ggn = Ggn::new(&now, &loss);
    check(ggn.directional_derivatives(top_k(2)).expect_err("NaN").to_string());
    check(ggn.spectrum().expect_err("NaN").to_string());
    check(ggn.eigenpairs(top_k(2)).expect_err("NaN").to_string());
    check(ggn.newton_step(top_k(2), constant(0.1)).expect_err("NaN").to_string());
    check(run(&now, &loss, (BatchGrad::new(),)).expect_err("NaN").to_string());
    let columns = Tensor::full(cl, now.value().shape().prefixed(&[1]), 1.0);
    check(now.vjp(&columns).expect_err("NaN").to_string());
    let graph = model.forward(&fine).expect("it fits");
    let message = graph.vjp(&columns.scale(f64::INFINITY)).expect_err("infinite").to_string();
    assert!(message.contains("the seed's columns") && message.contains("[0, 0, 0]"), "{message}");
    assert!(Ggn::new(&graph, &loss).spectrum().is_ok());
}

/// Targets, weights and ids that no host has seen.
fn bad_numbers(cl: &Device) {
    let array = |shape: &[usize], bad: f64, at: usize| {
        let mut data = vec![0.5; shape.iter().product()];
        data[at] = bad;
        Tensor::from_vec(cl, shape, data).expect("it fits")
    };
    let model = Sequential::new(cl, vec![linear(2, 3)], 1).expect("a sound model");
    let graph = model.forward(&array(&[4, 2], 1.0, 0)).expect("it fits");
    let check = |loss: &dyn Loss, words: &[&str]| {
        let messages = [
            graph.backward(loss).expect_err("bad numbers").to_string(),
            graph.losses(loss).expect_err("bad numbers").to_string(),
            Ggn::new(&graph, loss)
                .directional_derivatives(top_k(1))
                .expect_err("bad numbers")
                .to_string(),
        ];
        for message in messages {
            words.iter().for_each(|word| assert!(message.contains(word), "{word}: {message}"));
        }
    };
    check(&Mse::mean(array(&[4, 3], f64::NAN, 5)), &["the target", "[1, 2]", "NaN"]);
    for bad in [1.5, -0.25, 1.0 + 2.0 * cl.dtype().epsilon(), -1e-30] {
        check(&BceWithLogits::mean(array(&[4, 3], bad, 5)), &["position 5", "[0, 1]"]);
    }
    for bad in [0.0, -1.0, f64::INFINITY] {
        let weights = array(&[3], bad, 1);
        check(
            &BceWithLogits::mean(array(&[4, 3], 1.0, 0)).pos_weight(weights),
            &["pos_weight", "positive"],
        );
    }
    for good in [0.0, 1.0] {
        assert!(graph.losses(&BceWithLogits::mean(array(&[4, 3], good, 2))).is_ok());
    }
    let model = Sequential::new(cl, vec![embedding(4, 2), flatten(), linear(4, 3)], 1)
        .expect("a sound model");
    for bad in [4.0, -1.0, 1.5] {
        let ids = Tensor::from_vec(cl, [2, 2], [0.0, 3.0, bad, 1.0]).expect("it fits");
        let graph = model.forward(&ids).expect("not known yet");
        let loss = CrossEntropy::mean(vec![0, 2]);
        let messages = [
            graph.backward(&loss).expect_err("no row").to_string(),
            graph.loss(&loss).expect_err("no row").to_string(),
            Ggn::new(&graph, &loss).spectrum().expect_err("no row").to_string(),
        ];
        for message in messages {
            assert!(message.contains("[1, 0]") && message.contains("0 to 3"), "{message}");
        }
    }
}

fn unknown_devices() {
    let all = devices().expect("there is a device");
    let error = Device::opencl(all.len()).expect_err("one too many");
    assert_eq!(error, Error::IndexOutOfRange { index: all.len(), devices: all.clone() });
    assert!(error.to_string().contains(&all[0].name), "{error}");
    let error = Device::opencl("no device has such a name").expect_err("an unknown name");
    assert!(
        matches!(&error, Error::NoMatch { wanted, .. } if wanted == "no device has such a name"),
        "{error}"
    );
    assert!(Device::opencl(Selector::Kind(all[0].kind)).is_ok());
    for info in all {
        if !info.doubles {
            let single = Device::opencl(info.index).expect("it is in the list");
            let refused = single.with_dtype(DType::F64);
            assert!(matches!(refused, Err(TensorError::NoDType { dtype: DType::F64, .. })));
        }
    }
    let error: vivit::Error = Error::NoPlatform.into();
    assert!(error.to_string().contains("pocl-opencl-icd"), "{error}");
}

/// More arrays than a device holds, none of them too large: in a process where PoCL gives out a
/// gibibyte.
fn memory_runs_out() {
    let (told, _) = elsewhere(Only::Fill, "POCL_MEMORY_LIMIT", "1");
    if told.starts_with("SKIPPED") {
        print!("{told}");
        return;
    }
    assert!(told.contains("refused") && told.contains("bytes are in use"), "{told}");
    assert!(told.ends_with("right again: 6\n"), "{told}");
}

/// Fills a device's memory, prints the error that comes of it, and computes on.
pub fn fill_memory(cl: &Device) {
    let (info, each) = (info(cl), info(cl).largest_array as usize / 2);
    if info.memory > 1 << 30 {
        println!("SKIPPED: memory can't be kept from {}", info.name);
        return;
    }
    let most = info.memory as usize / each + 1;
    let mut held = Vec::new();
    let error = (0..most).find_map(|_| {
        held.push(cl.fill(each / size_of::<f32>(), 1.0));
        cl.opencl_finish().err()
    });
    match &error {
        Some(TensorError::Memory { bytes, in_use, largest, total, .. }) => {
            println!("{}", error.as_ref().expect("it is there"));
            let held = (held.len() - 1) * each;
            assert!(
                *bytes as usize >= each && *in_use as usize >= held,
                "{bytes} bytes asked for, {in_use} in use"
            );
            assert!((*largest, *total) == (info.largest_array, info.memory));
        }
        other => panic!("{} arrays of {each} bytes in {}: {other:?}", held.len(), info.memory),
    }
    // The last one never was; the first is there, and with it gone there is room again.
    assert!(cl.download(&held.pop().expect("at least one")).is_err());
    drop(held);
    let x = cl.fill(each / size_of::<f32>(), 2.0);
    let three = cl.reduce(Reduce::Sum, &x.slice(0..3), 1, 3, 1);
    println!("right again: {}", cl.download(&three).expect("there is room").at(0));
}

/// An empty folder, for as long as `work` takes.
fn in_a_folder(name: &str, work: impl FnOnce(&std::path::Path)) {
    let folder = std::env::temp_dir().join(format!("vivit-{name}-{}", std::process::id()));
    std::fs::create_dir_all(&folder).expect("a temporary folder");
    work(&folder);
    let _ = std::fs::remove_dir_all(&folder);
}

/// The library without any vendor's implementation behind it.
fn no_platform() {
    in_a_folder("no-vendors", |folder| {
        let (told, seconds) = elsewhere(Only::Open, "OCL_ICD_VENDORS", folder);
        if told.starts_with("found") {
            println!(
                "SKIPPED: this OpenCL library can't be kept from its vendors' implementations"
            );
            return;
        }
        assert!(
            told.starts_with("NoPlatform") && told.contains("apt-get install pocl-opencl-icd"),
            "{told}"
        );
        assert!(seconds < 5.0, "only after {seconds} s");
    });
}

/// Libraries of the right name that are none: the program starts all the same.
fn no_library() {
    if !cfg!(all(target_os = "linux", target_env = "gnu")) {
        println!("SKIPPED: the library is hidden in the way of Linux");
        return;
    }
    in_a_folder("no-library", |folder| {
        for file in ["libOpenCL.so.1", "libOpenCL.so"] {
            std::fs::write(folder.join(file), "no library").expect("a temporary file");
        }
        let (told, seconds) = elsewhere(Only::Open, "LD_LIBRARY_PATH", folder);
        assert!(told.starts_with("NoLibrary") && told.contains("libOpenCL.so.1"), "{told}");
        assert!(told.contains("ocl-icd-libopencl1"), "{told}");
        assert!(seconds < 5.0, "only after {seconds} s");
    });
}

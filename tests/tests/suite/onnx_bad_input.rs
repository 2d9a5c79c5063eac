//! ONNX files that are wrong: typed errors that name everything, no panic, no hang, and no memory
//! for what a file merely claims.

use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;

use vivit::autodiff::{Dim, InputKind, Inputs, Model};
use vivit::onnx::{Error, Onnx, Problem, Warning};
use vivit::tensor::{Device, Rng, Tensor};
use vivit_tests::exported::own_networks;
use vivit_tests::onnx_bytes::{Message, file, floats, int_attribute, integers, node, value};
use vivit_tests::zoo::host;

fn carried(name: &str) -> Vec<u8> {
    fs::read(own_networks().join(name)).unwrap()
}

/// A linear layer and a ReLU, after other nodes.
fn with_nodes(opset: i64, nodes: &[Message]) -> Vec<u8> {
    let layer = [
        node("Gemm", "fc", &["h", "fc.weight", "fc.bias"], &["z"])
            .bytes(5, int_attribute("transB", 1)),
        node("Relu", "act", &["z"], &["y"]),
    ];
    let arrays = [floats("fc.weight", &[2, 3], &[0.1; 6]), floats("fc.bias", &[2], &[0.0; 2])];
    let nodes = [nodes, &layer].concat();
    file(opset, &nodes, &arrays, &[value("x", &["batch", "3"])], &[value("y", &["batch", "2"])])
}

fn tensor(shape: &[usize]) -> Tensor {
    Tensor::from_vec(&host(), shape, Rng::new(1).normal(shape.iter().product())).unwrap()
}

/// The message holds every one of the words.
#[track_caller]
fn assert_says(error: &dyn std::error::Error, words: &[&str]) {
    let message = error.to_string();
    assert!(words.iter().all(|word| message.contains(word)), "{message:?} lacks one of {words:?}");
}

#[track_caller]
fn problems(bytes: Vec<u8>) -> Vec<Problem> {
    match Onnx::from_bytes(bytes) {
        Err(Error::Unsupported { problems }) => problems,
        other => panic!("{other:?}"),
    }
}

#[test]
fn what_is_written_here_is_read() {
    let bytes = with_nodes(17, &[node("Tanh", "first", &["x"], &["h"])]);
    let model = Onnx::from_bytes(bytes).unwrap().model(&host()).unwrap();
    assert_eq!(model.forward(tensor(&[4, 3])).unwrap().value().shape().to_vec(), [4, 2]);
}

#[test]
fn what_is_no_onnx_file() {
    let state = own_networks().join("mlp.safetensors");
    for bytes in [Vec::new(), b"no protocol buffer".to_vec(), fs::read(state).unwrap()] {
        let error = Onnx::from_bytes(bytes).unwrap_err();
        assert!(matches!(error, Error::NotOnnx { .. }), "{error}");
    }
    let missing = Onnx::read(own_networks().join("absent.onnx")).unwrap_err();
    assert!(matches!(missing, Error::Io { .. }));
    assert_says(&missing, &["absent.onnx"]);
}

#[test]
fn a_truncated_file() {
    for name in ["mlp.onnx", "gpt.onnx"] {
        let whole = carried(name);
        let params = Onnx::from_bytes(whole.clone()).unwrap().params().count();
        for end in (0..whole.len()).step_by(97) {
            // What is left is no file, or lacks nothing but what stands behind graph and version.
            if let Ok(file) = Onnx::from_bytes(whole[..end].to_vec()) {
                assert_eq!(file.params().count(), params, "{name} cut at {end}");
                assert!(whole.len() - end < 200, "{name} cut at {end} of {}", whole.len());
            }
        }
    }
}

#[test]
fn nodes_in_a_cycle() {
    let bytes = with_nodes(
        17,
        &[node("Add", "ring.a", &["x", "q"], &["h"]), node("Tanh", "ring.b", &["h"], &["q"])],
    );
    let error = Onnx::from_bytes(bytes).unwrap().model(&host()).unwrap_err();
    assert_says(&error, &["wait for each other", "ring.a", "ring.b"]);
}

#[test]
fn names_twice_and_names_of_nothing() {
    let bytes = with_nodes(
        17,
        &[
            node("Tanh", "one", &["x"], &["h"]),
            node("Sin", "two", &["x"], &["h"]),
            node("Add", "three", &["h", "nowhere"], &["z"]),
        ],
    );
    let error = Onnx::from_bytes(bytes).unwrap().model(&host()).unwrap_err();
    assert_says(&error, &["h is given twice", "z is given twice", "three reads nowhere"]);
    let array = floats("w", &[1], &[1.0]);
    let bytes = file(
        17,
        &[node("Mul", "m", &["x", "w"], &["y"])],
        &[array.clone(), array],
        &[value("x", &["n", "1"])],
        &[value("y", &["n", "1"])],
    );
    let error = Onnx::from_bytes(bytes).unwrap().model(&host()).unwrap_err();
    assert_says(&error, &["w is given twice"]);
}

#[test]
fn everything_that_is_not_supported_is_listed() {
    let found = problems(with_nodes(
        17,
        &[
            node("Spline", "knots", &["x"], &["a"]),
            node("Spline", "more_knots", &["a"], &["b"]),
            node("Tanh", "odd", &["b"], &["c"]).bytes(5, int_attribute("steepness", 2)),
            node("Flatten", "text", &["c"], &["d"])
                .bytes(5, Message::new().bytes(1, "axis").bytes(4, "one").int(20, 3)),
            node("Fused", "foreign", &["d"], &["e"]).bytes(7, "com.example"),
            node("Dropout", "mask", &["e"], &["h", "kept"]),
            node("Not", "user", &["kept"], &["u"]),
        ],
    ));
    let words: Vec<String> = found.iter().map(Problem::to_string).collect();
    let all = words.join("\n");
    for word in
        ["Spline", "knots, more_knots", "odd", "steepness", "text", "axis", "com.example::Fused"]
    {
        assert!(all.contains(word), "{all} lacks {word}");
    }
    assert_eq!(found.iter().filter(|p| matches!(p, Problem::Operation { .. })).count(), 2);
}

#[test]
fn versions_and_types_that_are_not_known() {
    for (opset, words) in [(9, "9"), (99, "99")] {
        let found = problems(with_nodes(opset, &[node("Tanh", "t", &["x"], &["h"])]));
        assert!(matches!(&found[..], [Problem::File { .. }]), "{found:?}");
        assert!(found[0].to_string().contains(words));
        assert!(found[0].to_string().contains("export"));
    }
    let strange = |kind: i64| Message::new().int(1, 1).int(2, kind).bytes(8, "w").bytes(9, [0; 4]);
    let bytes = |array: Message| {
        file(
            17,
            &[node("Mul", "m", &["x", "w"], &["y"])],
            &[array],
            &[value("x", &["n", "1"])],
            &[value("y", &["n", "1"])],
        )
    };
    for (kind, word) in [(8, "string"), (14, "complex64"), (77, "type 77")] {
        let found = problems(bytes(strange(kind)));
        assert!(matches!(&found[..], [Problem::Tensor { .. }]), "{found:?}");
        assert!(found[0].to_string().contains(word), "{found:?}");
    }
    // Claims beyond what is there, beyond what memory holds, beyond what can be counted.
    for dims in [&[5, 7][..], &[1 << 40], &[1 << 40, 1 << 40], &[-1], &[i64::MAX, i64::MIN]] {
        let found = problems(bytes(floats("w", dims, &[1.0])));
        assert!(matches!(&found[..], [Problem::Tensor { .. }]), "{found:?}");
        assert!(found[0].to_string().starts_with("array w: "), "{found:?}");
    }
}

#[test]
fn numbers_in_other_files() {
    let home = std::env::temp_dir().join(format!("vivit-external-{}", std::process::id()));
    fs::create_dir_all(home.join("inner")).unwrap();
    fs::write(home.join("outside.bin"), [0; 64]).unwrap();
    fs::write(home.join("inner/data.bin"), [0; 10]).unwrap();
    let entry = |key: &str, value: &str| Message::new().bytes(1, key).bytes(2, value);
    let array = |entries: &[(&str, &str)]| {
        let entries: Vec<Message> = entries.iter().map(|(key, value)| entry(key, value)).collect();
        Message::new().ints(1, &[2]).int(2, 1).bytes(8, "w").all(13, &entries).int(14, 1)
    };
    let read = |entries: &[(&str, &str)]| {
        let bytes = file(
            17,
            &[node("Mul", "m", &["x", "w"], &["y"])],
            &[array(entries)],
            &[value("x", &["n", "2"])],
            &[value("y", &["n", "2"])],
        );
        let path = home.join("inner/model.onnx");
        fs::write(&path, &bytes).unwrap();
        (Onnx::read(path), Onnx::from_bytes(bytes))
    };
    let (good, in_memory) = read(&[("location", "data.bin")]);
    assert_eq!(good.unwrap().params().count(), 1);
    assert_says(&in_memory.unwrap_err(), &["array w", "no folder"]);
    for (entries, word) in [
        (&[("location", "../outside.bin")][..], "outside the folder"),
        (&[("location", "/etc/hostname")], "outside the folder"),
        (&[("location", "absent.bin")], "absent.bin"),
        (&[], "not named"),
        (&[("location", "data.bin"), ("offset", "4")], "10 bytes"),
        (&[("location", "data.bin"), ("offset", "18446744073709551615")], "10 bytes"),
        (&[("location", "data.bin"), ("length", "7")], "7"),
        (&[("location", "data.bin"), ("offset", "many")], "many"),
    ] {
        let error = read(entries).0.unwrap_err();
        assert!(matches!(error, Error::File { .. }));
        assert_says(&error, &["model.onnx", "array w", word]);
    }
    #[cfg(unix)]
    {
        std::os::unix::fs::symlink("../outside.bin", home.join("inner/link.bin")).unwrap();
        assert_says(&read(&[("location", "link.bin")]).0.unwrap_err(), &["outside the folder"]);
    }
    fs::remove_dir_all(home).unwrap();
}

#[test]
fn a_fixed_batch_in_a_shape() {
    let nodes =
        [node("Reshape", "heads", &["x", "shape"], &["h"]), node("Tanh", "act", &["h"], &["y"])];
    let read = |shape: &[i64]| {
        let ends = [value("x", &["4", "6"]), value("y", &["4", "2", "3"])];
        Onnx::from_bytes(file(17, &nodes, &[integers("shape", shape)], &ends[..1], &ends[1..]))
    };
    let error = read(&[4, 2, 3]).unwrap_err();
    assert_says(&error, &["exactly 4 samples", "heads", "free batch axis"]);
    let free = read(&[-1, 2, 3]).unwrap();
    assert_eq!(free.warnings(), [Warning::FixedBatch { samples: 4 }]);
    assert!(free.with_params(|_| true).is_err());
}

#[test]
fn layers_in_training_mode() {
    let arrays: Vec<Message> =
        ["s", "b", "m", "v"].iter().map(|name| floats(name, &[3], &[1.0; 3])).collect();
    let norm = node("BatchNormalization", "bn", &["x", "s", "b", "m", "v"], &["h"]);
    let ends = [value("x", &["n", "3"]), value("y", &["n", "3"])];
    let training = norm.bytes(5, int_attribute("training_mode", 1));
    let nodes = [training, node("Tanh", "act", &["h"], &["y"])];
    let found = problems(file(17, &nodes, &arrays, &ends[..1], &ends[1..]));
    assert!(matches!(&found[..], [Problem::Node { .. }]), "{found:?}");
    assert!(
        ["bn", "training mode", "model.eval()"].iter().all(|w| found[0].to_string().contains(w))
    );
    let truth = Message::new().int(2, 9).bytes(8, "on").bytes(9, [1]);
    let nodes =
        [node("Dropout", "drop", &["x", "", "on"], &["h"]), node("Mul", "m", &["h", "s"], &["y"])];
    let bytes = file(17, &nodes, &[truth, arrays[0].clone()], &ends[..1], &ends[1..]);
    let model = Onnx::from_bytes(bytes).unwrap().model(&host()).unwrap();
    let error = model.forward(tensor(&[2, 3])).unwrap_err();
    assert_says(&error, &["drop", "training mode", "model.eval()"]);
}

#[test]
fn a_window_of_padding_alone() {
    let list =
        |name: &str, numbers: &[i64]| Message::new().bytes(1, name).ints(8, numbers).int(20, 7);
    let pool = node("MaxPool", "pool", &["x"], &["h"])
        .bytes(5, list("kernel_shape", &[2]))
        .bytes(5, list("dilations", &[3]))
        .bytes(5, list("pads", &[1, 1]));
    let nodes = [pool, node("Mul", "m", &["h", "w"], &["y"])];
    let arrays = [floats("w", &[1], &[2.0])];
    let ends = [value("x", &["n", "1", "2"]), value("y", &["n", "1", "1"])];
    let model = Onnx::from_bytes(file(17, &nodes, &arrays, &ends[..1], &ends[1..])).unwrap();
    let error = model.model(&host()).unwrap().forward(tensor(&[2, 1, 2])).unwrap_err();
    assert_says(&error, &["pool", "nothing but padding"]);
}

#[test]
fn arrays_beyond_a_limit() {
    // Eight bytes of a file claim eight megabytes.
    let nodes = [
        node("Expand", "wide", &["x", "shape"], &["h"]),
        node("ReduceMax", "m", &["h"], &["z"]),
        node("Mul", "scale", &["x", "z"], &["y"]),
    ];
    let arrays = [integers("shape", &[1, 1 << 20])];
    let ends = [value("x", &["n", "1"]), value("y", &["n", "1"])];
    let file = Onnx::from_bytes(file(17, &nodes, &arrays, &ends[..1], &ends[1..])).unwrap();
    let model = file.model(&host()).unwrap();
    assert!(model.forward(tensor(&[2, 1])).is_ok());
    let error = model.largest_array(1 << 20).forward(tensor(&[2, 1])).unwrap_err();
    assert_says(&error, &["wide", "[1, 1048576]", "larger than allowed"]);
}

#[test]
fn inputs_that_do_not_fit() {
    let bytes = with_nodes(17, &[node("Tanh", "first", &["x"], &["h"])]);
    let model = Onnx::from_bytes(bytes).unwrap().model(&host()).unwrap();
    let given = |pairs: &[(&str, &[usize])]| {
        let inputs =
            pairs.iter().fold(Inputs::new(), |all, (name, shape)| all.with(name, tensor(shape)));
        model.forward(inputs).unwrap_err()
    };
    assert_says(&given(&[]), &["input x [batch, 3] is missing"]);
    assert_says(&given(&[("z", &[4, 3])]), &["no input z", "input x [batch, 3] is missing"]);
    assert_says(&given(&[("x", &[4, 3]), ("z", &[4, 3])]), &["no input z"]);
    assert_says(&given(&[("x", &[4, 5])]), &["3 entries along axis 1"]);
    assert_says(&given(&[("x", &[4])]), &["2 axes"]);
    assert_says(&given(&[("x", &[0, 3])]), &["empty"]);
    let other = Tensor::zeros(&Device::cpu(), [4, 3]);
    assert_says(&model.forward(&other).unwrap_err(), &["f32", "f64"]);
}

#[test]
fn a_weight_file_that_does_not_fit() {
    let bytes = with_nodes(17, &[node("Tanh", "first", &["x"], &["h"])]);
    let mut model = Onnx::from_bytes(bytes).unwrap().model(&host()).unwrap();
    let foreign = fs::read(own_networks().join("gpt.safetensors")).unwrap();
    let error = model.load_safetensors(&foreign).unwrap_err();
    assert_says(&error, &["fc.weight", "fc.bias"]);
}

/// Inputs of two samples, short where a length is open; nothing where they would be large.
fn small_inputs(model: &dyn Model, rng: &mut Rng) -> Option<Inputs> {
    let mut inputs = Inputs::new();
    for spec in model.inputs() {
        let dims = spec.shape.clone().unwrap_or_else(|| vec![Dim::Free("any".into()); 2]);
        let len = |(axis, dim): (usize, &Dim)| match dim {
            _ if spec.sample_axis == Some(axis) => 2,
            Dim::Fixed(len) => *len,
            Dim::Free(_) => 3,
        };
        let shape: Vec<usize> = dims.iter().enumerate().map(len).collect();
        let size = shape.iter().try_fold(1usize, |size, &len| size.checked_mul(len))?;
        if size > 1 << 12 || shape.len() > 6 {
            return None;
        }
        let numbers = rng.normal(size);
        let numbers: Vec<f64> = match spec.kind {
            InputKind::Float => numbers,
            _ => numbers.into_iter().map(|x| f64::from(u8::from(x > 0.0))).collect(),
        };
        inputs = inputs.with(&spec.name, Tensor::from_vec(&host(), shape, numbers).ok()?);
    }
    Some(inputs)
}

/// Imports a file and, if that goes, runs it.
fn import_and_run(bytes: Vec<u8>, rng: &mut Rng) -> bool {
    let Ok(file) = Onnx::from_bytes(bytes) else { return false };
    let Ok(model) = file.model(&host()) else { return false };
    let model = model.largest_array(1 << 20);
    let Some(inputs) = small_inputs(&model, rng) else { return false };
    model.forward(inputs).is_ok_and(|graph| graph.value().to_vec().is_ok())
}

fn below(rng: &mut Rng, end: usize) -> usize {
    (rng.unit() * end as f64) as usize
}

#[test]
fn mutants_give_errors_or_results() {
    let mut seeds: Vec<PathBuf> =
        fs::read_dir(own_networks()).unwrap().map(|entry| entry.unwrap().path()).collect();
    let small = |path: &PathBuf| fs::metadata(path).unwrap().len() < SMALL;
    seeds.retain(|path| path.extension().is_some_and(|ext| ext == "onnx") && small(path));
    seeds.sort();
    let (mut panics, mut ran) = (Vec::new(), 0);
    for (at, path) in seeds.iter().enumerate() {
        let whole = fs::read(path).unwrap();
        let mut rng = Rng::new(at as u64);
        for mutant in 0..MUTANTS {
            let mut bytes = whole.clone();
            for _ in 0..1 + mutant % 4 {
                let place = below(&mut rng, bytes.len());
                // Any byte, a small number, or another bit: lengths and attributes are small.
                bytes[place] = match mutant % 3 {
                    0 => below(&mut rng, 256) as u8,
                    1 => below(&mut rng, 12) as u8,
                    _ => bytes[place] ^ (1 << below(&mut rng, 8)),
                };
            }
            let run = AssertUnwindSafe(|| import_and_run(bytes, &mut rng));
            match catch_unwind(run) {
                Ok(done) => ran += usize::from(done),
                Err(_) => panics.push(format!("{} mutant {mutant}", path.display())),
            }
        }
    }
    assert!(panics.is_empty(), "panics: {}", panics.join(", "));
    // Weights take much of a file, so many mutants are files.
    assert!(ran > seeds.len() * MUTANTS / 8, "{ran} mutants ran");
}

/// Mutants of each file of less than this many bytes.
const MUTANTS: usize = 250;
const SMALL: u64 = 8000;

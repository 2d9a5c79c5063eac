//! Saving, loading, and everything that can be wrong with a file.

use safetensors::{Dtype, SafeTensors};
use vivit_tensor::Device;

use super::*;
use crate::Sequential;
use crate::test_folder::Folder;
use crate::{
    Layer, Wiring, batch_norm, linear, lstm, positional_embedding, relu, residual, self_attention,
};

fn model(device: &Device, seed: u64) -> Sequential {
    let layers = vec![linear(3, 4), relu(), residual(vec![linear(4, 2), linear(2, 4)])];
    Sequential::new(device, layers, seed).unwrap()
}

fn entries(model: &Sequential) -> Vec<f64> {
    model.params().iter().flat_map(|param| param.value.to_vec().unwrap()).collect()
}

/// The bytes of a file with these arrays.
fn file(arrays: &[(&str, Dtype, &[usize], Vec<u8>)]) -> Vec<u8> {
    let arrays: Vec<(&str, Bytes)> = arrays
        .iter()
        .map(|(name, dtype, shape, data)| {
            (*name, Bytes { dtype: *dtype, shape: shape.to_vec(), data: data.clone() })
        })
        .collect();
    safetensors::serialize(arrays.iter().map(|(name, bytes)| (*name, bytes)), None).unwrap()
}

fn doubles(data: &[f64]) -> Vec<u8> {
    data.iter().flat_map(|x| x.to_le_bytes()).collect()
}

#[test]
fn a_saved_model_comes_back() {
    let folder = Folder::new("round");
    let path = folder.path().join("model.safetensors");
    let saved = model(&Device::cpu_f64(), 1);
    // Over an older file, too.
    std::fs::write(&path, "something else").unwrap();
    saved.save(&path).unwrap();
    assert_eq!(std::fs::read(&path).unwrap(), saved.to_safetensors().unwrap());
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
    let mut loaded = model(&Device::cpu_f64(), 2);
    assert_ne!(entries(&loaded), entries(&saved));
    loaded.load(&path).unwrap();
    assert_eq!(entries(&loaded), entries(&saved));
}

#[test]
fn element_types_are_converted() {
    let (doubles, mut floats) = (model(&Device::cpu_f64(), 1), model(&Device::cpu(), 2));
    floats.load_safetensors(&doubles.to_safetensors().unwrap()).unwrap();
    let rounded: Vec<f64> = entries(&doubles).into_iter().map(|x| f64::from(x as f32)).collect();
    assert_eq!(entries(&floats), rounded);
    let mut back = model(&Device::cpu_f64(), 3);
    back.load_safetensors(&floats.to_safetensors().unwrap()).unwrap();
    assert_eq!(entries(&back), rounded);
}

#[test]
fn buffers_belong_to_the_state() {
    let host = Device::cpu_f64();
    let model = |seed| Sequential::new(&host, vec![linear(2, 3), batch_norm(3)], seed).unwrap();
    let mut trained = model(1);
    trained
        .forward_training(&Tensor::from_vec(&host, [2, 2], vec![0.1, 0.2, -0.3, 0.5]).unwrap())
        .unwrap();
    let running = |model: &Sequential| -> Vec<f64> {
        model.buffers().iter().flat_map(|buffer| buffer.value.to_vec().unwrap()).collect()
    };
    let mut loaded = model(2);
    assert_ne!(running(&loaded), running(&trained));
    loaded.load_safetensors(&trained.to_safetensors().unwrap()).unwrap();
    assert_eq!(running(&loaded), running(&trained));

    // A file of PyTorch's has a counter per batch norm, but it is none of a linear layer.
    let mut arrays: Vec<(&str, Bytes)> = trained.state_bytes().unwrap();
    let counter = || Bytes { dtype: Dtype::I64, shape: Vec::new(), data: vec![0; 8] };
    let file = |arrays: &[(&str, Bytes)]| {
        safetensors::serialize(arrays.iter().map(|(name, bytes)| (*name, bytes)), None).unwrap()
    };
    arrays.push(("1.num_batches_tracked", counter()));
    model(2).load_safetensors(&file(&arrays)).unwrap();
    arrays.push(("0.num_batches_tracked", counter()));
    let unexpected =
        StateProblem::Unexpected { name: "0.num_batches_tracked".into(), shape: vec![] };
    assert_eq!(
        model(2).load_safetensors(&file(&arrays)),
        Err(Error::State { problems: vec![unexpected], hint: None })
    );
}

#[test]
fn names_are_pytorchs() {
    let bytes = model(&Device::cpu(), 0).to_safetensors().unwrap();
    let mut names: Vec<String> =
        SafeTensors::deserialize(&bytes).unwrap().names().into_iter().map(String::from).collect();
    names.sort();
    assert_eq!(
        names,
        [
            "0.bias",
            "0.weight",
            "2.body.0.bias",
            "2.body.0.weight",
            "2.body.1.bias",
            "2.body.1.weight"
        ]
    );
}

#[test]
fn one_error_lists_all_problems() {
    let mut model = model(&Device::cpu(), 1);
    let before = entries(&model);
    let mut weight = vec![0.5; 12];
    weight[7] = f64::NAN;
    let bytes = file(&[
        ("0.weight", Dtype::F64, &[4, 3], doubles(&weight)),
        ("0.bias", Dtype::F64, &[3], doubles(&[0.0; 3])),
        ("2.body.0.weight", Dtype::F8_E4M3, &[2, 4], vec![0; 8]),
        ("2.body.0.bias", Dtype::F64, &[2], doubles(&[1e300, 0.0])),
        ("2.body.1.weight", Dtype::I64, &[2], vec![0; 16]),
        ("5.weight", Dtype::F64, &[1], doubles(&[1.0])),
        ("3.weight", Dtype::F64, &[], doubles(&[1.0])),
    ]);
    let error = model.load_safetensors(&bytes).unwrap_err();
    let Error::State { problems, .. } = &error else { panic!("{error}") };
    let name = String::from;
    let rest = problems.as_slice();
    assert!(matches!(&rest[0], StateProblem::NonFinite { name, index, value }
        if name == "0.weight" && *index == [2, 1] && value.is_nan()));
    assert_eq!(
        rest[1..],
        [
            StateProblem::Shape { name: name("0.bias"), expected: vec![4], got: vec![3] },
            StateProblem::ElementType { name: name("2.body.0.weight"), got: name("F8_E4M3") },
            // Finite in the file, but not as 32 bits.
            StateProblem::NonFinite { name: name("2.body.0.bias"), index: vec![0], value: 1e300 },
            StateProblem::Shape {
                name: name("2.body.1.weight"),
                expected: vec![4, 2],
                got: vec![2]
            },
            StateProblem::ElementType { name: name("2.body.1.weight"), got: name("I64") },
            StateProblem::Missing { name: name("2.body.1.bias"), shape: vec![4] },
            StateProblem::Unexpected { name: name("3.weight"), shape: vec![] },
            StateProblem::Unexpected { name: name("5.weight"), shape: vec![1] },
        ]
    );
    for problem in problems {
        assert!(error.to_string().contains(&problem.to_string()), "{error}");
    }
    assert_eq!(entries(&model), before, "an error changed the model");
}

#[test]
fn a_diverged_model_is_not_saved() {
    let mut model = model(&Device::cpu_f64(), 1);
    for (name, value) in [("0.bias", f64::INFINITY), ("2.body.1.bias", f64::NAN)] {
        model.set_param(name, Tensor::full(&Device::cpu_f64(), [4], value)).unwrap();
    }
    let folder = Folder::new("diverged");
    let path = folder.path().join("model.safetensors");
    let Err(Error::File { path: named, source }) = model.save(&path) else {
        panic!("it was saved")
    };
    assert_eq!(named, path);
    assert!(matches!(*source, Error::State { problems, .. } if problems.len() == 2));
    assert!(!path.exists());
}

#[test]
fn files_that_are_none_are_refused_with_their_path() {
    let folder = Folder::new("broken");
    let whole = model(&Device::cpu(), 0).to_safetensors().unwrap();
    let header = 8 + usize::try_from(u64::from_le_bytes(whole[..8].try_into().unwrap())).unwrap();
    let mut huge = whole.clone();
    huge[..8].copy_from_slice(&u64::MAX.to_le_bytes());
    let broken: [(&str, Vec<u8>); 8] = [
        ("empty", Vec::new()),
        ("text", b"these are no tensors, but there are enough of them".to_vec()),
        ("length-only", whole[..8].to_vec()),
        ("half-header", whole[..header / 2].to_vec()),
        ("header-only", whole[..header].to_vec()),
        ("truncated", whole[..whole.len() - 1].to_vec()),
        ("trailing", [whole.clone(), vec![0]].concat()),
        ("huge", huge),
    ];
    let mut model = model(&Device::cpu(), 1);
    let before = entries(&model);
    for (name, bytes) in broken {
        assert!(
            matches!(model.load_safetensors(&bytes), Err(Error::NotSafetensors { .. })),
            "{name}"
        );
        let path = folder.path().join(name);
        std::fs::write(&path, bytes).unwrap();
        let error = model.load(&path).unwrap_err();
        assert!(error.to_string().contains(name), "{error}");
        let Error::File { path: named, source } = error else { panic!("{error}") };
        assert!(named == path && matches!(*source, Error::NotSafetensors { .. }), "{source}");
    }
    for path in [folder.path().join("absent"), folder.path().to_path_buf()] {
        let Err(Error::File { path: named, source }) = model.load(&path) else {
            panic!("{}", path.display())
        };
        assert!(named == path && matches!(*source, Error::Io { .. }), "{source}");
    }
    let nowhere = folder.path().join("absent/model.safetensors");
    assert!(matches!(model.save(&nowhere), Err(Error::File { path, .. }) if path == nowhere));
    assert_eq!(entries(&model), before);
}

#[test]
fn an_error_has_one_line_per_array_in_groups() {
    let mut model = model(&Device::cpu(), 1);
    let bytes = file(&[
        ("0.weight", Dtype::F64, &[4, 3], doubles(&[0.5; 12])),
        ("0.bias", Dtype::F64, &[3], doubles(&[0.0; 3])),
        ("other", Dtype::F64, &[1], doubles(&[1.0])),
    ]);
    let text = model.load_safetensors(&bytes).unwrap_err().to_string();
    assert_eq!(
        text,
        "the state dictionary does not fit the model:
  the model's arrays that the dictionary lacks:
    2.body.0.weight of shape [2, 4] is missing
    2.body.0.bias of shape [2] is missing
    2.body.1.weight of shape [4, 2] is missing
    2.body.1.bias of shape [4] is missing
  the dictionary's arrays that the model lacks:
    other of shape [1] is unexpected
  arrays of another shape:
    0.bias has shape [3] instead of [4]"
    );
}

/// What loading the first model's file into the second says.
fn hint_of(saved: &Sequential, loaded: &mut Sequential) -> String {
    let error = loaded.load_safetensors(&saved.to_safetensors().unwrap()).unwrap_err();
    let Error::State { hint, .. } = &error else { panic!("{error}") };
    hint.clone().unwrap_or_default()
}

/// A wiring of one linear layer, called `name`.
fn wired(name: &str) -> Box<dyn Layer> {
    let mut net = Wiring::new();
    let y = net.layer(name, linear(4, 3), net.input());
    net.output(y)
}

#[test]
fn names_that_differ_by_a_pattern_are_a_hint() {
    let cpu = Device::cpu();
    let mut bare = Sequential::wired(&cpu, wired("head"), 0).unwrap();
    let mut row = Sequential::new(&cpu, vec![wired("head")], 0).unwrap();
    assert!(hint_of(&row, &mut bare).contains("names of the dictionary begin with `0.`"));
    assert!(hint_of(&bare, &mut row).contains("names of the model begin with `0.`"));

    let mut other = Sequential::wired(&cpu, wired("classifier"), 0).unwrap();
    let hint = hint_of(&bare, &mut other);
    for pair in ["head.weight → classifier.weight", "head.bias → classifier.bias"] {
        assert!(hint.contains(pair), "{hint}");
    }
    // Another number of arrays: no pattern.
    let mut larger = Sequential::new(&cpu, vec![linear(4, 3), linear(3, 3)], 0).unwrap();
    assert_eq!(hint_of(&other, &mut larger), "");
}

#[test]
fn arrays_are_renamed_and_left_out() {
    let folder = Folder::new("renamed");
    let path = folder.path().join("model.safetensors");
    let cpu = Device::cpu_f64();
    let saved = Sequential::new(&cpu, vec![linear(2, 3), batch_norm(3)], 1).unwrap();
    let mut arrays = saved.state_bytes().unwrap();
    let counter = Bytes { dtype: Dtype::I64, shape: Vec::new(), data: vec![0; 8] };
    arrays.push(("1.num_batches_tracked", counter));
    let views = arrays.iter().map(|(name, bytes)| (*name, bytes));
    std::fs::write(&path, safetensors::serialize(views, None).unwrap()).unwrap();

    // The counter goes where the statistics go, even if the renaming does not know it.
    let layers = || vec![batch_norm(3), linear(2, 3)];
    let swapped = |name: &str| {
        Some(match name {
            "1.num_batches_tracked" => name.into(),
            _ => match name.split_at(1) {
                ("0", rest) => format!("1{rest}"),
                (_, rest) => format!("0{rest}"),
            },
        })
    };
    let mut loaded = Sequential::new(&cpu, layers(), 2).unwrap();
    loaded.load_with(&path, swapped).unwrap();
    let value = |model: &Sequential, name: &str| {
        let param = model.params().iter().find(|param| param.name == name).unwrap();
        param.value.to_vec().unwrap()
    };
    assert_eq!(value(&loaded, "1.weight"), value(&saved, "0.weight"));

    // Left out: missing in the strict form, listed in the other one.
    let without = |name: &str| if name == "0.bias" { None } else { swapped(name) };
    let before = entries(&loaded);
    let error = loaded.load_with(&path, without).unwrap_err().to_string();
    assert!(error.contains("1.bias of shape [3] is missing"), "{error}");
    assert_eq!(entries(&loaded), before);
    let rest = loaded.load_matching(&path, without).unwrap();
    assert_eq!(rest, Unmatched { missing: vec!["1.bias".into()], unexpected: vec![] });

    // Everything to one name.
    let error = loaded.load_matching(&path, |_| Some("1.bias".into())).unwrap_err().to_string();
    assert!(error.contains("1.bias is what several arrays are renamed to: 0.bias"), "{error}");
}

#[test]
fn files_with_former_names_are_read() {
    let cpu = Device::cpu();
    let layers =
        || vec![positional_embedding(3, 4), residual(vec![self_attention(4, 2, true)]), lstm(4, 2)];
    let saved = Sequential::new(&cpu, layers(), 1).unwrap();
    let names = |model: &Sequential| -> Vec<String> {
        model.params().iter().map(|param| param.name.clone()).collect()
    };
    let now = [
        "0",
        "1.body.0.in_proj_weight",
        "1.body.0.in_proj_bias",
        "1.body.0.out_proj.weight",
        "1.body.0.out_proj.bias",
        "2.weight_ih_l0",
        "2.weight_hh_l0",
        "2.bias_ih_l0",
        "2.bias_hh_l0",
    ];
    assert_eq!(names(&saved), now);
    let formerly = [
        "0.weight",
        "1.body.0.in_proj.weight",
        "1.body.0.in_proj.bias",
        "1.body.0.out_proj.weight",
        "1.body.0.out_proj.bias",
        "2.m.weight_ih_l0",
        "2.m.weight_hh_l0",
        "2.m.bias_ih_l0",
        "2.m.bias_hh_l0",
    ];
    let arrays = saved.state_bytes().unwrap();
    let views = arrays.iter().zip(formerly).map(|((_, bytes), name)| (name, bytes));
    let bytes = safetensors::serialize(views, None).unwrap();
    let mut loaded = Sequential::new(&cpu, layers(), 2).unwrap();
    loaded.load_safetensors(&bytes).unwrap();
    assert_eq!(entries(&loaded), entries(&saved));
}

#[test]
fn short_floats_are_widened() {
    let little = |words: &[u16]| words.iter().flat_map(|word| word.to_le_bytes()).collect();
    // 1, −2, 0.5, 3 and 0.25, −0.125: exact in both types.
    for (dtype, weight, bias) in [
        (Dtype::F16, [0x3c00, 0xc000, 0x3800, 0x4200], [0x3400, 0xb000]),
        (Dtype::BF16, [0x3f80, 0xc000, 0x3f00, 0x4040], [0x3e80, 0xbe00]),
    ] {
        let bytes = file(&[
            ("0.weight", dtype, &[2, 2], little(&weight)),
            ("0.bias", dtype, &[2], little(&bias)),
        ]);
        for device in [Device::cpu(), Device::cpu_f64()] {
            let mut model = Sequential::new(&device, vec![linear(2, 2)], 0).unwrap();
            model.load_safetensors(&bytes).unwrap();
            assert_eq!(model.param("0.weight").unwrap().to_vec().unwrap(), [1.0, -2.0, 0.5, 3.0]);
            assert_eq!(model.param("0.bias").unwrap().to_vec().unwrap(), [0.25, -0.125]);
        }
    }
    let nan = file(&[
        ("0.weight", Dtype::F16, &[2, 2], little(&[0, 0, 0x7e00, 0])),
        ("0.bias", Dtype::BF16, &[2], little(&[0, 0])),
    ]);
    let mut model = Sequential::new(&Device::cpu(), vec![linear(2, 2)], 0).unwrap();
    let Err(Error::State { problems, .. }) = model.load_safetensors(&nan) else { panic!("NaN") };
    assert!(matches!(&problems[..], [StateProblem::NonFinite { index, .. }] if *index == [1, 0]));
}

#[test]
fn metadata_is_written_and_read() {
    let model = model(&Device::cpu(), 1);
    let bytes = model.to_safetensors().unwrap();
    // What Hugging Face's loaders ask for.
    let (_, metadata) = SafeTensors::read_metadata(&bytes).unwrap();
    assert_eq!(metadata.metadata().as_ref().unwrap()["format"], "pt");

    let folder = Folder::new("metadata");
    let path = folder.path().join("model.safetensors");
    let texts = [("epoch", "3"), ("note", "ü \" \\ \n"), ("a", ""), ("z", "{}")];
    let texts = BTreeMap::from(texts.map(|(name, text)| (name.to_string(), text.to_string())));
    model.save_with(&path, &texts).unwrap();
    let mut read = Arrays::read(&path).unwrap().metadata().clone();
    assert_eq!(read.remove("format").unwrap(), "pt");
    assert_eq!(read, texts);
    let first = std::fs::read(&path).unwrap();
    model.save_with(&path, &texts).unwrap();
    assert_eq!(std::fs::read(&path).unwrap(), first);
    let mut loaded = Sequential::new(model.device(), vec![], 0).unwrap();
    assert!(loaded.load(&path).is_err());

    // A model without arrays has a file, too.
    let bytes = loaded.to_safetensors().unwrap();
    assert_eq!(Arrays::from_bytes(bytes.clone()).unwrap().metadata()["format"], "pt");
    loaded.load_safetensors(&bytes).unwrap();
}

//! Reference cases on disk: a model, its data, and the numbers that must come out.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use safetensors::{Dtype, SafeTensors};
use serde_json::Value;

use crate::Failure;

/// A file of named arrays, all as doubles.
#[derive(Clone, Debug)]
pub struct Case {
    /// The file's name without extension.
    pub name: String,
    /// The description of model, loss and groups; `None` for a bare matrix.
    pub description: Option<Value>,
    arrays: BTreeMap<String, Array>,
}

/// A named array.
#[derive(Clone, Debug)]
pub struct Array {
    /// Axis lengths.
    pub shape: Vec<usize>,
    /// Entries, row-major.
    pub data: Vec<f64>,
}

/// A parameter's name in a case's file, as the library names it after PyTorch: the files were
/// written with a module of their own around `nn.RNN`, `nn.LSTM` and the projections of attention.
pub fn library_name(name: &str) -> String {
    name.replace(".m.weight_", ".weight_")
        .replace(".m.bias_", ".bias_")
        .replace(".in_proj.weight", ".in_proj_weight")
        .replace(".in_proj.bias", ".in_proj_bias")
}

fn words<const W: usize>(data: &[u8], number: impl Fn([u8; W]) -> f64) -> Vec<f64> {
    data.chunks_exact(W)
        .map(|word| number(word.try_into().expect("a chunk of its length")))
        .collect()
}

impl Case {
    /// Reads a case.
    ///
    /// # Errors
    /// If the file is no safetensors file, or holds something else than floats and integers.
    pub fn read(path: &Path) -> Result<Self, Failure> {
        let bytes = std::fs::read(path).map_err(|error| format!("{}: {error}", path.display()))?;
        let (_, metadata) = SafeTensors::read_metadata(&bytes)?;
        let description = match metadata.metadata().as_ref().and_then(|entries| entries.get("case"))
        {
            Some(text) => Some(serde_json::from_str(text)?),
            None => None,
        };
        let mut arrays = BTreeMap::new();
        for (name, view) in SafeTensors::deserialize(&bytes)?.tensors() {
            let data = view.data();
            let data = match view.dtype() {
                Dtype::F64 => words(data, f64::from_le_bytes),
                Dtype::F32 => words(data, |word| f64::from(f32::from_le_bytes(word))),
                Dtype::I64 => words(data, |word| i64::from_le_bytes(word) as f64),
                other => {
                    return Err(
                        format!("{}: array {name} has type {other:?}", path.display()).into()
                    );
                }
            };
            arrays.insert(library_name(&name), Array { shape: view.shape().to_vec(), data });
        }
        let name =
            path.file_stem().map_or_else(String::new, |stem| stem.to_string_lossy().into_owned());
        Ok(Case { name, description, arrays })
    }

    /// An array that must be there.
    ///
    /// # Errors
    /// If it is not.
    pub fn array(&self, name: &str) -> Result<&Array, Failure> {
        self.get(name).ok_or_else(|| format!("case {} has no array {name}", self.name).into())
    }

    /// An array that may be there.
    pub fn get(&self, name: &str) -> Option<&Array> {
        self.arrays.get(name)
    }

    /// The arrays whose name starts with `prefix`, with the rest of their name.
    pub fn under<'c>(&'c self, prefix: &'c str) -> impl Iterator<Item = (&'c str, &'c Array)> {
        self.arrays
            .iter()
            .filter_map(move |(name, array)| Some((name.strip_prefix(prefix)?, array)))
    }
}

/// The folder with the project's own copy of the cases.
pub fn own_cases() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("cases")
}

/// The cases of a folder, by name.
///
/// # Errors
/// If the folder can't be read or holds no case.
pub fn list(folder: &Path) -> Result<Vec<PathBuf>, Failure> {
    let entries = std::fs::read_dir(folder)
        .map_err(|error| format!("folder of cases {}: {error}", folder.display()))?;
    let mut paths = Vec::new();
    for entry in entries {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "safetensors") {
            paths.push(path);
        }
    }
    if paths.is_empty() {
        return Err(
            format!("folder of cases {} holds no .safetensors file", folder.display()).into()
        );
    }
    paths.sort();
    Ok(paths)
}

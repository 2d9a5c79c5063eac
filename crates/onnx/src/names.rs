//! The names of a state dictionary for the arrays of a file.

use std::collections::{HashMap, HashSet};
use std::path::Path;

use vivit_nn::{Argument, Arrays, NamedArray, Node};
use vivit_tensor::HostVec;

use crate::warning::Warning;
use crate::{Error, Onnx};

/// How the arrays of a file and of a state dictionary go together.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct NameMatch {
    /// Arrays of the file and the names that they got.
    pub renamed: Vec<(String, String)>,
    /// Arrays of the file that are the transpose of what got the name.
    pub transposed: Vec<(String, String)>,
    /// Arrays of the dictionary that are not in the file.
    pub missing: Vec<String>,
    /// Parameters of the file that are not in the dictionary.
    pub unmatched: Vec<String>,
}

/// The numbers of an array in single precision, bit by bit.
fn bits(values: &HostVec) -> Vec<u32> {
    (0..values.len()).map(|at| (values.at(at) as f32).to_bits()).collect()
}

/// A matrix's numbers, transposed.
fn turned(bits: &[u32], rows: usize, columns: usize) -> Vec<u32> {
    (0..rows * columns).map(|at| bits[at % rows * columns + at / rows]).collect()
}

impl Onnx {
    /// Gives the arrays of the file the names that a state dictionary (a safetensors file) has for
    /// the same numbers, also for their transpose: what a linear layer's weight becomes when an
    /// exporter optimises. Returns what got which name, and what did not go together.
    ///
    /// # Errors
    /// If the dictionary can't be read.
    pub fn names_from(self, path: impl AsRef<Path>) -> Result<(Self, NameMatch), Error> {
        let arrays = Arrays::read(path)?;
        self.names_of(&arrays)
    }

    /// As [`names_from`](Onnx::names_from), from a dictionary that was read.
    ///
    /// # Errors
    /// If an array of it can't be read.
    pub fn names_of(mut self, arrays: &Arrays<'_>) -> Result<(Self, NameMatch), Error> {
        // By shape and numbers; several arrays may hold the same ones.
        let mut known: HashMap<(Vec<usize>, Vec<u32>), Vec<String>> = HashMap::new();
        let names: Vec<String> = arrays.names().map(String::from).collect();
        for name in names.iter().rev() {
            let (shape, values) = arrays.numbers(name)?;
            known.entry((shape, bits(&values))).or_default().push(name.clone());
        }
        let mut found = NameMatch::default();
        let taken: HashSet<String> =
            self.imported.initializers.iter().map(|i| i.array.name.clone()).collect();
        let (mut renames, mut nodes) = (HashMap::new(), Vec::new());
        for initializer in &mut self.imported.initializers {
            let NamedArray { name, shape, values, .. } = &mut initializer.array;
            if names.contains(name) {
                continue;
            }
            let own = bits(values);
            // A name of the dictionary that the file has already is that array's.
            let mut free = |key: &(Vec<usize>, Vec<u32>)| {
                let candidates = known.get_mut(key)?;
                let at = candidates.iter().rposition(|name| !taken.contains(name))?;
                Some(candidates.remove(at))
            };
            let was = name.clone();
            if let Some(now) = free(&(shape.clone(), own.clone())) {
                found.renamed.push((was.clone(), now.clone()));
                renames.insert(was, now.clone());
                *name = now;
            } else if let [rows, columns] = shape[..] {
                let other = turned(&own, rows, columns);
                let Some(now) = free(&(vec![columns, rows], other)) else { continue };
                let numbers =
                    (0..rows * columns).map(|at| values.at(at % rows * columns + at / rows));
                *values = numbers.collect::<Vec<f64>>().into();
                *shape = vec![columns, rows];
                found.transposed.push((was.clone(), now.clone()));
                *name = now.clone();
                if self.imported.params.remove(&was) {
                    self.imported.params.insert(now.clone());
                }
                let turn = Node::new("transpose", &[&now], &was).with("order", vec![1, 0]);
                nodes.push(turn);
            }
        }
        for node in &mut self.imported.nodes {
            for input in &mut node.inputs {
                if let Some(Argument::Value(name)) = input {
                    if let Some(now) = renames.get(name) {
                        *name = now.clone();
                    }
                }
            }
        }
        for (was, now) in &renames {
            if self.imported.params.remove(was) {
                self.imported.params.insert(now.clone());
            }
        }
        nodes.append(&mut self.imported.nodes);
        self.imported.nodes = nodes;
        let own: HashSet<&str> =
            self.imported.initializers.iter().map(|i| i.array.name.as_str()).collect();
        found.missing = names.iter().filter(|name| !own.contains(name.as_str())).cloned().collect();
        let params = self.imported.params.iter();
        found.unmatched = params.filter(|name| !names.contains(name)).cloned().collect();
        found.unmatched.sort();
        let params = &self.imported.params;
        for warning in &mut self.imported.warnings {
            if let Warning::Renamed { names } = warning {
                names.retain(|name| params.contains(name));
            }
        }
        self.imported
            .warnings
            .retain(|warning| !matches!(warning, Warning::Renamed { names } if names.is_empty()));
        Ok((self, found))
    }
}

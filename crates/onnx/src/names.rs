//! The names of a state dictionary for the arrays of a file.

use std::collections::{HashMap, HashSet};
use std::path::Path;

use vivit_nn::{Argument, Arrays, NamedArray, Node};

use crate::arrays::is_statistics;
use crate::dictionary::{Dictionary, NameMatch, bits};
use crate::import::Imported;
use crate::warning::Warning;
use crate::{Error, Onnx};

/// A matrix's numbers, transposed.
fn turned<T: Copy>(numbers: &[T], rows: usize, columns: usize) -> Vec<T> {
    (0..rows * columns).map(|at| numbers[at % rows * columns + at / rows]).collect()
}

impl Onnx {
    /// Gives the arrays of the file the names that a state dictionary (a safetensors file) has for
    /// the same numbers: also for their transpose, which is what a linear layer's weight becomes
    /// when an exporter optimises, for the same numbers in another shape, for copies of a tied
    /// weight, and for the weights of recurrent layers, which ONNX has side by side and in another
    /// order. Returns what got which name, and what did not go together.
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
        let taken = self.imported.initializers.iter().map(|i| i.array.name.clone()).collect();
        let mut dictionary = Dictionary::new(arrays, &taken)?;
        let mut found = NameMatch::default();
        self.imported.name_alike(&mut dictionary, &mut found);
        crate::recurrent_names::name_recurrent(&mut self.imported, &mut dictionary, &mut found);
        self.imported.name_reshaped(&mut dictionary, &mut found);
        let params = self.imported.params.clone();
        let is_known = |name: &str| dictionary.shapes.contains_key(name);
        found.tied = self
            .imported
            .tie(|copy, array| is_known(array) && !is_known(copy) && params.contains(copy));
        let own: HashSet<&str> =
            self.imported.initializers.iter().map(|i| i.array.name.as_str()).collect();
        let names = &dictionary.names;
        found.missing = names.iter().filter(|name| !own.contains(name.as_str())).cloned().collect();
        let params = self.imported.params.iter();
        found.unmatched = params.filter(|name| !names.contains(name)).cloned().collect();
        found.unmatched.sort();
        self.imported.keep_warnings();
        Ok((self, found))
    }
}

impl Imported {
    /// Names arrays with the same numbers, and matrices with the transposed ones.
    fn name_alike(&mut self, dictionary: &mut Dictionary, found: &mut NameMatch) {
        let mut renames = HashMap::new();
        for transposed in [false, true] {
            for at in 0..self.initializers.len() {
                let NamedArray { name, shape, values, .. } = &self.initializers[at].array;
                if dictionary.shapes.contains_key(name) {
                    continue;
                }
                let (was, own) = (name.clone(), bits(values));
                if !transposed {
                    let Some(now) = dictionary.take(&own, Some(shape)) else { continue };
                    found.renamed.push((was.clone(), now.clone()));
                    self.initializers[at].array.name.clone_from(&now);
                    renames.insert(was, now);
                } else if let [rows, columns] = shape[..] {
                    let numbers = turned(&own, rows, columns);
                    let shape = vec![columns, rows];
                    let Some(now) = dictionary.take(&numbers, Some(&shape)) else { continue };
                    let numbers: Vec<f64> = (0..values.len()).map(|at| values.at(at)).collect();
                    let numbers = turned(&numbers, rows, columns);
                    found.transposed.push((was.clone(), now.clone()));
                    self.initializers[at].array.values = numbers.into();
                    self.compute(&was, transpose(&now, &was));
                    self.replace(at, &now, shape);
                }
            }
        }
        for argument in self.nodes.iter_mut().flat_map(|node| &mut node.inputs).flatten() {
            if let Argument::Value(name) = argument {
                if let Some(now) = renames.get(name) {
                    name.clone_from(now);
                }
            }
        }
        for (was, now) in renames {
            if self.params.remove(&was) {
                self.params.insert(now);
            }
        }
    }

    /// Names arrays with the same numbers in another shape.
    fn name_reshaped(&mut self, dictionary: &mut Dictionary, found: &mut NameMatch) {
        for at in 0..self.initializers.len() {
            let NamedArray { name, shape, values, kind } = &self.initializers[at].array;
            let is_float = *kind == vivit_autodiff::InputKind::Float;
            if !is_float || values.len() < 2 || dictionary.shapes.contains_key(name) {
                continue;
            }
            let Some(now) = dictionary.take(&bits(values), None) else { continue };
            let was = name.clone();
            let lens: Vec<i64> = shape.iter().map(|&len| len as i64).collect();
            let arguments = vec![Some(now.as_str().into()), Some(lens.into())];
            let node = Node::new("reshape", &[], &was).taking(arguments).with("zero", true);
            found.reshaped.push((was.clone(), now.clone()));
            self.compute(&was, node);
            let shape = dictionary.shapes[&now].clone();
            if !is_statistics(&now) {
                self.params.insert(now.clone());
            }
            self.replace(at, &now, shape);
        }
    }

    /// Makes one array of a matrix and its copies, which an exporter wrote for further uses: those
    /// pairs of a copy and an array that `may` allows and whose numbers are the same.
    pub(crate) fn tie(&mut self, may: impl Fn(&str, &str) -> bool) -> Vec<(String, String)> {
        let mut known: HashMap<(Vec<usize>, Vec<u32>), Vec<&str>> = HashMap::new();
        let matrices = self.initializers.iter().map(|initializer| &initializer.array);
        let matrices = matrices.filter(|array| array.shape.len() == 2);
        for array in matrices.clone() {
            let key = (array.shape.clone(), bits(&array.values));
            known.entry(key).or_default().push(&array.name);
        }
        let mut copies = Vec::new();
        for NamedArray { name, shape, values, .. } in matrices {
            let own = bits(values);
            // Equal numbers everywhere are a coincidence.
            if own.iter().all(|x| *x == own[0]) {
                continue;
            }
            let (rows, columns) = (shape[0], shape[1]);
            let other = (vec![columns, rows], turned(&own, rows, columns));
            let of = |key: &(Vec<usize>, Vec<u32>)| {
                let names = known.get(key)?.iter();
                names.copied().find(|other| *other != name.as_str() && may(name, other))
            };
            if let Some(now) = of(&(shape.clone(), own)) {
                copies.push((Node::new("identity", &[now], name), now.to_string()));
            } else if let Some(now) = of(&other) {
                copies.push((transpose(now, name), now.to_string()));
            }
        }
        let mut tied = Vec::new();
        for (node, now) in copies {
            let was = node.outputs[0].clone();
            self.initializers.retain(|initializer| initializer.array.name != was);
            self.params.remove(&was);
            self.compute(&was, node);
            tied.push((was, now));
        }
        tied
    }

    /// A node in front of the others, by which a name that was an array's is computed.
    pub(crate) fn compute(&mut self, was: &str, node: Node) {
        debug_assert!(node.outputs.iter().any(|name| name == was));
        self.nodes.insert(0, node);
    }

    /// An array under another name and in another shape.
    fn replace(&mut self, at: usize, now: &str, shape: Vec<usize>) {
        let array = &mut self.initializers[at].array;
        let was = std::mem::replace(&mut array.name, now.into());
        array.shape = shape;
        if self.params.remove(&was) {
            self.params.insert(now.into());
        }
    }

    /// Drops what names no longer show.
    pub(crate) fn keep_warnings(&mut self) {
        let params = &self.params;
        let there: HashSet<&String> = self.initializers.iter().map(|i| &i.array.name).collect();
        for warning in &mut self.warnings {
            match warning {
                Warning::Renamed { names } => names.retain(|name| params.contains(name)),
                Warning::Computed { arrays } => arrays.retain(|(name, _)| there.contains(name)),
                Warning::Unnamed { names } => names.retain(|name| there.contains(name)),
                _ => {}
            }
        }
        self.warnings.retain(|warning| match warning {
            Warning::Renamed { names } | Warning::Unnamed { names } => !names.is_empty(),
            Warning::Computed { arrays } => !arrays.is_empty(),
            _ => true,
        });
    }
}

fn transpose(now: &str, was: &str) -> Node {
    Node::new("transpose", &[now], was).with("order", vec![1, 0])
}

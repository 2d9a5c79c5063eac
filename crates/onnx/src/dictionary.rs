//! The arrays of a state dictionary, by name and by numbers.

use std::collections::{HashMap, HashSet};

use vivit_nn::Arrays;
use vivit_tensor::HostVec;

use crate::Error;

/// How the arrays of a file and of a state dictionary go together.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct NameMatch {
    /// Arrays of the file and the names that they got.
    pub renamed: Vec<(String, String)>,
    /// Arrays of the file that are the transpose of what got the name.
    pub transposed: Vec<(String, String)>,
    /// Arrays of the file that hold the numbers of what got the name in another shape.
    pub reshaped: Vec<(String, String)>,
    /// Arrays of the file that are copies, possibly transposed, of what has the name already.
    pub tied: Vec<(String, String)>,
    /// Weights and biases of recurrent layers in the file, and what they were put together from.
    pub assembled: Vec<(String, Vec<String>)>,
    /// Arrays of the dictionary that are not in the file.
    pub missing: Vec<String>,
    /// Parameters of the file that are not in the dictionary.
    pub unmatched: Vec<String>,
}

/// The numbers of an array in single precision, bit by bit.
pub(crate) fn bits(values: &HostVec) -> Vec<u32> {
    (0..values.len()).map(|at| (values.at(at) as f32).to_bits()).collect()
}

/// The arrays of a dictionary that have found no array of the file yet.
pub(crate) struct Dictionary {
    pub names: Vec<String>,
    pub shapes: HashMap<String, Vec<usize>>,
    /// Names by numbers, several where several arrays hold the same ones: the first one last.
    free: HashMap<Vec<u32>, Vec<String>>,
}

impl Dictionary {
    pub fn new(arrays: &Arrays<'_>, taken: &HashSet<String>) -> Result<Self, Error> {
        let names: Vec<String> = arrays.names().map(String::from).collect();
        let (mut shapes, mut free) = (HashMap::new(), HashMap::new());
        for name in names.iter().rev() {
            let (shape, values) = arrays.numbers(name)?;
            shapes.insert(name.clone(), shape);
            // A name that the file has already is that array's.
            if !taken.contains(name) {
                free.entry(bits(&values)).or_insert_with(Vec::new).push(name.clone());
            }
        }
        Ok(Dictionary { names, shapes, free })
    }

    /// Takes the first array with these numbers, of this shape unless any will do.
    pub fn take(&mut self, numbers: &[u32], shape: Option<&[usize]>) -> Option<String> {
        let names = self.free.get_mut(numbers)?;
        let fits = |name: &String| shape.is_none_or(|shape| self.shapes[name] == shape);
        let at = names.iter().rposition(fits)?;
        Some(names.remove(at))
    }

    /// The name of the first array with these numbers and this shape, which stays free.
    pub fn find(&self, numbers: &[u32], shape: &[usize]) -> Option<&String> {
        self.free.get(numbers)?.iter().rev().find(|name| self.shapes[*name] == shape)
    }
}

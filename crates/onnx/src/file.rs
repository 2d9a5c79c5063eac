//! ONNX files.

use std::path::Path;

use prost::Message;
use vivit_autodiff::{InputSpec, OutputSpec};
use vivit_nn::{GraphModel, GraphParts, NamedArray};
use vivit_tensor::Device;

use crate::arrays::Mark;
use crate::import::{Imported, import};
use crate::tensor::Folder;
use crate::{Error, Warning, proto};

/// An ONNX file, read and checked: inputs, outputs, parameters, operations.
///
/// What is a parameter: the arrays that PyTorch's exporter marks as such; in a file without marks,
/// arrays of floats that are weights or biases of operations, and other named ones that the output
/// has a derivative in, except running statistics. [`with_params`](Onnx::with_params) chooses
/// otherwise.
#[derive(Clone, Debug)]
pub struct Onnx {
    pub(crate) imported: Imported,
}

impl Onnx {
    /// Reads a file, and the files beside it in which it keeps arrays.
    ///
    /// # Errors
    /// If it can't be read, is no ONNX file, or holds what is not supported: everything at once,
    /// with the nodes; always with the path.
    pub fn read(path: impl AsRef<Path>) -> Result<Self, Error> {
        let path = path.as_ref();
        let bytes = std::fs::read(path)
            .map_err(|error| Error::Io { path: path.into(), reason: error.to_string() })?;
        let folder = path.parent().unwrap_or(Path::new(""));
        Self::decode(bytes, Folder::Of(folder))
            .map_err(|error| Error::File { path: path.into(), source: Box::new(error) })
    }

    /// Takes the bytes of a file that keeps no arrays elsewhere.
    ///
    /// # Errors
    /// As [`read`](Onnx::read).
    pub fn from_bytes(bytes: impl Into<Vec<u8>>) -> Result<Self, Error> {
        Self::decode(bytes.into(), Folder::None)
    }

    fn decode(bytes: Vec<u8>, folder: Folder<'_>) -> Result<Self, Error> {
        // Arrays stay where they are in these bytes until they are converted.
        let model = proto::Model::decode(prost::bytes::Bytes::from(bytes))
            .map_err(|error| Error::NotOnnx { reason: error.to_string() })?;
        Ok(Onnx { imported: import(model, folder)? })
    }

    /// The inputs, with the axes along which samples lie.
    pub fn inputs(&self) -> &[InputSpec] {
        &self.imported.interface_inputs
    }

    /// The outputs; the first is the prediction.
    pub fn outputs(&self) -> &[OutputSpec] {
        &self.imported.interface_outputs
    }

    /// Names and shapes of the parameters, in the order of the file.
    pub fn params(&self) -> impl Iterator<Item = (&str, &[usize])> {
        self.initializers(true)
    }

    /// Names and shapes of the arrays of the file that are no parameters.
    pub fn constants(&self) -> impl Iterator<Item = (&str, &[usize])> {
        self.initializers(false)
    }

    fn initializers(&self, params: bool) -> impl Iterator<Item = (&str, &[usize])> {
        let arrays = self.imported.initializers.iter().map(|initializer| &initializer.array);
        let chosen =
            move |array: &&NamedArray| self.imported.params.contains(&array.name) == params;
        arrays.filter(chosen).map(|array| (array.name.as_str(), array.shape.as_slice()))
    }

    /// Whether the file itself says which of its arrays are parameters.
    pub fn marks_params(&self) -> bool {
        let marks = self.imported.initializers.iter().map(|initializer| initializer.mark);
        marks.flatten().any(|mark| mark == Mark::Parameter)
    }

    /// The operations, with the number of nodes of each, functions written out.
    pub fn operations(&self) -> impl Iterator<Item = (&str, usize)> {
        self.imported.operations.iter().map(|(op, count)| (op.as_str(), *count))
    }

    /// The version of ONNX's operations that the file uses.
    pub fn opset(&self) -> i64 {
        self.imported.opset
    }

    /// What shows that the parameters are others than the network's own.
    pub fn warnings(&self) -> &[Warning] {
        &self.imported.warnings
    }

    /// The same file with those arrays as parameters whose names `choose` takes; the others are
    /// constants.
    ///
    /// # Errors
    /// If it takes no array, or one that does not hold floats.
    pub fn with_params(mut self, mut choose: impl FnMut(&str) -> bool) -> Result<Self, Error> {
        let mut params = std::collections::HashSet::new();
        for initializer in &self.imported.initializers {
            let NamedArray { name, kind, .. } = &initializer.array;
            if !choose(name) {
                continue;
            }
            if *kind != vivit_autodiff::InputKind::Float {
                return Err(Error::Choice(format!(
                    "array {name} can't be a parameter: it does not hold floats"
                )));
            }
            params.insert(name.clone());
        }
        if params.is_empty() {
            let known: Vec<&str> =
                self.imported.initializers.iter().map(|i| i.array.name.as_str()).collect();
            return Err(Error::Choice(format!(
                "no array is chosen as a parameter; there are {}",
                known.join(", ")
            )));
        }
        self.imported.params = params;
        Ok(self)
    }

    /// The model, in the device's precision.
    ///
    /// # Errors
    /// If the nodes make no graph.
    pub fn model(&self, device: &Device) -> Result<GraphModel, Error> {
        let Imported { interface_inputs, interface_outputs, initializers, .. } = &self.imported;
        let mut parts = GraphParts {
            inputs: interface_inputs.clone(),
            outputs: interface_outputs.clone(),
            constants: self.imported.constants.clone(),
            nodes: self.imported.nodes.clone(),
            ..GraphParts::default()
        };
        for initializer in initializers {
            let array = initializer.array.clone();
            let is_float = array.kind == vivit_autodiff::InputKind::Float;
            let is_buffer = is_float && initializer.mark == Some(Mark::Buffer)
                || array.name.ends_with(".running_mean")
                || array.name.ends_with(".running_var");
            if self.imported.params.contains(&array.name) {
                parts.params.push(array);
            } else if is_buffer {
                parts.buffers.push(array);
            } else {
                parts.constants.push(array);
            }
        }
        Ok(GraphModel::new(device, parts)?)
    }
}

//! Rows of layers.

use std::ops::Range;
use std::sync::Arc;

use vivit_autodiff::Var;
use vivit_tensor::Tensor;

use crate::layer::{LayerState, Recorder};
use crate::{Error, Layer, LayerArrays, NodeWriter, ParamSpec, ShapeError};

/// A row of layers: what sequential models, residual bodies and branches have in common. A layer's
/// name is its position.
#[derive(Clone, Debug)]
pub(crate) struct LayerList {
    layers: Arc<[Box<dyn Layer>]>,
    /// Whether the row is one layer whose parameters bear its own names, without a position.
    bare: bool,
}

impl From<Vec<Box<dyn Layer>>> for LayerList {
    fn from(layers: Vec<Box<dyn Layer>>) -> Self {
        LayerList { layers: layers.into(), bare: false }
    }
}

impl LayerList {
    /// One layer, whose parameters keep its names.
    pub fn bare(layer: Box<dyn Layer>) -> Self {
        LayerList { layers: vec![layer].into(), bare: true }
    }

    pub fn is_bare(&self) -> bool {
        self.bare
    }

    pub fn layers(&self) -> &[Box<dyn Layer>] {
        &self.layers
    }

    /// The layer that position `at` runs.
    fn layer(&self, at: usize) -> &dyn Layer {
        let layer = self.layers[at].as_ref();
        layer.shares().map_or(layer, |shared| self.layers[shared].as_ref())
    }

    pub fn check(&self, path: &str) -> Result<(), Error> {
        for (at, layer) in self.layers.iter().enumerate() {
            layer.check()?;
            if let Some(shared) = layer.shares() {
                if shared >= at || self.layers[shared].shares().is_some() {
                    return Err(Error::Shared { path: format!("{path}{at}"), layer: shared });
                }
            }
        }
        Ok(())
    }

    pub fn params(&self) -> Vec<ParamSpec> {
        self.named(|layer| layer.params())
    }

    pub fn buffers(&self) -> Vec<ParamSpec> {
        self.named(|layer| layer.buffers())
    }

    fn named(&self, specs: impl Fn(&dyn Layer) -> Vec<ParamSpec>) -> Vec<ParamSpec> {
        if self.bare {
            return specs(self.layers[0].as_ref());
        }
        let mut all = Vec::new();
        for (at, layer) in self.layers.iter().enumerate() {
            let path = at.to_string();
            all.extend(specs(layer.as_ref()).into_iter().map(|spec| spec.inside(&path)));
        }
        all
    }

    pub fn check_input(&self, x: &Tensor) -> Result<(), Error> {
        self.layers.first().map_or(Ok(()), |layer| layer.check_input(x))
    }

    pub fn output_shape(&self, input: &[usize]) -> Result<Vec<usize>, ShapeError> {
        (0..self.layers.len()).try_fold(input.to_vec(), |shape, at| {
            self.layer(at)
                .output_shape(&shape)
                .map_err(|error| if self.bare { error } else { error.inside(&at.to_string()) })
        })
    }

    pub fn record(&self, recorder: &mut Recorder<'_>, state: LayerState<'_>, x: Var) -> Var {
        let ranges = self.ranges();
        (0..self.layers.len()).fold(x, |x, at| {
            let [params, buffers] = ranges[at].clone();
            let own =
                LayerState { params: &state.params[params], buffers: &mut state.buffers[buffers] };
            self.layer(at).record(recorder, own, x)
        })
    }

    /// Writes the row as nodes that read `x`, and returns the name of the result.
    pub fn nodes(
        &self,
        writer: &mut NodeWriter,
        arrays: LayerArrays<'_>,
        x: &str,
    ) -> Result<String, Error> {
        let ranges = self.ranges();
        (0..self.layers.len()).try_fold(x.to_string(), |x, at| {
            let [params, buffers] = ranges[at].clone();
            let own =
                LayerArrays { params: &arrays.params[params], buffers: &arrays.buffers[buffers] };
            let write = |writer: &mut NodeWriter| self.layer(at).nodes(writer, own, &x);
            if self.bare { write(writer) } else { writer.inside(&at.to_string(), write) }
        })
    }

    /// Which of the row's parameters and buffers each layer uses: its own, or those that it shares.
    fn ranges(&self) -> Vec<[Range<usize>; 2]> {
        let mut own: Vec<[Range<usize>; 2]> = Vec::with_capacity(self.layers.len());
        let mut ends = [0, 0];
        for layer in self.layers.iter() {
            let next = [ends[0] + layer.params().len(), ends[1] + layer.buffers().len()];
            let ranges = [ends[0]..next[0], ends[1]..next[1]];
            own.push(layer.shares().map_or(ranges, |shared| own[shared].clone()));
            ends = next;
        }
        own
    }
}

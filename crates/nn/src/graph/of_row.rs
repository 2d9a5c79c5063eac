//! A row of layers as a graph model.

use vivit_autodiff::{InputSpec, OutputSpec, Param};

use super::{GraphModel, GraphParts, LayerArrays, NamedArray, Node, NodeWriter};
use crate::{Error, Sequential};

impl GraphModel {
    /// The graph of a row of layers in evaluation mode, with the same input, parameters and
    /// buffers: names, order, values, precision. Dropout is left out.
    ///
    /// The two models compute the same up to rounding; the graph has a text form
    /// ([`description`](GraphModel::description)) where the row has none, as for a
    /// [`Wiring`](crate::Wiring).
    ///
    /// ```
    /// use vivit_nn::{GraphModel, Sequential, linear, tanh};
    /// use vivit_tensor::{Device, Tensor};
    ///
    /// let cpu = Device::cpu_f64();
    /// let row = Sequential::new(&cpu, vec![linear(3, 4), tanh(), linear(4, 2)], 0)?;
    /// let graph = GraphModel::of(&row)?;
    /// assert_eq!(graph.params()[2].name, "2.weight");
    /// assert_eq!(graph.nodes()[0].outputs, ["0.linear"]);
    ///
    /// let x = Tensor::full(&cpu, [5, 3], 0.5);
    /// assert_eq!(graph.forward(&x)?.value().to_vec()?, row.forward(&x)?.value().to_vec()?);
    /// # Ok::<(), vivit_nn::Error>(())
    /// ```
    ///
    /// # Errors
    /// If a layer has no nodes ([`Layer::nodes`](crate::Layer::nodes)), with its path, or the
    /// device failed.
    pub fn of(model: &Sequential) -> Result<Self, Error> {
        let (params, buffers) = (names(model.params()), names(model.buffers()));
        let mut writer = NodeWriter::new(params.iter().chain(&buffers).cloned());
        let [input, output] = ["input", "output"].map(|name| writer.fresh(name));
        let arrays = LayerArrays { params: &params, buffers: &buffers };
        let last = model.row().nodes(&mut writer, arrays, &input)?;
        let mut nodes = writer.into_nodes();
        nodes.push(Node::new("identity", &[&last], &output));
        let parts = GraphParts {
            inputs: vec![InputSpec::new(&input)],
            outputs: vec![OutputSpec::new(&output)],
            params: NamedArray::all_of(model.params())?,
            buffers: NamedArray::all_of(model.buffers())?,
            nodes,
            ..GraphParts::default()
        };
        GraphModel::new(model.device(), parts)
    }
}

fn names(arrays: &[Param]) -> Vec<String> {
    arrays.iter().map(|param| param.name.clone()).collect()
}

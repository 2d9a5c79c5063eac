//! The layers that descriptions know: one line each.

use serde_json::Value;

use super::entry::Described;
use super::error::{DescriptionError, DescriptionProblem};
use super::options::{Options, shown};
use crate::layers::wired::Wired;
use crate::{
    Activation, AdaptiveAvgPool, AvgPool, AxisMap, BatchNorm, Bilinear, Branches, Conv,
    ConvTranspose, Dropout, Embedding, Flatten, Flip, GroupNorm, InstanceNorm, Layer, LayerNorm,
    Linear, LocalResponseNorm, MaxPool, MultiheadAttention, PRelu, Permute, PositionalEmbedding,
    Recurrent, Residual, RmsNorm, Select, SelfAttention, Shared, TransformerEncoderLayer, ZeroPad,
};

macro_rules! registry {
    ($($layer:ty),+ $(,)?) => {
        /// All ops, in the order of the registry.
        fn ops() -> Vec<String> {
            let ops = [$(<$layer as Described>::OPS),+];
            ops.concat().into_iter().map(String::from).collect()
        }

        /// The layer of an entry.
        ///
        /// # Errors
        /// If its op or options are not what they must be.
        pub(crate) fn layer(entry: &Value) -> Result<Box<dyn Layer>, DescriptionError> {
            let options = Options::of(entry)?;
            $(if <$layer as Described>::OPS.contains(&options.op()) {
                return Ok(Box::new(<$layer as Described>::read(options)?));
            })+
            let problem = DescriptionProblem::UnknownOp { op: options.op().into(), known: ops() };
            Err(DescriptionError::new(problem))
        }

        /// The entry of a layer.
        ///
        /// # Errors
        /// If it has none.
        pub(crate) fn entry(layer: &dyn Layer) -> Result<Value, DescriptionError> {
            $(if let Some(layer) = layer.downcast_ref::<$layer>() {
                return Described::entry(layer);
            })+
            let problem = DescriptionProblem::NotDescribed { layer: layer.name() };
            Err(DescriptionError::new(problem))
        }
    };
}

registry! {
    Linear,
    Bilinear,
    Conv<1>,
    Conv<2>,
    Conv<3>,
    ConvTranspose<1>,
    ConvTranspose<2>,
    ConvTranspose<3>,
    MaxPool<1>,
    MaxPool<2>,
    MaxPool<3>,
    AvgPool<1>,
    AvgPool<2>,
    AvgPool<3>,
    AdaptiveAvgPool<1>,
    AdaptiveAvgPool<2>,
    AdaptiveAvgPool<3>,
    Activation,
    PRelu,
    Dropout,
    BatchNorm,
    LayerNorm,
    GroupNorm,
    RmsNorm,
    InstanceNorm,
    LocalResponseNorm,
    Embedding,
    PositionalEmbedding,
    SelfAttention,
    MultiheadAttention,
    TransformerEncoderLayer,
    Recurrent,
    AxisMap,
    Permute,
    Select,
    Flip,
    Flatten,
    ZeroPad,
    Residual,
    Branches,
    Shared,
    Wired,
}

/// The layers of a description.
///
/// # Errors
/// If it is no list of layers, or a layer's op or options are not what they must be, with the
/// layer's path.
///
/// # Examples
/// ```
/// use vivit_nn::description;
///
/// let text = r#"[
///     {"op": "linear", "in": 4, "out": 4},
///     {"op": "residual", "body": [{"op": "linear", "in": 4}]}
/// ]"#;
/// let error = description::layers(&description::parse(text)?).unwrap_err();
/// assert_eq!(error.path, "1.body.0");
/// assert!(error.to_string().contains("linear needs the option \"out\""));
/// # Ok::<(), vivit_nn::description::DescriptionError>(())
/// ```
pub fn layers(description: &Value) -> Result<Vec<Box<dyn Layer>>, DescriptionError> {
    let not_a_list =
        || DescriptionError::new(DescriptionProblem::NotAList { got: shown(description) });
    let list = description.as_array().ok_or_else(not_a_list)?;
    let numbered = list.iter().enumerate();
    numbered
        .map(|(at, entry)| layer(entry).map_err(|error| error.inside(&at.to_string())))
        .collect()
}

/// The description of layers: what [`layers`] reads, with all options.
///
/// # Errors
/// If one has no description, with its path.
///
/// # Examples
/// ```
/// use vivit_nn::{description, linear, relu};
///
/// let layers = vec![linear(4, 3), relu()];
/// let text = r#"[{"op": "linear", "in": 4, "out": 3, "bias": true}, {"op": "relu"}]"#;
/// assert_eq!(description::of(&layers)?, description::parse(text)?);
/// # Ok::<(), vivit_nn::Error>(())
/// ```
pub fn of(layers: &[Box<dyn Layer>]) -> Result<Value, DescriptionError> {
    let numbered = layers.iter().enumerate();
    let list = numbered
        .map(|(at, layer)| entry(layer.as_ref()).map_err(|error| error.inside(&at.to_string())));
    Ok(Value::Array(list.collect::<Result<_, _>>()?))
}

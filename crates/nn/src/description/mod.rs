//! Models as text: layers in JSON.
//!
//! A description is a list with one object per layer: its `op`, and its options under their names.
//! An object that stands alone is a model of one layer ([`Sequential::wired`]), whose parameters
//! have no number in front.
//!
//! ```json
//! [
//!     {"op": "conv2d", "in": 1, "out": 4, "kernel": 3, "padding": 1},
//!     {"op": "residual", "body": [
//!         {"op": "relu"},
//!         {"op": "conv2d", "in": 4, "out": 4, "kernel": 1}
//!     ]},
//!     {"op": "flatten"},
//!     {"op": "linear", "in": 64, "out": 10, "bias": false}
//! ]
//! ```
//!
//! Options that PyTorch has a default for may be left out; what belongs to spatial axes is one
//! number for all of them or a list. An op is called as the function that makes the layer; its
//! options are the fields of the layer's struct, with `in` and `out` for `inputs` and `outputs`,
//! `eps` for `epsilon`. Unknown ops and options are errors that list what there is, so that no
//! description is half understood. `null` is an error as well, unless it means what leaving the
//! option out means.
//!
//! A [`Wiring`](crate::Wiring) is the op `wiring`. Value 0 is its input, step i computes value
//! i + 1 from `inputs`, by a layer with a name, the layer of an earlier step `again`, or `sum` or
//! `concat`; `output` is the value that leaves:
//!
//! ```json
//! {"op": "wiring", "output": 3, "steps": [
//!     {"op": "layer", "name": "fc", "layer": {"op": "linear", "in": 4, "out": 4}, "inputs": [0]},
//!     {"op": "again", "name": "fc", "inputs": [1]},
//!     {"op": "concat", "axis": 1, "inputs": [1, 2]}
//! ]}
//! ```

pub(crate) mod entry;
pub(crate) mod error;
mod nested;
pub(crate) mod options;
mod registry;
#[cfg(test)]
mod tests;
pub(crate) mod value;
mod wiring;

pub use error::{DescriptionError, DescriptionProblem};
pub use options::Options;
pub use registry::{layers, of};
pub use serde_json::Value;

use vivit_tensor::Device;

use crate::{Error, Sequential};
use registry::{entry, layer};

/// Reads a text as JSON.
///
/// # Errors
/// If it is none.
pub fn parse(text: &str) -> Result<Value, DescriptionError> {
    let json = |error: serde_json::Error| DescriptionProblem::Json { reason: error.to_string() };
    serde_json::from_str(text).map_err(|error| DescriptionError::new(json(error)))
}

/// # Descriptions
impl Sequential {
    /// The model of a description, with PyTorch's default initialisation, drawn from `seed`.
    ///
    /// # Errors
    /// If the description names an op or option that there is not, or lacks one, with the path of
    /// the layer; or the layers make no model.
    ///
    /// # Examples
    /// ```
    /// use vivit_nn::{Sequential, description};
    /// use vivit_tensor::Device;
    ///
    /// let cpu = Device::cpu();
    /// let text = r#"[{"op": "linear", "in": 4, "out": 3}, {"op": "tanh"}]"#;
    /// let model = Sequential::from_description(&cpu, &description::parse(text)?, 0)?;
    /// assert_eq!(model.num_params(), 15);
    ///
    /// // With the state dictionary, this is all that is needed to have the model again elsewhere.
    /// let (layers, state) = (model.description()?.to_string(), model.to_safetensors()?);
    /// let mut again = Sequential::from_description(&cpu, &description::parse(&layers)?, 0)?;
    /// again.load_safetensors(&state)?;
    ///
    /// let typo = description::parse(r#"[{"op": "linear", "in": 4, "out": 3, "biass": false}]"#)?;
    /// let error = Sequential::from_description(&cpu, &typo, 0).unwrap_err();
    /// assert!(error.to_string().contains("linear has no option \"biass\""));
    /// # Ok::<(), vivit_nn::Error>(())
    /// ```
    pub fn from_description(
        device: &Device,
        description: &Value,
        seed: u64,
    ) -> Result<Self, Error> {
        if description.is_object() {
            return Sequential::wired(device, layer(description)?, seed);
        }
        Sequential::new(device, layers(description)?, seed)
    }

    /// The model's layers as a description: a list, or the one layer of a model that was made by
    /// [`wired`](Sequential::wired).
    ///
    /// # Errors
    /// If a layer has none, with its path: a layer of one's own.
    pub fn description(&self) -> Result<Value, Error> {
        if self.is_wired() {
            return Ok(entry(self.layers()[0].as_ref())?);
        }
        Ok(of(self.layers())?)
    }
}

//! Wirings in descriptions.

use serde_json::{Value, json};

use super::entry::Described;
use super::error::{DescriptionError, DescriptionProblem};
use super::options::Options;
use super::registry::{entry, layer};
use crate::Join;
use crate::layers::wired::{Step, Wired};

impl Described for Wired {
    const OPS: &'static [&'static str] = &["wiring"];

    fn read(options: Options<'_>) -> Result<Self, DescriptionError> {
        options.only(&["steps", "output"])?;
        let given = options.required("steps")?;
        let list =
            given.as_array().ok_or_else(|| options.invalid("steps", "a list of steps", given))?;
        let numbered = list.iter().enumerate();
        let steps =
            numbered.map(|(at, entry)| step(entry, at)).collect::<Result<_, DescriptionError>>()?;
        Wired::of(steps, options.value("output")?)
            .map_err(|reason| DescriptionError::new(DescriptionProblem::Wiring { reason }))
    }

    fn write(&self) -> Result<Vec<(&'static str, Value)>, DescriptionError> {
        let steps = self.steps().iter().map(step_entry).collect::<Result<Vec<_>, _>>()?;
        Ok(vec![("steps", Value::Array(steps)), ("output", self.result().into())])
    }
}

/// The step of an entry. What is wrong with its layer is told under the layer's name, as in the
/// model; what is wrong with the step itself under its number.
fn step(entry: &Value, at: usize) -> Result<Step, DescriptionError> {
    let numbered = |error: DescriptionError| error.inside(&format!("steps.{at}"));
    let options = Options::of(entry).map_err(numbered)?;
    if options.op() != "layer" {
        return join_or_again(options).map_err(numbered);
    }
    options.only(&["name", "layer", "inputs"]).map_err(numbered)?;
    let name: String = options.value("name").map_err(numbered)?;
    let layer = layer(options.required("layer").map_err(numbered)?);
    let layer = layer.map_err(|error| error.inside(&name))?;
    Ok(Step::Layer { name, layer, inputs: options.value("inputs").map_err(numbered)? })
}

fn join_or_again(options: Options<'_>) -> Result<Step, DescriptionError> {
    match options.op() {
        "again" => options.only(&["name", "inputs"])?,
        "sum" => options.only(&["inputs"])?,
        "concat" => options.only(&["axis", "inputs"])?,
        other => {
            let known = ["layer", "again", "sum", "concat"].map(String::from).to_vec();
            let problem = DescriptionProblem::UnknownOp { op: other.into(), known };
            return Err(DescriptionError::new(problem));
        }
    }
    let inputs = options.value("inputs")?;
    Ok(match options.op() {
        "again" => Step::Again { name: options.value("name")?, inputs },
        "sum" => Step::Join { join: Join::Sum, inputs },
        _ => Step::Join { join: Join::Concat(options.value("axis")?), inputs },
    })
}

fn step_entry(step: &Step) -> Result<Value, DescriptionError> {
    Ok(match step {
        Step::Layer { name, layer, inputs } => {
            let layer = entry(layer.as_ref()).map_err(|error| error.inside(name))?;
            json!({"op": "layer", "name": name, "layer": layer, "inputs": inputs})
        }
        Step::Again { name, inputs } => json!({"op": "again", "name": name, "inputs": inputs}),
        Step::Join { join: Join::Sum, inputs } => json!({"op": "sum", "inputs": inputs}),
        Step::Join { join: Join::Concat(axis), inputs } => {
            json!({"op": "concat", "axis": axis, "inputs": inputs})
        }
    })
}

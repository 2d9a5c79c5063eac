//! Layers that hold layers, in descriptions.

use serde_json::Value;

use super::entry::Described;
use super::error::DescriptionError;
use super::options::Options;
use super::registry::{layers, of};
use crate::{Branches, Join, Residual};

impl Described for Residual {
    const OPS: &'static [&'static str] = &["residual"];

    fn read(options: Options<'_>) -> Result<Self, DescriptionError> {
        options.only(&["body"])?;
        let body = options.required("body")?;
        Ok(Residual::new(layers(body).map_err(|error| error.inside("body"))?))
    }

    fn write(&self) -> Result<Vec<(&'static str, Value)>, DescriptionError> {
        Ok(vec![("body", of(self.body()).map_err(|error| error.inside("body"))?)])
    }
}

impl Described for Branches {
    const OPS: &'static [&'static str] = &["branches"];

    fn read(options: Options<'_>) -> Result<Self, DescriptionError> {
        options.only(&["rows", "concat"])?;
        let rows = options.required("rows")?;
        let list = rows
            .as_array()
            .ok_or_else(|| options.invalid("rows", "a list of lists of layers", rows))?;
        let row = |(at, row)| layers(row).map_err(|error| error.inside(&usize::to_string(&at)));
        let rows = list.iter().enumerate().map(row).collect::<Result<_, _>>()?;
        let axis: Option<usize> =
            options.get("concat").map(|_| options.value("concat")).transpose()?;
        Ok(Branches::new(rows, axis.map_or(Join::Sum, Join::Concat)))
    }

    fn write(&self) -> Result<Vec<(&'static str, Value)>, DescriptionError> {
        let row = |(at, row)| of(row).map_err(|error| error.inside(&usize::to_string(&at)));
        let rows = self.rows().enumerate().map(row).collect::<Result<Vec<_>, _>>()?;
        let mut options = vec![("rows", Value::Array(rows))];
        if let Join::Concat(axis) = self.join() {
            options.push(("concat", axis.into()));
        }
        Ok(options)
    }
}

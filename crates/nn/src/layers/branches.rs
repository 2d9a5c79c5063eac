//! Parallel branches.

use serde_json::{Value, json};
use vivit_autodiff::{Tape, Var};

use crate::description::{self, DescriptionError};
use crate::layer::Row;
use crate::{Error, Layer, Own, ParamSpec, Recorder, ShapeError};

/// How the results of branches become one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Join {
    /// Added up.
    Sum,
    /// One after the other along an axis, at least 1 (0 is the sample axis).
    Concat(usize),
}

/// The shape of joined samples, or why they can't be joined.
pub(crate) fn joined_shape(join: Join, shapes: &[Vec<usize>]) -> Result<Vec<usize>, String> {
    let mut joined = shapes.first().cloned().ok_or("needs at least one value to join")?;
    for shape in &shapes[1..] {
        let mut other = shape.clone();
        if let Join::Concat(axis) = join {
            if axis == 0 || axis > joined.len() || other.len() != joined.len() {
                return Err(format!("can't join samples of shapes {shapes:?} along axis {axis}"));
            }
            joined[axis - 1] += shape[axis - 1];
            other[axis - 1] = joined[axis - 1];
        }
        if other != joined {
            return Err(format!("samples of shapes {shapes:?} can't be joined"));
        }
    }
    Ok(joined)
}

/// Joins values whose shapes have been checked.
pub(crate) fn join(join: Join, tape: &mut Tape, values: &[Var]) -> Var {
    match join {
        Join::Concat(axis) => tape.concat(values, axis),
        Join::Sum => {
            let (first, rest) =
                values.split_first().expect("at least one value, as the shapes say");
            rest.iter().fold(*first, |sum, &next| tape.add(sum, next))
        }
    }
}

/// Rows of layers that all read the same input. An empty row passes it on. Parameters of branch i
/// are called `i.0.weight` and so on.
#[derive(Debug)]
pub struct Branches {
    rows: Vec<Row>,
    join: Join,
}

/// [`Branches`] with the given rows of layers.
pub fn branches(rows: Vec<Vec<Box<dyn Layer>>>, join: Join) -> Box<dyn Layer> {
    Box::new(Branches { rows: rows.into_iter().map(|row| Row(row.into())).collect(), join })
}

impl Branches {
    fn named(&self, specs: impl Fn(&Row) -> Vec<ParamSpec>) -> Vec<ParamSpec> {
        let mut all = Vec::new();
        for (at, row) in self.rows.iter().enumerate() {
            all.extend(
                specs(row)
                    .into_iter()
                    .map(|spec| ParamSpec { name: format!("{at}.{}", spec.name), ..spec }),
            );
        }
        all
    }
}

impl Layer for Branches {
    fn name(&self) -> String {
        format!("{} branches", self.rows.len())
    }

    fn params(&self) -> Vec<ParamSpec> {
        self.named(Row::params)
    }

    fn buffers(&self) -> Vec<ParamSpec> {
        self.named(Row::buffers)
    }

    fn output_shape(&self, input: &[usize]) -> Result<Vec<usize>, ShapeError> {
        let mut shapes = Vec::with_capacity(self.rows.len());
        for (at, row) in self.rows.iter().enumerate() {
            shapes.push(row.output_shape(input).map_err(|error| error.inside(&at.to_string()))?);
        }
        joined_shape(self.join, &shapes)
            .map_err(|reason| ShapeError::new(Layer::name(self), reason))
    }

    fn record(&self, recorder: &mut Recorder<'_>, own: Own<'_>, x: Var) -> Var {
        let (mut params, mut buffers) = (own.params, own.buffers);
        let mut results = Vec::with_capacity(self.rows.len());
        for row in &self.rows {
            let (here, rest) = params.split_at(row.params().len());
            let (here_buffers, rest_buffers) = buffers.split_at_mut(row.buffers().len());
            results.push(row.record(recorder, Own { params: here, buffers: here_buffers }, x));
            (params, buffers) = (rest, rest_buffers);
        }
        join(self.join, recorder.tape, &results)
    }

    fn check(&self) -> Result<(), Error> {
        self.rows.iter().enumerate().try_for_each(|(at, row)| row.check(&format!("{at}.")))
    }

    fn describe(&self) -> Result<Value, DescriptionError> {
        let row = |(at, row): (usize, &Row)| {
            description::of(&row.0).map_err(|error| error.inside(&at.to_string()))
        };
        let rows = self.rows.iter().enumerate().map(row).collect::<Result<Vec<_>, _>>()?;
        Ok(match self.join {
            Join::Sum => json!({"op": "branches", "rows": rows}),
            Join::Concat(axis) => json!({"op": "branches", "rows": rows, "concat": axis}),
        })
    }
}

//! Parallel branches.

use vivit_autodiff::Var;
use vivit_tensor::Backend;

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

/// Rows of layers that all read the same input. An empty row passes it on. Parameters of branch i are called `i.0.weight` and so on.
#[derive(Debug)]
pub struct Branches<B: Backend> {
    rows: Vec<Row<B>>,
    join: Join,
}

/// [`Branches`] with the given rows of layers.
pub fn branches<B: Backend>(rows: Vec<Vec<Box<dyn Layer<B>>>>, join: Join) -> Box<dyn Layer<B>> {
    Box::new(Branches { rows: rows.into_iter().map(|row| Row(row.into())).collect(), join })
}

impl<B: Backend> Branches<B> {
    fn named(&self, specs: impl Fn(&Row<B>) -> Vec<ParamSpec>) -> Vec<ParamSpec> {
        let mut all = Vec::new();
        for (at, row) in self.rows.iter().enumerate() {
            all.extend(specs(row).into_iter().map(|spec| ParamSpec { name: format!("{at}.{}", spec.name), ..spec }));
        }
        all
    }
}

impl<B: Backend> Layer<B> for Branches<B> {
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
        let error = |reason: String| ShapeError::new(Layer::<B>::name(self), reason);
        let mut joined = shapes.first().cloned().ok_or_else(|| error("needs at least one branch".into()))?;
        for shape in &shapes[1..] {
            let mut other = shape.clone();
            if let Join::Concat(axis) = self.join {
                if axis == 0 || axis > joined.len() || other.len() != joined.len() {
                    return Err(error(format!("can't join {shapes:?} along axis {axis}")));
                }
                joined[axis - 1] += shape[axis - 1];
                other[axis - 1] = joined[axis - 1];
            }
            if other != joined {
                return Err(error(format!("its branches give samples of shapes {shapes:?}, which can't be joined")));
            }
        }
        Ok(joined)
    }

    fn record(&self, recorder: &mut Recorder<'_, B>, own: Own<'_, B>, x: Var) -> Var {
        let (mut params, mut buffers) = (own.params, own.buffers);
        let mut results = Vec::with_capacity(self.rows.len());
        for row in &self.rows {
            let (here, rest) = params.split_at(row.params().len());
            let (here_buffers, rest_buffers) = buffers.split_at_mut(row.buffers().len());
            results.push(row.record(recorder, Own { params: here, buffers: here_buffers }, x));
            (params, buffers) = (rest, rest_buffers);
        }
        match self.join {
            Join::Concat(axis) => recorder.tape.concat(&results, axis - 1),
            Join::Sum => {
                let (first, rest) = results.split_first().expect("at least one branch, as the shapes say");
                rest.iter().fold(*first, |sum, &next| recorder.tape.add(sum, next))
            }
        }
    }

    fn check(&self) -> Result<(), Error> {
        self.rows.iter().enumerate().try_for_each(|(at, row)| row.check(&format!("{at}.")))
    }
}

//! Parallel branches.

use vivit_autodiff::{Tape, Var};

use crate::layer_list::LayerList;
use crate::{
    Error, Layer, LayerArrays, LayerState, Node, NodeWriter, ParamSpec, Recorder, ShapeError,
};

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

/// Writes the join as nodes, and returns the name of the result; `None` for no values.
pub(crate) fn joined_nodes(join: Join, writer: &mut NodeWriter, values: &[&str]) -> Option<String> {
    let (first, rest) = values.split_first()?;
    Some(match join {
        Join::Concat(axis) => writer.add(Node::new("concat", values, "").with("axis", axis)),
        Join::Sum => rest
            .iter()
            .fold(first.to_string(), |sum, next| writer.add(Node::new("add", &[&sum, next], ""))),
    })
}

/// Rows of layers that all read the same input. An empty row passes it on. Parameters of branch i
/// are called `i.0.weight` and so on.
///
/// ```
/// use vivit_nn::{Branches, Join, Layer, linear, relu};
///
/// let layer = Branches::new(vec![vec![], vec![linear(4, 2), relu()]], Join::Concat(1));
/// assert_eq!(layer.output_shape(&[4])?, [6]);
/// assert_eq!(layer.params()[0].name, "1.0.weight");
/// # Ok::<(), vivit_nn::Error>(())
/// ```
#[derive(Debug)]
pub struct Branches {
    rows: Vec<LayerList>,
    join: Join,
}

/// [`Branches`] with the given rows of layers.
pub fn branches(rows: Vec<Vec<Box<dyn Layer>>>, join: Join) -> Box<dyn Layer> {
    Branches::new(rows, join).boxed()
}

impl Branches {
    /// Rows of layers whose results are joined.
    pub fn new(rows: Vec<Vec<Box<dyn Layer>>>, join: Join) -> Self {
        Branches { rows: rows.into_iter().map(LayerList::from).collect(), join }
    }

    /// The rows of layers.
    pub fn rows(&self) -> impl Iterator<Item = &[Box<dyn Layer>]> {
        self.rows.iter().map(LayerList::layers)
    }

    /// How the results become one.
    pub fn join(&self) -> Join {
        self.join
    }

    fn named(&self, specs: impl Fn(&LayerList) -> Vec<ParamSpec>) -> Vec<ParamSpec> {
        let rows = self.rows.iter().enumerate();
        let of = |(at, row): (usize, &LayerList)| {
            let path = at.to_string();
            specs(row).into_iter().map(move |spec| spec.inside(&path))
        };
        rows.flat_map(of).collect()
    }
}

impl Layer for Branches {
    fn name(&self) -> String {
        format!("{} branches", self.rows.len())
    }

    fn params(&self) -> Vec<ParamSpec> {
        self.named(LayerList::params)
    }

    fn buffers(&self) -> Vec<ParamSpec> {
        self.named(LayerList::buffers)
    }

    fn output_shape(&self, input: &[usize]) -> Result<Vec<usize>, ShapeError> {
        let mut shapes = Vec::with_capacity(self.rows.len());
        for (at, row) in self.rows.iter().enumerate() {
            shapes.push(row.output_shape(input).map_err(|error| error.inside(&at.to_string()))?);
        }
        joined_shape(self.join, &shapes).map_err(|reason| ShapeError::new(self.name(), reason))
    }

    fn record(&self, recorder: &mut Recorder<'_>, state: LayerState<'_>, x: Var) -> Var {
        let (mut params, mut buffers) = (state.params, state.buffers);
        let mut results = Vec::with_capacity(self.rows.len());
        for row in &self.rows {
            let (here, rest) = params.split_at(row.params().len());
            let (here_buffers, rest_buffers) = buffers.split_at_mut(row.buffers().len());
            results.push(row.record(
                recorder,
                LayerState { params: here, buffers: here_buffers },
                x,
            ));
            (params, buffers) = (rest, rest_buffers);
        }
        join(self.join, recorder.tape, &results)
    }

    fn check(&self) -> Result<(), Error> {
        self.rows.iter().enumerate().try_for_each(|(at, row)| row.check(&format!("{at}.")))
    }

    fn nodes(
        &self,
        writer: &mut NodeWriter,
        arrays: LayerArrays<'_>,
        x: &str,
    ) -> Result<String, Error> {
        let LayerArrays { mut params, mut buffers } = arrays;
        let mut results = Vec::with_capacity(self.rows.len());
        for (at, row) in self.rows.iter().enumerate() {
            let (own, rest) = params.split_at(row.params().len());
            let (own_buffers, rest_buffers) = buffers.split_at(row.buffers().len());
            let own = LayerArrays { params: own, buffers: own_buffers };
            results.push(writer.inside(&at.to_string(), |writer| row.nodes(writer, own, x))?);
            (params, buffers) = (rest, rest_buffers);
        }
        let results: Vec<&str> = results.iter().map(String::as_str).collect();
        joined_nodes(self.join, writer, &results)
            .ok_or_else(|| writer.refused(self.name(), "it has no branches"))
    }
}

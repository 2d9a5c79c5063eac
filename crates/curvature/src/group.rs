//! Parameter groups: one block of the GGN each.

use std::fmt;

use vivit_autodiff::{Graph, Var};
use vivit_tensor::Device;

use crate::Error;

/// Chooses directions: the indices to use of ascending eigenvalues.
type Criterion<'c> = dyn Fn(&[f64]) -> Vec<usize> + 'c;

/// Parameters whose GGN block is analysed together, and the criterion that chooses directions.
pub struct Group<'c> {
    pub(crate) params: Vec<Var>,
    criterion: Box<Criterion<'c>>,
}

impl fmt::Debug for Group<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Group").field("params", &self.params).finish_non_exhaustive()
    }
}

impl<'c> Group<'c> {
    /// A group of `params`. `criterion` sees the block's eigenvalues, ascending, and returns the
    /// indices of the directions to use; results have them in that order. See
    /// [`top_k`](crate::top_k), [`above`](crate::above), [`nonzero`](crate::nonzero).
    pub fn new(params: impl Into<Vec<Var>>, criterion: impl Fn(&[f64]) -> Vec<usize> + 'c) -> Self {
        Group { params: params.into(), criterion: Box::new(criterion) }
    }

    /// The parameters.
    pub fn params(&self) -> &[Var] {
        &self.params
    }

    pub(crate) fn choose(&self, values: &[f64]) -> Vec<usize> {
        (self.criterion)(values)
    }
}

/// The chosen parameters of a graph, each once; all that its output depends on if there is no
/// choice.
pub(crate) fn chosen_params(
    graph: &Graph,
    chosen: Option<Vec<Var>>,
) -> Result<Vec<Var>, Error> {
    let params = chosen.unwrap_or_else(|| graph.params());
    if params.is_empty() {
        return Err(Error::NoParameters);
    }
    for (at, &var) in params.iter().enumerate() {
        graph.check_param(var)?;
        if params[..at].contains(&var) {
            return Err(Error::ParameterTwice { name: graph.tape().param_name(var)?.into() });
        }
    }
    Ok(params)
}

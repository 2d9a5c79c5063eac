//! Choices of parameters.

use vivit_autodiff::{Graph, ParamId};

use crate::Error;

/// The chosen parameters of a graph, each once; all that its output depends on if there is no
/// choice.
pub(crate) fn chosen_params(
    graph: &Graph,
    chosen: Option<Vec<ParamId>>,
) -> Result<Vec<ParamId>, Error> {
    let params = chosen.unwrap_or_else(|| graph.params());
    if params.is_empty() {
        return Err(Error::NoParameters);
    }
    for (at, &param) in params.iter().enumerate() {
        graph.check_param(param)?;
        if params[..at].contains(&param) {
            return Err(Error::ParameterTwice { name: graph.tape().param_name(param)?.into() });
        }
    }
    Ok(params)
}

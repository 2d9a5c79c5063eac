//! Rectifiers with a learned slope.

use vivit_autodiff::Var;

use crate::description::entry::described;
use crate::{
    Error, Init, Layer, LayerArrays, LayerState, NodeWriter, ParamSpec, Recorder, ShapeError,
};

/// `x` above 0, `weight · x` elsewhere (He et al. 2015). The weight is `[channels]`: one for all
/// entries, or one per entry of axis 1; it starts at 1/4, as in PyTorch.
///
/// ```
/// use vivit_nn::{Layer, PRelu};
///
/// assert_eq!(PRelu::new(3).output_shape(&[3, 5])?, [3, 5]);
/// assert!(PRelu::new(3).output_shape(&[4, 5]).is_err());
/// # Ok::<(), vivit_nn::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct PRelu {
    /// 1, or the length of axis 1.
    pub channels: usize,
}

impl PRelu {
    /// With one slope for all entries (1), or one per entry of axis 1.
    pub fn new(channels: usize) -> Self {
        PRelu { channels }
    }
}

/// A [`PRelu`] layer.
pub fn p_relu(channels: usize) -> Box<dyn Layer> {
    PRelu::new(channels).boxed()
}

described! {
    impl PRelu as &["p_relu"];
    channels: "channels" = 1,
}

impl Layer for PRelu {
    fn name(&self) -> String {
        format!("p_relu {}", self.channels)
    }

    fn params(&self) -> Vec<ParamSpec> {
        vec![ParamSpec::new("weight", &[self.channels], Init::Constant(0.25))]
    }

    fn output_shape(&self, input: &[usize]) -> Result<Vec<usize>, ShapeError> {
        if self.channels == 0 {
            return Err(ShapeError::new(self.name(), "needs at least one slope"));
        }
        if self.channels == 1 || input.first() == Some(&self.channels) {
            return Ok(input.to_vec());
        }
        let reason = format!(
            "has {} slopes: axis 1 must be as long, in samples of shape {input:?}",
            self.channels
        );
        Err(ShapeError::new(self.name(), reason))
    }

    fn record(&self, recorder: &mut Recorder<'_>, state: LayerState<'_>, x: Var) -> Var {
        recorder.tape.p_relu(x, state.params[0])
    }

    fn nodes(
        &self,
        writer: &mut NodeWriter,
        arrays: LayerArrays<'_>,
        x: &str,
    ) -> Result<String, Error> {
        let node = arrays.node("p_relu", x);
        Ok(writer.add(if self.channels > 1 { node.with("axis", 1) } else { node }))
    }
}

//! Normalisation by neighbouring channels.

use vivit_autodiff::Var;
use vivit_autodiff::ops::LocalResponseOptions;

use crate::description::entry::described;
use crate::{Error, Layer, LayerArrays, LayerState, Node, NodeWriter, Recorder, ShapeError};

/// Local response norm of `[C, *]` samples: `x / (k + α m)^β`, with m the mean of the squares of
/// `size` neighbouring channels, zeros beyond the first and the last. Samples keep their shape.
/// (PyTorch's `LocalResponseNorm`.)
///
/// ```
/// use vivit_nn::{Layer, LocalResponseNorm};
///
/// let layer = LocalResponseNorm::new(5).alpha(1e-3).k(2.0);
/// assert_eq!(layer.output_shape(&[8, 4, 4])?, [8, 4, 4]);
/// # Ok::<(), vivit_nn::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub struct LocalResponseNorm {
    /// Neighbouring channels that are averaged over.
    pub size: usize,
    /// The factor α of the mean square.
    pub alpha: f64,
    /// The exponent β.
    pub beta: f64,
    /// The summand k.
    pub k: f64,
}

impl LocalResponseNorm {
    /// PyTorch's defaults: α = 1e-4, β = 0.75, k = 1.
    pub fn new(size: usize) -> Self {
        LocalResponseNorm { size, alpha: 1e-4, beta: 0.75, k: 1.0 }
    }

    /// The same with another factor of the mean square.
    #[must_use]
    pub fn alpha(self, alpha: f64) -> Self {
        LocalResponseNorm { alpha, ..self }
    }

    /// The same with another exponent.
    #[must_use]
    pub fn beta(self, beta: f64) -> Self {
        LocalResponseNorm { beta, ..self }
    }

    /// The same with another summand.
    #[must_use]
    pub fn k(self, k: f64) -> Self {
        LocalResponseNorm { k, ..self }
    }
}

/// A [`LocalResponseNorm`] layer with PyTorch's defaults.
pub fn local_response_norm(size: usize) -> Box<dyn Layer> {
    LocalResponseNorm::new(size).boxed()
}

described! {
    impl LocalResponseNorm as &["local_response_norm"];
    size: "size", alpha: "alpha" = 1e-4, beta: "beta" = 0.75, k: "k" = 1.0,
}

impl Layer for LocalResponseNorm {
    fn name(&self) -> String {
        format!("local_response_norm {}", self.size)
    }

    fn output_shape(&self, input: &[usize]) -> Result<Vec<usize>, ShapeError> {
        if self.size > 0 && !input.is_empty() && !input.contains(&0) {
            return Ok(input.to_vec());
        }
        let reason =
            format!("needs a size above 0 and samples [C, *], but a sample has shape {input:?}");
        Err(ShapeError::new(self.name(), reason))
    }

    fn record(&self, recorder: &mut Recorder<'_>, _state: LayerState<'_>, x: Var) -> Var {
        let LocalResponseNorm { size, alpha, beta, k } = *self;
        let options = LocalResponseOptions::default().alpha(alpha).beta(beta).k(k);
        recorder.tape.local_response_norm(x, size, options)
    }

    fn nodes(&self, writer: &mut NodeWriter, _: LayerArrays<'_>, x: &str) -> Result<String, Error> {
        let node = Node::new("local_response_norm", &[x], "")
            .with("size", self.size)
            .with("before", self.size / 2)
            .with("alpha", self.alpha)
            .with("beta", self.beta)
            .with("k", self.k);
        Ok(writer.add(node))
    }
}

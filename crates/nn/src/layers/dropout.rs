//! Dropout.

use vivit_autodiff::Var;
use vivit_tensor::Tensor;

use crate::description::entry::described;
use crate::{Error, Layer, LayerArrays, LayerState, Mode, NodeWriter, Recorder, ShapeError};

/// In training mode, zeroes each entry with probability p and divides the others by 1 − p; in
/// evaluation mode, nothing. The mask stays on the tape, so that every sweep sees the same one.
///
/// ```
/// use vivit_nn::{Dropout, Layer, Sequential, linear};
/// use vivit_tensor::Device;
///
/// let layers = vec![linear(4, 8), Dropout::new(0.2).boxed()];
/// assert!(Sequential::new(&Device::cpu(), layers, 0).is_ok());
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub struct Dropout {
    /// The probability, at least 0 and below 1.
    pub p: f64,
}

impl Dropout {
    /// With probability p, which the model checks.
    pub fn new(p: f64) -> Self {
        Dropout { p }
    }
}

/// A [`Dropout`] layer.
pub fn dropout(p: f64) -> Box<dyn Layer> {
    Dropout::new(p).boxed()
}

described! {
    impl Dropout as &["dropout"];
    p: "p" = 0.5,
}

impl Layer for Dropout {
    fn name(&self) -> String {
        format!("dropout {}", self.p)
    }

    fn output_shape(&self, input: &[usize]) -> Result<Vec<usize>, ShapeError> {
        Ok(input.to_vec())
    }

    fn record(&self, recorder: &mut Recorder<'_>, _state: LayerState<'_>, x: Var) -> Var {
        if recorder.mode == Mode::Evaluation || self.p == 0.0 {
            return x;
        }
        let (shape, kept) = (*recorder.tape.value(x).shape(), 1.0 - self.p);
        let uniform = recorder.rng.uniform(shape.size(), 0.0, 1.0);
        let keep = |u| if u < kept { 1.0 / kept } else { 0.0 };
        let mask: Vec<f64> = uniform.into_iter().map(keep).collect();
        let device = recorder.tape.device().clone();
        let mask = Tensor::from_buf(&device, shape, device.upload(mask.into()));
        let mask = recorder.tape.input(mask);
        recorder.tape.mul(x, mask)
    }

    fn check(&self) -> Result<(), Error> {
        if (0.0..1.0).contains(&self.p) {
            return Ok(());
        }
        Err(Error::Option {
            what: "the dropout probability",
            expected: "at least 0 and below 1",
            value: self.p,
        })
    }

    fn nodes(&self, _: &mut NodeWriter, _: LayerArrays<'_>, x: &str) -> Result<String, Error> {
        Ok(x.into())
    }
}

//! Ready-made damping.

use vivit_tensor::Scalar;

use crate::DirectionalDerivatives;

/// The same damping δ along every direction.
pub fn constant<E: Scalar>(delta: f64) -> impl Fn(&DirectionalDerivatives<E>) -> Vec<f64> {
    move |directions| vec![delta; directions.len()]
}

//! Ready-made damping.

use super::directions::DirectionalDerivatives;

/// The same damping δ along every direction.
pub fn constant(delta: f64) -> impl Fn(&DirectionalDerivatives) -> Vec<f64> + Clone {
    move |directions| vec![delta; directions.len()]
}

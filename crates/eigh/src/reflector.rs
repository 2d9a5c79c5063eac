//! One Householder reflection.

use crate::kernels::{Element, dot};
use crate::scale::unscale;

/// Turns the vector `x = (α, rest)` into the reflector `v = (1, rest / (α − β))` and returns `β =
/// −sign(α) |x|` and `τ = (β − α) / β`: `(I − τ v vᵀ) x = (β, 0)`.
///
/// The order of the entries does not matter, so that `α` may be the first or the last one.
pub(crate) fn reflector<E: Element>(alpha: &mut E, rest: &mut [E]) -> (E, E) {
    // Below every rounding error of a matrix whose largest entry is about one. Taken for zero, as
    // subnormal numbers would follow.
    let negligible = E::min_positive_value() / (E::EPSILON * E::EPSILON);
    let squares = dot(rest, rest);
    // Squares that lose digits to underflow do not matter next to this sum.
    if squares > negligible && squares + *alpha * *alpha < E::max_value() {
        return reflect(alpha, rest, squares);
    }
    let largest = rest.iter().fold(E::zero(), |max, x| max.max(x.abs()));
    if largest <= negligible {
        let beta = if alpha.abs() <= negligible { E::zero() } else { *alpha };
        rest.fill(E::zero());
        *alpha = E::one();
        return (beta, E::zero());
    }
    // Scaled by a power of two, so that the squares neither overflow nor underflow.
    let (mantissa, exponent, _) = largest.max(alpha.abs()).integer_decode();
    let p = i32::from(exponent) + mantissa.ilog2() as i32;
    rest.iter_mut().for_each(|x| *x = unscale(*x, -p));
    *alpha = unscale(*alpha, -p);
    let squares = dot(rest, rest);
    let (beta, tau) = reflect(alpha, rest, squares);
    (unscale(beta, p), tau)
}

/// The same with the sum of squares of `rest`.
fn reflect<E: Element>(alpha: &mut E, rest: &mut [E], squares: E) -> (E, E) {
    let norm = (*alpha * *alpha + squares).sqrt();
    let beta = if *alpha > E::zero() { -norm } else { norm };
    let factor = (*alpha - beta).recip();
    rest.iter_mut().for_each(|x| *x *= factor);
    let tau = (beta - *alpha) / beta;
    *alpha = E::one();
    (beta, tau)
}

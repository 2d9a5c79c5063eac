//! What searches for eigenpairs have in common: their options' ranges, and how they end early.

use super::leading_eigenpairs::LeadingEigenpairs;
use crate::Error;

/// Checks `k` and the tolerance against an operator of dimension `dim`.
pub(crate) fn check_search(k: usize, dim: usize, tolerance: f64) -> Result<(), Error> {
    if k == 0 || k > dim {
        return Err(Error::InvalidOption {
            name: "k",
            value: k as f64,
            allowed: format!("1 to {dim}, the operator's dimension"),
        });
    }
    if !(tolerance > 0.0 && tolerance.is_finite()) {
        return Err(Error::InvalidOption {
            name: "tolerance",
            value: tolerance,
            allowed: "positive and finite".into(),
        });
    }
    Ok(())
}

/// Checks that a number is not 0.
pub(crate) fn at_least_one(name: &'static str, value: usize) -> Result<(), Error> {
    if value == 0 {
        return Err(Error::InvalidOption { name, value: 0.0, allowed: "at least 1".into() });
    }
    Ok(())
}

/// The error of a search for k pairs that ends with these, some of which have larger residuals than
/// what is allowed.
pub(crate) fn unfinished(
    method: &'static str,
    k: usize,
    found: LeadingEigenpairs,
    allowed: f64,
) -> Error {
    let missing = if found.residuals.len() < k { f64::INFINITY } else { 0.0 };
    Error::NoConvergence {
        method,
        converged: found.residuals.iter().filter(|&&residual| residual <= allowed).count(),
        k,
        products: found.products,
        residual: found.residuals.iter().copied().fold(missing, f64::max),
        allowed,
        found: Box::new(found),
    }
}

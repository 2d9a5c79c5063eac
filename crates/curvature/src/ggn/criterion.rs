//! Ready-made criteria: closures on the ascending eigenvalues that return the indices of the
//! directions to use.

/// The `k` largest eigenvalues, ascending.
///
/// Asking for more than there are is an error when the criterion is used.
pub fn top_k(k: usize) -> impl Fn(&[f64]) -> Vec<usize> + Clone {
    move |values| match values.len().checked_sub(k) {
        Some(first) => (first..values.len()).collect(),
        // One more than there are, however many were asked for.
        None => (0..=values.len()).collect(),
    }
}

/// All eigenvalues above `threshold`, ascending.
pub fn above(threshold: f64) -> impl Fn(&[f64]) -> Vec<usize> + Clone {
    move |values| (0..values.len()).filter(|&k| values[k] > threshold).collect()
}

/// All eigenvalues above `relative` times the largest, ascending. `nonzero(1e-4)` is a sensible
/// choice in f32, `nonzero(1e-10)` in f64.
pub fn nonzero(relative: f64) -> impl Fn(&[f64]) -> Vec<usize> + Clone {
    move |values| above(relative * values.last().copied().unwrap_or(0.0).max(0.0))(values)
}

/// At most `k` of the largest eigenvalues, ascending: those above `relative` times the largest.
pub fn top_k_nonzero(k: usize, relative: f64) -> impl Fn(&[f64]) -> Vec<usize> + Clone {
    move |values| {
        let chosen = nonzero(relative)(values);
        chosen[chosen.len().saturating_sub(k)..].to_vec()
    }
}

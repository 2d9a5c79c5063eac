//! The GGN's diagonal, `diag(G)_d = Σ_{v,n} V[v, n, d]²`, summed over samples or of each.
//! (BackPACK's `DiagGGNExact`, `DiagGGNMC`, `BatchDiagGGNExact`, `BatchDiagGGNMC`.)

use vivit_autodiff::Batch;
use vivit_tensor::Tensor;

use crate::constructors::{of_root, per_parameter};
use crate::squares::squares;

of_root! {
    /// `diag(G)`: `[*p]` per parameter. Over chosen samples it estimates the diagonal of the whole
    /// batch.
    DiagGgn
}

per_parameter! { DiagGgn, Tensor, |site| {
    Ok(squares(&site.share(0), Batch::Sum).reshape(*site.shape()))
} }

of_root! {
    /// Every sample's share of `diag(G)`: `[N_S, *p]` per parameter.
    BatchDiagGgn
}

per_parameter! { BatchDiagGgn, Tensor, |site| {
    let shape = site.shape().prefixed(&[site.samples(0)]);
    Ok(squares(&site.share(0), Batch::Keep).reshape(shape))
} }

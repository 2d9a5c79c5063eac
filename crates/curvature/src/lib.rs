//! ViViT: the curvature of a network's loss, through Gram matrices.
//!
//! The generalized Gauss-Newton matrix of a group of parameters is `G = V Vᵀ` with `V = [V_1 …
//! V_N]`, `V_n = J_nᵀ S_n`, where `S_n S_nᵀ` is the Hessian of sample n's loss at the model's
//! output. V has as many rows as there are parameters, but few columns; the Gram matrix `𝒢 = Vᵀ V`
//! has the same non-zero eigenvalues and tells everything else (Dangel, Tatzel & Hennig, *ViViT:
//! Curvature Access Through The Generalized Gauss-Newton's Low-Rank Structure*, TMLR 2022):
//!
//! ```text
//! 𝒢 ẽ_k = λ_k ẽ_k          e_k = V ẽ_k / √λ_k
//! γ[n, k] = e_kᵀ ∇ℓ_n = s · (g_nᵀ V) ẽ_k / √λ_k
//! λ[n, k] = e_kᵀ (s J_nᵀ H_n J_n) e_k = s (|S|/N) · λ_k · ‖ẽ_k[n]‖²
//! ```
//!
//! with `ℓ_n = s L_n` the unreduced losses: `s = N` for a mean, 1 for a sum. V itself is never
//! stored for a whole network, nor are eigenvectors made from it: `V ẽ = Σ_n J_nᵀ (S_n ẽ[n])` is an
//! ordinary backward pass. Nor do gradients travel beside V where the loss knows them as
//! combinations of its root's columns, `g_n = S_n α_n`: then `g_nᵀ V ẽ_k = λ_k α_nᵀ ẽ_k[n]`.
//!
//! [`Ggn`] is the entrance, for all parameters or block by block; criteria such as [`top_k`] choose
//! directions.
//!
//! How the crates fit together: [ARCHITECTURE.md]; formulas and symbols: [MATH.md].
//!
//! [ARCHITECTURE.md]: https://github.com/vivit-rs/vivit/blob/main/docs/ARCHITECTURE.md
//! [MATH.md]: https://github.com/vivit-rs/vivit/blob/main/docs/MATH.md

mod data_set;
mod error;
mod ggn;
mod gram;
mod kernels;
mod matrix_free;
mod overlap;
mod params;

pub use data_set::{DataCurvature, DataGgn};
pub use error::Error;
pub use ggn::{
    DirectionalDerivatives, Eigenpairs, Ggn, GgnBlocks, GramSpace, NewtonStep, Plan, Progress,
    Slices, above, constant, nonzero, top_k, top_k_nonzero,
};
pub use gram::{
    Contraction, ContractionCost, ContractionDims, ContractionOrder, GramBlock, GramReport, GramRow,
};
pub use kernels::{GradientGram, Ntk};
pub use matrix_free::{
    CurvatureOperator, CurvatureProduct, DensityOptions, DerivativesAlong, DiagonalEstimate,
    Estimate, LanczosOptions, LanczosQuadrature, LeadingEigenpairs, LinearOperator,
    LogDensityOptions, Node, OnProduct, PositionalDerivativesAlong, Positive,
    PowerIterationOptions, ProbeVectors, QuadratureOptions, SpectralDensity, SpectrumEnd,
    TraceOptions, directional_derivatives_along, hutch_plus_plus, hutchinson_diagonal,
    hutchinson_trace, lanczos, positional_derivatives_along, power_iteration,
};
pub use overlap::eigenspace_overlap;

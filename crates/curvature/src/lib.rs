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
//! [`Ggn`] is the entrance, [`Group`] says which parameters and which directions.

mod basis;
mod criterion;
mod damping;
mod directions;
mod error;
mod ggn;
mod gradient_gram;
mod gram;
mod group;
mod lanczos;
mod ntk;
mod on_product;
mod operator;
mod plan;
mod power_iteration;
mod product;
mod quadrature;
mod slices;
mod space;
mod span;
mod spectral_density;
mod trace;

pub use criterion::{above, nonzero, top_k, top_k_nonzero};
pub use damping::constant;
pub use directions::DirectionalDerivatives;
pub use error::Error;
pub use ggn::Ggn;
pub use gradient_gram::GradientGram;
pub use gram::{
    Contraction, ContractionCost, ContractionDims, ContractionOrder, GramBlock, GramReport, GramRow,
};
pub use group::Group;
pub use lanczos::{LanczosOptions, LeadingEigenpairs, SpectrumEnd, lanczos};
pub use ntk::Ntk;
pub use on_product::OnProduct;
pub use operator::LinearOperator;
pub use plan::{Plan, Slices};
pub use power_iteration::{PowerIterationOptions, power_iteration};
pub use product::{CurvatureOperator, Positive, Product};
pub use quadrature::{LanczosQuadrature, Node, QuadratureOptions};
pub use space::{Eigenpairs, GramSpace, NewtonStep, Progress};
pub use spectral_density::{DensityOptions, LogDensityOptions, SpectralDensity};
pub use trace::{
    DiagonalEstimate, Estimate, ProbeVectors, TraceOptions, hutch_plus_plus, hutchinson_diagonal,
    hutchinson_trace,
};

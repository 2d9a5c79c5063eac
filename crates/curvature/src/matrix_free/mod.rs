//! Matrices that are known by their products: eigenpairs, traces, spectral densities.

mod basis;
mod curvature_product;
mod dense;
mod derivatives_along;
mod lanczos;
pub(crate) mod leading_eigenpairs;
mod on_product;
mod operator;
mod power_iteration;
mod quadrature;
mod search;
mod spectral_density;
mod spectrum_end;
mod trace;

pub use curvature_product::{CurvatureOperator, CurvatureProduct, Positive};
pub use derivatives_along::{
    DerivativesAlong, PositionalDerivativesAlong, directional_derivatives_along,
    positional_derivatives_along,
};
pub use lanczos::{LanczosOptions, lanczos};
pub use leading_eigenpairs::LeadingEigenpairs;
pub use on_product::OnProduct;
pub use operator::LinearOperator;
pub(crate) use operator::check_vectors;
pub use power_iteration::{PowerIterationOptions, power_iteration};
pub use quadrature::{LanczosQuadrature, Node, QuadratureOptions};
pub use spectral_density::{DensityOptions, LogDensityOptions, SpectralDensity};
pub use spectrum_end::SpectrumEnd;
pub use trace::{
    DiagonalEstimate, Estimate, ProbeVectors, TraceOptions, hutch_plus_plus, hutchinson_diagonal,
    hutchinson_trace,
};

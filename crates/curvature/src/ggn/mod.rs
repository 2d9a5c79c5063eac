//! One batch: the GGN's blocks, their Gram spaces, and everything that is read off them.

mod blocks;
mod builder;
mod criterion;
mod damping;
mod directions;
mod gradient_in_span;
mod gram_space;
mod host_space;
mod plan;
mod progress;
mod roots;
mod seeds;
mod settings;
mod sliced_gram;
mod spaces;

pub use blocks::GgnBlocks;
pub use builder::Ggn;
pub use criterion::{above, nonzero, top_k, top_k_nonzero};
pub use damping::constant;
pub use directions::DirectionalDerivatives;
pub use gram_space::{Eigenpairs, GramSpace, NewtonStep};
pub use plan::{Plan, Slices};
pub use progress::Progress;

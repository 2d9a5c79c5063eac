//! The library's test suite, in one binary.

mod bad_input;
mod contraction;
mod eigen_oracle;
mod eigensolver;
mod examples;
mod extensions;
mod loss;
mod matrix_free;
mod memory;
mod nets;
mod ops;
mod optimizers;
mod options;
mod primitives;
mod properties;
mod structure;
mod support;
mod threads;
mod training;
mod verify;

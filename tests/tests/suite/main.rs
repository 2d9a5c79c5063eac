//! The library's test suite, in one binary.

mod bad_input;
mod contraction;
mod eigen_oracle;
mod eigensolver;
mod examples;
mod extensions;
mod handles;
mod kronecker;
mod loss;
mod matrix_free;
mod memory;
mod mixing;
mod nets;
mod ops;
mod optimizers;
mod options;
mod primitives;
mod products;
mod properties;
mod send_sync;
mod sharing;
mod structure;
mod support;
mod threads;
mod training;
mod verify;

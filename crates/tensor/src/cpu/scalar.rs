//! What the CPU's kernels need of an element type.

use super::kernel::MatMul;
use super::pool::Pooled;
use crate::Scalar;

/// An element type with kernels and a pool of memory.
pub trait CpuScalar: Scalar + MatMul + Pooled {}

impl CpuScalar for f32 {}
impl CpuScalar for f64 {}

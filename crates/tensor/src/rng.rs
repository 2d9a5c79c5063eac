//! Seeded random numbers, the same on every machine.

use rand_core::{Rng as _, SeedableRng};
use rand_pcg::Pcg64;

/// A seeded generator (PCG-XSL-RR 128/64). The same seed gives the same numbers on every machine
/// and with any number of threads.
///
/// ```
/// use vivit_tensor::Rng;
///
/// let mut rng = Rng::new(7);
/// let first = rng.normal(3);
/// assert_eq!(first, Rng::new(7).normal(3));
/// assert!((0.0..1.0).contains(&rng.unit()));
/// let mut order = rng.permutation(4);
/// order.sort();
/// assert_eq!(order, [0, 1, 2, 3]);
/// ```
#[derive(Clone, Debug)]
pub struct Rng(Pcg64);

impl Rng {
    /// The generator of a seed.
    pub fn new(seed: u64) -> Self {
        Rng(Pcg64::seed_from_u64(seed))
    }

    /// One number uniform in `[0, 1)`, with 53 random bits.
    pub fn unit(&mut self) -> f64 {
        (self.0.next_u64() >> 11) as f64 * (1.0 / (1u64 << 53) as f64)
    }

    /// `len` numbers uniform in `[low, high)`.
    pub fn uniform(&mut self, len: usize, low: f64, high: f64) -> Vec<f64> {
        (0..len).map(|_| low + (high - low) * self.unit()).collect()
    }

    /// `len` standard normal numbers (Box–Muller).
    pub fn normal(&mut self, len: usize) -> Vec<f64> {
        let mut out = Vec::with_capacity(len + 1);
        while out.len() < len {
            let radius = (-2.0 * (1.0 - self.unit()).ln()).sqrt();
            let (sin, cos) = (std::f64::consts::TAU * self.unit()).sin_cos();
            out.push(radius * cos);
            out.push(radius * sin);
        }
        out.truncate(len);
        out
    }

    /// A uniformly random permutation of `0..len` (Fisher–Yates).
    pub fn permutation(&mut self, len: usize) -> Vec<usize> {
        let mut order: Vec<usize> = (0..len).collect();
        for last in (1..len).rev() {
            order.swap(last, (self.unit() * (last + 1) as f64) as usize);
        }
        order
    }
}

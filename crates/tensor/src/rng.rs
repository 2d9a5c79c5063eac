//! Seeded random numbers, the same on every machine.

use std::fmt;
use std::str::FromStr;

use rand_core::{Rng as _, SeedableRng};
use rand_pcg::Pcg64;

/// A seeded generator (PCG-XSL-RR 128/64). The same seed gives the same numbers on every machine
/// and with any number of threads.
///
/// Its text names the seed and how many words of 64 bits were drawn, and gives the generator back,
/// so that a run can go on where another one stopped.
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
///
/// let text = rng.to_string();
/// assert_eq!(text, "pcg64 seed 7 drawn 8");
/// assert_eq!(text.parse::<Rng>()?.normal(3), rng.normal(3));
/// # Ok::<(), vivit_tensor::ParseRngError>(())
/// ```
#[derive(Clone, Debug)]
pub struct Rng {
    generator: Pcg64,
    seed: u64,
    /// Words drawn so far.
    drawn: u64,
}

/// A text that is no state of an [`Rng`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected the state of a generator, \"pcg64 seed 0 drawn 0\", got {text:?}")]
pub struct ParseRngError {
    /// The text.
    pub text: String,
}

impl fmt::Display for Rng {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "pcg64 seed {} drawn {}", self.seed, self.drawn)
    }
}

impl FromStr for Rng {
    type Err = ParseRngError;

    fn from_str(text: &str) -> Result<Self, ParseRngError> {
        let words: Vec<&str> = text.split_whitespace().collect();
        let numbers = match words[..] {
            ["pcg64", "seed", seed, "drawn", drawn] => seed.parse().ok().zip(drawn.parse().ok()),
            _ => None,
        };
        let (seed, drawn) = numbers.ok_or_else(|| ParseRngError { text: text.into() })?;
        let mut rng = Rng::new(seed);
        rng.generator.advance(u128::from(drawn));
        rng.drawn = drawn;
        Ok(rng)
    }
}

impl Rng {
    /// The generator of a seed.
    pub fn new(seed: u64) -> Self {
        Rng { generator: Pcg64::seed_from_u64(seed), seed, drawn: 0 }
    }

    /// One number uniform in `[0, 1)`, with 53 random bits.
    pub fn unit(&mut self) -> f64 {
        self.drawn = self.drawn.wrapping_add(1);
        (self.generator.next_u64() >> 11) as f64 * (1.0 / (1u64 << 53) as f64)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_gives_the_generator_back_wherever_it_is() {
        let mut rng = Rng::new(u64::MAX);
        for draws in [0, 1, 2, 5, 1000, 4097] {
            rng.uniform(draws, 0.0, 1.0);
            let mut again: Rng = rng.to_string().parse().unwrap();
            assert_eq!(again.to_string(), rng.to_string());
            assert_eq!(again.normal(7), rng.normal(7), "after {draws} more");
        }
    }

    #[test]
    fn other_texts_are_refused() {
        for text in ["", "7", "pcg64 seed 7", "pcg64 seed 7 drawn -1", "mt19937 seed 7 drawn 1"] {
            let error = text.parse::<Rng>().unwrap_err();
            assert!(error.to_string().contains(&format!("{text:?}")), "{error}");
        }
    }
}

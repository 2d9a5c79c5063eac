//! Initial parameter values.

use vivit_tensor::Rng;

/// How a parameter's entries are drawn.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Init {
    /// Uniform in `[−bound, bound)`.
    Uniform {
        /// The bound.
        bound: f64,
    },
    /// Normal with mean 0.
    Normal {
        /// The standard deviation.
        deviation: f64,
    },
    /// The same value everywhere.
    Constant(f64),
}

impl Init {
    /// PyTorch's default for linear and convolution layers, weights and biases alike: uniform with
    /// bound `1/√fan_in`.
    pub fn fan_in(fan_in: usize) -> Self {
        Init::Uniform { bound: 1.0 / (fan_in.max(1) as f64).sqrt() }
    }

    /// Draws `len` entries.
    pub fn draw(self, len: usize, rng: &mut Rng) -> Vec<f64> {
        match self {
            Init::Uniform { bound } => rng.uniform(len, -bound, bound),
            Init::Normal { deviation } => {
                rng.normal(len).into_iter().map(|x| deviation * x).collect()
            }
            Init::Constant(value) => vec![value; len],
        }
    }
}

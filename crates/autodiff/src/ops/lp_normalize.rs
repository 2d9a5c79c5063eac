//! Vectors along an axis at length one, made of ordinary operations.

use vivit_tensor::Unary;

use crate::{Tape, Var};

impl Tape {
    /// `x / max(‖x‖₂, ε)` along axis `axis`. With ε > 0 a vector of zeros stays one, with the
    /// derivative `1/ε` (PyTorch's `normalize`).
    ///
    /// ```
    /// use vivit_autodiff::Tape;
    /// use vivit_tensor::{Device, Tensor};
    ///
    /// let cpu = Device::cpu_f64();
    /// let mut tape = Tape::new(&cpu);
    /// let x = tape.input(Tensor::from_vec(&cpu, [2, 2], vec![3.0, 4.0, 0.0, 0.0])?);
    /// let y = tape.l2_normalize(x, 1, 1e-12);
    /// assert_eq!(tape.value(y).to_vec()?, [0.6, 0.8, 0.0, 0.0]);
    /// # Ok::<(), vivit_tensor::Error>(())
    /// ```
    ///
    /// # Panics
    /// If there is no such axis, or it is the sample axis.
    #[track_caller]
    pub fn l2_normalize(&mut self, x: Var, axis: usize, epsilon: f64) -> Var {
        let squares = self.map(Unary::Square, x);
        let sum = self.sum(squares, axis);
        // Below the square, so that the root's derivative is finite.
        let sum = self.map(Unary::HardTanh(epsilon * epsilon, f64::INFINITY), sum);
        let norm = self.map(Unary::Sqrt, sum);
        self.divide_along(x, norm, axis)
    }

    /// `x / max(‖x‖₁, ε)` along axis `axis`, otherwise as [`l2_normalize`](Tape::l2_normalize).
    ///
    /// # Panics
    /// As there.
    #[track_caller]
    pub fn l1_normalize(&mut self, x: Var, axis: usize, epsilon: f64) -> Var {
        let magnitudes = self.map(Unary::Abs, x);
        let sum = self.sum(magnitudes, axis);
        let norm = self.map(Unary::HardTanh(epsilon, f64::INFINITY), sum);
        self.divide_along(x, norm, axis)
    }

    /// `x / y` where y lacks axis `axis`.
    #[track_caller]
    fn divide_along(&mut self, x: Var, y: Var, axis: usize) -> Var {
        let mut thin = self.value(x).shape().to_vec();
        thin[axis] = 1;
        let y = self.reshape(y, &thin[usize::from(self.is_batched(x))..]);
        self.div(x, y)
    }
}

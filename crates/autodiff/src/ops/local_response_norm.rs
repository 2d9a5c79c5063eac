//! Local response normalisation, made of ordinary operations.

use vivit_tensor::Unary;

use super::PoolOptions;
use crate::{Tape, Var};

vivit_tensor::options! {
    /// Options of [`Tape::local_response_norm`], with PyTorch's defaults.
    #[derive(Clone, Copy, Debug, PartialEq)]
    pub struct LocalResponseOptions {
        /// The factor α of the mean square.
        pub alpha: f64 = 1e-4,
        /// The exponent β.
        pub beta: f64 = 0.75,
        /// The summand k.
        pub k: f64 = 1.0,
    }
}

impl Tape {
    /// `x / (k + α m)^β` of `[N, C, *]`, with m the mean of the squares of `size` neighbouring
    /// channels: `⌊size/2⌋` before, `⌊(size−1)/2⌋` after; channels that are not there count as
    /// zeros (PyTorch's `LocalResponseNorm`).
    ///
    /// ```
    /// use vivit_autodiff::Tape;
    /// use vivit_autodiff::ops::LocalResponseOptions;
    /// use vivit_tensor::{Device, Tensor};
    ///
    /// let cpu = Device::cpu_f64();
    /// let mut tape = Tape::new(&cpu);
    /// let x = tape.input(Tensor::full(&cpu, [1, 3, 1], 3.0));
    /// let options = LocalResponseOptions::default().alpha(1.0).beta(1.0).k(0.0);
    /// let y = tape.local_response_norm(x, 3, options);
    /// // The means of the squares are 6, 9 and 6.
    /// let expected = [0.5, 1.0 / 3.0, 0.5];
    /// for (y, expected) in tape.value(y).to_vec()?.iter().zip(expected) {
    ///     assert!((y - expected).abs() < 1e-12);
    /// }
    /// # Ok::<(), vivit_tensor::Error>(())
    /// ```
    ///
    /// # Panics
    /// If the shape does not fit or `size` is 0.
    #[track_caller]
    pub fn local_response_norm(
        &mut self,
        x: Var,
        size: usize,
        options: LocalResponseOptions,
    ) -> Var {
        let shape = *self.value(x).shape();
        assert!(
            self.is_batched(x) && shape.rank() >= 2 && size > 0,
            "local response norm of {size} channels needs [N, C, *], got {shape}"
        );
        let (channels, positions) = (shape[1], shape[2..].iter().product::<usize>());
        let LocalResponseOptions { alpha, beta, k } = options;
        let squares = self.map(Unary::Square, x);
        let plane = self.reshape(squares, &[1, channels, positions]);
        let around = ((size / 2) as isize, ((size - 1) / 2) as isize);
        let plane = self.zero_pad(plane, &[around, (0, 0)]);
        let mut windows = PoolOptions::new(&[size, 1]);
        windows.stride = vec![1, 1];
        let means = self.avg_pool(plane, &windows);
        let means = self.reshape(means, &shape[1..]);
        let scaled = self.scale(means, alpha);
        let base = self.map(Unary::Shift(k), scaled);
        let logarithm = self.map(Unary::Ln, base);
        let exponent = self.scale(logarithm, -beta);
        let factor = self.map(Unary::Exp, exponent);
        self.mul(x, factor)
    }
}

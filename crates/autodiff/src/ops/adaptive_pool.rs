//! Average pooling to a given size: window `o` of `out` over `in` entries spans `⌊o·in/out⌋ ..
//! ⌈(o+1)·in/out⌉` (PyTorch's rule).

use vivit_tensor::{Device, Gemm, Tensor};

use crate::{Batch, Io, Op, Second, Tape, Var};

/// The means of windows that cover each plane of x `[N, C, *in]`, to `[N, C, *output]`.
#[derive(Clone, Debug)]
pub struct AdaptiveAvgPool {
    /// Lengths of the result's spatial axes.
    output: Vec<usize>,
    /// The means as a matrix `[windows, entries]`, sent to the device once.
    means: Tensor,
}

impl AdaptiveAvgPool {
    /// The pooling of planes `input` to planes `output`.
    ///
    /// # Panics
    /// If the number of axes differs.
    #[track_caller]
    pub fn new(device: &Device, input: &[usize], output: &[usize]) -> Self {
        assert!(input.len() == output.len(), "adaptive pooling to {output:?} of planes {input:?}");
        let mut weights = vec![1.0];
        let (mut rows, mut cols) = (1, 1);
        for (&from, &to) in input.iter().zip(output) {
            let mut wider = vec![0.0; rows * to * cols * from];
            for row in 0..rows {
                for o in 0..to {
                    let (first, end) = (o * from / to, ((o + 1) * from).div_ceil(to));
                    for col in 0..cols {
                        let weight = weights[row * cols + col] / (end - first) as f64;
                        let at = (row * to + o) * cols * from + col * from;
                        wider[at + first..at + end].fill(weight);
                    }
                }
            }
            (weights, rows, cols) = (wider, rows * to, cols * from);
        }
        AdaptiveAvgPool {
            output: output.to_vec(),
            means: Tensor::from_buf(device, [rows, cols], device.upload(weights.into())),
        }
    }

    /// Windows and entries of a plane.
    fn dims(&self) -> [usize; 2] {
        [self.means.shape()[0], self.means.shape()[1]]
    }

    fn mean(&self, x: &Tensor) -> Tensor {
        let [windows, entries] = self.dims();
        let planes = x.len() / entries;
        x.gemm(&Gemm::nt(planes, windows, entries), &self.means, [planes, windows])
    }
}

impl Op for AdaptiveAvgPool {
    fn name(&self) -> &'static str {
        "adaptive average pooling"
    }

    fn forward(&self, args: &[&Tensor]) -> Tensor {
        let x = args[0];
        let shape = [&x.shape()[..2], &self.output[..]].concat();
        self.mean(x).reshape(&shape)
    }

    /// `M` times the matrix of means.
    fn jac_t(&self, io: Io<'_>, _wrt: usize, mat: &Tensor, _batch: Batch) -> Tensor {
        let [windows, entries] = self.dims();
        let shape = io.args[0].shape().prefixed(&mat.shape()[..1]);
        mat.gemm(&Gemm::new(mat.len() / windows, entries, windows), &self.means, shape)
    }

    fn jac(&self, io: Io<'_>, _wrt: usize, tangent: &Tensor) -> Tensor {
        self.mean(tangent).reshape(io.out.shape().prefixed(&tangent.shape()[..1]))
    }

    fn second(&self, _wrt: usize, _along: usize) -> Second<'_> {
        Second::Zero
    }
}

impl Tape {
    /// The means of windows that cover each plane: x `[N, C, *in]` to `[N, C, *output]`.
    ///
    /// # Panics
    /// If the number of spatial axes differs.
    #[track_caller]
    pub fn adaptive_avg_pool(&mut self, x: Var, output: &[usize]) -> Var {
        let pool = AdaptiveAvgPool::new(self.device(), &self.value(x).shape()[2..], output);
        self.record(pool, &[x])
    }
}

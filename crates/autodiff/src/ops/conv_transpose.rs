//! Transposed convolution over one to three spatial axes: the adjoint of a convolution in its
//! input.
//!
//! A convolution from the result's plane to the input's with the same weight `[C, O/groups,
//! *kernel]`; with `u` that convolution's unfolding of a matrix M at the result, the product in the
//! weight is `Σ_t x[n, c, t] u[v, n, (o, k), t]`.

use vivit_tensor::{Buffer, ConvDims, Tensor, Window};

use crate::ops::ConvOptions;
use crate::{Batch, Effort, Io, Op, Order, Outer, OuterDims, Positions, Second, Tape, Var};

/// A transposed convolution. Arguments: x `[N, C, *in]`, w `[C, O/groups, *kernel]` and,
/// optionally, b `[O]`; result `[N, O, *out]` with `out = (in − 1)·stride − 2·padding +
/// dilation·(kernel − 1) + 1 + output_padding`.
#[derive(Clone, Debug)]
pub struct ConvTranspose {
    /// Stride, padding, dilation, groups.
    pub options: ConvOptions,
    /// Entries added at the end of each spatial axis, fewer than the stride or the dilation.
    pub output_padding: Vec<usize>,
}

impl ConvTranspose {
    /// Lengths of the result's spatial axes; `None` if they are not positive.
    pub fn output(&self, input: &[usize], kernel: &[usize]) -> Option<Vec<usize>> {
        let ConvOptions { stride, padding, dilation, .. } = &self.options;
        let length = |axis: usize| {
            let grown = (input[axis].checked_sub(1)? * stride[axis])
                + dilation[axis] * (kernel[axis] - 1)
                + 1
                + self.output_padding[axis];
            grown.checked_sub(2 * padding[axis]).filter(|&len| len > 0)
        };
        (0..input.len()).map(length).collect()
    }

    /// The windows of the adjoint convolution, over the result's plane.
    fn geometry(&self, x: &Tensor, w: &Tensor) -> (Window, ConvDims) {
        let ConvOptions { stride, padding, dilation, groups } = &self.options;
        let (x, w) = (x.shape(), w.shape());
        assert!(
            x.rank() == 2 + stride.len()
                && w.rank() == x.rank()
                && x[1] == w[0]
                && w[0] % groups == 0,
            "transposed convolution: input {x} and weight {w} do not fit for {groups} groups"
        );
        let output = self
            .output(&x[2..], &w[2..])
            .unwrap_or_else(|| panic!("transposed convolution of {x} with {w}: nothing is left"));
        let window = Window::new(&output, &w[2..], stride, padding, dilation, false)
            .unwrap_or_else(|error| panic!("transposed convolution of {x} with {w}: {error}"));
        let axes = stride.len();
        assert!(
            window.output[3 - axes..] == x[2..],
            "transposed convolution: output padding {:?} must be below stride or dilation",
            self.output_padding
        );
        (window, ConvDims { groups: *groups, c: w[1], o: w[0] / groups })
    }

    fn result(&self, x: &Tensor, w: &Tensor, lead: usize, y: Buffer) -> Tensor {
        let (window, dims) = self.geometry(x, w);
        let axes = self.options.stride.len();
        let shape =
            [&[lead, x.shape()[0], dims.groups * dims.c], &window.input[3 - axes..]].concat();
        Tensor::from_buf(x.device(), &shape, y)
    }

    fn outer(&self, io: Io<'_>, mat: &Tensor) -> Outer {
        let (x, w) = (io.args[0], io.args[1]);
        let (window, ConvDims { groups, c, o }) = self.geometry(x, w);
        let (v, n, t) = (mat.shape()[0], x.shape()[0], window.output_len());
        let s = mat.device().unfold(mat.buf(), v * n * groups * c, &window);
        let s = Tensor::from_buf(mat.device(), [v, n, groups, c * window.kernel_len(), t], s);
        Outer::new(s, x.reshape([n, groups, o, t]), [Positions::Inside; 2]).ordered(Order::InOut)
    }
}

impl Op for ConvTranspose {
    fn name(&self) -> &'static str {
        "transposed convolution"
    }

    fn forward(&self, args: &[&Tensor]) -> Tensor {
        let (x, w) = (args[0], args[1]);
        let (window, dims) = self.geometry(x, w);
        let y = x.device().conv_transposed(x.buf(), w.buf(), [1, x.shape()[0]], dims, &window);
        let y = self.result(x, w, 1, y);
        let y = y.reshape(y.shape().tail());
        let Some(b) = args.get(2) else { return y };
        let [n, o] = [y.shape()[0], y.shape()[1]];
        assert!(**b.shape() == [o], "transposed convolution: bias {} for {o} channels", b.shape());
        y.reshape([n, o, window.input_len()]).add(&b.reshape([o, 1])).reshape(*y.shape())
    }

    /// - x: the convolution of `M`
    /// - w: `Σ_{(n,) t} x[n, :, t] ⊗ u[v, n, :, t]`
    /// - b: `Σ_{(n,) t} M[v, n, :, t]`
    fn jac_t(&self, io: Io<'_>, wrt: usize, mat: &Tensor, batch: Batch) -> Tensor {
        let (x, w) = (io.args[0], io.args[1]);
        let (window, dims) = self.geometry(x, w);
        let (v, n) = (mat.shape()[0], x.shape()[0]);
        match wrt {
            0 => {
                let product = mat.device().conv(mat.buf(), w.buf(), v * n, dims, &window);
                Tensor::from_buf(mat.device(), x.shape().prefixed(&[v]), product)
            }
            1 => self.outer(io, mat).contract(batch, w.shape()),
            _ => {
                let kept = mat.reshape([v, n, dims.groups * dims.c, window.input_len()]).sum(3);
                if batch == Batch::Keep { kept } else { kept.sum(1) }
            }
        }
    }

    fn jac(&self, io: Io<'_>, wrt: usize, tangent: &Tensor) -> Tensor {
        let (x, w) = (io.args[0], io.args[1]);
        let (window, dims) = self.geometry(x, w);
        let (k, n, device) = (tangent.shape()[0], x.shape()[0], x.device());
        let shape = io.out.shape().prefixed(&[k]);
        match wrt {
            0 => Tensor::from_buf(
                device,
                shape,
                device.conv_transposed(tangent.buf(), w.buf(), [k, n], dims, &window),
            ),
            1 => {
                let along = |k: usize| {
                    let y = device.conv_transposed(
                        x.buf(),
                        tangent.slice(k, k + 1).buf(),
                        [1, n],
                        dims,
                        &window,
                    );
                    self.result(x, w, 1, y)
                };
                Tensor::concat(&(0..k).map(along).collect::<Vec<_>>(), 0)
            }
            _ => {
                let o = dims.groups * dims.c;
                tangent
                    .reshape([k, 1, o, 1])
                    .broadcast([k, n, o, window.input_len()])
                    .reshape(shape)
            }
        }
    }

    fn outer(&self, io: Io<'_>, wrt: usize, mat: &Tensor) -> Option<Outer> {
        (wrt == 1).then(|| self.outer(io, mat))
    }

    fn outer_dims(&self, io: Io<'_>, wrt: usize) -> Option<OuterDims> {
        let (window, ConvDims { groups: g, c, o }) = self.geometry(io.args[0], io.args[1]);
        (wrt == 1).then(|| OuterDims {
            v: 1,
            n: 1,
            g,
            t: window.output_len(),
            o: c * window.kernel_len(),
            i: o,
            one_hot: false,
            order: Order::InOut,
        })
    }

    /// For the weight, the unfolded factor is held.
    fn effort(&self, io: Io<'_>, wrt: usize) -> Effort {
        let (window, ConvDims { groups, c, .. }) = self.geometry(io.args[0], io.args[1]);
        let k = c * window.kernel_len();
        match wrt {
            0 => Effort::of(io.share(0) * k),
            1 => Effort {
                per_column: groups * k * window.output_len(),
                ..Effort::of(io.share(0) * k)
            },
            _ => Effort::of(io.out_share()),
        }
    }

    fn second(&self, wrt: usize, along: usize) -> Second<'_> {
        Second::bilinear(wrt, along)
    }
}

impl Tape {
    /// Transposed convolution: x `[N, C, *in]`, w `[C, O/groups, *kernel]`, b `[O]`, to `[N, O,
    /// *out]`.
    ///
    /// # Panics
    /// If the shapes do not fit, the input has no sample axis, or weight or bias carry one.
    #[track_caller]
    pub fn conv_transpose(
        &mut self,
        x: Var,
        weight: Var,
        bias: Option<Var>,
        options: &ConvOptions,
        output_padding: &[usize],
    ) -> Var {
        let args: Vec<Var> = [x, weight].into_iter().chain(bias).collect();
        assert!(self.is_batched(x), "transposed convolution: the input must carry a sample axis");
        self.expect_unbatched("transposed convolution", &args[1..]);
        self.record(
            ConvTranspose { options: options.clone(), output_padding: output_padding.to_vec() },
            &args,
        )
    }
}

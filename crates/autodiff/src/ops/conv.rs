//! Convolution (cross-correlation, as networks use it) over one to three spatial axes, with stride,
//! padding, dilation and groups.
//!
//! With `z[n, (c, k), t]` the unfolded input (what kernel element k sees in channel c at window t):
//! `y[n, o, t] = Σ_{c,k} w[o, c, k] z[n, (c, k), t] + b[o]`, separately for each group of channels.

use vivit_tensor::{ConvDims, Tensor, Window};

use crate::{Batch, Effort, Io, Op, Order, Outer, OuterDims, Second, Tape, Var};

/// Options of a convolution, one entry per spatial axis.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConvOptions {
    /// Distance of consecutive windows.
    pub stride: Vec<usize>,
    /// Zeros on both sides.
    pub padding: Vec<usize>,
    /// Distance of consecutive kernel elements.
    pub dilation: Vec<usize>,
    /// Groups of channels that do not see each other.
    pub groups: usize,
}

impl ConvOptions {
    /// Stride 1, no padding, dilation 1, one group, over `axes` spatial axes.
    pub fn new(axes: usize) -> Self {
        ConvOptions {
            stride: vec![1; axes],
            padding: vec![0; axes],
            dilation: vec![1; axes],
            groups: 1,
        }
    }
}

/// A convolution. Arguments: x `[N, C, *in]`, w `[O, C/groups, *kernel]` and, optionally, b `[O]`;
/// result `[N, O, *out]`.
#[derive(Clone, Debug)]
pub struct Conv(pub ConvOptions);

impl Conv {
    fn geometry(&self, x: &Tensor, w: &Tensor) -> (Window, ConvDims) {
        let Conv(ConvOptions { stride, padding, dilation, groups }) = self;
        let (x, w) = (x.shape(), w.shape());
        assert!(
            x.rank() == 2 + stride.len()
                && w.rank() == x.rank()
                && x[1] == groups * w[1]
                && w[0] % groups == 0,
            "convolution: input {x} and weight {w} do not fit for {groups} groups over {} spatial \
             axes",
            stride.len()
        );
        let window = Window::new(&x[2..], &w[2..], stride, padding, dilation, false)
            .unwrap_or_else(|error| panic!("convolution of {x} with {w}: {error}"));
        (window, ConvDims { groups: *groups, c: w[1], o: w[0] / groups })
    }

    fn outer(&self, io: Io<'_>, mat: &Tensor) -> Outer {
        let (x, w) = (io.args[0], io.args[1]);
        let (window, ConvDims { groups, o, .. }) = self.geometry(x, w);
        let s = mat.reshape([mat.shape()[0], x.shape()[0], groups, o, window.output_len()]);
        Outer::windows(s, x.clone(), window)
    }
}

impl Op for Conv {
    fn name(&self) -> &'static str {
        "convolution"
    }

    fn forward(&self, args: &[&Tensor]) -> Tensor {
        let (x, w) = (args[0], args[1]);
        let (window, dims) = self.geometry(x, w);
        let y = x.device().conv(x.buf(), w.buf(), x.shape()[0], dims, &window);
        let axes = self.0.stride.len();
        let shape = [&[x.shape()[0], w.shape()[0]], &window.output[3 - axes..]].concat();
        let y = Tensor::from_buf(x.device(), &shape, y);
        let Some(b) = args.get(2) else { return y };
        assert!(
            **b.shape() == w.shape()[..1],
            "convolution: bias {} for weight {}",
            b.shape(),
            w.shape()
        );
        y.reshape([shape[0], shape[1], window.output_len()])
            .add(&b.reshape([shape[1], 1]))
            .reshape(&shape)
    }

    /// - x: `fold(Wᵀ M[v, n, :, :])`
    /// - w: `Σ_{(n,) t} M[v, n, :, t] ⊗ z[n, :, t]`
    /// - b: `Σ_{(n,) t} M[v, n, :, t]`
    fn jac_t(&self, io: Io<'_>, wrt: usize, mat: &Tensor, batch: Batch) -> Tensor {
        let (x, w) = (io.args[0], io.args[1]);
        let (window, dims) = self.geometry(x, w);
        let (v, n, o, t) = (mat.shape()[0], x.shape()[0], w.shape()[0], window.output_len());
        match wrt {
            0 => {
                let product =
                    mat.device().conv_transposed(mat.buf(), w.buf(), [v, n], dims, &window);
                Tensor::from_buf(mat.device(), x.shape().prefixed(&[v]), product)
            }
            1 => self.outer(io, mat).contract(batch, w.shape()),
            _ => {
                let kept = mat.reshape([v, n, o, t]).sum(3);
                if batch == Batch::Keep { kept } else { kept.sum(1) }
            }
        }
    }

    fn jac(&self, io: Io<'_>, wrt: usize, tangent: &Tensor) -> Tensor {
        let (x, w) = (io.args[0], io.args[1]);
        let (window, dims) = self.geometry(x, w);
        let (k, n, o) = (tangent.shape()[0], x.shape()[0], w.shape()[0]);
        let shape = io.out.shape().prefixed(&[k]);
        let device = x.device();
        match wrt {
            0 => Tensor::from_buf(
                device,
                shape,
                device.conv(tangent.buf(), w.buf(), k * n, dims, &window),
            ),
            1 => {
                let each: Vec<Tensor> = (0..k)
                    .map(|k| {
                        let y =
                            device.conv(x.buf(), tangent.slice(k, k + 1).buf(), n, dims, &window);
                        Tensor::from_buf(device, io.out.shape().prefixed(&[1]), y)
                    })
                    .collect();
                Tensor::concat(&each, 0)
            }
            _ => tangent
                .reshape([k, 1, o, 1])
                .broadcast([k, n, o, window.output_len()])
                .reshape(shape),
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
            o,
            i: c * window.kernel_len(),
            one_hot: false,
            order: Order::OutIn,
        })
    }

    fn effort(&self, io: Io<'_>, wrt: usize) -> Effort {
        let (window, dims) = self.geometry(io.args[0], io.args[1]);
        match wrt {
            0 | 1 => Effort::of(io.out_share() * dims.c * window.kernel_len()),
            _ => Effort::of(io.out_share()),
        }
    }

    fn second(&self, wrt: usize, along: usize) -> Second<'_> {
        Second::bilinear(wrt, along)
    }
}

impl Tape {
    /// Convolution: x `[N, C, *in]`, w `[O, C/groups, *kernel]`, b `[O]`, to `[N, O, *out]`.
    ///
    /// # Panics
    /// If the shapes do not fit, the input has no sample axis, or weight or bias carry one.
    #[track_caller]
    pub fn conv(&mut self, x: Var, weight: Var, bias: Option<Var>, options: &ConvOptions) -> Var {
        let args: Vec<Var> = [x, weight].into_iter().chain(bias).collect();
        assert!(self.is_batched(x), "convolution: the input must carry a sample axis");
        self.expect_unbatched("convolution", &args[1..]);
        self.record(Conv(options.clone()), &args)
    }
}

//! Max and average pooling over one to three spatial axes.

use vivit_tensor::{Device, Index, Tensor, Unary, Window};

use crate::device_cache::DeviceCache;
use crate::{Batch, Effort, Io, Op, ScatterJacobian, Second, Tape, Var};

/// Options of a pooling, one entry per spatial axis.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PoolOptions {
    /// Lengths of a window.
    pub kernel: Vec<usize>,
    /// Distance of consecutive windows.
    pub stride: Vec<usize>,
    /// Padding on both sides: −∞ for the maximum, 0 for the average.
    pub padding: Vec<usize>,
    /// Distance of consecutive elements of a window (maximum only).
    pub dilation: Vec<usize>,
    /// Whether a last window may reach beyond the input (PyTorch's `ceil_mode`).
    pub ceil: bool,
    /// Whether the average counts the padding.
    pub count_include_pad: bool,
}

impl PoolOptions {
    /// Windows side by side: stride = kernel, no padding, dilation 1, floor mode, padding counted.
    pub fn new(kernel: &[usize]) -> Self {
        PoolOptions {
            kernel: kernel.to_vec(),
            stride: kernel.to_vec(),
            padding: vec![0; kernel.len()],
            dilation: vec![1; kernel.len()],
            ceil: false,
            count_include_pad: true,
        }
    }

    /// The windows over spatial axes of the given lengths.
    ///
    /// # Errors
    /// If none fits.
    pub fn window(&self, input: &[usize]) -> Result<Window, vivit_tensor::WindowError> {
        Window::new(input, &self.kernel, &self.stride, &self.padding, &self.dilation, self.ceil)
    }

    /// Window, planes of `x: [N, C, *in]`, and the result's shape `[N, C, *out]`.
    fn geometry(&self, x: &Tensor) -> (Window, usize, Vec<usize>) {
        let (shape, axes) = (x.shape(), self.kernel.len());
        assert!(
            shape.rank() == 2 + axes,
            "pooling over {axes} spatial axes needs [N, C, *in], got {shape}"
        );
        let window =
            self.window(&shape[2..]).unwrap_or_else(|error| panic!("pooling of {shape}: {error}"));
        (window, shape[0] * shape[1], [&shape[..2], &window.output[3 - axes..]].concat())
    }
}

/// The largest entry of each window: x `[N, C, *in]` to `[N, C, *out]`. Of several equal ones the
/// first.
///
/// Where the maxima of the latest `forward` are is kept: the sweep asks again. A clone keeps
/// nothing.
#[derive(Clone, Debug)]
pub struct MaxPool {
    options: PoolOptions,
    index: DeviceCache,
}

impl MaxPool {
    /// The pooling with these options.
    pub fn new(options: PoolOptions) -> Self {
        MaxPool { options, index: DeviceCache::default() }
    }

    /// The positions of the maxima of `planes` planes.
    fn index(&self, x: &Tensor, planes: usize, window: &Window) -> Index {
        let known =
            |(of, _): &(Tensor, Index)| of.shape() == x.shape() && x.buf().is_same(of.buf());
        self.index
            .get(known)
            .map_or_else(|| x.device().argmax(x.buf(), planes, window), |(_, index)| index)
    }

    /// From the windows to their maxima.
    fn route_of(&self, x: &Tensor) -> ScatterJacobian {
        let (window, planes, _) = self.options.geometry(x);
        ScatterJacobian::new(self.index(x, planes, &window), window, *x.shape())
    }
}

impl Op for MaxPool {
    fn name(&self) -> &'static str {
        "max pooling"
    }

    fn forward(&self, args: &[&Tensor]) -> Tensor {
        let (x, device) = (args[0], args[0].device());
        let (window, planes, shape) = self.options.geometry(x);
        let (_, index) = self.index.keep((x.clone(), device.argmax(x.buf(), planes, &window)));
        Tensor::from_buf(device, &shape, device.gather(x.buf(), &index, planes, &window))
    }

    /// `M` at the position of each window's maximum.
    fn jac_t(&self, io: Io<'_>, _wrt: usize, mat: &Tensor, _batch: Batch) -> Tensor {
        self.route_of(io.args[0]).apply(mat)
    }

    fn as_scatter(&self, io: Io<'_>) -> Option<ScatterJacobian> {
        Some(self.route_of(io.args[0]))
    }

    fn jac(&self, io: Io<'_>, _wrt: usize, tangent: &Tensor) -> Tensor {
        let (x, device) = (io.args[0], tangent.device());
        let (window, planes, _) = self.options.geometry(x);
        let index = self.index(x, planes, &window);
        let shape = io.out.shape().prefixed(&tangent.shape()[..1]);
        Tensor::from_buf(device, shape, device.gather(tangent.buf(), &index, planes, &window))
    }

    /// The positions of the maxima are held.
    fn effort(&self, io: Io<'_>, wrt: usize) -> Effort {
        Effort { per_sample: io.out_share(), ..Effort::of(io.share(wrt)) }
    }

    fn second(&self, _wrt: usize, _along: usize) -> Second<'_> {
        Second::Zero
    }
}

/// The mean of each window: x `[N, C, *in]` to `[N, C, *out]`.
#[derive(Clone, Debug)]
pub struct AvgPool(pub PoolOptions);

impl AvgPool {
    /// `1 / (entries counted)` for every window: the sum over a plane of ones. A window of `ceil`
    /// may reach beyond the padding, which never counts.
    fn weights(&self, device: &Device, window: &Window) -> Tensor {
        let mut counted = *window;
        if self.0.count_include_pad {
            (0..3).for_each(|axis| counted.input[axis] += 2 * window.padding[axis]);
            counted.padding = [0; 3];
        }
        let ones = device.fill(counted.input_len(), 1.0);
        let counts =
            Tensor::from_buf(device, [window.output_len()], device.window_sum(&ones, 1, &counted));
        counts.unary(Unary::Recip)
    }

    fn mean(&self, x: &Tensor, window: &Window) -> Tensor {
        let planes = x.len() / window.input_len();
        let sums = x.device().window_sum(x.buf(), planes, window);
        Tensor::from_buf(x.device(), [planes, window.output_len()], sums)
            .mul(&self.weights(x.device(), window))
    }
}

impl Op for AvgPool {
    fn name(&self) -> &'static str {
        "average pooling"
    }

    fn forward(&self, args: &[&Tensor]) -> Tensor {
        let (window, _, shape) = self.0.geometry(args[0]);
        self.mean(args[0], &window).reshape(&shape)
    }

    /// `M / count`, spread over each window.
    fn jac_t(&self, io: Io<'_>, _wrt: usize, mat: &Tensor, _batch: Batch) -> Tensor {
        let (x, device) = (io.args[0], mat.device());
        let (window, _, _) = self.0.geometry(x);
        let planes = mat.len() / window.output_len();
        let shares = mat.reshape([planes, window.output_len()]).mul(&self.weights(device, &window));
        let spread = device.window_spread(shares.buf(), planes, &window);
        Tensor::from_buf(device, x.shape().prefixed(&mat.shape()[..1]), spread)
    }

    fn jac(&self, io: Io<'_>, _wrt: usize, tangent: &Tensor) -> Tensor {
        let (window, _, _) = self.0.geometry(io.args[0]);
        self.mean(tangent, &window).reshape(io.out.shape().prefixed(&tangent.shape()[..1]))
    }

    fn second(&self, _wrt: usize, _along: usize) -> Second<'_> {
        Second::Zero
    }
}

impl Tape {
    /// The largest entry of each window: x `[N, C, *in]` to `[N, C, *out]`.
    ///
    /// # Panics
    /// If no window fits.
    #[track_caller]
    pub fn max_pool(&mut self, x: Var, options: &PoolOptions) -> Var {
        self.record(MaxPool::new(options.clone()), &[x])
    }

    /// The largest entries of windows that cover each plane: x `[N, C, *in]` to `[N, C, *output]`.
    /// Window `o` of `out` over `in` entries spans `⌊o·in/out⌋ .. ⌈(o+1)·in/out⌉`, as in
    /// [`adaptive_avg_pool`](Tape::adaptive_avg_pool).
    ///
    /// # Panics
    /// If the number of spatial axes differs, or one is empty.
    #[track_caller]
    pub fn adaptive_max_pool(&mut self, x: Var, output: &[usize]) -> Var {
        let shape = *self.value(x).shape();
        assert!(
            shape.rank() == 2 + output.len() && !shape.contains(&0) && !output.contains(&0),
            "adaptive pooling of {shape} to {output:?}"
        );
        let (mut kernel, mut y) = (Vec::new(), x);
        for (axis, &to) in (2..).zip(output) {
            let from = shape[axis];
            let window = |o: usize| o * from / to..((o + 1) * from).div_ceil(to);
            // Windows side by side, the shorter ones continued by their last entries.
            let longest = (0..to).map(|o| window(o).len()).max().unwrap_or(1);
            let entries = |o: usize| (0..longest).map(move |at| at.min(window(o).len() - 1));
            let pick: Vec<usize> =
                (0..to).flat_map(|o| entries(o).map(move |at| window(o).start + at)).collect();
            let in_place = pick.iter().copied().eq(0..from);
            y = if in_place { y } else { self.index_select(y, axis, &pick) };
            kernel.push(longest);
        }
        self.max_pool(y, &PoolOptions::new(&kernel))
    }

    /// The mean of each window: x `[N, C, *in]` to `[N, C, *out]`.
    ///
    /// # Panics
    /// If no window fits, or a dilation is asked for.
    #[track_caller]
    pub fn avg_pool(&mut self, x: Var, options: &PoolOptions) -> Var {
        assert!(
            options.dilation.iter().all(|&d| d == 1),
            "average pooling has no dilation, got {:?}",
            options.dilation
        );
        self.record(AvgPool(options.clone()), &[x])
    }
}

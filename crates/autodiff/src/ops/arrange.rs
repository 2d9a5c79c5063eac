//! Compositions that keep parts of a value, or put its entries elsewhere.

use vivit_tensor::{Shape, Tensor};

use crate::{Tape, Var};

/// Where the blocks of [`Tape::depth_to_space`] lie among the channels.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum DepthOrder {
    /// Blocks first: channel `(b₁·B + b₂)·C + c` (ONNX's `DCR`).
    #[default]
    BlocksFirst,
    /// Blocks last: channel `(c·B + b₁)·B + b₂` (ONNX's `CRD`, `torch.pixel_shuffle`).
    BlocksLast,
}

impl Tape {
    /// The entries `(r, c)` of the last two axes with `keeps(c − r)`, zero at the others.
    #[track_caller]
    fn triangle(&mut self, what: &str, x: Var, keeps: impl Fn(isize) -> bool) -> Var {
        let own = self.own_shape(x);
        assert!(own.rank() >= 2, "{what} of {own}: there are no two axes");
        let (rows, cols) = (own[own.rank() - 2], own[own.rank() - 1]);
        let entry = |at: usize| {
            let kept = keeps((at % cols) as isize - (at / cols) as isize);
            if kept { 1.0 } else { 0.0 }
        };
        let mask: Vec<f64> = (0..rows * cols).map(entry).collect();
        let mut shape = vec![1; own.rank()];
        shape[own.rank() - 2..].copy_from_slice(&[rows, cols]);
        let device = self.device().clone();
        let mask = Tensor::from_buf(&device, Shape::new(&shape), device.upload(mask.into()));
        let (mask, zero) = (self.constant(mask), self.constant(Tensor::zeros(&device, [])));
        self.select(mask, x, zero)
    }

    /// The entries of the last two axes on and below diagonal `k` (0 is the main one, positive ones
    /// are above it), zero at the others.
    ///
    /// # Panics
    /// If there are no two axes (samples apart).
    #[track_caller]
    pub fn tril(&mut self, x: Var, k: isize) -> Var {
        self.triangle("lower triangle", x, |above| above <= k)
    }

    /// The entries of the last two axes on and above diagonal `k`, zero at the others.
    ///
    /// # Panics
    /// If there are no two axes (samples apart).
    #[track_caller]
    pub fn triu(&mut self, x: Var, k: isize) -> Var {
        self.triangle("upper triangle", x, |above| above >= k)
    }

    /// Blocks of channels as pixels: x `[N, B²·C, H, W]` to `[N, C, B·H, B·W]`.
    ///
    /// # Panics
    /// If x has no two spatial axes, or the channels are no multiple of `B²`.
    #[track_caller]
    pub fn depth_to_space(&mut self, x: Var, block: usize, order: DepthOrder) -> Var {
        let own = self.own_shape(x);
        let [channels, h, w] = *own else { panic!("depth to space: planes [C, H, W], not {own}") };
        assert!(
            block > 0 && channels % (block * block) == 0,
            "depth to space: {channels} channels in blocks of {block}×{block}"
        );
        let c = channels / (block * block);
        let lead = usize::from(self.is_batched(x));
        let (shape, order) = match order {
            DepthOrder::BlocksFirst => ([block, block, c, h, w], [2, 3, 0, 4, 1]),
            DepthOrder::BlocksLast => ([c, block, block, h, w], [0, 3, 1, 4, 2]),
        };
        let split = self.reshape(x, &shape);
        let order: Vec<usize> = (0..lead).chain(order.map(|at| at + lead)).collect();
        let turned = self.permute(split, &order);
        self.reshape(turned, &[c, h * block, w * block])
    }

    /// Blocks of pixels as channels, blocks first: x `[N, C, B·H, B·W]` to `[N, B²·C, H, W]`; the
    /// inverse of [`depth_to_space`](Tape::depth_to_space) with [`DepthOrder::BlocksFirst`].
    ///
    /// # Panics
    /// If x has no two spatial axes, or they are no multiples of B.
    #[track_caller]
    pub fn space_to_depth(&mut self, x: Var, block: usize) -> Var {
        let own = self.own_shape(x);
        let [c, h, w] = *own else { panic!("space to depth: planes [C, H, W], not {own}") };
        assert!(
            block > 0 && h % block == 0 && w % block == 0,
            "space to depth: planes of {h}×{w} in blocks of {block}×{block}"
        );
        let lead = usize::from(self.is_batched(x));
        let split = self.reshape(x, &[c, h / block, block, w / block, block]);
        let order: Vec<usize> = (0..lead).chain([2, 4, 0, 1, 3].map(|at| at + lead)).collect();
        let turned = self.permute(split, &order);
        self.reshape(turned, &[block * block * c, h / block, w / block])
    }

    /// The sum over several axes, which disappear or, with `keep`, become one long.
    ///
    /// # Panics
    /// If there is no such axis, one is named twice, or is the sample axis.
    #[track_caller]
    pub fn sum_axes(&mut self, x: Var, axes: &[usize], keep: bool) -> Var {
        let mut shape = self.own_shape(x).to_vec();
        let lead = usize::from(self.is_batched(x));
        let mut sorted = axes.to_vec();
        sorted.sort_unstable();
        for pair in sorted.windows(2) {
            assert!(pair[0] != pair[1], "sum over axes {axes:?}: one is named twice");
        }
        for &axis in axes {
            self.expect_axis("sum", x, axis);
        }
        let mut y = x;
        // Neighbours are summed as one axis, the last ones first.
        while let Some(last) = sorted.pop() {
            let mut first = last;
            while sorted.last().is_some_and(|&axis| axis + 1 == first) {
                sorted.pop();
                first -= 1;
            }
            let (from, to) = (first - lead, last - lead);
            let len = shape[from..=to].iter().product();
            shape.splice(from..=to, [len]);
            y = if first < last { self.reshape(y, &shape) } else { y };
            y = self.sum(y, first);
            shape.remove(from);
        }
        if !keep {
            return y;
        }
        let mut kept = self.own_shape(x).to_vec();
        axes.iter().for_each(|axis| kept[axis - lead] = 1);
        self.reshape(y, &kept)
    }

    /// The mean over several axes; otherwise as [`sum_axes`](Tape::sum_axes).
    ///
    /// # Panics
    /// As there.
    #[track_caller]
    pub fn mean_axes(&mut self, x: Var, axes: &[usize], keep: bool) -> Var {
        let sum = self.sum_axes(x, axes, keep);
        let shape = self.value(x).shape();
        let entries: usize = axes.iter().map(|&axis| shape[axis]).product();
        self.scale(sum, 1.0 / entries as f64)
    }
}

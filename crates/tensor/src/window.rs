//! The geometry of sliding windows: convolution, pooling, unfold and fold, in one to three spatial
//! axes.

use std::fmt;

/// Sliding windows over a spatial plane. Always three axes inside; fewer are padded with leading
/// ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Window {
    /// Lengths of the input plane.
    pub input: [usize; 3],
    /// Lengths of the kernel.
    pub kernel: [usize; 3],
    /// Distance of consecutive windows.
    pub stride: [usize; 3],
    /// Zeros (for a maximum: −∞) in front of the input, and behind it.
    pub padding: [usize; 3],
    /// Distance of consecutive kernel elements.
    pub dilation: [usize; 3],
    /// Number of windows along each axis.
    pub output: [usize; 3],
}

/// Why no window fits: the axis (of the spatial axes given), and the numbers that clash.
#[derive(Clone, PartialEq, Eq)]
pub enum WindowError {
    /// Two of the lists differ in length, or there are not one to three axes.
    Axes,
    /// A kernel, stride or dilation of zero.
    Zero {
        /// Which of them, by name.
        what: &'static str,
    },
    /// The (dilated) kernel is longer than the padded input.
    TooLarge {
        /// The spatial axis.
        axis: usize,
        /// Length of the dilated kernel.
        kernel: usize,
        /// Length of the padded input.
        input: usize,
    },
}

impl fmt::Display for WindowError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            WindowError::Axes => f.write_str(
                "input, kernel, stride, padding and dilation must have the same number \
                             of axes, one to three",
            ),
            WindowError::Zero { what } => write!(
                f,
                "the {what} must be at least 1 along every \
                                                     axis"
            ),
            WindowError::TooLarge { axis, kernel, input } => write!(
                f,
                "along spatial axis {axis} the kernel spans {kernel} but the padded input has \
                 {input}; \
                 shrink the kernel or its dilation, or pad more"
            ),
        }
    }
}

impl std::error::Error for WindowError {}

impl Window {
    /// The windows of `kernel` over `input`, one entry per spatial axis. With `ceil` a last window
    /// that starts inside the input or its front padding counts even where it reaches beyond the
    /// back padding (PyTorch's `ceil_mode`).
    ///
    /// # Errors
    /// If no window fits or the lists are inconsistent.
    pub fn new(
        input: &[usize],
        kernel: &[usize],
        stride: &[usize],
        padding: &[usize],
        dilation: &[usize],
        ceil: bool,
    ) -> Result<Self, WindowError> {
        let axes = input.len();
        if !(1..=3).contains(&axes)
            || [kernel, stride, padding, dilation].iter().any(|list| list.len() != axes)
        {
            return Err(WindowError::Axes);
        }
        for (what, list) in [("kernel", kernel), ("stride", stride), ("dilation", dilation)] {
            if list.contains(&0) {
                return Err(WindowError::Zero { what });
            }
        }
        let mut window = Window {
            input: [1; 3],
            kernel: [1; 3],
            stride: [1; 3],
            padding: [0; 3],
            dilation: [1; 3],
            output: [1; 3],
        };
        for axis in 0..axes {
            let at = 3 - axes + axis;
            let span = dilation[axis] * (kernel[axis] - 1) + 1;
            let padded = input[axis] + 2 * padding[axis];
            if span > padded {
                return Err(WindowError::TooLarge { axis, kernel: span, input: padded });
            }
            let room = padded - span;
            let mut windows = room / stride[axis] + 1;
            if ceil
                && room % stride[axis] != 0
                && windows * stride[axis] < input[axis] + padding[axis]
            {
                windows += 1;
            }
            window.input[at] = input[axis];
            window.kernel[at] = kernel[axis];
            window.stride[at] = stride[axis];
            window.padding[at] = padding[axis];
            window.dilation[at] = dilation[axis];
            window.output[at] = windows;
        }
        Ok(window)
    }

    /// Entries of an input plane.
    pub fn input_len(&self) -> usize {
        self.input.iter().product()
    }

    /// Entries of a kernel.
    pub fn kernel_len(&self) -> usize {
        self.kernel.iter().product()
    }

    /// Number of windows.
    pub fn output_len(&self) -> usize {
        self.output.iter().product()
    }

    /// Whether what the windows see is the plane itself: a kernel of one element, windows side by
    /// side, no padding.
    pub fn is_pointwise(&self) -> bool {
        self.kernel == [1; 3] && self.input == self.output && self.padding == [0; 3]
    }

    /// The input index that kernel element `k` of window `o` sees along `axis`; `None` in the
    /// padding.
    #[inline]
    pub fn source(&self, axis: usize, o: usize, k: usize) -> Option<usize> {
        let at =
            (o * self.stride[axis] + k * self.dilation[axis]).checked_sub(self.padding[axis])?;
        (at < self.input[axis]).then_some(at)
    }

    /// The windows `o` in `first..end` along `axis` for which kernel element `k` sees the input,
    /// not the padding.
    pub fn seen(&self, axis: usize, k: usize) -> std::ops::Range<usize> {
        let (stride, shift, pad) = (self.stride[axis], k * self.dilation[axis], self.padding[axis]);
        let first = pad.saturating_sub(shift).div_ceil(stride).min(self.output[axis]);
        let end =
            (self.input[axis] + pad).saturating_sub(shift).div_ceil(stride).min(self.output[axis]);
        first..end.max(first)
    }
}

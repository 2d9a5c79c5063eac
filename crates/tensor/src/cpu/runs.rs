//! Where windows see the input, not the padding.

use crate::Window;

/// Neighbouring windows along the innermost axis for which one kernel element sees the input, not
/// the padding.
#[derive(Clone, Copy)]
pub struct Run {
    /// The kernel element.
    pub k: usize,
    /// The first window and their number.
    pub first: usize,
    pub len: usize,
    /// What the first one sees: a position of the input. The following see every `step`-th from
    /// there.
    pub at: usize,
}

/// All runs of a window, kernel element by kernel element, and the distance `step`. The same for
/// every plane.
pub struct Runs {
    pub runs: Vec<Run>,
    pub step: usize,
}

impl Runs {
    /// The runs of these windows.
    pub fn new(w: &Window) -> Self {
        let [_, ky, kx] = w.kernel;
        let mut runs = Vec::with_capacity(w.kernel_len() * w.output[0] * w.output[1]);
        for k in 0..w.kernel_len() {
            let [k0, k1, k2] = [k / (ky * kx), k / kx % ky, k % kx];
            let seen = w.seen(2, k2);
            if seen.is_empty() {
                continue;
            }
            let x2 = seen.start * w.stride[2] + k2 * w.dilation[2] - w.padding[2];
            for o0 in w.seen(0, k0) {
                let x0 = o0 * w.stride[0] + k0 * w.dilation[0] - w.padding[0];
                for o1 in w.seen(1, k1) {
                    let x1 = o1 * w.stride[1] + k1 * w.dilation[1] - w.padding[1];
                    let first = (o0 * w.output[1] + o1) * w.output[2] + seen.start;
                    runs.push(Run {
                        k,
                        first,
                        len: seen.len(),
                        at: (x0 * w.input[1] + x1) * w.input[2] + x2,
                    });
                }
            }
        }
        Runs { runs, step: w.stride[2] }
    }
}

impl Run {
    /// The windows whose places are neighbours, where the windows' are `step` apart: first one and
    /// number.
    pub fn joined(&self, step: usize) -> impl Iterator<Item = (usize, usize)> + use<> {
        let (len, some) = (self.len, if step == 1 { self.len } else { 1 });
        (0..len).step_by(some.max(1)).map(move |at| (at, some.min(len - at)))
    }
}

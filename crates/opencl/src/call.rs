//! Describing and starting a kernel's call.

use vivit_tensor::{DType, Error as TensorError};

use crate::buffer::Buf;
use crate::launch::Arg;
use crate::program::Compiled;
use crate::session::{Outcome, Session};

/// Work-items of a group in one dimension.
pub(crate) const GROUP: usize = 256;
/// Work-groups in the second dimension of one launch; some drivers take no more.
const ROWS_OF_GROUPS: usize = 65_535;

/// A kernel's call under construction. An argument that was never filled makes the whole call fail
/// in the same way.
pub(crate) struct Call<'s> {
    session: &'s Session,
    compiled: &'s Compiled,
    name: String,
    args: Vec<Arg<'s>>,
    failed: Option<TensorError>,
}

impl<'s> Call<'s> {
    /// Starts the description of a kernel's call.
    pub fn new(session: &'s Session, compiled: &'s Compiled, name: impl Into<String>) -> Self {
        let args = Vec::with_capacity(16);
        Call { session, compiled, name: name.into(), args, failed: None }
    }

    /// A buffer, as a pointer and the position of its first entry.
    pub fn buf<T>(mut self, buf: &'s Buf<T>) -> Self {
        match &buf.block {
            Ok(block) => self.args.extend([Arg::Mem(block.mem()), Arg::Long(buf.start as u64)]),
            Err(error) => self.failed = self.failed.or_else(|| Some(TensorError::clone(error))),
        }
        self
    }

    /// `uint`, or a vector of 2, 4, 8 or 16 of them.
    pub fn words<const N: usize>(mut self, words: [usize; N]) -> Self {
        const { assert!(matches!(N, 1 | 2 | 4 | 8 | 16)) };
        let mut all = [0; 16];
        for (word, &number) in all.iter_mut().zip(&words) {
            match u32::try_from(number) {
                Ok(number) => *word = number,
                Err(_) => {
                    let reason = format!(
                        "{}: {number} is more than the kernels count to: use fewer samples at a \
                         time",
                        self.name
                    );
                    self.failed = self.failed.or_else(|| {
                        Some(TensorError::Device { device: self.session.device(), reason })
                    });
                }
            }
        }
        self.args.push(Arg::Words(all, N));
        self
    }

    /// `int`, or a vector of 2, 4, 8 or 16 of them.
    pub fn signed<const N: usize>(mut self, numbers: [isize; N]) -> Self {
        const { assert!(matches!(N, 1 | 2 | 4 | 8 | 16)) };
        let mut all = [0; 16];
        // Two's complement on both sides: the same bits.
        all.iter_mut().zip(numbers).for_each(|(word, number)| *word = number as i32 as u32);
        self.args.push(Arg::Words(all, N));
        self
    }

    /// Numbers of outer axes, at the end of a vector of 8 or, for a wide kernel, of 16.
    pub fn axes(self, wide: bool, words: [usize; 16]) -> Self {
        if wide { self.words(words) } else { self.words(last(words)) }
    }

    /// The same for signed numbers.
    pub fn signed_axes(self, wide: bool, numbers: [isize; 16]) -> Self {
        if wide { self.signed(numbers) } else { self.signed(last(numbers)) }
    }

    /// A number of the element type.
    pub fn real(mut self, number: f64) -> Self {
        self.args.push(match self.compiled.dtype {
            DType::F32 => Arg::Single(number as f32),
            DType::F64 => Arg::Double(number),
        });
        self
    }

    /// Local memory for that many numbers.
    pub fn local(mut self, len: usize) -> Self {
        self.args.push(Arg::Local(len * self.compiled.dtype.size()));
        self
    }

    /// Runs over `n` work-items, at least; the kernel is told none of it.
    pub fn flat(self, n: usize) -> Outcome {
        let groups = n.div_ceil(GROUP);
        self.groups(groups, [GROUP, 1])
    }

    /// Runs over rows of `inner` work-items each.
    pub fn rows(self, inner: usize, outer: usize) -> Outcome {
        // Few shapes, because some drivers compile a kernel once more for each.
        let local = if inner > 24 { [64, 4] } else { [8, 32] };
        self.run([inner.div_ceil(local[0]), outer.div_ceil(local[1])], local)
    }

    /// Runs `count` groups of the given size.
    pub fn groups(self, count: usize, local: [usize; 2]) -> Outcome {
        self.run([count, 1], local)
    }

    /// Runs a grid of groups.
    pub fn run(self, groups: [usize; 2], local: [usize; 2]) -> Outcome {
        if let Some(error) = self.failed {
            return Outcome(Err(error));
        }
        if groups.contains(&0) {
            return Outcome(Ok(()));
        }
        for first in (0..groups[1]).step_by(ROWS_OF_GROUPS) {
            let rows = ROWS_OF_GROUPS.min(groups[1] - first);
            let (offset, global) = ([0, first * local[1]], [groups[0] * local[0], rows * local[1]]);
            let (queue, space) = (&self.session.queue, [offset, global, local]);
            if let Err(failure) = self.compiled.launch(queue, &self.name, &self.args, space) {
                let mut error = self.session.error(failure);
                if let TensorError::Device { reason, .. } | TensorError::DeviceLost { reason, .. } =
                    &mut error
                {
                    *reason = format!("kernel {}: {reason}", self.name);
                }
                return Outcome(Err(error));
            }
        }
        Outcome(Ok(()))
    }
}

/// The last eight numbers.
fn last<T: Copy>(numbers: [T; 16]) -> [T; 8] {
    std::array::from_fn(|at| numbers[8 + at])
}

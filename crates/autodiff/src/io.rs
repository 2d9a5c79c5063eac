//! What an operation read and wrote, and what its derivatives take.

use vivit_tensor::Tensor;

/// Whether a parameter product sums over the sample axis or keeps it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Batch {
    /// `[V, *p]`: summed over samples.
    Sum,
    /// `[V, N, *p]`: one per sample.
    Keep,
}

/// What an operation read and wrote, as its derivatives see it: possibly only the rows of the
/// chosen samples.
#[derive(Clone, Copy, Debug)]
pub struct Io<'a> {
    /// The arguments.
    pub args: &'a [&'a Tensor],
    /// The result.
    pub out: &'a Tensor,
    /// Which arguments carry the sample axis (as axis 0).
    pub batched: &'a [bool],
}

impl Io<'_> {
    /// Whether the result carries the sample axis: if any argument does.
    pub fn out_batched(&self) -> bool {
        self.batched.contains(&true)
    }

    /// Number of samples; 1 where nothing carries the sample axis.
    pub fn samples(&self) -> usize {
        if self.out_batched() { self.out.shape()[0] } else { 1 }
    }

    /// What of the samples a product in an argument without sample axis keeps: `asked`, where the
    /// result has samples to keep.
    pub fn batch(&self, asked: Batch) -> Batch {
        if self.out_batched() { asked } else { Batch::Sum }
    }

    /// Entries of an argument, per sample if it carries the sample axis.
    pub fn share(&self, arg: usize) -> usize {
        self.args[arg].len() / if self.batched[arg] { self.samples() } else { 1 }
    }

    /// Entries of the result, per sample if it carries the sample axis.
    pub fn out_share(&self) -> usize {
        self.out.len() / self.samples()
    }
}

/// A run of consecutive entries of an axis of a value (the sample axis counted): as many as the
/// part has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Part {
    /// The axis.
    pub axis: usize,
    /// The run's first entry.
    pub first: usize,
}

/// What a product with a Jacobian's transpose takes, besides what it reads and its result.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Effort {
    /// Multiply-adds per column and sample.
    pub multiply_adds: usize,
    /// Numbers that it holds meanwhile, per column and sample.
    pub per_column: usize,
    /// Numbers that it holds meanwhile, per sample, for all columns together.
    pub per_sample: usize,
}

impl Effort {
    /// Multiply-adds alone: nothing is held that grows with the samples.
    pub fn of(multiply_adds: usize) -> Self {
        Effort { multiply_adds, ..Effort::default() }
    }

    /// Numbers held for `rows` columns times samples of `samples` samples.
    pub fn numbers(&self, rows: usize, samples: usize) -> usize {
        self.per_column * rows + self.per_sample * samples
    }
}

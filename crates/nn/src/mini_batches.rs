//! Data sets in memory, batch by batch.

use vivit_autodiff::{BatchTargets, Batches, DataBatch, Labels};
use vivit_tensor::{Rng, Tensor};

use crate::Error;

/// What samples are compared with, in [`MiniBatches`]: [`Labels`], or an array `[N, *]`.
pub trait Targets: Clone {
    /// What the samples `pick` of `samples` are compared with.
    fn select(&self, pick: &[usize], samples: usize) -> Self;
}

impl Targets for Labels {
    fn select(&self, pick: &[usize], samples: usize) -> Self {
        // Calls the labels' own method.
        Labels::select(self, pick, self.as_slice().len() / samples)
    }
}

impl Targets for Tensor {
    fn select(&self, pick: &[usize], _samples: usize) -> Self {
        self.index_select(0, pick)
    }
}

/// A data set in memory: inputs `[N, *]` and labels or targets, batch by batch.
///
/// MiniBatches come in the order of the data, without copying inputs; after
/// [`shuffled`](MiniBatches::shuffled), in another order in every epoch, the same on every machine.
/// The last batch is smaller where the batch size does not divide N, unless it is
/// [dropped](MiniBatches::drop_last).
///
/// # Examples
/// ```
/// use vivit_autodiff::CrossEntropy;
/// use vivit_nn::{MiniBatches, Optimizer, Sequential, Sgd, linear};
/// use vivit_tensor::{Device, Tensor};
///
/// let cpu = Device::cpu();
/// let mut model = Sequential::new(&cpu, vec![linear(1, 2)], 0)?;
/// let mut optimizer = Sgd::new(1.0, 0.9)?;
/// let x = Tensor::from_vec(&cpu, [4, 1], vec![-2.0, -1.0, 1.0, 2.0])?;
/// let batches = MiniBatches::new(x.clone(), [0, 0, 1, 1], 2)?.shuffled(7);
/// for epoch in 0..50 {
///     for (x, labels) in batches.epoch(epoch) {
///         let gradient = model.forward(&x)?.backward(&CrossEntropy::mean(labels))?;
///         optimizer.step(&mut model, &gradient)?;
///     }
/// }
/// assert_eq!(model.predict(&x)?, [0, 0, 1, 1]);
/// # Ok::<(), vivit_nn::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct MiniBatches<T = Labels> {
    inputs: Tensor,
    targets: T,
    size: usize,
    seed: Option<u64>,
    drop_last: bool,
}

impl MiniBatches<Labels> {
    /// MiniBatches of `size` samples with labels, `[N, *]` row-major: one or more per sample.
    ///
    /// # Errors
    /// If there are no samples, the number of labels is no multiple of theirs, or the size is zero.
    pub fn new(inputs: Tensor, labels: impl Into<Labels>, size: usize) -> Result<Self, Error> {
        let labels = labels.into();
        let (got, samples) = (labels.as_slice().len(), samples_of(&inputs)?);
        if got == 0 || got % samples != 0 {
            return Err(mismatch("the labels", got, samples));
        }
        Self::of(inputs, labels, size)
    }
}

impl MiniBatches<Tensor> {
    /// MiniBatches of `size` samples with targets `[N, *]`.
    ///
    /// # Errors
    /// If there are no samples, another number of targets, or the size is zero.
    pub fn with_targets(inputs: Tensor, targets: Tensor, size: usize) -> Result<Self, Error> {
        let (got, samples) = (targets.shape().first().copied().unwrap_or(0), samples_of(&inputs)?);
        if got != samples {
            return Err(mismatch("the targets", got, samples));
        }
        Self::of(inputs, targets, size)
    }
}

fn mismatch(what: &str, got: usize, expected: usize) -> Error {
    vivit_autodiff::Error::BatchMismatch { what: what.into(), got, expected }.into()
}

fn samples_of(inputs: &Tensor) -> Result<usize, Error> {
    let shape = inputs.shape();
    shape
        .first()
        .copied()
        .filter(|&n| n > 0)
        .ok_or_else(|| vivit_autodiff::Error::EmptyBatch { input: 0, shape: shape.to_vec() }.into())
}

/// The batches of epoch 0, samples numbered as in the data. What is
/// [dropped](MiniBatches::drop_last) makes the data set smaller, and the numbers that are left go
/// from 0 on.
impl<T: Targets + Into<BatchTargets> + Send + Sync> Batches for MiniBatches<T> {
    fn len(&self) -> usize {
        self.num_batches()
    }

    fn samples(&self) -> usize {
        if self.drop_last { self.num_batches() * self.size } else { self.samples() }
    }

    fn batch(&self, index: usize) -> Result<DataBatch, vivit_autodiff::Error> {
        let all = self.samples();
        let (first, end) = (index * self.size, all.min((index + 1) * self.size));
        let Some(order) = self.order_of(0) else {
            let samples: Vec<usize> = (first..end).collect();
            let targets = self.targets.select(&samples, all).into();
            return Ok(DataBatch {
                inputs: self.inputs.slice(first, end).into(),
                targets,
                samples,
            });
        };
        let pick = &order[first..end];
        let kept = Batches::samples(self);
        let samples = if kept == all {
            pick.to_vec()
        } else {
            // Among those that are not dropped, by their places in the data.
            let mut places = order[..kept].to_vec();
            places.sort_unstable();
            pick.iter().map(|sample| places.partition_point(|known| known < sample)).collect()
        };
        let targets = self.targets.select(pick, all).into();
        Ok(DataBatch { inputs: self.inputs.index_select(0, pick).into(), targets, samples })
    }
}

impl<T: Targets> MiniBatches<T> {
    fn of(inputs: Tensor, targets: T, size: usize) -> Result<Self, Error> {
        if size == 0 {
            return Err(Error::Option {
                what: "the batch size",
                expected: "at least 1",
                value: 0.0,
            });
        }
        Ok(MiniBatches { inputs, targets, size, seed: None, drop_last: false })
    }

    /// The same in an order that is drawn from `seed` for every epoch.
    #[must_use]
    pub fn shuffled(self, seed: u64) -> Self {
        MiniBatches { seed: Some(seed), ..self }
    }

    /// The same without a last batch that is smaller than the others.
    #[must_use]
    pub fn drop_last(self) -> Self {
        MiniBatches { drop_last: true, ..self }
    }

    /// Number of samples N.
    pub fn samples(&self) -> usize {
        self.inputs.shape()[0]
    }

    /// Number of batches of an epoch.
    pub fn num_batches(&self) -> usize {
        if self.drop_last { self.samples() / self.size } else { self.samples().div_ceil(self.size) }
    }

    /// The batches of an epoch, `(x, labels)`: each sample once, in an order that depends on the
    /// seed and the number of the epoch.
    pub fn epoch(&self, number: u64) -> Epoch<'_, T> {
        Epoch { batches: self, order: self.order_of(number), next: 0 }
    }

    /// The order of the samples in an epoch, where it is not that of the data.
    fn order_of(&self, epoch: u64) -> Option<Vec<usize>> {
        self.seed.map(|seed| {
            // An odd factor, so that the epochs of one seed differ.
            let seed = seed.wrapping_add(epoch.wrapping_mul(0x9e37_79b9_7f4a_7c15));
            Rng::new(seed).permutation(self.samples())
        })
    }
}

/// The first epoch.
impl<'b, T: Targets> IntoIterator for &'b MiniBatches<T> {
    type Item = (Tensor, T);
    type IntoIter = Epoch<'b, T>;
    fn into_iter(self) -> Epoch<'b, T> {
        self.epoch(0)
    }
}

/// The batches of one epoch of [`MiniBatches`].
#[derive(Clone, Debug)]
pub struct Epoch<'b, T> {
    batches: &'b MiniBatches<T>,
    /// The order of the samples, where it is not that of the data.
    order: Option<Vec<usize>>,
    /// Number of the next batch.
    next: usize,
}

impl<T: Targets> Iterator for Epoch<'_, T> {
    type Item = (Tensor, T);

    fn next(&mut self) -> Option<Self::Item> {
        let MiniBatches { inputs, targets, size, .. } = self.batches;
        if self.next >= self.batches.num_batches() {
            return None;
        }
        let samples = self.batches.samples();
        let (first, end) = (self.next * size, samples.min((self.next + 1) * size));
        self.next += 1;
        Some(match &self.order {
            Some(order) => {
                let pick = &order[first..end];
                (inputs.index_select(0, pick), targets.select(pick, samples))
            }
            None => {
                let pick: Vec<usize> = (first..end).collect();
                (inputs.slice(first, end), targets.select(&pick, samples))
            }
        })
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        let left = self.batches.num_batches() - self.next;
        (left, Some(left))
    }
}

impl<T: Targets> ExactSizeIterator for Epoch<'_, T> {}

#[cfg(test)]
mod tests {
    use vivit_tensor::Device;

    use super::*;

    /// Sample n is `[n, 10 n]`, its labels are `2 n` and `2 n + 1`.
    fn data(samples: usize) -> (Tensor, Vec<usize>) {
        let entries: Vec<f64> = (0..samples).flat_map(|n| [n as f64, 10.0 * n as f64]).collect();
        let x = Tensor::from_vec(&Device::cpu_f64(), [samples, 2], entries).unwrap();
        (x, (0..2 * samples).collect())
    }

    /// The samples of an epoch, batch by batch; checks that inputs and labels belong together.
    fn order(batches: &MiniBatches, epoch: u64) -> Vec<Vec<usize>> {
        let mut all = Vec::new();
        for (x, labels) in batches.epoch(epoch) {
            let entries = x.to_vec().unwrap();
            let samples: Vec<usize> = entries.chunks(2).map(|sample| sample[0] as usize).collect();
            assert!(entries.chunks(2).all(|sample| sample[1] == 10.0 * sample[0]));
            let expected: Vec<i64> =
                samples.iter().flat_map(|&n| [2 * n as i64, 2 * n as i64 + 1]).collect();
            assert_eq!(labels.as_slice(), expected);
            all.push(samples);
        }
        all
    }

    #[test]
    fn batches_follow_the_data() {
        let (x, labels) = data(5);
        let batches = MiniBatches::new(x, labels, 2).unwrap();
        assert_eq!(order(&batches, 3), [vec![0, 1], vec![2, 3], vec![4]]);
        assert_eq!((&batches).into_iter().len(), 3);
        let whole = batches.drop_last();
        assert_eq!(order(&whole, 0), [vec![0, 1], vec![2, 3]]);
        assert_eq!(whole.num_batches(), 2);
    }

    #[test]
    fn shuffled_epochs_hold_every_sample_once() {
        let (x, labels) = data(20);
        let batches = MiniBatches::new(x, labels, 6).unwrap().shuffled(1);
        let (first, second) = (order(&batches, 0), order(&batches, 1));
        assert_ne!(first, second);
        assert_eq!(first, order(&batches, 0));
        for epoch in [first, second] {
            assert_eq!(epoch.iter().map(Vec::len).collect::<Vec<_>>(), [6, 6, 6, 2]);
            let mut all = epoch.concat();
            assert!(!all.is_sorted());
            all.sort_unstable();
            assert!(all.into_iter().eq(0..20));
        }
    }

    #[test]
    fn targets_go_with_their_samples() {
        let (x, _) = data(4);
        let batches = MiniBatches::with_targets(x.clone(), x, 3).unwrap().shuffled(0);
        for (x, y) in &batches {
            assert_eq!(x.to_vec().unwrap(), y.to_vec().unwrap());
        }
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        let (x, labels) = data(4);
        let none = Tensor::zeros(&Device::cpu_f64(), [0, 2]);
        assert!(MiniBatches::new(x.clone(), &labels[..7], 2).is_err());
        assert!(MiniBatches::new(x.clone(), &labels[..0], 2).is_err());
        assert!(MiniBatches::new(none, &labels, 2).is_err());
        assert!(MiniBatches::with_targets(x.clone(), x.slice(0, 3), 2).is_err());
        let error = MiniBatches::new(x, labels, 0).unwrap_err();
        assert_eq!(error.to_string(), "the batch size must be at least 1, got 0");
    }
}

//! Data sets that are read batch by batch, by number.

use std::hash::{DefaultHasher, Hash, Hasher};

use vivit_tensor::{HostVec, Tensor};

use crate::{Error, Inputs, Labels};

/// What the samples of a batch are compared with.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum BatchTargets {
    /// A class per sample and position, `[N, *]` row-major.
    Labels(Labels),
    /// Numbers: `[N, *]` for a regression, `[N, C, *]` for soft targets.
    Values(Tensor),
}

impl From<Labels> for BatchTargets {
    fn from(labels: Labels) -> Self {
        BatchTargets::Labels(labels)
    }
}

impl From<Tensor> for BatchTargets {
    fn from(values: Tensor) -> Self {
        BatchTargets::Values(values)
    }
}

/// A batch of a data set.
#[derive(Clone, Debug)]
pub struct DataBatch {
    /// The model's inputs.
    pub inputs: Inputs,
    /// What the outputs are compared with.
    pub targets: BatchTargets,
    /// The samples' numbers in the data set, in the order of the batch.
    pub samples: Vec<usize>,
}

impl DataBatch {
    /// A number that changes when an entry of the batch does.
    ///
    /// # Errors
    /// If the device failed.
    pub fn fingerprint(&self) -> Result<u64, Error> {
        let mut hasher = DefaultHasher::new();
        self.samples.hash(&mut hasher);
        for (name, value) in self.inputs.iter() {
            name.hash(&mut hasher);
            hash(value, &mut hasher)?;
        }
        match &self.targets {
            BatchTargets::Labels(labels) => labels.as_slice().hash(&mut hasher),
            BatchTargets::Values(values) => hash(values, &mut hasher)?,
        }
        Ok(hasher.finish())
    }
}

fn hash(value: &Tensor, hasher: &mut DefaultHasher) -> Result<(), Error> {
    value.shape()[..].hash(hasher);
    match value.to_host()? {
        HostVec::F32(numbers) => numbers.iter().for_each(|x| x.to_bits().hash(hasher)),
        HostVec::F64(numbers) => numbers.iter().for_each(|x| x.to_bits().hash(hasher)),
    }
    Ok(())
}

/// A data set that can be read again, in any order, by number: no iterator, so that work on it can
/// be taken up anew, dealt out, and compared.
///
/// ```
/// use vivit_autodiff::{Batches, DataBatch, Error, Labels};
/// use vivit_tensor::{Device, Tensor};
///
/// /// Numbers and whether they are odd, ten at a time.
/// struct Parity;
///
/// impl Batches for Parity {
///     fn len(&self) -> usize { 3 }
///     fn samples(&self) -> usize { 30 }
///     fn batch(&self, index: usize) -> Result<DataBatch, Error> {
///         let samples: Vec<usize> = (10 * index..10 * index + 10).collect();
///         let x: Vec<f64> = samples.iter().map(|&n| n as f64).collect();
///         let odd: Vec<usize> = samples.iter().map(|n| n % 2).collect();
///         let inputs = Tensor::from_vec(&Device::cpu(), [10, 1], x)?.into();
///         Ok(DataBatch { inputs, targets: Labels::from(odd).into(), samples })
///     }
/// }
///
/// assert_eq!(Parity.batch(2)?.samples[9], 29);
/// # Ok::<(), Error>(())
/// ```
pub trait Batches: Send + Sync {
    /// Number of batches.
    fn len(&self) -> usize;

    /// Whether there is no batch.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Number of samples of all batches.
    fn samples(&self) -> usize;

    /// The batch of a number below [`len`](Batches::len); the same each time.
    ///
    /// # Errors
    /// If it can't be read ([`ForeignError`](crate::ForeignError) wraps an error of one's own).
    fn batch(&self, index: usize) -> Result<DataBatch, Error>;
}

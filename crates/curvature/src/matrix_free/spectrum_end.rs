//! Ends of spectra.

/// The end of the spectrum to look at.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum SpectrumEnd {
    /// The largest eigenvalues.
    #[default]
    Largest,
    /// The smallest (most negative) eigenvalues.
    Smallest,
    /// The eigenvalues largest in magnitude.
    LargestMagnitude,
}

impl SpectrumEnd {
    /// A key that is larger for eigenvalues that come earlier.
    pub(crate) fn key(self, value: f64) -> f64 {
        match self {
            SpectrumEnd::Largest => value,
            SpectrumEnd::Smallest => -value,
            SpectrumEnd::LargestMagnitude => value.abs(),
        }
    }
}

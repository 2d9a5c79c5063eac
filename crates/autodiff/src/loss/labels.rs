//! Class labels, of whatever integer type a data set has.

/// A class per sample and position, `[N, *]` row-major; made from vectors, slices and arrays of any
/// integer type.
///
/// ```
/// use vivit_autodiff::CrossEntropy;
///
/// let from_bytes = CrossEntropy::mean(vec![3u8, 0, 1]);
/// let from_numpy = CrossEntropy::mean(&[3i64, -100, 1][..]).ignore_index(-100);
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Labels(Vec<i64>);

impl Labels {
    /// The labels.
    pub fn as_slice(&self) -> &[i64] {
        &self.0
    }

    /// The labels of some samples, in that order, where each sample has `positions` labels.
    ///
    /// # Panics
    /// If there are fewer samples.
    #[track_caller]
    #[must_use]
    pub fn select(&self, samples: &[usize], positions: usize) -> Self {
        let of = |&n: &usize| self.0[n * positions..(n + 1) * positions].iter().copied();
        Labels(samples.iter().flat_map(of).collect())
    }
}

/// An integer as a label; numbers beyond the range of `i64`, which are no class, as its end.
trait Label: Copy {
    fn label(self) -> i64;
}

macro_rules! labels {
    ($($integer:ty)*) => { $(
        impl Label for $integer {
            #[allow(irrefutable_let_patterns, clippy::unnecessary_fallible_conversions)]
            fn label(self) -> i64 {
                i64::try_from(self).unwrap_or(i64::MAX)
            }
        }

        impl From<Vec<$integer>> for Labels {
            fn from(labels: Vec<$integer>) -> Self {
                Labels(labels.into_iter().map(Label::label).collect())
            }
        }

        impl From<&Vec<$integer>> for Labels {
            fn from(labels: &Vec<$integer>) -> Self {
                labels[..].into()
            }
        }

        impl From<&[$integer]> for Labels {
            fn from(labels: &[$integer]) -> Self {
                Labels(labels.iter().map(|label| label.label()).collect())
            }
        }

        impl<const N: usize> From<[$integer; N]> for Labels {
            fn from(labels: [$integer; N]) -> Self {
                labels[..].into()
            }
        }

        impl<const N: usize> From<&[$integer; N]> for Labels {
            fn from(labels: &[$integer; N]) -> Self {
                labels[..].into()
            }
        }
    )* };
}
labels!(u8 u16 u32 u64 usize i8 i16 i32 i64 isize);

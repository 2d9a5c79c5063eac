//! Numbers per spatial axis.

/// A number per spatial axis, outermost first: made of an array, or of one number for all axes.
///
/// ```
/// use vivit_nn::{Conv2d, PerAxis};
///
/// assert_eq!(PerAxis::<2>::from(3), PerAxis([3, 3]));
/// assert_eq!(Conv2d::new(1, 8, [3, 5]).strided(2).stride, [2, 2]);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PerAxis<const R: usize>(pub [usize; R]);

impl<const R: usize> From<usize> for PerAxis<R> {
    fn from(all: usize) -> Self {
        PerAxis([all; R])
    }
}

impl<const R: usize> From<[usize; R]> for PerAxis<R> {
    fn from(each: [usize; R]) -> Self {
        PerAxis(each)
    }
}
